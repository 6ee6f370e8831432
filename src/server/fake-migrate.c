/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Migration without QEMU and without another host. */
#include "fake-migrate.h"

#include <unistd.h>

#include "alloc.h"
#include "check.h"
#include "registry.h"

/* Test programs have one registry at a time, so this may stand here. */
static struct {
	sd_event *loop;
	char last[1024];
	struct error failure;
	int stream;
	unsigned gone;
	uint64_t limits[MIGRATE_LIMIT_XBZRLE_BYTES + 1];
} fake;

struct pending {
	struct vm *vm;
	migrate_done_fn done;
	vm_done_fn vm_done;
	migrate_limit_fn got;
	uint64_t value;
	void *userdata;
	sd_event_source *source;
};

void fake_migrate_init(sd_event *loop)
{
	memset(&fake, 0, sizeof(fake));
	fake.loop = loop;
	fake.stream = -1;
}

const char *fake_migrate_last(void)
{
	return fake.last;
}

void fake_migrate_fail(enum error_code code, const char *message)
{
	error_set(&fake.failure, code, "%s", message);
}

int fake_migrate_take_stream(void)
{
	return take_fd(&fake.stream);
}

unsigned fake_migrate_count_gone(void)
{
	return fake.gone;
}

static int answer(sd_event_source *s, void *userdata)
{
	static const struct migrate_reply reply = {"<cookie/>", "<domain/>", "tcp:b:49152"};
	struct pending *p = userdata;
	bool failed = fake.failure.code != ERROR_NONE;
	const struct error *err = failed ? &fake.failure : NULL;

	if (p->done)
		p->done(p->vm, failed ? NULL : &reply, err, p->userdata);
	else if (p->got)
		p->got(p->vm, p->value, err, p->userdata);
	else
		p->vm_done(p->vm, err, p->userdata);
	sd_event_source_unref(p->source);
	free(p);
	return 0;
}

static int later(const struct pending *what)
{
	struct pending *p = xmemdup(what, sizeof(*what));

	if (sd_event_add_defer(fake.loop, &p->source, answer, p) < 0)
		abort();
	return 0;
}

static const char *text(const char *s)
{
	return s ? s : "-";
}

static void note(const char *phase, const char *vm, const struct migrate_options *o, const char *cookie,
	const char *peer, bool cancelled)
{
	snprintf(fake.last, sizeof(fake.last),
		"%s %s flags=%u cookie=%s uri=%s xml=%s name=%s bandwidth=%llu peer=%s cancelled=%d", phase,
		vm, o->flags, text(cookie), text(o->uri), text(o->xml), text(o->name),
		(unsigned long long)o->bandwidth_mib, text(peer), cancelled);
}

int migrate_begin(struct vm *vm, const struct migrate_options *o, const void *client, migrate_done_fn done,
	void *userdata, struct error *err)
{
	note("begin", vm_get_name(vm), o, NULL, NULL, false);
	return later(&(struct pending){.vm = vm, .done = done, .userdata = userdata});
}

int migrate_prepare(struct registry *r, const struct migrate_options *o, const char *cookie, int stream_fd,
	const void *client, migrate_done_fn done, void *userdata, struct error *err)
{
	note("prepare", "-", o, cookie, NULL, false);
	fake.stream = stream_fd;
	return later(&(struct pending){.done = done, .userdata = userdata});
}

int migrate_perform(struct vm *vm, const struct migrate_options *o, const char *cookie, const void *client,
	migrate_done_fn done, void *userdata, struct error *err)
{
	note("perform", vm_get_name(vm), o, cookie, NULL, false);
	return later(&(struct pending){.vm = vm, .done = done, .userdata = userdata});
}

int migrate_to_peer(struct vm *vm, const char *uri, const struct migrate_options *o, migrate_done_fn done,
	void *userdata, struct error *err)
{
	note("to-peer", vm_get_name(vm), o, NULL, uri, false);
	return later(&(struct pending){.vm = vm, .done = done, .userdata = userdata});
}

int migrate_finish(struct registry *r, const char *name, const struct migrate_options *o, const char *cookie,
	bool cancelled, migrate_done_fn done, void *userdata, struct error *err)
{
	note("finish", name, o, cookie, NULL, cancelled);
	return later(&(struct pending){
		.vm = registry_find_by_name(r, "guest"), .done = done, .userdata = userdata});
}

int migrate_confirm(struct vm *vm, const struct migrate_options *o, const char *cookie, bool cancelled,
	migrate_done_fn done, void *userdata, struct error *err)
{
	note("confirm", vm_get_name(vm), o, cookie, NULL, cancelled);
	return later(&(struct pending){.vm = vm, .done = done, .userdata = userdata});
}

void migrate_client_gone(struct registry *r, const void *client)
{
	fake.gone++;
}

int migrate_start_postcopy(struct vm *vm, vm_done_fn done, void *userdata, struct error *err)
{
	snprintf(fake.last, sizeof(fake.last), "start-postcopy %s", vm_get_name(vm));
	return later(&(struct pending){.vm = vm, .vm_done = done, .userdata = userdata});
}

int migrate_resolve_here(struct vm *vm, vm_done_fn done, void *userdata, struct error *err)
{
	snprintf(fake.last, sizeof(fake.last), "resolve-here %s", vm_get_name(vm));
	return later(&(struct pending){.vm = vm, .vm_done = done, .userdata = userdata});
}

int migrate_pause_postcopy(struct vm *vm, struct error *err)
{
	return error_set(err, ERROR_OPERATION_INVALID, "%s is not in post-copy", vm_get_name(vm));
}

int migrate_set_limit(struct vm *vm, enum migrate_limit limit, uint64_t value, vm_done_fn done,
	void *userdata, struct error *err)
{
	fake.limits[limit] = value;
	return later(&(struct pending){.vm = vm, .vm_done = done, .userdata = userdata});
}

int migrate_get_limit(
	struct vm *vm, enum migrate_limit limit, migrate_limit_fn done, void *userdata, struct error *err)
{
	return later(
		&(struct pending){.vm = vm, .got = done, .value = fake.limits[limit], .userdata = userdata});
}

/* ---- the check before ---- */

struct pending_check {
	migrate_check_fn done;
	void *userdata;
	sd_event_source *source;
};

static int answer_check(sd_event_source *s, void *userdata)
{
	struct pending_check *p = userdata;

	p->done("[]", NULL, p->userdata);
	sd_event_source_disable_unref(p->source);
	free(p);
	return 0;
}

static int start_check(migrate_check_fn done, void *userdata)
{
	struct pending_check *p = NEW(struct pending_check);

	*p = (struct pending_check){.done = done, .userdata = userdata};
	if (sd_event_add_defer(fake.loop, &p->source, answer_check, p) < 0)
		abort();
	return 0;
}

int migrate_check(struct vm *vm, const char *uri, const struct migrate_options *o, migrate_check_fn done,
	void *userdata, struct error *err)
{
	snprintf(fake.last, sizeof(fake.last), "check %s %s flags=%x", vm_get_name(vm), uri, o->flags);
	return start_check(done, userdata);
}

int migrate_compare(
	struct registry *r, const char *description, migrate_check_fn done, void *userdata, struct error *err)
{
	snprintf(fake.last, sizeof(fake.last), "compare %s", description);
	return start_check(done, userdata);
}
