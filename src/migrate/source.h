/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A VM on its way out of here: the job of the source. */
#pragma once

#include "cookie.h"
#include "copy.h"
#include "downtime.h"
#include "handover.h"
#include "lease.h"
#include "operation.h"
#include "phase.h"
#include "verdict.h"

struct source_operation {
	struct operation op;
	struct migrate_options options; /* of begin; perform may add to them */
	const void *client;		/* NULL: gone, or none */
	bool was_running;		/* when memory began to move: it comes back as it was */
	char *token;
	char *lease_state; /* what the other side's lock manager is to be told */
	struct lease_request *inquiry;
	/* From the destination. */
	char *uri;			/* where its QEMU listens */
	int stream_fd;			/* tunnelled: where the state is to go; else -1 */
	char *nbd_host;			/* where its disks are written to */
	uint16_t nbd_port;		/* 0: nowhere */
	struct strv theirs;		/* what its QEMU can do */
	char *their_host, *their_place; /* of verdict.h */
	uint16_t their_port;		/* of verdict.h; 0: it cannot be asked, being no godwit */
	/* How far it is. */
	enum handover_source handover;
	enum verdict verdict;
	uint64_t stopped_ms;	  /* clock_wall(): since when the guest stands still for it; 0: not known */
	uint64_t come_back_until; /* clock_now() */
	struct verdict_question *question;
	bool awaits_perform, awaits_confirm;
	bool is_sent, is_postcopy, is_confirmed;
	bool was_canceled;     /* confirm said so: no failure to tell it */
	struct copies *copies; /* NULL: none is on its way */
	json *block_nodes;     /* how large the disks to be copied are: query-named-block-nodes */
	bool awaits_copies;
	struct downtime downtime;	  /* unless the VM has one of its own */
	json *progress;			  /* query-migrate, the last answer */
	bool awaits_figures;		  /* the last of them, of what has been sent */
	struct cookie_statistics outcome; /* what the destination says of it all; or zeroes */
	sd_event_source *timer;		  /* asks for it; later: waits for confirm */
	struct phase_waiter begin, perform, confirm;
	struct {
		vm_done_fn done; /* NULL: nobody */
		void *userdata;
	} resolve;
};

extern const struct operation_type source_operation_type;

/* The VM's migration out of here; NULL: it has none. */
struct source_operation *source_find(const struct vm *vm);
void source_init(struct source_operation *s);
/* Confirm: a destination that is no godwit speaks by it, for any other it is just the end. */
void source_confirmed(struct source_operation *s, bool cancelled);
/* The client has gone. */
void source_client_gone(struct source_operation *s);

/* For op->on_gone. */
void source_qemu_gone(struct operation *op);

/* The step "hear" is over: whoever has said it counts. */
void source_heard(enum verdict verdict, void *s);

/* ---- source-resolve.c ---- */
/* The job ends: who has given up the destination hears how. */
void source_end_resolve(struct source_operation *s, const struct error *err);
/* Why it stands still, and what can be done; NULL: it does not wait for an answer in vain. Caller frees. */
char *source_explain(const struct operation *op);

/* ---- source-copy.c ---- */
enum step_result source_copy(struct job *job, void *context, struct error *err);
enum step_result source_uncopy(struct job *job, void *context, struct error *err);
enum step_result source_end_copies(struct job *job, void *context, struct error *err);

/* ---- source-move.c ---- */
enum step_result source_move(struct job *job, void *context, struct error *err);
enum step_result source_unmove(struct job *job, void *context, struct error *err);
/* The step, if it waits, ends soon. */
void source_cancel_move(struct source_operation *s);
void source_fill_info(const struct operation *op, struct vm_job_info *info);

/* ---- source-cookie.c ---- */

/* Cookie and document of begin. */
int source_make_offer(struct source_operation *s, char **ret_cookie, char **ret_xml, struct error *err);
/* The destination's, which perform brings. */
int source_take_cookie(struct source_operation *s, const char *text, struct error *err);
/* The destination's, which confirm brings; one that is damaged says nothing. */
void source_take_outcome(struct source_operation *s, const char *text);
/* Cookie of perform's answer. Caller frees. */
char *source_make_report(struct source_operation *s);

/* ---- passed.c: what a source that has passed the right to run must know after a restart ---- */
int passed_write(const struct source_operation *s, struct error *err);
bool passed_read(struct source_operation *s); /* of s->token; fills the rest; false: not passed */
int passed_remove(const struct source_operation *s, struct error *err);
