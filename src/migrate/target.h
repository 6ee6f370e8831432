/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A VM on its way here: the job of the destination. */
#pragma once

#include "cookie.h"
#include "handover.h"
#include "phase.h"
#include "start.h"
#include "verdict.h"

struct target_operation {
	struct start_operation start; /* first: the steps that start a QEMU work on it */
	struct migrate_options options;
	const void *client;   /* NULL: gone, or none */
	struct strv theirs;   /* what the source's QEMU can do */
	char *lease_state;    /* of the source, for the lock manager here */
	char *persistent_xml; /* what it will be defined as; NULL: it will not */
	struct json_object
		*made; /* paths of the disks that are made here, and go again when it does not come */
	VEC(struct cookie_disk) capacities; /* what the source says of those it copies */
	struct qemu_img *maker;
	uint16_t nbd_port;	       /* 0: nothing is copied */
	uint16_t port;		       /* QEMU's; 0: none of ours */
	char *listen_uri, *source_uri; /* for QEMU here, and for the one there (NULL: the caller knows it) */
	int stream_fd;		       /* tunnelled; else -1 */
	char *token;		       /* NULL: the source is no godwit, and waits for finish */
	uint16_t verdict_port;
	enum handover_target handover;
	bool is_in, is_postcopy; /* QEMU has all of the state, or all but memory */
	bool is_connected;	 /* the source's QEMU has begun to send */
	bool awaits_state, awaits_memory, awaits_finish;
	bool is_canceled;    /* finish said so */
	bool is_finished;    /* the client has said that the source is done */
	uint64_t ran_ms;     /* clock_wall(): since when the guest runs here; 0: not known */
	bool has_statistics; /* the source's have come */
	struct cookie_statistics statistics;
	struct phase_waiter prepare, finish;
	sd_event_source *timer;
};

extern const struct operation_type target_operation_type;

/* The VM's migration to here; NULL: it has none. */
struct target_operation *target_find(const struct vm *vm);
void target_init(struct target_operation *t);
/* Finish has come. Not cancelled: a source that is no godwit lets it run by this; else it is just the end. */
void target_finished(struct target_operation *t, bool cancelled);
void target_client_gone(struct target_operation *t);

/* For op->on_migration, from the beginning of `listen` on. */
void target_hear(struct operation *op, const char *status);
/* The source asks what becomes of it (verdict.h). */
void target_asked(struct migrations *m, const char *token, bool failed, void *userdata);

/* ---- target-offline.c: for one that is off ---- */
/* Whose it is, before it is said of the VM that it is here already: on the very host it comes from it is. */
int target_check_source(struct registry *r, const struct domain *d, const char *cookie, struct error *err);
int target_prepare_offline(struct registry *r, const struct domain *d, const char *cookie, const void *client,
	migrate_done_fn done, void *userdata, struct error *err);
int target_finish_offline(
	struct registry *r, const char *name, migrate_done_fn done, void *userdata, struct error *err);
void target_offline_client_gone(struct migrations *m, const void *client);

/* ---- target-listen.c ---- */
/* Where QEMU shall listen, for what was asked. */
int target_choose_uri(struct target_operation *t, struct error *err);
/* The step: QEMU is set up and listens; prepare is answered. */
enum step_result target_listen(struct job *job, void *context, struct error *err);
enum step_result target_unlisten(struct job *job, void *context, struct error *err);

/* ---- target-disk.c: disks that are copied to here ---- */
/* Which are missing, and so will be made. Before the job begins. */
int target_plan_disks(struct target_operation *t, struct error *err);
enum step_result target_make_disks(struct job *job, void *context, struct error *err);
enum step_result target_unmake_disks(struct job *job, void *context, struct error *err);
/* Of the step "listen": QEMU opens them to the source. `reply` to each command. */
int target_export_disks(struct target_operation *t, qmp_reply_fn reply, struct error *err);
enum step_result target_end_exports(struct job *job, void *context, struct error *err);

/* ---- target-cookie.c ---- */
/* The source's, which prepare brings. `name`: of the VM there; its UUID is checked by the caller. */
int target_take_cookie(struct registry *r, struct target_operation *t, const char *text, struct error *err);
/* The same of finish, whose definition counts when it is newer. */
int target_take_report(struct target_operation *t, const char *text, struct error *err);
/* The answer of prepare, also of one for a VM that is off, and of finish (`t`: its job, NULL: it has ended). Caller frees. */
char *target_make_answer(struct target_operation *t);
char *target_make_offline_answer(struct registry *r, const struct domain *d);
char *target_make_report(const struct vm *vm, const struct target_operation *t);
void target_fill_info(const struct operation *op, struct vm_job_info *info);
