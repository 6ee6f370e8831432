/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commands by which devices come and go. */
#include <sys/stat.h>

#include "alloc.h"
#include "commands.h"
#include "constants.h"
#include "frame.h"
#include "strv.h"
#include "xml.h"

/* ---- the call ---- */

/* --persistent means: the definition, and the VM too if it runs. */
static int get_affect(struct cli *cli, const struct arguments *args, const struct rpc_domain *dom,
	unsigned *ret, struct error *err)
{
	int is_active = 0;

	if (arguments_exclusive(args, "current", "live", err) < 0 ||
		arguments_exclusive(args, "current", "config", err) < 0 ||
		arguments_exclusive(args, "current", "persistent", err) < 0)
		return -1;
	*ret = arguments_flag(args, "live", RPC_AFFECT_LIVE) |
	       arguments_flag(args, "config", RPC_AFFECT_CONFIG) |
	       arguments_flag(args, "persistent", RPC_AFFECT_CONFIG);
	if (!arguments_has(args, "persistent"))
		return 0;
	if (cli_ask_domain_int(cli, RPC_DOMAIN_IS_ACTIVE, dom, &is_active, err) < 0)
		return -1;
	if (is_active)
		*ret |= RPC_AFFECT_LIVE;
	return 0;
}

/* Without a word about which definition it is the running VM's, as with virsh. */
static int plug(struct cli *cli, const struct arguments *args, int procedure, const struct rpc_domain *dom,
	const char *xml, struct error *err)
{
	struct rpc_device_flags_args a = {.dom = *dom, .device = (char *)xml};
	struct client_call call = {.procedure = procedure, CLIENT_ARGS(rpc_device_flags_args, &a)};

	if (get_affect(cli, args, dom, &a.flags, err) < 0)
		return -1;
	if (!a.flags && !arguments_has(args, "current"))
		a.flags = RPC_AFFECT_LIVE;
	return cli_call(cli, &call, err);
}

/* ---- devices from files ---- */

static int plug_file(
	struct cli *cli, const struct arguments *args, int procedure, const char *verb, struct error *err)
{
	const char *file = arguments_string(args, "file");
	_cleanup_domain_ struct rpc_domain dom = {0};
	_cleanup_free_ char *xml = NULL;

	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0 || cli_read_file(file, &xml, err) < 0)
		return -1;
	if (plug(cli, args, procedure, &dom, xml, err) < 0)
		return error_prefix(err, "%s device from %s", verb, file);
	cli_print_extra(cli, "Device %sed successfully\n", verb);
	return 0;
}

int cmd_attach_device(struct cli *cli, const struct arguments *args, struct error *err)
{
	return plug_file(cli, args, RPC_DOMAIN_ATTACH_DEVICE_FLAGS, "attach", err);
}

int cmd_detach_device(struct cli *cli, const struct arguments *args, struct error *err)
{
	return plug_file(cli, args, RPC_DOMAIN_DETACH_DEVICE_FLAGS, "detach", err);
}

