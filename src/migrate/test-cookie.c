/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is written is read again; libvirt's own cookies; those that are refused, and in which words. */
#include "cookie.h"

#include "buf.h"
#include "tap.h"

#define TOKEN "0123456789abcdef0123456789abcdef"
#define PLACE "fedcba9876543210fedcba9876543210"

static const uint8_t vm_uuid[16] = {1, 2, 3}, host_uuid[16] = {4, 5, 6}, other_uuid[16] = {7};

static const char identity[] =
	"<name>guest7</name><uuid>01020300-0000-0000-0000-000000000000</uuid>"
	"<hostname>h1</hostname><hostuuid>04050600-0000-0000-0000-000000000000</hostuuid>";

static struct cookie new_cookie(void)
{
	struct cookie c = {.name = xstrdup("guest <7> & 'all'"), .hostname = xstrdup("h1.example")};

	memcpy(c.uuid, vm_uuid, 16);
	memcpy(c.host_uuid, host_uuid, 16);
	return c;
}

static int parse(const char *text, unsigned accept, struct cookie *ret, struct error *err)
{
	return cookie_parse(text, text ? strlen(text) : 0, vm_uuid, other_uuid, accept, ret, err);
}

static void fill(struct cookie *c)
{
	struct cookie_disk disk = {xstrdup("vda"), UINT64_MAX};

	c->has = COOKIE_LOCKSTATE | COOKIE_PERSISTENT | COOKIE_NBD | COOKIE_STATISTICS | COOKIE_CPU |
		 COOKIE_CAPABILITIES | COOKIE_GRAPHICS | COOKIE_HANDOVER;
	c->mandatory = COOKIE_LOCKSTATE | COOKIE_PERSISTENT;
	c->lock_driver = xstrdup("sanlock");
	c->lock_state = xstrdup("a:1,b:2");
	c->persistent_xml = xstrdup("<domain type=\"kvm\"><name>guest7</name></domain>");
	c->cpu_xml = xstrdup("<cpu mode=\"custom\"/>");
	strv_add(&c->capabilities, "multifd");
	strv_add(&c->capabilities, "pause-before-switchover");
	strv_add(&c->auto_capabilities, "pause-before-switchover");
	VEC_ADD(&c->disks, disk);
	c->nbd_port = UINT16_MAX;
	c->graphics_type = xstrdup("vnc");
	c->graphics_listen = xstrdup("::");
	c->graphics_port = 5900;
	c->graphics_tls_port = 5901;
	c->statistics = (struct cookie_statistics){.started_ms = 1,
		.stopped_ms = 2,
		.sent_ms = 3,
		.has_delta = true,
		.delta_ms = -4,
		.has_downtime = true,
		.downtime = 5,
		.memory_total = UINT64_MAX,
		.disk_bps = 6};
	c->token = xstrdup(TOKEN);
	c->handover_host = xstrdup("fe80::1%eth0");
	c->handover_port = 49152;
	c->handover_place = xstrdup(PLACE);
}

static void test_round_trip(void)
{
	struct cookie c = new_cookie(), back;
	struct error err = ERROR_INIT;
	_cleanup_free_ char *text = NULL, *again = NULL;

	fill(&c);
	text = cookie_format(&c);
	if (!ok(parse(text, COOKIE_ALL_MANDATORY, &back, &err) == 0, "what is written is read"))
		printf("# %s\n", err.message);
	ok(back.has == c.has && back.mandatory == c.mandatory, "all parts of it");
	is_str(back.name, c.name, "a name with all that XML means something by");
	ok(memcmp(back.uuid, vm_uuid, 16) == 0 && memcmp(back.host_uuid, host_uuid, 16) == 0, "both UUIDs");
	ok(streq(back.lock_driver, "sanlock") && streq(back.lock_state, "a:1,b:2"), "leases");
	ok(strstr(back.persistent_xml, "<name>guest7</name>") && strstr(back.cpu_xml, "custom"), "documents");
	ok(back.capabilities.n == 2 && back.auto_capabilities.n == 1 &&
			streq(back.auto_capabilities.items[0], "pause-before-switchover"),
		"capabilities");
	ok(back.disks.n == 1 && streq(back.disks.items[0].target, "vda") &&
			back.disks.items[0].capacity == UINT64_MAX && back.nbd_port == UINT16_MAX,
		"disks, and the largest numbers");
	ok(streq(back.graphics_type, "vnc") && back.graphics_port == 5900 && back.graphics_tls_port == 5901,
		"graphics");
	ok(memcmp(&back.statistics, &c.statistics, sizeof(c.statistics)) == 0, "statistics");
	ok(streq(back.token, TOKEN) && streq(back.handover_place, PLACE) && back.handover_port == 49152 &&
			streq(back.handover_host, "fe80::1%eth0"),
		"where to ask");
	again = cookie_format(&back);
	is_str(again, text, "and written again it is the same");
	cookie_fini(&c);
	cookie_fini(&back);
}

