/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The document <qemu-migration> (cookie.h). */
#include "cookie.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "xml.h"

#define ROOT "qemu-migration"

void cookie_fini(struct cookie *c)
{
	free(c->name);
	free(c->hostname);
	free(c->lock_driver);
	free(c->lock_state);
	free(c->persistent_xml);
	free(c->cpu_xml);
	strv_fini(&c->capabilities);
	strv_fini(&c->auto_capabilities);
	for (size_t i = 0; i < c->disks.n; i++)
		free(c->disks.items[i].target);
	VEC_FREE(&c->disks);
	free(c->graphics_type);
	free(c->graphics_listen);
	free(c->token);
	free(c->handover_host);
	free(c->handover_place);
	*c = (struct cookie){0};
}

static const struct {
	const char *name;
	unsigned bit;
} features[] = {
	{"lockstate", COOKIE_LOCKSTATE},
	{"persistent", COOKIE_PERSISTENT},
	{"memory-hotplug", COOKIE_MEMORY_HOTPLUG},
	{"cpu-hotplug", COOKIE_CPU_HOTPLUG},
	{"graphics", COOKIE_GRAPHICS},
	{"network", COOKIE_NETWORK},
	{"nbd", COOKIE_NBD},
	{"statistics", COOKIE_STATISTICS},
	{"cpu", COOKIE_CPU},
	{"capabilities", COOKIE_CAPABILITIES},
	{"block-dirty-bitmaps", COOKIE_BITMAPS},
};

/* Of <statistics>: uint64_t fields by name. */
static const struct {
	const char *name;
	size_t offset;
} counters[] = {
#define COUNTER(name_, field)                                                                                \
	{                                                                                                    \
		name_, offsetof(struct cookie_statistics, field)                                             \
	}
	COUNTER("started", started_ms),
	COUNTER("stopped", stopped_ms),
	COUNTER("sent", sent_ms),
	COUNTER("time_elapsed", time_elapsed),
	COUNTER("setup_time", setup_time),
	COUNTER("memory_total", memory_total),
	COUNTER("memory_processed", memory_processed),
	COUNTER("memory_remaining", memory_remaining),
	COUNTER("memory_bps", memory_bps),
	COUNTER("memory_constant", memory_constant),
	COUNTER("memory_normal", memory_normal),
	COUNTER("memory_normal_bytes", memory_normal_bytes),
	COUNTER("memory_dirty_rate", memory_dirty_rate),
	COUNTER("memory_iteration", memory_iteration),
	COUNTER("memory_postcopy_requests", memory_postcopy_requests),
	COUNTER("memory_page_size", memory_page_size),
	COUNTER("disk_total", disk_total),
	COUNTER("disk_processed", disk_processed),
	COUNTER("disk_remaining", disk_remaining),
	COUNTER("disk_bps", disk_bps),
#undef COUNTER
};

static uint64_t *counter_of(struct cookie_statistics *t, size_t i)
{
	return (uint64_t *)(void *)((char *)t + counters[i].offset);
}

/* ---- writing ---- */

static void put_statistics(struct xml_writer *w, const struct cookie_statistics *t)
{
	struct cookie_statistics copy = *t;

	xml_begin(w, "statistics");
	for (size_t i = 0; i < ARRAY_SIZE(counters); i++)
		xml_elementf(w, counters[i].name, "%llu", (unsigned long long)*counter_of(&copy, i));
	if (t->has_delta)
		xml_elementf(w, "delta", "%lld", (long long)t->delta_ms);
	if (t->has_downtime)
		xml_elementf(w, "downtime", "%llu", (unsigned long long)t->downtime);
	xml_end(w, "statistics");
}

static void put_capabilities(struct xml_writer *w, const struct cookie *c)
{
	xml_begin(w, "capabilities");
	for (size_t i = 0; i < c->capabilities.n; i++) {
		const char *name = c->capabilities.items[i];

		xml_begin(w, "cap");
		xml_put_attr(w, "name", name);
		xml_put_attr(w, "auto", strv_contains(&c->auto_capabilities, name) ? "yes" : "no");
		xml_end(w, "cap");
	}
	xml_end(w, "capabilities");
}

