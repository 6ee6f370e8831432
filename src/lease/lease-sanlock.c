/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sanlock: leases on shared storage, kept alive by a daemon that lets its host be reset rather than run on without them.
 *
 *	lockspace "__LIBVIRT__DISKS__", in DISK_LEASE_DIR/__LIBVIRT__DISKS__: which hosts there are
 *	resource  MD5(path of the disk), in DISK_LEASE_DIR/MD5(path of the disk)
 *
 * as libvirt's driver has them. The process that will be QEMU registers with sanlock by a connection that QEMU inherits and knows
 * nothing of; when it closes, whatever QEMU died of, sanlock gives the leases back. For a living QEMU the daemon asks sanlock by pid.
 *
 * A new lease file is made under another name and linked to its own when it is complete, so that two hosts may
 * make it at the same time.
 */
#include <errno.h>
#include <fcntl.h>
#include <nettle/md5.h>
#include <poll.h>
#include <sanlock.h>
#include <sanlock_admin.h>
#include <sanlock_resource.h>
#include <sanlock_rv.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>

#include "file.h"
#include "lease-driver.h"
#include "lease-holder.h"
#include "strv.h"

#define LOCKSPACE  "__LIBVIRT__DISKS__"
#define JOIN_TRIES 60
/* sanlock does one thing at a time for each process, and says -EBUSY to the next: so long it is asked again. */
#define BUSY_TRIES  100
#define BUSY_USEC   50000
#define AGAIN_TRIES 20
#define ENDING_MS   1000
#define WHILE_BUSY(rv, call)                                                                                 \
	for (int tries_ = 0; (rv = (call)) == -EBUSY && tries_ < BUSY_TRIES; tries_++)                       \
	usleep(BUSY_USEC)
enum { MD5_TEXT = 2 * MD5_DIGEST_SIZE + 1 };

/* ---- errors: a negative errno, or sanlock's own from -201 on ---- */

static int sanlock_failed(struct error *err, int rv, const char *what, const char *name)
{
	if (rv == -ECONNREFUSED || rv == -ENOENT)
		return error_set(err, ERROR_OPERATION_FAILED, "%s %s: sanlock is not running on this host",
			what, name);
	if (rv == -ESRCH)
		return error_set(err, ERROR_OPERATION_FAILED,
			"%s %s: QEMU is not, or no longer registered with sanlock: sanlock was started anew, "
			"or "
			"QEMU without a disk that needs a lease; destroy the VM and start it again, or save "
			"it first "
			"if nobody else has used its disks since",
			what, name);
	if (rv == -ENOSPC)
		return error_set(err, ERROR_OPERATION_FAILED,
			"%s %s: this host has not joined the lockspace, or has lost it", what, name);
	if (rv > -200)
		return error_errno(err, -rv, "%s %s: sanlock", what, name);
	return error_set(
		err, ERROR_OPERATION_FAILED, "%s %s: sanlock: %s (%d)", what, name, sanlock_strerror(rv), rv);
}

static bool is_held_elsewhere(int rv)
{
	switch (rv) {
	case SANLK_ACQUIRE_IDLIVE:
	case SANLK_ACQUIRE_OWNED:
	case SANLK_ACQUIRE_OTHER:
	case SANLK_ACQUIRE_SHRETRY:
	case SANLK_ACQUIRE_OWNED_RETRY:
	case -EEXIST: /* by another process of this host */
	case -EAGAIN: /* shared, by other hosts */
		return true;
	default:
		return false;
	}
}

/* ---- planning ---- */

static int plan_disk(
	const struct lease_settings *s, const char *path, struct lease_item *item, struct error *err)
{
	uint8_t digest[MD5_DIGEST_SIZE];
	char name[MD5_TEXT];
	struct md5_ctx md5;

	md5_init(&md5);
	md5_update(&md5, strlen(path), (const uint8_t *)path);
	md5_digest(&md5, sizeof(digest), digest);
	for (size_t i = 0; i < sizeof(digest); i++)
		snprintf(name + 2 * i, 3, "%02x", digest[i]);
	item->lockspace = xstrdup(LOCKSPACE);
	item->resource = xstrdup(name);
	item->file = xasprintf("%s/%s", s->disk_lease_dir, name);
	item->is_own = true;
	return 0;
}

