/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is asked of a new snapshot, made exact before anything happens, as libvirt 11.3 does it (virDomainSnapshotAlignDisks): where each disk's state
 * and the memory go, under which names, and what cannot be.
 */
#include <errno.h>
#include <sys/stat.h>
#include <time.h>

#include "chain.h"
#include "monitor.h"
#include "overlay.h"
#include "snapshot-create.h"
#include "snapshot-hook.h"
#include "snapshot-internal.h"
#include "snapshot-store.h"

/* ---- where it goes ---- */

static enum snapshot_location parse_location(const char *word)
{
	for (int v = SNAPSHOT_NO; word && v < SNAPSHOT_LOCATION_MAX_; v++)
		if (streq(word, snapshot_location_name((enum snapshot_location)v)))
			return (enum snapshot_location)v;
	return SNAPSHOT_DEFAULT;
}

static enum snapshot_state current_state(const struct vm *vm, bool disk_only)
{
	if (!vm->live)
		return SNAPSHOT_SHUTOFF;
	if (disk_only)
		return SNAPSHOT_DISK_ONLY;
	return vm->state == VM_RUNNING ? SNAPSHOT_RUNNING : SNAPSHOT_PAUSED;
}

/* The memory, and what a disk gets that says nothing; *ret_match: a disk may say nothing else. */
static int place_memory(struct snapshot *s, const struct vm *vm, bool disk_only,
	enum snapshot_location *ret_default, struct error *err)
{
	bool disks_outside = false;

	for (size_t i = 0; i < s->disks.n; i++)
		disks_outside |= s->disks.items[i].location == SNAPSHOT_EXTERNAL ||
				 s->disks.items[i].location == SNAPSHOT_MANUAL;
	s->state = current_state(vm, disk_only);
	*ret_default = SNAPSHOT_INTERNAL;
	if (s->memory == SNAPSHOT_MANUAL)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"the memory of a snapshot cannot be kept by somebody else: use internal, external or "
			"no");
	if (!vm->live || disk_only) {
		if (s->memory == SNAPSHOT_INTERNAL || s->memory == SNAPSHOT_EXTERNAL)
			return error_set(err, ERROR_UNSUPPORTED_CONFIG,
				vm->live ? "memory state cannot be saved with a disk-only snapshot"
					 : "memory state cannot be saved with offline or disk-only snapshot");
		s->memory = SNAPSHOT_NO;
		if (disk_only || disks_outside)
			*ret_default = SNAPSHOT_EXTERNAL;
		return 0;
	}
	if (s->memory == SNAPSHOT_DEFAULT)
		s->memory = disks_outside ? SNAPSHOT_NO : SNAPSHOT_INTERNAL;
	if (s->memory != SNAPSHOT_INTERNAL)
		*ret_default = SNAPSHOT_EXTERNAL;
	if (s->memory == SNAPSHOT_NO)
		return error_set(err, ERROR_OPERATION_INVALID,
			"a snapshot of a running VM without its memory must be asked for as disk-only");
	if (s->memory == SNAPSHOT_EXTERNAL && !s->memory_file)
		return error_set(err, ERROR_XML, "external memory snapshots require a filename");
	return 0;
}

/* Nothing can be written to it, or nothing is there. */
static bool is_passed_over(const struct disk *disk)
{
	return !disk->source || disk->readonly || disk->device == DISK_CDROM || disk->device == DISK_FLOPPY;
}

static void place_disk(
	struct snapshot_disk *d, const struct disk *disk, bool named, enum snapshot_location default_location)
{
	enum snapshot_location own = parse_location(disk->snapshot);

	if (d->location != SNAPSHOT_DEFAULT)
		return;
	if (is_passed_over(disk))
		d->location = SNAPSHOT_NO;
	else if (named && (own == SNAPSHOT_DEFAULT || own == SNAPSHOT_NO))
		d->location = default_location;
	else
		d->location = own != SNAPSHOT_DEFAULT ? own : default_location;
}

