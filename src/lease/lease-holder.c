/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The holder's note. Nobody removes it: the process it names holds the lease, is dead, or has handed the lease over, which may
 * be seen by looking at it; then the note is not believed. Another host's cannot be seen from here; its note may be an old one,
 * which the message says.
 */
#include "lease-holder.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>

#include "file.h"
#include "json.h"
#include "process.h"
#include "strv.h"

#define NOTE_ATTRIBUTE "user.godwit.lease"
#define NOTE_VERSION   1
#define NOTE_MAX       4096

/* Of this boot of this host: a pid means nothing elsewhere. "" where the kernel does not say. */
static void read_boot_id(char ret[UUID_TEXT_MAX])
{
	_cleanup_free_ char *text = NULL;
	size_t len;

	ret[0] = '\0';
	if (file_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, &text, &len, NULL) == 0 &&
		len >= UUID_TEXT_MAX - 1)
		memcpy(ret, text, UUID_TEXT_MAX - 1), ret[UUID_TEXT_MAX - 1] = '\0';
}

static void write_beside(const char *file, const char *text)
{
	const char *slash = strrchr(file, '/');
	_cleanup_free_ char *directory = xstrndup(file, (size_t)(slash - file + 1)),
			    *name = xasprintf("%s.holder", slash + 1);
	_cleanup_close_ int dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir >= 0)
		file_replace_volatile(dir, name, text, strlen(text), 0644, NULL);
}

void lease_note_write(enum lease_note where, int fd, const char *file, const struct lease_set *set, pid_t pid)
{
	char uuid[UUID_TEXT_MAX], boot_id[UUID_TEXT_MAX];
	_cleanup_json_ json *o = NULL;
	_cleanup_free_ char *text = NULL;
	uint64_t start_time = 0, host_id = where == LEASE_NOTE_BESIDE ? set->settings->host_id : 0;

	if (pid == 0)
		pid = getpid();
	if (process_find_start_time(pid, &start_time) < 0)
		return;
	read_boot_id(boot_id);
	uuid_format(set->uuid, uuid);
	o = json_pack("s:format", "godwit-lease", "i:version", (int64_t)NOTE_VERSION, "s:host",
		set->settings->hostname, "u:host_id", host_id, "s:boot", boot_id, "i:pid", (int64_t)pid,
		"u:start_time", start_time, "s:vm", set->vm_name, "s:uuid", uuid, NULL);
	text = json_format(o);
	switch (where) {
	case LEASE_NOTE_INSIDE:
		if (pwrite_full(fd, text, strlen(text), 0) == 0)
			(void)!ftruncate(fd, (off_t)strlen(text));
		return;
	case LEASE_NOTE_ATTRIBUTE:
		fsetxattr(fd, NOTE_ATTRIBUTE, text, strlen(text), 0);
		return;
	case LEASE_NOTE_BESIDE:
		write_beside(file, text);
		return;
	}
}

static json *read_note(enum lease_note where, int fd, const char *file)
{
	_cleanup_free_ char *beside = NULL, *contents = NULL;
	char text[NOTE_MAX];
	json *o = NULL;
	ssize_t n = -1;
	size_t len;

	switch (where) {
	case LEASE_NOTE_INSIDE:
		n = pread_full(fd, text, sizeof(text), 0);
		break;
	case LEASE_NOTE_ATTRIBUTE:
		n = fgetxattr(fd, NOTE_ATTRIBUTE, text, sizeof(text));
		break;
	case LEASE_NOTE_BESIDE:
		beside = xasprintf("%s.holder", file);
		if (file_read(AT_FDCWD, beside, NOTE_MAX, &contents, &len, NULL) < 0)
			return NULL;
		json_parse(contents, len, &o, NULL);
		return o;
	}
	if (n > 0)
		json_parse(text, (size_t)n, &o, NULL);
	return o;
}

char *lease_note_describe(enum lease_note where, int fd, const struct lease_item *item, uint64_t host_id,
	lease_may_hold_fn may_hold, const char *otherwise)
{
	_cleanup_json_ json *o = read_note(where, fd, item->file);
	const char *vm = json_get_string(o, "vm"), *host = json_get_string(o, "host");
	pid_t pid = (pid_t)json_get_int(o, "pid", 0);
	char boot_id[UUID_TEXT_MAX];
	uint64_t start_time;
	bool is_here;

	if (!streq(json_get_string(o, "format"), "godwit-lease") ||
		json_get_int(o, "version", 0) != NOTE_VERSION || !vm || !host ||
		json_get_uint(o, "host_id", 0) != host_id)
		return xstrdup(otherwise);
	read_boot_id(boot_id);
	is_here = streq(json_get_string(o, "boot"), boot_id);
	if (is_here && (process_find_start_time(pid, &start_time) < 0 ||
			       start_time != json_get_uint(o, "start_time", 0) ||
			       (may_hold && !may_hold(pid, item))))
		return xstrdup(otherwise);
	return xasprintf("VM %.80s on host %.80s (pid %d) holds its lease%s", vm, host, (int)pid,
		is_here ? "" : ", as it noted there when it took it");
}
