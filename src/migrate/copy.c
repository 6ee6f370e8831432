/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Mirrors of disks into another host's QEMU (copy.h). */
#include "copy.h"

#include "disk.h"
#include "log.h"

#define MIB (1ull << 20)

enum copy_state {
	COPY_ADDING,
	COPY_MIRRORING,
	COPY_READY,
	COPY_ENDING,
	COPY_CLEARING,
	COPY_GONE,
};

struct copy {
	struct copies *all;
	enum copy_state state;
	char *source; /* node here */
	char *job, *storage, *format;
	char *export;
	unsigned pending; /* replies that CLEARING waits for */
	uint64_t done, total;
};

struct copies {
	struct vm *vm;
	VEC(struct copy *) copies;
	copies_done_fn told;
	void *userdata;
	bool is_asking;
	struct error failure;
};

bool copy_is_asked(const struct migrate_options *o)
{
	return o->flags & (MIGRATE_NON_SHARED_DISK | MIGRATE_NON_SHARED_INC);
}

bool copy_includes(const struct migrate_options *o, const struct disk *disk)
{
	if (!copy_is_asked(o) || !disk->source)
		return false;
	if (o->disks.n > 0)
		return strv_contains(&o->disks, disk->target);
	return !disk->readonly && !disk->shareable;
}

char *copy_export_name(const struct disk *disk)
{
	return xasprintf("drive-%s", disk->info.alias);
}

/* ---- all of them ---- */

static void copy_free(struct copy *c)
{
	free(c->source);
	free(c->job);
	free(c->storage);
	free(c->format);
	free(c->export);
	free(c);
}

void copies_free(struct copies *c)
{
	if (!c)
		return;
	VEC_FOREACH (copy, &c->copies) {
		if (c->vm->qmp)
			qmp_forget(c->vm->qmp, copy);
		copy_free(copy);
	}
	if (c->vm->qmp)
		qmp_forget(c->vm->qmp, c);
	VEC_FREE(&c->copies);
	free(c);
}

/* `c` may be gone afterwards. */
static void tell(struct copies *c)
{
	copies_done_fn told = c->told;
	struct error err = c->failure;

	c->told = NULL;
	if (told)
		told(err.code != ERROR_NONE ? &err : NULL, c->userdata);
}

static bool all_are(const struct copies *c, enum copy_state state)
{
	VEC_FOREACH (copy, &c->copies)
		if (copy->state != state)
			return false;
	return true;
}

static void fail(struct copy *copy, const struct error *err)
{
	struct copies *c = copy->all;

	if (c->failure.code == ERROR_NONE) {
		c->failure = *err;
		error_prefix(&c->failure, "copy %s", copy->job + strlen("migrate-"));
	}
	if (copy->state < COPY_ENDING)
		tell(c);
}

static struct copy *copy_new(struct copies *c, const struct disk *disk)
{
	struct copy *copy = NEW(struct copy);

	*copy = (struct copy){.all = c,
		.source = xasprintf("libvirt-%u-format", disk->node),
		.job = xasprintf("migrate-%s", disk->target),
		.storage = xasprintf("migration-%s-storage", disk->target),
		.format = xasprintf("migration-%s-format", disk->target),
		.export = copy_export_name(disk)};
	VEC_ADD(&c->copies, copy);
	return copy;
}

/* ---- the beginning ---- */

static void add_replied(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	if (err)
		fail(userdata, err);
}

static void mirror_replied(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct copy *copy = userdata;

	if (err)
		fail(copy, err);
	else if (copy->state == COPY_ADDING)
		copy->state = COPY_MIRRORING;
}

/* One behind the other: when the first is refused, so are the rest, and the first refusal is what is told. */
static void begin(struct copy *copy, const struct migrate_options *o, const char *host, uint16_t port)
{
	struct qmp *q = copy->all->vm->qmp;
	bool sync_writes = o->flags & MIGRATE_NON_SHARED_SYNC_WRITES;
	char text[8];
	json *server, *mirror;

	snprintf(text, sizeof(text), "%u", port);
	server = json_pack("s:type", "inet", "s:host", host, "s:port", text, NULL);
	qmp_command(q, "blockdev-add",
		json_pack("s:driver", "nbd", "s:node-name", copy->storage, "s:export", copy->export,
			"o:server", server, NULL),
		-1, 0, add_replied, copy);
	qmp_command(q, "blockdev-add",
		json_pack("s:driver", "raw", "s:node-name", copy->format, "s:file", copy->storage, NULL), -1,
		0, add_replied, copy);
	mirror = json_pack("s:job-id", copy->job, "s:device", copy->source, "s:target", copy->format,
		"s:sync", o->flags & MIGRATE_NON_SHARED_INC ? "top" : "full", "s:copy-mode",
		sync_writes ? "write-blocking" : "background", "b:auto-dismiss", false, "u:speed",
		o->bandwidth_mib * MIB, NULL);
	qmp_command(q, "blockdev-mirror", mirror, -1, 0, mirror_replied, copy);
}

