/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The daemon's handle with the real godwit-io beside it (in the build directory, or GODWIT_IO): a helper that outlives its daemon, is
 * found again, and says where it stands.
 */
#include "pager.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "file.h"
#include "fixture-destination.h"
#include "fixture-image.h"
#include "fixture-io.h"

struct run {
	sd_event *loop;
	struct pager *pager;
	char directory[64], socket[96];
	unsigned servable, trouble, mended, lost, done;
	uint64_t memory;
	bool success;
	struct error error;
};

static void on_servable(struct pager *p, uint64_t memory, void *userdata)
{
	struct run *r = userdata;

	r->servable++;
	r->memory = memory;
}

static void on_trouble(struct pager *p, const struct error *err, void *userdata)
{
	struct run *r = userdata;

	r->trouble++;
	error_copy(&r->error, err);
}

static void on_mended(struct pager *p, void *userdata)
{
	((struct run *)userdata)->mended++;
}

static void on_lost(struct pager *p, void *userdata)
{
	((struct run *)userdata)->lost++;
}

static void on_done(struct pager *p, const struct error *err, void *userdata)
{
	struct run *r = userdata;

	r->done++;
	r->success = !err;
	error_copy(&r->error, err ? err : &(struct error)ERROR_INIT);
}

static const struct pager_ops run_ops = {.servable = on_servable,
	.trouble = on_trouble,
	.mended = on_mended,
	.lost = on_lost,
	.done = on_done};

static void wait_until(struct run *r, const unsigned *count)
{
	while (*count == 0 && sd_event_run(r->loop, UINT64_MAX) >= 0)
		;
}

static void run_init(struct run *r)
{
	*r = (struct run){.directory = "/tmp/godwit-test-pager-XXXXXX"};
	if (!mkdtemp(r->directory))
		abort();
	snprintf(r->socket, sizeof(r->socket), "%s/pager", r->directory);
	sd_event_new(&r->loop);
}

static void run_fini(struct run *r)
{
	pager_free(r->pager);
	sd_event_unref(r->loop);
	unlink(r->socket);
	rmdir(r->directory);
}

static void start(struct run *r, int fd)
{
	struct error err = ERROR_INIT;
	struct stat st = {0};
	int listening = pager_listen(r->socket, &err);

	okf(listening >= 0 && stat(r->socket, &st) == 0 && (st.st_mode & 0777) == 0600,
		"a socket for oneself: %s", err.message);
	okf(pager_start(r->loop,
		    &(struct pager_options){.program = fixture_io_program(),
			    .name = FIXTURE_IMAGE_NAME,
			    .file_fd = fd,
			    .listen_fd = listening},
		    &run_ops, r, &r->pager, &err) == 0,
		"started: %s", err.message);
	close(listening);
	wait_until(r, r->pager ? &r->servable : &r->done);
}

static int make_image(void)
{
	_cleanup_(buf_fini) struct buf stream = {0};

	fixture_stream(&stream, false);
	return fixture_image(IMAGE_FORMAT_RAW, &stream);
}

static void connect_pager(struct run *r, struct destination *d, bool resume)
{
	destination_listen(d, true);
	pager_connect(r->pager, d->server_main_fd, d->server_urgent_fd, resume);
	close(d->server_main_fd);
	close(d->server_urgent_fd);
	d->server_main_fd = d->server_urgent_fd = -1;
}

static void find_again(struct run *r)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct error err = ERROR_INIT;

	memcpy(address.sun_path, r->socket, strlen(r->socket));
	ok(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0, "it is where it was");
	r->servable = r->trouble = r->mended = r->lost = 0;
	okf(pager_reconnect(r->loop, fd, &run_ops, r, &r->pager, &err) == 0, "found again: %s", err.message);
}

