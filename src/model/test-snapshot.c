/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Snapshots: their document both ways, what is refused, and the tree they make. */
#include "snapshot.h"

#include "snapshot-tree.h"
#include "strv.h"
#include "tap.h"

#define DOMAIN                                                                                               \
	"<domain type='qemu'><name>vm</name><uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid>"               \
	"<memory>65536</memory><os><type arch='x86_64' machine='pc-q35-10.0'>hvm</type></os><devices>"       \
	"<disk type='file'><driver name='qemu' type='qcow2'/><source file='/v/a.qcow2'/><target "            \
	"dev='vda'/></disk><disk type='file'><source file='/v/b.img'/><target dev='vdb'/></disk>"            \
	"</devices></domain>"

#define REDEFINED(rest)                                                                                      \
	"<domainsnapshot><name>one</name><state>running</state><creationTime>1700000000</creationTime>" rest \
	"</domainsnapshot>"

static struct error err;

static struct snapshot *parse(const char *xml, unsigned flags)
{
	struct snapshot *s = NULL;

	error_clear(&err);
	snapshot_parse(xml, strlen(xml), flags, &s, NULL, &err);
	return s;
}

static void is_refused(const char *xml, unsigned flags, const char *why)
{
	_cleanup_(snapshot_free_p) struct snapshot *s = parse(xml, flags);
	bool refused = !s && strstr(err.message, why);

	if (!ok(refused, why))
		printf("# %s\n", s ? "it was accepted" : err.message);
}

static void test_new(void)
{
	_cleanup_(snapshot_free_p) struct snapshot *s = parse("<domainsnapshot/>", 0), *full = NULL;
	_cleanup_free_ char *seconds = NULL;

	if (!ok(s, "a snapshot that says nothing"))
		return;
	seconds = xasprintf("%lld", (long long)s->created_s);
	is_str(s->name, seconds, "is called as the second it was asked for");
	ok(s->memory == SNAPSHOT_DEFAULT && s->disks.n == 0 && !s->domain, "and decides nothing");
	full = parse("<domainsnapshot><name>a b</name><description>x\ny</description><state>shutoff</state>"
		     "<parent><name>gone</name></parent><creationTime>5</creationTime>"
		     "<memory file='/m'/><disks><disk name='vda' snapshot='no'/><disk name='/v/b.img' "
		     "type='block'><source dev='/dev/x'/></disk></disks>" DOMAIN
		     "<cookie><x/></cookie></domainsnapshot>",
		0);
	if (!ok(full, "a document of another snapshot asks for a new one"))
		return;
	ok(!full->parent && full->created_s != 5 && full->state == SNAPSHOT_STATE_NONE && !full->domain,
		"that has its own time, place and machine");
	ok(full->memory == SNAPSHOT_EXTERNAL && streq(full->memory_file, "/m"), "a file is external memory");
	ok(full->disks.n == 2 && full->disks.items[0].location == SNAPSHOT_NO &&
			full->disks.items[1].location == SNAPSHOT_EXTERNAL &&
			full->disks.items[1].source_type == DISK_SOURCE_BLOCK,
		"a source is an external disk");
}

static void test_resolve(void)
{
	_cleanup_(snapshot_free_p) struct snapshot *s =
		parse("<domainsnapshot><disks><disk name='/v/b.img'/></disks></domainsnapshot>", 0);
	_cleanup_(snapshot_free_p) struct snapshot *twice = parse(
		"<domainsnapshot><disks><disk name='vdb'/><disk name='/v/b.img'/></disks></domainsnapshot>",
		0);
	_cleanup_(snapshot_free_p) struct snapshot *unknown =
		parse("<domainsnapshot><disks><disk name='vdz'/></disks></domainsnapshot>", 0);
	_cleanup_domain_ struct domain *d = NULL;

	if (!ok(domain_parse(DOMAIN, strlen(DOMAIN), 0, &d, &err) == 0, "a machine with two disks"))
		return;
	ok(snapshot_resolve_disks(s, d, &err) == 0, "a disk by its path");
	ok(snapshot_find_disk(s, "vdb") && !snapshot_find_disk(s, "vda"), "is found by its target");
	ok(snapshot_resolve_disks(twice, d, &err) < 0 && strstr(err.message, "'vdb' specified twice"),
		"the same disk by both names");
	ok(snapshot_resolve_disks(unknown, d, &err) < 0 && strstr(err.message, "no disk named 'vdz'"),
		"an unknown disk");
}

