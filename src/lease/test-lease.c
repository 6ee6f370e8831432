/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a domain must hold, and every move of a lease's state. */
#include "lease-driver.h"
#include "strv.h"
#include "tap.h"

#define HEAD                                                                                                 \
	"<name>vm</name><uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid><memory>65536</memory>"             \
	"<os><type arch='x86_64' machine='pc-q35-10.0'>hvm</type></os>"
#define DOMAIN(more, devices) "<domain type='qemu'>" HEAD more "<devices>" devices "</devices></domain>"
#define DISK(source, target, more)                                                                           \
	"<disk type='file'><source file='" source "'/><target dev='" target "'/>" more "</disk>"
#define LEASE(lockspace, key, target)                                                                        \
	"<lease><lockspace>" lockspace "</lockspace><key>" key "</key><target " target "/></lease>"

/* Published test vectors (FIPS 180-2, RFC 1321), and what sha256sum and md5sum say of a path. */
#define ABC_SHA256 "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define ABC_MD5	   "900150983cd24fb0d6963f7d28e17f72"
#define VM_SHA256  "5743dfacd69501ea333c5878fa63f5604f8cc6dd609c304da04746f71b604620"
#define VM_MD5	   "4e2c1467cb1b5af79fd9081edc87db4e"

static const struct lease_settings none = {.hostname = "h1"};
static const struct lease_settings lockd = {
	.kind = LEASE_KIND_LOCKD, .auto_disk_leases = true, .hostname = "h1"};
static const struct lease_settings sanlock = {.kind = LEASE_KIND_SANLOCK,
	.auto_disk_leases = true,
	.disk_lease_dir = "/leases",
	.host_id = 1,
	.hostname = "h1",
	.lost_program = "/usr/bin/godwit",
	.lost_socket = "/run/godwit/godwit-sock"};

static int plan(
	const struct lease_settings *s, const char *xml, struct lease_set **ret_set, struct error *err)
{
	_cleanup_domain_ struct domain *d = NULL;

	error_clear(err);
	if (domain_parse(xml, strlen(xml), 0, &d, err) < 0) {
		printf("# not even parsed: %s\n", err->message);
		return -2;
	}
	return lease_plan(s, d, ret_set, err);
}

/* The set in one line: "WHAT=FILE[+OFFSET][ shared][ own][ (LOCKSPACE:RESOURCE)]; ...", or the error's message. */
static char *show(const struct lease_settings *s, const char *xml)
{
	_cleanup_(lease_set_free_p) struct lease_set *set = NULL;
	struct error err = ERROR_INIT;
	struct buf b = {0};

	if (plan(s, xml, &set, &err) < 0)
		return xasprintf("%s: %s",
			err.code == ERROR_UNSUPPORTED_CONFIG ? "unsupported" : "wrong error", err.message);
	buf_adds(&b, "");
	VEC_FOREACH (item, &set->items) {
		buf_addf(&b, "%s%s=%s", b.len > 0 ? "; " : "", item.what, item.file);
		if (item.offset)
			buf_addf(&b, "+%llu", (unsigned long long)item.offset);
		buf_addf(&b, "%s%s", item.is_shared ? " shared" : "", item.is_own ? " own" : "");
		if (item.lockspace)
			buf_addf(&b, " (%s:%s)", item.lockspace, item.resource);
	}
	return buf_take(&b);
}

static void is_plan(const struct lease_settings *s, const char *xml, const char *want, const char *name)
{
	_cleanup_free_ char *got = show(s, xml);

	is_str(got ? got : "", want, name);
}

