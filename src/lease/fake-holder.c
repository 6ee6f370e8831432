/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Children that play QEMU, and the disks they play with. */
#include "fake-holder.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "file.h"

const struct lease_settings lockd = {.kind = LEASE_KIND_LOCKD, .auto_disk_leases = true, .hostname = "h1"};
struct lease_settings lockd_in_directory = {
	.kind = LEASE_KIND_LOCKD, .auto_disk_leases = true, .hostname = "h1"};
char test_directory[] = "/tmp/godwit-test-lease-XXXXXX";
char *disk_a, *disk_b;
bool has_attributes;
int holder_others[2] = {-1, -1};

/* ---- the directory ---- */

void make_file(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, 4096) < 0)
		BAIL_OUT("%s: %s", path, strerror(errno));
}

void prepare_disks(void)
{
	umask(022);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (!mkdtemp(test_directory) || chmod(test_directory, 0755) < 0)
		BAIL_OUT("%s: %s", test_directory, strerror(errno));
	disk_a = xasprintf("%s/a.img", test_directory);
	disk_b = xasprintf("%s/b.img", test_directory);
	make_file(disk_a);
	make_file(disk_b);
	lockd_in_directory.file_lockspace_dir = xasprintf("%s/locks", test_directory);
	if (mkdir(lockd_in_directory.file_lockspace_dir, 0700) < 0)
		BAIL_OUT("%s: %s", lockd_in_directory.file_lockspace_dir, strerror(errno));
	has_attributes = setxattr(disk_a, NOTE_ATTRIBUTE, "", 0, 0) == 0;
}

bool remove_disks(void)
{
	_cleanup_close_ int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool removed = dir_remove(tmp, strrchr(test_directory, '/') + 1, NULL) == 0;

	free(disk_a);
	free(disk_b);
	free((char *)lockd_in_directory.file_lockspace_dir);
	return removed;
}

/* ---- sets ---- */

static struct lease_set *plan(const struct lease_settings *s, const char *name, const char *disks)
{
	_cleanup_free_ char *xml = xasprintf(
		"<domain type='qemu'><name>%s</name><uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid>"
		"<memory>65536</memory><os><type arch='x86_64' machine='pc-q35-10.0'>hvm</type></os>"
		"<devices>%s</devices></domain>",
		name, disks);
	_cleanup_domain_ struct domain *d = NULL;
	struct lease_set *set = NULL;
	struct error err = ERROR_INIT;

	if (domain_parse(xml, strlen(xml), 0, &d, &err) < 0 || lease_plan(s, d, &set, &err) < 0)
		BAIL_OUT("%s", err.message);
	return set;
}

static char *disk_xml(const char *path, const char *target, const char *more)
{
	return xasprintf(
		"<disk type='file'><source file='%s'/><target dev='%s'/>%s</disk>", path, target, more);
}

struct lease_set *plan_one(const struct lease_settings *s, const char *name, const char *path, bool shared)
{
	_cleanup_free_ char *xml = disk_xml(path, "vda", shared ? "<shareable/>" : "");

	return plan(s, name, xml);
}

struct lease_set *plan_both(const char *name)
{
	_cleanup_free_ char *a = disk_xml(disk_a, "vda", ""), *b = disk_xml(disk_b, "vdb", ""),
			    *xml = xasprintf("%s%s", a, b);

	return plan(&lockd, name, xml);
}

/* ---- holders ---- */

static void close_others(int tell)
{
	close_p(&holder_others[0]);
	close_p(&holder_others[1]);
	(void)!write(tell, "", 1);
}

struct holder holder_start(holder_fn work, void *userdata, bool traced)
{
	struct holder h = {0};
	int to[2], from[2];

	if (pipe2(to, O_CLOEXEC) < 0 || pipe2(from, O_CLOEXEC) < 0)
		BAIL_OUT("pipe: %s", strerror(errno));
	h.pid = fork();
	if (h.pid == 0) {
		struct error err = ERROR_INIT;
		char byte;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* Where only ancestors may borrow descriptors (kernel.yama.ptrace_scope), the siblings here may, too. */
		prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
		close(to[1]);
		close(from[0]);
		if (traced && (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 || raise(SIGSTOP) != 0))
			_exit(1);
		work(userdata, to[0], &err);
		if (write_full(from[1], &err, sizeof(err)) < 0)
			_exit(1);
		while (read(to[0], &byte, 1) > 0)
			close_others(from[1]);
		_exit(0);
	}
	if (h.pid < 0)
		BAIL_OUT("fork: %s", strerror(errno));
	close(to[0]);
	close(from[1]);
	h.to = to[1];
	h.from = from[0];
	return h;
}

void holder_hear(struct holder *h)
{
	if (read_full(h->from, &h->err, sizeof(h->err)) != sizeof(h->err))
		BAIL_OUT("a holder died");
}

/* kill -9: nothing of it remains when this returns. */
void holder_end(struct holder *h)
{
	if (h->pid <= 0)
		return;
	kill(h->pid, SIGKILL);
	waitpid(h->pid, NULL, 0);
	close(h->to);
	close(h->from);
	h->pid = 0;
}

int holder_take(void *userdata, int to, struct error *err)
{
	return lease_take_here(userdata, true, err);
}

int holder_take_later(void *userdata, int to, struct error *err)
{
	return lease_take_here(userdata, false, err);
}

struct holder hold_with(holder_fn work, void *userdata)
{
	struct holder h = holder_start(work, userdata, false);

	holder_hear(&h);
	return h;
}

struct holder hold(struct lease_set *set)
{
	return hold_with(holder_take, set);
}

/* Could it be had just now? It is not kept. */
enum error_code try_take(struct lease_set *set, struct error *ret_err)
{
	struct holder h = hold(set);

	holder_end(&h);
	*ret_err = h.err;
	return h.err.code;
}

bool is_free(struct lease_set *set)
{
	struct error err;

	return try_take(set, &err) == ERROR_NONE;
}

char *vm_holder(const char *vm, pid_t pid)
{
	return has_attributes ? xasprintf("VM %s on host h1 (pid %d) holds its lease", vm, (int)pid)
			      : xstrdup(UNKNOWN_HOLDER);
}

/* ---- virtlockd ---- */

int lock_posix(void *userdata, int to, struct error *err)
{
	const struct posix_lock *p = userdata;
	struct flock lock = {.l_type = p->type, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
	int fd = open(p->path, O_RDWR | O_CLOEXEC);

	prctl(PR_SET_NAME, "virtlockd");
	if (fd >= 0 && fcntl(fd, F_SETLK, &lock) == 0)
		return 0;
	return errno == EAGAIN || errno == EACCES ? error_set(err, ERROR_IN_USE, "locked")
						  : error_errno(err, errno, "lock");
}

enum error_code try_posix(const char *path, short type)
{
	struct posix_lock p = {path, type};
	struct holder h = hold_with(lock_posix, &p);

	holder_end(&h);
	return h.err.code;
}
