/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is the same for all lock managers: planning, and the children that do what may block. */
#include "lease.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>

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

static bool same_place(const struct lease_item *a, const struct lease_item *b)
{
	return a->offset == b->offset && streq(a->file, b->file) && streq(a->lockspace, b->lockspace) &&
	       streq(a->resource, b->resource);
}

bool lease_set_overlaps(const struct lease_set *a, const struct lease_set *b)
{
	for (size_t i = 0; i < a->items.n; i++)
		for (size_t k = 0; k < b->items.n; k++)
			if (same_place(&a->items.items[i], &b->items.items[k]))
				return true;
	return false;
}

static bool same_item(const struct lease_item *a, const struct lease_item *b)
{
	return a->is_shared == b->is_shared && same_place(a, b);
}

static size_t count_same(const struct lease_set *set, const struct lease_item *item)
{
	size_t n = 0;

	for (size_t i = 0; i < set->items.n; i++)
		n += same_item(&set->items.items[i], item);
	return n;
}

struct lease_set *lease_set_subtract(const struct lease_set *a, const struct lease_set *b)
{
	struct lease_set *rest = lease_set_new(a->settings);

	rest->vm_name = xstrdup(a->vm_name);
	memcpy(rest->uuid, a->uuid, sizeof(rest->uuid));
	rest->on_lost = a->on_lost;
	for (size_t i = 0; i < a->items.n; i++) {
		const struct lease_item *item = &a->items.items[i];

		/* As often as it is there more often: a disk that is there twice and not to be shared is in two items. */
		if (count_same(b, item) + count_same(rest, item) >= count_same(a, item))
			continue;
		VEC_ADD(&rest->items, ((struct lease_item){.what = xstrdup(item->what),
					      .is_shared = item->is_shared,
					      .file = xstrdup(item->file),
					      .offset = item->offset,
					      .is_own = item->is_own,
					      .lockspace = xstrdup(item->lockspace),
					      .resource = xstrdup(item->resource),
					      .fd = -1}));
	}
	return rest;
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
	int sockets[2]; /* ADD: what carries the lease comes from the child by these; else -1 */
	struct process *process;
	lease_done_fn done;
	void *userdata;
};

/* Once it is sent the kernel keeps it, and so the lease, until it is received or the daemon has ended. */
static int send_descriptor(int socket, int fd, struct error *err)
{
	char byte = 0;
	struct iovec data = {.iov_base = &byte, .iov_len = 1};
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct msghdr msg = {.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space)};

	*CMSG_FIRSTHDR(&msg) = (struct cmsghdr){
		.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
	memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), &fd, sizeof(int));
	if (sendmsg(socket, &msg, MSG_NOSIGNAL) != 1)
		return error_errno(err, errno, "pass on the lease");
	return 0;
}

/* -1: none was sent. */
static int receive_descriptor(int socket)
{
	char byte;
	struct iovec data = {.iov_base = &byte, .iov_len = 1};
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct msghdr msg = {.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space)};
	const struct cmsghdr *header;
	int fd = -1;

	if (recvmsg(socket, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != 1)
		return -1;
	header = CMSG_FIRSTHDR(&msg);
	if (header && header->cmsg_type == SCM_RIGHTS && header->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&fd, CMSG_DATA(header), sizeof(int));
	return fd;
}

static int add(const struct lease_driver *driver, const struct lease_request *r, struct lease_set *set,
	struct error *err)
{
	assert(set->items.n == 1);
	if (driver->add(set, r->pid, err) < 0)
		return -1;
	fault_point("lease-added");
	return set->items.items[0].fd < 0 ? 0 : send_descriptor(r->sockets[1], set->items.items[0].fd, err);
}

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
	case LEASE_ADD:
		return add(driver, r, set, err);
	case LEASE_REMOVE:
		assert(set->items.n == 1);
		return driver->remove(set, r->pid, err);
	}
	return -1;
}

static int work(struct buf *result, void *userdata, struct error *err)
{
	const struct lease_request *r = userdata;
	_cleanup_(buf_fini) struct buf state = {0};
	size_t n_held = 0;

	if (do_operation(r, &n_held, &state, err) < 0)
		return -1;
	_cleanup_json_ json *o =
		json_pack("u:n_held", (uint64_t)n_held, "s:state", state.data ? state.data : "", "b:sent",
			r->operation == LEASE_ADD && r->set->items.items[0].fd >= 0, NULL);
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
		[LEASE_ADD] = "take a lease",
		[LEASE_REMOVE] = "give a lease back",
		[LEASE_WATCH] = "watch over leases",
	};
	struct lease_request *r = userdata;
	_cleanup_json_ json *o = NULL;
	_cleanup_close_ int fd = r->sockets[0] < 0 ? -1 : receive_descriptor(r->sockets[0]);
	struct lease_answer answer = {.state = "", .fd = fd};
	struct error failure = ERROR_INIT;

	if (err) {
		failure = *err;
		if (failure.code != ERROR_IN_USE) /* which says all there is to say */
			error_prefix(&failure, "%s", doing[r->operation]);
		err = &failure;
	} else if (json_parse(result ? result : "", len, &o, &failure) < 0) {
		err = &failure;
	} else if (json_get_bool(o, "sent", false) && fd < 0) {
		error_set(&failure, ERROR_OPERATION_FAILED, "the lease was lost on its way to the daemon");
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
		.sockets = {-1, -1},
		.done = done,
		.userdata = userdata};
	if (operation == LEASE_ADD) {
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, r->sockets) < 0) {
			error_errno(err, errno, "make a pair of sockets");
			goto fail;
		}
		options.fds = &r->sockets[1];
		options.n_fds = 1;
	}
	if (process_start(loop, &options, ended, r, &r->process, err) < 0)
		goto fail;
	close_p(&r->sockets[1]);
	r->sockets[1] = -1;
	r->set = NULL;
	r->state = NULL;
	*ret = r;
	return 0;
fail:
	close_p(&r->sockets[0]);
	close_p(&r->sockets[1]);
	free(r);
	return -1;
}

void lease_request_free(struct lease_request *r)
{
	if (!r)
		return;
	process_kill(r->process, SIGKILL);
	process_free(r->process);
	close_p(&r->sockets[0]);
	free(r);
}
