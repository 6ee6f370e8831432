/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a source tells the destination, and what it learns from it (cookie.h). */
#include "clock.h"
#include "disk.h"
#include "log.h"
#include "source.h"

static const char *or_null(const char *text)
{
	return text && *text ? text : NULL;
}

static void introduce(const struct vm *vm, struct cookie *c)
{
	c->name = xstrdup(vm->name);
	c->hostname = xstrdup(vm->registry->settings.hostname);
	memcpy(c->uuid, vm->uuid, 16);
	memcpy(c->host_uuid, vm->registry->settings.host_uuid, 16);
}

/* libvirt's name for no lock manager; it says nothing of it then. */
static void add_locks(struct source_operation *s, struct cookie *c)
{
	struct vm *vm = s->op.vm;

	c->has |= COOKIE_LOCKSTATE;
	c->mandatory |= COOKIE_LOCKSTATE;
	if (!vm->live || vm->lease_kind == LEASE_KIND_NONE)
		return;
	c->lock_driver = xstrdup(lease_kind_name(vm->lease_kind));
	c->lock_state = xstrdup(or_null(s->lease_state));
}

static int add_persistent(struct source_operation *s, struct cookie *c, struct error *err)
{
	struct vm *vm = s->op.vm;
	_cleanup_domain_ struct domain *d = NULL;
	unsigned flags = DOMAIN_FORMAT_SECURE | DOMAIN_FORMAT_INACTIVE | DOMAIN_FORMAT_MIGRATABLE;
	const char *given = s->options.persistent_xml;

	if (!(s->options.flags & MIGRATE_PERSIST_DEST))
		return 0;
	if (given) {
		if (domain_parse(given, strlen(given), 0, &d, err) < 0)
			return error_prefix(err, "the persistent definition for the destination");
		if (d->has_uuid && memcmp(d->uuid, vm->uuid, 16) != 0)
			return error_set(err, ERROR_INVALID_ARGUMENT,
				"the persistent definition for the destination is of another domain than "
				"'%s'",
				vm->name);
		memcpy(d->uuid, vm->uuid, 16);
		d->has_uuid = true;
	}
	c->has |= COOKIE_PERSISTENT;
	c->persistent_xml = domain_format(d ? d : vm->persistent ? vm->persistent : vm->live, flags);
	return 0;
}

static void add_capabilities(struct source_operation *s, struct cookie *c)
{
	const struct qemu_capabilities *caps =
		capability_cache_get(s->op.vm->registry->capabilities, s->op.vm->live->emulator);

	c->has |= COOKIE_CAPABILITIES;
	for (size_t i = 0; caps && i < caps->migration_capabilities.n; i++)
		strv_add(&c->capabilities, caps->migration_capabilities.items[i]);
	strv_add(&c->auto_capabilities, "pause-before-switchover");
}

static uint64_t find_capacity(json *nodes, const struct disk *disk)
{
	_cleanup_free_ char *name = xasprintf("libvirt-%u-format", disk->node);

	JSON_FOREACH (node, nodes)
		if (streq(json_get_string(node, "node-name"), name))
			return json_get_uint(json_get(node, "image"), "virtual-size", 0);
	return 0;
}

static void add_disks(struct source_operation *s, struct cookie *c)
{
	if (!copy_is_asked(&s->options))
		return;
	c->has |= COOKIE_NBD;
	VEC_FOREACH (disk, &s->op.vm->live->disks) {
		struct cookie_disk d = {.capacity = find_capacity(s->block_nodes, disk)};

		if (!copy_includes(&s->options, disk))
			continue;
		d.target = xstrdup(disk->target);
		VEC_ADD(&c->disks, d);
	}
}

static int make_document(struct source_operation *s, char **ret, struct error *err)
{
	unsigned flags = DOMAIN_FORMAT_SECURE | DOMAIN_FORMAT_MIGRATABLE;
	struct vm *vm = s->op.vm;
	const struct domain *here = vm->live ? vm->live : vm->persistent;
	_cleanup_domain_ struct domain *d = NULL;
	const char *given = s->options.xml;

	if (!vm->live)
		flags |= DOMAIN_FORMAT_INACTIVE;
	if (given) {
		if (domain_parse(given, strlen(given), vm->live ? DOMAIN_PARSE_LIVE : 0, &d, err) < 0 ||
			domain_check_abi_stable(here, d, err) < 0)
			return error_prefix(err, "the definition for the destination");
		memcpy(d->uuid, vm->uuid, 16);
		d->has_uuid = true;
		domain_keep_given_chains(here, d);
	}
	*ret = domain_format(d ? d : here, flags);
	return 0;
}

