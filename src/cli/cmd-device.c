/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commands that read a VM's devices out of its XML: disks, interfaces, displays, terminals. */
#include "alloc.h"
#include "commands.h"
#include "constants.h"
#include "frame.h"
#include "strv.h"
#include "xml.h"

/* The VM of the option "domain" and its definition as a document. */
static int get_document(struct cli *cli, const struct arguments *args, unsigned flags, struct rpc_domain *dom,
	xmlDoc **ret, struct error *err)
{
	_cleanup_free_ char *xml = NULL;

	if (cli_find_domain(cli, args, BY_ANY, dom, err) < 0)
		return -1;
	if (cli_ask_domain_string(cli, RPC_DOMAIN_GET_XML_DESC, dom, flags, &xml, err) < 0 ||
		xml_parse(xml, strlen(xml), "domain", ret, err) < 0)
		return error_prefix(err, "XML of %s", dom->name);
	return 0;
}

static const xmlNode *find_devices(const xmlDoc *doc)
{
	return xml_child(xmlDocGetRootElement((xmlDoc *)doc), "devices");
}

/* ---- disks ---- */

/* What a disk's or interface's <source> names, whichever attribute it has; owned; NULL: nothing. */
static char *source_of(const xmlNode *node, const char *const *attributes, size_t n)
{
	const xmlNode *source = xml_child(node, "source");

	for (size_t i = 0; source && i < n; i++) {
		char *value = xml_attr(source, attributes[i]);

		if (value && value[0])
			return value;
		free(value);
	}
	return NULL;
}

static char *disk_source(const xmlNode *disk)
{
	static const char *const attributes[] = {"file", "dev", "dir", "name", "volume", "path"};

	return source_of(disk, attributes, ARRAY_SIZE(attributes));
}

int cmd_domblklist(struct cli *cli, const struct arguments *args, struct error *err)
{
	bool details = arguments_has(args, "details");
	const char *const titles[] = {details ? "Type" : NULL, details ? "Device" : NULL, "Target", "Source"};
	static const char *const keys[] = {"type", "device", "target", "source"};
	_cleanup_domain_ struct rpc_domain dom = {0};
	_cleanup_xml_ xmlDoc *doc = NULL;
	struct list_report report;

	if (get_document(cli, args, arguments_flag(args, "inactive", RPC_XML_INACTIVE), &dom, &doc, err) < 0)
		return -1;
	list_report_init(&report, cli->json, ARRAY_SIZE(titles), titles, keys);
	XML_FOREACH (disk, find_devices(doc)) {
		_cleanup_free_ char *type = NULL, *device = NULL, *target = NULL, *source = NULL;

		if (!xml_is(disk, "disk"))
			continue;
		type = xml_attr(disk, "type");
		device = xml_attr(disk, "device");
		target = xml_child_attr(disk, "target", "dev");
		source = disk_source(disk);
		list_report_string(&report, type);
		list_report_string(&report, device ? device : "disk");
		list_report_string(&report, target);
		list_report_shown_as(
			&report, source ? source : "-", source ? json_object_new_string(source) : NULL);
	}
	cli_print_list(cli, &report);
	list_report_fini(&report);
	return 0;
}

static int get_block_info(struct cli *cli, const struct rpc_domain *dom, const char *device,
	struct rpc_block_info_ret *ret, struct error *err)
{
	struct rpc_domain_path_flags_args a = {.dom = *dom, .path = (char *)device};
	struct client_call call = {.procedure = RPC_DOMAIN_GET_BLOCK_INFO,
		CLIENT_ARGS(rpc_domain_path_flags_args, &a),
		CLIENT_RET(rpc_block_info_ret, ret)};

	return cli_call(cli, &call, err);
}

/* Bytes as they are, or in the largest unit; owned. */
static char *size_text(uint64_t bytes, bool human)
{
	const char *unit;
	double value = scale_bytes(bytes, &unit);

	if (!human)
		return xasprintf("%llu", (unsigned long long)bytes);
	return xasprintf("%.3f %s", value, unit);
}

