/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Freezing and thawing for a job, with the test as the agent behind a real socket: what is noted when, and what happens when it goes wrong. */
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "quiesce.h"

#include "file.h"
#include "tap.h"
#include "vm-agent-internal.h"

struct world {
	char directory[32];
	struct registry registry;
	struct vm *vm;
	int listener, agent; /* agent: the connection; -1 none */
	const char *status;  /* what the agent answers: "\"thawed\"" */
	const char *freeze, *thaw;
	struct buf heard; /* the commands, without syncs */
	bool noted;	  /* when it heard of freezing */
	int done;	  /* calls */
	struct error last;
};

static bool is_noted(struct world *w)
{
	_cleanup_free_ char *text = NULL;

	return file_read(w->vm->run_fd, "status.json", 1 << 20, &text, NULL, NULL) == 0 &&
	       strstr(text, "\"frozen\":true");
}

static void begin(struct world *w)
{
	static const uint8_t uuid[16] = {1};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct chardev *channel = NEW(struct chardev);

	*w = (struct world){.agent = -1,
		.directory = "/tmp/gw-quiesce-XXXXXX",
		.status = "{\"return\": \"thawed\"}",
		.freeze = "{\"return\": 1}",
		.thaw = "{\"return\": 1}"};
	if (!mkdtemp(w->directory) || sd_event_new(&w->registry.loop) < 0)
		abort();
	w->vm = vm_new(&w->registry, "guest", uuid);
	w->vm->run_fd = open(w->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	w->vm->live = domain_new();
	w->vm->live->name = xstrdup("guest");
	w->vm->state = VM_RUNNING;
	channel->backend = CHARDEV_UNIX;
	channel->listen = true;
	channel->name = xstrdup("org.qemu.guest_agent.0");
	channel->path = xasprintf("%s/agent", w->directory);
	VEC_ADD(&w->vm->live->channels, channel);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", channel->path);
	w->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (bind(w->listener, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(w->listener, 1) < 0)
		abort();
}

static void end(struct world *w)
{
	static const char *const names[] = {"agent", "status.json"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		unlinkat(w->vm->run_fd, names[i], 0);
	vm_unref(w->vm);
	rmdir(w->directory);
	close(w->listener);
	if (w->agent >= 0)
		close(w->agent);
	buf_fini(&w->heard);
	sd_event_unref(w->registry.loop);
}

static void on_done(struct vm *vm, const struct error *err, void *userdata)
{
	struct world *w = userdata;

	w->done++;
	error_clear(&w->last);
	if (err)
		w->last = *err;
}

static void obey(struct world *w, const char *line)
{
	_cleanup_json_ json *message = NULL;
	_cleanup_free_ char *sync = NULL;
	const char *name, *answer;

	if (json_parse(line, strlen(line), &message, NULL) < 0)
		return;
	name = json_get_string(message, "execute");
	if (streq(name, "guest-sync-delimited")) {
		sync = xasprintf("\xff{\"return\": %lld}",
			(long long)json_get_int(json_get(message, "arguments"), "id", 0));
		answer = sync;
	} else {
		buf_addf(&w->heard, "%s;", name + strlen("guest-fsfreeze-"));
		answer = endswith(name, "-status") ? w->status
			 : endswith(name, "-thaw") ? w->thaw
						   : w->freeze;
		if (!endswith(name, "-status") && !endswith(name, "-thaw"))
			w->noted = is_noted(w);
	}
	if (send(w->agent, answer, strlen(answer), MSG_NOSIGNAL) < 0 ||
		send(w->agent, "\n", 1, MSG_NOSIGNAL) < 0)
		return;
}

/* The daemon and the agent take turns until neither has anything to do. */
static const char *run(struct world *w)
{
	char text[4096];
	bool busy = true;

	while (busy) {
		int fd = accept4(w->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		ssize_t n;

		busy = false;
		while (sd_event_run(w->registry.loop, 0) > 0)
			busy = true;
		if (fd >= 0) {
			if (w->agent >= 0)
				close(w->agent);
			w->agent = fd;
			busy = true;
		}
		n = w->agent >= 0 ? recv(w->agent, text, sizeof(text) - 1, 0) : -1;
		if (n <= 0)
			continue;
		busy = true;
		text[n] = '\0';
		for (char *rest = text, *line; (line = strsep(&rest, "\n"));)
			obey(w, (unsigned char)*line == 0xff ? line + 1 : line);
	}
	return w->heard.data ? w->heard.data : "";
}

static void hear(struct world *w, const char *want, int code, const char *name)
{
	buf_clear(&w->heard);
	w->done = 0;
	is_str(run(w), want, name);
	ok(w->done == 1 && (int)w->last.code == code, "... and it is told so, once");
}

static void freeze(struct world *w)
{
	struct error err = ERROR_INIT;

	ok(vm_freeze(w->vm, NULL, on_done, w, &err) == 0, "freeze");
}

static void thaw(struct world *w)
{
	struct error err = ERROR_INIT;

	ok(vm_thaw(w->vm, on_done, w, &err) == 0, "thaw");
}

static void test_good(void)
{
	struct error err = ERROR_INIT;
	struct world w;
	json *list;

	begin(&w);
	freeze(&w);
	ok(vm_freeze(w.vm, NULL, on_done, &w, &err) < 0 && err.code == ERROR_BUSY, "not twice at once");
	hear(&w, "status;freeze;", ERROR_NONE, "it looks, then freezes");
	ok(w.noted, "the note was there before the agent was told");
	w.status = "{\"return\": \"frozen\"}";
	freeze(&w);
	hear(&w, "status;", ERROR_NONE, "once more: it is frozen already");
	thaw(&w);
	hear(&w, "thaw;", ERROR_NONE, "thawed");
	ok(!is_noted(&w), "the note is gone");
	thaw(&w);
	hear(&w, "", ERROR_NONE, "once more: nothing to do");

	freeze(&w);
	hear(&w, "status;", ERROR_NONE, "what a user has frozen is frozen");
	ok(!is_noted(&w), "and not the job's");
	thaw(&w);
	hear(&w, "", ERROR_NONE, "so it is left to him");

	w.status = "{\"return\": \"thawed\"}";
	list = json_object_new_array();
	json_object_array_add(list, json_object_new_string("/"));
	ok(vm_freeze(w.vm, list, on_done, &w, &err) == 0, "freeze one");
	hear(&w, "status;freeze-list;", ERROR_NONE, "only where it was asked to");
	end(&w);
}

static void test_bad(void)
{
	struct error err = ERROR_INIT;
	struct world w;

	begin(&w);
	w.freeze = "{\"error\": {\"desc\": \"cannot\"}}";
	freeze(&w);
	hear(&w, "status;freeze;", ERROR_AGENT_REFUSED, "refused");
	ok(!is_noted(&w), "nothing is frozen");

	w.freeze = "what?";
	freeze(&w);
	hear(&w, "status;freeze;", ERROR_AGENT, "no answer that says what is true");
	ok(is_noted(&w), "so it may be frozen");
	w.thaw = "what?";
	buf_clear(&w.heard);
	quiesce_settle(w.vm);
	is_str(run(&w), "thaw;", "without a job it is thawed");
	ok(is_noted(&w), "which did not work");
	w.thaw = "{\"return\": 1}";
	buf_clear(&w.heard);
	quiesce_settle(w.vm);
	is_str(run(&w), "", "the next time comes later");
	quiesce_hurry(w.vm);
	is_str(run(&w), "thaw;", "or when its agent is there again");
	ok(!is_noted(&w), "and then it is thawed");

	w.freeze = "{\"return\": 1}";
	freeze(&w);
	hear(&w, "status;freeze;", ERROR_NONE, "frozen");
	w.vm->state = VM_PAUSED;
	ok(vm_thaw(w.vm, on_done, &w, &err) < 0 && is_noted(&w), "a guest that stands still cannot thaw");
	w.vm->process_ended = true;
	thaw(&w);
	hear(&w, "", ERROR_NONE, "one that has ended need not");
	ok(vm_freeze(w.vm, NULL, on_done, &w, &err) < 0, "nor can it freeze");
	w.vm->process_ended = false;
	w.vm->state = VM_RUNNING;
	freeze(&w);
	vm_agent_qemu_ended(w.vm);
	ok(w.last.code == ERROR_AGENT, "QEMU's end answers");
	end(&w);
}

int main(void)
{
	test_good();
	test_bad();
	return done_testing();
}
