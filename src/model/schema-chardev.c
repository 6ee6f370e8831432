/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* <serial>, <console>, <channel>: character devices, and what is at their other end. */
#include "schema.h"
#include "strv.h"

static enum chardev_backend backend(const void *chardev)
{
	return ((const struct chardev *)chardev)->backend;
}

/* ---- <source>, <protocol>, <log> ---- */

static bool is_pty(const void *chardev)
{
	return backend(chardev) == CHARDEV_PTY;
}

static bool is_file(const void *chardev)
{
	return backend(chardev) == CHARDEV_FILE;
}

static bool is_node(const void *chardev)
{
	return backend(chardev) == CHARDEV_DEV || backend(chardev) == CHARDEV_PIPE;
}

static bool is_unix(const void *chardev)
{
	return backend(chardev) == CHARDEV_UNIX;
}

static bool is_tcp(const void *chardev)
{
	return backend(chardev) == CHARDEV_TCP;
}

static const struct field pty_fields[] = {
	ATTR(struct chardev, path, "path", VALUE_STRING, .flags = FIELD_LIVE),
};
static const struct table pty_table = TABLE(pty_fields, struct chardev);

static const struct field file_fields[] = {
	ATTR(struct chardev, path, "path", VALUE_STRING, .flags = FIELD_REQUIRED, .valid = text_is_path),
	ATTR(struct chardev, append, "append", VALUE_ON_OFF),
};
static const struct table file_table = TABLE(file_fields, struct chardev);

static const struct field node_fields[] = {
	ATTR(struct chardev, path, "path", VALUE_STRING, .flags = FIELD_REQUIRED, .valid = text_is_path),
};
static const struct table node_table = TABLE(node_fields, struct chardev);

static int mode_set(struct parse_context *c, const xmlNode *node, void *object, const char *text)
{
	if (!streq(text, "bind") && !streq(text, "connect"))
		return field_unsupported(c, node,
			"value '%.80s' of attribute 'mode' of <source> is not supported, only: bind, connect",
			text);
	((struct chardev *)object)->listen = streq(text, "bind");
	return 0;
}

static char *mode_get(const struct format_context *c, const void *object)
{
	return xstrdup(((const struct chardev *)object)->listen ? "bind" : "connect");
}

/*
 * A channel without a path gets one at start, ".../channel/.../ID-DOMAIN/NAME". Such a path belongs to that run; in a
 * definition it would be somebody else's after the next start.
 */
static bool is_made_path(const struct chardev *chardev)
{
	const char *name = chardev->name, *path = chardev->path, *end, *dir;

	if (chardev->kind != CHARDEV_CHANNEL || !chardev->listen || !name || !path ||
		!strstr(path, "/channel/"))
		return false;
	end = path + strlen(path) - strlen(name);
	if (end <= path || !streq(end, name) || end[-1] != '/')
		return false;
	for (dir = end - 1; dir > path && dir[-1] != '/'; dir--)
		;
	if (startswith(dir, "domain-"))
		dir += strlen("domain-");
	return dir[strspn(dir, "0123456789")] == '-' && *dir != '-';
}

static char *unix_path_get(const struct format_context *c, const void *object)
{
	const struct chardev *chardev = object;

	if ((c->flags & DOMAIN_FORMAT_INACTIVE) && is_made_path(chardev))
		return NULL;
	return xstrdup(chardev->path);
}

/* Without a path there is nothing to say. */
static char *unix_mode_get(const struct format_context *c, const void *object)
{
	_cleanup_free_ char *path = unix_path_get(c, object);

	return path ? mode_get(c, object) : NULL;
}

static int unix_path_set(struct parse_context *c, const xmlNode *node, void *object, const char *text)
{
	/* What QEMU and the kernel can bind to: sun_path. */
	if (!text_is_path(text) || strlen(text) >= 108)
		return field_invalid(
			c, node, "attribute 'path' of <source>: '%.200s' is not the path of a socket", text);
	replace_string(&((struct chardev *)object)->path, text);
	return 0;
}

