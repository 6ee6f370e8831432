/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* <domainsnapshot> by tables, as <domain> is. */
#include <time.h>

#include "schema.h"
#include "snapshot.h"
#include "strv.h"

/* What is being read or written, with what belongs to the document and not to the snapshot. */
struct document {
	struct snapshot s; /* first: the tables are of struct snapshot */
	unsigned flags;
	bool current;
};

static bool is_redefinition(const void *object)
{
	return ((const struct document *)object)->flags & SNAPSHOT_PARSE_REDEFINE;
}

static bool is_new(const void *object)
{
	return !is_redefinition(object);
}

static bool is_internal(const void *object)
{
	return ((const struct document *)object)->flags & SNAPSHOT_PARSE_INTERNAL;
}

/* ---- names ---- */

int snapshot_check_name(const char *name, struct error *err)
{
	if (domain_check_name(name, err) < 0)
		return error_prefix(err, "snapshot name");
	return 0;
}

static int set_name(struct parse_context *c, const xmlNode *node, char **name, const char *text)
{
	struct error why = ERROR_INIT;

	if (snapshot_check_name(text, &why) < 0)
		return field_invalid(c, node, "%s", why.message);
	replace_string(name, text);
	return 0;
}

static int name_set(struct parse_context *c, const xmlNode *node, void *object, const char *text)
{
	return set_name(c, node, &((struct snapshot *)object)->name, text);
}

static char *name_get(const struct format_context *c, const void *object)
{
	return xstrdup(((const struct snapshot *)object)->name);
}

static int parent_set(struct parse_context *c, const xmlNode *node, void *object, const char *text)
{
	return set_name(c, node, &((struct snapshot *)object)->parent, text);
}

static char *parent_get(const struct format_context *c, const void *object)
{
	return xstrdup(((const struct snapshot *)object)->parent);
}

#define CHILD_NAME(member, word, setter, getter)                                                             \
	{                                                                                                    \
		.kind = FIELD_CHILD, .name = word, .offset = offsetof(struct snapshot, member),              \
		.value = VALUE_CALL, .flags = FIELD_OWNED, .set = setter, .get = getter                      \
	}

static const struct field parent_fields[] = {CHILD_NAME(parent, "name", parent_set, parent_get)};
static const struct table parent_table = TABLE(parent_fields, struct snapshot);

/* ---- <memory> ---- */

static const struct field memory_fields[] = {
	ATTR_ENUM(struct snapshot, memory, "snapshot", snapshot_location_names),
	ATTR(struct snapshot, memory_file, "file", VALUE_STRING, .valid = text_is_path),
};
static const struct table memory_table = TABLE(memory_fields, struct snapshot);

/* ---- <disks>, <revertDisks> ---- */

static bool is_file(const void *disk)
{
	return ((const struct snapshot_disk *)disk)->source_type == DISK_SOURCE_FILE;
}

static bool is_block(const void *disk)
{
	return ((const struct snapshot_disk *)disk)->source_type == DISK_SOURCE_BLOCK;
}

static const struct field driver_fields[] = {
	ATTR_ENUM(struct snapshot_disk, format, "type", disk_format_names),
};
static const struct table driver_table = TABLE(driver_fields, struct snapshot_disk);

static const struct field file_fields[] = {
	ATTR(struct snapshot_disk, source, "file", VALUE_STRING, .valid = text_is_path),
	ATTR_DROPPED("index"),
};
static const struct table file_table = TABLE(file_fields, struct snapshot_disk);

static const struct field block_fields[] = {
	ATTR(struct snapshot_disk, source, "dev", VALUE_STRING, .valid = text_is_path),
	ATTR_DROPPED("index"),
};
static const struct table block_table = TABLE(block_fields, struct snapshot_disk);

static int type_set(struct parse_context *c, const xmlNode *node, void *object, const char *text)
{
	unsigned type;

	if (!enum_parse(&disk_source_names, text, &type))
		return field_unsupported(c, node,
			"value '%.80s' of attribute 'type' of <disk> is not supported, only: file, block",
			text);
	((struct snapshot_disk *)object)->source_type = type;
	return 0;
}

