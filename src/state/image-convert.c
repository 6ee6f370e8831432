/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Converting (image-convert.h): a thread loads the source as if for QEMU, and the stream it makes is saved as if it came from
 * QEMU. So nothing is known here of formats, and all that loading checks is checked.
 */
#include "image-convert.h"

#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "alloc.h"
#include "image-load.h"
#include "transfer.h"

struct conversion {
	const struct image_convert_options *options;
	struct image_progress *progress;
	struct image_header header;
	char *disks;
	int load_end, save_end; /* of the stream */
	struct error load_error;
};

static void *load_thread(void *arg)
{
	struct conversion *c = arg;
	const struct image_convert_options *o = c->options;

	image_load(&(struct image_load_options){.file_fd = o->source_fd,
			   .stream_fd = c->load_end,
			   .name = o->source,
			   .direct = o->direct,
			   .threads = o->threads},
		c->progress, &c->load_error);
	shutdown(c->load_end, SHUT_RDWR);
	return NULL;
}

static int open_save(
	struct conversion *c, struct image_progress *written, struct image_save **ret, struct error *err)
{
	const struct image_convert_options *o = c->options;

	return image_save_start(&(struct image_save_options){.file_fd = o->target_fd,
					.stream_fd = c->save_end,
					.name = o->target,
					.direct = o->direct,
					.threads = o->threads,
					.format = o->format,
					.xml = c->header.xml,
					.cookie = c->header.cookie,
					.was_running = c->header.was_running},
		written, ret, err);
}

/* All of the stream, written but not committed. */
static int pass_through(struct conversion *c, struct image_save *save, struct error *err)
{
	struct error save_error = ERROR_INIT;
	pthread_t loader;
	int r = pthread_create(&loader, NULL, load_thread, c);

	if (r != 0)
		return error_errno(err, r, "start a thread");
	image_save_stream(save, &save_error);
	/* A loader that nobody reads from must not wait for ever. */
	shutdown(c->save_end, SHUT_RDWR);
	pthread_join(loader, NULL);
	/* Either fails when the other does: which was first? */
	if (c->load_error.code != ERROR_NONE && c->load_error.errnum != EPIPE)
		return error_copy(err, &c->load_error);
	if (save_error.code != ERROR_NONE)
		return error_copy(err, &save_error);
	return c->load_error.code != ERROR_NONE ? error_copy(err, &c->load_error) : 0;
}

static int convert(struct conversion *c, struct error *err)
{
	const struct image_convert_options *o = c->options;
	struct image_progress written = {0};
	struct image_save *save = NULL;
	int ends[2], r;

	if (image_read_header(o->source_fd, o->source, &c->header, err) < 0)
		return -1;
	if (!c->header.complete)
		return error_set(
			err, ERROR_DAMAGED, "image %s is incomplete: its save did not finish", o->source);
	if (image_read_disks(o->source_fd, o->source, &c->disks, err) < 0 ||
		transfer_stream_pair(ends, err) < 0)
		return -1;
	c->load_end = ends[0];
	c->save_end = ends[1];
	r = open_save(c, &written, &save, err);
	if (r == 0)
		r = pass_through(c, save, err);
	if (r == 0)
		r = image_save_commit(save, c->disks, err);
	image_save_free(save);
	close(ends[0]);
	close(ends[1]);
	return r;
}

int image_convert(
	const struct image_convert_options *options, struct image_progress *progress, struct error *err)
{
	struct conversion c = {.options = options, .progress = progress};
	int r = convert(&c, err);

	image_header_fini(&c.header);
	free(c.disks);
	return r;
}
