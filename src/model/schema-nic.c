/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* <interface>: network cards and what they are plugged into. */
#include "schema.h"
#include "strv.h"

static int mac_set(struct parse_context *c, const xmlNode *node, void *object, const char *text)
{
	struct nic *nic = object;
	unsigned byte[6];
	int used = 0;

	if (strlen(text) != 17 ||
		sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &byte[0], &byte[1], &byte[2], &byte[3], &byte[4],
			&byte[5], &used) != 6 ||
		used != 17 || strspn(text, "0123456789abcdefABCDEF:") != 17)
		return field_invalid(c, node, "'%.80s' is not a MAC address", text);
	if (byte[0] & 1)
		return field_invalid(c, node, "MAC address '%s' is a multicast address", text);
	for (unsigned i = 0; i < 6; i++)
		nic->mac[i] = (uint8_t)byte[i];
	nic->has_mac = true;
	return 0;
}

static char *mac_get(const struct format_context *c, const void *object)
{
	const struct nic *nic = object;
	const uint8_t *m = nic->mac;

	if (!nic->has_mac)
		return NULL;
	return xasprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
}

static const struct field mac_fields[] = {
	ATTR_CALL("address", mac_set, mac_get, .flags = FIELD_REQUIRED),
};
static const struct table mac_table = TABLE(mac_fields, struct nic);

static bool is_bridge(const void *nic)
{
	return ((const struct nic *)nic)->type == NIC_BRIDGE;
}

static bool is_network(const void *nic)
{
	return ((const struct nic *)nic)->type == NIC_NETWORK;
}

static bool is_ethernet(const void *nic)
{
	return ((const struct nic *)nic)->type == NIC_ETHERNET;
}

/* A network interface of Linux: IFNAMSIZ is 16 with the final zero. */
static bool is_interface(const char *name)
{
	return text_is_word(name) && strlen(name) <= 15;
}

static const struct field bridge_fields[] = {
	ATTR(struct nic, source, "bridge", VALUE_STRING, .flags = FIELD_REQUIRED, .valid = is_interface,
		.words = "the name of a network interface"),
};
static const struct table bridge_table = TABLE(bridge_fields, struct nic);

static bool is_network_name(const char *name)
{
	return *name && text_is_line(name) && !strchr(name, '/');
}

/* In live XML the network says which bridge it was. */
static const struct field network_fields[] = {
	ATTR(struct nic, source, "network", VALUE_STRING, .flags = FIELD_REQUIRED, .valid = is_network_name,
		.words = "the name of a network"),
	ATTR_DROPPED("portid"),
	ATTR_DROPPED("bridge"),
};
static const struct table network_table = TABLE(network_fields, struct nic);

static const struct field script_fields[] = {
	ATTR(struct nic, script, "path", VALUE_STRING, .flags = FIELD_REQUIRED),
};
static const struct table script_table = TABLE(script_fields, struct nic);

/* Names that were made at start, for that start; vnet0, vnet1, ... are free to be given to another VM afterwards. */
static bool is_made_name(const char *name)
{
	return startswith(name, "vnet") && strspn(name + 4, "0123456789") == strlen(name + 4);
}

static int target_set(struct parse_context *c, const xmlNode *node, void *object, const char *text)
{
	struct nic *nic = object;

	if (!is_interface(text))
		return field_invalid(c, node, "'%.80s' is not a name of a network interface", text);
	if (!is_made_name(text) || (c->flags & DOMAIN_PARSE_LIVE))
		replace_string(&nic->target, text);
	return 0;
}

static char *target_get(const struct format_context *c, const void *object)
{
	const struct nic *nic = object;

	if (!nic->target || (is_made_name(nic->target) && (c->flags & DOMAIN_FORMAT_INACTIVE)))
		return NULL;
	return xstrdup(nic->target);
}

static int managed_set(struct parse_context *c, const xmlNode *node, void *object, const char *text)
{
	struct nic *nic = object;

	if (!streq(text, "yes") && !streq(text, "no"))
		return field_invalid(
			c, node, "attribute 'managed' of <target>: '%.80s' is neither 'yes' nor 'no'", text);
	nic->target_managed = streq(text, "yes");
	return 0;
}

