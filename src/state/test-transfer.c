/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The daemon's side with the real godwit-io beside it (in the build directory, or GODWIT_IO): whole transfers, cancelling, and a
 * helper that dies or cannot be started.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/mman.h>
#include <systemd/sd-event.h>

#include "file.h"
#include "fixture-io.h"
#include "fixture-stream.h"
#include "strv.h"
#include "transfer.h"

#define NAME  "/x/guest7.save"
#define DISKS "[{\"target\": \"vda\"}]"
#define XML   "<domain><name>guest7</name></domain>"

struct run {
	sd_event *loop;
	struct transfer *transfer;
	struct transfer_options options;
	bool no_commit; /* leave it at STREAMED, cancel there */
	bool cancel_at_once;
	unsigned begun, streamed, done;
	bool success;
	struct error error;
	struct transfer_progress progress;
};

static void on_streamed(struct transfer *t, void *userdata)
{
	struct run *r = userdata;

	r->streamed++;
	if (r->no_commit)
		transfer_cancel(t);
	else
		transfer_commit(t, DISKS);
}

static void on_done(struct transfer *t, const struct error *err, void *userdata)
{
	struct run *r = userdata;

	r->done++;
	r->success = !err;
	error_copy(&r->error, err ? err : &(struct error)ERROR_INIT);
	transfer_get_progress(t, &r->progress);
	sd_event_exit(r->loop, 0);
}

static void on_memory_begun(struct transfer *t, void *userdata)
{
	struct run *r = userdata;

	r->begun += r->streamed == 0;
}

static const struct transfer_ops run_ops = {on_memory_begun, on_streamed, on_done};

/* Runs one transfer to its end; the stream descriptor is closed in it. */
static void run(struct run *r)
{
	struct transfer_options o = r->options;

	r->begun = r->streamed = r->done = 0;
	r->success = false;
	error_clear(&r->error);
	if (!o.program)
		o.program = fixture_io_program();
	o.name = NAME;
	sd_event_new(&r->loop);
	if (transfer_start(r->loop, &o, &run_ops, r, &r->transfer, &r->error) == 0) {
		if (o.stream_fd >= 0)
			close(o.stream_fd);
		if (r->done > 0)
			ok(false, "start never calls done");
		if (r->cancel_at_once)
			transfer_cancel(r->transfer);
		sd_event_loop(r->loop);
		transfer_free(r->transfer);
	} else if (o.stream_fd >= 0) {
		close(o.stream_fd);
	}
	sd_event_unref(r->loop);
}

static struct run save_run(int file_fd, enum image_format format, struct pump *pump)
{
	_cleanup_(buf_fini) struct buf in = {0};

	fixture_stream(&in, false);
	return (struct run){.options = {.kind = TRANSFER_SAVE,
				    .file_fd = file_fd,
				    .stream_fd = pump_start(pump, in.data, in.len),
				    .direct = true,
				    .format = format,
				    .xml = XML,
				    .cookie = "<cookie/>",
				    .was_running = true}};
}

static void finish(struct pump *pump)
{
	pump_finish(pump);
	buf_fini(&pump->data);
}

static void test_whole(enum image_format format)
{
	_cleanup_close_ int fd = memfd_create("image", MFD_CLOEXEC);
	_cleanup_(buf_fini) struct buf in = {0};
	_cleanup_(image_header_fini) struct image_header h = {0};
	_cleanup_free_ char *disks = NULL;
	struct error err = ERROR_INIT;
	struct pump pump;
	struct run r = save_run(fd, format, &pump);

	run(&r);
	finish(&pump);
	okf(r.success && r.done == 1 && r.streamed == 1, "%s: saved: %s", image_format_name(format),
		r.error.message);
	ok(r.begun == 1, "its memory began once, before the end");
	ok(r.progress.written > 0 && r.progress.processed > 0, "with progress");
	ok(image_read_header(fd, NAME, &h, &err) == 0 && h.complete && h.was_running && h.format == format,
		"complete");
	is_str(h.xml, XML, "XML");
	is_str(h.cookie, "<cookie/>", "cookie");
	ok(image_read_disks(fd, NAME, &disks, &err) == 0, "with what was said of its disks");
	is_str(disks, DISKS, "as it was given");

	r = (struct run){
		.options = {.kind = TRANSFER_LOAD, .file_fd = fd, .stream_fd = pump_start(&pump, NULL, 0)}};
	run(&r);
	pump_finish(&pump);
	fixture_stream(&in, false);
	okf(r.success && r.done == 1 && r.streamed == 0, "loaded: %s", r.error.message);
	/* Sparse images come back with other section bounds: test-image-roundtrip compares those. */
	ok(format == IMAGE_FORMAT_SPARSE
			? pump.data.len > in.len / 2
			: pump.data.len == in.len && memcmp(pump.data.data, in.data, in.len) == 0,
		"the same");
	buf_fini(&pump.data);

	r = (struct run){.options = {.kind = TRANSFER_VERIFY, .file_fd = fd, .stream_fd = -1}};
	run(&r);
	okf(r.success, "verified: %s", r.error.message);
	pwrite_full(fd, "x", 1, 80000);
	run(&r);
	okf(!r.success && r.error.code == ERROR_DAMAGED && strstr(r.error.message, NAME),
		"damage is reported: %s", r.error.message);
}

