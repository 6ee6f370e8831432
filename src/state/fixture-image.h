/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* For tests: images of the synthetic stream (fixture-stream.h) as godwit writes them, wrote them once, and as libvirt does. */
#pragma once

#include "fixture-stream.h"
#include "image.h"

#define FIXTURE_IMAGE_NAME   "/x/guest7.save"
#define FIXTURE_IMAGE_XML    "<domain type='qemu'><name>guest7</name></domain>"
#define FIXTURE_IMAGE_COOKIE "<cookie/>"
#define FIXTURE_IMAGE_DISKS  "[{\"target\": \"vda\"}]"

/* A complete image of `stream` in a memory file, with a note about disks; the caller closes it. */
int fixture_image(enum image_format format, const struct buf *stream);
/* Give it the trailer that godwit wrote first: sums of 4 MiB, no notes. */
void fixture_image_make_version_1(int fd);
/* Take the trailer and the marks away: what is left is as libvirt writes it. */
void fixture_image_make_foreign(int fd);
/* Turn one bit of the byte at `at`. */
void fixture_image_flip(int fd, off_t at);
