/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A host made of files, and the documents about it. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "enums.h"
#include "file.h"
#include "host.h"
#include "tap.h"
#include "xml.h"

/* What the test itself needs failed. */
#define BAIL_OUT(...) (printf("Bail out! " __VA_ARGS__), putchar('\n'), exit(1))

static char root[] = "/tmp/host-XXXXXX";
static int root_fd;

static void put(const char *path, const char *text)
{
	_cleanup_free_ char *full = xasprintf("%s/%s", root, path);
	_cleanup_close_ int fd = -1;
	char *slash = strrchr(full, '/');

	*slash = '\0';
	close(dir_open_or_make(full, 0755, NULL));
	*slash = '/';
	fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || write_full(fd, text, strlen(text)) < 0)
		BAIL_OUT("cannot write %s", full);
}

static void put_cpu(int id, const char *socket, int core, const char *siblings)
{
	_cleanup_free_ char *base = xasprintf("sys/devices/system/cpu/cpu%d/topology", id);
	_cleanup_free_ char *package = xasprintf("%s/physical_package_id", base);
	_cleanup_free_ char *core_file = xasprintf("%s/core_id", base);
	_cleanup_free_ char *threads = xasprintf("%s/thread_siblings_list", base);
	_cleanup_free_ char *number = xasprintf("%d\n", core);

	put(package, socket);
	put(core_file, number);
	put(threads, siblings);
}

/* Two sockets, each a node with two cores of two threads. */
static void make_host(void)
{
	static const char *const siblings[] = {"0,4\n", "1,5\n", "2,6\n", "3,7\n"};

	put("sys/devices/system/cpu/online", "0-7\n");
	put("sys/devices/system/cpu/present", "0-8\n");
	for (int i = 0; i < 8; i++)
		put_cpu(i, i % 4 < 2 ? "0\n" : "1\n", i % 2, siblings[i % 4]);
	put("sys/devices/system/node/online", "0-1\n");
	put("sys/devices/system/node/node0/cpulist", "0-1,4-5\n");
	put("sys/devices/system/node/node1/cpulist", "2-3,6-7\n");
	put("sys/devices/system/node/node0/distance", "10 21\n");
	put("sys/devices/system/node/node1/distance", "21 10\n");
	put("sys/devices/system/node/node0/meminfo", "Node 0 MemTotal:  1000 kB\nNode 0 MemFree:  400 kB\n");
	put("sys/devices/system/node/node1/meminfo", "Node 1 MemTotal:  2000 kB\nNode 1 MemFree:  500 kB\n");
	put("proc/meminfo",
		"MemTotal:  3100 kB\nMemFree:  900 kB\nBuffers: 7 kB\nSwapCached: 1 kB\nCached:  8 kB\n");
	put("proc/stat", "cpu  10 1 20 30 4 1 2 0 0 0\ncpu0 5 0 10 15 2 0 1 0 0 0\ncpu1 5 1 10 15 2 1 1 0 0 "
			 "0\nintr 5\n");
	put("proc/cpuinfo",
		"processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 85\nmodel name\t: X\n"
		"stepping\t: 4\nmicrocode\t: 0x10\ncpu MHz\t\t: 2300.123\n");
}

static void test_node(struct host *h)
{
	struct host_node_info info;
	struct host_cpu_map map;
	struct error err = ERROR_INIT;
	uint64_t free_memory, cells[4];
	uint32_t n;

	ok(host_get_node_info(h, &info, &err) == 0, "node information");
	is_int(info.cpus, 8, "CPUs");
	ok(info.nodes == 2 && info.sockets == 1 && info.cores == 2 && info.threads == 2,
		"sockets are those of one node");
	is_int(info.mhz, 2300, "MHz");
	is_int((int64_t)info.memory_kib, 3000, "memory is the nodes'");
	is_str(info.model, "x86_64", "architecture");

	ok(host_get_cpu_map(h, &map, &err) == 0 && map.n_present == 9 && map.n_online == 8, "one CPU is off");
	ok(map.online[0] == 0xff && map.online[1] == 0, "it has no bit");

	ok(host_get_free_memory(h, &free_memory, &err) == 0 && free_memory == 900 * 1024, "free memory");
	ok(host_get_cells_free_memory(h, 0, 4, cells, &n, &err) == 0 && n == 2 && cells[1] == 500 * 1024,
		"of each node");
	ok(host_get_cells_free_memory(h, 7, 4, cells, &n, &err) < 0, "a node that is not there");

	/* One thread taken away: what does not multiply out is one row. */
	put("sys/devices/system/cpu/online", "0-6\n");
	ok(host_get_node_info(h, &info, &err) == 0 && info.nodes == 1 && info.sockets == 1 &&
			info.cores == 7 && info.threads == 1,
		"an uneven host is flat");
	put("sys/devices/system/cpu/online", "0-7\n");
}