static void test_refused(void)
{
	const unsigned redefine = SNAPSHOT_PARSE_REDEFINE;

	is_refused("<domainsnapshot><name>a/b</name></domainsnapshot>", 0, "must not hold '/'");
	is_refused("<domainsnapshot><name>..</name></domainsnapshot>", 0, "must not begin with");
	is_refused("<domainsnapshot><memory snapshot='external'/></domainsnapshot>", 0,
		"external memory snapshots require a filename");
	is_refused("<domainsnapshot><memory snapshot='no' file='/m'/></domainsnapshot>", 0,
		"memory filename '/m' requires external snapshot");
	is_refused("<domainsnapshot><memory file='m'/></domainsnapshot>", 0, "'m' is not an absolute path");
	is_refused("<domainsnapshot><memory snapshot='internal'/></domainsnapshot>", SNAPSHOT_PARSE_DISK_ONLY,
		"memory state cannot be saved with offline or disk-only snapshot");
	is_refused("<domainsnapshot><memory snapshot='default'/></domainsnapshot>", 0,
		"value 'default' of attribute 'snapshot' of <memory> is not supported");
	is_refused("<domainsnapshot><disks><disk name='vda' snapshot='internal'><source file='/x'/></disk>"
		   "</disks></domainsnapshot>",
		0, "requires use of external snapshot mode");
	is_refused("<domainsnapshot><disks><disk snapshot='no'/></disks></domainsnapshot>", 0,
		"<disk> has no attribute 'name'");
	is_refused("<domainsnapshot><disks><disk name='vda' type='network'/></disks></domainsnapshot>", 0,
		"value 'network' of attribute 'type' of <disk> is not supported");
	is_refused("<domainsnapshot><volume/></domainsnapshot>", 0,
		"element <volume> in <domainsnapshot> is not supported");
	is_refused("<domainsnapshot><active>1</active></domainsnapshot>", redefine,
		"element <active> in <domainsnapshot> is not supported");
	is_refused("<domainsnapshot/>", redefine, "a redefined snapshot must have a name");
	is_refused("<domainsnapshot><name>a</name></domainsnapshot>", redefine, "missing creationTime");
	is_refused("<domainsnapshot><name>a</name><creationTime>1</creationTime></domainsnapshot>", redefine,
		"missing state");
	is_refused(
		REDEFINED("<domain><uuid>x</uuid></domain>"), redefine, "neither a description nor a UUID");
	is_refused(REDEFINED("<domain type='qemu'/>"), redefine, "<name> is missing");
}

