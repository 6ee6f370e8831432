/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * XML to command line, held by golden files: tests/golden/argv/NAME.xml -> NAME.argv, or NAME.error when it must be
 * refused. NAME starting with "7.2-" uses that QEMU's capabilities. With GODWIT_GOLDEN_UPDATE=1 in the
 * environment the files are rewritten instead; look at the difference before you commit it.
 *
 *	test-argv                   all of tests/golden/argv
 *	test-argv FILE.xml          print the command line for one description
 *	test-argv --define FILE.xml print the definition we would keep
 */
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "argv.h"
#include "defaults.h"
#include "disk.h"
#include "file.h"
#include "tap.h"

#define GOLDEN	     GODWIT_SOURCE_ROOT "/tests/golden"
#define XML_FILE_MAX (4u << 20)
#define NICS_MAX     64
#define FIRST_TAP_FD 19

static const char *canonical_machine(void *userdata, const char *machine)
{
	const struct qemu_machine *m = capabilities_find_machine(userdata, machine);

	return m ? m->name : NULL;
}

static bool has_device(void *userdata, const char *device)
{
	return capabilities_has_device(userdata, device);
}

static struct qemu_capabilities *load_capabilities(const char *path)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_json_ json *o = NULL;
	struct qemu_capabilities *caps = NULL;
	struct error err = ERROR_INIT;
	size_t len;

	if (file_read(AT_FDCWD, path, XML_FILE_MAX, &text, &len, &err) < 0 ||
		json_parse(text, len, &o, &err) < 0 || capabilities_decode(o, &caps, &err) < 0)
		fprintf(stderr, "# %s: %s\n", path, err.message);
	return caps;
}

/* One argument per line; an option and its value share one. */
static char *format_argv(const struct strv *v)
{
	struct buf b = {0};

	for (size_t i = 0; i < v->n; i++) {
		bool value = i && v->items[i][0] != '-' && v->items[i - 1][0] == '-';

		buf_addf(&b, "%s%s", i == 0 ? "" : value ? " " : "\n", v->items[i]);
	}
	buf_adds(&b, "\n");
	return buf_take(&b);
}

static struct domain_host fixed_host(struct qemu_capabilities *caps)
{
	return (struct domain_host){
		.default_emulator = caps->binary,
		.arch = "x86_64",
		.canonical_machine = canonical_machine,
		.has_device = has_device,
		.userdata = caps,
		.nvram_dir = "/var/lib/godwit/nvram",
		.efi_code = "/usr/share/OVMF/OVMF_CODE_4M.fd",
		.efi_vars = "/usr/share/OVMF/OVMF_VARS_4M.fd",
		.efi_code_secure = "/usr/share/OVMF/OVMF_CODE_4M.ms.fd",
		.efi_vars_secure = "/usr/share/OVMF/OVMF_VARS_4M.ms.fd",
	};
}

/* The definition that would be kept. */
static int to_definition(const char *xml, struct qemu_capabilities *caps, char **ret, struct error *err)
{
	const struct domain_host host = fixed_host(caps);
	_cleanup_domain_ struct domain *d = NULL;

	if (domain_parse(xml, strlen(xml), 0, &d, err) < 0 || domain_fill_defaults(d, &host, err) < 0 ||
		domain_assign_addresses(d, err) < 0)
		return -1;
	*ret = domain_format(d, DOMAIN_FORMAT_SECURE | DOMAIN_FORMAT_INACTIVE);
	return 0;
}

/* Plugged into a running QEMU, each disk would be the same: nothing that is not in the whole command line. */
static int check_disks(struct domain *d, struct qemu_capabilities *caps, const char *all, struct error *err)
{
	domain_number_disks(d);
	VEC_FOREACH (disk, &d->disks) {
		struct strv part = {0}, nodes = {0};
		const char *from = all;

		if (argv_build_disk(d, disk, caps, &part, err) < 0)
			return -1;
		argv_disk_nodes(disk, &nodes);
		ok(part.n == 2 * nodes.n + 2, "the nodes of a disk are named");
		/* Which disk is booted from is said only at the start. */
		for (size_t i = 1; from && i < (d->os.n_boot ? 2 * nodes.n : part.n); i += 2)
			from = strstr(from, part.items[i]);
		ok(from, "... and by itself it is what it is among all");
		strv_fini(&part);
		strv_fini(&nodes);
	}
	return 0;
}

