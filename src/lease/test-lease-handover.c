/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Leases of living processes: asked for, given back and taken; and what their notes say of whom. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "fake-holder.h"
#include "file.h"
#include "process.h"

/* ---- hand-over ---- */

struct answer {
	unsigned n;
	size_t n_held;
	int fd; /* a copy; -1: none came */
	struct error err;
};

static void answered(const struct lease_answer *answer, const struct error *err, void *userdata)
{
	struct answer *a = userdata;

	a->n++;
	a->n_held = answer->n_held;
	a->fd = answer->fd < 0 ? -1 : fcntl(answer->fd, F_DUPFD_CLOEXEC, 3);
	a->err = err ? *err : (struct error)ERROR_INIT;
	if (!err && !streq(answer->state, ""))
		error_set(&a->err, ERROR_INTERNAL, "lockd has no state");
}

static struct answer request(
	sd_event *loop, const struct lease_set *set, enum lease_operation operation, pid_t pid)
{
	struct lease_request *r = NULL;
	struct answer a = {0};
	struct error err = ERROR_INIT;

	if (lease_request_start(loop, set, operation, pid, NULL, answered, &a, &r, &err) < 0)
		BAIL_OUT("%s", err.message);
	while (a.n == 0)
		sd_event_run(loop, UINT64_MAX);
	lease_request_free(r);
	return a;
}

static bool succeeds(sd_event *loop, const struct lease_set *set, enum lease_operation operation, pid_t pid)
{
	struct answer a = request(loop, set, operation, pid);

	if (a.err.code != ERROR_NONE)
		printf("# %s\n", a.err.message);
	return a.n == 1 && a.err.code == ERROR_NONE;
}

static void test_hand_over(sd_event *loop)
{
	_cleanup_(lease_set_free_p) struct lease_set *ab = plan_both("source"),
						     *b = plan_one(&lockd, "target", disk_b, false),
						     *a = plan_one(&lockd, "a", disk_a, false);
	struct holder source = hold(ab), target = {0};
	struct answer refused;

	is_int(request(loop, ab, LEASE_INQUIRE, source.pid).n_held, 2, "hand-over: both held");
	ok(succeeds(loop, ab, LEASE_RELEASE, source.pid), "hand-over: given back by a living holder");
	is_int(request(loop, ab, LEASE_INQUIRE, source.pid).n_held, 0, "hand-over: none held");
	ok(succeeds(loop, ab, LEASE_RELEASE, source.pid), "hand-over: given back again");
	target = hold(b);
	is_int(target.err.code, ERROR_NONE, "hand-over: the other has it");

	refused = request(loop, ab, LEASE_ACQUIRE, source.pid);
	is_int(refused.err.code, ERROR_IN_USE, "hand-over: not back while the other has it");
	ok(strstr(refused.err.message, disk_b), "hand-over: and says which disk");
	is_int(request(loop, ab, LEASE_INQUIRE, source.pid).n_held, 0, "hand-over: not even one of two");
	ok(is_free(a), "hand-over: the first is free");
	holder_end(&target);
	ok(succeeds(loop, ab, LEASE_ACQUIRE, source.pid), "hand-over: back, the other being dead");
	ok(succeeds(loop, ab, LEASE_ACQUIRE, source.pid), "hand-over: and again");
	is_int(request(loop, ab, LEASE_INQUIRE, source.pid).n_held, 2, "hand-over: both held again");
	ok(!is_free(a) && !is_free(b), "hand-over: nobody else can have them");
	holder_end(&source);
	ok(is_free(a) && is_free(b), "hand-over: what was taken back dies with its holder, too");
}

static void test_target(sd_event *loop)
{
	_cleanup_(lease_set_free_p) struct lease_set *set = plan_one(&lockd, "vm", disk_a, false);
	_cleanup_free_ char *holder = NULL;
	struct holder source = hold(set), target = hold_with(holder_take_later, set);

	is_int(target.err.code, ERROR_NONE, "target: starts beside the source");
	is_int(request(loop, set, LEASE_INQUIRE, target.pid).n_held, 0, "target: holds nothing");
	is_int(request(loop, set, LEASE_ACQUIRE, target.pid).err.code, ERROR_IN_USE, "target: is refused");
	ok(succeeds(loop, set, LEASE_RELEASE, source.pid) && succeeds(loop, set, LEASE_ACQUIRE, target.pid),
		"target: has it when the source has given it back");
	is_int(request(loop, set, LEASE_ACQUIRE, source.pid).err.code, ERROR_IN_USE,
		"target: the source has not");
	is_int(request(loop, set, LEASE_INQUIRE, target.pid).n_held, 1, "target: holds it");
	holder = vm_holder("vm", target.pid);
	is_refused(set, disk_a, holder, "target: is named");
	holder_end(&target);
	ok(succeeds(loop, set, LEASE_ACQUIRE, source.pid), "target: dies, and the source has it back");
	holder_end(&source);
}

