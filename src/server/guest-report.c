/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the agent says of its guest, as typed parameters: libvirt's names (virDomainGetGuestInfo), from the answers of qemu-ga
 * (qga/qapi-schema.json).
 */
#include "guest-report.h"

#include "constants.h"
#include "disk.h"
#include "strv.h"

static bool is_full(const struct param_list *l)
{
	return l->params.n >= RPC_GUEST_INFO_MAX;
}

static json *find_string(json *o, const char *key)
{
	json *value = json_get(o, key);

	return json_object_is_type(value, json_type_string) ? value : NULL;
}

/* Names and values of one object, each when it is there. */
static void tell_strings(struct param_list *l, json *o, const char *prefix, const char *const (*names)[2])
{
	for (size_t i = 0; names[i][0]; i++)
		if (!is_full(l) && find_string(o, names[i][0]))
			param_list_string(l, json_get_string(o, names[i][0]), "%s%s", prefix, names[i][1]);
}

/* ---- users, system, time zone, name ---- */

static void tell_users(struct param_list *l, const struct domain *d, json *ret)
{
	static const char *const names[][2] = {{"user", "name"}, {"domain", "domain"}, {NULL, NULL}};
	unsigned n = 0;

	JSON_FOREACH (user, ret) {
		json *login = json_get(user, "login-time");
		char prefix[32];

		if (is_full(l) || !find_string(user, "user"))
			continue;
		snprintf(prefix, sizeof(prefix), "user.%u.", n++);
		tell_strings(l, user, prefix, names);
		/* seconds, as a number with a fraction; to be told in milliseconds */
		if (json_object_get_double(login) > 0 && json_object_get_double(login) < 1e15)
			param_list_ull(
				l, (uint64_t)(json_object_get_double(login) * 1000), "%slogin-time", prefix);
	}
	param_list_uint(l, n, "user.count");
}

static void tell_os(struct param_list *l, const struct domain *d, json *ret)
{
	static const char *const names[][2] = {{"id", "id"}, {"name", "name"}, {"pretty-name", "pretty-name"},
		{"version", "version"}, {"version-id", "version-id"}, {"machine", "machine"},
		{"variant", "variant"}, {"variant-id", "variant-id"}, {"kernel-release", "kernel-release"},
		{"kernel-version", "kernel-version"}, {NULL, NULL}};

	tell_strings(l, ret, "os.", names);
}

static void tell_timezone(struct param_list *l, const struct domain *d, json *ret)
{
	static const char *const names[][2] = {{"zone", "name"}, {NULL, NULL}};

	tell_strings(l, ret, "timezone.", names);
	if (json_object_is_type(json_get(ret, "offset"), json_type_int))
		param_list_int(l, (int)json_get_int(ret, "offset", 0), "timezone.offset");
}

static void tell_hostname(struct param_list *l, const struct domain *d, json *ret)
{
	static const char *const names[][2] = {{"host-name", "hostname"}, {NULL, NULL}};

	tell_strings(l, ret, "", names);
}

/* ---- filesystems and disks ---- */

static bool is_pci(const struct device_address *a, json *pci)
{
	return a->type == ADDRESS_PCI && a->pci.domain == json_get_uint(pci, "domain", UINT64_MAX) &&
	       a->pci.bus == json_get_uint(pci, "bus", UINT64_MAX) &&
	       a->pci.slot == json_get_uint(pci, "slot", UINT64_MAX) &&
	       a->pci.function == json_get_uint(pci, "function", UINT64_MAX);
}

/* A controller's disks have no PCI address of their own, but a place on it. */
static bool is_on_controller(const struct domain *d, const struct disk *disk, json *address)
{
	const struct device_address *a = &disk->info.address;

	if (a->type != ADDRESS_DRIVE || a->drive.bus != json_get_uint(address, "bus", UINT64_MAX) ||
		a->drive.target != json_get_uint(address, "target", UINT64_MAX) ||
		a->drive.unit != json_get_uint(address, "unit", UINT64_MAX))
		return false;
	VEC_FOREACH (controller, &d->controllers) {
		if (controller->index == a->drive.controller &&
			is_pci(&controller->info.address, json_get(address, "pci-controller")))
			return true;
	}
	return false;
}

const struct disk *guest_find_disk(const struct domain *d, json *address)
{
	VEC_FOREACH (disk, &d->disks) {
		if (is_pci(&disk->info.address, json_get(address, "pci-controller")) ||
			is_on_controller(d, disk, address))
			return disk;
	}
	return NULL;
}

