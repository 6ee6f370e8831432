/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The engine under every mishap: five steps on a small world, with every place of the commit point, every step
 * failing before or after its effect, a cancel in every step, every record failing, and a crash at every moment,
 * twice. Whatever happens, the job ends once, and the world is as before or as asked.
 */
#include <assert.h>
#include <setjmp.h>

#include "buf.h"
#include "job.h"
#include "journal.h"
#include "log.h"
#include "tap.h"

#define N 5

enum { NEVER = 1000 };

/* What goes wrong in a run. Moments and records are counted from 0. */
struct plan {
	size_t commit;
	bool visible; /* the commit step's effect can be seen */
	bool wait;    /* steps wait instead of ending at once */
	bool undo_fails;
	size_t fail_at;	  /* this step fails ... */
	bool fail_after;  /* ... having had its effect */
	size_t cancel_at; /* cancelled in this step */
	size_t record_fails_at;
	size_t crash_at, crash_again_at;
};

struct world {
	const struct plan *plan;
	bool effect[N];
	size_t runs[N], undos[N];
	bool failed[N]; /* each step fails only once */
	/* What the process had in memory. */
	struct job *job;
	enum step_result waiting_result;
	bool waiting, cancel_called;
	size_t moment, records;
	unsigned life;
	jmp_buf crash;
	/* What is on disk. */
	struct journal_entry journal;
	bool commit_recorded;
	/* The end. */
	unsigned ends;
	bool success;
	enum error_code code;
	const char *wrong;
};

static void complain(struct world *w, const char *what)
{
	if (!w->wrong)
		w->wrong = what;
}

static void moment(struct world *w)
{
	size_t crash_at[] = {w->plan->crash_at, w->plan->crash_again_at, NEVER};

	if (w->moment++ == crash_at[w->life])
		longjmp(w->crash, 1);
}

static size_t step_index(const char *name)
{
	assert(name[0] >= '0' && name[0] < '0' + N);
	return (size_t)(name[0] - '0');
}

static int record(struct job *job, const char *event, const char *name, void *userdata, struct error *err)
{
	struct world *w = userdata;
	struct journal_step *step;

	moment(w);
	if (w->records++ == w->plan->record_fails_at)
		return error_set(err, ERROR_SYSTEM, "disk full");
	step = NEW(struct journal_step);
	step->event = xstrdup(event);
	step->step = xstrdup(name);
	VEC_ADD(&w->journal.steps, step);
	if (strcmp(event, "finished") == 0)
		w->commit_recorded = true;
	moment(w);
	return 0;
}

static void finished(struct job *job, const struct error *err, void *userdata)
{
	struct world *w = userdata;

	moment(w);
	w->ends++;
	w->success = !err;
	w->code = err ? err->code : ERROR_NONE;
}

static enum step_result end_step(struct world *w, enum step_result result, struct error *err)
{
	if (w->plan->wait) {
		w->waiting = true;
		w->waiting_result = result;
		return STEP_WAIT;
	}
	if (result == STEP_FAILED)
		error_set(err, ERROR_QEMU, "planned");
	return result;
}

static bool effects_before(const struct world *w, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (!w->effect[j] && !(w->failed[j] && j > w->plan->commit))
			return false;
	return true;
}

static enum step_result run_step(struct job *job, void *context, struct error *err)
{
	struct world *w = context;
	size_t i = step_index(job_get_step_name(job));

	if (!effects_before(w, i))
		complain(w, "a step ran before those in front of it");
	moment(w);
	w->runs[i]++;
	if (i == w->plan->cancel_at && !w->plan->wait)
		job_cancel(job, NULL);
	if (i == w->plan->fail_at && !w->failed[i]) {
		w->failed[i] = true;
		w->effect[i] = w->plan->fail_after;
		moment(w);
		return end_step(w, STEP_FAILED, err);
	}
	w->effect[i] = true;
	moment(w);
	return end_step(w, STEP_DONE, err);
}

static enum step_result undo_step(struct job *job, void *context, struct error *err)
{
	struct world *w = context;
	size_t i = step_index(job_get_step_name(job));

	if (w->commit_recorded)
		complain(w, "a step was undone behind the commit point");
	for (size_t j = i + 1; j < N; j++)
		if (w->effect[j])
			complain(w, "a step was undone before those behind it");
	moment(w);
	w->undos[i]++;
	w->effect[i] = false;
	moment(w);
	return end_step(w, w->plan->undo_fails ? STEP_FAILED : STEP_DONE, err);
}

static bool committed(void *context)
{
	struct world *w = context;

	return w->effect[w->plan->commit];
}