/* In the order of the domain's disks, as libvirt sorts them; those that were not named are added. */
static void place_disks(struct snapshot *s, const struct domain *d, enum snapshot_location default_location)
{
	__typeof__(s->disks) sorted = {0};

	VEC_FOREACH (disk, &d->disks) {
		struct snapshot_disk *given = snapshot_find_disk(s, disk->target);
		struct snapshot_disk placed = {.target = NULL};

		if (given) {
			placed = *given;
			*given = (struct snapshot_disk){.target = NULL};
		} else {
			placed.target = xstrdup(disk->target);
		}
		place_disk(&placed, disk, given, default_location);
		VEC_ADD(&sorted, placed);
	}
	VEC_FREE(&s->disks);
	s->disks.items = sorted.items;
	s->disks.n = sorted.n;
}

/* ---- names of files ---- */

/* "/a/vda.qcow2" and "s1": "/a/vda.s1". */
static int choose_file(struct snapshot_disk *d, const struct disk *disk, const char *name, struct error *err)
{
	struct stat st;
	const char *base, *dot;

	if (disk->source_type != DISK_SOURCE_FILE)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"cannot generate external snapshot name for disk '%s' on a block device: name a file",
			disk->target);
	if (stat(disk->source, &st) < 0)
		return error_errno(err, errno, "look at '%s' of disk '%s'", disk->source, disk->target);
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"source for disk '%s' is not a regular file; refusing to generate external snapshot "
			"name",
			disk->target);
	base = strrchr(disk->source, '/');
	dot = strrchr(base ? base : disk->source, '.');
	d->source = dot ? xasprintf("%.*s.%s", (int)(dot - disk->source), disk->source, name)
			: xasprintf("%s.%s", disk->source, name);
	d->source_type = DISK_SOURCE_FILE;
	return 0;
}

static int check_file(const struct snapshot_disk *d, bool reuse, struct error *err)
{
	struct stat st;
	bool there = stat(d->source, &st) == 0;

	if (d->source[0] != '/')
		return error_set(err, ERROR_INVALID_ARGUMENT, "disk '%s': path '%s' is not absolute",
			d->target, d->source);
	if (!there && errno != ENOENT)
		return error_errno(err, errno, "look at '%s' for disk '%s'", d->source, d->target);
	if (!there && reuse)
		return error_set(err, ERROR_OPERATION_INVALID, "missing existing file for disk '%s': %s",
			d->target, d->source);
	if (there && S_ISBLK(st.st_mode) && !reuse)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"block device snapshot target '%s' of disk '%s' needs --reuse-external and an image "
			"on it",
			d->source, d->target);
	if (there && !reuse)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"external snapshot file for disk '%s' already exists: %s", d->target, d->source);
	return 0;
}

static int check_external(const struct snapshot *s, const struct domain *domain,
	const struct snapshot_disk *d, bool reuse, struct error *err)
{
	const struct disk *disk = domain_find_disk(domain, d->target);

	if (disk->device == DISK_LUN)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"external snapshots are not supported for a LUN that is passed through (disk '%s')",
			d->target);
	if (d->format != DISK_FORMAT_NONE && d->format != DISK_FORMAT_QCOW2)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"external snapshot format for disk '%s' is not supported: use qcow2", d->target);
	if (strlen(disk->source) > OVERLAY_BASE_MAX)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"the path of disk '%s' is too long to stand under an overlay", d->target);
	for (size_t i = 0; i < s->disks.n && &s->disks.items[i] != d; i++)
		if (s->disks.items[i].location == SNAPSHOT_EXTERNAL &&
			streq(s->disks.items[i].source, d->source))
			return error_set(err, ERROR_UNSUPPORTED_CONFIG,
				"unable to use the same file '%s' for disks '%s' and '%s'", d->source,
				s->disks.items[i].target, d->target);
	VEC_FOREACH (other, &domain->disks) {
		if (streq(other->source, d->source))
			return error_set(err, ERROR_UNSUPPORTED_CONFIG,
				"'%s' for disk '%s' is the file of disk '%s'", d->source, d->target,
				other->target);
	}
	return check_file(d, reuse, err);
}

