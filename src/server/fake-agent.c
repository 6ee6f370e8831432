/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An agent without guest, in the place of vm-agent.c and quiesce.c. */
#include "fake-agent.h"

#include "alloc.h"
#include "quiesce.h"
#include "vm-agent.h"

/* Test programs have one registry at a time, so this may stand here. */
static struct {
	sd_event *loop;
	const char *answer;
	char last[256];
} fake;

struct pending {
	agent_reply_fn reply;
	void *userdata;
	sd_event_source *source;
};

void fake_agent_answer(sd_event *loop, const char *text)
{
	fake.loop = loop;
	fake.answer = text;
}

const char *fake_agent_last(void)
{
	return fake.last;
}

static int answer(sd_event_source *s, void *userdata)
{
	struct pending *p = userdata;
	_cleanup_json_ json *ret = NULL;
	struct error err = ERROR_INIT;

	if (json_parse(fake.answer, strlen(fake.answer), &ret, &err) < 0)
		p->reply(NULL, &err, p->userdata);
	else
		p->reply(ret, NULL, p->userdata);
	sd_event_source_unref(p->source);
	free(p);
	return 0;
}

int vm_agent_command(struct vm *vm, const char *name, json *arguments, int timeout, agent_reply_fn reply,
	void *userdata, struct error *err)
{
	_cleanup_json_ json *taken = arguments;
	struct pending *p;

	if (!fake.answer)
		return error_set(err, ERROR_ARGUMENT_UNSUPPORTED, "QEMU guest agent is not configured");
	snprintf(fake.last, sizeof(fake.last), "%s%s%s", name, taken ? " " : "",
		taken ? json_object_to_json_string_ext(
				taken, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)
		      : "");
	p = NEW(struct pending);
	*p = (struct pending){.reply = reply, .userdata = userdata};
	return sd_event_add_defer(fake.loop, &p->source, answer, p) < 0 ? -1 : 0;
}

int vm_agent_set_timeout(struct vm *vm, int timeout, struct error *err)
{
	snprintf(fake.last, sizeof(fake.last), "timeout %d", timeout);
	return 0;
}

int vm_ask_to_end(
	struct vm *vm, unsigned ways, bool reboot, vm_done_fn done, void *userdata, struct error *err)
{
	if (ways == VM_ASK_AGENT)
		return error_set(err, ERROR_ARGUMENT_UNSUPPORTED, "QEMU guest agent is not configured");
	return reboot ? vm_reboot(vm, done, userdata, err) : vm_shutdown(vm, done, userdata, err);
}

int vm_check_freeze(const struct vm *vm, struct error *err)
{
	return 0;
}
