/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Taking and giving back what a VM uses of the host. */
#include "resources.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <linux/vhost.h>
#include <net/if.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "file.h"
#include "log.h"
#include "tpm-emulator.h"

/* ---- firmware variables ---- */

#define NVRAM_MAX (64u << 20)

static int copy_nvram(struct vm *vm, bool reset, struct error *err)
{
	const struct domain_os *os = &vm->live->os;
	_cleanup_free_ char *data = NULL, *directory = NULL;
	_cleanup_close_ int dir = -1;
	const char *slash;
	size_t len;

	if (!os->nvram || (access(os->nvram, F_OK) == 0 && !reset))
		return 0;
	if (!os->nvram_template)
		return error_set(err, ERROR_OPERATION_FAILED,
			"unable to find any master var store for loader: %s",
			os->loader ? os->loader : "none");
	if (file_read(AT_FDCWD, os->nvram_template, NVRAM_MAX, &data, &len, err) < 0)
		return error_prefix(err, "read template of firmware variables");
	slash = strrchr(os->nvram, '/');
	if (!slash)
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"path of firmware variables '%s' is not absolute", os->nvram);
	directory = xstrndup(os->nvram, (size_t)(slash - os->nvram));
	dir = open(*directory ? directory : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return error_errno(err, errno, "open directory of firmware variables %s", os->nvram);
	return file_replace(dir, slash + 1, data, len, 0600, err);
}

/* ---- display ports ---- */

enum { DISPLAY_PORT_FIRST = 5900, DISPLAY_PORT_LAST = 65535 };

static bool port_is_free(const char *address, int port)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
	bool is_v4 = inet_pton(AF_INET, address, &v4.sin_addr) == 1;
	_cleanup_close_ int fd = -1;
	int one = 1;

	if (!is_v4 && inet_pton(AF_INET6, address, &v6.sin6_addr) != 1)
		return true; /* a name: QEMU resolves it and says when the port is taken */
	fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	return bind(fd, is_v4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6,
		       is_v4 ? sizeof(v4) : sizeof(v6)) == 0;
}

/* A VM that is starting has not bound its port yet. */
static bool port_is_promised(const struct registry *r, int port)
{
	VEC_FOREACH (vm, &r->vms) {
		if (!vm->live)
			continue;
		VEC_FOREACH (g, &vm->live->graphics) {
			if (g->port == port || g->tls_port == port)
				return true;
		}
	}
	return false;
}

static int choose_ports(struct vm *vm, struct error *err)
{
	VEC_FOREACH (g, &vm->live->graphics) {
		const char *address = g->listen ? g->listen : vm->registry->settings.vnc_listen;
		int port = DISPLAY_PORT_FIRST;

		if (g->socket || g->listen_none || !(g->autoport || g->port < 0))
			continue;
		while (port <= DISPLAY_PORT_LAST &&
			(port_is_promised(vm->registry, port) || !port_is_free(address, port)))
			port++;
		if (port > DISPLAY_PORT_LAST)
			return error_set(err, ERROR_OPERATION_FAILED, "no free display port for %s at %s",
				vm->name, address);
		g->port = port;
		g->autoport = true;
		if (!g->listen)
			g->listen = xstrdup(address);
	}
	return 0;
}

/* ---- tap devices ---- */

static int add_to_bridge(const char *bridge, const char *tap, struct error *err)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = {0};

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", bridge);
	ifr.ifr_ifindex = (int)if_nametoindex(tap);
	if (if_nametoindex(bridge) == 0)
		return error_set(err, ERROR_OPERATION_FAILED, "bridge '%s' does not exist", bridge);
	if (ioctl(fd, SIOCBRADDIF, &ifr) < 0)
		return error_errno(err, errno, "add %s to bridge '%s'", tap, bridge);
	return 0;
}

