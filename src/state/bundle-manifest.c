/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The manifest: what a bundle holds, before anything of it. Names of members are not taken from it but made of what they are,
 * so that no bundle can name a file of its choice.
 */
#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "bundle-tar.h"
#include "bundle.h"
#include "json.h"
#include "xml.h"

#define FORMAT	"godwit bundle"
#define VERSION 1

#define VM_NAME_MAX 255u
#define TARGET_MAX  32u
/* Sums of sizes stay far from overflow. */
#define SIZE_MAX_ (UINT64_C(1) << 48)

static const char *const kind_names[] = {
	[BUNDLE_DEFINITION] = "definition",
	[BUNDLE_STATE] = "state",
	[BUNDLE_NVRAM] = "nvram",
	[BUNDLE_DISK] = "disk",
};

_Static_assert(ARRAY_SIZE(kind_names) == BUNDLE_KIND_MAX_, "every kind has a name");

void bundle_manifest_fini(struct bundle_manifest *m)
{
	VEC_FOREACH (member, &m->members) {
		free(member.target);
		free(member.name);
	}
	VEC_FREE(&m->members);
	free(m->vm);
	*m = (struct bundle_manifest){0};
}

static char *member_name(enum bundle_kind kind, const char *target)
{
	switch (kind) {
	case BUNDLE_DEFINITION:
		return xstrdup("domain.xml");
	case BUNDLE_STATE:
		return xstrdup("state.save");
	case BUNDLE_NVRAM:
		return xstrdup("nvram.fd");
	case BUNDLE_DISK:
	case BUNDLE_KIND_MAX_:
		break;
	}
	return xasprintf("disks/%s.img", target);
}

struct bundle_member *bundle_add_member(struct bundle_manifest *m, enum bundle_kind kind, const char *target)
{
	struct bundle_member member = {
		.kind = kind, .target = xstrdup(target), .name = member_name(kind, target)};

	VEC_ADD(&m->members, member);
	return &m->members.items[m->members.n - 1];
}

char *bundle_manifest_format(const struct bundle_manifest *m)
{
	json *members = json_object_new_array();
	_cleanup_json_ json *o = NULL;
	_cleanup_free_ char *text = NULL;

	VEC_FOREACH (member, &m->members)
		json_object_array_add(
			members, json_pack("s:kind", kind_names[member.kind], "s:target", member.target,
					 "s:name", member.name, "u:size", member.size, "u:stored",
					 member.stored, "b:sparse", (int)member.sparse, "i:mtime",
					 member.mtime_s, "u:mtime_ns", (uint64_t)member.mtime_ns, NULL));
	o = json_pack("s:format", FORMAT, "i:version", (int64_t)VERSION, "s:vm", m->vm, "s:uuid", m->uuid,
		"o:members", members, NULL);
	text = json_format(o);
	return xasprintf("%s\n", text);
}

static int damaged(const char *bundle, const char *what, struct error *err)
{
	return error_set(err, ERROR_DAMAGED, "bundle %s is damaged: %s", bundle, what);
}

static bool kind_parse(const char *name, enum bundle_kind *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(kind_names); i++)
		if (name && streq(name, kind_names[i])) {
			*ret = (enum bundle_kind)i;
			return true;
		}
	return false;
}

static bool target_is_good(const char *target)
{
	size_t len = target ? strlen(target) : 0;

	for (size_t i = 0; i < len; i++)
		if (!islower((unsigned char)target[i]) && !isdigit((unsigned char)target[i]))
			return false;
	return len > 0 && len <= TARGET_MAX;
}

static bool sizes_are_good(const struct bundle_member *m)
{
	if (m->size > SIZE_MAX_ || m->mtime_s < 0 || m->mtime_ns >= 1000000000)
		return false;
	if (m->kind == BUNDLE_DEFINITION && (m->size == 0 || m->size > XML_TEXT_MAX))
		return false;
	if (!m->sparse)
		return m->stored == m->size;
	return m->kind != BUNDLE_DEFINITION && m->stored <= m->size + TAR_MAP_MAX;
}

/* Whether a member of this kind may stand behind the last one: the definition and the state, then one nvram.fd, then disks. */
static bool order_is_good(const struct bundle_manifest *m, enum bundle_kind kind, const char *target)
{
	size_t n = m->members.n;

	if (kind == BUNDLE_DEFINITION || kind == BUNDLE_STATE)
		return n == (size_t)kind;
	if (kind == BUNDLE_NVRAM)
		return n == 2;
	VEC_FOREACH (other, &m->members)
		if (other.target && streq(other.target, target))
			return false;
	return n >= 2;
}