/* Everything that happens to a description between the user and QEMU, twice where it must not matter. */
static int to_argv(const char *xml, struct qemu_capabilities *caps, char **ret, struct error *err)
{
	const struct domain_host host = fixed_host(caps);
	int tap[NICS_MAX];
	const struct argv_context ctx = {
		.run_dir = "/run/godwit/vm",
		.channel_dir = "/run/godwit/vm/channel",
		.monitor_fd = 3,
		.tap_fds = tap,
		.vsock_fd = 5,
		.tpm_socket = "/run/godwit/vm/swtpm-sock",
		.sandbox = true,
		.now = 1700000000,
	};
	_cleanup_domain_ struct domain *again = NULL;
	_cleanup_free_ char *text = NULL;
	struct strv argv = {0};

	for (int i = 0; i < NICS_MAX; i++)
		tap[i] = FIRST_TAP_FD + i;
	if (to_definition(xml, caps, &text, err) < 0)
		return -1;
	if (domain_parse(text, strlen(text), 0, &again, err) < 0 ||
		domain_fill_defaults(again, &host, err) < 0 || domain_assign_addresses(again, err) < 0)
		return error_prefix(err, "second time");
	domain_assign_aliases(again);
	if (argv_build(again, caps, &ctx, &argv, err) < 0)
		return -1;
	*ret = format_argv(&argv);
	strv_fini(&argv);
	return check_disks(again, caps, *ret, err);
}

/* Memory out of a file, in the place of other memory; older QEMUs cannot. */
static void test_mapped_memory(struct qemu_capabilities *caps, bool can)
{
	static const char xml[] = "<domain type='qemu'><name>c</name><memory unit='MiB'>33</memory>"
				  "<os><type arch='x86_64' machine='q35'>hvm</type></os></domain>";
	const struct domain_host host = fixed_host(caps);
	const struct argv_context ctx = {
		.monitor_fd = 3, .memory_path = "/proc/self/fd/7", .memory_offset = 3 << 20};
	_cleanup_domain_ struct domain *d = NULL;
	_cleanup_free_ char *line = NULL;
	struct error err = ERROR_INIT;
	struct strv argv = {0};

	if (domain_parse(xml, strlen(xml), 0, &d, &err) < 0 || domain_fill_defaults(d, &host, &err) < 0 ||
		domain_assign_addresses(d, &err) < 0)
		ok(false, err.message);
	domain_assign_aliases(d);
	if (argv_build(d, caps, &ctx, &argv, &err) == 0)
		line = strv_join(&argv, " ");
	strv_fini(&argv);
	if (!can) {
		ok(!line && err.code == ERROR_UNSUPPORTED_CONFIG && strstr(err.message, "memory"),
			"mapped memory is refused by name");
		return;
	}
	ok(line && strstr(line, "-object {\"qom-type\":\"memory-backend-file\",\"id\":\"pc.ram\","
				"\"size\":34603008,\"mem-path\":\"/proc/self/fd/7\",\"offset\":3145728,"
				"\"share\":false,\"readonly\":true,\"rom\":\"off\"}"),
		"memory is mapped from a file");
	ok(line && !strstr(line, "memory-backend-ram"), "... and is all there is");
}

