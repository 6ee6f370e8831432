/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The lock of lockd, between real processes. What happens between two system calls of one of them is done by stopping it
 * there (ptrace(2)).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "fake-holder.h"
#include "file.h"

#define NOBODY 65534

/* ---- one holder ---- */

static void test_exclusion(void)
{
	_cleanup_(lease_set_free_p) struct lease_set *first = plan_one(&lockd, "first", disk_a, false),
						     *second = plan_one(&lockd, "second", disk_a, false);
	_cleanup_free_ char *holder = NULL;
	struct holder h = hold(first);

	is_int(h.err.code, ERROR_NONE, "lockd: taken");
	holder = vm_holder("first", h.pid);
	is_refused(second, disk_a, holder, "lockd: not by a second");
	holder_end(&h);
	h = hold(second);
	is_int(h.err.code, ERROR_NONE, "lockd: free at once when its holder is killed");
	free(holder);
	holder = vm_holder("second", h.pid);
	is_refused(first, disk_a, holder, "lockd: and the other's then");
	holder_end(&h);
}

struct grandchild {
	struct lease_set *set;
	int report;
	pid_t pid;
	struct error err;
};

static int fork_holder(void *userdata, int to, struct error *err)
{
	struct grandchild *g = userdata;
	char byte;

	if (fork() != 0)
		return 0;
	g->pid = getpid();
	lease_take_here(g->set, true, &g->err);
	(void)!write_full(g->report, g, sizeof(*g));
	while (read(to, &byte, 1) > 0)
		;
	_exit(0);
}

static void test_forker_dies(void)
{
	_cleanup_(lease_set_free_p) struct lease_set *first = plan_one(&lockd, "first", disk_a, false),
						     *second = plan_one(&lockd, "second", disk_a, false);
	_cleanup_free_ char *holder = NULL;
	struct grandchild g = {.set = first};
	struct holder forker;
	int report[2];

	if (pipe2(report, O_CLOEXEC) < 0)
		BAIL_OUT("pipe: %s", strerror(errno));
	g.report = report[1];
	forker = hold_with(fork_holder, &g);
	if (read_full(report[0], &g, sizeof(g)) != sizeof(g))
		BAIL_OUT("no grandchild");
	kill(forker.pid, SIGKILL);
	waitpid(forker.pid, NULL, 0);
	is_int(g.err.code, ERROR_NONE, "forker: its child has taken it");
	holder = vm_holder("first", g.pid);
	is_refused(second, disk_a, holder, "forker: dies, and the lease is held");
	kill(g.pid, SIGKILL);
	waitpid(g.pid, NULL, 0); /* we are its reaper */
	ok(is_free(second), "forker: until the holder dies");
	close(forker.to);
	close(forker.from);
	close(report[0]);
	close(report[1]);
}

static void test_shared(void)
{
	_cleanup_(lease_set_free_p) struct lease_set *shared = plan_one(&lockd, "shared", disk_a, true),
						     *too = plan_one(&lockd, "too", disk_a, true),
						     *alone = plan_one(&lockd, "alone", disk_a, false);
	struct holder h = hold(shared), h2 = hold(too);
	struct error err;

	ok(h.err.code == ERROR_NONE && h2.err.code == ERROR_NONE, "shared: by two");
	is_int(try_take(alone, &err), ERROR_IN_USE, "shared: not by one alone");
	holder_end(&h);
	is_int(try_take(alone, &err), ERROR_IN_USE, "shared: not while one of them is left");
	holder_end(&h2);
	h = hold(alone);
	is_int(h.err.code, ERROR_NONE, "shared: by one alone after them");
	is_int(try_take(shared, &err), ERROR_IN_USE, "shared: not beside one alone");
	holder_end(&h);
}

