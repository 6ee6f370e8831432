/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The word of somebody who knows that the destination is lost, instead of its own (the step "hear" of source.c). */
#include "log.h"
#include "source.h"

static const char *their_name(const struct source_operation *s)
{
	return s->their_host ? s->their_host : "the other host";
}

static void answer(struct source_operation *s, const struct error *err)
{
	vm_done_fn done = s->resolve.done;
	void *userdata = s->resolve.userdata;

	s->resolve.done = NULL;
	if (done)
		done(s->op.vm, err, userdata);
}

/* One more time it has been asked in vain: now the word counts, and from here it is as if it had come from there. */
static void tried(bool is_reached, void *userdata)
{
	struct source_operation *s = userdata;
	struct error err = ERROR_INIT;

	if (is_reached) {
		error_set(&err, ERROR_OPERATION_INVALID,
			"migrate %s: %s can be reached, and has not decided yet: it stays paused until it "
			"has",
			s->op.vm->name, their_name(s));
		answer(s, &err);
		return;
	}
	log_write(LOG_LEVEL_WARNING, s->op.vm->name, NULL,
		"it goes on here: somebody has said that it does not run on %s, which gives no answer (%s)",
		their_name(s), verdict_question_trouble(s->question));
	error_set(&s->op.failure, ERROR_OPERATION_FAILED, "%s was given up by hand", their_name(s));
	source_heard(VERDICT_GONE, s);
}

int migrate_resolve_here(struct vm *vm, vm_done_fn done, void *userdata, struct error *err)
{
	struct source_operation *s = source_find(vm);

	if (!s || !s->question)
		return error_set(err, ERROR_OPERATION_INVALID,
			"domain '%s' is not waiting to hear whether it runs on another host", vm->name);
	if (s->resolve.done)
		return error_set(err, ERROR_BUSY,
			"migrate %s: this is just being found out for somebody else", vm->name);
	s->resolve.done = done;
	s->resolve.userdata = userdata;
	verdict_try_now(s->question, tried);
	return 0;
}

void source_end_resolve(struct source_operation *s, const struct error *err)
{
	struct error failure = ERROR_INIT;

	if (s->verdict == VERDICT_RUNS)
		error_set(&failure, ERROR_OPERATION_INVALID,
			"migrate %s: %s has just said that it runs there", s->op.vm->name, their_name(s));
	else if (s->was_running && s->op.vm->state != VM_RUNNING && err)
		failure = *err;
	answer(s, failure.code != ERROR_NONE ? &failure : NULL);
}

char *source_explain(const struct operation *op)
{
	const struct source_operation *s = (const struct source_operation *)op;
	const char *trouble = s->question ? verdict_question_trouble(s->question) : "";

	if (!*trouble)
		return NULL;
	return xasprintf("%s; only when it is certain that the VM does not run there, "
			 "'godwit migrate-resolve %s --here' lets it go on here",
		trouble, s->op.vm->name);
}