static void test_none(void)
{
	static const char *const none[] = {NULL, ""};
	struct error err = ERROR_INIT;
	struct cookie c;

	for (size_t i = 0; i < ARRAY_SIZE(none); i++)
		ok(parse(none[i], 0, &c, &err) == 0 && !c.name && c.has == 0, "no cookie is an empty one");
}

/* Words of libvirt's that mean nothing here are passed over; it gives ports that are not there yet as -1. */
static void test_libvirt(void)
{
	static const char parts[] =
		"<feature name='lockstate'/><allowReboot value='yes'/>"
		"<graphics type='spice' port='-1' listen='127.0.0.1' tlsPort='-1'>"
		"<cert info='subject' value='CN=h'/></graphics>"
		"<nbd><disk target='vda' capacity='16777216'/></nbd>"
		"<cpu mode='custom' match='exact' check='full'><model fallback='forbid'>qemu64</model></cpu>"
		"<capabilities><cap name='multifd' auto='no'/><cap name='return-path' "
		"auto='yes'/></capabilities>"
		"<statistics><started>10</started><delta>-3</delta><time_elapsed>470</time_elapsed>"
		"<compression_cache>7</compression_cache></statistics>"
		"<blockDirtyBitmaps><disk target='vda'/></blockDirtyBitmaps>";
	_cleanup_free_ char *text = xasprintf("<qemu-migration>%s%s</qemu-migration>", identity, parts);
	struct error err = ERROR_INIT;
	struct cookie c;

	if (!ok(parse(text, COOKIE_ALL_MANDATORY, &c, &err) == 0, "libvirt's"))
		printf("# %s\n", err.message);
	ok(c.mandatory == COOKIE_LOCKSTATE && !(c.has & COOKIE_LOCKSTATE) && !c.lock_driver,
		"no lock manager: a feature without its element");
	ok(c.graphics_port == 0 && c.graphics_tls_port == 0, "ports to come");
	ok(c.nbd_port == 0 && c.disks.n == 1 && c.disks.items[0].capacity == 16777216, "disks");
	ok(strstr(c.cpu_xml, "qemu64") && c.capabilities.n == 2 && c.auto_capabilities.n == 1, "processor");
	ok(c.statistics.has_delta && c.statistics.delta_ms == -3 && !c.statistics.has_downtime &&
			c.statistics.time_elapsed == 470,
		"figures");
	cookie_fini(&c);
}

static void test_refused(void)
{
	static const struct {
		const char *parts, *said;
		enum error_code code;
	} cases[] = {
		{"<feature/>", "no name", ERROR_XML},
		{"<feature name='cpu-hotplug'/>", "not for this phase", ERROR_OPERATION_FAILED},
		{"<feature name='teleport'/>", "not known here", ERROR_OPERATION_FAILED},
		{"<nbd port='65536'/>", "port", ERROR_XML},
		{"<nbd port=' 1'/>", "port", ERROR_XML},
		{"<nbd><disk target='vda'/></nbd>", "capacity", ERROR_XML},
		{"<nbd><disk capacity='1'/></nbd>", "target", ERROR_XML},
		{"<nbd><disk target='a' capacity='-1'/></nbd>", "capacity", ERROR_XML},
		{"<nbd><disk target='a' capacity='18446744073709551616'/></nbd>", "capacity", ERROR_XML},
		{"<statistics><sent>1x</sent></statistics>", "<sent>", ERROR_XML},
		{"<statistics><downtime>-1</downtime></statistics>", "<downtime>", ERROR_XML},
		{"<statistics><delta>-</delta></statistics>", "<delta>", ERROR_XML},
		{"<statistics><delta>--1</delta></statistics>", "<delta>", ERROR_XML},
		{"<capabilities><cap auto='yes'/></capabilities>", "<cap>", ERROR_XML},
		{"<lockstate/>", "driver", ERROR_XML},
		{"<graphics port='x'/>", "port", ERROR_XML},
		{"<handover/>", "token", ERROR_XML},
		{"<handover token='0123456789ABCDEF0123456789ABCDEF'/>", "token", ERROR_XML},
		{"<handover token='" TOKEN "0'/>", "token", ERROR_XML},
		{"<handover token='" TOKEN "' port='1' host='h'/>", "place", ERROR_XML},
		{"<handover token='" TOKEN "' port='1' place='" PLACE "'/>", "host", ERROR_XML},
		{"<feature name='&#10;'/>", "<feature>", ERROR_XML},
		{"<lockstate driver='lock&#13;d'/>", "driver", ERROR_XML},
		{"<nbd><disk target='v&#10;a' capacity='1'/></nbd>", "target", ERROR_XML},
		{"<handover token='" TOKEN "' port='1' place='" PLACE "' host='a&#10;b'/>", "host",
			ERROR_XML},
		{"<name", "", ERROR_XML},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *text =
			xasprintf("<qemu-migration>%s%s</qemu-migration>", identity, cases[i].parts);
		struct error err = ERROR_INIT;
		struct cookie c;
		int r = parse(text, COOKIE_LOCKSTATE, &c, &err);

		if (!ok(r < 0 && err.code == cases[i].code && strstr(err.message, cases[i].said) && !c.name,
			    cases[i].parts))
			printf("# %d: %s\n", r, r < 0 ? err.message : "accepted");
		cookie_fini(&c);
	}
}