static void test_all_or_nothing(void)
{
	_cleanup_(lease_set_free_p) struct lease_set *a = plan_one(&lockd, "a", disk_a, false),
						     *b = plan_one(&lockd, "b", disk_b, false),
						     *ab = plan_both("ab");
	struct holder hb = hold(b), hab = hold(ab);
	_cleanup_free_ char *start = xasprintf("disk %s is in use: ", disk_b);

	ok(hab.err.code == ERROR_IN_USE && startswith(hab.err.message, start),
		"all or nothing: refused for its second disk");
	ok(is_free(a), "all or nothing: its first is free, though it lives");
	holder_end(&hab);
	holder_end(&hb);
	hab = hold(ab);
	is_int(hab.err.code, ERROR_NONE, "all or nothing: all, when they can be had");
	ok(!is_free(a) && !is_free(b), "all or nothing: both are held");
	holder_end(&hab);
}

/* ---- virtlockd ---- */

static void test_virtlockd(void)
{
	_cleanup_(lease_set_free_p) struct lease_set *alone = plan_one(&lockd, "alone", disk_a, false),
						     *shared = plan_one(&lockd, "shared", disk_a, true);
	struct posix_lock p = {disk_a, F_WRLCK};
	_cleanup_free_ char *holder = NULL, *reader = NULL;
	struct holder h = hold_with(lock_posix, &p);

	is_int(h.err.code, ERROR_NONE, "virtlockd: has it");
	holder = xasprintf("process virtlockd (pid %d) holds its lease", (int)h.pid);
	is_refused(alone, disk_a, holder, "virtlockd: we are refused");
	is_refused(shared, disk_a, holder, "virtlockd: shared, too");
	holder_end(&h);
	p.type = F_RDLCK;
	h = hold_with(lock_posix, &p);
	ok(is_free(shared), "virtlockd: shared with us");
	reader = xasprintf("process virtlockd (pid %d) holds its lease", (int)h.pid);
	is_refused(alone, disk_a, reader, "virtlockd: but not by us alone");
	holder_end(&h);

	h = hold(alone);
	ok(try_posix(disk_a, F_WRLCK) == ERROR_IN_USE && try_posix(disk_a, F_RDLCK) == ERROR_IN_USE,
		"virtlockd: is refused");
	holder_end(&h);
	h = hold(shared);
	is_int(try_posix(disk_a, F_WRLCK), ERROR_IN_USE, "virtlockd: is refused what is shared");
	is_int(try_posix(disk_a, F_RDLCK), ERROR_NONE, "virtlockd: shares it");
	holder_end(&h);
}

/* ---- file_lockspace_dir ---- */

static void test_lockspace_directory(void)
{
	/* Of no file that is there: the lock file alone counts. */
	_cleanup_(lease_set_free_p) struct lease_set *set = plan_one(&lockd_in_directory, "first",
							     "/s/vm.qcow2", false),
						     *second = plan_one(&lockd_in_directory, "second",
							     "/s/vm.qcow2", false);
	_cleanup_free_ char *file = xasprintf(
				    "%s/5743dfacd69501ea333c5878fa63f5604f8cc6dd609c304da04746f71b604620",
				    lockd_in_directory.file_lockspace_dir),
			    *holder = NULL;
	struct holder h = hold(set);
	struct stat st = {0};

	is_int(h.err.code, ERROR_NONE, "directory: taken");
	ok(stat(file, &st) == 0 && st.st_mode == (S_IFREG | 0600), "directory: its file is named by SHA-256");
	holder = xasprintf("VM first on host h1 (pid %d) holds its lease", (int)h.pid);
	is_refused(second, "/s/vm.qcow2", holder, "directory: not by a second");
	holder_end(&h);
	ok(is_free(second), "directory: free when its holder is dead");
	unlink(file);

	/* It may be that the file system with the directory is not mounted. */
	rmdir(lockd_in_directory.file_lockspace_dir);
	h = hold(set);
	ok(h.err.code == ERROR_SYSTEM && h.err.errnum == ENOENT &&
			access(lockd_in_directory.file_lockspace_dir, F_OK) < 0,
		"directory: not made when it is missing");
	holder_end(&h);
	mkdir(lockd_in_directory.file_lockspace_dir, 0700);
}