static void test_kinds(void)
{
	enum lease_kind kind = LEASE_KIND_MAX_;

	ok(lease_kind_parse("none", &kind) && kind == LEASE_KIND_NONE, "kind: none");
	kind = LEASE_KIND_MAX_;
	ok(lease_kind_parse("nop", &kind) && kind == LEASE_KIND_NONE, "kind: nop, as in qemu.conf");
	ok(lease_kind_parse("lockd", &kind) && kind == LEASE_KIND_LOCKD, "kind: lockd");
	is_int(lease_kind_parse("sanlock", &kind), lease_driver_sanlock != NULL, "kind: sanlock, if built");
	is_int(kind, lease_driver_sanlock ? LEASE_KIND_SANLOCK : LEASE_KIND_LOCKD,
		"kind: written only on success");
	ok(!lease_kind_parse("", &kind) && !lease_kind_parse("Lockd", &kind) &&
			!lease_kind_parse("virtlockd", &kind),
		"kind: no others");
	for (enum lease_kind k = LEASE_KIND_NONE; k < LEASE_KIND_SANLOCK; k++)
		ok(lease_kind_parse(lease_kind_name(k), &kind) && kind == k, lease_kind_name(k));
	is_str(lease_kind_name(LEASE_KIND_SANLOCK), "sanlock", "kind: its name, built or not");
}

static void test_disks(void)
{
	is_plan(&lockd, DOMAIN("", ""), "", "plan: nothing for no disk");
	is_plan(&lockd, DOMAIN("", DISK("/s/vm.qcow2", "vda", "")), "disk /s/vm.qcow2=/s/vm.qcow2",
		"plan: the disk itself");
	is_plan(&lockd,
		DOMAIN("", DISK("/s/a", "vda", "<readonly/>") DISK("/s/b", "vdb", "<shareable/>")
				   DISK("/s/c", "vdc", "")),
		"disk /s/b=/s/b shared; disk /s/c=/s/c", "plan: read-only needs none, shareable is shared");
	is_plan(&lockd,
		DOMAIN("", "<disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>" DISK(
				   "/s/c", "vdc", "")),
		"disk /s/c=/s/c", "plan: an empty drive needs none");
	is_plan(&none, DOMAIN("", DISK("/s/a", "vda", "")), "", "plan: nothing without a lock manager");
}

static void test_set(void)
{
	_cleanup_(lease_set_free_p) struct lease_set *set = NULL;
	struct error err = ERROR_INIT;
	char uuid[UUID_TEXT_MAX];

	if (!is_int(plan(&lockd, DOMAIN("<on_lockfailure>pause</on_lockfailure>", DISK("/s/a", "vda", "")),
			    &set, &err),
		    0, "plan: on_lockfailure with lockd"))
		return;
	uuid_format(set->uuid, uuid);
	is_str(set->vm_name, "vm", "plan: the VM's name");
	is_str(uuid, "c7a5fdbd-edaf-9455-926a-d65c16db1809", "plan: its UUID");
	ok(set->settings == &lockd && set->on_lost == LOCKFAILURE_PAUSE, "plan: its settings and its wish");
	ok(set->fd == -1 && set->items.items[0].fd == -1, "plan: nothing is open");
}

static void test_file_lockspace(void)
{
	struct lease_settings s = lockd;
	struct lease_item item = {.fd = -1};

	s.file_lockspace_dir = "/locks";
	is_int(lease_driver_lockd->plan_disk(&s, "abc", &item, NULL), 0, "file_lockspace_dir: planned");
	is_str(item.file, "/locks/" ABC_SHA256, "file_lockspace_dir: SHA-256 of the path");
	free(item.file);
	is_plan(&s, DOMAIN("", DISK("/s/vm.qcow2", "vda", "<shareable/>")),
		"disk /s/vm.qcow2=/locks/" VM_SHA256 " shared own", "file_lockspace_dir: of a domain");
	is_plan(&s, DOMAIN("", LEASE("area", "key", "path='/l'")),
		"lease 'key' of lockspace 'area'=/l/area/key",
		"file_lockspace_dir: not for a <lease>, whose file is its user's");
}

static void test_elements(void)
{
	static const char one[] = DOMAIN("", DISK("/s/a", "vda", "") LEASE("area", "key", "path='/l'")),
			  far[] = DOMAIN("", LEASE("area", "key", "path='/l' offset='512'"));

	is_plan(&lockd, one, "disk /s/a=/s/a; lease 'key' of lockspace 'area'=/l/area/key",
		"<lease>: beside the disk");
	is_plan(&none, one,
		"unsupported: domain 'vm' has a <lease>, but there is no lock_manager in godwit.conf",
		"<lease>: not without a lock manager");
	is_plan(&lockd, far,
		"unsupported: lease 'key' of lockspace 'area' has offset 512: "
		"the lock manager 'lockd' knows only offset 0",
		"<lease>: lockd knows no offset");
}