static int plan_element(const struct lease_settings *s, const struct lease_element *e,
	struct lease_item *item, struct error *err)
{
	item->lockspace = xstrdup(e->lockspace);
	item->resource = xstrdup(e->key);
	item->file = xstrdup(e->path);
	item->offset = e->offset;
	return 0;
}

/* What sanlock runs when a lease is lost, as its arguments' one string: words, with '\' before a space or a '\'. */
static char *lost_arguments(const struct lease_set *set)
{
	_cleanup_(buf_fini) struct buf b = {0};
	char uuid[UUID_TEXT_MAX];

	uuid_format(set->uuid, uuid);
	buf_adds(&b, "--socket ");
	for (const char *p = set->settings->lost_socket; *p; p++)
		buf_addf(&b, *p == ' ' || *p == '\\' ? "\\%c" : "%c", *p);
	buf_addf(&b, " lease-lost %s", uuid);
	return buf_take(&b);
}

/* Otherwise sanlock ends QEMU itself, which is what "poweroff" asks for. */
static bool runs_program(const struct lease_set *set)
{
	return set->on_lost == LOCKFAILURE_PAUSE || set->on_lost == LOCKFAILURE_RESTART;
}

static int check(const struct lease_set *set, struct error *err)
{
	_cleanup_free_ char *arguments = lost_arguments(set);

	if (set->on_lost == LOCKFAILURE_IGNORE)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"domain '%s': <on_lockfailure>ignore</on_lockfailure> cannot be had with sanlock, "
			"which ends "
			"whoever ignores it",
			set->vm_name);
	if (runs_program(set) && (strlen(arguments) >= SANLK_HELPER_ARGS_LEN ||
					 strlen(set->settings->lost_program) >= SANLK_HELPER_PATH_LEN))
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"domain '%s': <on_lockfailure> cannot be honoured: '%s %s' is too long for sanlock",
			set->vm_name, set->settings->lost_program, arguments);
	VEC_FOREACH (item, &set->items) {
		if (strlen(item.lockspace) >= SANLK_NAME_LEN || strlen(item.resource) >= SANLK_NAME_LEN ||
			strlen(item.file) >= SANLK_PATH_LEN)
			return error_set(err, ERROR_UNSUPPORTED_CONFIG,
				"%s of domain '%s': names of sanlock have at most %d bytes, paths %d",
				item.what, set->vm_name, SANLK_NAME_LEN - 1, SANLK_PATH_LEN - 1);
	}
	return 0;
}

/* ---- lease files ---- */

static struct sanlk_resource *make_resource(const struct lease_item *item)
{
	struct sanlk_resource *res = xcalloc(1, sizeof(*res) + sizeof(struct sanlk_disk));

	snprintf(res->lockspace_name, sizeof(res->lockspace_name), "%s", item->lockspace);
	snprintf(res->name, sizeof(res->name), "%s", item->resource);
	snprintf(res->disks[0].path, sizeof(res->disks[0].path), "%s", item->file);
	res->disks[0].offset = item->offset;
	res->flags = item->is_shared ? SANLK_RES_SHARED : 0;
	res->num_disks = 1;
	return res;
}

static void make_lockspace(const struct lease_settings *s, struct sanlk_lockspace *ret)
{
	*ret = (struct sanlk_lockspace){.host_id = s->host_id};
	snprintf(ret->name, sizeof(ret->name), "%s", LOCKSPACE);
	snprintf(ret->host_id_disk.path, sizeof(ret->host_id_disk.path), "%s/%s", s->disk_lease_dir,
		LOCKSPACE);
}

/* Room for one lease, as sanlock wants it; open and owned as configured. */
static int fill_file(const struct lease_settings *s, struct sanlk_disk *disk, struct error *err)
{
	_cleanup_close_ int fd = open(disk->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
		s->sanlock_gid != (gid_t)-1 ? 0660 : 0600);
	int size, r;

	if (fd < 0)
		return error_errno(err, errno, "create lease file %s", disk->path);
	if ((s->sanlock_uid != (uid_t)-1 || s->sanlock_gid != (gid_t)-1) &&
		fchown(fd, s->sanlock_uid, s->sanlock_gid) < 0)
		return error_errno(err, errno, "give lease file %s to sanlock", disk->path);
	size = sanlock_align(disk);
	if (size < 0)
		return sanlock_failed(err, size, "measure lease file", disk->path);
	r = posix_fallocate(fd, 0, size);
	if (r != 0)
		return error_errno(err, r, "allocate %d bytes for lease file %s", size, disk->path);
	if (fsync(fd) < 0)
		return error_errno(err, errno, "sync lease file %s", disk->path);
	return 0;
}