int source_make_offer(struct source_operation *s, char **ret_cookie, char **ret_xml, struct error *err)
{
	_cleanup_free_ char *xml = NULL;
	struct cookie c = {0};
	int r = -1;

	introduce(s->op.vm, &c);
	add_locks(s, &c);
	if (s->op.vm->live) {
		add_capabilities(s, &c);
		add_disks(s, &c);
	}
	if (s->token) {
		c.has |= COOKIE_HANDOVER;
		c.token = xstrdup(s->token);
	}
	if (add_persistent(s, &c, err) == 0 && make_document(s, &xml, err) == 0) {
		*ret_cookie = cookie_format(&c);
		*ret_xml = TAKE_PTR(xml);
		r = 0;
	}
	cookie_fini(&c);
	return r;
}

int source_take_cookie(struct source_operation *s, const char *text, struct error *err)
{
	struct vm *vm = s->op.vm;
	struct cookie c = {0};

	if (cookie_parse(text, text ? strlen(text) : 0, vm->uuid, vm->registry->settings.host_uuid,
		    COOKIE_GRAPHICS | COOKIE_CAPABILITIES | COOKIE_NBD | COOKIE_BITMAPS, &c, err) < 0)
		return error_prefix(err, "what the destination says");
	strv_fini(&s->theirs);
	if (c.has & COOKIE_CAPABILITIES)
		for (size_t i = 0; i < c.capabilities.n; i++)
			strv_add(&s->theirs, c.capabilities.items[i]);
	replace_string(&s->their_host, c.hostname);
	s->their_port = 0;
	if (c.has & COOKIE_HANDOVER && c.handover_port && streq(c.token, s->token)) {
		replace_string(&s->their_host, c.handover_host);
		s->their_port = c.handover_port;
		replace_string(&s->their_place, c.handover_place);
	}
	s->nbd_port = c.nbd_port;
	replace_string(&s->nbd_host, c.hostname);
	cookie_fini(&c);
	return 0;
}

static void add_statistics(struct source_operation *s, struct cookie_statistics *t)
{
	json *ram = json_get(s->progress, "ram");

	t->sent_ms = clock_wall() / USEC_PER_MSEC;
	t->stopped_ms = s->stopped_ms;
	t->time_elapsed = (clock_now() - s->op.started) / USEC_PER_MSEC;
	t->started_ms = t->sent_ms - t->time_elapsed;
	t->has_downtime = json_get(s->progress, "downtime") != NULL;
	t->downtime = json_get_uint(s->progress, "downtime", 0);
	t->setup_time = json_get_uint(s->progress, "setup-time", 0);
	t->memory_total = json_get_uint(ram, "total", 0);
	t->memory_processed = json_get_uint(ram, "transferred", 0);
	t->memory_remaining = json_get_uint(ram, "remaining", 0);
	t->memory_constant = json_get_uint(ram, "duplicate", 0);
	t->memory_normal = json_get_uint(ram, "normal", 0);
	t->memory_normal_bytes = json_get_uint(ram, "normal-bytes", 0);
	t->memory_dirty_rate = json_get_uint(ram, "dirty-pages-rate", 0);
	t->memory_iteration = json_get_uint(ram, "dirty-sync-count", 0);
	t->memory_postcopy_requests = json_get_uint(ram, "postcopy-requests", 0);
	t->memory_page_size = json_get_uint(ram, "page-size", 0);
}

void source_take_outcome(struct source_operation *s, const char *text)
{
	struct error err = ERROR_INIT;
	struct cookie c = {0};

	if (cookie_parse(text, text ? strlen(text) : 0, s->op.vm->uuid, NULL, 0, &c, &err) < 0)
		log_write(LOG_LEVEL_WARNING, s->op.vm->name, NULL, "what the destination says at the end: %s",
			err.message);
	if (c.has & COOKIE_STATISTICS)
		s->outcome = c.statistics;
	cookie_fini(&c);
}

char *source_make_report(struct source_operation *s)
{
	struct cookie c = {0};
	char *text;

	introduce(s->op.vm, &c);
	c.has |= COOKIE_STATISTICS;
	add_statistics(s, &c.statistics);
	/* It was sound when it was offered. */
	if (add_persistent(s, &c, NULL) == 0 && c.has & COOKIE_PERSISTENT)
		c.mandatory |= COOKIE_PERSISTENT;
	text = cookie_format(&c);
	cookie_fini(&c);
	return text;
}
