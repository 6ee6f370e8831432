/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Domains: what is live and what is not, what a guest could notice, what is too much. */
#include "disk.h"
#include "domain.h"

#include <malloc.h>
#include <time.h>

#include "buf.h"
#include "strv.h"
#include "tap.h"

#define HEAD                                                                                                 \
	"<name>a</name><uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid><memory>65536</memory>"              \
	"<os><type arch='x86_64' machine='pc-q35-10.0'>hvm</type></os>"
#define DISK                                                                                                 \
	"<disk type='file'><source file='/a.img'/><target dev='vda'/><serial>one</serial>"                   \
	"<alias name='virtio-disk0'/><address type='pci' bus='1'/></disk>"
#define DOMAIN(devices) "<domain type='qemu' id='7'>" HEAD "<devices>" devices "</devices></domain>"

static struct domain *parse(const char *xml, unsigned flags)
{
	struct domain *d = NULL;
	struct error err = ERROR_INIT;

	if (domain_parse(xml, strlen(xml), flags, &d, &err) < 0)
		printf("# %s\n", err.message);
	return d;
}

static bool refused(const char *xml, size_t len, enum error_code code, const char *word)
{
	struct domain *d = NULL;
	struct error err = ERROR_INIT;

	if (domain_parse(xml, len, 0, &d, &err) == 0) {
		domain_free(d);
		printf("# it was accepted\n");
		return false;
	}
	if (err.code == code && strstr(err.message, word) && !strchr(err.message, '\n'))
		return true;
	printf("# code %d: %s\n", err.code, err.message);
	return false;
}

/* ---- live, inactive, secret ---- */

static const char live_xml[] =
	DOMAIN(DISK "<interface type='bridge'><mac address='52:54:00:00:00:01'/><source "
		    "bridge='br0'/><target dev='vnet3'/>"
		    "<model type='virtio'/><alias name='ua-lan'/></interface>"
		    "<serial type='pty'><source path='/dev/pts/5'/></serial><console type='pty'/>"
		    "<channel type='unix'><source mode='bind' path='/r/channel/7-a/org.x'/>"
		    "<target type='virtio' name='org.x' state='connected'/></channel>"
		    "<graphics type='vnc' port='5907' autoport='yes' passwd='geheim'/>");

static void test_live(void)
{
	_cleanup_domain_ struct domain *d = parse(live_xml, DOMAIN_PARSE_LIVE);
	_cleanup_free_ char *live = domain_format(d, 0), *inactive = domain_format(d, DOMAIN_FORMAT_INACTIVE);
	_cleanup_free_ char *migratable = domain_format(d, DOMAIN_FORMAT_MIGRATABLE);
	static const char *const live_only[] = {"id='7'", "<alias name='virtio-disk0'/>", "vnet3",
		"/dev/pts/5", "tty='/dev/pts/5'", "/r/channel/7-a/org.x", "state='connected'", "port='5907'"};

	is_int(d->id, 7, "the id is read from live XML");
	for (size_t i = 0; i < ARRAY_SIZE(live_only); i++) {
		_cleanup_free_ char *name = xasprintf("%s is live", live_only[i]);

		ok(strstr(live, live_only[i]) && !strstr(inactive, live_only[i]) &&
				!strstr(migratable, live_only[i]),
			name);
	}
	ok(strstr(inactive, "<alias name='ua-lan'/>"), "an alias of the user's own stays");
	ok(strstr(inactive, "bus='0x01'") && strstr(migratable, "bus='0x01'"), "addresses stay");
	ok(strstr(inactive, "port='-1' autoport='yes'"), "an automatic port is none without a run");
}

static void test_live_values_are_dropped(void)
{
	_cleanup_domain_ struct domain *d = parse(live_xml, 0);
	_cleanup_free_ char *all = domain_format(d, 0);

	is_int(d->id, -1, "a definition has no id");
	ok(!d->disks.items[0]->info.alias, "nor made aliases");
	ok(!d->nics.items[0]->target, "nor the name of a made tap");
	is_str(d->nics.items[0]->info.alias, "ua-lan", "but those of the user");
	ok(!strstr(all, "/dev/pts/5") && !strstr(all, "/r/channel") && !strstr(all, "connected"),
		"nor paths of a run");
}