static int show_one_block(
	struct cli *cli, const struct arguments *args, const char *device, bool human, struct error *err)
{
	_cleanup_domain_ struct rpc_domain dom = {0};
	struct rpc_block_info_ret info = {0};
	struct record r;

	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	if (get_block_info(cli, &dom, device, &info, err) < 0)
		return error_prefix(err, "size of block device %s of %s", device, dom.name);
	record_init(&r, cli->json, 16);
	{
		_cleanup_free_ char *capacity = size_text(info.capacity, human);
		_cleanup_free_ char *allocation = size_text(info.allocation, human);
		_cleanup_free_ char *physical = size_text(info.physical, human);

		record_shown_as(
			&r, "Capacity:", "capacity", json_object_new_uint64(info.capacity), "%s", capacity);
		record_shown_as(&r, "Allocation:", "allocation", json_object_new_uint64(info.allocation),
			"%s", allocation);
		record_shown_as(
			&r, "Physical:", "physical", json_object_new_uint64(info.physical), "%s", physical);
	}
	cli_print_record(cli, &r);
	record_fini(&r);
	return 0;
}

static void add_block_row(
	struct list_report *report, const char *target, const struct rpc_block_info_ret *info, bool human)
{
	const uint64_t sizes[] = {
		info ? info->capacity : 0, info ? info->allocation : 0, info ? info->physical : 0};

	list_report_string(report, target);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		_cleanup_free_ char *text = info ? size_text(sizes[i], human) : xstrdup("-");

		list_report_shown_as(report, text, info ? json_object_new_uint64(sizes[i]) : NULL);
	}
}

static int show_all_blocks(struct cli *cli, const struct arguments *args, bool human, struct error *err)
{
	static const char *const titles[] = {"Target", "Capacity", "Allocation", "Physical"};
	static const char *const keys[] = {"target", "capacity", "allocation", "physical"};
	_cleanup_domain_ struct rpc_domain dom = {0};
	_cleanup_xml_ xmlDoc *doc = NULL;
	struct list_report report;
	int ret = 0;

	if (get_document(cli, args, 0, &dom, &doc, err) < 0)
		return -1;
	list_report_init(&report, cli->json, ARRAY_SIZE(titles), titles, keys);
	XML_FOREACH (disk, find_devices(doc)) {
		_cleanup_free_ char *target = xml_child_attr(disk, "target", "dev"),
				    *source = disk_source(disk);
		struct rpc_block_info_ret info = {0};

		if (!xml_is(disk, "disk") || !target || ret < 0)
			continue;
		/* an empty drive has no size */
		if (source)
			ret = get_block_info(cli, &dom, target, &info, err);
		if (ret == 0)
			add_block_row(&report, target, source ? &info : NULL, human);
	}
	if (ret == 0)
		cli_print_list(cli, &report);
	else
		error_prefix(err, "sizes of the block devices of %s", dom.name);
	list_report_fini(&report);
	return ret;
}

int cmd_domblkinfo(struct cli *cli, const struct arguments *args, struct error *err)
{
	const char *device = arguments_string(args, "device");
	bool human = arguments_has(args, "human");

	if (arguments_has(args, "all"))
		return show_all_blocks(cli, args, human, err);
	if (!device)
		return error_set(err, ERROR_INVALID_ARGUMENT, "domblkinfo needs a device, or --all");
	return show_one_block(cli, args, device, human, err);
}

/* ---- network interfaces ---- */

int cmd_domiflist(struct cli *cli, const struct arguments *args, struct error *err)
{
	static const char *const titles[] = {"Interface", "Type", "Source", "Model", "MAC"};
	static const char *const keys[] = {"interface", "type", "source", "model", "mac"};
	static const char *const attributes[] = {"bridge", "dev", "network", "name", "path"};
	_cleanup_domain_ struct rpc_domain dom = {0};
	_cleanup_xml_ xmlDoc *doc = NULL;
	struct list_report report;

	if (get_document(cli, args, arguments_flag(args, "inactive", RPC_XML_INACTIVE), &dom, &doc, err) < 0)
		return -1;
	list_report_init(&report, cli->json, ARRAY_SIZE(titles), titles, keys);
	XML_FOREACH (nic, find_devices(doc)) {
		char *cells[5];

		if (!xml_is(nic, "interface"))
			continue;
		cells[0] = xml_child_attr(nic, "target", "dev");
		cells[1] = xml_attr(nic, "type");
		cells[2] = source_of(nic, attributes, ARRAY_SIZE(attributes));
		cells[3] = xml_child_attr(nic, "model", "type");
		cells[4] = xml_child_attr(nic, "mac", "address");
		for (size_t i = 0; i < ARRAY_SIZE(cells); i++) {
			list_report_shown_as(&report, cells[i] ? cells[i] : "-",
				cells[i] ? json_object_new_string(cells[i]) : NULL);
			free(cells[i]);
		}
	}
	cli_print_list(cli, &report);
	list_report_fini(&report);
	return 0;
}

