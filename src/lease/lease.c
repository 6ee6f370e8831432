/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is the same for all lock managers: planning, and the children that do what may block. */
#include "lease.h"

#include <signal.h>

#include "fault.h"
#include "json.h"
#include "lease-driver.h"
#include "process.h"
#include "strv.h"

static const char *const kind_names[] = {
	[LEASE_KIND_NONE] = "none",
	[LEASE_KIND_LOCKD] = "lockd",
	[LEASE_KIND_SANLOCK] = "sanlock",
};
_Static_assert(ARRAY_SIZE(kind_names) == LEASE_KIND_MAX_, "a kind without a name");

bool lease_kind_parse(const char *name, enum lease_kind *ret)
{
	enum lease_kind kind = LEASE_KIND_NONE;

	if (streq(name, "nop"))
		name = kind_names[LEASE_KIND_NONE];
	while (kind < LEASE_KIND_MAX_ && !streq(kind_names[kind], name))
		kind++;
	if (kind == LEASE_KIND_MAX_ || (kind == LEASE_KIND_SANLOCK && !lease_driver_sanlock))
		return false;
	*ret = kind;
	return true;
}

const char *lease_kind_name(enum lease_kind kind)
{
	return kind_names[kind];
}

/* NULL: no lock manager. */
static const struct lease_driver *find_driver(const struct lease_settings *s)
{
	static const struct lease_driver *const *const drivers[] = {
		[LEASE_KIND_LOCKD] = &lease_driver_lockd,
		[LEASE_KIND_SANLOCK] = &lease_driver_sanlock,
		[LEASE_KIND_MAX_] = NULL,
	};

	return drivers[s->kind] ? *drivers[s->kind] : NULL;
}

/* ---- planning ---- */

struct lease_set *lease_set_new(const struct lease_settings *s)
{
	struct lease_set *set = NEW(struct lease_set);

	set->settings = s;
	set->fd = -1;
	return set;
}

static void item_fini(struct lease_item *item)
{
	free(item->what);
	free(item->file);
	free(item->lockspace);
	free(item->resource);
	close_p(&item->fd);
}

void lease_set_free(struct lease_set *set)
{
	if (!set)
		return;
	for (size_t i = 0; i < set->items.n; i++)
		item_fini(&set->items.items[i]);
	VEC_FREE(&set->items);
	VEC_FREE(&set->holders);
	close_p(&set->fd);
	free(set->vm_name);
	free(set);
}

static struct lease_item *add_item(struct lease_set *set, char *what, bool is_shared)
{
	VEC_ADD(&set->items, ((struct lease_item){.what = what, .is_shared = is_shared, .fd = -1}));
	return &set->items.items[set->items.n - 1];
}

/* One lease is enough for a disk that is there twice, both times to be shared; otherwise it would be in its own way. */
static int join_repeated(const struct domain *d, struct lease_set *set, struct error *err)
{
	struct lease_item *last = &set->items.items[set->items.n - 1];

	for (size_t i = 0; i + 1 < set->items.n; i++) {
		if (!streq(set->items.items[i].file, last->file))
			continue;
		if (!set->items.items[i].is_shared || !last->is_shared)
			return error_set(err, ERROR_UNSUPPORTED_CONFIG,
				"domain '%s' has %s twice, not <shareable/>", d->name, last->what);
		item_fini(last);
		set->items.n--;
		break;
	}
	return 0;
}

/* Disks that nobody writes need nothing; those whose owner said "shared" exclude only those who do not. */
static int plan_disks(
	const struct lease_driver *driver, const struct domain *d, struct lease_set *set, struct error *err)
{
	const struct lease_settings *s = set->settings;

	VEC_FOREACH (disk, &d->disks) {
		if (!disk->source || disk->readonly)
			continue;
		if (s->auto_disk_leases) {
			struct lease_item *item =
				add_item(set, xasprintf("disk %s", disk->source), disk->shareable);

			if (driver->plan_disk(s, disk->source, item, err) < 0 ||
				join_repeated(d, set, err) < 0)
				return -1;
		} else if (s->require_lease_for_disks && !disk->shareable && d->leases.n == 0) {
			return error_set(err, ERROR_UNSUPPORTED_CONFIG,
				"domain '%s' writes to disk %s and has no <lease> (require_lease_for_disks)",
				d->name, disk->source);
		}
	}
	return 0;
}

