/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Working on an image (image-work.h). What runs in the thread blocks in reads and cannot be called back, so Ctrl-C ends
 * the program as it always does; only what would be left behind is removed before.
 */
#include "image-work.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

#include "alloc.h"
#include "clock.h"
#include "job-watch.h"
#include "progress.h"

#define POLL_MS	    200
#define THREADS_MAX 4

struct running {
	const struct image_work *work;
	struct image_progress progress;
	int result, bell;
	struct error error;
	struct progress shown;
	bool drawn;
};

static void *work_thread(void *arg)
{
	struct running *r = arg;
	uint64_t one = 1;

	r->result = r->work->run(r->work->userdata, &r->progress, &r->error);
	(void)!write(r->bell, &one, sizeof(one));
	return NULL;
}

static void draw(struct running *r)
{
	_cleanup_free_ char *title = xasprintf("%s %s", r->work->title, r->work->object), *line = NULL;
	uint64_t now = clock_now();

	progress_update(&r->shown, now, r->progress.processed, r->progress.total);
	line = progress_format(&r->shown, title, terminal_columns(), now);
	fprintf(stderr, "\r%s\033[K", line);
	fflush(stderr);
	r->drawn = true;
}

_Noreturn static void give_up(const struct running *r)
{
	if (r->work->remove)
		unlink(r->work->remove);
	if (r->drawn)
		fputc('\n', stderr);
	_exit(STATUS_INTERRUPTED);
}

static void wait_for_end(struct running *r, int interrupt)
{
	bool show = job_watch_wanted(r->work->cli, false);

	for (;;) {
		struct pollfd fds[] = {
			{.fd = r->bell, .events = POLLIN}, {.fd = interrupt, .events = POLLIN}};

		poll(fds, ARRAY_SIZE(fds), show ? POLL_MS : -1);
		if (fds[1].revents)
			give_up(r);
		if (fds[0].revents)
			break;
		if (show)
			draw(r);
	}
	if (r->drawn)
		fputs("\r\033[K", stderr);
}

int image_work_run(const struct image_work *work, struct error *err)
{
	struct running r = {.work = work};
	_cleanup_interrupt_ int interrupt = interrupt_fd_open(err);
	_cleanup_close_ int bell = eventfd(0, EFD_CLOEXEC);
	pthread_t thread;
	int e;

	if (interrupt < 0)
		return -1;
	/* A stream whose reader is gone is an error like others. */
	signal(SIGPIPE, SIG_IGN);
	progress_init(&r.shown, clock_now());
	r.bell = bell;
	e = bell < 0 ? errno : pthread_create(&thread, NULL, work_thread, &r);
	if (e != 0)
		return error_errno(err, e, "start a thread");
	wait_for_end(&r, interrupt);
	pthread_join(thread, NULL);
	return r.result < 0 ? error_copy(err, &r.error) : 0;
}

unsigned image_work_threads(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : n > THREADS_MAX ? THREADS_MAX : (unsigned)n;
}