static int set_address(const char *tap, uint32_t mtu, const uint8_t mac[6], struct error *err)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = {0};

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", tap);
	if (mtu) {
		ifr.ifr_mtu = (int)mtu;
		if (ioctl(fd, SIOCSIFMTU, &ifr) < 0)
			return error_errno(err, errno, "set MTU of %s to %u", tap, mtu);
	}
	/*
	 * The host's end must at no time be the lowest address of the bridge: it would take that for its own, and its peers would not find it
	 * any more.
	 */
	ifr.ifr_hwaddr.sa_family = 1; /* ARPHRD_ETHER */
	memcpy(ifr.ifr_hwaddr.sa_data, mac, 6);
	ifr.ifr_hwaddr.sa_data[0] = (char)0xfe;
	if (ioctl(fd, SIOCSIFHWADDR, &ifr) < 0)
		return error_errno(err, errno, "set address of %s", tap);
	return 0;
}

static int bring_up(const char *tap, struct error *err)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = {0};

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", tap);
	if (ioctl(fd, SIOCGIFFLAGS, &ifr) < 0)
		return error_errno(err, errno, "read flags of %s", tap);
	ifr.ifr_flags |= IFF_UP;
	if (ioctl(fd, SIOCSIFFLAGS, &ifr) < 0)
		return error_errno(err, errno, "bring %s up", tap);
	return 0;
}

static int open_tap(struct nic *nic, struct error *err)
{
	_cleanup_close_ int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	bool chosen = nic->target && !strchr(nic->target, '%');
	struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	bool is_virtio = streq(nic->model, "virtio");

	if (!is_virtio)
		ifr.ifr_flags = IFF_TAP | IFF_NO_PI;
	if (fd < 0)
		return error_errno(err, errno, "open /dev/net/tun");
	if (nic->target && strlen(nic->target) >= IFNAMSIZ)
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"interface name '%s' is longer than %d characters", nic->target, IFNAMSIZ - 1);
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", chosen ? nic->target : "vnet%d");
	if (ioctl(fd, TUNSETIFF, &ifr) < 0)
		return error_errno(err, errno, "create tap device '%s'", ifr.ifr_name);
	replace_string(&nic->target, ifr.ifr_name);
	/* managed='no': somebody else made the device and looks after it */
	if (nic->type == NIC_ETHERNET && !nic->target_managed)
		return take_fd(&fd);
	if (set_address(nic->target, nic->mtu, nic->mac, err) < 0 ||
		(nic->type == NIC_BRIDGE && add_to_bridge(nic->source, nic->target, err) < 0) ||
		bring_up(nic->target, err) < 0)
		return -1;
	return take_fd(&fd);
}

static int open_taps(struct vm *vm, struct error *err)
{
	struct vm_resources *res = vm->resources;

	res->n_taps = vm->live->nics.n;
	res->tap_fds = xcalloc(res->n_taps ? res->n_taps : 1, sizeof(int));
	for (size_t i = 0; i < res->n_taps; i++)
		res->tap_fds[i] = -1;
	for (size_t i = 0; i < res->n_taps; i++) {
		struct nic *nic = vm->live->nics.items[i];

		if (nic->type == NIC_USER)
			continue;
		if (nic->type == NIC_NETWORK)
			return error_set(err, ERROR_NO_OBJECT,
				"Network not found: no network with matching name '%s'",
				nic->source ? nic->source : "");
		res->tap_fds[i] = open_tap(nic, err);
		if (res->tap_fds[i] < 0)
			return -1;
	}
	return 0;
}

/* ---- vsock ---- */

enum { VSOCK_CID_FIRST = 3 }; /* vsock(7): 0 to 2 are reserved */