static int check_disks(struct snapshot *s, const struct vm *vm, bool reuse, struct error *err)
{
	const struct domain *domain = vm_get_domain(vm);
	bool inside = false, outside = false;

	for (size_t i = 0; i < s->disks.n; i++) {
		struct snapshot_disk *d = &s->disks.items[i];
		const struct disk *disk = domain_find_disk(domain, d->target);

		if (d->location != SNAPSHOT_NO && !disk->source)
			return error_set(err, ERROR_UNSUPPORTED_CONFIG,
				"disk '%s' is an empty drive: there is nothing to take a snapshot of",
				d->target);
		if (d->location != SNAPSHOT_NO && disk->readonly)
			return error_set(err, ERROR_UNSUPPORTED_CONFIG,
				"disk '%s' cannot be written to: it needs no snapshot", d->target);
		inside |= d->location == SNAPSHOT_INTERNAL;
		outside |= d->location == SNAPSHOT_EXTERNAL || d->location == SNAPSHOT_MANUAL;
		if (d->location != SNAPSHOT_EXTERNAL)
			continue;
		if (!d->source && choose_file(d, disk, s->name, err) < 0)
			return -1;
		if (check_external(s, domain, d, reuse, err) < 0)
			return -1;
		if (d->format == DISK_FORMAT_NONE)
			d->format = DISK_FORMAT_QCOW2;
	}
	if (inside && (outside || s->memory == SNAPSHOT_EXTERNAL))
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"mixing internal and external targets for a snapshot is not yet supported");
	if (outside && s->memory == SNAPSHOT_INTERNAL)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"internal memory and external disks cannot be mixed in one snapshot");
	if (!inside && !outside && !snapshot_has_memory(s))
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"nothing selected for snapshot: no disk takes part, nor the memory");
	if (inside && s->state == SNAPSHOT_DISK_ONLY)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"a disk-only snapshot of a running VM must be external");
	return inside || s->memory == SNAPSHOT_INTERNAL ? internal_check(vm, INTERNAL_TAKE, s, err) : 0;
}

/* ---- the job's part ---- */

static void plan_overlays(struct snapshot_operation *o, bool reuse)
{
	struct vm *vm = o->op.vm;
	_cleanup_domain_ struct domain *after = domain_copy(vm_get_domain(vm));

	for (size_t i = 0; i < o->snapshot->disks.n; i++) {
		const struct snapshot_disk *d = &o->snapshot->disks.items[i];
		struct disk *disk = domain_find_disk(after, d->target);
		struct snapshot_overlay overlay;

		if (d->location != SNAPSHOT_EXTERNAL)
			continue;
		overlay = (struct snapshot_overlay){.target = xstrdup(d->target),
			.path = xstrdup(d->source),
			.type = d->source_type,
			.format = d->format,
			.base = xstrdup(disk->source),
			.base_type = disk->source_type,
			.base_format = disk->format,
			.reuse = reuse};
		if (vm->live) {
			overlay.base_node = domain_find_disk(vm->live, d->target)->node;
			chain_push(after, disk, d->source_type, d->source, d->format);
			overlay.node = disk->node;
		}
		VEC_ADD(&o->overlays, overlay);
	}
}

/* What is not there yet is compared by its name; publishing finds out the rest (state-stream.h). */
static bool is_same_file(const char *a, const char *b)
{
	struct stat of_a, of_b;

	if (streq(a, b))
		return true;
	if (!a || !b || stat(a, &of_a) < 0 || stat(b, &of_b) < 0)
		return false;
	if (S_ISBLK(of_a.st_mode) && S_ISBLK(of_b.st_mode))
		return of_a.st_rdev == of_b.st_rdev;
	return of_a.st_dev == of_b.st_dev && of_a.st_ino == of_b.st_ino;
}

static int check_memory_file(const struct snapshot_operation *o, struct error *err)
{
	const char *path = o->stream.path, *target = NULL;

	VEC_FOREACH (overlay, &o->overlays) {
		if (is_same_file(overlay.path, path))
			target = overlay.target;
	}
	VEC_FOREACH (disk, &o->op.vm->live->disks) {
		if (is_same_file(disk->source, path))
			target = disk->target;
		VEC_FOREACH (layer, &disk->backing) {
			if (is_same_file(layer.source, path))
				target = disk->target;
		}
	}
	return target ? error_set(err, ERROR_UNSUPPORTED_CONFIG,
				"unable to use the same file '%s' for the memory and disk '%s'", path, target)
		      : 0;
}