int lease_plan(
	const struct lease_settings *s, const struct domain *d, struct lease_set **ret, struct error *err)
{
	const struct lease_driver *driver = find_driver(s);
	_cleanup_(lease_set_free_p) struct lease_set *set = lease_set_new(s);

	set->vm_name = xstrdup(d->name);
	memcpy(set->uuid, d->uuid, sizeof(set->uuid));
	set->on_lost = d->on_lockfailure;
	if (!driver) {
		if (d->leases.n > 0)
			return error_set(err, ERROR_UNSUPPORTED_CONFIG,
				"domain '%s' has a <lease>, but there is no lock_manager in godwit.conf",
				d->name);
		*ret = TAKE_PTR(set);
		return 0;
	}
	if (plan_disks(driver, d, set, err) < 0)
		return -1;
	VEC_FOREACH (e, &d->leases) {
		struct lease_item *item =
			add_item(set, xasprintf("lease '%s' of lockspace '%s'", e->key, e->lockspace), false);

		if (driver->plan_element(s, e, item, err) < 0)
			return -1;
	}
	if (driver->check && driver->check(set, err) < 0)
		return -1;
	*ret = TAKE_PTR(set);
	return 0;
}

/* ---- in a child ---- */

int lease_take_here(struct lease_set *set, bool hold, struct error *err)
{
	const struct lease_driver *driver = find_driver(set->settings);

	if (set->items.n == 0)
		return 0;
	if (driver->prepare(set, err) < 0 || (hold && driver->acquire(set, 0, NULL, err) < 0))
		return -1;
	fault_point("lease-taken");
	return 0;
}

struct lease_request {
	const struct lease_set *set; /* until the child is made */
	enum lease_operation operation;
	pid_t pid;
	const char *state;
	struct process *process;
	lease_done_fn done;
	void *userdata;
};

static int do_operation(const struct lease_request *r, size_t *n_held, struct buf *state, struct error *err)
{
	const struct lease_driver *driver = find_driver(r->set->settings);
	struct lease_set *set = (struct lease_set *)r->set; /* this process's own copy */

	if (!driver)
		return 0; /* nothing to hold */
	switch (r->operation) {
	case LEASE_JOIN:
		return driver->join ? driver->join(set->settings, err) : 0;
	case LEASE_WATCH:
		return driver->watch(set, err);
	case LEASE_INQUIRE:
		return driver->inquire(set, r->pid, n_held, state, err);
	case LEASE_RELEASE:
		return driver->release(set, r->pid, state, err);
	case LEASE_ACQUIRE:
		return driver->acquire(set, r->pid, r->state, err);
	}
	return -1;
}

static int work(struct buf *result, void *userdata, struct error *err)
{
	_cleanup_(buf_fini) struct buf state = {0};
	size_t n_held = 0;

	if (do_operation(userdata, &n_held, &state, err) < 0)
		return -1;
	_cleanup_json_ json *o =
		json_pack("u:n_held", (uint64_t)n_held, "s:state", state.data ? state.data : "", NULL);
	_cleanup_free_ char *text = json_format(o);

	buf_adds(result, text);
	return 0;
}

/* ---- in the daemon ---- */

static void worked(struct process *p, const struct error *err, const char *result, size_t len, void *userdata)
{
	static const char *const doing[] = {
		[LEASE_JOIN] = "join the lockspace",
		[LEASE_INQUIRE] = "ask for leases",
		[LEASE_RELEASE] = "give leases back",
		[LEASE_ACQUIRE] = "take leases",
		[LEASE_WATCH] = "watch over leases",
	};
	struct lease_request *r = userdata;
	_cleanup_json_ json *o = NULL;
	struct lease_answer answer = {.state = ""};
	struct error failure = ERROR_INIT;

	if (err) {
		failure = *err;
		error_prefix(&failure, "%s", doing[r->operation]);
		err = &failure;
	} else if (json_parse(result ? result : "", len, &o, &failure) < 0) {
		err = &failure;
	} else {
		answer.n_held = (size_t)json_get_uint(o, "n_held", 0);
		answer.state = json_get_string(o, "state");
	}
	r->done(&answer, err, r->userdata);
}

/* `worked` has told, or will not. */
static void ended(struct process *p, int status, void *userdata)
{
}

int lease_request_start(sd_event *loop, const struct lease_set *set, enum lease_operation operation,
	pid_t pid, const char *state, lease_done_fn done, void *userdata, struct lease_request **ret,
	struct error *err)
{
	struct lease_request *r = NEW(struct lease_request);
	struct process_options options = {
		.stdin_fd = -1,
		.stdout_fd = -1,
		.stderr_fd = -1,
		.dies_with_daemon = true,
		.work = work,
		.work_userdata = r,
		.worked = worked,
	};

	*r = (struct lease_request){.set = set,
		.operation = operation,
		.pid = pid,
		.state = state,
		.done = done,
		.userdata = userdata};
	if (process_start(loop, &options, ended, r, &r->process, err) < 0) {
		free(r);
		return -1;
	}
	r->set = NULL;
	r->state = NULL;
	*ret = r;
	return 0;
}

void lease_request_free(struct lease_request *r)
{
	if (!r)
		return;
	process_kill(r->process, SIGKILL);
	process_free(r->process);
	free(r);
}