/* One of `ls` and `res`, whose (first) disk is `disk`; its path is `path` again afterwards. */
static int make_file(const struct lease_settings *s, const char *path, struct sanlk_lockspace *ls,
	struct sanlk_resource *res, struct error *err)
{
	struct sanlk_disk *disk = ls ? &ls->host_id_disk : &res->disks[0];
	_cleanup_free_ char *temporary = xasprintf("%s.%s.%d", path, s->hostname, (int)getpid());
	int rv, r = -1;

	if (access(path, F_OK) == 0)
		return 0;
	if (strlen(temporary) >= SANLK_PATH_LEN)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG, "path of lease file %s is too long", path);
	snprintf(disk->path, sizeof(disk->path), "%s", temporary);
	if (fill_file(s, disk, err) < 0)
		goto out;
	rv = ls ? sanlock_write_lockspace(ls, 0, 0, s->io_timeout_s) : sanlock_write_resource(res, 0, 0, 0);
	if (rv < 0)
		sanlock_failed(err, rv, "write lease file", temporary);
	else if (link(temporary, path) < 0 && errno != EEXIST)
		error_errno(err, errno, "link lease file %s", path);
	else
		r = 0;
out:
	unlink(temporary);
	snprintf(disk->path, sizeof(disk->path), "%s", path);
	return r;
}

/* ---- this host ---- */

/* Takes seconds: sanlock watches the lockspace for a while to be sure that nobody else has our host_id. */
static int join(const struct lease_settings *s, struct error *err)
{
	struct sanlk_lockspace ls;
	_cleanup_free_ char *path = xasprintf("%s/%s", s->disk_lease_dir, LOCKSPACE);
	int rv = -EINPROGRESS;

	if (!s->auto_disk_leases)
		return 0; /* whoever writes <lease> elements has lockspaces of their own */
	make_lockspace(s, &ls);
	if (access(s->disk_lease_dir, F_OK) < 0)
		return error_errno(err, errno, "directory for leases %s", s->disk_lease_dir);
	if (make_file(s, path, &ls, NULL, err) < 0)
		return -1;
	for (int tries = 0; tries < JOIN_TRIES; tries++) {
		rv = sanlock_add_lockspace_timeout(&ls, 0, s->io_timeout_s);
		if (rv == 0 || rv == -EEXIST)
			return 0;
		if (rv == -EINPROGRESS)
			sanlock_inq_lockspace(&ls, SANLK_INQ_WAIT);
		else if (rv == -EAGAIN)
			sleep(1); /* it is being left */
		else
			break;
	}
	return sanlock_failed(err, rv, "join lockspace", path);
}

/* ---- this process ---- */

static int prepare(struct lease_set *set, struct error *err)
{
	_cleanup_free_ char *arguments = lost_arguments(set);
	int rv;

	if (join(set->settings, err) < 0)
		return -1;
	VEC_FOREACH (item, &set->items) {
		_cleanup_free_ struct sanlk_resource *res = make_resource(&item);

		if (item.is_own && make_file(set->settings, item.file, NULL, res, err) < 0)
			return -1;
	}
	set->fd = sanlock_register();
	if (set->fd < 0)
		return sanlock_failed(err, set->fd, "register", set->vm_name);
	if (runs_program(set)) {
		rv = sanlock_killpath(set->fd, 0, set->settings->lost_program, arguments);
		if (rv < 0)
			return sanlock_failed(err, rv, "register <on_lockfailure> of", set->vm_name);
	}
	if (fd_set_cloexec(set->fd, false) < 0)
		return error_errno(err, errno, "keep the connection to sanlock");
	return 0;
}

