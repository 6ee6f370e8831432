/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a QEMU needs of a sparse image whose main memory it maps (image-memory.h): a plain stream of some hundred KiB, in which
 * that memory is named and has no pages.
 *
 *	prefix without capabilities, START of RAM: all blocks		END: every page of every block but IMAGE_MAIN_MEMORY
 *	devices, 00, description as they stand
 */
#pragma once

#include "mapped-ram.h"

/*
 * All that is sent was checked. Of the memory that is mapped only this: that it is zero where its bitmap says so. godwit's own images are;
 * in those that QEMU wrote of a running guest there are leftovers, and they are refused with ERROR_UNSUPPORTED_CONFIG. `file_fd`: the image; its
 * file position moves.
 */
int mapped_ram_clone(const struct mapped_ram_load *options, int file_fd, struct error *err);