static int plan_memory(struct snapshot_operation *o, bool reuse, struct error *err)
{
	struct vm *vm = o->op.vm;
	const struct registry_settings *settings = &vm->registry->settings;
	struct stat st;

	o->has_memory = o->snapshot->memory == SNAPSHOT_EXTERNAL;
	if (!o->has_memory)
		return 0;
	if (!reuse && stat(o->snapshot->memory_file, &st) == 0)
		return error_set(err, ERROR_OPERATION_FAILED, "the file for the memory already exists: %s",
			o->snapshot->memory_file);
	o->stream.format =
		settings->has_snapshot_format ? settings->snapshot_format : state_stream_default_format(vm);
	o->stream.image_running = o->was_running;
	o->stream.xml = domain_format(
		vm->live, DOMAIN_FORMAT_SECURE | DOMAIN_FORMAT_INACTIVE | DOMAIN_FORMAT_MIGRATABLE);
	o->stream.exclusive = !reuse;
	if (state_stream_set_target(&o->stream, o->snapshot->memory_file, err) < 0)
		return -1;
	return check_memory_file(o, err);
}

static int check_options(
	const struct vm *vm, const struct vm_snapshot_create_options *options, struct error *err)
{
	if (options->quiesce && !options->disk_only)
		return error_set(err, ERROR_ARGUMENT_UNSUPPORTED, "--quiesce needs --disk-only");
	if (options->quiesce && !vm->live)
		return error_set(err, ERROR_OPERATION_INVALID,
			"domain '%s' is not running: it cannot be quiesced", vm->name);
	if (options->live && options->disk_only)
		return error_set(
			err, ERROR_ARGUMENT_UNSUPPORTED, "--live and --disk-only exclude each other");
	if (options->live && (options->halt || !vm->live))
		return error_set(err, options->halt ? ERROR_ARGUMENT_UNSUPPORTED : ERROR_OPERATION_INVALID,
			options->halt ? "--live and --halt exclude each other"
				      : "--live: domain '%s' is not running",
			vm->name);
	if (options->halt && vm->live && !vm->persistent)
		return error_set(err, ERROR_OPERATION_INVALID,
			"cannot halt after transient domain snapshot: domain '%s' would be gone", vm->name);
	return 0;
}

static void add_domains(struct snapshot *s, const struct vm *vm)
{
	s->created_s = (int64_t)time(NULL);
	s->domain = domain_copy(vm_get_domain(vm));
	if (vm->live && vm->persistent)
		s->inactive = domain_copy(vm->persistent);
	replace_string(&s->parent, vm->snapshots.current);
}

static int choose_hook(struct snapshot_operation *o, const char *given, struct error *err)
{
	const struct vm *vm = o->op.vm;

	if (!snapshot_is_manual(o->snapshot))
		return given ? error_set(err, ERROR_UNSUPPORTED_CONFIG,
				       "there is no disk for the hook '%.255s' to take", given)
			     : 0;
	if (!given) {
		o->hook = xstrdup(vm->registry->settings.snapshot_hook);
		return 0;
	}
	o->given_hook = xstrdup(given);
	return snapshot_hook_resolve(vm, given, &o->hook, err);
}

int snapshot_plan(struct snapshot_operation *o, const struct vm_snapshot_create_options *options,
	struct snapshot *given, struct error *err)
{
	struct vm *vm = o->op.vm;
	enum snapshot_location default_location;