/* One of two cannot be had again: the other, held all along, is not touched. */
static void test_keeps_what_it_holds(sd_event *loop)
{
	_cleanup_(lease_set_free_p) struct lease_set *ab = plan_both("vm"),
						     *a = plan_one(&lockd, "other", disk_a, false);
	_cleanup_free_ char *aside = xasprintf("%s.aside", disk_b);
	struct holder h = hold(ab);

	rename(disk_b, aside);
	make_file(disk_b);
	is_int(request(loop, ab, LEASE_ACQUIRE, h.pid).err.code, ERROR_OPERATION_FAILED,
		"held: a second disk was replaced");
	is_int(request(loop, ab, LEASE_INQUIRE, h.pid).n_held, 1, "held: the first is still held");
	ok(!is_free(a), "held: and by nobody else to be had");
	rename(aside, disk_b);
	ok(succeeds(loop, ab, LEASE_ACQUIRE, h.pid), "held: the disk is back, and all is as it was");
	holder_end(&h);
}

static void test_no_descriptor(sd_event *loop)
{
	_cleanup_(lease_set_free_p) struct lease_set *a = plan_one(&lockd, "vm", disk_a, false),
						     *b = plan_one(&lockd, "vm", disk_b, false);
	_cleanup_free_ char *want = NULL;
	struct holder h = hold(b);
	struct answer answer = request(loop, a, LEASE_ACQUIRE, h.pid);

	want = xasprintf("take leases: QEMU (pid %d) has no descriptor for the lease of disk %s: ",
		(int)h.pid, disk_a);
	ok(answer.err.code == ERROR_OPERATION_FAILED && startswith(answer.err.message, want),
		"no descriptor: said so");
	is_int(request(loop, a, LEASE_INQUIRE, h.pid).n_held, 0, "no descriptor: holds nothing");
	holder_end(&h);
	answer = request(loop, b, LEASE_RELEASE, h.pid);
	is_int(answer.err.code, ERROR_OPERATION_FAILED, "no descriptor: nor has a dead process");
}

static void test_forgotten_request(sd_event *loop)
{
	_cleanup_(lease_set_free_p) struct lease_set *set = plan_one(&lockd, "vm", disk_a, false);
	struct holder h = hold(set);
	struct lease_request *r = NULL;
	struct answer a = {0};

	if (lease_request_start(loop, set, LEASE_INQUIRE, h.pid, NULL, answered, &a, &r, NULL) < 0)
		BAIL_OUT("cannot ask");
	lease_request_free(r);
	is_int(request(loop, set, LEASE_INQUIRE, h.pid).n_held, 1, "forgotten: another request is answered");
	is_int(a.n, 0, "forgotten: this one is not");
	holder_end(&h);
}

/* ---- one more, one less ---- */

static void test_add(sd_event *loop)
{
	_cleanup_(lease_set_free_p) struct lease_set *a = plan_one(&lockd, "vm", disk_a, false),
						     *b = plan_one(&lockd, "vm", disk_b, false),
						     *other = plan_one(&lockd, "other", disk_b, false);
	_cleanup_free_ char *holder = NULL;
	struct holder qemu = hold(a), rival;
	struct answer answer = request(loop, b, LEASE_ADD, qemu.pid);

	ok(answer.err.code == ERROR_NONE && answer.fd >= 0, "add: a descriptor comes");
	is_int(try_take(other, &answer.err), ERROR_IN_USE, "add: which holds the lease");
	is_int(request(loop, b, LEASE_INQUIRE, getpid()).n_held, 1, "add: for whoever has it");
	is_int(request(loop, b, LEASE_ADD, qemu.pid).err.code, ERROR_IN_USE, "add: not twice");
	ok(succeeds(loop, b, LEASE_REMOVE, qemu.pid), "add: it never got there, so nothing is to be removed");
	ok(!is_free(other), "add: and nothing is");
	close(answer.fd);
	ok(is_free(other), "add: with it the lease goes");
	rival = hold(other);
	holder = vm_holder("other", rival.pid);
	answer = request(loop, b, LEASE_ADD, qemu.pid);
	ok(answer.err.code == ERROR_IN_USE && answer.fd < 0 && strstr(answer.err.message, holder),
		"add: refused, naming who has it");
	is_int(request(loop, a, LEASE_INQUIRE, qemu.pid).n_held, 1, "add: what was held is held");
	holder_end(&rival);
	holder_end(&qemu);
}

