/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A save in progress; save-verb.c checks and fills it, save.c does it. */
#pragma once

#include "operation.h"
#include "transfer.h"

struct save_operation {
	struct operation op;
	char *path;	    /* where the image will be; absolute, no symlink */
	char *partial;	    /* where it is written: hidden, in the same directory */
	bool in_place;	    /* path is a block device and is written directly */
	bool was_running;   /* the guest, when asked: an undo lets it go on */
	bool image_running; /* what the image is to say */
	char *xml;
	enum image_format format;
	unsigned channels;
	int file_fd;
	bool awaits_memory; /* of a lazy restore, before it begins */
	int stream_fd;	    /* our end for QEMU, until it has it */
	struct transfer *transfer;
	struct process *looker; /* takes the note of the disks */
	char *disks;		/* it */
	bool qemu_done, transfer_streamed;
	struct error broken_off; /* godwit-io lost QEMU; QEMU is being asked why */
	sd_event_source *timer;
};