/* Hosts have numbers only; names stand in the note that a godwit leaves beside the lease, if it is of the host that has it. */
static int refuse(const struct lease_item *item, struct error *err)
{
	_cleanup_free_ struct sanlk_resource *res = make_resource(item);
	_cleanup_free_ char *owner = NULL, *holder = NULL;
	struct sanlk_host *hosts = NULL;
	uint64_t host_id = 0;
	int n = 0;

	if (sanlock_read_resource_owners(res, 0, &hosts, &n) == 0 && n > 0)
		host_id = hosts[0].host_id;
	free(hosts);
	owner = host_id ? xasprintf("the host with host_id %llu holds its lease", (unsigned long long)host_id)
			: xstrdup("another process holds its lease");
	holder = lease_note_describe(LEASE_NOTE_BESIDE, -1, item, host_id, NULL, owner);
	return error_set(err, ERROR_IN_USE, "%s is in use: %s; stop it there first", item->what, holder);
}

/* ---- acquire, release, inquire: of this process by its connection, of another by its pid ---- */

/* How often the lease had changed hands when `state` was written: so it must still be. */
static void demand_version(struct sanlk_resource *res, const char *state)
{
	_cleanup_free_ char *copy = xstrdup(state);
	struct sanlk_resource **all = NULL;
	int n = 0;

	/* Of shared ones no version is kept. */
	if (!state || !*state || (res->flags & SANLK_RES_SHARED) || sanlock_state_to_args(copy, &n, &all) < 0)
		return;
	for (int i = 0; i < n; i++) {
		if (strncmp(all[i]->name, res->name, SANLK_NAME_LEN) == 0 &&
			strncmp(all[i]->lockspace_name, res->lockspace_name, SANLK_NAME_LEN) == 0) {
			res->lver = all[i]->lver;
			res->flags |= SANLK_RES_LVER;
		}
		free(all[i]);
	}
	free(all);
}

static int acquire_item(const struct lease_set *set, const struct lease_item *item, pid_t pid,
	const char *state, struct error *err)
{
	_cleanup_free_ struct sanlk_resource *res = make_resource(item);
	struct sanlk_options options = {0};
	int rv;

	snprintf(options.owner_name, sizeof(options.owner_name), "%s", set->vm_name);
	demand_version(res, state);
	/*
	 * Busy: another process of this host is at it. It may wait for a dead host's lease to expire, for minutes, and sanlock
	 * goes on with that when the process is gone. Again: sanlock is just giving it back, or other hosts share it.
	 */
	for (int again = 0; again < AGAIN_TRIES;) {
		rv = sanlock_acquire(pid ? -1 : set->fd, pid ? pid : -1, 0, 1, &res, &options);
		if (rv != -EBUSY && rv != -EAGAIN)
			break;
		again += rv == -EAGAIN;
		usleep(BUSY_USEC);
	}
	if (is_held_elsewhere(rv))
		return refuse(item, err);
	if (rv == SANLK_ACQUIRE_LVER)
		return error_set(err, ERROR_OPERATION_FAILED,
			"%s was taken by somebody else in between: the VM's memory does not go with it any "
			"more; "
			"destroy the VM and start it again",
			item->what);
	if (rv < 0)
		return sanlock_failed(err, rv, "take the lease of", item->what);
	if (item->is_own)
		lease_note_write(LEASE_NOTE_BESIDE, -1, item->file, set, pid);
	return 0;
}

static int count_held(pid_t pid, size_t *ret, struct buf *ret_state, struct error *err)
{
	char *state = NULL;
	int n = 0, rv;

	WHILE_BUSY(rv, sanlock_inquire(-1, pid, 0, &n, &state));
	if (rv == -ESRCH || rv == -ECONNREFUSED || rv == -ENOENT)
		n = 0; /* not registered, not with this sanlock, or with none: it holds nothing */
	else if (rv < 0)
		return sanlock_failed(err, rv, "ask for the leases of", "QEMU");
	if (ret_state && n > 0)
		buf_adds(ret_state, state);
	*ret = (size_t)n;
	free(state);
	return 0;
}