static void put_nbd(struct xml_writer *w, const struct cookie *c)
{
	xml_begin(w, "nbd");
	if (c->nbd_port)
		xml_put_attrf(w, "port", "%u", c->nbd_port);
	for (size_t i = 0; i < c->disks.n; i++) {
		xml_begin(w, "disk");
		xml_put_attr(w, "target", c->disks.items[i].target);
		xml_put_attrf(w, "capacity", "%llu", (unsigned long long)c->disks.items[i].capacity);
		xml_end(w, "disk");
	}
	xml_end(w, "nbd");
}

static void put_parts(struct xml_writer *w, const struct cookie *c)
{
	if (c->has & COOKIE_LOCKSTATE && c->lock_driver) {
		xml_begin(w, "lockstate");
		xml_put_attr(w, "driver", c->lock_driver);
		xml_element(w, "leases", c->lock_state);
		xml_end(w, "lockstate");
	}
	if (c->has & COOKIE_PERSISTENT)
		xml_raw(w, c->persistent_xml);
	if (c->has & COOKIE_NBD)
		put_nbd(w, c);
	if (c->has & COOKIE_STATISTICS)
		put_statistics(w, &c->statistics);
	if (c->has & COOKIE_CPU)
		xml_raw(w, c->cpu_xml);
	if (c->has & COOKIE_CAPABILITIES)
		put_capabilities(w, c);
	if (c->has & COOKIE_GRAPHICS) {
		xml_begin(w, "graphics");
		xml_put_attr(w, "type", c->graphics_type);
		xml_put_attrf(w, "port", "%d", c->graphics_port);
		xml_put_attr(w, "listen", c->graphics_listen);
		if (c->graphics_tls_port)
			xml_put_attrf(w, "tlsPort", "%d", c->graphics_tls_port);
		xml_end(w, "graphics");
	}
	if (c->has & COOKIE_HANDOVER) {
		xml_begin(w, "handover");
		xml_put_attr(w, "token", c->token);
		xml_put_attr(w, "host", c->handover_host);
		if (c->handover_port)
			xml_put_attrf(w, "port", "%u", c->handover_port);
		xml_put_attr(w, "place", c->handover_place);
		xml_end(w, "handover");
	}
}

char *cookie_format(const struct cookie *c)
{
	struct buf out = {0};
	struct xml_writer w = {.out = &out};
	char uuid[UUID_TEXT_MAX], host_uuid[UUID_TEXT_MAX];

	uuid_format(c->uuid, uuid);
	uuid_format(c->host_uuid, host_uuid);
	xml_begin(&w, ROOT);
	xml_element(&w, "name", c->name);
	xml_element(&w, "uuid", uuid);
	xml_element(&w, "hostname", c->hostname);
	xml_element(&w, "hostuuid", host_uuid);
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		if (!(c->mandatory & features[i].bit))
			continue;
		xml_begin(&w, "feature");
		xml_put_attr(&w, "name", features[i].name);
		xml_end(&w, "feature");
	}
	put_parts(&w, c);
	xml_end(&w, ROOT);
	return buf_take(&out);
}

/* ---- reading ---- */

static int damaged(const char *what, struct error *err)
{
	return error_set(err, ERROR_XML, "migration cookie: %s", what);
}

/* False: it is there, and no such number. */
static bool read_number(const char *text, uint64_t max, uint64_t *ret)
{
	char *end;
	unsigned long long n;

	if (!text)
		return true;
	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno || *end || n > max)
		return false;
	*ret = n;
	return true;
}

/* Names stand in messages and logs, which are lines. */
static bool is_line(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return false;
	return true;
}

static int read_identity(const xmlNode *root, struct cookie *c, struct error *err)
{
	_cleanup_free_ char *uuid = xml_child_text(root, "uuid"), *host = xml_child_text(root, "hostuuid");

	c->name = xml_child_text(root, "name");
	c->hostname = xml_child_text(root, "hostname");
	if (!c->name || !is_line(c->name))
		return damaged("no <name>, or not one", err);
	if (!uuid || !uuid_parse(uuid, c->uuid))
		return damaged("no <uuid>, or not one", err);
	if (!c->hostname || !is_line(c->hostname))
		return damaged("no <hostname>, or not one", err);
	if (!host || !uuid_parse(host, c->host_uuid))
		return damaged("no <hostuuid>, or not one", err);
	return 0;
}

