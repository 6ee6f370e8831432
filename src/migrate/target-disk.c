/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Disks that the source copies: an image is made where there is none, and QEMU opens each to the source's QEMU (NBD), before the state comes; both end before the
 * guest runs. What was made goes again when the VM does not come.
 */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "copy.h"
#include "ports.h"
#include "qemu-img.h"
#include "target.h"

static uint64_t find_capacity(const struct target_operation *t, const char *target)
{
	for (size_t i = 0; i < t->capacities.n; i++)
		if (streq(t->capacities.items[i].target, target))
			return t->capacities.items[i].capacity;
	return 0;
}

/* An image that is there is written over as it is: it must be large enough, which QEMU sees. */
static int plan_disk(struct target_operation *t, const struct disk *disk, struct error *err)
{
	uint64_t capacity = find_capacity(t, disk->target);
	struct stat st;

	if (stat(disk->source, &st) == 0)
		return 0;
	if (errno != ENOENT)
		return error_errno(err, errno, "disk '%s': %s", disk->target, disk->source);
	if (t->options.flags & MIGRATE_NON_SHARED_INC)
		return error_set(err, ERROR_OPERATION_FAILED,
			"disk '%s': there is no %s here, over which the changes could be copied "
			"(--copy-storage-inc)",
			disk->target, disk->source);
	if (!capacity)
		return error_set(err, ERROR_OPERATION_FAILED,
			"disk '%s': there is no %s here, and the source does not say how large it is",
			disk->target, disk->source);
	json_object_array_add(t->made, json_object_new_string(disk->source));
	return 0;
}

int target_plan_disks(struct target_operation *t, struct error *err)
{
	t->made = json_object_new_array();
	VEC_FOREACH (disk, &t->start.domain->disks)
		if (copy_includes(&t->options, disk) && plan_disk(t, disk, err) < 0)
			return -1;
	return 0;
}

static bool is_made(const struct target_operation *t, const char *path)
{
	JSON_FOREACH (item, t->made)
		if (streq(json_object_get_string(item), path))
			return true;
	return false;
}

static void made(const char *output, const struct error *err, void *userdata)
{
	struct target_operation *t = userdata;
	struct error failure = ERROR_INIT;

	if (err)
		failure = *err;
	qemu_img_free(TAKE_PTR(t->maker));
	operation_step_done(&t->start.op, err ? &failure : NULL);
}

static void add_command(struct strv *command, const struct disk *disk, uint64_t capacity)
{
	char size[24];

	snprintf(size, sizeof(size), "%llu", (unsigned long long)capacity);
	strv_add(command, "create");
	strv_add(command, "-q");
	strv_add(command, "-f");
	strv_add(command, disk->format == DISK_FORMAT_NONE ? "raw" : disk_format_name(disk->format));
	strv_add(command, disk->source);
	strv_add(command, size);
}

enum step_result target_make_disks(struct job *job, void *context, struct error *err)
{
	struct target_operation *t = context;
	struct vm *vm = t->start.op.vm;
	size_t n = json_count_(t->made), i = 0;
	struct strv *commands;
	int r;

	if (n == 0)
		return STEP_DONE;
	if (!vm->live)
		launch_announce(&t->start);
	commands = xcalloc(n, sizeof(*commands));
	VEC_FOREACH (disk, &vm->live->disks)
		if (disk->source && is_made(t, disk->source) && i < n)
			add_command(&commands[i++], disk, find_capacity(t, disk->target));
	r = qemu_img_start(vm->registry->loop, commands, i, made, t, &t->maker, err);
	for (size_t k = 0; k < i; k++)
		strv_fini(&commands[k]);
	free(commands);
	return r < 0 ? STEP_FAILED : STEP_WAIT;
}

enum step_result target_unmake_disks(struct job *job, void *context, struct error *err)
{
	struct target_operation *t = context;
	enum step_result result = STEP_DONE;

	qemu_img_free(TAKE_PTR(t->maker));
	JSON_FOREACH (item, t->made) {
		const char *path = json_object_get_string(item);

		if (unlink(path) < 0 && errno != ENOENT) {
			error_errno(err, errno, "remove %s", path);
			result = STEP_FAILED;
		}
	}
	return result;
}

/* ---- open to the source ---- */

static void export_disk(struct target_operation *t, const struct disk *disk, qmp_reply_fn reply)
{
	_cleanup_free_ char *name = copy_export_name(disk), *id = xasprintf("migration-%s", disk->target),
			    *node = xasprintf("libvirt-%u-format", disk->node);

	qmp_command(t->start.op.vm->qmp, "block-export-add",
		json_pack("s:type", "nbd", "s:id", id, "s:node-name", node, "s:name", name, "b:writable",
			true, NULL),
		-1, 0, reply, t);
}

static bool has_any(const struct target_operation *t)
{
	VEC_FOREACH (disk, &t->start.op.vm->live->disks)
		if (copy_includes(&t->options, disk))
			return true;
	return false;
}

int target_export_disks(struct target_operation *t, qmp_reply_fn reply, struct error *err)
{
	struct vm *vm = t->start.op.vm;
	char port[8];
	json *address;

	if (!has_any(t))
		return 0;
	if (t->options.disks_port)
		t->nbd_port = (uint16_t)t->options.disks_port;
	else if (ports_take(vm->registry->settings.migrations, &t->nbd_port, err) < 0)
		return -1;
	snprintf(port, sizeof(port), "%u", t->nbd_port);
	address = json_pack("s:type", "inet", "o:data",
		json_pack("s:host", t->options.listen_address ? t->options.listen_address : "", "s:port",
			port, NULL),
		NULL);
	qmp_command(vm->qmp, "nbd-server-start", json_pack("o:addr", address, NULL), -1, 0, reply, t);
	VEC_FOREACH (disk, &vm->live->disks)
		if (copy_includes(&t->options, disk))
			export_disk(t, disk, reply);
	return 0;
}

enum step_result target_end_exports(struct job *job, void *context, struct error *err)
{
	struct target_operation *t = context;

	if (!t->nbd_port)
		return STEP_DONE;
	return operation_command(&t->start.op, "nbd-server-stop", NULL, err);
}