/* What a snapshot puts on top: the same image as in the whole line, and nothing below it. */
static void test_overlay(struct qemu_capabilities *caps)
{
	static const char xml[] =
		"<domain type='kvm'><name>c</name><memory>1</memory><os><type>hvm</type></os><devices>"
		"<disk type='file'><driver type='qcow2' discard='unmap'/><source file='/new'/>"
		"<backingStore type='file'><format type='raw'/><source file='/old'/><backingStore/>"
		"</backingStore><target dev='vda'/></disk></devices></domain>";
	_cleanup_domain_ struct domain *d = NULL;
	struct error err = ERROR_INIT;
	struct strv out = {0};
	struct disk *disk;

	if (domain_parse(xml, strlen(xml), 0, &d, &err) < 0)
		ok(false, err.message);
	disk = d->disks.items[0];
	disk->node = 5;
	ok(argv_build_overlay(d, disk, caps, &out, &err) == 0 && out.n == 4, "an overlay has two nodes");
	is_str(out.items[1],
		"{\"driver\":\"file\",\"filename\":\"/new\",\"node-name\":\"libvirt-5-storage\","
		"\"auto-read-only\":true,\"discard\":\"unmap\"}",
		"... a file");
	is_str(out.items[3],
		"{\"node-name\":\"libvirt-5-format\",\"read-only\":false,\"discard\":\"unmap\",\"driver\":"
		"\"qcow2\",\"file\":\"libvirt-5-storage\",\"backing\":null}",
		"... and an image on nothing");
	strv_fini(&out);
}

static char *read_text(const char *path)
{
	char *text = NULL;
	size_t len;

	return file_read(AT_FDCWD, path, XML_FILE_MAX, &text, &len, NULL) < 0 ? NULL : text;
}

static void update(const char *name, bool refused, const char *text)
{
	_cleanup_close_ int dir = open(GOLDEN "/argv", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_free_ char *now = xasprintf("%s.%s", name, refused ? "error" : "argv"),
			    *old = xasprintf("%s.%s", name, refused ? "argv" : "error");

	file_replace(dir, now, text, strlen(text), 0644, NULL);
	file_remove(dir, old, false, NULL);
}

static void check(const char *name, struct qemu_capabilities *caps)
{
	_cleanup_free_ char *xml_path = xasprintf(GOLDEN "/argv/%s.xml", name), *xml = read_text(xml_path);
	_cleanup_free_ char *argv = NULL, *want_path = NULL, *want = NULL;
	struct error err = ERROR_INIT;
	bool refused = to_argv(xml, caps, &argv, &err) < 0;

	if (refused)
		argv = xasprintf("%s\n", err.message);
	if (getenv("GODWIT_GOLDEN_UPDATE"))
		update(name, refused, argv);
	want_path = xasprintf(GOLDEN "/argv/%s.%s", name, refused ? "error" : "argv");
	want = read_text(want_path);
	is_str(argv, want, name);
}

static int by_name(const struct dirent *e)
{
	return endswith(e->d_name, ".xml");
}

static int print_one(const char *path, bool definition, struct qemu_capabilities *caps)
{
	_cleanup_free_ char *xml = read_text(path), *text = NULL;
	struct error err = ERROR_INIT;

	if (!xml || !caps || (definition ? to_definition : to_argv)(xml, caps, &text, &err) < 0) {
		fprintf(stderr, "%s: %s\n", path, err.message);
		return 1;
	}
	printf("%s", text);
	return 0;
}

int main(int argc, char **argv)
{
	_cleanup_(capabilities_free_p) struct qemu_capabilities *caps_10 = NULL, *caps_7 = NULL;
	struct dirent **entries;
	int n;

	caps_10 = load_capabilities(GOLDEN "/capabilities-10.0.json");
	if (argc > 1)
		return print_one(argv[argc - 1], streq(argv[1], "--define"), caps_10);
	caps_7 = load_capabilities(GOLDEN "/capabilities-7.2.json");
	ok(caps_10 && caps_7, "capabilities load");
	n = scandir(GOLDEN "/argv", &entries, by_name, alphasort);
	ok(n >= 60, "at least 60 descriptions");
	for (int i = 0; i < n; i++) {
		_cleanup_free_ char *name = xstrndup(entries[i]->d_name, strlen(entries[i]->d_name) - 4);

		check(name, startswith(name, "7.2-") ? caps_7 : caps_10);
		free(entries[i]);
	}
	free(entries);
	test_mapped_memory(caps_10, true);
	test_mapped_memory(caps_7, false);
	test_overlay(caps_10);
	return done_testing();
}