int cmd_domif_getlink(struct cli *cli, const struct arguments *args, struct error *err)
{
	const char *wanted = arguments_string(args, "interface");
	_cleanup_domain_ struct rpc_domain dom = {0};
	_cleanup_xml_ xmlDoc *doc = NULL;

	if (get_document(cli, args, arguments_flag(args, "config", RPC_XML_INACTIVE), &dom, &doc, err) < 0)
		return -1;
	XML_FOREACH (nic, find_devices(doc)) {
		_cleanup_free_ char *target = NULL, *mac = NULL, *link = NULL;
		const char *state;

		if (!xml_is(nic, "interface"))
			continue;
		target = xml_child_attr(nic, "target", "dev");
		mac = xml_child_attr(nic, "mac", "address");
		if (!streq(target, wanted) && !(mac && strcasecmp(mac, wanted) == 0))
			continue;
		link = xml_child_attr(nic, "link", "state");
		state = streq(link, "down") ? "down" : "up";
		if (cli->json) {
			_cleanup_json_ json *o = json_pack("s:interface", wanted, "s:link", state, NULL);

			cli_print_json(cli, o);
		} else {
			_cleanup_free_ char *line = xasprintf("%s %s", wanted, state);

			cli_print_last(cli, line);
		}
		return 0;
	}
	return error_set(err, ERROR_NO_OBJECT, "%s has no interface '%s' ('godwit domiflist %s' shows them)",
		dom.name, wanted, dom.name);
}

/* ---- terminals and displays ---- */

int cmd_ttyconsole(struct cli *cli, const struct arguments *args, struct error *err)
{
	_cleanup_domain_ struct rpc_domain dom = {0};
	_cleanup_xml_ xmlDoc *doc = NULL;
	_cleanup_free_ char *tty = NULL;

	if (get_document(cli, args, 0, &dom, &doc, err) < 0)
		return -1;
	XML_FOREACH (console, find_devices(doc))
		if (xml_is(console, "console") && !tty)
			tty = xml_attr(console, "tty");
	if (!tty)
		return error_set(err, ERROR_NO_OBJECT,
			"%s has no console on a terminal device ('godwit console %s' connects to others)",
			dom.name, dom.name);
	if (cli->json) {
		_cleanup_json_ json *o = json_pack("s:tty", tty, NULL);

		cli_print_json(cli, o);
	} else {
		cli_print(cli, "%s\n", tty);
	}
	return 0;
}

/* Where a display listens. Strings are owned. */
struct display {
	char *type, *port, *tls_port, *socket, *address, *password;
};

static void display_fini(struct display *d)
{
	free(d->type);
	free(d->port);
	free(d->tls_port);
	free(d->socket);
	free(d->address);
	free(d->password);
}

static void read_display(const xmlNode *graphics, struct display *ret)
{
	*ret = (struct display){
		.type = xml_attr(graphics, "type"),
		.port = xml_attr(graphics, "port"),
		.tls_port = xml_attr(graphics, "tlsPort"),
		.socket = xml_attr(graphics, "socket"),
		.address = xml_attr(graphics, "listen"),
		.password = xml_attr(graphics, "passwd"),
	};
	if (!ret->socket)
		ret->socket = xml_child_attr(graphics, "listen", "socket");
	if (!ret->address)
		ret->address = xml_child_attr(graphics, "listen", "address");
	/* everybody is nobody in particular */
	if (streq(ret->address, "0.0.0.0") || streq(ret->address, "::")) {
		free(ret->address);
		ret->address = NULL;
	}
}