	o->snapshot = given;
	state_stream_init(&o->stream, &o->op, &snapshot_stream_ops);
	gate_init(&o->capture.gate);
	if (check_options(vm, options, err) < 0)
		return -1;
	if (!options->no_metadata && snapshot_tree_find(&vm->snapshots, given->name))
		return error_set(
			err, ERROR_OPERATION_INVALID, "domain snapshot %s already exists", given->name);
	if (vm_snapshot_is_unreadable(vm, given->name))
		return snapshot_store_check_readable(vm, err);
	if (snapshot_resolve_disks(given, vm_get_domain(vm), err) < 0 ||
		place_memory(given, vm, options->disk_only, &default_location, err) < 0)
		return -1;
	place_disks(given, vm_get_domain(vm), options->hook ? SNAPSHOT_MANUAL : default_location);
	if (check_disks(given, vm, options->reuse_external, err) < 0)
		return -1;
	o->was_off = !vm->live;
	o->was_running = vm->state == VM_RUNNING;
	o->quiesce = options->quiesce;
	o->halt = options->halt && vm->live;
	/* They are taken while the guest stands still: by a program, or by their user, who resumes it. */
	o->pause = o->was_running && snapshot_is_manual(given);
	if (choose_hook(o, options->hook, err) < 0)
		return -1;
	if (o->quiesce && snapshot_is_manual(given) && !o->hook)
		return error_set(err, ERROR_OPERATION_INVALID,
			"--quiesce with a manual disk needs a snapshot_hook: a paused guest cannot be "
			"thawed");
	o->live = options->live;
	o->no_metadata = options->no_metadata;
	add_domains(given, vm);
	plan_overlays(o, options->reuse_external);
	if (snapshot_check_leases(o, err) < 0)
		return -1;
	return plan_memory(o, options->reuse_external, err);
}

/* ---- requests: what the emulator can do is asked first, and the VM looked at again behind it ---- */

struct snapshot_request {
	struct vm *vm;
	struct snapshot *snapshot;
	struct vm_snapshot_create_options options;
	char *hook; /* options.hook */
	vm_snapshot_done_fn done;
	void *userdata;
};

static void request_free(struct snapshot_request *r)
{
	snapshot_free(r->snapshot);
	vm_unref(r->vm);
	free(r->hook);
	free(r);
}

/* The operation is still there. */
static void created(struct vm *vm, const struct error *err, void *userdata)
{
	struct snapshot_operation *o = userdata;

	o->done(vm, err ? NULL : o->snapshot->name, err, o->userdata);
}

static int begin(struct snapshot_request *r, struct error *err)
{
	struct snapshot_operation *o;

	if (vm_check_verb(r->vm, VERB_SNAPSHOT, err) < 0)
		return -1;
	if (r->vm->live && !r->vm->qmp)
		return error_set(
			err, ERROR_OPERATION_FAILED, "monitor of domain '%s' is not connected", r->vm->name);
	/* Its state belongs to the disks as they are, and would be resumed over what is frozen now. */
	if (vm_has_managed_save(r->vm))
		return error_set(err, ERROR_OPERATION_INVALID,
			"domain '%s' has a managed save: start it, or remove that first (managedsave-remove)",
			r->vm->name);
	o = operation_new(&snapshot_operation_type, r->vm);
	o->done = r->done;
	o->userdata = r->userdata;
	if (snapshot_plan(o, &r->options, TAKE_PTR(r->snapshot), err) < 0) {
		error_prefix(err, "take a snapshot of %s", r->vm->name);
		operation_free(&o->op);
		return -1;
	}
	return operation_begin(&o->op, created, o, err);
}

static void probed(const struct qemu_capabilities *caps, const struct error *err, void *userdata)
{
	struct snapshot_request *r = userdata;
	struct error failure = ERROR_INIT;

	if (!caps)
		failure = *err;
	else
		begin(r, &failure);
	if (failure.code != ERROR_NONE)
		r->done(r->vm, NULL, &failure, r->userdata);
	request_free(r);
}

int vm_snapshot_create(struct vm *vm, const struct vm_snapshot_create_options *options,
	vm_snapshot_done_fn done, void *userdata, struct error *err)
{
	struct snapshot_request *r;
	struct snapshot *s;
	const char *emulator;

	if (vm_check_verb(vm, VERB_SNAPSHOT, err) < 0 ||
		snapshot_parse(options->xml, strlen(options->xml),
			options->disk_only ? SNAPSHOT_PARSE_DISK_ONLY : 0, &s, NULL, err) < 0)
		return -1;
	r = NEW(struct snapshot_request);
	*r = (struct snapshot_request){
		.vm = vm_ref(vm), .snapshot = s, .options = *options, .done = done, .userdata = userdata};
	r->options.xml = NULL;
	r->options.hook = r->hook = xstrdup(options->hook);
	emulator = vm_get_domain(vm)->emulator;
	capability_cache_find(vm->registry->capabilities,
		emulator ? emulator : vm->registry->settings.default_emulator, probed, r);
	return 0;
}
