/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The counter on the disk: a ring of records, written and read back with O_DIRECT.
 *
 * The last number written is also in memory. When a machine comes back with disk and memory of different instants,
 * the newest record of this boot on the disk is not the one memory remembers.
 */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_DISK "/dev/vda"

enum { SLOTS = 256, NAMED_DISK_PATIENCE_MS = 30000 };

struct record {
	char magic[8];
	uint64_t boot_id, counter, monotonic_us, wall_us;
	uint64_t check; /* over all before it */
};

static const char record_magic[8] = "gwdisk1";

static uint64_t record_check(const struct record *r)
{
	uint64_t sum = mix64(r->boot_id);

	sum = mix64(sum ^ r->counter);
	sum = mix64(sum ^ r->monotonic_us);
	return mix64(sum ^ r->wall_us);
}

/* The rest of the block depends on the record, so a torn block shows. */
static void record_encode(const struct record *r, unsigned char block[GUEST_PAGE])
{
	uint64_t x = r->check;

	memcpy(block, r, sizeof *r);
	for (size_t i = sizeof *r; i < GUEST_PAGE; i += 8, x = mix64(x))
		memcpy(block + i, &x, 8);
}

enum block_kind { BLOCK_EMPTY, BLOCK_RECORD, BLOCK_DAMAGED };

static enum block_kind record_decode(const unsigned char block[GUEST_PAGE], struct record *ret)
{
	unsigned char expected[GUEST_PAGE];
	static const unsigned char nothing[sizeof record_magic];

	if (memcmp(block, nothing, sizeof nothing) == 0)
		return BLOCK_EMPTY;
	memcpy(ret, block, sizeof *ret);
	if (memcmp(ret->magic, record_magic, sizeof record_magic) != 0 || ret->check != record_check(ret))
		return BLOCK_DAMAGED;
	record_encode(ret, expected);
	return memcmp(block, expected, GUEST_PAGE) == 0 ? BLOCK_RECORD : BLOCK_DAMAGED;
}

/* What cannot be read is damaged, too. */
static enum block_kind read_slot(struct disk *d, uint64_t slot, struct record *ret)
{
	if (pread(d->fd, d->buffer, GUEST_PAGE, (off_t)(slot * GUEST_PAGE)) != GUEST_PAGE)
		return BLOCK_DAMAGED;
	return record_decode(d->buffer, ret);
}

/* Buses are scanned behind the back of who loads their driver: a disk that was asked for by name may be late. */
static int open_disk(const char *path, int patience_ms)
{
	int fd;

	while ((fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC)) < 0 && patience_ms > 0) {
		sleep_ms(10);
		patience_ms -= 10;
	}
	return fd;
}

static void disk_init(struct disk *d, const char *path, int patience_ms)
{
	pthread_mutex_init(&d->lock, NULL);
	snprintf(d->path, sizeof d->path, "%s", path);
	d->fd = open_disk(path, patience_ms);
	if (d->fd < 0) {
		say(d->console, "GW disk=none path=%s errno=%d", path, errno);
		return;
	}
	d->buffer = aligned_alloc(GUEST_PAGE, GUEST_PAGE);
	for (uint64_t slot = 0; slot < SLOTS; slot++) {
		struct record r;
		enum block_kind kind = read_slot(d, slot, &r);

		if (kind == BLOCK_DAMAGED)
			d->errors++;
		else if (kind == BLOCK_RECORD && r.counter > d->base)
			d->base = r.counter;
	}
	d->counter = d->base;
	say(d->console, "GW disk=%s base=%llu errors=%llu", path, (unsigned long long)d->base,
		(unsigned long long)d->errors);
}

void disks_init(struct guest *g, uint64_t boot_id)
{
	const struct settings *s = &g->settings;
	char names[sizeof s->disks], *rest = names;

	strcpy(names, s->disks[0] ? s->disks : DEFAULT_DISK);
	while (g->n_disks < DISKS_MAX && rest) {
		struct disk *d = &g->disks[g->n_disks++];

		*d = (struct disk){.console = g->console, .boot_id = boot_id, .interval_ms = s->disk_ms};
		disk_init(d, strsep(&rest, ","), s->disks[0] ? NAMED_DISK_PATIENCE_MS : 0);
	}
}

