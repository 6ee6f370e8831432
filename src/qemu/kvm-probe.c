/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Running the probe guest under KVM and judging how far it comes. Why so: docs/decisions/kvm-usable.md. */
#include "kvm-probe.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

#include "alloc.h"
#include "clock.h"
#include "file.h"
#include "probe-child.h"
#include "strv.h"

extern const char kvm_guest[], kvm_guest_end[];

#define FIRMWARE_SIZE (64u << 10)
/* The last word of kvm-probe-guest.S, when all went well; its steps are small letters. */
#define GUEST_DONE 'K'

/*
 * The guest needs 20 ms of a processor, and QEMU 50 ms to start. Whoever has burnt CPU_LIMIT without coming to
 * the end is interpreting instructions, however busy the host; who did not get that much has not been judged.
 */
#define CPU_LIMIT_NSEC	 (1000 * 1000000ll)
#define CHECK_EVERY_USEC (100 * USEC_PER_MSEC)
#define WALL_LIMIT_USEC	 (10 * USEC_PER_SEC)

struct kvm_probe {
	struct probe_child *child;
	int serial_fd;
	sd_event_source *serial, *timer;
	uint64_t deadline;
	char said[16]; /* the guest's letters */
	size_t n_said;
	kvm_probe_done_fn done;
	void *userdata;
};

static void finish(struct kvm_probe *p, enum kvm_verdict verdict, const char *what)
{
	kvm_probe_done_fn done = p->done;
	_cleanup_free_ char *text = NULL;

	if (!done)
		return;
	p->done = NULL;
	sd_event_source_set_enabled(p->timer, SD_EVENT_OFF);
	sd_event_source_set_enabled(p->serial, SD_EVENT_OFF);
	if (verdict == KVM_USABLE)
		text = xstrdup(what);
	else
		text = xasprintf("%s after steps \"%.*s\"", what, (int)p->n_said, p->said);
	done(verdict, text, p->userdata);
}

static int on_serial(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	struct kvm_probe *p = userdata;
	char byte;
	ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) { /* QEMU is gone; probe_child will say how */
		sd_event_source_set_enabled(s, SD_EVENT_OFF);
		return 0;
	}
	if (byte == GUEST_DONE)
		finish(p, KVM_USABLE, "a guest ran");
	else if (byte < 'a' || byte > 'z' || p->n_said == sizeof(p->said))
		finish(p, KVM_UNUSABLE, "a guest got wrong results");
	else
		p->said[p->n_said++] = byte;
	return 0;
}

static void on_event(const char *name, void *userdata)
{
	/* The virtual processor gave up (run state internal-error) or the guest crashed. */
	if (streq(name, "STOP") || streq(name, "SHUTDOWN") || streq(name, "RESET"))
		finish(userdata, KVM_UNUSABLE, "a guest was stopped");
}

static void on_ended(const struct error *why, void *userdata)
{
	finish(userdata, KVM_UNUSABLE, why->message);
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct kvm_probe *p = userdata;
	struct timespec used = {0};
	clockid_t clock;

	if (clock_getcpuclockid(probe_child_get_pid(p->child), &clock) == 0 &&
		clock_gettime(clock, &used) == 0 &&
		used.tv_sec * 1000000000ll + used.tv_nsec > CPU_LIMIT_NSEC)
		finish(p, KVM_UNUSABLE, "a guest ran far too slowly");
	else if (clock_now() > p->deadline)
		finish(p, KVM_UNDECIDED, "a guest was not done in time");
	else if (sd_event_source_set_time_relative(s, CHECK_EVERY_USEC) >= 0)
		sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
	return 0;
}

static void on_cont(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	if (err && err->code == ERROR_QEMU)
		finish(userdata, KVM_UNUSABLE, err->message);
}

/* The guest at the end of an otherwise empty firmware image. */
static int make_firmware(void)
{
	_cleanup_close_ int fd = memfd_create("kvm-probe", MFD_CLOEXEC);
	size_t len = (size_t)(kvm_guest_end - kvm_guest);

	if (fd < 0 || ftruncate(fd, FIRMWARE_SIZE) < 0 ||
		pwrite_full(fd, kvm_guest, len, FIRMWARE_SIZE - (off_t)len) < 0)
		return -1;
	return take_fd(&fd);
}

static int start_child(
	struct kvm_probe *p, sd_event *loop, const char *binary, int firmware, int serial, struct error *err)
{
	static const struct probe_child_ops ops = {.event = on_event, .ended = on_ended};
	_cleanup_(strv_fini) struct strv args = {0};

	strv_add(&args, "-no-reboot");
	strv_add(&args, "-machine");
	strv_add(&args, "pc,accel=kvm");
	strv_add(&args, "-cpu");
	strv_add(&args, "host");
	strv_add(&args, "-m");
	strv_add(&args, "16");
	strv_add(&args, "-bios");
	strv_addf(&args, "/proc/self/fd/%d", firmware);
	strv_add(&args, "-chardev");
	strv_addf(&args, "socket,id=serial,fd=%d", serial);
	strv_add(&args, "-serial");
	strv_add(&args, "chardev:serial");
	return probe_child_start(
		loop, binary, &args, (const int[]){firmware, serial}, 2, &ops, p, &p->child, err);
}

int kvm_probe_start(sd_event *loop, const char *binary, kvm_probe_done_fn done, void *userdata,
	struct kvm_probe **ret, struct error *err)
{
	struct kvm_probe *p = NEW(struct kvm_probe);
	_cleanup_close_ int firmware = make_firmware(), serial = -1;
	int pair[2], r;

	p->serial_fd = -1;
	p->done = done;
	p->userdata = userdata;
	p->deadline = clock_now() + WALL_LIMIT_USEC;
	if (firmware < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		error_errno(err, errno, "probe KVM");
		goto fail;
	}
	p->serial_fd = pair[0];
	serial = pair[1];
	r = sd_event_add_io(loop, &p->serial, p->serial_fd, EPOLLIN, on_serial, p);
	if (r >= 0)
		r = sd_event_add_time_relative(
			loop, &p->timer, CLOCK_MONOTONIC, CHECK_EVERY_USEC, USEC_PER_MSEC, on_timer, p);
	if (r < 0) {
		error_errno(err, -r, "probe KVM");
		goto fail;
	}
	if (start_child(p, loop, binary, firmware, serial, err) < 0)
		goto fail;
	/* Not before the monitor listens: its events tell of the end. */
	qmp_command(probe_child_get_qmp(p->child), "cont", NULL, -1, 0, on_cont, p);
	*ret = p;
	return 0;
fail:
	kvm_probe_free(p);
	return -1;
}

void kvm_probe_free(struct kvm_probe *p)
{
	if (!p)
		return;
	probe_child_free(p->child);
	sd_event_source_disable_unref(p->serial);
	sd_event_source_disable_unref(p->timer);
	if (p->serial_fd >= 0)
		close(p->serial_fd);
	free(p);
}
