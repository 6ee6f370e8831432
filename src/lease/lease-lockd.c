/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * lockd: the lock that libvirt's virtlockd takes, without a daemon of its own.
 *
 *	byte 0 of the disk, or, with file_lockspace_dir, of the file DIR/SHA-256(path of the disk)
 *	write lock: one holder; read lock: <shareable/>
 *
 * It is an open-file-description lock (fcntl(2), F_OFD_SETLK) on a descriptor that QEMU inherits and knows nothing of, and conflicts
 * with virtlockd's traditional locks as with its own kind. The kernel holds it exactly as long as QEMU lives.
 *
 * Of a living QEMU the descriptor is borrowed (pidfd_getfd(2)) to lock or unlock what it stands for. QEMU has more descriptors of the
 * same file, its own; ours is known by a mark, a shared lock on a byte far behind any disk's end, which stays while
 * byte 0 is handed over. For a disk that is plugged into a living QEMU a child opens and locks as the child that becomes QEMU does, and
 * QEMU gets the descriptor by its monitor.
 *
 * virtlockd removes the files in file_lockspace_dir when it has done with them, so whoever has locked one must look
 * whether it is still the file of that name.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>

#include "file.h"
#include "lease-driver.h"
#include "lease-holder.h"
#include "strv.h"

enum { LEASE_BYTE = 0 };
#define MARK_BYTE     0x676f64776974LL /* "godwit" */
#define REPLACED_MAX  10	       /* times the file may go while we lock it */
#define SHA256_TEXT   (2 * SHA256_DIGEST_SIZE + 1)
#define FDINFO_MAX    65536
#define LOCK_LINE_FMT "lock:\t%*d: OFDLCK %*s %*s %*d %*x:%*x:%*u %lld %lld"

/* ---- planning ---- */

static void sha256_text(const char *text, char ret[SHA256_TEXT])
{
	struct sha256_ctx sha;
	uint8_t digest[SHA256_DIGEST_SIZE];

	sha256_init(&sha);
	sha256_update(&sha, strlen(text), (const uint8_t *)text);
	sha256_digest(&sha, sizeof(digest), digest);
	for (size_t i = 0; i < sizeof(digest); i++)
		snprintf(ret + 2 * i, 3, "%02x", digest[i]);
}

static int plan_disk(
	const struct lease_settings *s, const char *path, struct lease_item *item, struct error *err)
{
	char name[SHA256_TEXT];

	if (!s->file_lockspace_dir) {
		item->file = xstrdup(path);
		return 0;
	}
	sha256_text(path, name);
	item->file = xasprintf("%s/%s", s->file_lockspace_dir, name);
	item->is_own = true;
	return 0;
}

/* PATH/LOCKSPACE/KEY, as libvirt's driver has it; the file is its user's. */
static int plan_element(const struct lease_settings *s, const struct lease_element *e,
	struct lease_item *item, struct error *err)
{
	if (e->offset != 0)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"%s has offset %llu: the lock manager 'lockd' knows only offset 0", item->what,
			(unsigned long long)e->offset);
	item->file = xasprintf("%s/%s/%s", e->path, e->lockspace, e->key);
	return 0;
}

/* ---- descriptors of another process ---- */

/* Has descriptor `name` of that process an OFD lock on this byte? */
static bool fdinfo_has_lock(int fdinfo_dir, const char *name, long long byte)
{
	_cleanup_free_ char *text = NULL;

	if (file_read(fdinfo_dir, name, FDINFO_MAX, &text, NULL, NULL) < 0)
		return false;
	for (char *line = text, *next; line; line = next) {
		long long from, to;

		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		if (sscanf(line, LOCK_LINE_FMT, &from, &to) == 2 && from == byte && to == byte)
			return true;
	}
	return false;
}

/* The descriptor of process `pid` that carries this lease: the marked one of that file. -1: none. */
static int find_descriptor(pid_t pid, const struct lease_item *item, bool *ret_holds)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/fd", (int)pid),
			    *info_path = xasprintf("/proc/%d/fdinfo", (int)pid);
	_cleanup_close_ int info = open(info_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = info < 0 ? NULL : opendir(path);
	const struct dirent *entry;
	struct stat file, st;
	int found = -1;

	while (dir && found < 0 && stat(item->file, &file) == 0 && (entry = readdir(dir))) {
		uint32_t number;

		if (!parse_u32(entry->d_name, &number) || fstatat(dirfd(dir), entry->d_name, &st, 0) < 0 ||
			st.st_dev != file.st_dev || st.st_ino != file.st_ino ||
			!fdinfo_has_lock(info, entry->d_name, MARK_BYTE))
			continue;
		*ret_holds = fdinfo_has_lock(info, entry->d_name, LEASE_BYTE);
		found = (int)number;
	}
	if (dir)
		closedir(dir);
	return found;
}