static const struct field unix_fields[] = {
	ATTR_CALL("mode", mode_set, unix_mode_get),
	ATTR_OWNED(struct chardev, path, "path", unix_path_set, unix_path_get),
};
static const struct table unix_table = TABLE(unix_fields, struct chardev);

static bool is_host(const char *text)
{
	return *text && strlen(text) <= 255 &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:%") ==
		       strlen(text);
}

static const struct field tcp_fields[] = {
	ATTR_CALL("mode", mode_set, mode_get),
	ATTR(struct chardev, host, "host", VALUE_STRING, .valid = is_host, .words = "a host"),
	ATTR(struct chardev, service, "service", VALUE_STRING, .flags = FIELD_REQUIRED,
		.valid = text_is_word),
};
static const struct table tcp_table = TABLE(tcp_fields, struct chardev);

static const struct field protocol_fields[] = {
	ATTR_CONST("type", "raw", .flags = FIELD_ALWAYS),
};
static const struct table protocol_table = TABLE(protocol_fields, struct chardev);

static const struct field log_fields[] = {
	ATTR(struct chardev, log_file, "file", VALUE_STRING, .flags = FIELD_REQUIRED, .valid = text_is_path),
	ATTR(struct chardev, log_append, "append", VALUE_ON_OFF),
};
static const struct table log_table = TABLE(log_fields, struct chardev);

/* What they all begin with after the attributes. */
static const struct field backend_fields[] = {
	GROUP("source", pty_table, .when = is_pty),
	GROUP("source", file_table, .when = is_file),
	GROUP("source", node_table, .when = is_node),
	GROUP("source", unix_table, .when = is_unix),
	GROUP("source", tcp_table, .when = is_tcp),
	GROUP("protocol", protocol_table, .when = is_tcp),
	GROUP("log", log_table),
};
static const struct table backend_table = TABLE(backend_fields, struct chardev);

/* ---- <target> ---- */

#define PORT ATTR(struct chardev, port, "port", VALUE_U32, .max = 255, HAS(struct chardev, has_port))

static const struct field serial_model_fields[] = {
	ATTR(struct chardev, target_model, "name", VALUE_STRING, .flags = FIELD_REQUIRED,
		.valid = text_is_word),
};
static const struct table serial_model_table = TABLE(serial_model_fields, struct chardev);

static const struct field serial_target_fields[] = {
	ATTR_ENUM(struct chardev, target, "type", serial_target_names),
	PORT,
	GROUP("model", serial_model_table),
};
static const struct table serial_target_table = TABLE(serial_target_fields, struct chardev);

static const struct field console_target_fields[] = {
	ATTR_ENUM(struct chardev, target, "type", console_target_names),
	PORT,
};
static const struct table console_target_table = TABLE(console_target_fields, struct chardev);

static bool is_channel_name(const char *text)
{
	return text_is_line(text) && strlen(text) <= 255 && !strchr(text, '/');
}

static const struct field channel_target_fields[] = {
	ATTR_ENUM(struct chardev, target, "type", channel_target_names, .flags = FIELD_REQUIRED),
	ATTR(struct chardev, name, "name", VALUE_STRING, .valid = is_channel_name,
		.words = "the name of a channel"),
	ATTR(struct chardev, state, "state", VALUE_STRING, .flags = FIELD_LIVE | FIELD_HOST),
};
static const struct table channel_target_table = TABLE(channel_target_fields, struct chardev);

/* ---- the three elements ---- */

static void serial_init(void *object)
{
	((struct chardev *)object)->kind = CHARDEV_SERIAL;
}

static void console_init(void *object)
{
	struct chardev *chardev = object;

	chardev->kind = CHARDEV_CONSOLE;
	chardev->target = CHARDEV_TARGET_SERIAL;
}

static void channel_init(void *object)
{
	((struct chardev *)object)->kind = CHARDEV_CHANNEL;
}