static void test_stats(struct host *h)
{
	uint64_t tick = 1000000000ull / (uint64_t)sysconf(_SC_CLK_TCK);
	struct host_stat stats[HOST_STATS_MAX];
	struct error err = ERROR_INIT;
	size_t n;

	ok(host_get_cpu_stats(h, -1, stats, &n, &err) == 0 && n == 4, "times of all CPUs");
	ok(streq(stats[0].name, "kernel") && stats[0].value == 23 * tick, "kernel with interrupts");
	ok(streq(stats[1].name, "user") && stats[1].value == 11 * tick, "user with nice");
	ok(stats[2].value == 30 * tick && stats[3].value == 4 * tick, "idle and waiting");
	ok(host_get_cpu_stats(h, 1, stats, &n, &err) == 0 && stats[0].value == 12 * tick, "times of one CPU");
	ok(host_get_cpu_stats(h, 2, stats, &n, &err) < 0 && err.code == ERROR_INVALID_ARGUMENT,
		"of one that is not there");

	ok(host_get_memory_stats(h, -1, stats, &n, &err) == 0 && n == 4 && stats[0].value == 3100 &&
			stats[3].value == 8,
		"memory of the host");
	ok(host_get_memory_stats(h, 1, stats, &n, &err) == 0 && n == 2 && stats[1].value == 500,
		"memory of a node");
	ok(host_get_memory_stats(h, 2, stats, &n, &err) < 0, "of one that is not there");
}

static const char *find_uuid(struct host *h, const char *configured)
{
	static char text[UUID_TEXT_MAX];
	struct error err = ERROR_INIT;
	uint8_t uuid[16];

	if (host_find_uuid(h, configured, root_fd, uuid, &err) < 0)
		return "error";
	uuid_format(uuid, text);
	return text;
}