static void tell_filesystem(struct param_list *l, const struct domain *d, json *fs, unsigned number)
{
	static const char *const names[][2] = {
		{"name", "name"}, {"mountpoint", "mountpoint"}, {"type", "fstype"}, {NULL, NULL}};
	static const char *const disk_names[][2] = {{"serial", "serial"}, {"dev", "device"}, {NULL, NULL}};
	char prefix[64];
	unsigned n = 0;

	snprintf(prefix, sizeof(prefix), "fs.%u.", number);
	tell_strings(l, fs, prefix, names);
	if (json_get(fs, "total-bytes"))
		param_list_ull(l, json_get_uint(fs, "total-bytes", 0), "%stotal-bytes", prefix);
	if (json_get(fs, "used-bytes"))
		param_list_ull(l, json_get_uint(fs, "used-bytes", 0), "%sused-bytes", prefix);
	JSON_FOREACH (address, json_get(fs, "disk")) {
		const struct disk *disk = guest_find_disk(d, address);

		if (is_full(l))
			break;
		snprintf(prefix, sizeof(prefix), "fs.%u.disk.%u.", number, n++);
		if (disk)
			param_list_string(l, disk->target, "%salias", prefix);
		tell_strings(l, address, prefix, disk_names);
	}
	param_list_uint(l, n, "fs.%u.disk.count", number);
}

static void tell_filesystems(struct param_list *l, const struct domain *d, json *ret)
{
	unsigned n = 0;

	JSON_FOREACH (fs, ret)
		if (!is_full(l))
			tell_filesystem(l, d, fs, n++);
	param_list_uint(l, n, "fs.count");
}

static void tell_disk(struct param_list *l, const struct domain *d, json *o, unsigned number)
{
	static const char *const names[][2] = {{"name", "name"}, {"alias", "guest_alias"}, {NULL, NULL}};
	static const char *const address_names[][2] = {{"serial", "serial"}, {"dev", "device"}, {NULL, NULL}};
	const struct disk *disk = guest_find_disk(d, json_get(o, "address"));
	char prefix[64];
	unsigned n = 0;

	snprintf(prefix, sizeof(prefix), "disk.%u.", number);
	tell_strings(l, o, prefix, names);
	param_list_bool(l, json_get_bool(o, "partition", false), "%spartition", prefix);
	JSON_FOREACH (name, json_get(o, "dependencies"))
		if (!is_full(l) && json_object_is_type(name, json_type_string))
			param_list_string(
				l, json_object_get_string(name), "%sdependency.%u.name", prefix, n++);
	if (n > 0)
		param_list_uint(l, n, "%sdependency.count", prefix);
	if (disk)
		param_list_string(l, disk->target, "%salias", prefix);
	tell_strings(l, json_get(o, "address"), prefix, address_names);
}

static void tell_disks(struct param_list *l, const struct domain *d, json *ret)
{
	unsigned n = 0;

	JSON_FOREACH (disk, ret)
		if (!is_full(l))
			tell_disk(l, d, disk, n++);
	param_list_uint(l, n, "disk.count");
}

/* ---- interfaces, load ---- */

static void tell_interface(struct param_list *l, json *o, unsigned number)
{
	static const char *const names[][2] = {
		{"name", "name"}, {"hardware-address", "hwaddr"}, {NULL, NULL}};
	static const char *const address_names[][2] = {
		{"ip-address-type", "type"}, {"ip-address", "addr"}, {NULL, NULL}};
	char prefix[64];
	unsigned n = 0;

	snprintf(prefix, sizeof(prefix), "if.%u.", number);
	tell_strings(l, o, prefix, names);
	JSON_FOREACH (address, json_get(o, "ip-addresses")) {
		if (is_full(l))
			break;
		snprintf(prefix, sizeof(prefix), "if.%u.addr.%u.", number, n++);
		tell_strings(l, address, prefix, address_names);
		param_list_uint(l, (unsigned)json_get_uint(address, "prefix", 0), "%sprefix", prefix);
	}
	param_list_uint(l, n, "if.%u.addr.count", number);
}

static void tell_interfaces(struct param_list *l, const struct domain *d, json *ret)
{
	unsigned n = 0;

	JSON_FOREACH (interface, ret)
		if (!is_full(l))
			tell_interface(l, interface, n++);
	param_list_uint(l, n, "if.count");
}

static void tell_load(struct param_list *l, const struct domain *d, json *ret)
{
	static const char *const names[][2] = {{"load1m", "1m"}, {"load5m", "5m"}, {"load15m", "15m"}};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (json_get(ret, names[i][0]))
			param_list_double(l, json_object_get_double(json_get(ret, names[i][0])), "load.%s",
				names[i][1]);
}

const struct guest_report guest_reports[] = {
	{RPC_GUEST_INFO_USERS, "guest-get-users", tell_users},
	{RPC_GUEST_INFO_OS, "guest-get-osinfo", tell_os},
	{RPC_GUEST_INFO_TIMEZONE, "guest-get-timezone", tell_timezone},
	{RPC_GUEST_INFO_HOSTNAME, "guest-get-host-name", tell_hostname},
	{RPC_GUEST_INFO_FILESYSTEM, "guest-get-fsinfo", tell_filesystems},
	{RPC_GUEST_INFO_DISKS, "guest-get-disks", tell_disks},
	{RPC_GUEST_INFO_INTERFACES, "guest-network-get-interfaces", tell_interfaces},
	{RPC_GUEST_INFO_LOAD, "guest-get-load", tell_load},
	{0, NULL, NULL},
};
