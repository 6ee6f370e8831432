/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* <graphics>, <video>, <input>, <hub>: what a person sits in front of. */
#include "schema.h"
#include "strv.h"

/* ---- <graphics> ---- */

static bool is_vnc(const void *graphics)
{
	return ((const struct graphics *)graphics)->type == GRAPHICS_VNC;
}

static bool is_spice(const void *graphics)
{
	return ((const struct graphics *)graphics)->type == GRAPHICS_SPICE;
}

static bool has_no_port(const struct graphics *graphics)
{
	return graphics->socket || graphics->listen_none;
}

static int port_set_to(
	struct parse_context *c, const xmlNode *node, const char *name, const char *text, int32_t *port)
{
	int64_t number;

	if (!parse_i64(text, &number) || number < -1 || number > 65535)
		return field_invalid(c, node,
			"attribute '%s' of <graphics>: '%.80s' is not a number from -1 to 65535", name, text);
	*port = number == 0 ? -1 : (int32_t)number;
	return 0;
}

static int port_set(struct parse_context *c, const xmlNode *node, void *object, const char *text)
{
	return port_set_to(c, node, "port", text, &((struct graphics *)object)->port);
}

static int tls_port_set(struct parse_context *c, const xmlNode *node, void *object, const char *text)
{
	return port_set_to(c, node, "tlsPort", text, &((struct graphics *)object)->tls_port);
}

/* Ports that were chosen at start are live. */
static char *port_format(const struct format_context *c, const struct graphics *graphics, int32_t port)
{
	bool is_live = graphics->autoport && !(c->flags & DOMAIN_FORMAT_INACTIVE);

	if (has_no_port(graphics))
		return NULL;
	if (port > 0 && (is_live || !graphics->autoport))
		return xasprintf("%d", port);
	return is_vnc(graphics) ? xstrdup("-1") : NULL;
}

static char *port_get(const struct format_context *c, const void *object)
{
	return port_format(c, object, ((const struct graphics *)object)->port);
}

static char *tls_port_get(const struct format_context *c, const void *object)
{
	return port_format(c, object, ((const struct graphics *)object)->tls_port);
}

static int autoport_set(struct parse_context *c, const xmlNode *node, void *object, const char *text)
{
	if (!streq(text, "yes") && !streq(text, "no"))
		return field_invalid(c, node,
			"attribute 'autoport' of <graphics>: '%.80s' is neither 'yes' nor 'no'", text);
	((struct graphics *)object)->autoport = streq(text, "yes");
	return 0;
}

static char *autoport_get(const struct format_context *c, const void *object)
{
	const struct graphics *graphics = object;

	return has_no_port(graphics) ? NULL : xstrdup(graphics->autoport ? "yes" : "no");
}

static bool is_address(const char *text)
{
	return *text && strlen(text) <= 255 &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:%") ==
		       strlen(text);
}

/* What the guest's screen listens on when nothing else is said. */
static const char *shown_listen(const struct format_context *c, const struct graphics *graphics)
{
	if (has_no_port(graphics) || graphics->listen || (c->flags & DOMAIN_FORMAT_INACTIVE))
		return graphics->listen;
	return "127.0.0.1";
}

static int listen_set(struct parse_context *c, const xmlNode *node, void *object, const char *text)
{
	struct graphics *graphics = object;

	if (!is_address(text))
		return field_invalid(c, node, "'%.80s' is not an address to listen on", text);
	if (graphics->listen && !streq(graphics->listen, text))
		return field_invalid(
			c, node, "<graphics> listens on '%s' and on '%s'", graphics->listen, text);
	replace_string(&graphics->listen, text);
	return 0;
}

static char *listen_get(const struct format_context *c, const void *object)
{
	return xstrdup(shown_listen(c, object));
}

static int socket_set(struct parse_context *c, const xmlNode *node, void *object, const char *text)
{
	struct graphics *graphics = object;

	if (!text_is_path(text) || strlen(text) >= 108)
		return field_invalid(c, node, "'%.200s' is not the path of a socket", text);
	if (graphics->socket && !streq(graphics->socket, text))
		return field_invalid(
			c, node, "<graphics> listens on '%s' and on '%s'", graphics->socket, text);
	replace_string(&graphics->socket, text);
	return 0;
}

static char *socket_get(const struct format_context *c, const void *object)
{
	return xstrdup(((const struct graphics *)object)->socket);
}

static int listen_parse(struct parse_context *c, const xmlNode *node, void *object)
{
	struct graphics *graphics = object;
	_cleanup_free_ char *type = xml_attr(node, "type"), *value = NULL;
	const char *attribute = streq(type, "address") ? "address" : streq(type, "socket") ? "socket" : NULL;

	field_take_attr(node, "type");
	if (!attribute && !streq(type, "none"))
		return field_unsupported(c, node,
			"value '%.80s' of attribute 'type' of <listen> is not supported, only: address, "
			"socket, none",
			type ? type : "");
	if (!attribute) {
		if (graphics->listen || graphics->socket)
			return field_invalid(c, node, "<graphics> listens and does not listen");
		graphics->listen_none = true;
		return field_check_rest(c, node, false);
	}
	value = xml_attr(node, attribute);
	field_take_attr(node, attribute);
	if (streq(attribute, "socket") && !value)
		return field_unsupported(c, node, "<listen type='socket'> without a path is not supported");
	if (value && (streq(attribute, "address") ? listen_set : socket_set)(c, node, object, value) < 0)
		return -1;
	return field_check_rest(c, node, false);
}