static int parse_member(struct bundle_manifest *m, json *o, const char *bundle, struct error *err)
{
	const char *name = json_get_string(o, "name"), *target = json_get_string(o, "target");
	struct bundle_member *member;
	enum bundle_kind kind;

	if (!kind_parse(json_get_string(o, "kind"), &kind))
		return damaged(bundle, "its manifest has a member of an unknown kind", err);
	if (kind == BUNDLE_DISK ? !target_is_good(target) : target != NULL)
		return damaged(bundle, "its manifest has a disk without a good name", err);
	if (!order_is_good(m, kind, target))
		return error_set(err, ERROR_DAMAGED,
			"bundle %s is damaged: %s %s is out of order or there twice", bundle,
			kind_names[kind], target ? target : "");
	member = bundle_add_member(m, kind, target);
	if (!name || !streq(name, member->name))
		return error_set(err, ERROR_DAMAGED,
			"bundle %s is damaged: '%s' is no name for a member (%s is)", bundle,
			name ? name : "", member->name);
	member->size = json_get_uint(o, "size", UINT64_MAX);
	member->stored = json_get_uint(o, "stored", UINT64_MAX);
	member->sparse = json_get_bool(o, "sparse", false);
	member->mtime_s = json_get_int(o, "mtime", -1);
	member->mtime_ns = (uint32_t)json_get_uint(o, "mtime_ns", UINT32_MAX);
	if (json_get_uint(o, "mtime_ns", UINT32_MAX) > UINT32_MAX || !sizes_are_good(member))
		return error_set(err, ERROR_DAMAGED,
			"bundle %s is damaged: the size or time of %s is impossible", bundle, member->name);
	return 0;
}

static bool vm_name_is_good(const char *name)
{
	return name && name[0] && name[0] != '.' && strlen(name) <= VM_NAME_MAX && !strchr(name, '/') &&
	       !strchr(name, '\n');
}

static int parse(json *o, const char *bundle, struct bundle_manifest *m, struct error *err)
{
	const char *format = json_get_string(o, "format"), *uuid = json_get_string(o, "uuid");
	json *members = json_get(o, "members");
	uint8_t id[16];

	if (!format || !streq(format, FORMAT))
		return error_set(err, ERROR_DAMAGED, "%s is no bundle of godwit's", bundle);
	if (json_get_int(o, "version", 0) != VERSION)
		return error_set(err, ERROR_UNSUPPORTED,
			"bundle %s has version %" PRId64 " of the format; this godwit knows %d", bundle,
			json_get_int(o, "version", 0), VERSION);
	if (!vm_name_is_good(json_get_string(o, "vm")) || !uuid || !uuid_parse(uuid, id))
		return damaged(bundle, "its manifest names no VM", err);
	m->vm = xstrdup(json_get_string(o, "vm"));
	uuid_format(id, m->uuid);
	if (json_count_(members) < 2 || json_count_(members) > BUNDLE_MEMBERS_MAX)
		return damaged(bundle, "its manifest has no definition and state", err);
	JSON_FOREACH (member, members)
		if (parse_member(m, member, bundle, err) < 0)
			return -1;
	return 0;
}

int bundle_manifest_parse(
	const char *text, size_t len, const char *bundle, struct bundle_manifest *ret, struct error *err)
{
	struct bundle_manifest m = {0};
	_cleanup_free_ char *again = NULL;
	_cleanup_json_ json *o = NULL;

	if (json_parse(text, len, &o, NULL) < 0)
		return damaged(bundle, "its manifest is no JSON", err);
	if (parse(o, bundle, &m, err) < 0)
		goto fail;
	/* what is written one way only is read one way only: no second key, nothing unknown */
	again = bundle_manifest_format(&m);
	if (strlen(again) != len || memcmp(again, text, len) != 0) {
		damaged(bundle, "its manifest is not written as godwit writes it", err);
		goto fail;
	}
	*ret = m;
	return 0;
fail:
	bundle_manifest_fini(&m);
	return -1;
}

void bundle_manifest_id(const char *text, char ret[BUNDLE_ID_SIZE])
{
	_cleanup_(sum_fini) struct sum sum = {0};

	sum_init(&sum);
	sum_add(&sum, text, strlen(text));
	sum_format(&sum, ret);
}

uint64_t bundle_manifest_total(const struct bundle_manifest *m)
{
	uint64_t total = 0;

	VEC_FOREACH (member, &m->members)
		total += member.size;
	return total;
}