/* Its daemon goes, QEMU goes; another daemon finds it, and they go on. */
static void test_outlives_its_daemon(void)
{
	_cleanup_close_ int fd = make_image();
	struct transfer_progress progress;
	struct destination d;
	struct run r;

	run_init(&r);
	destination_init(&d);
	start(&r, fd);
	ok(r.servable == 1 && r.memory == d.n_pages * RAM_PAGE, "it can be served");
	connect_pager(&r, &d, false);
	ok(destination_begin(&d), "connected");
	pager_go(r.pager);
	ok(destination_section(&d), "it fills");
	pager_free(TAKE_PTR(r.pager));
	ok(destination_section(&d), "and goes on without a daemon");
	destination_hang_up(&d);

	find_again(&r);
	wait_until(&r, &r.lost);
	ok(r.servable == 1 && r.lost == 1 && r.memory == d.n_pages * RAM_PAGE && r.trouble == 0,
		"it says where it stands");
	connect_pager(&r, &d, true);
	ok(destination_recover(&d), "recovered");
	destination_preempt(&d);
	ok(destination_finish(&d), "all of it");
	wait_until(&r, &r.done);
	pager_get_progress(r.pager, &progress);
	okf(r.success && r.done == 1 && progress.processed == progress.total, "done: %s", r.error.message);
	destination_fini(&d);
	run_fini(&r);
}

static void *finish_thread(void *arg)
{
	return destination_finish(arg) ? arg : NULL;
}

static void test_trouble(void)
{
	_cleanup_close_ int fd = make_image();
	struct destination d;
	pthread_t finisher;
	void *finished;
	struct run r;

	run_init(&r);
	destination_init(&d);
	start(&r, fd);
	fixture_image_flip(fd, 80000);
	connect_pager(&r, &d, false);
	ok(destination_begin(&d), "connected");
	destination_preempt(&d);
	pthread_create(&finisher, NULL, finish_thread, &d);
	pager_go(r.pager);
	wait_until(&r, &r.trouble);
	okf(r.error.code == ERROR_DAMAGED, "trouble: %s", r.error.message);
	pager_free(TAKE_PTR(r.pager));

	find_again(&r);
	wait_until(&r, &r.trouble);
	ok(r.lost == 0 && r.mended == 0, "a new daemon hears of it");
	fixture_image_flip(fd, 80000);
	pager_retry(r.pager);
	wait_until(&r, &r.mended);
	ok(r.trouble == 1, "mended");
	pthread_join(finisher, &finished);
	ok(finished, "all of it");
	wait_until(&r, &r.done);
	ok(r.success, "done");
	destination_fini(&d);
	run_fini(&r);
}

static void test_ends(void)
{
	_cleanup_close_ int fd = make_image(), none = memfd_create("none", MFD_CLOEXEC);
	struct destination d;
	struct run r;

	run_init(&r);
	destination_init(&d);
	start(&r, fd);
	connect_pager(&r, &d, false);
	ok(destination_begin(&d), "connected");
	pager_free(TAKE_PTR(r.pager));
	ok(!destination_section(&d), "freed before the guest may run, the helper ends");
	run_fini(&r);

	run_init(&r);
	start(&r, fd);
	pager_kill(r.pager);
	wait_until(&r, &r.done);
	okf(!r.success && strstr(r.error.message, "signal 9"), "killed: %s", r.error.message);
	run_fini(&r);

	run_init(&r);
	{
		struct error err = ERROR_INIT;
		int listening = pager_listen(r.socket, &err);

		pager_start(r.loop,
			&(struct pager_options){.program = fixture_io_program(),
				.name = FIXTURE_IMAGE_NAME,
				.file_fd = none,
				.listen_fd = listening},
			&run_ops, &r, &r.pager, &err);
		close(listening);
	}
	wait_until(&r, &r.done);
	okf(!r.success && r.servable == 0 && strstr(r.error.message, FIXTURE_IMAGE_NAME), "no image: %s",
		r.error.message);
	destination_fini(&d);
	run_fini(&r);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	test_outlives_its_daemon();
	test_trouble();
	test_ends();
	return done_testing();
}
