/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a destination learns from the source, and tells it (cookie.h). */
#include "clock.h"
#include "figures.h"
#include "migrations.h"
#include "target.h"

static void introduce(const struct vm *vm, struct cookie *c)
{
	c->name = xstrdup(vm->name);
	c->hostname = xstrdup(vm->registry->settings.hostname);
	memcpy(c->uuid, vm->uuid, 16);
	memcpy(c->host_uuid, vm->registry->settings.host_uuid, 16);
}

/* libvirt says nothing of a lock manager that keeps no state; godwit names every one. */
static int check_locks(struct registry *r, const struct cookie *c, struct error *err)
{
	enum lease_kind theirs = LEASE_KIND_NONE, ours = r->settings.leases.kind;

	if (!c->lock_driver)
		return 0;
	if (lease_kind_parse(c->lock_driver, &theirs) && theirs == ours)
		return 0;
	return error_set(err, ERROR_UNSUPPORTED_CONFIG,
		"the source has lock_manager \"%s\", and this host \"%s\": both must have the same",
		c->lock_driver, lease_kind_name(ours));
}

int target_take_cookie(struct registry *r, struct target_operation *t, const char *text, struct error *err)
{
	struct cookie c = {0};

	if (cookie_parse(text, text ? strlen(text) : 0, NULL, r->settings.host_uuid, COOKIE_ALL_MANDATORY, &c,
		    err) < 0)
		return error_prefix(err, "what the source says");
	if (check_locks(r, &c, err) < 0) {
		cookie_fini(&c);
		return -1;
	}
	if (c.has & COOKIE_CAPABILITIES)
		for (size_t i = 0; i < c.capabilities.n; i++)
			strv_add(&t->theirs, c.capabilities.items[i]);
	for (size_t i = 0; i < c.disks.n; i++)
		VEC_ADD(&t->capacities, c.disks.items[i]);
	VEC_FREE(&c.disks);
	t->lease_state = TAKE_PTR(c.lock_state);
	if (c.has & COOKIE_PERSISTENT && t->options.flags & MIGRATE_PERSIST_DEST)
		t->persistent_xml = TAKE_PTR(c.persistent_xml);
	if (c.has & COOKIE_HANDOVER)
		t->token = TAKE_PTR(c.token);
	cookie_fini(&c);
	return 0;
}

/* Of a clock: sums of such do not overflow. */
static bool is_time(uint64_t ms)
{
	return ms > 0 && ms < (uint64_t)1 << 48;
}

/* As libvirt does: times go from the source's clock to this one's, and what both and the way between them differ by is told as well. */
static void take_statistics(struct target_operation *t, const struct cookie_statistics *theirs)
{
	uint64_t now = clock_wall() / USEC_PER_MSEC;

	t->has_statistics = true;
	t->statistics = *theirs;
	if (!is_time(theirs->sent_ms))
		return;
	t->statistics.has_delta = true;
	t->statistics.delta_ms = (int64_t)now - (int64_t)theirs->sent_ms;
	if (is_time(theirs->started_ms) && now > theirs->started_ms)
		t->statistics.time_elapsed = now - theirs->started_ms;
}

/* Known when it runs here. Where the clocks cannot be compared at all, without the way. */
static struct cookie_statistics outcome(const struct target_operation *t)
{
	struct cookie_statistics s = t->statistics;
	int64_t still = (int64_t)t->ran_ms - (int64_t)s.stopped_ms;

	if (!t->ran_ms || !is_time(s.stopped_ms))
		return s;
	if (still < 0 && s.has_delta)
		still -= s.delta_ms;
	if (still >= 0) {
		s.has_downtime = true;
		s.downtime = (uint64_t)still;
	}
	return s;
}

void target_fill_info(const struct operation *op, struct vm_job_info *info)
{
	const struct target_operation *t = (const struct target_operation *)op;
	struct cookie_statistics s = outcome(t);

	if (t->has_statistics)
		statistics_figures(&s, info);
}

int target_take_report(struct target_operation *t, const char *text, struct error *err)
{
	struct vm *vm = t->start.op.vm;
	struct cookie c = {0};

	if (!text || !*text)
		return 0;
	if (cookie_parse(text, strlen(text), vm->uuid, NULL, COOKIE_ALL_MANDATORY, &c, err) < 0)
		return error_prefix(err, "migrate %s: what the source says", vm->name);
	/* A libvirt says it here for the first time. */
	if (c.has & COOKIE_PERSISTENT && t->options.flags & MIGRATE_PERSIST_DEST && !t->persistent_xml)
		t->persistent_xml = TAKE_PTR(c.persistent_xml);
	if (c.has & COOKIE_STATISTICS)
		take_statistics(t, &c.statistics);
	cookie_fini(&c);
	return 0;
}

/*
 * What the source may count on. A libvirt turns "switchover-ack" on by itself where both QEMUs have it, and waits for ever for an acknowledgement that
 * QEMU here sends only when it is on here, too.
 */
static void add_capabilities(struct cookie *c, const struct qemu_capabilities *caps)
{
	for (size_t i = 0; i < caps->migration_capabilities.n; i++)
		if (!streq(caps->migration_capabilities.items[i], "switchover-ack"))
			strv_add(&c->capabilities, caps->migration_capabilities.items[i]);
}

char *target_make_answer(struct target_operation *t)
{
	struct vm *vm = t->start.op.vm;
	const struct migrations_settings *settings =
		migrations_get_settings(vm->registry->settings.migrations);
	struct cookie c = {0};
	char *text;

	introduce(vm, &c);
	c.has |= COOKIE_CAPABILITIES;
	add_capabilities(&c, t->start.caps);
	if (t->nbd_port) {
		c.has |= COOKIE_NBD;
		c.nbd_port = t->nbd_port;
	}
	if (t->token) {
		c.has |= COOKIE_HANDOVER;
		c.token = xstrdup(t->token);
		c.handover_host = xstrdup(settings->migration_host ?: vm->registry->settings.hostname);
		c.handover_port = t->verdict_port;
		c.handover_place = xstrdup(verdict_get_place(vm->registry->settings.migrations));
	}
	text = cookie_format(&c);
	cookie_fini(&c);
	return text;
}

char *target_make_offline_answer(struct registry *r, const struct domain *d)
{
	struct cookie c = {0};
	char *text;

	c.name = xstrdup(d->name);
	c.hostname = xstrdup(r->settings.hostname);
	memcpy(c.uuid, d->uuid, 16);
	memcpy(c.host_uuid, r->settings.host_uuid, 16);
	text = cookie_format(&c);
	cookie_fini(&c);
	return text;
}

char *target_make_report(const struct vm *vm, const struct target_operation *t)
{
	struct cookie c = {0};
	char *text;

	introduce(vm, &c);
	if (t && t->has_statistics) {
		c.has |= COOKIE_STATISTICS;
		c.statistics = outcome(t);
	}
	text = cookie_format(&c);
	cookie_fini(&c);
	return text;
}