struct copies *copies_start(struct vm *vm, const struct migrate_options *o, const char *host, uint16_t port,
	copies_done_fn done, void *userdata)
{
	struct copies *c = NEW(struct copies);

	*c = (struct copies){.vm = vm, .told = done, .userdata = userdata};
	VEC_FOREACH (disk, &vm->live->disks)
		if (copy_includes(o, disk))
			begin(copy_new(c, disk), o, host, port);
	return c;
}

struct copies *copies_adopt(struct vm *vm)
{
	struct copies *c = NEW(struct copies);

	*c = (struct copies){.vm = vm};
	VEC_FOREACH (disk, &vm->live->disks)
		if (disk->source)
			copy_new(c, disk);
	return c;
}

bool copies_is_empty(const struct copies *c)
{
	return c->copies.n == 0;
}

/* ---- the end ---- */

static void cleared(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct copy *copy = userdata;

	/* What was never added cannot be taken away. */
	if (--copy->pending > 0)
		return;
	copy->state = COPY_GONE;
	if (all_are(copy->all, COPY_GONE))
		tell(copy->all);
}

static void clear(struct copy *copy)
{
	struct qmp *q = copy->all->vm->qmp;

	copy->state = COPY_CLEARING;
	copy->pending = 3;
	qmp_command(q, "job-dismiss", json_pack("s:id", copy->job, NULL), -1, 0, cleared, copy);
	qmp_command(q, "blockdev-del", json_pack("s:node-name", copy->format, NULL), -1, 0, cleared, copy);
	qmp_command(q, "blockdev-del", json_pack("s:node-name", copy->storage, NULL), -1, 0, cleared, copy);
}

static void take_conclusion(struct copy *copy, json *jobs)
{
	struct error err = ERROR_INIT;

	JSON_FOREACH (entry, jobs) {
		const char *why = json_get_string(entry, "error");

		if (streq(json_get_string(entry, "id"), copy->job) && why) {
			error_set(&err, ERROR_QEMU, "%s", why);
			fail(copy, &err);
			return;
		}
	}
	if (copy->state < COPY_ENDING) {
		error_set(&err, ERROR_QEMU, "QEMU ended it");
		fail(copy, &err);
	}
}

/* The list of jobs was asked for: this one is over. */
static void concluded(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct copy *copy = userdata;
	bool was_ending = copy->state == COPY_ENDING;

	if (copy->state >= COPY_CLEARING)
		return;
	if (!err)
		take_conclusion(copy, ret);
	if (was_ending)
		clear(copy);
}

void copies_hear(struct copies *c, const char *job, const char *status)
{
	VEC_FOREACH (copy, &c->copies) {
		if (!streq(copy->job, job))
			continue;
		if (streq(status, "concluded")) {
			qmp_command(c->vm->qmp, "query-jobs", NULL, -1, 0, concluded, copy);
		} else if (streq(status, "ready") && copy->state < COPY_READY) {
			copy->state = COPY_READY;
			if (all_are(c, COPY_READY))
				tell(c);
		}
		return;
	}
}

/* There is no such job (any more): its end was told before, or it never began. */
static void cancel_replied(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct copy *copy = userdata;

	if (err && copy->state == COPY_ENDING)
		clear(copy);
}

static void end(struct copies *c, bool force, copies_done_fn done, void *userdata)
{
	c->told = done;
	c->userdata = userdata;
	VEC_FOREACH (copy, &c->copies) {
		if (copy->state >= COPY_ENDING)
			continue;
		copy->state = COPY_ENDING;
		qmp_command(c->vm->qmp, "block-job-cancel",
			json_pack("s:device", copy->job, "b:force", force, NULL), -1, 0, cancel_replied,
			copy);
	}
}

void copies_finish(struct copies *c, copies_done_fn done, void *userdata)
{
	end(c, false, done, userdata);
}

struct drop {
	copies_done_fn done;
	void *userdata;
};

static void dropped(const struct error *err, void *userdata)
{
	struct drop d = *(struct drop *)userdata;

	free(userdata);
	d.done(NULL, d.userdata);
}

void copies_drop(struct copies *c, copies_done_fn done, void *userdata)
{
	struct drop *d = NEW(struct drop);

	*d = (struct drop){done, userdata};
	end(c, true, dropped, d);
}

/* ---- how far ---- */

static void progress_replied(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct copies *c = userdata;

	c->is_asking = false;
	JSON_FOREACH (entry, ret) {
		VEC_FOREACH (copy, &c->copies) {
			if (!streq(json_get_string(entry, "id"), copy->job))
				continue;
			copy->done = json_get_uint(entry, "current-progress", copy->done);
			copy->total = json_get_uint(entry, "total-progress", copy->total);
		}
	}
}

void copies_get_progress(struct copies *c, uint64_t *ret_done, uint64_t *ret_total)
{
	*ret_done = *ret_total = 0;
	VEC_FOREACH (copy, &c->copies) {
		*ret_done += copy->done;
		*ret_total += copy->total;
	}
	if (c->is_asking || !c->vm->qmp)
		return;
	c->is_asking = true;
	qmp_command(c->vm->qmp, "query-jobs", NULL, -1, 0, progress_replied, c);
}