int cmd_detach_device_alias(struct cli *cli, const struct arguments *args, struct error *err)
{
	const char *alias = arguments_string(args, "alias");
	unsigned flags = arguments_flag(args, "live", RPC_AFFECT_LIVE) |
			 arguments_flag(args, "config", RPC_AFFECT_CONFIG);
	_cleanup_domain_ struct rpc_domain dom = {0};
	struct rpc_device_flags_args a = {.device = (char *)alias, .flags = flags};
	struct client_call call = {
		.procedure = RPC_DOMAIN_DETACH_DEVICE_ALIAS, CLIENT_ARGS(rpc_device_flags_args, &a)};

	if (arguments_exclusive(args, "current", "live", err) < 0 ||
		arguments_exclusive(args, "current", "config", err) < 0 ||
		cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	a.dom = dom;
	if (cli_call(cli, &call, err) < 0)
		return error_prefix(err, "detach device with alias %s", alias);
	cli_print_extra(cli, "Device detach request sent successfully\n");
	return 0;
}

/* ---- disks ---- */

/* "file" or "block": as it is called, or as what is there. */
static int get_source_type(
	const struct arguments *args, const char *source, const char **ret, struct error *err)
{
	const char *type = arguments_string(args, "sourcetype");
	struct stat st;

	if (type && !streq(type, "file") && !streq(type, "block"))
		return error_set(
			err, ERROR_INVALID_ARGUMENT, "unknown source type: '%s', only: file, block", type);
	if (!type)
		type = stat(source, &st) == 0 && S_ISBLK(st.st_mode) ? "block" : "file";
	*ret = type;
	return 0;
}

static void write_disk(
	const struct arguments *args, const char *source_type, const char *mode, struct xml_writer *w)
{
	const char *driver = arguments_string(args, "driver"), *format = arguments_string(args, "subdriver"),
		   *cache = arguments_string(args, "cache"), *io = arguments_string(args, "io"),
		   *device = arguments_string(args, "type"), *alias = arguments_string(args, "alias");

	xml_begin(w, "disk");
	xml_put_attr(w, "type", source_type);
	xml_put_attr(w, "device", device ? device : "disk");
	if (driver || format || cache || io) {
		xml_begin(w, "driver");
		xml_put_attr(w, "name", driver ? driver : "qemu");
		xml_put_attr(w, "type", format);
		xml_put_attr(w, "cache", cache);
		xml_put_attr(w, "io", io);
		xml_end(w, "driver");
	}
	xml_begin(w, "source");
	xml_put_attr(w, streq(source_type, "block") ? "dev" : "file", arguments_string(args, "source"));
	xml_end(w, "source");
	xml_begin(w, "target");
	xml_put_attr(w, "dev", arguments_string(args, "target"));
	xml_put_attr(w, "bus", arguments_string(args, "targetbus"));
	xml_end(w, "target");
	if (mode) {
		xml_begin(w, mode);
		xml_end(w, mode);
	}
	xml_element(w, "serial", arguments_string(args, "serial"));
	xml_element(w, "wwn", arguments_string(args, "wwn"));
	if (alias) {
		xml_begin(w, "alias");
		xml_put_attr(w, "name", alias);
		xml_end(w, "alias");
	}
	xml_end(w, "disk");
}

static int make_disk(const struct arguments *args, char **ret, struct error *err)
{
	const char *mode = arguments_string(args, "mode"), *source_type = NULL;
	struct buf out = {0};
	struct xml_writer w = {.out = &out};

	if (mode && !streq(mode, "readonly") && !streq(mode, "shareable"))
		return error_set(
			err, ERROR_INVALID_ARGUMENT, "unknown mode '%s', only: readonly, shareable", mode);
	if (get_source_type(args, arguments_string(args, "source"), &source_type, err) < 0)
		return -1;
	write_disk(args, source_type, mode, &w);
	*ret = buf_take(&out);
	return 0;
}

int cmd_attach_disk(struct cli *cli, const struct arguments *args, struct error *err)
{
	_cleanup_domain_ struct rpc_domain dom = {0};
	_cleanup_free_ char *xml = NULL;

	if (make_disk(args, &xml, err) < 0)
		return -1;
	if (arguments_has(args, "print-xml")) {
		cli_print(cli, "%s", xml);
		return 0;
	}
	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	if (plug(cli, args, RPC_DOMAIN_ATTACH_DEVICE_FLAGS, &dom, xml, err) < 0)
		return error_prefix(err, "attach disk");
	cli_print_extra(cli, "Disk attached successfully\n");
	return 0;
}

/* The disk of this target or source, as it stands in the XML; owned; NULL: there is none. */
static char *find_disk_xml(const xmlDoc *doc, const char *name)
{
	const xmlNode *devices = xml_child(xmlDocGetRootElement((xmlDoc *)doc), "devices");

	XML_FOREACH (disk, devices) {
		_cleanup_free_ char *target = NULL, *file = NULL, *dev = NULL;

		if (!xml_is(disk, "disk"))
			continue;
		target = xml_child_attr(disk, "target", "dev");
		file = xml_child_attr(disk, "source", "file");
		dev = xml_child_attr(disk, "source", "dev");
		if (streq(target, name) || streq(file, name) || streq(dev, name))
			return xml_serialise(disk);
	}
	return NULL;
}

int cmd_detach_disk(struct cli *cli, const struct arguments *args, struct error *err)
{
	const char *target = arguments_string(args, "target");
	_cleanup_domain_ struct rpc_domain dom = {0};
	_cleanup_free_ char *document = NULL, *xml = NULL;
	_cleanup_xml_ xmlDoc *doc = NULL;
	unsigned affect;

	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0 ||
		get_affect(cli, args, &dom, &affect, err) < 0)
		return -1;
	if (cli_ask_domain_string(cli, RPC_DOMAIN_GET_XML_DESC, &dom,
		    affect == RPC_AFFECT_CONFIG ? RPC_XML_INACTIVE : 0, &document, err) < 0 ||
		xml_parse(document, strlen(document), "domain", &doc, err) < 0)
		return error_prefix(err, "XML of %s", dom.name);
	xml = find_disk_xml(doc, target);
	if (!xml)
		return error_set(
			err, ERROR_NO_OBJECT, "No disk found whose source path or target is %s", target);
	if (arguments_has(args, "print-xml")) {
		cli_print(cli, "%s\n", xml);
		return 0;
	}
	if (plug(cli, args, RPC_DOMAIN_DETACH_DEVICE_FLAGS, &dom, xml, err) < 0)
		return error_prefix(err, "detach disk");
	cli_print_extra(cli, "Disk detached successfully\n");
	return 0;
}
