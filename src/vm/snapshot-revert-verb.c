/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is asked of a revert, checked and made exact before anything happens: machine, disks, what becomes of the files. */
#include "snapshot-revert.h"

#include <inttypes.h>
#include <time.h>

#include "chain.h"
#include "clock.h"
#include "disk.h"
#include "file.h"
#include "snapshot-hook.h"
#include "snapshot-store.h"
#include "vm-snapshot.h"

/* ---- files ---- */

static bool has_source(const struct domain *d, const char *path)
{
	VEC_FOREACH (disk, &d->disks) {
		if (streq(disk->source, path))
			return true;
		for (size_t i = 0; i < disk->backing.n; i++)
			if (streq(disk->backing.items[i].source, path))
				return true;
	}
	return false;
}

/* A snapshot's machine has it, or one of which nothing is known may have. */
static bool is_needed(const struct vm *vm, const char *path)
{
	VEC_FOREACH (s, &vm->snapshots.all) {
		if (!s->domain || has_source(s->domain, path))
			return true;
	}
	return false;
}

static bool is_frozen(const struct vm *vm, const char *path)
{
	return snapshot_tree_find_ground(&vm->snapshots, path);
}

static bool has_overlay(const struct snapshot_disk *disks, size_t n, const char *path)
{
	for (size_t i = 0; i < n; i++)
		if (disks[i].location == SNAPSHOT_EXTERNAL && streq(disks[i].source, path))
			return true;
	return false;
}

/* Of an overlay that taking a snapshot, or going back to one, has made: over what. NULL: it is none. */
static const char *find_frozen(const struct vm *vm, const char *target, const char *path)
{
	VEC_FOREACH (s, &vm->snapshots.all) {
		const struct disk *disk = s->domain ? domain_find_disk(s->domain, target) : NULL;

		if (disk && (has_overlay(s->disks.items, s->disks.n, path) ||
				    has_overlay(s->revert_disks.items, s->revert_disks.n, path)))
			return disk->source;
	}
	return NULL;
}

static bool is_chosen(const struct revert_operation *revert, const char *path)
{
	for (size_t i = 0; i < revert->disks.n; i++)
		if (streq(revert->disks.items[i].overlay, path))
			return true;
	return false;
}

/* As libvirt names it: the last suffix of the name gives way to the time, or to the next number that is free. */
static char *choose_overlay(const struct revert_operation *revert, const char *base)
{
	const char *slash = strrchr(base, '/'), *dot = strrchr(base, '.');
	int length = (int)(dot && dot > slash ? (size_t)(dot - base) : strlen(base));
	int64_t number = time(NULL);
	char *path = xasprintf("%.*s.%" PRIi64, length, base, number);

	while (access(path, F_OK) == 0 || is_chosen(revert, path)) {
		free(path);
		path = xasprintf("%.*s.%" PRIi64, length, base, ++number);
	}
	return path;
}

/* ---- disks ---- */

static void set_source(struct disk *disk, enum disk_source type, const char *source, enum disk_format format)
{
	disk->source_type = type;
	replace_string(&disk->source, source);
	disk->format = format;
	disk_clear_backing(disk);
}

static int add_external(struct revert_operation *revert, struct domain *d, struct disk *disk,
	const struct snapshot_disk *taken, struct error *err)
{
	/* A block device's directory is no place for files; the overlay it got then lies in a better one. */
	const char *beside = disk->source_type == DISK_SOURCE_FILE ? disk->source : taken->source;
	struct revert_disk one = {.base_format = disk->format};

	if (disk->source_type != DISK_SOURCE_FILE && taken->source_type != DISK_SOURCE_FILE)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"disk '%s': there is no directory for an overlay of block device '%s'", disk->target,
			disk->source);
	one.target = xstrdup(disk->target);
	one.base = xstrdup(disk->source);
	one.overlay = choose_overlay(revert, beside);
	VEC_ADD(&revert->disks, one);
	chain_push(d, disk, DISK_SOURCE_FILE, one.overlay, DISK_FORMAT_QCOW2);
	return 0;
}