static void cancel(struct job *job, void *context)
{
	struct world *w = context;

	w->cancel_called = true;
}

static const struct job_step steps[N] = {
	{"0", run_step, undo_step},
	{"1", run_step, undo_step},
	{"2", run_step, undo_step},
	{"3", run_step, undo_step},
	{"4", run_step, undo_step},
};
static const struct job_ops ops = {record, finished};

/* The loop of a daemon: ends what waits. */
static void loop(struct world *w)
{
	while (w->waiting) {
		struct error err = ERROR_INIT;
		const char *name = job_get_step_name(w->job);

		moment(w);
		if (job_get_state(w->job) == JOB_RUNNING && step_index(name) == w->plan->cancel_at)
			job_cancel(w->job, NULL);
		w->waiting = false;
		if (w->waiting_result == STEP_FAILED)
			error_set(&err, ERROR_QEMU, "planned");
		job_step_done(w->job, err.code ? &err : NULL);
	}
}

/* One life of the daemon; false when it crashed. */
static bool live(struct world *w, const struct job_type *type, const struct job_progress *progress)
{
	w->moment = 0;
	w->waiting = false;
	w->job = job_new(type, &ops, w, w);
	if (setjmp(w->crash) != 0) {
		free(w->job); /* not job_free, which knows that it still works */
		return false;
	}
	if (progress)
		job_recover(w->job, progress);
	else
		job_begin(w->job);
	loop(w);
	if (job_get_state(w->job) != JOB_FINISHED)
		complain(w, "the job never ended");
	job_free(w->job);
	return true;
}

static bool all_effects(const struct world *w, bool want)
{
	for (size_t i = 0; i < N; i++) {
		bool excused = want && i > w->plan->commit && w->failed[i];

		if (w->effect[i] != want && !excused)
			return false;
	}
	return true;
}

static void judge(struct world *w)
{
	if (w->ends != 1)
		complain(w, "not ended exactly once");
	else if (w->success && !all_effects(w, true))
		complain(w, "success without all effects");
	else if (!w->success && !all_effects(w, false))
		complain(w, "failure with traces");
	else if (w->commit_recorded && !w->success)
		complain(w, "committed, and failed");
}

static unsigned long runs, crashes;

static bool try_plan(const struct plan *plan)
{
	struct job_type type = {
		.name = "t", .steps = steps, .n_steps = N, .commit = plan->commit, .cancel = cancel};
	struct world w = {.plan = plan};
	struct job_progress progress, *resume = NULL;
	struct error err = ERROR_INIT;

	type.committed = plan->visible ? committed : NULL;
	w.journal.type = xstrdup("t");
	while (!live(&w, &type, resume)) {
		w.life++;
		crashes++;
		if (journal_get_progress(&w.journal, &type, &progress, &err) < 0) {
			complain(&w, err.message);
			break;
		}
		resume = &progress;
	}
	judge(&w);
	if (w.wrong)
		printf("# %s: commit %zu visible %d wait %d fail %zu/%d cancel %zu record %zu crash %zu, "
		       "%zu\n",
			w.wrong, plan->commit, plan->visible, plan->wait, plan->fail_at, plan->fail_after,
			plan->cancel_at, plan->record_fails_at, plan->crash_at, plan->crash_again_at);
	journal_entry_fini(&w.journal);
	runs++;
	assert(!w.wrong); /* one is enough, and there could be thousands */
	return w.life > 0;
}

/* Every moment of the first life, and with `twice` every one of the second. */
static void crash_everywhere(struct plan plan, bool twice)
{
	plan.crash_at = plan.crash_again_at = NEVER;
	try_plan(&plan);
	for (plan.crash_at = 0; try_plan(&plan); plan.crash_at++) {
		unsigned long before;

		if (!twice)
			continue;
		for (plan.crash_again_at = 0;; plan.crash_again_at++) {
			before = crashes;
			try_plan(&plan);
			if (crashes - before < 2)
				break;
		}
		plan.crash_again_at = NEVER;
	}
}

static void test_everything(void)
{
	for (unsigned mode = 0; mode < 8; mode++)
		for (size_t commit = 0; commit < N; commit++)
			for (size_t at = 0; at <= N; at++) {
				struct plan plan = {.commit = commit,
					.visible = mode & 1,
					.wait = mode & 2,
					.fail_after = mode & 4,
					.undo_fails = at % 2,
					.fail_at = at,
					.cancel_at = NEVER,
					.record_fails_at = NEVER};

				crash_everywhere(plan, true);
				plan.fail_at = NEVER;
				plan.cancel_at = at;
				crash_everywhere(plan, false);
				for (size_t r = 0; r < 2 * N + 2; r++) {
					plan.fail_at = at;
					plan.cancel_at = NEVER;
					plan.record_fails_at = r;
					crash_everywhere(plan, false);
				}
			}
	ok(crashes > 100000, "job: crashed at every moment, and always whole");
	printf("# %lu runs, %lu crashes\n", runs, crashes);
}