static int read_feature(const xmlNode *node, unsigned accept, struct cookie *c, struct error *err)
{
	_cleanup_free_ char *name = xml_attr(node, "name");

	if (!name || !is_line(name))
		return damaged("a <feature> has no name, or not one", err);
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		if (!streq(features[i].name, name))
			continue;
		c->mandatory |= features[i].bit;
		if (accept & features[i].bit)
			return 0;
		return error_set(err, ERROR_OPERATION_FAILED,
			"the other side demands migration feature '%s', which is not for this phase", name);
	}
	return error_set(err, ERROR_OPERATION_FAILED,
		"the other side demands migration feature '%s', which is not known here", name);
}

static int read_nbd(const xmlNode *node, struct cookie *c, struct error *err)
{
	_cleanup_free_ char *port = xml_attr(node, "port");
	uint64_t n = 0;

	if (!read_number(port, UINT16_MAX, &n))
		return damaged("<nbd> has no such port", err);
	c->nbd_port = (uint16_t)n;
	XML_FOREACH (disk, node) {
		_cleanup_free_ char *capacity = xml_attr(disk, "capacity"),
				    *target = xml_attr(disk, "target");
		struct cookie_disk d = {0};

		if (!xml_is(disk, "disk"))
			continue;
		if (!target || !is_line(target) || !capacity ||
			!read_number(capacity, UINT64_MAX, &d.capacity))
			return damaged("a <disk> of <nbd> lacks its target or capacity", err);
		d.target = TAKE_PTR(target);
		VEC_ADD(&c->disks, d);
	}
	c->has |= COOKIE_NBD;
	return 0;
}

static int read_statistics(const xmlNode *node, struct cookie *c, struct error *err)
{
	_cleanup_free_ char *downtime = xml_child_text(node, "downtime"),
			    *delta = xml_child_text(node, "delta");
	const char *digits = delta && *delta == '-' ? delta + 1 : delta;
	uint64_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(counters); i++) {
		_cleanup_free_ char *text = xml_child_text(node, counters[i].name);

		if (!read_number(text, UINT64_MAX, counter_of(&c->statistics, i)))
			return error_set(err, ERROR_XML,
				"migration cookie: <%s> of <statistics> is not a number", counters[i].name);
	}
	if (!read_number(downtime, UINT64_MAX, &c->statistics.downtime) ||
		!read_number(digits, INT64_MAX, &n))
		return damaged("<downtime> or <delta> of <statistics> is not a number", err);
	c->statistics.has_downtime = downtime;
	c->statistics.has_delta = delta;
	c->statistics.delta_ms = digits == delta ? (int64_t)n : -(int64_t)n;
	c->has |= COOKIE_STATISTICS;
	return 0;
}

static int read_capabilities(const xmlNode *node, struct cookie *c, struct error *err)
{
	XML_FOREACH (cap, node) {
		_cleanup_free_ char *name = xml_attr(cap, "name"), *automatic = xml_attr(cap, "auto");

		if (!xml_is(cap, "cap"))
			continue;
		if (!name)
			return damaged("a <cap> has no name", err);
		strv_add(&c->capabilities, name);
		if (automatic && streq(automatic, "yes"))
			strv_add(&c->auto_capabilities, name);
	}
	c->has |= COOKIE_CAPABILITIES;
	return 0;
}

static int read_lockstate(const xmlNode *node, struct cookie *c, struct error *err)
{
	c->lock_driver = xml_attr(node, "driver");
	c->lock_state = xml_child_text(node, "leases");
	c->has |= COOKIE_LOCKSTATE;
	return c->lock_driver && is_line(c->lock_driver)
		       ? 0
		       : damaged("<lockstate> has no driver, or not one", err);
}

static bool is_token(const char *text)
{
	return text && strlen(text) == COOKIE_TOKEN_LEN &&
	       strspn(text, "0123456789abcdef") == COOKIE_TOKEN_LEN;
}