/* It was not part of the snapshot, and is what it is now. */
static int keep_present(const struct vm *vm, struct disk *disk, struct error *err)
{
	const struct disk *now = domain_find_disk(vm_get_domain(vm), disk->target);

	if (now)
		set_source(disk, now->source_type, now->source, now->format);
	else if (disk->source && !disk->readonly && is_frozen(vm, disk->source))
		return error_set(err, ERROR_OPERATION_INVALID,
			"disk '%s' is not part of the snapshot, and the VM has it no more", disk->target);
	return 0;
}

/* The file itself becomes what it was: nobody else may stand on it. */
static int check_file(const struct vm *vm, const struct disk *disk, struct error *err)
{
	if (is_frozen(vm, disk->source))
		return error_set(err, ERROR_OPERATION_INVALID,
			"disk '%s': an external snapshot stands on %s, and would change with it: delete that "
			"one first",
			disk->target, disk->source);
	return 0;
}

static int choose_disk(struct revert_operation *revert, const struct snapshot *s, struct disk *disk,
	bool force, struct error *err)
{
	struct domain *d = revert->start.domain;
	const struct snapshot_disk *taken = snapshot_find_disk(s, disk->target);
	enum snapshot_location location = taken ? taken->location : SNAPSHOT_NO;

	if (!disk->source)
		return 0;
	if (location == SNAPSHOT_EXTERNAL)
		return add_external(revert, d, disk, taken, err);
	if (location == SNAPSHOT_INTERNAL || (location == SNAPSHOT_MANUAL && revert->program))
		return check_file(revert->start.op.vm, disk, err);
	if (location == SNAPSHOT_MANUAL && !force && !revert->start.image_path)
		return error_set(err, ERROR_OPERATION_INVALID,
			"disk '%s' was stored by hand: bring it back, then revert with --force",
			disk->target);
	return location == SNAPSHOT_MANUAL ? 0 : keep_present(revert->start.op.vm, disk, err);
}

/* Of the snapshot's disks, those that must be what they were. */
static void note_disks(struct revert_operation *revert, const struct snapshot *s, const struct domain *d)
{
	revert->noted = domain_copy(d);
	for (size_t i = revert->noted->disks.n; i-- > 0;) {
		struct disk *disk = revert->noted->disks.items[i];
		const struct snapshot_disk *taken = snapshot_find_disk(s, disk->target);

		if (!taken || taken->location == SNAPSHOT_NO)
			domain_remove_disk(revert->noted, disk);
	}
	revert->start.noted = revert->noted;
}

/* What the VM writes to now is not needed by anybody afterwards: its overlays, where they were made for this. */
static void find_obsolete(struct revert_operation *revert)
{
	const struct vm *vm = revert->start.op.vm;

	for (size_t i = 0; i < revert->disks.n; i++) {
		const struct revert_disk *disk = &revert->disks.items[i];
		const struct disk *now = domain_find_disk(vm_get_domain(vm), disk->target);
		const char *on;

		if (!now || !now->source || now->source_type != DISK_SOURCE_FILE ||
			streq(now->source, disk->base) || is_needed(vm, now->source))
			continue;
		on = find_frozen(vm, disk->target, now->source);
		if (!on)
			continue;
		strv_add(&revert->obsolete, now->source);
		strv_add(&revert->obsolete_on, on);
	}
}

/* ---- the machine ---- */

static void give_overlays(const struct revert_operation *revert, struct domain *d)
{
	for (size_t i = 0; i < revert->disks.n; i++) {
		struct disk *disk = domain_find_disk(d, revert->disks.items[i].target);

		if (disk)
			chain_push(
				d, disk, DISK_SOURCE_FILE, revert->disks.items[i].overlay, DISK_FORMAT_QCOW2);
	}
}

/* The persistent definition: the one of then; of one that was not running the machine itself. */
static int choose_definition(
	struct revert_operation *revert, const struct snapshot *s, const struct domain *d, struct error *err)
{
	const struct vm *vm = revert->start.op.vm;
	_cleanup_domain_ struct domain *definition = domain_copy(s->inactive ? s->inactive : d);