static void test_identity(void)
{
	static const char *const elements[] = {"name", "uuid", "hostname", "hostuuid"};

	for (size_t i = 0; i < ARRAY_SIZE(elements); i++) {
		_cleanup_free_ char *open = xasprintf("<%s>", elements[i]), *damaged = xstrdup(identity),
				    *text = NULL;
		struct error err = ERROR_INIT;
		struct cookie c;
		char *start = strstr(damaged, open);
		char *end = strstr(start, "</");

		/* the text of the element becomes white space, and so none */
		memset(start + strlen(open), ' ', (size_t)(end - start) - strlen(open));
		text = xasprintf("<qemu-migration>%s</qemu-migration>", damaged);
		ok(parse(text, 0, &c, &err) < 0 && err.code == ERROR_XML && strstr(err.message, open),
			elements[i]);
	}
}

static void test_lines(void)
{
	_cleanup_free_ char *name = xasprintf(
				    "<qemu-migration><name>a&#10;b</name>%s</qemu-migration>", identity),
			    *host = xasprintf(
				    "<qemu-migration><hostname>a&#10;b</hostname>%s</qemu-migration>",
				    identity);
	struct error err = ERROR_INIT;
	struct cookie c;

	ok(parse(name, 0, &c, &err) < 0 && strstr(err.message, "<name>"), "a name of two lines");
	ok(parse(host, 0, &c, &err) < 0 && strstr(err.message, "<hostname>"), "a host of two lines");
}

static void test_whose(void)
{
	_cleanup_free_ char *text = xasprintf("<qemu-migration>%s</qemu-migration>", identity);
	struct error err = ERROR_INIT;
	struct cookie c;

	ok(cookie_parse(text, strlen(text), other_uuid, NULL, 0, &c, &err) < 0 &&
			err.code == ERROR_OPERATION_FAILED && strstr(err.message, "another domain: 'guest7'"),
		"one of another VM");
	ok(cookie_parse(text, strlen(text), vm_uuid, host_uuid, 0, &c, &err) < 0 &&
			strstr(err.message, "same host 04050600-"),
		"one of this very host");
	ok(cookie_parse(text, strlen(text), NULL, NULL, 0, &c, &err) == 0,
		"anybody's, where nothing is said");
	cookie_fini(&c);
}

/* A part that comes twice is the first of them; in libvirt, too. */
static void test_twice(void)
{
	_cleanup_free_ char *text = xasprintf("<qemu-migration>%s<nbd port='1'/><nbd port='2'/><cpu a='1'/>"
					      "<cpu a='2'/></qemu-migration>",
		identity);
	struct error err = ERROR_INIT;
	struct cookie c;

	ok(parse(text, 0, &c, &err) == 0 && c.nbd_port == 1 && strstr(c.cpu_xml, "a=\"1\""),
		"the first counts");
	cookie_fini(&c);
}

static void test_long(void)
{
	_cleanup_free_ char *text = xcalloc(1, COOKIE_MAX + 2);
	struct error err = ERROR_INIT;
	struct cookie c;

	memset(text, ' ', COOKIE_MAX + 1);
	ok(parse(text, 0, &c, &err) < 0 && strstr(err.message, "too long"),
		"more than libvirt's protocol has");
}

int main(void)
{
	test_round_trip();
	test_none();
	test_libvirt();
	test_refused();
	test_identity();
	test_lines();
	test_whose();
	test_twice();
	test_long();
	return done_testing();
}
