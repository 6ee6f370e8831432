/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A VM's agent: where it is found, who may ask it, and shutting down by it. */
#include "vm-agent.h"

#include "monitor.h"
#include "vm-agent-internal.h"

#define AGENT_CHANNEL "org.qemu.guest_agent.0"
/* libvirt's VIR_DOMAIN_QEMU_AGENT_COMMAND_SHUTDOWN */
#define SHUTDOWN_SECONDS 60

bool chardev_is_agent(const struct chardev *c)
{
	return streq(c->name, AGENT_CHANNEL);
}

static const struct chardev *find_channel(const struct vm *vm)
{
	VEC_FOREACH (channel, &vm->live->channels) {
		if (chardev_is_agent(channel) && channel->backend == CHARDEV_UNIX && channel->listen &&
			channel->path)
			return channel;
	}
	return NULL;
}

int vm_check_agent(const struct vm *vm, struct error *err)
{
	const struct chardev *channel;

	if (vm_check_verb(vm, VERB_AGENT, err) < 0)
		return -1;
	if (vm->process_ended || vm->monitor_ended)
		return error_set(err, ERROR_OPERATION_INVALID, "domain '%s' is not running", vm->name);
	channel = find_channel(vm);
	if (!channel)
		return error_set(err, ERROR_ARGUMENT_UNSUPPORTED, "QEMU guest agent is not configured");
	if (streq(channel->state, "disconnected"))
		return error_set(err, ERROR_AGENT, "QEMU guest agent is not connected");
	return 0;
}

static int connect_channel(void *userdata, int *ret_fd, struct error *err)
{
	const struct vm *vm = userdata;
	const struct chardev *channel = vm->live ? find_channel(vm) : NULL;
	int fd = channel ? vm_connect_channel(channel, err)
			 : error_set(err, ERROR_AGENT, "QEMU guest agent is not configured");

	if (fd < 0)
		return -1;
	*ret_fd = fd;
	return 0;
}

static int give_command(struct vm *vm, struct agent_command *command, struct error *err)
{
	if (vm_check_agent(vm, err) < 0) {
		json_object_put(command->arguments);
		return -1;
	}
	if (!vm->agent)
		vm->agent = agent_new(vm->registry->loop, connect_channel, vm);
	if (command->timeout == VM_AGENT_TIMEOUT)
		command->timeout = vm->agent_timeout;
	agent_command(vm->agent, command);
	return 0;
}

int vm_agent_command(struct vm *vm, const char *name, json *arguments, int timeout, agent_reply_fn reply,
	void *userdata, struct error *err)
{
	struct agent_command command = {.name = name,
		.arguments = arguments,
		.timeout = timeout,
		.reply = reply,
		.userdata = userdata};

	return give_command(vm, &command, err);
}

void vm_agent_forget(struct vm *vm, void *userdata)
{
	if (vm->agent)
		agent_forget(vm->agent, userdata);
}

int vm_agent_set_timeout(struct vm *vm, int timeout, struct error *err)
{
	if (timeout < AGENT_BLOCK)
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"guest agent timeout '%d' is less than the minimum '%d'", timeout, AGENT_BLOCK);
	vm->agent_timeout = timeout;
	return status_write(vm, err);
}

/* ---- what becomes of it ---- */

void vm_agent_guest_ended(struct vm *vm)
{
	if (vm->agent)
		agent_guest_ended(vm->agent);
}

void vm_agent_qemu_ended(struct vm *vm)
{
	if (!vm->agent)
		return;
	agent_qemu_ended(vm->agent);
	agent_free(vm->agent);
	vm->agent = NULL;
}

/* "label": "charchannel0", "frontend-open": true. */
void vm_note_channels(struct vm *vm, json *chardevs)
{
	JSON_FOREACH (item, chardevs) {
		const char *label = json_get_string(item, "label");

		VEC_FOREACH (channel, &vm->live->channels) {
			if (label && startswith(label, "char") &&
				streq(channel->info.alias, label + strlen("char")))
				replace_string(&channel->state, json_get_bool(item, "frontend-open", false)
									? "connected"
									: "disconnected");
		}
	}
}

static void chardevs_replied(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	vm_note_channels(userdata, ret);
}

void vm_agent_adopt(struct vm *vm)
{
	qmp_command(vm->qmp, "query-chardev", NULL, -1, 0, chardevs_replied, vm);
}

/* ---- shutting down by it ---- */

struct ask {
	struct vm *vm; /* a reference */
	bool reboot, press_button;
	vm_done_fn done;
	void *userdata;
};

static int press_button(struct vm *vm, bool reboot, vm_done_fn done, void *userdata, struct error *err)
{
	return reboot ? vm_reboot(vm, done, userdata, err) : vm_shutdown(vm, done, userdata, err);
}

static void end_asked(json *ret, const struct error *err, void *userdata)
{
	struct ask *ask = userdata;
	struct error again = ERROR_INIT;

	if (!err || !ask->press_button)
		ask->done(ask->vm, err, ask->userdata);
	else if (press_button(ask->vm, ask->reboot, ask->done, ask->userdata, &again) < 0)
		ask->done(ask->vm, &again, ask->userdata);
	vm_unref(ask->vm);
	free(ask);
}

int vm_ask_to_end(
	struct vm *vm, unsigned ways, bool reboot, vm_done_fn done, void *userdata, struct error *err)
{
	struct agent_command command = {.name = "guest-shutdown",
		.timeout = SHUTDOWN_SECONDS,
		.ends_guest = true,
		.reply = end_asked};
	struct ask *ask;

	if (vm_check_verb(vm, VERB_SHUTDOWN, err) < 0)
		return -1;
	if (vm_check_agent(vm, err) < 0)
		return ways == VM_ASK_AGENT ? -1 : press_button(vm, reboot, done, userdata, err);
	if (ways == VM_ASK_ACPI)
		return press_button(vm, reboot, done, userdata, err);
	/* The guest boots anew by itself. */
	vm->reboot_requested = false;
	status_write(vm, NULL);
	ask = NEW(struct ask);
	*ask = (struct ask){vm_ref(vm), reboot, ways != VM_ASK_AGENT, done, userdata};
	command.arguments = json_pack("s:mode", reboot ? "reboot" : "powerdown", NULL);
	command.userdata = ask;
	return give_command(vm, &command, err);
}