	if (!vm->persistent)
		return 0;
	VEC_FOREACH (disk, &definition->disks) {
		const struct snapshot_disk *taken = snapshot_find_disk(s, disk->target);

		if ((!taken || taken->location == SNAPSHOT_NO) && keep_present(vm, disk, err) < 0)
			return -1;
	}
	if (s->inactive)
		give_overlays(revert, definition);
	replace_string(&definition->name, vm->name);
	memcpy(definition->uuid, vm->uuid, sizeof(vm->uuid));
	definition->has_uuid = true;
	revert->definition = domain_format(definition, DOMAIN_FORMAT_INACTIVE | DOMAIN_FORMAT_SECURE);
	revert->old_definition = domain_format(vm->persistent, DOMAIN_FORMAT_INACTIVE | DOMAIN_FORMAT_SECURE);
	return 0;
}

/* The memory image has the machine it came from, too, and loads into no other. */
static int take_image(struct revert_operation *revert, const struct snapshot *s, struct error *err)
{
	struct start_operation *start = &revert->start;
	_cleanup_domain_ struct domain *saved = NULL;

	start->image_path = xstrdup(s->memory_file);
	if (start_open_image(start, err) < 0 || start_take_image_domain(start, NULL, err) < 0)
		return -1;
	if (!s->domain)
		return 0;
	saved = TAKE_PTR(start->domain);
	return domain_check_abi_stable(saved, s->domain, err);
}

/* Of a machine that is started; libvirt passes over it elsewhere, too. */
static int choose_nvram(struct revert_operation *revert, const struct snapshot *s, struct error *err)
{
	const struct domain_os *os = &revert->start.domain->os;

	if (!revert->start.reset_nvram || revert->ends_off || !os->nvram)
		return 0;
	if (s->memory == SNAPSHOT_INTERNAL)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"the firmware variables of then are inside %s, with the guest's memory: they cannot "
			"be "
			"reset",
			os->nvram);
	if (!os->nvram_template || streq(os->nvram_format, "qcow2"))
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"firmware variables %s cannot be made anew: %s", os->nvram,
			os->nvram_template ? "they are qcow2" : "there is no template for them");
	revert->nvram = xstrdup(os->nvram);
	revert->nvram_aside = xasprintf("%s.%" PRIu64 ".kept", os->nvram, clock_wall());
	return 0;
}

/* swtpm locks its state: a second one cannot have it while the first is parked with its QEMU. What of it belongs to then is in the memory. */
static void choose_tpm(struct revert_operation *revert, const struct snapshot *s)
{
	const struct vm *vm = revert->start.op.vm;
	char uuid[UUID_TEXT_MAX];

	if (vm->state == VM_OFF || revert->ends_off || !revert->start.domain->tpm)
		return;
	uuid_format(vm->uuid, uuid);
	revert->tpm_aside = xasprintf("%s.%" PRIu64 ".kept", uuid, clock_wall());
	revert->keep_tpm = !snapshot_has_memory(s);
}

static int choose_machine(struct revert_operation *revert, const struct snapshot *s,
	const struct vm_snapshot_revert_options *options, struct error *err)
{
	struct vm *vm = revert->start.op.vm;
	struct domain *d;

	if (s->memory == SNAPSHOT_EXTERNAL && !revert->ends_off && take_image(revert, s, err) < 0)
		return -1;
	if (!s->domain && !revert->start.domain && !vm->persistent)
		return error_set(err, ERROR_OPERATION_INVALID, "nothing is known of the machine it was");
	if (!revert->start.domain)
		revert->start.domain = domain_copy(s->domain ? s->domain : vm->persistent);
	d = revert->start.domain;
	replace_string(&d->name, vm->name);
	memcpy(d->uuid, vm->uuid, sizeof(vm->uuid));
	d->has_uuid = true;
	note_disks(revert, s, d);
	VEC_FOREACH (disk, &d->disks) {
		if (choose_disk(revert, s, disk, options->force, err) < 0)
			return -1;
	}
	find_obsolete(revert);
	choose_tpm(revert, s);
	return choose_nvram(revert, s, err) < 0 ? -1 : choose_definition(revert, s, d, err);
}

