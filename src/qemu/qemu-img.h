/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* qemu-img(1) at work on images that no QEMU has open; it says so itself when one has. */
#pragma once

#include <systemd/sd-event.h>

#include "error.h"
#include "strv.h"

struct qemu_img;

/*
 * Called once, from the loop. `output`: what the last command wrote to standard output (program.h), borrowed. err: the first that failed, with what
 * it had to say. May free it.
 */
typedef void (*qemu_img_done_fn)(const char *output, const struct error *err, void *userdata);

/*
 * Run one command after the other until one fails: each is what stands behind the program's name ("snapshot", "-c", ...). Copies them.
 * They end when the daemon does.
 */
int qemu_img_start(sd_event *loop, const struct strv *commands, size_t n_commands, qemu_img_done_fn done,
	void *userdata, struct qemu_img **ret, struct error *err);

/* Kills it; nothing is called any more. Accepts NULL. */
void qemu_img_free(struct qemu_img *q);

/* How many of the commands are behind it. */
size_t qemu_img_get_done(const struct qemu_img *q);
/* How far the one at work is, of 10000: what it says with "-p" among its words; else 0. */
unsigned qemu_img_get_permyriad(const struct qemu_img *q);
/* The last "(12.34/100%)" in what it said; 0 when there is none. */
unsigned qemu_img_parse_permyriad(const char *text);
