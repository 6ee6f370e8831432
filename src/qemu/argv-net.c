/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Network interfaces and the vsock device on the command line. */
#include "argv-internal.h"

#define VSOCK_FIRST_CID 3 /* lower ones are reserved, vsock(7) */

/* Name of the QEMU device for a model of libvirt's, its virtio flavours included. */
static char *driver_name(const char *model)
{
	if (streq(model, "virtio"))
		return xstrdup("virtio-net-pci");
	if (startswith(model, "virtio-"))
		return xasprintf("virtio-net-pci%s", model + strlen("virtio"));
	return xstrdup(model);
}

static void put_fd(json *o, const char *key, int fd)
{
	_cleanup_free_ char *text = xasprintf("%d", fd);

	argv_put_string(o, key, text);
}

static int add_backend(struct argv *a, const struct nic *nic, size_t i)
{
	_cleanup_free_ char *id = xasprintf("host%s", nic->info.alias);
	int fd = a->ctx->tap_fds ? a->ctx->tap_fds[i] : -1,
	    vhost = a->ctx->vhost_fds ? a->ctx->vhost_fds[i] : -1;
	json *o;

	if (nic->type == NIC_USER) {
		if (argv_need_feature(a, "netdev-user", "interface type 'user'") < 0)
			return -1;
		argv_add_json(a, "-netdev", json_pack("s:type", "user", "s:id", id, NULL));
		return 0;
	}
	o = json_pack("s:type", "tap", NULL);
	if (fd >= 0) {
		/* As text: QEMU takes a name of a descriptor sent over QMP, too. */
		put_fd(o, "fd", fd);
	} else if (a->ctx->monitor_fd < 0) {
		argv_put_string(o, "ifname", nic->target);
		argv_put_string(o, "script", "no");
		argv_put_string(o, "downscript", "no");
	} else {
		json_object_put(o);
		return error_set(a->err, ERROR_UNSUPPORTED_CONFIG,
			"interface type '%s' is not supported here", nic_type_name(nic->type));
	}
	if (vhost >= 0) {
		argv_put_bool(o, "vhost", true);
		put_fd(o, "vhostfd", vhost);
	}
	argv_put_string(o, "id", id);
	argv_add_json(a, "-netdev", o);
	return 0;
}

static int check_nic(struct argv *a, const struct nic *nic)
{
	bool virtio = startswith(nic->model, "virtio");

	if (nic->queues > 1)
		return error_set(a->err, ERROR_UNSUPPORTED_CONFIG,
			"multiqueue interfaces are not supported (%s)", nic->info.alias);
	if (!virtio && (nic->mtu || nic->rx_queue_size || nic->tx_queue_size))
		return error_set(a->err, ERROR_UNSUPPORTED_CONFIG,
			"mtu and queue sizes need interface model 'virtio' (%s)", nic->info.alias);
	return 0;
}

static int add_nic(struct argv *a, const struct nic *nic, size_t i)
{
	_cleanup_free_ char *driver = driver_name(nic->model), *netdev = xasprintf("host%s", nic->info.alias);
	uint32_t boot = argv_boot_index(a->d, &nic->info);
	char mac[18];
	json *o;

	if (check_nic(a, nic) < 0 || add_backend(a, nic, i) < 0)
		return -1;
	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", nic->mac[0], nic->mac[1], nic->mac[2],
		nic->mac[3], nic->mac[4], nic->mac[5]);
	o = json_pack("s:driver", driver, NULL);
	if (nic->rx_queue_size)
		argv_put_uint(o, "rx_queue_size", nic->rx_queue_size);
	if (nic->tx_queue_size)
		argv_put_uint(o, "tx_queue_size", nic->tx_queue_size);
	if (nic->mtu)
		argv_put_uint(o, "host_mtu", nic->mtu);
	argv_put_string(o, "netdev", netdev);
	argv_put_string(o, "id", nic->info.alias);
	argv_put_string(o, "mac", mac);
	if (boot)
		argv_put_uint(o, "bootindex", boot);
	argv_put_pci(a, o, &nic->info);
	return argv_add_device(a, o);
}

int argv_nics(struct argv *a)
{
	VEC_FOREACH (nic, &a->d->nics)
		if (add_nic(a, nic, nic_i) < 0)
			return -1;
	return 0;
}

int argv_vsock(struct argv *a)
{
	const struct vsock *v = a->d->vsock;
	json *o;

	if (!v)
		return 0;
	if (v->cid < VSOCK_FIRST_CID && a->ctx->monitor_fd >= 0)
		return error_set(a->err, ERROR_UNSUPPORTED_CONFIG, "the vsock device has no context id yet");
	o = json_pack(
		"s:driver", "vhost-vsock-pci", "s:id", v->info.alias, "u:guest-cid", (uint64_t)v->cid, NULL);
	if (a->ctx->vsock_fd >= 0)
		put_fd(o, "vhostfd", a->ctx->vsock_fd);
	argv_put_pci(a, o, &v->info);
	return argv_add_device(a, o);
}
