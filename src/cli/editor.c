/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Letting a person change a text in the editor of their choice. */
#include "editor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "alloc.h"
#include "file.h"
#include "strv.h"

static void unlink_p(char **path)
{
	if (*path)
		unlink(*path);
	free(*path);
}

static int write_temporary(const struct edit *e, char **ret_path, struct error *err)
{
	const char *directory = getenv("TMPDIR");
	_cleanup_(unlink_p) char *path = NULL;
	_cleanup_close_ int fd = -1;

	path = xasprintf("%s/godwit-XXXXXX%s", directory && directory[0] ? directory : "/tmp", e->suffix);
	fd = mkostemps(path, (int)strlen(e->suffix), O_CLOEXEC);
	if (fd < 0) {
		error_errno(err, errno, "make a file to edit in %s", path);
		free(TAKE_PTR(path));
		return -1;
	}
	if (write_full(fd, e->text, strlen(e->text)) < 0)
		return error_errno(err, errno, "write %s", path);
	*ret_path = TAKE_PTR(path);
	return 0;
}

/* The editor may be a command with arguments ("code --wait"), so a shell starts it; the file is no part of its text. */
static int run_editor(const char *path, struct error *err)
{
	const char *editor = getenv("VISUAL");
	_cleanup_free_ char *script = NULL;
	int status;
	pid_t pid;

	if (!editor || !editor[0])
		editor = getenv("EDITOR");
	if (!editor || !editor[0])
		editor = "vi";
	script = xasprintf("exec %s \"$1\"", editor);
	pid = fork();
	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", script, "sh", path, NULL);
		_exit(127);
	}
	if (pid < 0)
		return error_errno(err, errno, "start %s", editor);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return error_errno(err, errno, "wait for %s", editor);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return error_set(err, ERROR_OPERATION_FAILED,
			"the editor '%s' failed, nothing is changed (EDITOR names the one to use)", editor);
	return 0;
}

enum answer { ANSWER_AGAIN, ANSWER_GIVE_UP, ANSWER_FORCE };

static enum answer ask(const struct edit *e)
{
	char line[64];

	if (!isatty(STDIN_FILENO))
		return ANSWER_GIVE_UP;
	for (;;) {
		printf("Edit it again? [y,n%s,?]: ", e->apply_force ? ",f" : "");
		fflush(stdout);
		if (!fgets(line, sizeof(line), stdin))
			return ANSWER_GIVE_UP;
		if (line[0] == 'y')
			return ANSWER_AGAIN;
		if (line[0] == 'n')
			return ANSWER_GIVE_UP;
		if (line[0] == 'f' && e->apply_force)
			return ANSWER_FORCE;
		printf("y - edit again\nn - throw the changes away\n");
		if (e->apply_force)
			printf("f - try once more with less checking\n");
	}
}

int edit_run(struct cli *cli, const struct edit *e, bool *ret_changed, struct error *err)
{
	_cleanup_(unlink_p) char *path = NULL;

	if (write_temporary(e, &path, err) < 0)
		return -1;
	for (;;) {
		_cleanup_free_ char *text = NULL;
		enum answer answer;

		if (run_editor(path, err) < 0 || cli_read_file(path, &text, err) < 0)
			return -1;
		*ret_changed = !streq(text, e->text);
		if (!*ret_changed || e->apply(cli, text, e->userdata, err) == 0)
			return 0;
		cli_print_error(cli, err);
		answer = ask(e);
		if (answer == ANSWER_FORCE && e->apply_force(cli, text, e->userdata, err) == 0)
			return 0;
		if (answer == ANSWER_GIVE_UP)
			return error_prefix(err, "the changes are thrown away");
		error_clear(err);
	}
}