static struct plan calm(void)
{
	return (struct plan){.commit = 2,
		.fail_at = NEVER,
		.cancel_at = NEVER,
		.record_fails_at = NEVER,
		.crash_at = NEVER,
		.crash_again_at = NEVER};
}

static void begin(struct world *w, const struct plan *plan, const struct job_type *type)
{
	*w = (struct world){.plan = plan};
	w->job = job_new(type, &ops, w, w);
	job_begin(w->job);
}

static void end(struct world *w)
{
	job_free(w->job);
	journal_entry_fini(&w->journal);
}

static void test_plain(void)
{
	const struct job_type type = {.name = "t", .steps = steps, .n_steps = N, .commit = 2};
	static const char want[] = "begun 0,begun 1,begun 2,finished 2,begun 3,begun 4,";
	static const char want_undone[] = "begun 0,begun 1,undo 1,undo 0,";
	_cleanup_(buf_fini) struct buf b = {0};
	struct plan plan = calm();
	struct world w;

	begin(&w, &plan, &type);
	ok(w.ends == 1 && w.success, "job: success is told");
	for (size_t i = 0; i < w.journal.steps.n; i++)
		buf_addf(&b, "%s %s,", w.journal.steps.items[i]->event, w.journal.steps.items[i]->step);
	is_str(b.data, want, "job: records of a success");
	ok(!job_get_step_name(w.job) && job_get_state(w.job) == JOB_FINISHED, "job: no step afterwards");
	end(&w);

	plan.fail_at = 1;
	begin(&w, &plan, &type);
	ok(w.ends == 1 && w.code == ERROR_QEMU, "job: a step's error is told");
	buf_clear(&b);
	for (size_t i = 0; i < w.journal.steps.n; i++)
		buf_addf(&b, "%s %s,", w.journal.steps.items[i]->event, w.journal.steps.items[i]->step);
	is_str(b.data, want_undone, "job: records of a failure");
	ok(w.undos[2] == 0 && w.undos[1] == 1, "job: what never ran is not undone");
	end(&w);
}

static void test_cancel(void)
{
	struct job_type type = {.name = "t", .steps = steps, .n_steps = N, .commit = 2, .cancel = cancel};
	struct plan plan = calm();
	struct error err = ERROR_INIT;
	struct world w;

	plan.wait = true;
	begin(&w, &plan, &type);
	is_str(job_get_step_name(w.job), "0", "cancel: the first step waits");
	ok(job_cancel(w.job, &err) == 0 && w.cancel_called && job_is_cancelled(w.job),
		"cancel: the step is asked");
	w.cancel_called = false;
	ok(job_cancel(w.job, &err) == 0 && !w.cancel_called, "cancel: only once");
	loop(&w);
	ok(w.ends == 1 && w.code == ERROR_OPERATION_ABORTED,
		"cancel: and the job undone, though the step succeeded");
	ok(job_cancel(w.job, &err) < 0 && err.code == ERROR_OPERATION_INVALID, "cancel: too late");
	end(&w);

	begin(&w, &plan, &type);
	while (job_get_state(w.job) == JOB_RUNNING && strcmp(job_get_step_name(w.job), "2") != 0) {
		w.waiting = false;
		job_step_done(w.job, NULL);
	}
	ok(job_cancel(w.job, &err) < 0 && err.code == ERROR_OPERATION_INVALID,
		"cancel: not in the commit step");
	loop(&w);
	ok(w.ends == 1 && w.success, "cancel: which then succeeds");
	end(&w);

	type.cancel = NULL;
	begin(&w, &plan, &type);
	ok(job_cancel(w.job, &err) < 0 && err.code == ERROR_OPERATION_INVALID, "cancel: not for this type");
	is_str(err.message, "t cannot be cancelled", "cancel: and says so");
	loop(&w);
	end(&w);
}

/* A cancel hook may end the step from within. */
static void cancel_at_once(struct job *job, void *context)
{
	struct world *w = context;
	struct error err = ERROR_INIT;

	w->waiting = false;
	error_set(&err, ERROR_QEMU, "gone");
	job_step_done(job, &err);
}

