/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Answers to phases (phase.h). */
#include "phase.h"

void phase_answer(
	struct phase_waiter *w, struct vm *vm, const struct migrate_reply *reply, const struct error *err)
{
	static const struct migrate_reply nothing = {0};
	struct phase_waiter waiter = *w;

	*w = (struct phase_waiter){0};
	if (waiter.done)
		waiter.done(vm, reply ? reply : &nothing, err, waiter.userdata);
}

int phase_wait(
	struct phase_waiter *w, const char *phase, migrate_done_fn done, void *userdata, struct error *err)
{
	if (w->done)
		return error_set(
			err, ERROR_BUSY, "phase '%s' of this migration is already being waited for", phase);
	*w = (struct phase_waiter){done, userdata};
	return 0;
}

struct late_answer {
	struct phase_waiter waiter;
	struct vm *vm;
	char *cookie, *xml, *uri;
	sd_event_source *source;
};

static int answer_now(sd_event_source *source, void *userdata)
{
	struct late_answer *a = userdata;

	phase_answer(&a->waiter, a->vm,
		&(struct migrate_reply){.cookie = a->cookie, .xml = a->xml, .uri = a->uri}, NULL);
	sd_event_source_unref(a->source);
	vm_unref(a->vm);
	free(a->cookie);
	free(a->xml);
	free(a->uri);
	free(a);
	return 0;
}

void phase_answer_later(struct registry *r, migrate_done_fn done, void *userdata, struct vm *vm,
	const struct migrate_reply *reply)
{
	struct late_answer *a = NEW(struct late_answer);

	*a = (struct late_answer){.waiter = {done, userdata}};
	if (vm)
		a->vm = vm_ref(vm);
	if (reply->cookie)
		a->cookie = xstrdup(reply->cookie);
	if (reply->xml)
		a->xml = xstrdup(reply->xml);
	if (reply->uri)
		a->uri = xstrdup(reply->uri);
	sd_event_add_defer(r->loop, &a->source, answer_now, a);
}