/* ---- the verb ---- */

static bool is_live(const struct snapshot *s)
{
	return s->state == SNAPSHOT_RUNNING || s->state == SNAPSHOT_PAUSED;
}

/* What libvirt refuses without --force: it could do harm, or is not what was meant. */
static int check_risk(const struct vm *vm, const struct snapshot *s, struct error *err)
{
	if (!s->domain)
		return error_set(err, ERROR_REVERT_RISKY, "snapshot '%s' lacks domain '%s' rollback info",
			s->name, vm->name);
	if (vm_has_managed_save(vm) && !is_live(s))
		return error_set(
			err, ERROR_REVERT_RISKY, "'%s' has a managed save, which would be removed", vm->name);
	return 0;
}

static int check(const struct vm *vm, const struct snapshot *s,
	const struct vm_snapshot_revert_options *options, struct error *err)
{
	if (options->running && options->paused)
		return error_set(
			err, ERROR_INVALID_ARGUMENT, "it can be running or paused afterwards, not both");
	if (!options->force && check_risk(vm, s, err) < 0)
		return -1;
	VEC_FOREACH (disk, &s->disks) {
		if (disk.delete_begun)
			return error_set(err, ERROR_OPERATION_INVALID,
				"snapshot '%s' was just being deleted, and disk '%s' is no longer what it "
				"was: delete it",
				s->name, disk.target);
	}
	if (is_live(s) && !snapshot_has_memory(s))
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"snapshot '%s' is of a running guest, and has no memory", s->name);
	if (!vm->persistent && !is_live(s) && !options->running && !options->paused)
		return error_set(err, ERROR_OPERATION_INVALID,
			"transient domain needs to request run or pause to revert to inactive snapshot");
	return 0;
}

/* Takes `program`. */
static struct revert_operation *revert_new(struct vm *vm, const struct snapshot *s, char *program,
	const struct vm_snapshot_revert_options *options)
{
	bool off = !is_live(s) && !options->running && !options->paused;
	struct revert_operation *revert =
		revert_operation_new(!off			    ? &revert_operation_type
				     : revert_is_stored(s, program) ? &revert_stored_off_operation_type
								    : &revert_off_operation_type,
			vm);
	const struct snapshot *current = snapshot_tree_get_current(&vm->snapshots);

	revert->name = xstrdup(s->name);
	revert->program = program;
	revert->ends_off = off;
	revert->was_active = vm->state != VM_OFF;
	revert->was_running = vm->state == VM_RUNNING;
	revert->old_current = current ? xstrdup(current->name) : NULL;
	revert->old_metadata =
		snapshot_format(s, SNAPSHOT_FORMAT_SECURE | SNAPSHOT_FORMAT_INTERNAL, current == s);
	revert->start.paused = options->paused || (s->state == SNAPSHOT_PAUSED && !options->running);
	revert->start.force = options->force;
	revert->start.reset_nvram = options->reset_nvram;
	return revert;
}

int vm_snapshot_revert(struct vm *vm, const struct vm_snapshot_revert_options *options, vm_done_fn done,
	void *userdata, struct error *err)
{
	const struct snapshot *s = snapshot_tree_find(&vm->snapshots, options->name);
	struct revert_operation *revert;
	char *program = NULL;

	if (!s)
		return error_set(
			err, ERROR_NO_SNAPSHOT, "no domain snapshot with matching name '%s'", options->name);
	if (vm_check_verb(vm, VERB_REVERT, err) < 0 || snapshot_store_check_readable(vm, err) < 0)
		return -1;
	if (check(vm, s, options, err) < 0 ||
		(snapshot_is_manual(s) && snapshot_hook_find(vm, s->name, &program, err) < 0))
		return error_prefix(err, "revert %s", vm->name);
	revert = revert_new(vm, s, program, options);
	if (choose_machine(revert, s, options, err) < 0) {
		operation_free(&revert->start.op);
		return error_prefix(err, "revert %s to snapshot '%s'", vm->name, options->name);
	}
	return operation_begin(&revert->start.op, done, userdata, err);
}
