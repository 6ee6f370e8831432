/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Block jobs of an earlier daemon: what the status file says of them, and what QEMU says. And what QEMU says of those of this one.
 *
 * Each is in the status file before QEMU can have it. Nothing ends unnoticed: a job that is through waits to be dismissed. So one that QEMU
 * does not know has either never begun, or it is recorded and dismissed already.
 */
#include "block-job-internal.h"

#include "log.h"

/* ---- the status file ---- */

static json *encode_layer(const struct disk_layer *layer)
{
	return json_pack("s:source", layer->source, "i:type", (int64_t)layer->source_type, "i:format",
		(int64_t)layer->format, "u:node", (uint64_t)layer->node, NULL);
}

static struct disk_layer decode_layer(json *o)
{
	return (struct disk_layer){.source = xstrdup(json_get_string(o, "source")),
		.source_type = (enum disk_source)json_get_int(o, "type", 0),
		.format = (enum disk_format)json_get_int(o, "format", 0),
		.node = (uint32_t)json_get_uint(o, "node", 0)};
}

static json *encode(const struct block_job *job)
{
	json *merged = json_object_new_array();

	VEC_FOREACH (layer, &job->merged)
		json_object_array_add(merged, encode_layer(&layer));
	return json_pack("s:id", job->id, "s:disk", job->target, "i:type", (int64_t)job->type, "u:bandwidth",
		job->bandwidth, "b:delete", job->delete_merged, "b:pivot", job->auto_pivot, "b:cancelled",
		job->cancelled, "b:defined", job->defined, "b:recorded", job->recorded, "u:first",
		(uint64_t)job->first, "u:last", (uint64_t)job->last, "u:receiver", (uint64_t)job->receiver,
		"o:written", encode_layer(&job->written), "o:merged", merged, NULL);
}

json *block_jobs_encode(const struct vm *vm)
{
	json *jobs = vm->block_jobs.n > 0 ? json_object_new_array() : NULL;

	VEC_FOREACH (job, &vm->block_jobs)
		json_object_array_add(jobs, encode(job));
	return jobs;
}

void block_jobs_decode(struct vm *vm, json *jobs)
{
	JSON_FOREACH (o, jobs) {
		const char *disk = json_get_string(o, "disk"), *id = json_get_string(o, "id");
		struct block_job *job;

		if (!disk || !id)
			continue;
		job = block_job_new(vm, disk, (enum block_job_type)json_get_int(o, "type", BLOCK_JOB_NONE));
		job->id = xstrdup(id);
		job->bandwidth = json_get_uint(o, "bandwidth", 0);
		job->delete_merged = json_get_bool(o, "delete", false);
		job->auto_pivot = json_get_bool(o, "pivot", false);
		job->cancelled = json_get_bool(o, "cancelled", false);
		job->defined = json_get_bool(o, "defined", false);
		job->recorded = json_get_bool(o, "recorded", false);
		job->first = (size_t)json_get_uint(o, "first", 0);
		job->last = (size_t)json_get_uint(o, "last", 0);
		job->receiver = (size_t)json_get_uint(o, "receiver", 0);
		job->written = decode_layer(json_get(o, "written"));
		JSON_FOREACH (layer, json_get(o, "merged"))
			VEC_ADD(&job->merged, decode_layer(layer));
	}
}

/* ---- QEMU's words ---- */

static void hear_status(struct block_job *job, const char *status, const char *error)
{
	if (streq(status, "ready")) {
		block_job_tell(job, BLOCK_JOB_IS_READY);
	} else if (streq(status, "pending")) {
		block_job_tell(job, BLOCK_JOB_IS_PENDING);
	} else if (streq(status, "concluded")) {
		if (error && job->failure.code == ERROR_NONE)
			error_set(&job->failure, ERROR_OPERATION_FAILED, "block job on disk %s: %s",
				job->target, error);
		block_job_tell(job, BLOCK_JOB_IS_CONCLUDED);
	}
}

static json *find_entry(const struct block_job *job, json *jobs)
{
	json *found = NULL;

	JSON_FOREACH (entry, jobs)
		if (streq(json_get_string(entry, "id"), job->id))
			found = entry;
	return found;
}

/* Only now does QEMU say whether it went well. */
static void conclusion_told(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct block_job *job = userdata;
	json *entry = find_entry(job, ret);

	if (!err && entry)
		hear_status(job, "concluded", json_get_string(entry, "error"));
}

void block_jobs_hear(struct vm *vm, json *data)
{
	const char *id = json_get_string(data, "id"), *status = json_get_string(data, "status");

	VEC_FOREACH (job, &vm->block_jobs) {
		if (!id || !status || !streq(job->id, id))
			continue;
		if (streq(status, "concluded"))
			qmp_command(vm->qmp, "query-jobs", NULL, -1, 0, conclusion_told, job);
		else
			hear_status(job, status, NULL);
		return;
	}
}

/* ---- taking over ---- */

static void take_over(struct block_job *job, json *entry)
{
	const char *status = json_get_string(entry, "status");

	log_write(LOG_LEVEL_NOTICE, job->vm->name, job->id, "block job %s of an earlier daemon: %s", job->id,
		job->recorded ? "recorded"
		: entry	      ? status
			      : "not begun");
	job->begun = entry || job->recorded;
	if (job->recorded) {
		job->state = BLOCK_JOB_RECORDING;
		block_job_tell_later(job, BLOCK_JOB_DONE);
		return;
	}
	if (!entry) {
		error_set(&job->failure, ERROR_OPERATION_FAILED, "block job on disk %s did not begin",
			job->target);
		job->state = BLOCK_JOB_STARTING;
		block_job_tell_later(job, BLOCK_JOB_FAILED);
		return;
	}
	/* It goes on from where QEMU is: "ready" is told again, as is what is pending settled again. */
	if (job->cancelled && !streq(status, "concluded"))
		block_job_actions[BLOCK_JOB_CANCELLING](job);
	if (!block_job_resume(job, job->cancelled ? BLOCK_JOB_CANCELLING : BLOCK_JOB_RUNNING))
		hear_status(job, status, json_get_string(entry, "error"));
}

static void jobs_listed(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct vm *vm = userdata;

	if (!err)
		vm->found_jobs = json_object_get(ret);
}

void block_jobs_look(struct vm *vm)
{
	if (vm->block_jobs.n > 0)
		qmp_command(vm->qmp, "query-jobs", NULL, -1, 0, jobs_listed, vm);
}

void block_jobs_adopt(struct vm *vm)
{
	_cleanup_json_ json *found = TAKE_PTR(vm->found_jobs);

	/* Without an answer its end is on the way. */
	for (size_t i = vm->block_jobs.n; found && i-- > 0;)
		take_over(vm->block_jobs.items[i], find_entry(vm->block_jobs.items[i], found));
}

int block_jobs_check_none(const struct vm *vm, const char *target, struct error *err)
{
	VEC_FOREACH (job, &vm->block_jobs)
		if (!target || streq(job->target, target))
			return error_set(err, ERROR_OPERATION_INVALID,
				"disk '%s' of domain '%s' already in active block job", job->target,
				vm->name);
	return 0;
}