static void test_no_auto_leases(void)
{
	static const char disk[] = DOMAIN("", DISK("/s/a", "vda", "")),
			  with[] = DOMAIN("", DISK("/s/a", "vda", "") LEASE("area", "key", "path='/l'")),
			  harmless[] = DOMAIN(
				  "", DISK("/s/a", "vda", "<readonly/>") DISK("/s/b", "vdb", "<shareable/>"));
	struct lease_settings s = lockd;

	s.auto_disk_leases = false;
	is_plan(&s, disk, "", "auto_disk_leases=0: a disk is its owner's affair");
	is_plan(&s, with, "lease 'key' of lockspace 'area'=/l/area/key",
		"auto_disk_leases=0: only the <lease>");
	s.require_lease_for_disks = true;
	is_plan(&s, disk,
		"unsupported: domain 'vm' writes to disk /s/a and has no <lease> (require_lease_for_disks)",
		"require_lease_for_disks: refused without");
	is_plan(&s, with, "lease 'key' of lockspace 'area'=/l/area/key",
		"require_lease_for_disks: a <lease> does");
	is_plan(&s, harmless, "", "require_lease_for_disks: not for what nobody writes alone");
	s.auto_disk_leases = true;
	is_plan(&s, disk, "disk /s/a=/s/a", "require_lease_for_disks: means nothing beside auto_disk_leases");
}

/* ---- sanlock ---- */

/* "aaa...", in one of four buffers. */
static const char *many(size_t n)
{
	static char text[4][2048];
	static size_t used;
	char *p = text[used++ % 4];

	memset(p, 'a', n);
	p[n] = '\0';
	return p;
}

static int plan_long(const struct lease_settings *s, size_t lockspace, size_t key, size_t path)
{
	_cleanup_free_ char *xml = xasprintf(
		DOMAIN("", LEASE("%s", "%s", "path='/%s'")), many(lockspace), many(key), many(path - 1));
	_cleanup_(lease_set_free_p) struct lease_set *set = NULL;
	struct error err = ERROR_INIT;
	int r = plan(s, xml, &set, &err);

	if (r == -1 && (err.code != ERROR_UNSUPPORTED_CONFIG ||
			       !strstr(err.message, "names of sanlock have at most 47 bytes, paths 1023")))
		printf("# %s\n", err.message), r = -2;
	return r;
}

#define ON_LOST(action) DOMAIN("<on_lockfailure>" action "</on_lockfailure>", DISK("/s/vm.qcow2", "vda", ""))

static void test_on_lockfailure(void)
{
	static const char *const fine[] = {ON_LOST("poweroff"), ON_LOST("restart"), ON_LOST("pause")};
	static const char planned[] =
		"disk /s/vm.qcow2=/leases/" VM_MD5 " own (__LIBVIRT__DISKS__:" VM_MD5 ")",
			  too_long[] = "unsupported: domain 'vm': <on_lockfailure> cannot be honoured: '";
	_cleanup_free_ char *long_socket = NULL, *long_program = NULL;
	struct lease_settings s = sanlock;

	for (size_t i = 0; i < ARRAY_SIZE(fine); i++)
		is_plan(&sanlock, fine[i], planned, "sanlock: on_lockfailure");
	is_plan(&sanlock, ON_LOST("ignore"),
		"unsupported: domain 'vm': <on_lockfailure>ignore</on_lockfailure> "
		"cannot be had with sanlock, which ends whoever ignores it",
		"sanlock: on_lockfailure=ignore");

	s.lost_socket = many(100);
	long_socket = show(&s, ON_LOST("pause"));
	ok(startswith(long_socket, too_long), "sanlock: its program's arguments are too long");
	is_plan(&s, ON_LOST("poweroff"), planned, "sanlock: which matters only if it is run");
	s = sanlock;
	s.lost_program = many(128);
	long_program = show(&s, ON_LOST("restart"));
	ok(startswith(long_program, too_long), "sanlock: its program's path is too long");
	s.lost_program = many(127);
	is_plan(&s, ON_LOST("restart"), planned, "sanlock: just not too long");
}