/* ---- stopped between two system calls ---- */

/* Called before the n-th time (from 1) that byte 0 is about to be locked. */
typedef void (*before_lock_fn)(unsigned n, const char *file);

static bool is_lock_of_byte_0(pid_t pid, const struct __ptrace_syscall_info *info)
{
	struct flock lock = {0};
	struct iovec here = {&lock, sizeof(lock)},
		     there = {(void *)(uintptr_t)info->entry.args[2], sizeof(lock)};

	return info->op == PTRACE_SYSCALL_INFO_ENTRY && info->entry.nr == SYS_fcntl &&
	       info->entry.args[1] == F_OFD_SETLK &&
	       process_vm_readv(pid, &here, 1, &there, 1, 0) == sizeof(lock) && lock.l_start == 0 &&
	       lock.l_type != F_UNLCK;
}

/* Until it has told how it went. False: this cannot be done here. */
static bool trace(struct holder *h, before_lock_fn before_lock, const char *file)
{
	struct __ptrace_syscall_info info;
	unsigned n = 0;
	int status;

	if (waitpid(h->pid, &status, 0) != h->pid || !WIFSTOPPED(status) ||
		ptrace(PTRACE_SETOPTIONS, h->pid, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) < 0)
		return false;
	for (;;) {
		if (ptrace(PTRACE_SYSCALL, h->pid, NULL, NULL) < 0 || waitpid(h->pid, &status, 0) < 0 ||
			!WIFSTOPPED(status))
			return false;
		if (WSTOPSIG(status) != (SIGTRAP | 0x80))
			continue;
		if (ptrace(PTRACE_GET_SYSCALL_INFO, h->pid, (void *)sizeof(info), &info) < 0)
			return false;
		if (is_lock_of_byte_0(h->pid, &info))
			before_lock(++n, file);
		else if (info.op == PTRACE_SYSCALL_INFO_ENTRY && info.entry.nr == SYS_write &&
			 info.entry.args[2] == sizeof(struct error))
			break;
	}
	ptrace(PTRACE_DETACH, h->pid, NULL, NULL);
	holder_hear(h);
	return true;
}

static void remove_once(unsigned n, const char *file)
{
	if (n == 1)
		unlink(file);
}

static void replace_once(unsigned n, const char *file)
{
	if (n > 1)
		return;
	unlink(file);
	make_file(file);
}

static void remove_always(unsigned n, const char *file)
{
	unlink(file);
}

static void do_nothing(unsigned n, const char *file)
{
}

static size_t count_held(struct lease_set *set, pid_t pid)
{
	size_t n = 0;

	return lease_driver_lockd->inquire(set, pid, &n, NULL, NULL) < 0 ? 99 : n;
}

static void test_removed_meanwhile(before_lock_fn before_lock, bool taken, const char *name)
{
	_cleanup_(lease_set_free_p) struct lease_set *set = plan_one(&lockd_in_directory, "first",
							     "/s/vm.qcow2", false),
						     *second = plan_one(&lockd_in_directory, "second",
							     "/s/vm.qcow2", false);
	const char *file = set->items.items[0].file;
	struct holder h = holder_start(holder_take, set, true);
	struct error err;

	if (!trace(&h, before_lock, file)) {
		holder_end(&h);
		ok(true, "removed meanwhile: # SKIP no ptrace here");
		return;
	}
	is_int(h.err.code, taken ? ERROR_NONE : ERROR_OPERATION_FAILED, name);
	if (taken) {
		is_int(try_take(second, &err), ERROR_IN_USE, "... what has the name is locked");
		is_int(count_held(set, h.pid), 1, "... and found as such");
	} else {
		ok(strstr(h.err.message, "the lock file of disk /s/vm.qcow2, is being removed again and "
					 "again"),
			"... and says what goes on");
	}
	holder_end(&h);
	ok(is_free(second), "... and free afterwards");
	unlink(file);
}