static void test_cancel(void)
{
	_cleanup_close_ int fd = memfd_create("image", MFD_CLOEXEC);
	_cleanup_(image_header_fini) struct image_header h = {0};
	struct error err = ERROR_INIT;
	struct pump pump;
	struct run r = save_run(fd, IMAGE_FORMAT_RAW, &pump);

	r.cancel_at_once = true;
	run(&r);
	finish(&pump);
	okf(!r.success && r.done == 1 && r.error.code == ERROR_OPERATION_ABORTED, "cancelled: %s",
		r.error.message);

	r = save_run(fd, IMAGE_FORMAT_RAW, &pump);
	r.no_commit = true;
	run(&r);
	finish(&pump);
	ok(!r.success && r.done == 1 && r.error.code == ERROR_OPERATION_ABORTED,
		"cancelled when all was streamed");
	ok(image_read_header(fd, NAME, &h, &err) == 0 && !h.complete, "the image is incomplete");
}

static void test_helper_trouble(void)
{
	_cleanup_close_ int fd = memfd_create("image", MFD_CLOEXEC), ro = -1;
	_cleanup_free_ char *path = xasprintf("/proc/self/fd/%d", fd);
	struct pump pump;
	struct run r = save_run(fd, IMAGE_FORMAT_RAW, &pump);

	r.options.program = "/nonexistent/godwit-io";
	run(&r);
	finish(&pump);
	okf(r.done == 0 && r.error.errnum == ENOENT, "a helper that is not there fails start: %s",
		r.error.message);

	r = save_run(fd, IMAGE_FORMAT_RAW, &pump);
	r.options.program = "/bin/false";
	run(&r);
	finish(&pump);
	okf(!r.success && (r.done == 1 || r.error.code != ERROR_NONE),
		"one that exits at once is an error: %s", r.error.message);

	ro = open(path, O_RDONLY | O_CLOEXEC);
	r = save_run(ro, IMAGE_FORMAT_RAW, &pump);
	r.options.direct = false;
	run(&r);
	finish(&pump);
	okf(!r.success && r.done == 1 && strstr(r.error.message, NAME), "its errors arrive: %s",
		r.error.message);
}

static void test_free_while_running(void)
{
	_cleanup_close_ int fd = memfd_create("image", MFD_CLOEXEC);
	int ends[2];
	struct error err = ERROR_INIT;
	struct run r = {.options = {.kind = TRANSFER_SAVE, .file_fd = fd, .xml = XML, .name = NAME}};

	r.options.program = fixture_io_program();
	ok(transfer_stream_pair(ends, &err) == 0, "a pair of sockets");
	r.options.stream_fd = ends[0];
	sd_event_new(&r.loop);
	ok(transfer_start(r.loop, &r.options, &run_ops, &r, &r.transfer, &err) == 0, "started");
	close(ends[0]);
	transfer_free(r.transfer);
	/* The helper is killed: its end of the stream closes. */
	ok(stream_read(ends[1], &fd, 0, NULL) == 0, "freed");
	{
		char byte;

		ok(stream_read(ends[1], &byte, 1, NULL) <= 0 && r.done == 0,
			"the helper is gone, done was not called");
	}
	close(ends[1]);
	sd_event_unref(r.loop);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	test_whole(IMAGE_FORMAT_RAW);
	test_whole(IMAGE_FORMAT_ZSTD);
	test_whole(IMAGE_FORMAT_SPARSE);
	test_cancel();
	test_helper_trouble();
	test_free_while_running();
	return done_testing();
}