static int chardev_finish(struct parse_context *c, const xmlNode *node, void *object)
{
	struct chardev *chardev = object;
	const char *element = (const char *)node->name;
	bool is_channel = chardev->kind == CHARDEV_CHANNEL;

	if ((is_file(chardev) || is_node(chardev)) && !chardev->path)
		return field_invalid(c, node, "<%s type='%s'> has no <source>", element,
			enum_name(&chardev_backend_names, chardev->backend));
	if (is_tcp(chardev) && !chardev->service)
		return field_invalid(c, node, "<%s type='tcp'> has no <source>", element);
	if (is_tcp(chardev) && !chardev->host && !chardev->listen)
		return field_invalid(c, node, "<%s type='tcp'> connects and names no host", element);
	if (is_unix(chardev) && !chardev->path && !is_channel)
		return field_invalid(c, node, "<%s type='unix'> has no <source> with a path", element);
	if (backend(chardev) == CHARDEV_SPICEVMC && !is_channel)
		return field_unsupported(c, node, "<%s type='spicevmc'> is not supported", element);
	if (is_channel && chardev->target != CHARDEV_TARGET_VIRTIO)
		return field_invalid(c, node, "<channel> has no <target>");
	if (backend(chardev) == CHARDEV_SPICEVMC && !chardev->name)
		replace_string(&chardev->name, "com.redhat.spice.0");
	if (is_unix(chardev) && !chardev->path)
		chardev->listen = true;
	if (!(c->flags & DOMAIN_PARSE_LIVE) && is_made_path(chardev))
		replace_string(&chardev->path, NULL);
	return 0;
}

#define TYPE                                                                                                 \
	ATTR_ENUM(struct chardev, backend, "type", chardev_backend_names,                                    \
		.flags = FIELD_ALWAYS | FIELD_REQUIRED | FIELD_HOST)

static const struct field serial_fields[] = {
	TYPE,
	INCLUDE(backend_table, .flags = FIELD_HOST),
	GROUP("target", serial_target_table),
	INLINE(struct chardev, info, info_table),
};
const struct table serial_table =
	TABLE(serial_fields, struct chardev, .init = serial_init, .finish = chardev_finish);

/* An older spelling of <source path=.../> that some tools still read. */
static int tty_set(struct parse_context *c, const xmlNode *node, void *object, const char *text)
{
	return 0;
}

static char *tty_get(const struct format_context *c, const void *object)
{
	return c->flags & DOMAIN_FORMAT_INACTIVE ? NULL : xstrdup(((const struct chardev *)object)->path);
}

static const struct field console_fields[] = {
	TYPE,
	ATTR_CALL("tty", tty_set, tty_get, .when = is_pty, .flags = FIELD_HOST),
	INCLUDE(backend_table, .flags = FIELD_HOST),
	GROUP("target", console_target_table),
	INLINE(struct chardev, info, info_table),
};
const struct table console_table =
	TABLE(console_fields, struct chardev, .init = console_init, .finish = chardev_finish);

static const struct field channel_fields[] = {
	TYPE,
	INCLUDE(backend_table, .flags = FIELD_HOST),
	GROUP("target", channel_target_table),
	INLINE(struct chardev, info, info_table),
};
const struct table channel_table =
	TABLE(channel_fields, struct chardev, .init = channel_init, .finish = chardev_finish);

/* The first console of a PC is its first serial port under another name. */
void consoles_format(const struct format_context *c, const void *object)
{
	const struct domain *d = object;

	VEC_FOREACH (console, &d->consoles) {
		struct chardev shown = *console;

		if (console_i == 0 && console->target == CHARDEV_TARGET_SERIAL && d->serials.n > 0) {
			shown = *d->serials.items[0];
			shown.kind = CHARDEV_CONSOLE;
			shown.target = CHARDEV_TARGET_SERIAL;
			shown.info.address.type = ADDRESS_NONE;
		}
		xml_begin(c->w, "console");
		table_format(c, &console_table, &shown);
		xml_end(c->w, "console");
	}
}