struct borrower {
	struct lease_set *set;
	pid_t pid;
};

static int take_for(void *userdata, int to, struct error *err)
{
	struct borrower *b = userdata;

	return lease_driver_lockd->acquire(b->set, b->pid, NULL, err);
}

/* QEMU has given it back, another has used it and removed its file, just while QEMU shall have it again. */
static void test_removed_before_retaken(before_lock_fn before_lock, bool taken)
{
	_cleanup_(lease_set_free_p) struct lease_set *set = plan_one(&lockd_in_directory, "first",
							     "/s/vm.qcow2", false),
						     *second = plan_one(&lockd_in_directory, "second",
							     "/s/vm.qcow2", false);
	const char *file = set->items.items[0].file;
	struct holder qemu = hold_with(holder_take_later, set), other = {0};
	struct borrower b = {set, qemu.pid};
	struct holder h = holder_start(take_for, &b, true);

	if (!trace(&h, before_lock, file)) {
		ok(true, "removed before it is retaken: # SKIP no ptrace here");
	} else {
		other = hold(second);
		is_int(h.err.code, taken ? ERROR_NONE : ERROR_OPERATION_FAILED,
			taken ? "retaken: the file is there" : "retaken: not if the file was replaced");
		is_int(other.err.code, taken ? ERROR_IN_USE : ERROR_NONE, "... and one of the two has it");
	}
	holder_end(&other);
	holder_end(&h);
	holder_end(&qemu);
	unlink(file);
}

/* ---- what cannot be locked ---- */

static int take_as_nobody(void *userdata, int to, struct error *err)
{
	if (geteuid() == 0 && setresuid(NOBODY, NOBODY, NOBODY) < 0)
		return error_errno(err, errno, "setresuid");
	return lease_take_here(userdata, true, err);
}

static void is_error(struct holder h, const char *path, const char *why, const char *name)
{
	_cleanup_free_ char *want = xasprintf("open %s for the lease of disk %s: %s", path, path, why);

	holder_end(&h);
	is_int(h.err.code, ERROR_SYSTEM, name);
	is_str(h.err.message, want, "... and says which");
}

static void test_not_lockable(void)
{
	_cleanup_free_ char *nothing = xasprintf("%s/nothing", test_directory),
			    *secret = xasprintf("%s/secret", test_directory);
	_cleanup_(lease_set_free_p) struct lease_set *missing = plan_one(&lockd, "vm", nothing, false),
						     *dir = plan_one(&lockd, "vm", test_directory, false),
						     *closed = plan_one(&lockd, "vm", secret, false);

	is_error(hold(missing), nothing, "No such file or directory", "no lock: the disk is missing");
	is_error(hold(dir), test_directory, "Is a directory", "no lock: it is a directory");
	make_file(secret);
	chmod(secret, 0);
	is_error(hold_with(take_as_nobody, closed), secret, "Permission denied",
		"no lock: it may not be opened");
}

int main(void)
{
	prepare_disks();
	test_exclusion();
	test_forker_dies();
	test_shared();
	test_all_or_nothing();
	test_virtlockd();
	test_lockspace_directory();
	test_removed_meanwhile(do_nothing, true, "undisturbed: taken");
	test_removed_meanwhile(remove_once, true, "removed meanwhile: taken");
	test_removed_meanwhile(replace_once, true, "replaced meanwhile: taken");
	test_removed_meanwhile(remove_always, false, "removed again and again: given up");
	test_removed_before_retaken(do_nothing, true);
	test_removed_before_retaken(replace_once, false);
	test_not_lockable();
	ok(remove_disks(), "nothing is left");
	return done_testing();
}