static void listen_format(const struct format_context *c, const void *object)
{
	const struct graphics *graphics = object;

	xml_begin(c->w, "listen");
	xml_put_attr(c->w, "type", graphics->listen_none ? "none" : graphics->socket ? "socket" : "address");
	xml_put_attr(c->w, "address", shown_listen(c, graphics));
	xml_put_attr(c->w, "socket", graphics->socket);
	xml_end(c->w, "listen");
}

static const struct field image_fields[] = {
	ATTR(struct graphics, image_compression, "compression", VALUE_STRING,
		.names = &image_compression_words),
};
static const struct table image_table = TABLE(image_fields, struct graphics);

static const struct field gl_fields[] = {
	ATTR_CONST("enable", "no"),
};
static const struct table gl_table = TABLE(gl_fields, struct graphics);

static void graphics_init(void *object)
{
	struct graphics *graphics = object;

	graphics->port = graphics->tls_port = -1;
}

static int graphics_finish(struct parse_context *c, const xmlNode *node, void *object)
{
	struct graphics *graphics = object;
	bool has_port = graphics->port > 0 || graphics->tls_port > 0;

	if (graphics->listen && graphics->socket)
		return field_invalid(c, node, "<graphics> listens on '%s' and on '%s'", graphics->listen,
			graphics->socket);
	if (has_no_port(graphics) && has_port)
		return field_invalid(c, node, "<graphics> has a port and does not listen on one");
	if (has_no_port(graphics))
		graphics->autoport = false;
	else if (!has_port)
		graphics->autoport = true;
	else if (graphics->autoport && !(c->flags & DOMAIN_PARSE_LIVE))
		graphics->port = graphics->tls_port = -1;
	return 0;
}

static const struct field graphics_fields[] = {
	ATTR_ENUM(struct graphics, type, "type", graphics_type_names, .flags = FIELD_ALWAYS | FIELD_REQUIRED),
	ATTR_OWNED(struct graphics, socket, "socket", socket_set, socket_get, .when = is_vnc),
	ATTR_CALL("port", port_set, port_get),
	ATTR_CALL("tlsPort", tls_port_set, tls_port_get, .when = is_spice),
	ATTR_CALL("autoport", autoport_set, autoport_get),
	ATTR(struct graphics, websocket, "websocket", VALUE_I32, .min = (uint64_t)-1, .max = 65535,
		.when = is_vnc),
	ATTR_OWNED(struct graphics, listen, "listen", listen_set, listen_get),
	ATTR(struct graphics, keymap, "keymap", VALUE_STRING, .valid = text_is_word),
	ATTR(struct graphics, share_policy, "sharePolicy", VALUE_STRING, .names = &share_policy_words,
		.when = is_vnc),
	ATTR(struct graphics, password, "passwd", VALUE_STRING, .flags = FIELD_SECRET),
	CUSTOM("listen", listen_parse, listen_format),
	GROUP("image", image_table, .when = is_spice),
	GROUP("gl", gl_table, .when = is_spice),
};
const struct table graphics_table =
	TABLE(graphics_fields, struct graphics, .init = graphics_init, .finish = graphics_finish);

/* ---- <video> ---- */

/* No 3D is what there is. */
static const struct field acceleration_fields[] = {
	ATTR_CONST("accel3d", "no"),
};
static const struct table acceleration_table = TABLE(acceleration_fields, struct video);

static const struct field video_model_fields[] = {
	ATTR_ENUM(struct video, type, "type", video_type_names, .flags = FIELD_REQUIRED),
	ATTR(struct video, ram_kib, "ram", VALUE_U32, .min = 1024, .max = 1u << 24),
	ATTR(struct video, vram_kib, "vram", VALUE_U32, .min = 1024, .max = 1u << 24),
	ATTR(struct video, vram64_kib, "vram64", VALUE_U32, .min = 1024, .max = 1u << 31),
	ATTR(struct video, vgamem_kib, "vgamem", VALUE_U32, .min = 1024, .max = 1u << 24),
	ATTR(struct video, heads, "heads", VALUE_U32, .min = 1, .max = 16),
	ATTR(struct video, primary, "primary", VALUE_BOOL),
	GROUP("acceleration", acceleration_table),
};
static const struct table video_model_table = TABLE(video_model_fields, struct video);

static int video_finish(struct parse_context *c, const xmlNode *node, void *object)
{
	const struct video *video = object;

	if ((video->ram_kib || video->vgamem_kib || video->vram64_kib) && video->type != VIDEO_QXL)
		return field_invalid(
			c, node, "'ram', 'vgamem' and 'vram64' belong to video model 'qxl' only");
	return 0;
}

static const struct field video_fields[] = {
	GROUP("model", video_model_table),
	INLINE(struct video, info, info_table),
};
const struct table video_table = TABLE(video_fields, struct video, .finish = video_finish);

/* ---- <input> ---- */

static int input_finish(struct parse_context *c, const xmlNode *node, void *object)
{
	const struct input *input = object;

	if (input->type == INPUT_TABLET && input->bus == INPUT_BUS_PS2)
		return field_invalid(c, node, "a tablet cannot be on bus 'ps2'");
	return 0;
}

static const struct field input_fields[] = {
	ATTR_ENUM(struct input, type, "type", input_type_names, .flags = FIELD_ALWAYS | FIELD_REQUIRED),
	ATTR_ENUM(struct input, bus, "bus", input_bus_names),
	INLINE(struct input, info, info_table),
};
const struct table input_table = TABLE(input_fields, struct input, .finish = input_finish);

/* ---- <hub> ---- */

static const struct field hub_fields[] = {
	ATTR_CONST("type", "usb", .flags = FIELD_ALWAYS | FIELD_REQUIRED),
	INLINE(struct hub, info, info_table),
};
const struct table hub_table = TABLE(hub_fields, struct hub);
