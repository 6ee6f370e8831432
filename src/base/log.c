/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Log records to the journal, with fields, or to standard error as lines. */
#include "log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "alloc.h"

static enum log_level max_level = LOG_LEVEL_INFO;

void log_set_level(enum log_level level)
{
	max_level = level;
}

/* systemd sets JOURNAL_STREAM to device:inode of the stream it gave us; a redirected stderr is another one. */
static bool stderr_is_journal(void)
{
	static int known = -1;
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	if (known < 0)
		known = stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 &&
			fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
	return known;
}

static void send_to_journal(enum log_level level, const char *vm, const char *job, const char *text)
{
	char *fields[5] = {0};
	struct iovec iov[ARRAY_SIZE(fields)];
	int n = 0;

	fields[n++] = xasprintf("MESSAGE=%s", text);
	fields[n++] = xasprintf("PRIORITY=%d", (int)level);
	fields[n++] = xstrdup("SYSLOG_IDENTIFIER=godwitd");
	if (vm)
		fields[n++] = xasprintf("VM=%s", vm);
	if (job)
		fields[n++] = xasprintf("JOB=%s", job);
	for (int i = 0; i < n; i++)
		iov[i] = (struct iovec){.iov_base = fields[i], .iov_len = strlen(fields[i])};
	sd_journal_sendv(iov, n);
	for (int i = 0; i < n; i++)
		free(fields[i]);
}

/* What comes from outside (names, QEMU's words) must not forge a line or move the terminal's cursor. */
static void make_printable(char *text)
{
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = *p == '\n' || *p == '\t' ? ' ' : '?';
}

void log_write(enum log_level level, const char *vm, const char *job, const char *fmt, ...)
{
	static const char *const words[] = {[LOG_LEVEL_ERROR] = "error: ",
		[LOG_LEVEL_WARNING] = "warning: ",
		[LOG_LEVEL_DEBUG] = "debug: "};
	_cleanup_free_ char *text = NULL, *line = NULL;
	va_list ap;

	if (level > max_level)
		return;
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	if (!text)
		return;
	if (stderr_is_journal()) {
		send_to_journal(level, vm, job, text);
		return;
	}
	line = xasprintf("godwitd: %s%s%s%s%s%s%s%s", words[level] ? words[level] : "", vm ? "vm=" : "",
		vm ? vm : "", vm ? " " : "", job ? "job=" : "", job ? job : "", job ? " " : "", text);
	make_printable(line);
	fprintf(stderr, "%s\n", line);
}