static void test_secret(void)
{
	_cleanup_domain_ struct domain *d = parse(live_xml, 0);
	_cleanup_free_ char *open = domain_format(d, DOMAIN_FORMAT_INACTIVE);
	_cleanup_free_ char *secure = domain_format(d, DOMAIN_FORMAT_INACTIVE | DOMAIN_FORMAT_SECURE);

	ok(!strstr(open, "geheim"), "a password is left out");
	ok(strstr(secure, "passwd='geheim'"), "unless it is asked for");
}

static void test_defaults(void)
{
	_cleanup_domain_ struct domain *d = domain_new();
	_cleanup_domain_ struct domain *plain = parse(DOMAIN(""), 0);

	ok(d->id == -1 && d->vcpus == 1 && d->vcpus_current == 1 && d->on_reboot == LIFECYCLE_RESTART,
		"a new domain has its defaults");
	ok(plain->vcpus == 1 && plain->vcpus_current == 1 && plain->current_memory_kib == plain->memory_kib,
		"so has one that says little");
	domain_free(NULL);
}

/* ---- what the guest sees ---- */

static void test_abi(void)
{
	static const char base[] = DOMAIN(DISK);
	static const struct {
		const char *what, *xml, *word; /* word: part of the message */
	} seen[] = {
		{"a serial number",
			DOMAIN("<disk type='file'><source file='/a.img'/><target dev='vda'/>"
			       "<serial>two</serial><address type='pci' bus='1'/></disk>"),
			"element 'serial'"},
		{"an address",
			DOMAIN("<disk type='file'><source file='/a.img'/><target dev='vda'/>"
			       "<serial>one</serial><address type='pci' bus='2'/></disk>"),
			"element 'address'"},
		{"a missing disk", DOMAIN(""), "number of elements 'disk'"},
		{"another device", DOMAIN(DISK "<vsock><cid address='3' auto='no'/></vsock>"),
			"element 'vsock'"},
		{"more memory",
			"<domain type='qemu'><name>a</name><uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid>"
			"<memory>65537</memory><os><type arch='x86_64' machine='pc-q35-10.0'>hvm</type></os>"
			"<devices>" DISK "</devices></domain>",
			"element 'memory'"},
		{"another machine type",
			"<domain type='qemu'><name>a</name><uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid>"
			"<memory>65536</memory><os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>"
			"<devices>" DISK "</devices></domain>",
			"attribute 'machine'"},
		{"a feature",
			"<domain type='qemu'>" HEAD "<features><acpi/></features><devices>" DISK
			"</devices></domain>",
			"element 'acpi'"},
	};

	_cleanup_domain_ struct domain *src = parse(base, 0);
	_cleanup_domain_ struct domain *same =
		parse(DOMAIN("<disk type='block'><driver name='qemu' type='qcow2' cache='none'/><source "
			     "dev='/dev/b'/>"
			     "<target dev='vda'/><serial>one</serial><boot order='1'/><alias name='ua-x'/>"
			     "<address type='pci' bus='1'/></disk><graphics type='vnc'/>"),
			0);
	struct error err = ERROR_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(seen); i++) {
		_cleanup_free_ char *name = xasprintf("a guest would see %s", seen[i].what);
		_cleanup_domain_ struct domain *dst = parse(seen[i].xml, 0);

		ok(domain_check_abi_stable(src, dst, &err) < 0 && err.code == ERROR_UNSUPPORTED_CONFIG &&
				strstr(err.message, seen[i].word),
			name);
		printf("# %s\n", err.message);
	}
	ok(domain_check_abi_stable(src, same, &err) == 0, "paths, caches, names and screens it does not see");
}

/* ---- names ---- */

static void test_names(void)
{
	static const char *const bad[] = {
		"", ".", "..", "...", ".a", "a/b", "a\nb", "a\tb", "\x7f", "\xff\xfe", "/"};
	static const char *const good[] = {"a", "a.b", "a b", "grüße", "-", "a'\"<&>"};
	char edge[DOMAIN_NAME_MAX + 2];
	struct error err = ERROR_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		ok(domain_check_name(bad[i], &err) < 0 && err.code == ERROR_XML, "a bad name is refused");
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		ok(domain_check_name(good[i], &err) == 0, good[i]);
	memset(edge, 'x', sizeof(edge) - 1);
	edge[sizeof(edge) - 1] = '\0';
	ok(domain_check_name(edge, &err) < 0, "a name of 241 bytes is refused");
	edge[DOMAIN_NAME_MAX] = '\0';
	ok(domain_check_name(edge, &err) == 0, "one of 240 is not");
}

/* ---- too much ---- */