static int read_handover(const xmlNode *node, struct cookie *c, struct error *err)
{
	_cleanup_free_ char *port = xml_attr(node, "port");
	uint64_t n = 0;

	c->token = xml_attr(node, "token");
	c->handover_host = xml_attr(node, "host");
	c->handover_place = xml_attr(node, "place");
	if (!is_token(c->token))
		return damaged("<handover> has no token", err);
	if (!read_number(port, UINT16_MAX, &n) ||
		(n && (!c->handover_host || !is_line(c->handover_host) || !is_token(c->handover_place))))
		return damaged("<handover> has no such port, or no host or place for it", err);
	c->handover_port = (uint16_t)n;
	c->has |= COOKIE_HANDOVER;
	return 0;
}

static int read_graphics(const xmlNode *node, struct cookie *c, struct error *err)
{
	_cleanup_free_ char *port = xml_attr(node, "port"), *tls = xml_attr(node, "tlsPort");
	uint64_t n = 0, t = 0;

	c->graphics_type = xml_attr(node, "type");
	c->graphics_listen = xml_attr(node, "listen");
	/* -1: none yet */
	if ((port && !streq(port, "-1") && !read_number(port, UINT16_MAX, &n)) ||
		(tls && !streq(tls, "-1") && !read_number(tls, UINT16_MAX, &t)))
		return damaged("<graphics> has no such port", err);
	c->graphics_port = (int)n;
	c->graphics_tls_port = (int)t;
	c->has |= COOKIE_GRAPHICS;
	return 0;
}

static int read_part(const xmlNode *node, unsigned accept, struct cookie *c, struct error *err)
{
	static const struct {
		const char *name;
		int (*read)(const xmlNode *node, struct cookie *c, struct error *err);
		unsigned bit; /* at most one of them */
	} parts[] = {
		{"nbd", read_nbd, COOKIE_NBD},
		{"statistics", read_statistics, COOKIE_STATISTICS},
		{"capabilities", read_capabilities, COOKIE_CAPABILITIES},
		{"lockstate", read_lockstate, COOKIE_LOCKSTATE},
		{"handover", read_handover, COOKIE_HANDOVER},
		{"graphics", read_graphics, COOKIE_GRAPHICS},
	};

	if (xml_is(node, "feature"))
		return read_feature(node, accept, c, err);
	if (xml_is(node, "domain") && !c->persistent_xml) {
		c->has |= COOKIE_PERSISTENT;
		c->persistent_xml = xml_serialise(node);
	}
	if (xml_is(node, "cpu") && !c->cpu_xml) {
		c->has |= COOKIE_CPU;
		c->cpu_xml = xml_serialise(node);
	}
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (xml_is(node, parts[i].name) && !(c->has & parts[i].bit))
			return parts[i].read(node, c, err);
	return 0;
}

static int check_whose(
	const struct cookie *c, const uint8_t uuid[16], const uint8_t own_host_uuid[16], struct error *err)
{
	char text[UUID_TEXT_MAX];

	if (uuid && memcmp(uuid, c->uuid, 16) != 0) {
		uuid_format(c->uuid, text);
		return error_set(
			err, ERROR_OPERATION_FAILED, "it is about another domain: '%s', %s", c->name, text);
	}
	if (own_host_uuid && memcmp(own_host_uuid, c->host_uuid, 16) == 0) {
		uuid_format(c->host_uuid, text);
		return error_set(
			err, ERROR_OPERATION_FAILED, "Attempt to migrate guest to the same host %s", text);
	}
	return 0;
}

int cookie_parse(const char *text, size_t len, const uint8_t uuid[16], const uint8_t own_host_uuid[16],
	unsigned accept, struct cookie *ret, struct error *err)
{
	_cleanup_xml_ xmlDoc *doc = NULL;
	struct cookie c = {0};
	const xmlNode *root;
	int r = 0;

	*ret = c;
	if (!text || len == 0 || !*text)
		return 0;
	if (len > COOKIE_MAX)
		return damaged("it is too long", err);
	if (xml_parse(text, len, ROOT, &doc, err) < 0)
		return error_prefix(err, "migration cookie");
	root = xmlDocGetRootElement(doc);
	if (read_identity(root, &c, err) < 0 || check_whose(&c, uuid, own_host_uuid, err) < 0)
		r = -1;
	XML_FOREACH (node, root)
		if (r == 0)
			r = read_part(node, accept, &c, err);
	if (r < 0)
		cookie_fini(&c);
	else
		*ret = c;
	return r;
}