/* The URI a viewer takes, owned; NULL: it does not listen (the VM is off). */
static char *display_uri(const struct display *d, bool with_password)
{
	const char *address = d->address ? d->address : "localhost";
	const char *open = strchr(address, ':') ? "[" : "", *end = *open ? "]" : "";
	struct buf uri = {0};
	uint32_t port = 0;

	if (d->socket)
		return xasprintf("%s+unix://%s", d->type, d->socket);
	if (!d->port || !parse_u32(d->port, &port))
		port = 0;
	if (port == 0 && !d->tls_port)
		return NULL;
	buf_addf(&uri, "%s://", d->type);
	if (with_password && d->password)
		buf_addf(&uri, ":%s@", d->password);
	buf_addf(&uri, "%s%s%s", open, address, end);
	/* VNC counts displays, not ports */
	if (port > 0)
		buf_addf(&uri, ":%u", streq(d->type, "vnc") && port >= 5900 ? port - 5900 : port);
	if (d->tls_port && !streq(d->tls_port, "-1"))
		buf_addf(&uri, "?tls-port=%s", d->tls_port);
	return buf_take(&uri);
}

int cmd_domdisplay(struct cli *cli, const struct arguments *args, struct error *err)
{
	bool with_password = arguments_has(args, "include-password"),
	     all = arguments_has(args, "all") || cli->json;
	const char *type = arguments_string(args, "type");
	_cleanup_json_ json *uris = json_object_new_array();
	_cleanup_domain_ struct rpc_domain dom = {0};
	_cleanup_xml_ xmlDoc *doc = NULL;
	size_t n = 0;

	if (get_document(cli, args, with_password ? RPC_XML_SECURE : 0, &dom, &doc, err) < 0)
		return -1;
	if (dom.id < 0)
		return error_set(err, ERROR_OPERATION_INVALID, "%s is not running", dom.name);
	XML_FOREACH (graphics, find_devices(doc)) {
		_cleanup_(display_fini) struct display d = {0};
		_cleanup_free_ char *uri = NULL;

		if (!xml_is(graphics, "graphics") || (n > 0 && !all))
			continue;
		read_display(graphics, &d);
		if (type && !streq(type, d.type))
			continue;
		uri = display_uri(&d, with_password);
		if (!uri)
			continue;
		n++;
		json_object_array_add(uris, json_object_new_string(uri));
		if (!cli->json && arguments_has(args, "all"))
			cli_print(cli, "%s\n", uri);
		else if (!cli->json)
			cli_print_last(cli, uri);
	}
	if (cli->json)
		cli_print_json(cli, uris);
	else if (n == 0)
		return error_set(err, ERROR_NO_OBJECT, "%s has no %s%sdisplay", dom.name, type ? type : "",
			type ? " " : "");
	return 0;
}

int cmd_vncdisplay(struct cli *cli, const struct arguments *args, struct error *err)
{
	_cleanup_domain_ struct rpc_domain dom = {0};
	_cleanup_xml_ xmlDoc *doc = NULL;

	if (get_document(cli, args, 0, &dom, &doc, err) < 0)
		return -1;
	if (dom.id < 0)
		return error_set(err, ERROR_OPERATION_INVALID, "%s is not running", dom.name);
	XML_FOREACH (graphics, find_devices(doc)) {
		_cleanup_(display_fini) struct display d = {0};
		uint32_t port;

		if (!xml_is(graphics, "graphics"))
			continue;
		read_display(graphics, &d);
		if (!streq(d.type, "vnc") || !d.port || !parse_u32(d.port, &port) || port < 5900)
			continue;
		if (cli->json) {
			_cleanup_json_ json *o = json_pack("s:address", d.address, "i:port", (int64_t)port,
				"i:display", (int64_t)port - 5900, NULL);

			cli_print_json(cli, o);
		} else {
			cli_print(cli, "%s:%u\n", d.address ? d.address : "", port - 5900);
		}
		return 0;
	}
	return error_set(err, ERROR_NO_OBJECT, "%s has no VNC display on a port", dom.name);
}
