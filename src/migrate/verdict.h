/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The question between two daemons when a migration's end is not known to the source: does the VM run at the destination, or will it never?
 *
 * The destination decides, and answers for as long as the source has not said that it has understood. Its word is on disk
 * (lib/migration/TOKEN.json), from before the guest's first instruction there. A token that is not known has the answer GONE: what the destination did not
 * write down never ran. The channel is TCP, on a port of the migration range, one line each way; who knows the token (128 random bits, carried in cookies)
 * may ask. Only the word of the daemon that the VM went to counts: PLACE names it, and any other that listens there now (another daemon of the host, another host
 * of the name) says that it is another.
 *
 *	-> godwit-verdict 1 PLACE TOKEN failed|completed|understood\n
 *	<- runs\n | gone\n | elsewhere\n         (later, when it is not decided yet)
 *
 * `failed`: the source's QEMU has given up, so that a destination that has not all of the state will never have it. `completed`: all was sent.
 * `understood`: the record may be forgotten.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "error.h"
#include "migrate.h"

#define VERDICT_TOKEN_LEN 32 /* hex digits; also of a place */

enum verdict { VERDICT_NONE, VERDICT_RUNS, VERDICT_GONE };

/* ---- at the destination ---- */

/* The source asks and nothing is decided: `failed` as above. Call verdict_decide, now or later. */
typedef void (*verdict_asked_fn)(struct migrations *m, const char *token, bool failed, void *userdata);

/* Listen for questions about this token; *ret_port is where. Undecided until verdict_decide. */
int verdict_offer(struct migrations *m, const char *token, const uint8_t uuid[16], verdict_asked_fn asked,
	void *userdata, uint16_t *ret_port, struct error *err);
/*
 * RUNS is on disk when this returns; so is GONE, or it is said in the log. Idempotent; whoever asked gets its answer. ERROR_OPERATION_INVALID, and nothing is
 * changed: what is decided otherwise, or RUNS for a token that is not known (any more).
 */
int verdict_decide(struct migrations *m, const char *token, enum verdict verdict, struct error *err);
/* After a restart, of one that runs here and whose job goes on: until verdict_release its record stays, as for one that was offered. */
void verdict_resume(struct migrations *m, const char *token, verdict_asked_fn asked, void *userdata);
/* It is gone, and nothing has come from the source, which therefore has not passed: it will not ask. */
void verdict_forget(struct migrations *m, const char *token);
/* `asked` is not called any more (its owner goes); what is written stays until the source has understood. */
void verdict_release(struct migrations *m, const char *token);
/* What this daemon is known by, for as long as its lib/migration is there. Borrowed. */
const char *verdict_get_place(const struct migrations *m);
/* NONE: undecided or unknown. */
enum verdict verdict_get(const struct migrations *m, const char *token);

/* ---- at the source ---- */

/* The destination, from its cookie; copied. */
struct verdict_address {
	const char *host;
	uint16_t port;
	const char *place; /* verdict_get_place there */
};

struct verdict_question;
/* The answer; called once. */
typedef void (*verdict_answered_fn)(enum verdict verdict, void *userdata);
/*
 * Ask until there is an answer: again and again when the other side cannot be reached (100 ms apart at first, 5 s at most), for ever. The host is looked up in
 * a child process. Each failure is logged when it is another one than before.
 */
int verdict_ask(sd_event *loop, const char *vm_name, const struct verdict_address *where, const char *token,
	bool failed, verdict_answered_fn answered, void *userdata, struct verdict_question **ret,
	struct error *err);
/* `is_reached`: somebody took the question, and has not answered it for 15 s, though the connection stands. */
typedef void (*verdict_tried_fn)(bool is_reached, void *userdata);
/*
 * Ask at once, or go on with what is just being asked. `tried`, with the userdata of verdict_ask, is called once, when that was in vain; then the question is
 * asked on and on as before. An answer goes to `answered` alone.
 */
void verdict_try_now(struct verdict_question *q, verdict_tried_fn tried);
/* Why there is no answer yet; "" before the first failure. Borrowed. */
const char *verdict_question_trouble(const struct verdict_question *q);
/* Forget it; accepts NULL. */
void verdict_question_free(struct verdict_question *q);
/* Tell that it is understood, once, in the background, without caring whether it arrives. */
void verdict_understood(sd_event *loop, const struct verdict_address *where, const char *token);
