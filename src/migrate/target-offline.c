/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A VM that is off comes here: nothing moves but its definition, and there is no job. Between prepare and finish, which brings nothing along, the definition is
 * kept here; a daemon that dies in between knows nothing of it, and finish fails.
 */
#include "disk.h"
#include "migrate-place.h"
#include "migrations.h"
#include "target.h"

struct offline {
	char *name, *xml;
	const void *client;
};

static void offline_free(struct migrations *m, size_t i)
{
	struct offline *o = m->offline.items[i];

	VEC_REMOVE(&m->offline, i);
	free(o->name);
	free(o->xml);
	free(o);
}

/* The last one that came under this name counts. */
static void keep(struct migrations *m, const struct domain *d, const void *client)
{
	struct offline *o = NEW(struct offline);

	target_forget_offline(m, d->name);
	*o = (struct offline){.name = xstrdup(d->name),
		.xml = domain_format(d, DOMAIN_FORMAT_SECURE | DOMAIN_FORMAT_INACTIVE),
		.client = client};
	VEC_ADD(&m->offline, o);
}

void target_forget_offline(struct migrations *m, const char *name)
{
	for (size_t i = m->offline.n; i-- > 0;)
		if (!name || streq(m->offline.items[i]->name, name))
			offline_free(m, i);
	if (!name)
		VEC_FREE(&m->offline);
}

void target_offline_client_gone(struct migrations *m, const void *client)
{
	for (size_t i = m->offline.n; i-- > 0;)
		if (m->offline.items[i]->client == client)
			offline_free(m, i);
}

int target_check_source(struct registry *r, const struct domain *d, const char *cookie, struct error *err)
{
	struct cookie c = {0};

	if (cookie_parse(cookie, cookie ? strlen(cookie) : 0, d->uuid, r->settings.host_uuid,
		    COOKIE_ALL_MANDATORY, &c, err) < 0)
		return error_prefix(err, "what the source says");
	cookie_fini(&c);
	return 0;
}

int target_prepare_offline(struct registry *r, const struct domain *d, const char *cookie, const void *client,
	migrate_done_fn done, void *userdata, struct error *err)
{
	const struct migrations_settings *settings = migrations_get_settings(r->settings.migrations);
	_cleanup_free_ char *host = migrate_bracket(settings->migration_host ?: r->settings.hostname);
	_cleanup_free_ char *answer = NULL, *uri = xasprintf("tcp:%s:%u", host, settings->port_min);
	struct vm *same = registry_find_by_uuid(r, d->uuid);

	if (target_check_source(r, d, cookie, err) < 0 ||
		registry_check_free(r, d, same && streq(same->name, d->name) ? same : NULL, err) < 0)
		return -1;
	keep(r->settings.migrations, d, client);
	answer = target_make_offline_answer(r, d);
	/* Nothing listens there; but clients give up where they are told of no place. */
	phase_answer_later(r, done, userdata, same, &(struct migrate_reply){.cookie = answer, .uri = uri});
	return 0;
}

static void defined(struct vm *vm, const struct error *err, void *userdata)
{
	struct phase_waiter waiter = *(struct phase_waiter *)userdata;

	free(userdata);
	phase_answer(&waiter, err ? NULL : vm, NULL, err);
}

int target_finish_offline(
	struct registry *r, const char *name, migrate_done_fn done, void *userdata, struct error *err)
{
	struct migrations *m = r->settings.migrations;
	struct phase_waiter *waiter;
	int result;

	for (size_t i = 0; i < m->offline.n; i++) {
		if (!streq(m->offline.items[i]->name, name))
			continue;
		waiter = NEW(struct phase_waiter);
		*waiter = (struct phase_waiter){done, userdata};
		result = registry_define(r, m->offline.items[i]->xml, false, defined, waiter, err);
		if (result < 0)
			free(waiter);
		offline_free(m, i);
		return result;
	}
	return error_set(err, ERROR_NO_DOMAIN, "no domain with matching name '%s'", name);
}