bool disks_missing(const struct guest *g)
{
	for (size_t i = 0; i < g->n_disks; i++)
		if (g->disks[i].fd < 0)
			return true;
	return false;
}

static bool write_next(struct disk *d)
{
	struct record r = {.boot_id = d->boot_id,
		.counter = d->counter + 1,
		.monotonic_us = monotonic_us(),
		.wall_us = wall_us()};
	struct record back;
	uint64_t slot = r.counter % SLOTS;

	memcpy(r.magic, record_magic, sizeof r.magic);
	r.check = record_check(&r);
	record_encode(&r, d->buffer);
	if (pwrite(d->fd, d->buffer, GUEST_PAGE, (off_t)(slot * GUEST_PAGE)) != GUEST_PAGE)
		return false;
	memset(d->buffer, 0, GUEST_PAGE);
	if (read_slot(d, slot, &back) != BLOCK_RECORD || back.counter != r.counter)
		return false;
	d->counter = r.counter;
	return true;
}

static void *disk_run(void *argument)
{
	struct disk *d = argument;

	while (d->fd >= 0) {
		bool good;

		pthread_mutex_lock(&d->lock);
		good = d->frozen || write_next(d);
		if (!good)
			d->errors++;
		pthread_mutex_unlock(&d->lock);
		if (!good)
			say(d->console, "E disk counter=%llu errno=%d", (unsigned long long)d->counter + 1,
				errno);
		sleep_ms(d->interval_ms);
	}
	return NULL;
}

void disks_start(struct guest *g)
{
	for (size_t i = 0; i < g->n_disks; i++)
		start_thread(g, disk_run, &g->disks[i]);
}

uint64_t disks_freeze(struct guest *g, bool frozen)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < g->n_disks; i++) {
		struct disk *d = &g->disks[i];

		pthread_mutex_lock(&d->lock);
		d->frozen = frozen;
		sum += d->counter;
		pthread_mutex_unlock(&d->lock);
	}
	return sum;
}

struct tally {
	uint64_t memory, disk, damaged, missing, errors;
	bool good;
};

static void disk_check(struct disk *d, struct tally *t)
{
	uint64_t newest = 0, damaged = 0, missing = 0;

	pthread_mutex_lock(&d->lock);
	for (uint64_t slot = 0; slot < SLOTS; slot++) {
		/* the last number that belongs into this slot, if this boot wrote it */
		uint64_t due = d->counter - (d->counter - slot) % SLOTS;
		struct record r;
		enum block_kind kind = read_slot(d, slot, &r);

		if (kind == BLOCK_DAMAGED)
			damaged++;
		else if (kind == BLOCK_RECORD && r.boot_id == d->boot_id && r.counter > newest)
			newest = r.counter;
		if (due > d->base && due <= d->counter && (kind != BLOCK_RECORD || r.counter != due))
			missing++;
	}
	if (newest == 0)
		newest = d->base;
	if (newest != d->counter || damaged || missing || d->errors)
		t->good = false;
	t->memory += d->counter;
	t->disk += newest;
	t->damaged += damaged;
	t->missing += missing;
	t->errors += d->errors;
	pthread_mutex_unlock(&d->lock);
}

void disks_check(struct guest *g, struct verdict *ret)
{
	struct tally t = {.good = true};

	if (disks_missing(g)) {
		snprintf(ret->text, sizeof ret->text, "disk=none");
		return;
	}
	for (size_t i = 0; i < g->n_disks; i++)
		disk_check(&g->disks[i], &t);
	ret->good = t.good;
	snprintf(ret->text, sizeof ret->text,
		"disks=%zu memory=%llu disk=%llu damaged=%llu missing=%llu errors=%llu", g->n_disks,
		(unsigned long long)t.memory, (unsigned long long)t.disk, (unsigned long long)t.damaged,
		(unsigned long long)t.missing, (unsigned long long)t.errors);
}