static char *type_get(const struct format_context *c, const void *object)
{
	const struct snapshot_disk *disk = object;

	return disk->source || disk->format ? xstrdup(enum_name(&disk_source_names, disk->source_type))
					    : NULL;
}

static int disk_finish(struct parse_context *c, const xmlNode *node, void *object)
{
	struct snapshot_disk *disk = object;

	if (disk->location == SNAPSHOT_DEFAULT && (disk->source || disk->format))
		disk->location = SNAPSHOT_EXTERNAL;
	if (disk->source && disk->location != SNAPSHOT_EXTERNAL)
		return field_unsupported(c, node,
			"file '%.200s' for disk '%.200s' requires use of external snapshot mode",
			disk->source, disk->target);
	return 0;
}

static const struct field disk_fields[] = {
	ATTR(struct snapshot_disk, target, "name", VALUE_STRING, .flags = FIELD_REQUIRED,
		.valid = text_is_line),
	ATTR_ENUM(struct snapshot_disk, location, "snapshot", snapshot_location_names),
	ATTR_CALL("type", type_set, type_get),
	GROUP("driver", driver_table),
	GROUP("source", file_table, .when = is_file),
	GROUP("source", block_table, .when = is_block),
	FLAG(struct snapshot_disk, delete_begun, "snapshotDeleteInProgress"),
};
static const struct table snapshot_disk_table =
	TABLE(disk_fields, struct snapshot_disk, .finish = disk_finish);

static const struct field disks_fields[] = {
	LIST(struct snapshot, disks, "disk", snapshot_disk_table, .flags = FIELD_BY_VALUE),
};
static const struct table disks_table = TABLE(disks_fields, struct snapshot);

static const struct field revert_disks_fields[] = {
	LIST(struct snapshot, revert_disks, "disk", snapshot_disk_table, .flags = FIELD_BY_VALUE),
};
static const struct table revert_disks_table = TABLE(revert_disks_fields, struct snapshot);

/* ---- <domain>, <inactiveDomain>, <cookie> ---- */

/* libvirt before 0.9.5, and a redefinition, may name nothing but whose snapshot it is. */
static int uuid_parse_element(struct parse_context *c, const xmlNode *node, struct snapshot *s)
{
	const xmlNode *child = xml_child(node, "uuid");
	_cleanup_free_ char *text = xml_child_text(node, "uuid");

	if (!text || !uuid_parse(text, s->uuid))
		return field_invalid(c, node, "<domain> holds neither a description nor a UUID");
	s->has_uuid = true;
	field_take_child(child);
	return field_check_rest(c, node, false);
}

static int domain_element_parse(struct parse_context *c, const xmlNode *node, void *object)
{
	struct snapshot *s = object;
	_cleanup_free_ char *type = xml_attr(node, "type");

	return type ? domain_parse_element(c, node, &s->domain) : uuid_parse_element(c, node, s);
}

static void domain_element_format(const struct format_context *c, const void *object)
{
	const struct snapshot *s = object;
	char uuid[UUID_TEXT_MAX];

	if (s->domain) {
		domain_format_element(c->w, "domain", s->domain, c->flags);
	} else if (s->has_uuid) {
		uuid_format(s->uuid, uuid);
		xml_begin(c->w, "domain");
		xml_element(c->w, "uuid", uuid);
		xml_end(c->w, "domain");
	}
}

static int inactive_parse(struct parse_context *c, const xmlNode *node, void *object)
{
	return domain_parse_element(c, node, &((struct snapshot *)object)->inactive);
}

static void inactive_format(const struct format_context *c, const void *object)
{
	const struct snapshot *s = object;

	if (s->inactive)
		domain_format_element(c->w, "inactiveDomain", s->inactive, c->flags);
}

static int cookie_parse(struct parse_context *c, const xmlNode *node, void *object)
{
	((struct snapshot *)object)->cookie = xml_serialise(node);
	return 0;
}