static char *repeat(const char *head, const char *part, size_t n, const char *tail, size_t *ret_len)
{
	struct buf b = {0};

	buf_adds(&b, head);
	for (size_t i = 0; i < n; i++)
		buf_adds(&b, part);
	buf_adds(&b, tail);
	*ret_len = b.len;
	return buf_take(&b);
}

#define OPEN  "<domain type='qemu'>" HEAD "<devices>"
#define CLOSE "</devices></domain>"

static void test_too_much(void)
{
	size_t len;
	_cleanup_free_ char *big = repeat(OPEN, "<!-- nothing -->", 10u << 16, CLOSE, &len);
	clock_t start;

	ok(refused(big, len, ERROR_XML, "larger than"), "10 MB are refused");
	free(big);
	big = repeat("<domain type='qemu'>", "<os>", 100000, "", &len);
	ok(refused(big, len, ERROR_XML, "nested too deeply"), "so is deep nesting");
	free(big);
	start = clock();
	big = repeat(OPEN, "<rng><backend model='random'/></rng>", 100000, CLOSE, &len);
	ok(refused(big, len, ERROR_XML, "more than 1024 elements <rng>"), "so are 100000 devices");
	free(big);
	big = repeat(OPEN, "<sound/>", 400000, CLOSE, &len);
	ok(refused(big, len, ERROR_UNSUPPORTED_CONFIG, "element <sound>"), "or 400000 unknown elements");
	free(big);
	big = repeat("<domain type='qemu'>" HEAD, "<name>a</name>", 200000, "</domain>", &len);
	ok(refused(big, len, ERROR_XML, "more than once"), "or 200000 names");
	free(big);
	big = repeat("<domain type='qemu' ", "x", 40000, "='1'>" HEAD "</domain>", &len);
	ok(refused(big, len, ERROR_UNSUPPORTED_CONFIG, "attribute 'xxx"),
		"a name of 40 kB is cut in the message");
	free(big);
	big = repeat(
		"<domain type='qemu'>" HEAD "<description>", "'", 1u << 20, "</description></domain>", &len);
	ok(refused(big, len, ERROR_XML, "too long"), "or what grows beyond the limit when it is written");
	ok((clock() - start) / CLOCKS_PER_SEC < 5, "all that in time");
}

static void test_costs(void)
{
	_cleanup_domain_ struct domain *first = parse(live_xml, 0); /* libxml2's own start */
	size_t before = mallinfo2().uordblks, per_domain;
	_cleanup_domain_ struct domain *d = parse(live_xml, 0);

	per_domain = mallinfo2().uordblks - before;
	printf("# %zu bytes\n", per_domain);
	ok(first && d && per_domain < 16 * 1024, "a domain takes less than 16 KiB");
}

static struct disk *new_disk(const char *target, const char *rest)
{
	_cleanup_free_ char *xml = xasprintf(
		"<disk type='file'><source file='/s/%s'/><target dev='%s'/>%s</disk>", target, target, rest);
	struct disk *disk = NULL;
	struct error err = ERROR_INIT;

	if (disk_parse(xml, 0, "attaching", &disk, &err) < 0)
		printf("# %s\n", err.message);
	return disk;
}

static void test_one_disk(void)
{
	_cleanup_domain_ struct domain *d = parse(live_xml, 0);
	_cleanup_(disk_free_p) struct disk *twice = NULL, *copy = NULL;
	_cleanup_free_ char *target = NULL, *xml = NULL;
	struct disk *disk = new_disk("vdz", "<alias name='ua-z'/>");
	size_t n = d->disks.n;
	struct error err = ERROR_INIT;

	ok(domain_add_disk(d, disk, &err) == 0 && d->disks.n == n + 1 && domain_find_disk(d, "vdz") == disk &&
			domain_find_disk_by_alias(d, "ua-z") == disk,
		"a disk comes");
	domain_number_disks(d);
	ok(d->disks.items[0]->node == n + 1 && d->disks.items[n]->node == 1,
		"disks are numbered from the last one down");
	twice = new_disk("vdz", "");
	ok(domain_add_disk(d, twice, &err) < 0 && strstr(err.message, "target vdz already exists"),
		"not twice");
	replace_string(&twice->target, "vdy");
	replace_string(&twice->info.alias, "ua-z");
	ok(domain_add_disk(d, twice, &err) < 0 && strstr(err.message, "same alias") && d->disks.n == n + 1,
		"nor with what another device has");
	copy = disk_copy(disk);
	domain_remove_disk(d, disk);
	ok(d->disks.n == n && !domain_find_disk(d, "vdz"), "and goes");
	replace_string(&twice->info.alias, NULL);
	disk = TAKE_PTR(twice);
	ok(domain_add_disk(d, disk, &err) == 0, "another one comes");
	domain_number_disks(d);
	ok(disk->node == n + 2, "with a number that was never used while the others are there");
	xml = disk_format(copy, 0);
	ok(strstr(xml, "<alias name='ua-z'/>") && disk_parse_target(xml, "detaching", &target, &err) == 0 &&
			streq(target, "vdz"),
		"a disk is written, and found by its target");
	ok(disk_parse("<interface/>", 0, "attaching", &disk, &err) < 0 &&
			err.code == ERROR_UNSUPPORTED_CONFIG &&
			strstr(err.message, "attaching <interface> is not supported"),
		"other devices are refused by name");
}

