/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Limits of migration. QEMU keeps them, and the VM the speeds: one of them can be set while it is off. */
#include "migrate.h"

#include "vm-internal.h"

#define MIB ((uint64_t)1 << 20)
/* What libvirt says for "none was set" */
#define SPEED_UNLIMITED (INT64_MAX / MIB)

/* QEMU's migration parameter, what one of ours is of its units, and the highest of ours. */
static const struct {
	const char *name, *parameter;
	uint64_t unit, max;
} limits[] = {
	[MIGRATE_LIMIT_DOWNTIME_MS] = {"downtime", "downtime-limit", 1, 2000 * 1000},
	[MIGRATE_LIMIT_SPEED_MIB] = {"bandwidth", "max-bandwidth", MIB, SPEED_UNLIMITED},
	[MIGRATE_LIMIT_POSTCOPY_SPEED_MIB] = {"bandwidth", "max-postcopy-bandwidth", MIB, SPEED_UNLIMITED},
	[MIGRATE_LIMIT_XBZRLE_BYTES] = {"compression cache", "xbzrle-cache-size", 1, INT64_MAX},
};

/* One call on its way. */
struct request {
	struct vm *vm;
	enum migrate_limit limit;
	vm_done_fn set;
	migrate_limit_fn get;
	void *userdata;
	uint64_t value; /* of the VM's own, when QEMU is not asked */
	sd_event_source *deferred;
};

static struct request *request_new(struct vm *vm, enum migrate_limit limit, void *userdata)
{
	struct request *r = NEW(struct request);

	r->vm = vm_ref(vm);
	r->limit = limit;
	r->userdata = userdata;
	return r;
}

/* Tells and frees. */
static void answer(struct request *r, uint64_t value, const struct error *err)
{
	if (r->set)
		r->set(r->vm, err, r->userdata);
	else
		r->get(r->vm, value, err, r->userdata);
	sd_event_source_disable_unref(r->deferred);
	vm_unref(r->vm);
	free(r);
}

static int answer_deferred(sd_event_source *source, void *userdata)
{
	struct request *r = userdata;

	answer(r, r->value, NULL);
	return 0;
}

static int answer_later(struct request *r, uint64_t value, struct error *err)
{
	int code = sd_event_add_defer(r->vm->registry->loop, &r->deferred, answer_deferred, r);

	r->value = value;
	if (code >= 0)
		return 0;
	vm_unref(r->vm);
	free(r);
	return error_errno(err, -code, "answer about a limit of migration");
}

static int check_monitor(const struct vm *vm, struct error *err)
{
	if (vm_check_verb(vm, VERB_QUERY, err) < 0)
		return -1;
	if (!vm->qmp)
		return error_set(err, ERROR_OPERATION_INVALID, "QEMU's monitor is not connected");
	return 0;
}

void migrate_apply_limits(const struct vm *vm, struct migrate_options *o)
{
	if (o->bandwidth_mib == 0)
		o->bandwidth_mib = vm->migrate_speed_mib;
	if (o->bandwidth_postcopy_mib == 0)
		o->bandwidth_postcopy_mib = vm->migrate_postcopy_speed_mib;
}

/* A migration sets QEMU's speeds, so what was set before is needed again then. */
static void keep(struct vm *vm, enum migrate_limit limit, uint64_t value)
{
	if (limit == MIGRATE_LIMIT_SPEED_MIB)
		vm->migrate_speed_mib = value;
	else if (limit == MIGRATE_LIMIT_POSTCOPY_SPEED_MIB)
		vm->migrate_postcopy_speed_mib = value;
	else if (limit == MIGRATE_LIMIT_DOWNTIME_MS)
		vm->migrate_downtime_ms = value;
}

static void on_set(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct request *r = userdata;

	if (!err)
		keep(r->vm, r->limit, r->value);
	answer(r, 0, err);
}

int migrate_set_limit(struct vm *vm, enum migrate_limit limit, uint64_t value, vm_done_fn done,
	void *userdata, struct error *err)
{
	struct request *r;
	json *arguments;

	if (value > limits[limit].max)
		return error_set(err, ERROR_INVALID_ARGUMENT, "%s must be at most %llu", limits[limit].name,
			(unsigned long long)limits[limit].max);
	if (limit == MIGRATE_LIMIT_SPEED_MIB && vm->state == VM_OFF) {
		r = request_new(vm, limit, userdata);
		r->set = done;
		keep(vm, limit, value);
		return answer_later(r, 0, err);
	}
	if (check_monitor(vm, err) < 0)
		return -1;
	r = request_new(vm, limit, userdata);
	r->set = done;
	r->value = value;
	arguments = json_object_new_object();
	json_object_object_add(arguments, limits[limit].parameter,
		json_object_new_int64((int64_t)(value * limits[limit].unit)));
	qmp_command(vm->qmp, "migrate-set-parameters", arguments, -1, 0, on_set, r);
	return 0;
}

static void on_parameters(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct request *r = userdata;
	struct error missing = ERROR_INIT;

	if (!err && !json_get(ret, limits[r->limit].parameter)) {
		error_set(&missing, ERROR_UNSUPPORTED, "QEMU does not say its '%s'",
			limits[r->limit].parameter);
		err = &missing;
	}
	answer(r, err ? 0 : json_get_uint(ret, limits[r->limit].parameter, 0) / limits[r->limit].unit, err);
}

int migrate_get_limit(
	struct vm *vm, enum migrate_limit limit, migrate_limit_fn done, void *userdata, struct error *err)
{
	uint64_t speed = vm->migrate_speed_mib ? vm->migrate_speed_mib : SPEED_UNLIMITED;
	struct request *r;

	/* QEMU's own is whatever its last job needed */
	if (limit == MIGRATE_LIMIT_SPEED_MIB) {
		r = request_new(vm, limit, userdata);
		r->get = done;
		return answer_later(r, speed, err);
	}
	if (check_monitor(vm, err) < 0)
		return -1;
	r = request_new(vm, limit, userdata);
	r->get = done;
	qmp_command(vm->qmp, "query-migrate-parameters", NULL, -1, 0, on_parameters, r);
	return 0;
}