static void cookie_format(const struct format_context *c, const void *object)
{
	const struct snapshot *s = object;

	if (s->cookie)
		xml_raw(c->w, s->cookie);
}

static int active_parse(struct parse_context *c, const xmlNode *node, void *object)
{
	struct document *document = object;
	_cleanup_free_ char *text = xml_text(node);

	if (!streq(text, "0") && !streq(text, "1"))
		return field_invalid(
			c, node, "element <active>: '%.80s' is neither 0 nor 1", text ? text : "");
	document->current = streq(text, "1");
	return field_check_rest(c, node, true);
}

static void active_format(const struct format_context *c, const void *object)
{
	xml_element(c->w, "active", ((const struct document *)object)->current ? "1" : "0");
}

/* Of a snapshot that exists, in a document that asks for a new one. */
static int pass_over(struct parse_context *c, const xmlNode *node, void *object)
{
	return 0;
}

/* ---- <domainsnapshot> ---- */

static bool has_no_memory(const struct snapshot *s)
{
	return s->state == SNAPSHOT_DISK_ONLY || s->state == SNAPSHOT_SHUTOFF;
}

static int check_redefinition(struct parse_context *c, const struct snapshot *s)
{
	if (!s->name)
		return field_invalid(c, NULL, "a redefined snapshot must have a name");
	if (!s->created_s)
		return field_invalid(c, NULL, "missing creationTime from existing snapshot");
	if (s->state == SNAPSHOT_STATE_NONE)
		return field_invalid(c, NULL, "missing state from existing snapshot");
	if (s->inactive && !s->domain)
		return field_invalid(c, NULL, "<inactiveDomain> stands without <domain>");
	return 0;
}

static int snapshot_finish(struct parse_context *c, const xmlNode *node, void *object)
{
	const struct document *document = object;
	struct snapshot *s = object;

	if (document->flags & SNAPSHOT_PARSE_REDEFINE) {
		if (check_redefinition(c, s) < 0)
			return -1;
	} else {
		s->created_s = time(NULL);
		if (!s->name)
			s->name = xasprintf("%lld", (long long)s->created_s);
		if (document->flags & SNAPSHOT_PARSE_DISK_ONLY)
			s->state = SNAPSHOT_DISK_ONLY;
	}
	if (s->memory_file && s->memory == SNAPSHOT_DEFAULT)
		s->memory = SNAPSHOT_EXTERNAL;
	/* Documents of libvirt before 1.0.1 do not say it. */
	if (s->memory == SNAPSHOT_DEFAULT && (document->flags & SNAPSHOT_PARSE_REDEFINE))
		s->memory = has_no_memory(s) ? SNAPSHOT_NO : SNAPSHOT_INTERNAL;
	if (s->memory_file && s->memory != SNAPSHOT_EXTERNAL)
		return field_invalid(
			c, node, "memory filename '%.200s' requires external snapshot", s->memory_file);
	if (s->memory == SNAPSHOT_EXTERNAL && !s->memory_file)
		return field_invalid(c, node, "external memory snapshots require a filename");
	if (s->memory == SNAPSHOT_MANUAL)
		return field_unsupported(c, node, "a memory snapshot cannot be 'manual'");
	if (has_no_memory(s) && snapshot_has_memory(s))
		return field_invalid(
			c, node, "memory state cannot be saved with offline or disk-only snapshot");
	return 0;
}

#define PASSED_OVER(word) CUSTOM(word, pass_over, NULL, .when = is_new)