static void test_remove(sd_event *loop)
{
	_cleanup_(lease_set_free_p) struct lease_set *ab = plan_both("vm"),
						     *a = plan_one(&lockd, "vm", disk_a, false),
						     *b = lease_set_subtract(ab, a),
						     *none = lease_set_subtract(a, ab);
	struct holder qemu = hold(ab);

	ok(b->items.n == 1 && streq(b->items.items[0].file, disk_b) && none->items.n == 0,
		"remove: a set is what another has not");
	ok(lease_set_overlaps(ab, a) && !lease_set_overlaps(b, a), "remove: what is in both is known");
	ok(succeeds(loop, b, LEASE_REMOVE, qemu.pid) && is_free(b) && !is_free(a), "remove: one of two");
	ok(succeeds(loop, b, LEASE_REMOVE, qemu.pid), "remove: again");
	is_int(request(loop, b, LEASE_ACQUIRE, qemu.pid).err.code, ERROR_OPERATION_FAILED,
		"remove: its descriptor is the lease's no more");
	is_int(request(loop, a, LEASE_INQUIRE, qemu.pid).n_held, 1, "remove: the other stays");
	holder_end(&qemu);
	ok(succeeds(loop, a, LEASE_REMOVE, qemu.pid), "remove: of a dead process");
}

/* ---- a QEMU that has its disk open itself ---- */

/* With the shared locks that block/file-posix.c takes on bytes from 100 and from 200. */
static int open_as_qemu(const char *path)
{
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 100, .l_len = 4};
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0 || fcntl(fd, F_OFD_SETLK, &lock) < 0)
		return -1;
	lock.l_start = 200;
	return fcntl(fd, F_OFD_SETLK, &lock) < 0 ? -1 : fd;
}

static int take_as_qemu(void *userdata, int to, struct error *err)
{
	holder_others[0] = open_as_qemu(disk_a);
	if (lease_take_here(userdata, true, err) < 0)
		return -1;
	holder_others[1] = open_as_qemu(disk_a);
	return holder_others[0] < 0 || holder_others[1] < 0 ? error_set(err, ERROR_INTERNAL, "open as QEMU")
							    : 0;
}

static void test_other_descriptors(sd_event *loop)
{
	_cleanup_(lease_set_free_p) struct lease_set *set = plan_one(&lockd, "vm", disk_a, false),
						     *second = plan_one(&lockd, "second", disk_a, false);
	struct holder h = hold_with(take_as_qemu, set);
	char byte;

	is_int(h.err.code, ERROR_NONE, "QEMU: holds it, and has its disk open twice");
	is_int(request(loop, set, LEASE_INQUIRE, h.pid).n_held, 1, "QEMU: which is seen");
	ok(succeeds(loop, set, LEASE_RELEASE, h.pid) && is_free(second), "QEMU: gives it back");
	ok(succeeds(loop, set, LEASE_ACQUIRE, h.pid) && !is_free(second), "QEMU: takes it again");
	if (write_full(h.to, "", 1) < 0 || read_full(h.from, &byte, 1) != 1)
		BAIL_OUT("a holder died");
	ok(!is_free(second), "QEMU: closing its own descriptors loses nothing");
	ok(try_posix(disk_a, F_WRLCK) == ERROR_IN_USE, "QEMU: towards virtlockd, neither");
	is_int(request(loop, set, LEASE_INQUIRE, h.pid).n_held, 1, "QEMU: it is still seen");
	ok(succeeds(loop, set, LEASE_RELEASE, h.pid) && is_free(second), "QEMU: and given back");
	holder_end(&h);
}

/* ---- notes ---- */

static void write_note(const struct lease_item *item, const char *text, size_t len)
{
	_cleanup_close_ int fd = open(item->file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || (item->is_own ? ftruncate(fd, 0) < 0 || pwrite_full(fd, text, len, 0) < 0
				    : fsetxattr(fd, NOTE_ATTRIBUTE, text, len, 0) < 0))
		BAIL_OUT("write a note: %s", strerror(errno));
}

static char *make_note(int version, const char *boot, pid_t pid, uint64_t start_time)
{
	return xasprintf(
		"{\"format\":\"godwit-lease\",\"version\":%d,\"host\":\"h9\",\"boot\":\"%s\",\"pid\":%d,"
		"\"start_time\":%llu,\"vm\":\"ghost\",\"uuid\":\"\"}",
		version, boot, (int)pid, (unsigned long long)start_time);
}