/* What cannot be looked at (another user's) may. */
static bool may_hold(pid_t pid, const struct lease_item *item)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/fd", (int)pid);
	bool holds = false;

	return access(path, R_OK) < 0 || (find_descriptor(pid, item, &holds) >= 0 && holds);
}

/* ---- the lock ---- */

static enum lease_note note_place(const struct lease_item *item)
{
	return item->is_own ? LEASE_NOTE_INSIDE : LEASE_NOTE_ATTRIBUTE;
}

static int set_lock(int fd, short type, off_t byte)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

	return fcntl(fd, F_OFD_SETLK, &lock);
}

/* A traditional lock tells its process; on this host that is a virtlockd. */
static char *describe_holder(const struct lease_item *item, int fd)
{
	struct flock lock = {.l_type = item->is_shared ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
	_cleanup_free_ char *comm_path = NULL, *comm = NULL;

	if (fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK && lock.l_pid > 0) {
		comm_path = xasprintf("/proc/%d/comm", (int)lock.l_pid);
		if (file_read(AT_FDCWD, comm_path, 64, &comm, NULL, NULL) == 0) {
			comm[strcspn(comm, "\n")] = '\0';
			return xasprintf("process %s (pid %d) holds its lease", comm, (int)lock.l_pid);
		}
	}
	return lease_note_describe(
		note_place(item), fd, item, 0, may_hold, "another process or another host holds its lease");
}

static int refuse(const struct lease_item *item, int fd, struct error *err)
{
	_cleanup_free_ char *holder = describe_holder(item, fd);

	return error_set(err, ERROR_IN_USE, "%s is in use: %s; stop it there first", item->what, holder);
}

/* 1 when the file under this name is another one by now. */
static int is_replaced(const struct lease_item *item, int fd)
{
	struct stat ours, named;

	if (fstat(fd, &ours) < 0)
		return -1;
	if (stat(item->file, &named) < 0)
		return errno == ENOENT ? 1 : -1;
	return ours.st_dev != named.st_dev || ours.st_ino != named.st_ino;
}

static int lock_fd(const struct lease_item *item, int fd, struct error *err)
{
	if (set_lock(fd, item->is_shared ? F_RDLCK : F_WRLCK, LEASE_BYTE) == 0)
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return refuse(item, fd, err);
	return error_errno(err, errno, "lock %s for its lease%s", item->file,
		errno == ENOLCK ? " (its file system has no locks here; of NFS: is it mounted with nolock?)"
				: "");
}

/* ---- this process ---- */

static int open_file(const struct lease_settings *s, struct lease_item *item, struct error *err)
{
	int flags = O_RDWR | O_NOCTTY | O_NONBLOCK; /* not O_CLOEXEC: QEMU inherits it */

	/* Not made here: where a shared file system is not mounted, a directory of its name would keep nobody out. */
	if (item->is_own && access(s->file_lockspace_dir, F_OK) < 0)
		return error_errno(err, errno,
			"file_lockspace_dir %s (is the shared file system mounted? the directory must be "
			"made once)",
			s->file_lockspace_dir);
	close_p(&item->fd);
	item->fd = open(item->file, item->is_own ? flags | O_CREAT | O_NOFOLLOW : flags, 0600);
	if (item->fd < 0)
		return error_errno(err, errno, "open %s for the lease of %s", item->file, item->what);
	if (set_lock(item->fd, F_RDLCK, MARK_BYTE) < 0)
		return error_errno(err, errno, "lock %s for its lease", item->file);
	return 0;
}

static int prepare(struct lease_set *set, struct error *err)
{
	for (size_t i = 0; i < set->items.n; i++)
		if (open_file(set->settings, &set->items.items[i], err) < 0)
			return -1;
	return 0;
}

/* `holder`: whom the note names, this process (0) or the one that is to get the descriptor. */
static int acquire_item_here(
	struct lease_item *item, const struct lease_set *set, pid_t holder, struct error *err)
{
	int replaced = 1;

	for (int tries = 0; tries < REPLACED_MAX && replaced == 1; tries++) {
		if (tries > 0 && open_file(set->settings, item, err) < 0)
			return -1;
		if (lock_fd(item, item->fd, err) < 0)
			return -1;
		replaced = is_replaced(item, item->fd);
	}
	if (replaced < 0)
		return error_errno(err, errno, "look at %s for the lease of %s", item->file, item->what);
	if (replaced)
		return error_set(err, ERROR_OPERATION_FAILED,
			"%s, the lock file of %s, is being removed again and again", item->file, item->what);
	lease_note_write(note_place(item), item->fd, item->file, set, holder);
	return 0;
}

static int acquire_here(struct lease_set *set, struct error *err)
{
	for (size_t i = 0; i < set->items.n; i++) {
		if (acquire_item_here(&set->items.items[i], set, 0, err) == 0)
			continue;
		for (size_t j = 0; j <= i; j++)
			set_lock(set->items.items[j].fd, F_UNLCK, LEASE_BYTE);
		return -1;
	}
	return 0;
}

/* ---- another process ---- */

static int borrow(pid_t pid, const struct lease_item *item, struct error *err)
{
	_cleanup_close_ int pidfd = pidfd_open(pid, 0);
	bool holds;
	int number = find_descriptor(pid, item, &holds), fd;

	if (number < 0)
		return error_set(err, ERROR_OPERATION_FAILED,
			"QEMU (pid %d) has no descriptor for the lease of %s: %s was replaced, or QEMU was "
			"started "
			"without leases; save the VM and start it again",
			(int)pid, item->what, item->file);
	fd = pidfd < 0 ? -1 : pidfd_getfd(pidfd, number, 0);
	if (fd < 0)
		return error_errno(err, errno, "borrow the lease of %s from QEMU (pid %d)%s", item->what,
			(int)pid, errno == EPERM ? " (is kernel.yama.ptrace_scope set?)" : "");
	return fd;
}

/* The file may have gone between find_descriptor and the lock, which then keeps nobody out. */
static int lock_borrowed(const struct lease_item *item, int fd, struct error *err)
{
	if (lock_fd(item, fd, err) < 0)
		return -1;
	if (is_replaced(item, fd) == 0)
		return 0;
	set_lock(fd, F_UNLCK, LEASE_BYTE);
	return error_set(err, ERROR_OPERATION_FAILED,
		"%s, the file of the lease of %s, was just replaced; save the VM and start it again",
		item->file, item->what);
}

static int change(struct lease_set *set, pid_t pid, size_t i, bool take, struct error *err)
{
	const struct lease_item *item = &set->items.items[i];
	_cleanup_close_ int fd = borrow(pid, item, err);

	if (fd < 0)
		return -1;
	if (!take && set_lock(fd, F_UNLCK, LEASE_BYTE) < 0)
		return error_errno(err, errno, "unlock %s", item->file);
	if (take && lock_borrowed(item, fd, err) < 0)
		return -1;
	if (take)
		lease_note_write(note_place(item), fd, item->file, set, pid);
	return 0;
}

/* What it holds already stays its own, whatever becomes of the rest. */
static int acquire_of(struct lease_set *set, pid_t pid, struct error *err)
{
	VEC(size_t) taken = {0};
	int r = 0;

	for (size_t i = 0; i < set->items.n && r == 0; i++) {
		bool holds = false;

		if (find_descriptor(pid, &set->items.items[i], &holds) >= 0 && holds)
			continue;
		r = change(set, pid, i, true, err);
		if (r == 0)
			VEC_ADD(&taken, i);
	}
	for (size_t i = 0; r < 0 && i < taken.n; i++)
		change(set, pid, taken.items[i], false, NULL);
	VEC_FREE(&taken);
	return r;
}

static int acquire(struct lease_set *set, pid_t pid, const char *state, struct error *err)
{
	return pid == 0 ? acquire_here(set, err) : acquire_of(set, pid, err);
}

static int release(struct lease_set *set, pid_t pid, struct buf *ret_state, struct error *err)
{
	int r = 0;

	for (size_t i = 0; i < set->items.n; i++)
		if (change(set, pid, i, false, r == 0 ? err : NULL) < 0)
			r = -1;
	return r;
}

static int inquire(
	struct lease_set *set, pid_t pid, size_t *ret_held, struct buf *ret_state, struct error *err)
{
	for (size_t i = 0; i < set->items.n; i++) {
		bool holds = false;

		if (find_descriptor(pid, &set->items.items[i], &holds) >= 0 && holds)
			++*ret_held;
	}
	return 0;
}

/* ---- one more, one less ---- */

/* As for a QEMU that is yet to be: it gets the descriptor afterwards, by its monitor. */
static int add(struct lease_set *set, pid_t pid, struct error *err)
{
	struct lease_item *item = &set->items.items[0];

	if (open_file(set->settings, item, err) < 0 || acquire_item_here(item, set, pid, err) < 0)
		return -1;
	return 0;
}

/* The mark goes too: what is left is an open file like any other. */
static int remove_item(struct lease_set *set, pid_t pid, struct error *err)
{
	const struct lease_item *item = &set->items.items[0];
	_cleanup_close_ int fd = -1;
	bool holds;

	if (find_descriptor(pid, item, &holds) < 0)
		return 0;
	fd = borrow(pid, item, err);
	if (fd < 0)
		return -1;
	if (set_lock(fd, F_UNLCK, LEASE_BYTE) < 0 || set_lock(fd, F_UNLCK, MARK_BYTE) < 0)
		return error_errno(err, errno, "unlock %s", item->file);
	return 0;
}

static const struct lease_driver lockd = {
	.plan_disk = plan_disk,
	.plan_element = plan_element,
	.prepare = prepare,
	.acquire = acquire,
	.release = release,
	.inquire = inquire,
	.add = add,
	.remove = remove_item,
};
const struct lease_driver *const lease_driver_lockd = &lockd;
