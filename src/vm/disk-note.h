/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a saved state remembers of the disks it belongs to, and whether they are still the same: memory that goes on over a disk
 * that was written since destroys what is on it (docs/decisions/disks-of-a-state.md; the text: docs/formats/image.md).
 *
 * Noted is every disk with a file or device that the guest can write and no other VM may: with it the files it stands on
 * (qcow2: its data file, its backing files), which nobody may write either. Plain data; disk-look.h looks.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "alloc.h"
#include "buf.h"
#include "error.h"

enum disk_file_kind {
	DISK_FILE_UNSEEN, /* nothing is known of it */
	DISK_FILE_GONE,
	DISK_FILE_REGULAR,
	DISK_FILE_BLOCK,
	DISK_FILE_KIND_MAX_
};

struct disk_file {
	char *path;
	enum disk_file_kind kind;
	char *why;	 /* UNSEEN: why */
	int sync_errnum; /* found while saving: what was written could not be made durable. Not in the text */
	uint64_t size;	 /* bytes */
	int64_t written_ns; /* REGULAR: its last write, nanoseconds since 1970 */
	uint64_t id,
		device; /* REGULAR: inode and its device; BLOCK: device's number. They explain, and decide nothing */
	/* BLOCK: what went to it through this host; `boot` NULL: not known */
	char *boot;	   /* the host's boot_id */
	uint64_t sequence; /* the device's diskseq: another one, another device */
	uint64_t sectors;  /* of 512 bytes, written and discarded since the device is there */
};

struct disk_note {
	char *target;
	VEC(struct disk_file) files; /* the disk's own, then what it stands on */
};

struct disk_notes {
	int64_t taken_ns; /* when, nanoseconds since 1970 */
	VEC(struct disk_note) disks;
};

void disk_file_fini(struct disk_file *f);
void disk_notes_fini(struct disk_notes *n);
void disk_notes_drop(struct disk_notes *n, size_t i);

/* Compact JSON; caller frees. */
char *disk_notes_format(const struct disk_notes *n);
/* ERROR_DAMAGED: it is no note. ERROR_UNSUPPORTED_CONFIG: one of a later version. */
int disk_notes_parse(const char *text, struct disk_notes *ret, struct error *err);

/*
 * ERROR_OPERATION_INVALID and which disk, which of its files and what about it, when `now` is not what was saved. What
 * could not be compared is added to `remarks`, "; "-joined, and no error.
 */
int disk_notes_compare(
	const struct disk_notes *saved, const struct disk_notes *now, struct buf *remarks, struct error *err);