static void test_cancel_inside(void)
{
	struct job_type type = {
		.name = "t", .steps = steps, .n_steps = N, .commit = 2, .cancel = cancel_at_once};
	struct plan plan = calm();
	struct world w;

	plan.wait = true;
	begin(&w, &plan, &type);
	is_int(job_cancel(w.job, NULL), 0, "cancel: ended from within");
	loop(&w);
	ok(w.ends == 1 && w.code == ERROR_OPERATION_ABORTED, "cancel: told as such");
	end(&w);
}

/* The journal ends inside the commit step: what can be seen decides. */
static void test_seen(void)
{
	struct job_type type = {
		.name = "t", .steps = steps, .n_steps = N, .commit = 2, .committed = committed};
	const struct job_progress inside = {.begun = 3, .finished = 2};
	struct plan plan = calm();

	for (int seen = 0; seen < 2; seen++) {
		struct world w = {.plan = &plan, .effect = {true, true, seen}};

		w.job = job_new(&type, &ops, &w, &w);
		job_recover(w.job, &inside);
		ok(w.ends == 1 && w.success == seen,
			seen ? "recover: seen, so forward" : "recover: not seen, so back");
		ok(w.commit_recorded == seen, "recover: and that is written down");
		is_int(w.runs[2], 0, "recover: the commit step is not run again");
		end(&w);
	}
}

static enum step_result nothing(struct job *job, void *context, struct error *err)
{
	return STEP_DONE;
}

static int record_nothing(
	struct job *job, const char *event, const char *step, void *userdata, struct error *err)
{
	return 0;
}

static void count_end(struct job *job, const struct error *err, void *userdata)
{
	(*(unsigned *)userdata)++;
}

static void test_many_steps(void)
{
	enum { MANY = 200000 };
	static struct job_step many[MANY];
	const struct job_type type = {.name = "m", .steps = many, .n_steps = MANY, .commit = MANY - 1};
	const struct job_ops small = {record_nothing, count_end};
	unsigned ends = 0;
	struct job *job;

	for (size_t i = 0; i < MANY; i++)
		many[i] = (struct job_step){"s", nothing, NULL};
	job = job_new(&type, &small, NULL, &ends);
	job_begin(job);
	is_int(ends, 1, "job: the stack does not grow with the steps");
	job_free(job);
}

static void test_progress(void)
{
	static const struct {
		const char *text; /* "b0" begun 0, "f0" finished 0, "u0" undo 0 */
		bool visible;
		int begun, finished, undoing; /* -1: impossible */
	} cases[] = {
		{"", false, 0, 0, 0},
		{"b0", false, 1, 0, 0},
		{"b0b1b2", false, 3, 2, 0},
		{"b0b1b2f2", false, 3, 3, 0},
		{"b0b1b2f2b3b3b4", false, 5, 4, 0},
		{"b0b1b2f2b4", false, 5, 4, 0},
		{"b0b1b2b3", true, 4, 3, 0},
		{"b0b1b2b3", false, -1, 0, 0},
		{"b0b1u1", false, 2, 1, 1},
		{"b0b1u1u1u0", false, 1, 1, 1},
		{"b1", false, -1, 0, 0},
		{"b0b0", false, -1, 0, 0},
		{"b0u1", false, -1, 0, 0},
		{"b0u0b1", false, -1, 0, 0},
		{"f0", false, -1, 0, 0},
		{"b0b1b2f2u2", false, -1, 0, 0},
		{"b7", false, -1, 0, 0},
		{"x0", false, -1, 0, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct job_type type = {.name = "t", .steps = steps, .n_steps = N, .commit = 2};
		_cleanup_(journal_entry_fini) struct journal_entry entry = {.type = xstrdup("t")};
		struct job_progress p = {0};
		struct error err = ERROR_INIT;
		int r;

		type.committed = cases[i].visible ? committed : NULL;
		for (const char *c = cases[i].text; *c; c += 2) {
			struct journal_step *step = NEW(struct journal_step);

			step->event = xstrdup(*c == 'b'	  ? "begun"
					      : *c == 'f' ? "finished"
					      : *c == 'u' ? "undo"
							  : "what");
			step->step = xstrndup(c + 1, 1);
			VEC_ADD(&entry.steps, step);
		}
		r = journal_get_progress(&entry, &type, &p, &err);
		if (cases[i].begun < 0)
			ok(r < 0 && err.code == ERROR_DAMAGED, cases[i].text);
		else
			ok(r == 0 && (int)p.begun == cases[i].begun && (int)p.finished == cases[i].finished &&
					p.undoing == cases[i].undoing,
				cases[i].text);
	}
}

int main(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	test_plain();
	test_cancel();
	test_cancel_inside();
	test_seen();
	test_many_steps();
	test_progress();
	test_everything();
	return done_testing();
}