static void test_round_trip(void)
{
	static const char golden[] = "<domainsnapshot>\n"
				     "  <name>one</name>\n"
				     "  <description>before &amp; after</description>\n"
				     "  <state>running</state>\n"
				     "  <parent>\n"
				     "    <name>zero</name>\n"
				     "  </parent>\n"
				     "  <creationTime>1700000000</creationTime>\n"
				     "  <memory snapshot='external' file='/m'/>\n"
				     "  <disks>\n"
				     "    <disk name='vda' snapshot='external' type='file'>\n"
				     "      <driver type='qcow2'/>\n"
				     "      <source file='/v/a.one'/>\n"
				     "    </disk>\n"
				     "    <disk name='vdb' snapshot='no'/>\n"
				     "  </disks>\n"
				     "  <revertDisks>\n"
				     "    <disk name='vda' snapshot='external' type='file'>\n"
				     "      <driver type='qcow2'/>\n"
				     "      <source file='/v/a.2'/>\n"
				     "    </disk>\n"
				     "  </revertDisks>\n"
				     "  <domain>\n"
				     "    <uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid>\n"
				     "  </domain>\n"
				     "  <cookie>\n    <cpu mode=\"custom\"/>\n  </cookie>\n"
				     "  <active>1</active>\n"
				     "</domainsnapshot>\n";
	const unsigned flags = SNAPSHOT_PARSE_REDEFINE | SNAPSHOT_PARSE_INTERNAL;
	_cleanup_(snapshot_free_p) struct snapshot *s = NULL, *copy = NULL, *with_domain = NULL;
	_cleanup_free_ char *text = NULL, *copied = NULL;
	bool current = false;

	if (!ok(snapshot_parse(golden, strlen(golden), flags, &s, &current, &err) == 0, "a metadata file"))
		return;
	text = snapshot_format(s, SNAPSHOT_FORMAT_INTERNAL, current);
	is_str(text, golden, "is written as it was read");
	copy = snapshot_copy(s);
	copied = snapshot_format(copy, SNAPSHOT_FORMAT_INTERNAL, true);
	is_str(copied, golden, "and a copy of it too");
	ok(snapshot_has_memory(s) && snapshot_is_external(s) && !snapshot_is_internal(s) &&
			snapshot_is_live(s),
		"it is external");
	with_domain = parse(REDEFINED(DOMAIN), SNAPSHOT_PARSE_REDEFINE);
	if (!ok(with_domain, "one with its machine"))
		return;
	replace_string(&text, NULL);
	text = snapshot_format(with_domain, 0, false);
	snapshot_free(with_domain);
	with_domain = parse(text, SNAPSHOT_PARSE_REDEFINE);
	ok(with_domain && with_domain->domain && with_domain->domain->disks.n == 2 &&
			with_domain->domain->vcpus_current == 1,
		"has it when read again");
}

static bool add(struct snapshot_tree *t, const char *name, const char *parent, bool replace)
{
	struct snapshot *s = snapshot_new();

	s->name = xstrdup(name);
	s->parent = xstrdup(parent);
	if (snapshot_tree_add(t, s, replace, &err) == 0)
		return true;
	snapshot_free(s);
	return false;
}

static void test_tree(void)
{
	struct snapshot_tree t = {0};

	ok(add(&t, "m", NULL, false) && add(&t, "a", "m", false) && add(&t, "z", "m", false) &&
			add(&t, "b", "a", false),
		"a tree of four");
	ok(streq(t.all.items[0]->name, "a") && streq(t.all.items[3]->name, "z"), "sorted by name");
	is_int(snapshot_tree_count_children(&t, "m"), 2, "children, not grandchildren");
	is_int(snapshot_tree_count_children(&t, NULL), 1, "one root");
	ok(snapshot_tree_is_below(&t, "b", "m") && !snapshot_tree_is_below(&t, "m", "b") &&
			!snapshot_tree_is_below(&t, "a", "z"),
		"who is below whom");
	ok(!add(&t, "a", NULL, false) && strstr(err.message, "already exists"), "a name that is taken");
	ok(!add(&t, "c", "nobody", false) && strstr(err.message, "parent nobody for snapshot c not found"),
		"no such parent");
	ok(!add(&t, "c", "c", false) && strstr(err.message, "as its own parent"), "its own parent");
	ok(!add(&t, "m", "b", true) && strstr(err.message, "would create cycle"), "a circle");
	ok(add(&t, "a", "z", true) && t.all.n == 4, "one in another's place");
	ok(snapshot_tree_is_below(&t, "b", "z"), "keeps its children");
	t.current = xstrdup("a");
	snapshot_tree_remove(&t, snapshot_tree_find(&t, "a"));
	ok(t.all.n == 3 && streq(snapshot_tree_find(&t, "b")->parent, "z"), "children go up");
	ok(streq(t.current, "z") && snapshot_tree_get_current(&t), "and so does the current one");
	snapshot_tree_remove(&t, snapshot_tree_find(&t, "z"));
	snapshot_tree_remove(&t, snapshot_tree_find(&t, "m"));
	ok(!t.current && !snapshot_tree_find(&t, "b")->parent, "until there is none above");
	snapshot_tree_fini(&t);
	ok(t.all.n == 0 && !t.current, "and no tree");
}

int main(void)
{
	test_new();
	test_resolve();
	test_refused();
	test_round_trip();
	test_tree();
	return done_testing();
}