/* A disk of three images between two of one: libvirt gives the last disk its number first, and what they stand on comes behind all. */
static void test_chain(void)
{
	static const char xml[] =
		"<domain type='kvm'><name>c</name><memory>1</memory><os><type>hvm</type></os><devices>"
		"<disk type='file'><driver type='qcow2'/><source file='/top'/>"
		"<backingStore type='file'><format type='qcow2'/><source file='/middle'/>"
		"<backingStore type='block'><format type='raw'/><source dev='/dev/base'/><backingStore/>"
		"</backingStore></backingStore><target dev='vda'/></disk>"
		"<disk type='file'><source file='/raw' index='9'/><target dev='vdb'/></disk>"
		"<disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>"
		"</devices></domain>";
	_cleanup_domain_ struct domain *d = parse(xml, 0), *live = NULL;
	_cleanup_free_ char *text = NULL, *inactive = NULL;
	struct disk *disk;

	domain_number_disks(d);
	disk = domain_find_disk(d, "vda");
	ok(domain_find_disk(d, "vdb")->node == 2 && disk->node == 3 && disk->backing.items[0].node == 4 &&
			disk->backing.items[1].node == 5,
		"a chain is numbered from the top down");
	text = domain_format(d, 0);
	live = parse(text, DOMAIN_PARSE_LIVE);
	disk = domain_find_disk(live, "vda");
	ok(strstr(text, "<source file='/top' index='3'/>") &&
			strstr(text, "<backingStore type='block' index='5'>") && disk->node == 3 &&
			disk->backing.n == 2 && disk->backing.items[1].node == 5 && disk->backing_known,
		"... which is read and written in live XML");
	inactive = domain_format(live, DOMAIN_FORMAT_INACTIVE);
	ok(!strstr(inactive, "backingStore") && !strstr(inactive, "index"),
		"in inactive XML only what a user has written");
	domain_clear_nodes(live);
	disk_clear_backing(disk);
	domain_number_disks(live);
	ok(disk->node == 3 && domain_find_disk(live, "vdb")->node == 2, "it can be forgotten");
	disk->node = 0;
	domain_number_disks(live);
	ok(disk->node == 4, "no number is given twice");
}

/* As deep as libvirt goes, and one more. */
static void test_long_chain(void)
{
	for (int n = DISK_CHAIN_MAX; n <= DISK_CHAIN_MAX + 1; n++) {
		_cleanup_(buf_fini) struct buf xml = {0};
		struct disk *disk = NULL;
		struct error err = ERROR_INIT;

		buf_adds(&xml, "<disk type='file'><driver type='qcow2'/><source file='/x'/>");
		for (int i = 0; i < n; i++)
			buf_adds(&xml, "<backingStore type='file'><format type='qcow2'/><source file='/y'/>");
		for (int i = 0; i < n; i++)
			buf_adds(&xml, "</backingStore>");
		buf_adds(&xml, "<target dev='vda'/></disk>");
		if (disk_parse(xml.data, 0, "attaching", &disk, &err) == 0)
			ok(n == DISK_CHAIN_MAX && disk->backing.n == DISK_CHAIN_MAX,
				"200 images are a chain");
		else
			ok(n > DISK_CHAIN_MAX && strstr(err.message, "200"), "201 are not");
		disk_free(disk);
	}
}

int main(void)
{
	test_chain();
	test_long_chain();
	test_one_disk();
	test_defaults();
	test_live();
	test_live_values_are_dropped();
	test_secret();
	test_abi();
	test_names();
	test_too_much();
	test_costs();
	return done_testing();
}
