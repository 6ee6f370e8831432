/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * lib/migration/UUID.passed (docs/formats/migration.md): the right to run this VM has been passed to another host, which decides from then on. It is
 * there from the source's commit point until the destination's answer has had its effect, and survives the loss of the host.
 */
#include <fcntl.h>

#include "file.h"
#include "source.h"

#define PASSED_VERSION 1
#define PASSED_MAX     65536

static char *file_name(const struct source_operation *s)
{
	char uuid[UUID_TEXT_MAX];

	uuid_format(s->op.vm->uuid, uuid);
	return xasprintf("%s.passed", uuid);
}

static int open_directory(const struct source_operation *s, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("%s/migration", s->op.vm->registry->settings.lib_dir);

	return dir_open_or_make_at(AT_FDCWD, path, 0700, err);
}

int passed_write(const struct source_operation *s, struct error *err)
{
	_cleanup_close_ int dir = open_directory(s, err);
	_cleanup_free_ char *name = file_name(s), *text = NULL;
	_cleanup_json_ json *o = json_pack("i:version", (int64_t)PASSED_VERSION, "s:token", s->token,
		"s:host", s->their_host, "u:port", (uint64_t)s->their_port, "s:place", s->their_place,
		"i:verdict", (int64_t)s->verdict, NULL);

	if (dir < 0)
		return -1;
	text = json_format(o);
	return file_replace(dir, name, text, strlen(text), 0600, err);
}

bool passed_read(struct source_operation *s)
{
	struct error err = ERROR_INIT;
	_cleanup_close_ int dir = open_directory(s, &err);
	_cleanup_free_ char *name = file_name(s), *text = NULL;
	_cleanup_json_ json *o = NULL;
	size_t len;

	if (dir < 0 || file_read(dir, name, PASSED_MAX, &text, &len, &err) < 0 ||
		json_parse(text, len, &o, &err) < 0)
		return false;
	/* One that could not be removed is of an earlier migration. */
	if (!streq(json_get_string(o, "token"), s->token))
		return false;
	replace_string(&s->their_host, json_get_string(o, "host"));
	replace_string(&s->their_place, json_get_string(o, "place"));
	s->their_port = (uint16_t)json_get_uint(o, "port", 0);
	s->verdict = (enum verdict)json_get_int(o, "verdict", VERDICT_NONE);
	return true;
}

int passed_remove(const struct source_operation *s, struct error *err)
{
	_cleanup_close_ int dir = open_directory(s, err);
	_cleanup_free_ char *name = file_name(s);

	return dir < 0 ? -1 : file_remove(dir, name, true, err);
}