static int acquire(struct lease_set *set, pid_t pid, const char *state, struct error *err)
{
	size_t held = 0;
	int rv;

	/* A lockspace that was lost is joined again. */
	if (pid && (join(set->settings, err) < 0 || count_held(pid, &held, NULL, err) < 0))
		return -1;
	/* It may have more: of an image that a job writes to. */
	if (pid && held >= set->items.n)
		return 0;
	if (held > 0)
		sanlock_release(-1, pid, SANLK_REL_ALL, 0, NULL);
	for (size_t i = 0; i < set->items.n; i++) {
		if (acquire_item(set, &set->items.items[i], pid, state, err) == 0)
			continue;
		if (pid)
			sanlock_release(-1, pid, SANLK_REL_ALL, 0, NULL);
		return -1;
	}
	/* QEMU has no business with the connection but to keep it. */
	rv = pid ? 0 : sanlock_restrict(set->fd, SANLK_RESTRICT_ALL);
	return rv < 0 ? sanlock_failed(err, rv, "restrict", set->vm_name) : 0;
}

static int inquire(
	struct lease_set *set, pid_t pid, size_t *ret_held, struct buf *ret_state, struct error *err)
{
	return count_held(pid, ret_held, ret_state, err);
}

static int release(struct lease_set *set, pid_t pid, struct buf *ret_state, struct error *err)
{
	size_t held;
	int rv;

	if (count_held(pid, &held, ret_state, err) < 0)
		return -1;
	if (held == 0)
		return 0;
	WHILE_BUSY(rv, sanlock_release(-1, pid, SANLK_REL_ALL, 0, NULL));
	return rv < 0 ? sanlock_failed(err, rv, "give back the leases of", set->vm_name) : 0;
}

/* ---- one more, one less ---- */

/* sanlock gives leases to any process that has registered; that QEMU's connection is restricted binds QEMU only. */
static int add(struct lease_set *set, pid_t pid, struct error *err)
{
	const struct lease_item *item = &set->items.items[0];
	_cleanup_free_ struct sanlk_resource *res = make_resource(item);

	if (item->is_own && make_file(set->settings, item->file, NULL, res, err) < 0)
		return -1;
	return acquire_item(set, item, pid, NULL, err);
}

static int remove_item(struct lease_set *set, pid_t pid, struct error *err)
{
	const struct lease_item *item = &set->items.items[0];
	_cleanup_free_ struct sanlk_resource *res = make_resource(item);
	int rv;

	WHILE_BUSY(rv, sanlock_release(-1, pid, 0, 1, &res));
	/* Not held, or nobody is there that could hold it. */
	if (rv == 0 || rv == -EPERM || rv == -ENOENT || rv == -ESRCH || rv == -ECONNREFUSED)
		return 0;
	return sanlock_failed(err, rv, "give back the lease of", item->what);
}

/* ---- watching ---- */

/* Who is just ending has closed its connection before it is gone. */
static bool has_ended(pid_t pid)
{
	struct pollfd p = {.events = POLLIN};
	bool ended;

	p.fd = pidfd_open(pid, 0);
	ended = p.fd < 0 || poll(&p, 1, ENDING_MS) != 0;
	close_p(&p.fd);
	return ended;
}

/*
 * For as long as sanlock lives. What it has lost by then it can tell nobody. Registered first: who holds its leases after that,
 * holds them with this sanlock, and not with one that died a moment ago.
 */
static int watch(const struct lease_set *set, struct error *err)
{
	struct pollfd p = {.events = POLLRDHUP};

	p.fd = sanlock_register();
	if (p.fd < 0)
		return sanlock_failed(err, p.fd, "watch", "sanlock");
	VEC_FOREACH (holder, &set->holders) {
		size_t n = 0;

		if (count_held(holder.pid, &n, NULL, err) < 0)
			return -1;
		if (n < holder.n_items && !has_ended(holder.pid))
			return error_set(err, ERROR_OPERATION_FAILED,
				"sanlock does not know the leases of QEMU (pid %d)", (int)holder.pid);
	}
	while (poll(&p, 1, -1) < 0 && errno == EINTR)
		;
	return error_set(err, ERROR_OPERATION_FAILED, "sanlock has ended");
}

static const struct lease_driver sanlock = {
	.plan_disk = plan_disk,
	.plan_element = plan_element,
	.check = check,
	.prepare = prepare,
	.acquire = acquire,
	.release = release,
	.inquire = inquire,
	.add = add,
	.remove = remove_item,
	.join = join,
	.watch = watch,
};
const struct lease_driver *const lease_driver_sanlock = &sanlock;
