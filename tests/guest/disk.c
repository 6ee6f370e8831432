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

enum { SLOTS = 256 };

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

void disk_init(struct disk *d, const struct settings *s, uint64_t boot_id, int console)
{
	pthread_mutex_init(&d->lock, NULL);
	d->boot_id = boot_id;
	d->interval_ms = s->disk_ms;
	d->fd = open(s->disk, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (d->fd < 0) {
		say(console, "GW disk=none path=%s errno=%d", s->disk, errno);
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
	say(console, "GW disk=%s base=%llu errors=%llu", s->disk, (unsigned long long)d->base,
		(unsigned long long)d->errors);
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

void *disk_run(void *argument)
{
	struct guest *g = argument;
	struct disk *d = &g->disk;

	while (d->fd >= 0) {
		bool good;

		pthread_mutex_lock(&d->lock);
		good = write_next(d);
		if (!good)
			d->errors++;
		pthread_mutex_unlock(&d->lock);
		if (!good)
			say(g->console, "E disk counter=%llu errno=%d", (unsigned long long)d->counter + 1,
				errno);
		sleep_ms(d->interval_ms);
	}
	return NULL;
}

void disk_check(struct disk *d, struct verdict *ret)
{
	uint64_t newest = 0, damaged = 0, missing = 0;

	if (d->fd < 0) {
		ret->good = false;
		snprintf(ret->text, sizeof ret->text, "disk=none");
		return;
	}
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
	ret->good = newest == d->counter && damaged == 0 && missing == 0 && d->errors == 0;
	snprintf(ret->text, sizeof ret->text, "memory=%llu disk=%llu damaged=%llu missing=%llu errors=%llu",
		(unsigned long long)d->counter, (unsigned long long)newest, (unsigned long long)damaged,
		(unsigned long long)missing, (unsigned long long)d->errors);
	pthread_mutex_unlock(&d->lock);
}