static const struct field snapshot_fields[] = {
	CHILD_NAME(name, "name", name_set, name_get),
	CHILD(struct snapshot, description, "description", VALUE_STRING),
	CHILD(struct snapshot, state, "state", VALUE_ENUM, .names = &snapshot_state_names,
		.when = is_redefinition),
	GROUP("parent", parent_table, .when = is_redefinition),
	CHILD(struct snapshot, created_s, "creationTime", VALUE_I64, .when = is_redefinition),
	GROUP("memory", memory_table),
	GROUP("disks", disks_table),
	GROUP("revertDisks", revert_disks_table, .when = is_redefinition),
	CUSTOM("domain", domain_element_parse, domain_element_format, .when = is_redefinition),
	CUSTOM("inactiveDomain", inactive_parse, inactive_format, .when = is_redefinition),
	CUSTOM("cookie", cookie_parse, cookie_format, .offset = offsetof(struct snapshot, cookie),
		.flags = FIELD_OWNED, .when = is_redefinition),
	CUSTOM("active", active_parse, active_format, .when = is_internal),
	PASSED_OVER("state"),
	PASSED_OVER("parent"),
	PASSED_OVER("creationTime"),
	PASSED_OVER("revertDisks"),
	PASSED_OVER("domain"),
	PASSED_OVER("inactiveDomain"),
	PASSED_OVER("cookie"),
};
static const struct table snapshot_table = TABLE(snapshot_fields, struct snapshot, .finish = snapshot_finish);

struct snapshot *snapshot_new(void)
{
	struct snapshot *s = NEW(struct snapshot);

	table_init(&snapshot_table, s);
	return s;
}

static void fini(struct snapshot *s)
{
	domain_free(s->domain);
	domain_free(s->inactive);
	table_fini(&snapshot_table, s);
}

void snapshot_free(struct snapshot *s)
{
	if (!s)
		return;
	fini(s);
	free(s);
}

struct snapshot *snapshot_copy(const struct snapshot *s)
{
	struct snapshot *copy = NEW(struct snapshot);

	table_copy(&snapshot_table, copy, s);
	copy->domain = s->domain ? domain_copy(s->domain) : NULL;
	copy->inactive = s->inactive ? domain_copy(s->inactive) : NULL;
	return copy;
}

/* As for domains (domain.c): what is written must be readable again. */
static int check_size(const struct snapshot *s, size_t len, struct error *err)
{
	_cleanup_free_ char *xml = NULL;

	if (len < XML_TEXT_MAX / 8)
		return 0;
	xml = snapshot_format(s, SNAPSHOT_FORMAT_SECURE | SNAPSHOT_FORMAT_INTERNAL, true);
	if (strlen(xml) > XML_TEXT_MAX - XML_TEXT_MAX / 8)
		return error_set(err, ERROR_XML, "the description of snapshot '%s' is too long", s->name);
	return 0;
}

int snapshot_parse(const char *xml, size_t len, unsigned flags, struct snapshot **ret, bool *ret_current,
	struct error *err)
{
	_cleanup_xml_ xmlDoc *doc = NULL;
	struct parse_context c = {.err = err};
	struct document document = {.flags = flags};

	if (xml_parse(xml, len, "domainsnapshot", &doc, err) < 0)
		return -1;
	table_init(&snapshot_table, &document.s);
	if (table_parse(&c, &snapshot_table, xmlDocGetRootElement(doc), &document) < 0 ||
		check_size(&document.s, len, err) < 0) {
		fini(&document.s);
		return -1;
	}
	*ret = xmemdup(&document.s, sizeof(document.s));
	if (ret_current)
		*ret_current = document.current;
	return 0;
}

char *snapshot_format(const struct snapshot *s, unsigned flags, bool current)
{
	struct buf out = {0};
	struct xml_writer w = {.out = &out};
	struct document document = {.s = *s, .flags = SNAPSHOT_PARSE_REDEFINE, .current = current};
	struct format_context c = {.w = &w, .flags = DOMAIN_FORMAT_INACTIVE, .domain = s->domain};

	if (flags & SNAPSHOT_FORMAT_SECURE)
		c.flags |= DOMAIN_FORMAT_SECURE;
	if (flags & SNAPSHOT_FORMAT_INTERNAL)
		document.flags |= SNAPSHOT_PARSE_INTERNAL;
	xml_begin(&w, "domainsnapshot");
	table_format(&c, &snapshot_table, &document);
	xml_end(&w, "domainsnapshot");
	return buf_take(&out);
}
