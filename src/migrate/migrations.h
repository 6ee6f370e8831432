/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What this daemon has for all its migrations, as the files of this room see it. */
#pragma once

#include <systemd/sd-event.h>

#include "alloc.h"
#include "migrate.h"

struct door;
struct offline;
struct offer; /* verdict-target.c: a token that a source may ask about */

struct migrations {
	sd_event *loop;
	struct migrations_settings settings; /* strings owned */
	int dir_fd;			     /* lib/migration */
	char *place;			     /* verdict.h */
	VEC(uint16_t) ports;		     /* taken */
	VEC(struct door *) doors;	     /* check-listen.c */
	VEC(struct offer *) offers;
	VEC(struct offline *) offline; /* target-offline.c */
	sd_event_source *retry;	       /* to listen again, where the port was somebody else's */
};

const struct migrations_settings *migrations_get_settings(const struct migrations *m);

/* A listening socket on `port`, or with 0 on a free one of the range, which is taken then. */
int migrations_listen(
	struct migrations *m, uint16_t port, int *ret_fd, uint16_t *ret_port, struct error *err);

/* ---- target-offline.c ---- */
/* NULL: all. */
void target_forget_offline(struct migrations *m, const char *name);

/* ---- verdict-target.c ---- */
/* Reads what this daemon is known by, or makes it. */
int verdicts_open_place(struct migrations *m, struct error *err);
/* What an earlier daemon has decided is answered again. */
int verdicts_load(struct migrations *m, struct error *err);
void verdicts_close(struct migrations *m);
