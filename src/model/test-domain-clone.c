/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A clone's description: what is its own, what stays, and what exists but once. */
#include "domain-clone.h"

#include "strv.h"
#include "tap.h"

#define HEAD                                                                                                 \
	"<domain type='qemu'><name>vm</name><uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid>"               \
	"<memory>65536</memory><os><type arch='x86_64' machine='pc-q35-10.0'>hvm</type>%s</os><devices>"

static struct domain *parse(const char *os, const char *devices)
{
	_cleanup_free_ char *head = xasprintf(HEAD, os),
			    *xml = xasprintf("%s%s</devices></domain>", head, devices);
	struct domain *d = NULL;
	struct error err = ERROR_INIT;

	if (domain_parse(xml, strlen(xml), 0, &d, &err) < 0)
		printf("# %s\n", err.message);
	return d;
}

static const char devices[] =
	"<disk type='file'><driver name='qemu' type='qcow2'/><source file='/v/a.qcow2'/><target "
	"dev='vda'/></disk>"
	"<disk type='block'><source dev='/dev/sdx'/><target dev='vdb'/></disk>"
	"<disk type='file'><source file='/v/ro.img'/><target dev='vdc'/><readonly/></disk>"
	"<disk type='file' device='cdrom'><source file='/v/cd.iso'/><target dev='sda'/></disk>"
	"<disk type='file' device='cdrom'><target dev='sdb'/></disk>"
	"<interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br0'/><target "
	"dev='own0'/></interface>"
	"<interface type='bridge'><mac address='52:54:00:00:00:02'/><source bridge='br0'/><link "
	"state='down'/></interface>"
	"<interface type='user'><mac address='52:54:00:00:00:03'/></interface>"
	"<serial type='file'><source path='/log/vm.console'/><log file='/log/vmlog'/></serial>"
	"<serial type='unix'><source mode='connect' path='/run/service-vm'/></serial>"
	"<channel type='unix'><source mode='bind' path='/run/vm/agent'/><target type='virtio' "
	"name='org.x'/></channel>"
	"<channel type='unix'><target type='virtio' name='org.y'/></channel>"
	"<graphics type='vnc' port='5907' autoport='no' passwd='geheim'/>";

static bool file_is(const struct clone_files *files, size_t i, const char *name, const char *from,
	bool is_overlay, enum disk_format format)
{
	const struct clone_file *f = &files->items.items[i];

	return i < files->items.n && streq(f->name, name) && streq(f->from, from) &&
	       f->is_overlay == is_overlay && (!is_overlay || f->format == format);
}

static void check_disks(const struct domain *d, const struct clone_files *files)
{
	const struct disk *first = d->disks.items[0], *second = d->disks.items[1];

	is_str(first->source, "/clones/1/vda.qcow2", "a disk of its own");
	ok(first->format == DISK_FORMAT_QCOW2 &&
			file_is(files, 0, "vda.qcow2", "/v/a.qcow2", true, DISK_FORMAT_QCOW2),
		"over the one that was");
	ok(streq(second->source, "/clones/1/vdb.qcow2") && second->source_type == DISK_SOURCE_FILE &&
			second->format == DISK_FORMAT_QCOW2 &&
			file_is(files, 1, "vdb.qcow2", "/dev/sdx", true, DISK_FORMAT_RAW),
		"a file over a device");
	is_str(d->disks.items[2]->source, "/v/ro.img", "what nobody writes to stays");
	is_str(d->disks.items[3]->source, "/v/cd.iso", "and so does a CD");
	ok(!d->disks.items[4]->source, "and an empty drive");
}

static void test_own(void)
{
	_cleanup_domain_ struct domain *plugged = NULL;
	_cleanup_domain_ struct domain *d = parse(
		"<loader readonly='yes' type='pflash'>/fw/CODE.fd</loader><nvram>/nv/vm_VARS.fd</nvram>",
		devices);
	struct clone_files files = {0};
	struct error err = ERROR_INIT;

	ok(domain_make_clone(d, "vm-2", "/clones/1", &files, &err) == 0, "cloned");
	is_str(d->name, "vm-2", "by its name");
	check_disks(d, &files);
	is_str(d->os.nvram, "/clones/1/nvram", "firmware variables of its own");
	ok(files.items.n == 3 && file_is(&files, 2, "nvram", "/nv/vm_VARS.fd", false, DISK_FORMAT_NONE),
		"a copy; and that is all");
	for (size_t i = 0; i < 3; i++)
		ok(memcmp(d->nics.items[i]->mac, "\x52\x54\0", 3) == 0 &&
				memcmp(d->nics.items[i]->mac + 3, "\0\0", 2) != 0,
			"another MAC address");
	ok(!d->nics.items[0]->target, "no tap of a fixed name");
	is_str(d->serials.items[0]->path, "/log/vm-2.console", "its name in the place of the other");
	is_str(d->serials.items[0]->log_file, "/log/vmlog-vm-2",
		"or behind it, when it was only part of a word");
	is_str(d->serials.items[1]->path, "/run/service-vm", "a service is the same for all");
	is_str(d->channels.items[0]->path, "/run/vm/agent-vm-2", "only the last part of a path changes");
	ok(!d->channels.items[1]->path, "a path that each run chooses");
	ok(d->graphics.items[0]->autoport && d->graphics.items[0]->port == -1,
		"a display looks for its port");
	is_str(d->graphics.items[0]->password, "geheim", "and keeps its password");
	plugged = domain_copy(d);
	is_int(domain_unplug_networks(d), 1, "one cable was in");
	is_int(domain_count_unplugged(d, plugged), 1, "and is told from the one that was out");
	ok(d->nics.items[0]->link == TRISTATE_OFF && d->nics.items[1]->link == TRISTATE_OFF &&
			d->nics.items[2]->link != TRISTATE_OFF,
		"networks of the host are off, its own is not");
	clone_files_fini(&files);
}

static void test_refused(void)
{
	static const struct {
		const char *device, *word;
	} cases[] = {
		{"<tpm><backend type='emulator'/></tpm>", "TPM"},
		{"<lease><lockspace>l</lockspace><key>gold</key><target path='/p'/></lease>", "gold"},
		{"<disk type='file'><source file='/a'/><target dev='vdq'/><shareable/></disk>", "vdq"},
		{"<controller type='scsi' model='virtio-scsi'/><disk type='block' device='lun'><source "
		 "dev='/dev/sdx'/><target dev='sdq' bus='scsi'/></disk>",
			"sdq"},
		{"<interface type='ethernet'><target dev='tap9' managed='no'/></interface>", "tap9"},
		{"<serial type='tcp'><source mode='bind' host='::1' service='77'/></serial>", "TCP"},
		{"<serial type='dev'><source path='/dev/ttyS0'/></serial>", "host"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_domain_ struct domain *d = parse("", cases[i].device);
		struct clone_files files = {0};
		struct error err = ERROR_INIT;

		ok(d && domain_make_clone(d, "c", "/clones/1", &files, &err) < 0 &&
				err.code == ERROR_UNSUPPORTED_CONFIG && strstr(err.message, cases[i].word) &&
				strstr(err.message, "'vm'") && files.items.n == 0,
			cases[i].device);
	}
}

int main(void)
{
	test_own();
	test_refused();
	return done_testing();
}