static void test_uuid(struct host *h)
{
	_cleanup_free_ char *kept = NULL;

	kept = xstrdup(find_uuid(h, NULL));
	ok(strlen(kept) == 36, "one is made up");
	is_str(find_uuid(h, NULL), kept, "and kept");
	put("sys/class/dmi/id/product_uuid", "03000200-0400-0500-0006-000700080009\n");
	is_str(find_uuid(h, NULL), kept, "the firmware's sample value is not used");
	put("sys/class/dmi/id/product_uuid", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF\n");
	is_str(find_uuid(h, NULL), kept, "nor one that was never set");
	put("sys/class/dmi/id/product_uuid", "4C4C4544-0051-3510-8052-B7C04F333133\n");
	is_str(find_uuid(h, NULL), "4c4c4544-0051-3510-8052-b7c04f333133", "but one of its own");
	is_str(find_uuid(h, "11111111-2222-3333-4444-555555555555"), "11111111-2222-3333-4444-555555555555",
		"the configuration comes first");
	is_str(find_uuid(h, "me"), "error", "and must be one");
}

static struct qemu_capabilities *load_golden(const char *name)
{
	_cleanup_free_ char *path = xasprintf(GOLDEN "/%s", name), *text = NULL;
	_cleanup_close_ int dirfd = open(GOLDEN, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	_cleanup_json_ json *o = NULL;
	struct qemu_capabilities *caps = NULL;
	struct error err = ERROR_INIT;
	size_t len;

	if (file_read(dirfd, name, 1 << 20, &text, &len, &err) < 0 || json_parse(text, len, &o, &err) < 0 ||
		capabilities_decode(o, &caps, &err) < 0)
		BAIL_OUT("%s: %s", path, err.message);
	return caps;
}

static void test_capabilities(struct host *h, struct qemu_capabilities *caps)
{
	_cleanup_free_ char *xml = NULL, *bare = NULL;
	_cleanup_xml_ xmlDoc *doc = NULL;
	struct error err = ERROR_INIT;
	uint8_t uuid[16] = {1};

	ok(host_format_capabilities(h, uuid, caps, &xml, &err) == 0 &&
			xml_parse(xml, strlen(xml), "capabilities", &doc, &err) == 0,
		"capabilities are well-formed");
	ok(strstr(xml, "<uuid>01000000-0000-0000-0000-000000000000</uuid>"), "with the host's UUID");
	ok(strstr(xml, "<vendor>Intel</vendor>\n      <microcode version='16'/>\n"
		       "      <signature family='6' model='85' stepping='4'/>\n"
		       "      <topology sockets='1' dies='1' clusters='1' cores='2' threads='2'/>"),
		"its processor");
	ok(strstr(xml, "<cells num='2'>") && strstr(xml, "<memory unit='KiB'>2000</memory>") &&
			strstr(xml, "<sibling id='1' value='21'/>") &&
			strstr(xml, "<cpu id='6' socket_id='1' die_id='0' core_id='0' siblings='2,6'/>"),
		"its nodes");
	ok(strstr(xml, "<machine canonical='pc-q35-10.0' maxCpus='4096'>q35</machine>"), "machine types");
	ok(strstr(xml, "<domain type='kvm'/>"), "KVM when it is usable");
	caps->kvm_usable = false;
	free(TAKE_PTR(xml));
	ok(host_format_capabilities(h, uuid, caps, &xml, &err) == 0 && !strstr(xml, "kvm"),
		"not when it is not");
	caps->kvm_usable = true;
	ok(host_format_capabilities(h, uuid, NULL, &bare, &err) == 0 && !strstr(bare, "<guest>"),
		"no emulator, no guests");
	is_int(host_get_max_vcpus(caps), 4096, "most processors of a guest");
}

/* Every value of the enumeration must be a word of the domain XML. */
static void check_words(
	const char *xml, const char *device, const char *enumeration, const struct enum_names *names)
{
	_cleanup_free_ char *open_tag = xasprintf("<%s supported='yes'>", device);
	_cleanup_free_ char *enum_tag = xasprintf("<enum name='%s'>", enumeration);
	const char *p = strstr(xml, open_tag), *end;
	unsigned value, n = 0;

	p = p ? strstr(p, enum_tag) : NULL;
	end = p ? strstr(p, "</enum>") : NULL;
	while (p && (p = strstr(p, "<value>")) && p < end) {
		_cleanup_free_ char *word = xstrndup(p + 7, strcspn(p + 7, "<"));

		n++;
		p++;
		if (!enum_parse(names, word, &value))
			printf("# not a word of ours: %s\n", word);
		else
			n |= 1u << 16;
	}
	ok((n & 0xffff) > 0 && n >> 16, enumeration);
}

static void test_domain_capabilities(struct qemu_capabilities *caps)
{
	_cleanup_free_ char *q35 = NULL, *pc = NULL, *old = NULL;
	struct error err = ERROR_INIT;
	_cleanup_xml_ xmlDoc *doc = NULL;
	struct qemu_capabilities *caps72;

	ok(host_format_domain_capabilities(caps, NULL, "q35", "kvm", &q35, &err) == 0 &&
			xml_parse(q35, strlen(q35), "domainCapabilities", &doc, &err) == 0,
		"domain capabilities are well-formed");
	ok(strstr(q35, "<domain>kvm</domain>\n  <machine>pc-q35-10.0</machine>\n  <arch>x86_64</arch>\n  "
		       "<vcpu max='4096'/>"),
		"they are those of the machine");
	ok(strstr(q35, "<mode name='host-passthrough' supported='yes'>"), "with KVM the host's processor");
	ok(strstr(q35, ">EPYC</model>") && !strstr(q35, ">max</model>"), "CPU models");
	ok(!strstr(q35, "<value>ide</value>") && !strstr(q35, "<value>spice</value>"),
		"not what is not there");
	ok(strstr(q35, "<hostdev supported='no'/>"), "what godwit does not know is said to be unsupported");
	check_words(q35, "disk", "diskDevice", &disk_device_names);
	check_words(q35, "disk", "bus", &disk_bus_names);
	check_words(q35, "graphics", "type", &graphics_type_names);
	check_words(q35, "video", "modelType", &video_type_names);
	check_words(q35, "rng", "backendModel", &rng_backend_names);
	check_words(q35, "tpm", "model", &tpm_model_names);
	check_words(q35, "channel", "type", &chardev_backend_names);
	check_words(q35, "panic", "model", &panic_names);

	ok(host_format_domain_capabilities(caps, "x86_64", NULL, "qemu", &pc, &err) == 0 &&
			strstr(pc, "<machine>pc-i440fx-10.0</machine>") && strstr(pc, "<value>ide</value>") &&
			strstr(pc, "<mode name='host-passthrough' supported='no'/>"),
		"without a name the machine is pc; without KVM no host processor");
	ok(host_format_domain_capabilities(caps, "sparc", NULL, NULL, &old, &err) < 0,
		"another architecture");
	ok(host_format_domain_capabilities(caps, NULL, "pdp-11", NULL, &old, &err) < 0, "another machine");
	ok(host_format_domain_capabilities(caps, NULL, NULL, "xen", &old, &err) < 0, "another hypervisor");
	caps->kvm_usable = false;
	ok(host_format_domain_capabilities(caps, NULL, NULL, "kvm", &old, &err) < 0 &&
			err.code == ERROR_UNSUPPORTED_CONFIG,
		"KVM where it is not usable");
	caps72 = load_golden("capabilities-7.2.json");
	ok(host_format_domain_capabilities(caps72, NULL, "q35", NULL, &old, &err) == 0 &&
			strstr(old, "<machine>pc-q35-7.2</machine>"),
		"QEMU 7.2");
	capabilities_free(caps72);
}

static void test_sysinfo(struct host *h)
{
	_cleanup_free_ char *xml = NULL;

	put("sys/class/dmi/id/sys_vendor", "A & B\n");
	put("sys/class/dmi/id/chassis_serial", "\n");
	xml = host_format_sysinfo(h);
	ok(strstr(xml, "<entry name='manufacturer'>A &amp; B</entry>") && !strstr(xml, "chassis"),
		"firmware's words");
}

static void test_empty_host(void)
{
	_cleanup_free_ char *empty = xasprintf("%s/empty", root), *xml = NULL;
	struct host_node_info info;
	struct host_stat stats[HOST_STATS_MAX];
	struct host *h = NULL;
	uint8_t uuid[16] = {0};
	uint64_t bytes;
	size_t n;

	mkdir(empty, 0755);
	ok(host_open("/nonexistent/root", &h, NULL) < 0, "a root that is not there");
	if (host_open(empty, &h, NULL) < 0)
		BAIL_OUT("open");
	ok(host_get_node_info(h, &info, NULL) < 0 && host_get_free_memory(h, &bytes, NULL) < 0 &&
			host_get_cpu_stats(h, -1, stats, &n, NULL) < 0 &&
			host_format_capabilities(h, uuid, NULL, &xml, NULL) < 0,
		"without /proc and /sys everything is an error");
	host_close(h);
}

int main(void)
{
	struct qemu_capabilities *caps = load_golden("capabilities-10.0.json");
	struct error err = ERROR_INIT;
	struct host *h = NULL;
	int tmp;

	if (!mkdtemp(root) || host_open(root, &h, &err) < 0)
		BAIL_OUT("%s", err.message);
	root_fd = open(root, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	make_host();
	test_node(h);
	test_stats(h);
	test_uuid(h);
	test_capabilities(h, caps);
	test_domain_capabilities(caps);
	test_sysinfo(h);
	test_empty_host();
	capabilities_free(caps);
	host_close(h);
	close(root_fd);
	tmp = open("/tmp", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	is_int(dir_remove(tmp, root + strlen("/tmp/"), &err), 0, "own traces removed");
	close(tmp);
	return done_testing();
}
