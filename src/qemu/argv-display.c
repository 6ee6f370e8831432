/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inputs, remote displays and video cards on the command line. */
#include "argv-internal.h"

#define VNC_BASE_PORT  5900
#define DEFAULT_LISTEN "127.0.0.1"

int argv_inputs(struct argv *a)
{
	static const char *const drivers[INPUT_BUS_MAX_][INPUT_TYPE_MAX_] = {
		[INPUT_BUS_USB] = {"usb-mouse", "usb-tablet", "usb-kbd"},
		[INPUT_BUS_VIRTIO] = {"virtio-mouse-pci", "virtio-tablet-pci", "virtio-keyboard-pci"},
	};

	VEC_FOREACH (input, &a->d->inputs) {
		json *o;

		if (!drivers[input->bus][input->type])
			continue; /* PS/2 comes with the machine */
		o = json_pack("s:driver", drivers[input->bus][input->type], "s:id", input->info.alias, NULL);
		if (input->bus == INPUT_BUS_USB)
			argv_put_usb(a, o, &input->info);
		else
			argv_put_pci(a, o, &input->info);
		if (argv_add_device(a, o) < 0)
			return -1;
	}
	return 0;
}

int argv_hubs(struct argv *a)
{
	VEC_FOREACH (hub, &a->d->hubs) {
		json *o = json_pack("s:driver", "usb-hub", "s:id", hub->info.alias, NULL);

		argv_put_usb(a, o, &hub->info);
		if (argv_add_device(a, o) < 0)
			return -1;
	}
	return 0;
}

/* ---- graphics ---- */

/* An address as QEMU's options want it: IPv6 in brackets. */
static char *host_part(const struct graphics *g)
{
	const char *listen = g->listen ? g->listen : DEFAULT_LISTEN;

	return strchr(listen, ':') ? xasprintf("[%s]", listen) : argv_escape(listen);
}

static void put_vnc_address(struct buf *b, const struct graphics *g)
{
	_cleanup_free_ char *host = host_part(g), *path = argv_escape(g->socket);

	if (g->socket)
		buf_addf(b, "unix:%s", path);
	else if (g->listen_none)
		buf_adds(b, "none");
	else if (g->port < 0)
		buf_addf(b, "%s:0,to=99", host); /* QEMU takes the first free port from 5900 */
	else
		buf_addf(b, "%s:%d", host, g->port - VNC_BASE_PORT);
}

static int add_vnc(struct argv *a, const struct graphics *g)
{
	struct buf b = {0};

	if (argv_need_feature(a, "vnc", "graphics type 'vnc'") < 0)
		return -1;
	if (!g->socket && !g->listen_none && g->port >= 0 && g->port < VNC_BASE_PORT)
		return error_set(a->err, ERROR_UNSUPPORTED_CONFIG, "vnc port must be in range [5900,65535]");
	put_vnc_address(&b, g);
	if (g->websocket > 0)
		buf_addf(&b, ",websocket=%d", g->websocket);
	else if (g->websocket < 0)
		buf_adds(&b, ",websocket=on");
	if (g->share_policy)
		buf_addf(&b, ",share=%s", g->share_policy);
	if (g->password)
		buf_adds(&b, ",password=on");
	buf_adds(&b, ",audiodev=audio1");
	argv_add(a, "-vnc", "%s", b.data);
	buf_fini(&b);
	if (g->keymap)
		argv_add(a, "-k", "%s", g->keymap);
	return 0;
}

static int add_spice(struct argv *a, const struct graphics *g)
{
	_cleanup_free_ char *listen = argv_escape(g->listen ? g->listen : DEFAULT_LISTEN),
			    *path = argv_escape(g->socket);
	struct buf b = {0};

	if (argv_need_feature(a, "spice", "graphics type 'spice'") < 0)
		return -1;
	if (!g->socket && !g->listen_none && g->port < 0)
		return error_set(a->err, ERROR_UNSUPPORTED_CONFIG,
			"spice needs a port: QEMU cannot choose one itself");
	if (g->tls_port > 0)
		return error_set(a->err, ERROR_UNSUPPORTED_CONFIG, "spice over TLS is not supported");
	if (g->socket)
		buf_addf(&b, "unix=on,addr=%s,", path);
	else if (g->listen_none)
		buf_adds(&b, "port=0,");
	else
		buf_addf(&b, "port=%d,addr=%s,", g->port, listen);
	/* With a password, QEMU refuses everybody until set_password has come. */
	if (!g->password)
		buf_adds(&b, "disable-ticketing=on,");
	if (g->image_compression)
		buf_addf(&b, "image-compression=%s,", g->image_compression);
	buf_adds(&b, "seamless-migration=on");
	argv_add(a, "-spice", "%s", b.data);
	buf_fini(&b);
	return 0;
}

int argv_graphics(struct argv *a)
{
	argv_add(a, "-audiodev", "none,id=audio1");
	VEC_FOREACH (g, &a->d->graphics)
		if ((g->type == GRAPHICS_VNC ? add_vnc(a, g) : add_spice(a, g)) < 0)
			return -1;
	return 0;
}

/* ---- video ---- */

static const char *video_driver(struct argv *a, const struct video *v)
{
	static const char *const first[VIDEO_TYPE_MAX_] = {
		[VIDEO_VGA] = "VGA",
		[VIDEO_CIRRUS] = "cirrus-vga",
		[VIDEO_QXL] = "qxl-vga",
		[VIDEO_VIRTIO] = "virtio-vga",
		[VIDEO_BOCHS] = "bochs-display",
		[VIDEO_RAMFB] = "ramfb",
		[VIDEO_VMVGA] = "vmware-svga",
	};

	if (!v->primary)
		return v->type == VIDEO_QXL ? "qxl" : v->type == VIDEO_VIRTIO ? "virtio-gpu-pci" : NULL;
	if (v->type == VIDEO_VIRTIO && !capabilities_has_device(a->caps, "virtio-vga"))
		return "virtio-gpu-pci";
	return first[v->type];
}

static void put_qxl_memory(json *o, const struct video *v)
{
	argv_put_uint(o, "ram_size", (uint64_t)v->ram_kib * 1024);
	argv_put_uint(o, "vram_size", (uint64_t)v->vram_kib * 1024);
	if (v->vram64_kib)
		argv_put_uint(o, "vram64_size_mb", v->vram64_kib / 1024);
	argv_put_uint(o, "vgamem_mb", v->vgamem_kib / 1024);
}

static int add_video(struct argv *a, const struct video *v)
{
	const char *driver = video_driver(a, v);
	json *o;

	if (!driver)
		return error_set(a->err, ERROR_UNSUPPORTED_CONFIG,
			"video type '%s' is only valid as primary video device", video_type_name(v->type));
	o = json_pack("s:driver", driver, "s:id", v->info.alias, NULL);
	if (v->type == VIDEO_QXL)
		put_qxl_memory(o, v);
	else if (v->type == VIDEO_VGA || v->type == VIDEO_VMVGA)
		argv_put_uint(o, "vgamem_mb", v->vram_kib / 1024);
	else if (v->type == VIDEO_BOCHS)
		argv_put_uint(o, "vgamem", (uint64_t)v->vram_kib * 1024);
	if (v->type == VIDEO_VIRTIO || v->type == VIDEO_QXL)
		argv_put_uint(o, "max_outputs", v->heads);
	argv_put_pci(a, o, &v->info);
	return argv_add_device(a, o);
}

int argv_videos(struct argv *a)
{
	VEC_FOREACH (v, &a->d->videos)
		if (v->type != VIDEO_NONE && add_video(a, v) < 0)
			return -1;
	return 0;
}
