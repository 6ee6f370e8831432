/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Its words are kept in memory files: a pipe would have to be watched, and these are only read when it is over. */
#include "program.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc.h"
#include "cleanup.h"
#include "process.h"

struct program {
	char *name; /* without its directory */
	int output_fd, errors_fd;
	struct process *process;
	sd_event_source *timer;
	bool timed_out;
	program_done_fn done;
	void *userdata;
};

void program_free(struct program *p)
{
	if (!p)
		return;
	if (p->process)
		process_kill_group(p->process, SIGKILL);
	process_free(p->process);
	sd_event_source_disable_unref(p->timer);
	close_p(&p->output_fd);
	close_p(&p->errors_fd);
	free(p->name);
	free(p);
}

/* "" when there is nothing. Caller frees. */
static char *read_words(int fd)
{
	struct stat st;
	size_t size = 0;
	char *text;
	ssize_t n;

	if (fstat(fd, &st) == 0)
		size = st.st_size < PROGRAM_OUTPUT_MAX ? (size_t)st.st_size : PROGRAM_OUTPUT_MAX;
	text = xcalloc(1, size + 1);
	n = pread(fd, text, size, 0);
	text[n < 0 ? 0 : n] = '\0';
	return text;
}

void program_read_last(const struct program *p, char *ret, size_t size)
{
	struct stat st;
	off_t from = 0;
	ssize_t n = -1;

	if (fstat(p->output_fd, &st) == 0) {
		from = st.st_size < (off_t)size - 1 ? 0 : st.st_size - ((off_t)size - 1);
		n = pread(p->output_fd, ret, size - 1, from);
	}
	ret[n < 0 ? 0 : n] = '\0';
}

/* "qemu-img: Could not open '/vm/a.qcow2': ..." need not say its name twice. */
static void explain(const struct program *p, int status, struct error *err)
{
	_cleanup_free_ char *words = read_words(p->errors_fd), *prefix = xasprintf("%s: ", p->name);
	const char *line = startswith(words, prefix) ? words + strlen(prefix) : words;
	char ended[64];

	words[strcspn(words, "\n")] = '\0';
	process_status_format(status, ended);
	if (p->timed_out)
		error_set(err, ERROR_TIMEOUT, "%s: it took too long and was killed", p->name);
	else
		error_set(err, ERROR_OPERATION_FAILED, "%s: %s", p->name, *line ? line : ended);
}

static void ended(struct process *process, int status, void *userdata)
{
	struct program *p = userdata;
	struct error err = ERROR_INIT;
	_cleanup_free_ char *output = NULL;

	process_free(TAKE_PTR(p->process));
	p->timer = sd_event_source_disable_unref(p->timer);
	if (status == 0)
		output = read_words(p->output_fd);
	else
		explain(p, status, &err);
	p->done(output, status == 0 ? NULL : &err, p->userdata);
}

static int too_late(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct program *p = userdata;

	p->timed_out = true;
	process_kill_group(p->process, SIGKILL);
	return 0;
}

static int run(
	struct program *p, sd_event *loop, const struct strv *argv, uint64_t timeout_usec, struct error *err)
{
	if (p->output_fd < 0 || p->errors_fd < 0)
		return error_errno(err, errno, "create a memory file");
	if (process_start(loop,
		    &(struct process_options){.argv = argv,
			    .stdin_fd = -1,
			    .stdout_fd = p->output_fd,
			    .stderr_fd = p->errors_fd,
			    .new_session = true,
			    .dies_with_daemon = true},
		    ended, p, &p->process, err) < 0)
		return -1;
	if (timeout_usec > 0)
		sd_event_add_time_relative(loop, &p->timer, CLOCK_MONOTONIC, timeout_usec, 0, too_late, p);
	return 0;
}

int program_start(sd_event *loop, const struct strv *argv, uint64_t timeout_usec, program_done_fn done,
	void *userdata, struct program **ret, struct error *err)
{
	const char *slash = strrchr(argv->items[0], '/');
	struct program *p = NEW(struct program);

	*p = (struct program){.name = xstrdup(slash ? slash + 1 : argv->items[0]),
		.output_fd = memfd_create("output", MFD_CLOEXEC),
		.errors_fd = memfd_create("errors", MFD_CLOEXEC),
		.done = done,
		.userdata = userdata};
	if (run(p, loop, argv, timeout_usec, err) < 0) {
		program_free(p);
		return -1;
	}
	*ret = p;
	return 0;
}