static int open_vsock(struct vm *vm, struct error *err)
{
	struct vsock *vsock = vm->live->vsock;
	_cleanup_close_ int fd = -1;
	uint64_t cid;

	if (!vsock)
		return 0;
	fd = open("/dev/vhost-vsock", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return error_errno(err, errno, "open /dev/vhost-vsock (is the vhost_vsock module loaded?)");
	for (cid = vsock->auto_cid ? VSOCK_CID_FIRST : vsock->cid; cid < UINT32_MAX; cid++) {
		if (ioctl(fd, VHOST_VSOCK_SET_GUEST_CID, &cid) == 0)
			break;
		if (errno != EADDRINUSE || !vsock->auto_cid)
			return error_errno(err, errno, "set vsock address %llu", (unsigned long long)cid);
	}
	vsock->cid = (uint32_t)cid;
	vm->resources->vsock_fd = take_fd(&fd);
	return 0;
}

/* ---- sockets of channels ---- */

enum { CHANNEL_NAME_MAX = 20 };

/*
 * run/channel/ID-NAME, as libvirt has it: by this form the model knows that a path belongs to one run and not to the
 * definition. Only so much of the name as makes a plain and short directory name (sun_path has 108 bytes).
 */
static char *channel_path_of(const struct vm *vm)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
	size_t n = strspn(vm->name, plain);

	return xasprintf("%s/channel/%d-%.*s", vm->registry->settings.run_dir, vm->id,
		(int)(n < CHANNEL_NAME_MAX ? n : CHANNEL_NAME_MAX), vm->name);
}

static int choose_channel_paths(struct vm *vm, struct error *err)
{
	const char *directory = vm->resources->channel_path;

	VEC_FOREACH (channel, &vm->live->channels) {
		_cleanup_close_ int fd = -1;

		if (channel->backend != CHARDEV_UNIX || channel->path)
			continue;
		if (!channel->name || strchr(channel->name, '/'))
			return error_set(err, ERROR_UNSUPPORTED_CONFIG,
				"channel '%s' of domain '%s' needs a path: its name makes no file name",
				channel->name ? channel->name : "", vm->name);
		fd = dir_open_or_make(directory, 0700, err);
		if (fd < 0)
			return -1;
		channel->path = xasprintf("%s/%s", directory, channel->name);
		channel->listen = true;
	}
	return 0;
}

static void remove_channel_paths(struct vm *vm)
{
	_cleanup_free_ char *parent = xasprintf("%s/channel", vm->registry->settings.run_dir);
	_cleanup_close_ int dir = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir >= 0)
		dir_remove(dir, strrchr(vm->resources->channel_path, '/') + 1, NULL);
}

static struct vm_resources *resources_new(struct vm *vm)
{
	struct vm_resources *res = NEW(struct vm_resources);
	char uuid[UUID_TEXT_MAX];

	uuid_format(vm->uuid, uuid);
	res->run_path = xasprintf("%s/vm/%s", vm->registry->settings.run_dir, uuid);
	res->channel_path = channel_path_of(vm);
	res->vsock_fd = -1;
	return res;
}

int resources_acquire(struct vm *vm, bool reset_nvram, struct error *err)
{
	resources_release(vm);
	vm->resources = resources_new(vm);
	if (choose_channel_paths(vm, err) < 0 || copy_nvram(vm, reset_nvram, err) < 0 ||
		choose_ports(vm, err) < 0 || open_taps(vm, err) < 0 || open_vsock(vm, err) < 0 ||
		tpm_emulator_start(vm, err) < 0)
		return -1;
	return 0;
}

void resources_adopt(struct vm *vm)
{
	vm->resources = resources_new(vm);
}

void resources_handed_over(struct vm *vm)
{
	struct vm_resources *res = vm->resources;

	for (size_t i = 0; i < res->n_taps; i++) {
		close_p(&res->tap_fds[i]);
		res->tap_fds[i] = -1;
	}
	close_p(&res->vsock_fd);
	res->vsock_fd = -1;
}

void resources_free(struct vm_resources *res)
{
	if (!res)
		return;
	for (size_t i = 0; i < res->n_taps; i++)
		close_p(&res->tap_fds[i]);
	close_p(&res->vsock_fd);
	process_free(res->tpm);
	free(res->channel_path);
	free(res->tap_fds);
	free(res->tpm_socket);
	free(res->run_path);
	free(res);
}

void resources_release(struct vm *vm)
{
	if (!vm->resources)
		return;
	/* Taps, vsock and ports go with the last descriptor; swtpm ends with QEMU, unless there never was one. */
	if (vm->resources->tpm)
		process_kill(vm->resources->tpm, SIGTERM);
	remove_channel_paths(vm);
	resources_free(vm->resources);
	vm->resources = NULL;
}
