/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A file that claims to be a save image: read its header, look at it, give it another XML, read it again, check it whole. */
#include <assert.h>
#include <sys/mman.h>
#include <unistd.h>

#include "file.h"
#include "image-load.h"
#include "strv.h"

#define NAME "/x/guest7.save"
#define XML  "<domain><name>another</name></domain>"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void give_another_xml(int fd, const struct image_header *h)
{
	_cleanup_(image_header_fini) struct image_header after = {0};
	struct error err = ERROR_INIT;

	if (image_write_header(fd, NAME, XML, true, &err) < 0) {
		assert(err.code != ERROR_NONE);
		return;
	}
	assert(image_read_header(fd, NAME, &after, &err) == 0);
	assert(streq(after.xml, XML) && streq(after.cookie, h->cookie) && after.was_running);
	assert(after.format == h->format && after.stream_offset == h->stream_offset);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(image_header_fini) struct image_header h = {0}, peeked = {0};
	_cleanup_close_ int fd = memfd_create("image", MFD_CLOEXEC);
	struct image_progress progress = {0};
	struct error err = ERROR_INIT;
	bool altered = false;
	int r;

	assert(fd >= 0 && pwrite_full(fd, data, size, 0) == 0);
	r = image_read_header(fd, NAME, &h, &err);
	assert(r == 0 ? h.xml && *h.xml && h.stream_offset <= size
		      : err.code != ERROR_NONE && !h.xml && !h.cookie);
	if (image_peek_header(fd, NAME, &peeked, &altered, &err) < 0)
		assert(r < 0);
	if (r < 0)
		return 0;
	image_load(&(struct image_load_options){.file_fd = fd, .stream_fd = -1, .name = NAME, .threads = 1},
		&progress, &err);
	give_another_xml(fd, &h);
	return 0;
}