/* Locked as another host's godwit has it, who could not leave a note. */
static int lock_silently(void *userdata, int to, struct error *err)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
	int fd = open(userdata, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	return fd >= 0 && fcntl(fd, F_OFD_SETLK, &lock) == 0 ? 0 : error_set(err, ERROR_SYSTEM, "lock");
}

static void test_note(struct lease_set *set, const char *path, const char *text, size_t len, const char *who,
	const char *name)
{
	const struct lease_item *item = &set->items.items[0];
	struct holder h = hold_with(lock_silently, item->file);

	write_note(item, text, len);
	is_refused(set, path, who, name);
	holder_end(&h);
	write_note(item, text, len);
	ok(is_free(set), "... and keeps nobody out");
}

static void test_notes(struct lease_set *set, const char *path)
{
	static const char garbage[] = "\0\377{]", not_whole[] = "{\"format\":\"godwit-lease\",\"version\":1,",
			  no_object[] = "[1]", empty[] = "";
	static const char *const there =
		"VM ghost on host h9 (pid 1) holds its lease, as it noted there when it took it";
	_cleanup_free_ char *boot = NULL, *dead = NULL, *recycled = NULL, *other_boot = NULL, *newer = NULL;
	struct holder h = hold_with(holder_take_later, set);
	uint64_t start_time = 0;
	pid_t gone = h.pid;

	if (file_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, &boot, NULL, NULL) < 0 ||
		process_find_start_time(h.pid, &start_time) < 0)
		BAIL_OUT("no /proc");
	holder_end(&h);
	boot[strcspn(boot, "\n")] = '\0';
	dead = make_note(1, boot, gone, start_time);
	recycled = make_note(1, boot, getpid(), start_time + 1000000);
	other_boot = make_note(1, "c7a5fdbd-edaf-9455-926a-d65c16db1809", 1, 1);
	newer = make_note(2, "c7a5fdbd-edaf-9455-926a-d65c16db1809", 1, 1);
	test_note(set, path, dead, strlen(dead), UNKNOWN_HOLDER, "note: of a dead process is not believed");
	test_note(set, path, recycled, strlen(recycled), UNKNOWN_HOLDER,
		"note: of a process whose pid is another's now");
	test_note(set, path, other_boot, strlen(other_boot), there, "note: of elsewhere is told as such");
	test_note(set, path, newer, strlen(newer), UNKNOWN_HOLDER, "note: of another version");
	test_note(set, path, garbage, sizeof(garbage), UNKNOWN_HOLDER, "note: garbage");
	test_note(set, path, not_whole, strlen(not_whole), UNKNOWN_HOLDER, "note: not whole");
	test_note(set, path, no_object, strlen(no_object), UNKNOWN_HOLDER, "note: no object");
	test_note(set, path, empty, 0, UNKNOWN_HOLDER, "note: empty");
}

/* It lives, but it is somebody else who holds it now. */
static void test_note_of_earlier_holder(sd_event *loop, struct lease_set *set, const char *path)
{
	struct holder earlier = hold(set), h;

	ok(succeeds(loop, set, LEASE_RELEASE, earlier.pid), "note: its holder gives the lease back");
	h = hold_with(lock_silently, set->items.items[0].file);
	is_refused(set, path, UNKNOWN_HOLDER, "note: of one who lives, and holds it no longer");
	holder_end(&h);
	holder_end(&earlier);
}

static void test_all_notes(sd_event *loop)
{
	_cleanup_(lease_set_free_p) struct lease_set *inside = plan_one(
							     &lockd_in_directory, "vm", "/s/vm.qcow2", false),
						     *attribute = plan_one(&lockd, "vm", disk_a, false);

	test_notes(inside, "/s/vm.qcow2");
	test_note_of_earlier_holder(loop, inside, "/s/vm.qcow2");
	if (!has_attributes) {
		ok(true, "note: # SKIP no attributes here");
		return;
	}
	test_notes(attribute, disk_a);
	test_note_of_earlier_holder(loop, attribute, disk_a);
}

int main(void)
{
	sd_event *loop = NULL;

	if (sd_event_new(&loop) < 0)
		BAIL_OUT("no loop");
	prepare_disks();
	test_hand_over(loop);
	test_target(loop);
	test_keeps_what_it_holds(loop);
	test_no_descriptor(loop);
	test_forgotten_request(loop);
	test_add(loop);
	test_remove(loop);
	test_other_descriptors(loop);
	test_all_notes(loop);
	ok(remove_disks(), "nothing is left");
	sd_event_unref(loop);
	return done_testing();
}
