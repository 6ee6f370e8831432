/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Starting godwit-io: what every handle on such a process has in common (transfer.h, pager.h). */
#pragma once

#include <systemd/sd-event.h>

#include "io-protocol.h"
#include "process.h"

struct io_helper_options {
	const char *program;	  /* path of godwit-io */
	const char *name;	  /* of the image, for messages */
	const char *xml, *cookie; /* NULL: none */
	int file_fd, third_fd;	  /* what START hands over; -1: no third one. They stay the caller's */
	struct io_message start;  /* text_len is filled in */
	bool outlives_daemon;	  /* a session of its own, and no signal when this process ends */
};

/*
 * The process, with START on its way to it, and our non-blocking end of the control socket (the caller's). Both results are
 * written as soon as they exist: the caller releases them whatever is returned.
 */
int io_helper_start(sd_event *loop, const struct io_helper_options *options, process_exit_fn on_exit,
	void *userdata, struct process **ret_process, int *ret_control, struct error *err);

/*
 * The next message, without the descriptors that no helper sends. 1: there is one; 0: none yet; -1: there will be none, or it
 * is none of this protocol (`*ret_broken`).
 */
int io_helper_receive(int control, struct io_message *ret, bool *ret_broken);

/* A descriptor of memory with `text` in it, which no packet could hold; the caller's. -1: err. */
int io_helper_pass_text(const void *text, size_t len, struct error *err);