static void test_sanlock(void)
{
	struct lease_item item = {.fd = -1};

	if (!lease_driver_sanlock) {
		ok(true, "sanlock: # SKIP built without it");
		return;
	}
	is_int(lease_driver_sanlock->plan_disk(&sanlock, "abc", &item, NULL), 0, "sanlock: planned");
	is_str(item.file, "/leases/" ABC_MD5, "sanlock: its file is named by the path's MD5");
	is_str(item.resource, ABC_MD5, "sanlock: so is the resource");
	is_str(item.lockspace, "__LIBVIRT__DISKS__", "sanlock: the lockspace is libvirt's");
	free(item.file);
	free(item.lockspace);
	free(item.resource);
	is_plan(&sanlock, DOMAIN("", DISK("/s/vm.qcow2", "vda", "<shareable/>")),
		"disk /s/vm.qcow2=/leases/" VM_MD5 " shared own (__LIBVIRT__DISKS__:" VM_MD5 ")",
		"sanlock: shareable");
	is_plan(&sanlock, DOMAIN("", LEASE("area", "key", "path='/dev/l' offset='1048576'")),
		"lease 'key' of lockspace 'area'=/dev/l+1048576 (area:key)", "sanlock: a <lease>");
	is_int(plan_long(&sanlock, 47, 47, 1023), 0, "sanlock: the longest names");
	is_int(plan_long(&sanlock, 48, 47, 1023), -1, "sanlock: the lockspace is too long");
	is_int(plan_long(&sanlock, 47, 48, 1023), -1, "sanlock: the key is too long");
	is_int(plan_long(&sanlock, 47, 47, 1024), -1, "sanlock: the path is too long");
	test_on_lockfailure();
}

/* ---- states ---- */

/*
 * From each state (row) by each event (column) to a state, by its letter; '-': such an event cannot be. Columns as in enum
 * lease_event: START GRANTED REFUSED RELEASE RELEASED TAKE LOST GONE FOUND_RUNNING FOUND_STOPPED.
 */
static const char letters[] = "FTHLRrt"; /* as in enum lease_state; 'r': released, 't': retaking */
static const char *const table[LEASE_STATE_MAX_] = {
	[LEASE_FREE] = "T------FHr",
	[LEASE_TAKING] = "-HF-r--F--",
	[LEASE_HELD] = "---R--LF--",
	[LEASE_LOST] = "---R---F--",
	[LEASE_RELEASING] = "----r--F--",
	[LEASE_RELEASED] = "-----t-F--",
	[LEASE_RETAKING] = "-Hr----F--",
};

static void test_moves(void)
{
	for (enum lease_state from = 0; from < LEASE_STATE_MAX_; from++)
		for (enum lease_event event = 0; event < LEASE_EVENT_MAX_; event++) {
			char name[64], want = table[from][event], got;
			enum lease_state state = from;
			bool moved = lease_state_move(&state, event);

			got = moved ? letters[state] : '-';
			snprintf(name, sizeof(name), "move: %c by event %d to %c", letters[from], (int)event,
				want);
			if (!ok(got == want && (moved || state == from), name))
				printf("#  got: %c\n", got);
		}
}

static void test_states(void)
{
	static const char *const names[LEASE_STATE_MAX_] = {
		"free", "taking", "held", "lost", "releasing", "released", "taking"};

	is_int(strlen(letters), LEASE_STATE_MAX_, "states: as many as this test knows");
	is_int(strlen(table[0]), LEASE_EVENT_MAX_, "events: as many as this test knows");
	for (enum lease_state state = 0; state < LEASE_STATE_MAX_; state++) {
		is_int(lease_may_run(state), state == LEASE_HELD, "a guest runs where its lease is held");
		is_str(lease_state_name(state), names[state], "a state's name");
	}
}

int main(void)
{
	test_kinds();
	test_disks();
	test_set();
	test_file_lockspace();
	test_elements();
	test_no_auto_leases();
	test_sanlock();
	test_states();
	test_moves();
	return done_testing();
}