static char *managed_get(const struct format_context *c, const void *object)
{
	return ((const struct nic *)object)->target_managed ? NULL : xstrdup("no");
}

static const struct field target_fields[] = {
	ATTR_OWNED(struct nic, target, "dev", target_set, target_get),
	ATTR_CALL("managed", managed_set, managed_get, .when = is_ethernet, .flags = FIELD_HOST),
};
static const struct table target_table = TABLE(target_fields, struct nic);

static const struct field model_fields[] = {
	ATTR(struct nic, model, "type", VALUE_STRING, .flags = FIELD_REQUIRED, .names = &nic_model_words),
};
static const struct table model_table = TABLE(model_fields, struct nic);

static const struct field driver_fields[] = {
	ATTR(struct nic, driver_name, "name", VALUE_STRING, .names = &nic_driver_words, .flags = FIELD_HOST),
	ATTR(struct nic, queues, "queues", VALUE_U32, .min = 1, .max = 256),
	ATTR(struct nic, rx_queue_size, "rx_queue_size", VALUE_U32, .min = 256, .max = 1024),
	ATTR(struct nic, tx_queue_size, "tx_queue_size", VALUE_U32, .min = 256, .max = 1024),
};
static const struct table driver_table = TABLE(driver_fields, struct nic);

static const struct field link_fields[] = {
	ATTR_ENUM(struct nic, link, "state", nic_link_names, .flags = FIELD_REQUIRED),
};
static const struct table link_table = TABLE(link_fields, struct nic);

static const struct field mtu_fields[] = {
	ATTR(struct nic, mtu, "size", VALUE_U32, .min = 68, .max = 65535, .flags = FIELD_REQUIRED),
};
static const struct table mtu_table = TABLE(mtu_fields, struct nic);

static void nic_init(void *object)
{
	((struct nic *)object)->target_managed = true;
}

static int nic_finish(struct parse_context *c, const xmlNode *node, void *object)
{
	const struct nic *nic = object;
	bool is_virtio = !nic->model || startswith(nic->model, "virtio");

	if ((nic->type == NIC_BRIDGE || nic->type == NIC_NETWORK) && !nic->source)
		return field_invalid(c, node, "<interface type='%s'> has no <source>",
			enum_name(&nic_type_names, nic->type));
	if (nic->script && !streq(nic->script, "no"))
		return field_unsupported(
			c, node, "<script path='%.80s'> is not supported, only: no", nic->script);
	if (!nic->target_managed && !nic->target)
		return field_invalid(c, node, "<target managed='no'> names no 'dev'");
	if (!is_virtio && (nic->driver_name || nic->queues || nic->rx_queue_size || nic->tx_queue_size))
		return field_invalid(
			c, node, "<driver> belongs to virtio interfaces, not to '%s'", nic->model);
	if ((nic->rx_queue_size & (nic->rx_queue_size - 1)) ||
		(nic->tx_queue_size & (nic->tx_queue_size - 1)))
		return field_invalid(c, node, "queue sizes of <driver> must be powers of two");
	if (nic->type == NIC_USER && (streq(nic->driver_name, "vhost") || nic->queues > 1))
		return field_invalid(c, node, "<interface type='user'> has neither vhost nor several queues");
	return 0;
}

static const struct field nic_fields[] = {
	ATTR_ENUM(struct nic, type, "type", nic_type_names,
		.flags = FIELD_ALWAYS | FIELD_REQUIRED | FIELD_HOST),
	GROUP("mac", mac_table),
	GROUP("source", bridge_table, .when = is_bridge, .flags = FIELD_HOST),
	GROUP("source", network_table, .when = is_network, .flags = FIELD_HOST),
	GROUP("script", script_table, .flags = FIELD_HOST),
	GROUP("target", target_table),
	GROUP("model", model_table),
	GROUP("driver", driver_table),
	GROUP("link", link_table, .flags = FIELD_HOST),
	GROUP("mtu", mtu_table),
	INLINE(struct nic, info, info_nic_table),
};
const struct table nic_table = TABLE(nic_fields, struct nic, .init = nic_init, .finish = nic_finish);
