/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Serial ports, channels, consoles and the TPM's connection on the command line. */
#include "argv-internal.h"

static const char *on_off(bool value)
{
	return value ? "on" : "off";
}

/* The path of a channel's socket: its own, or one we choose by the channel's name. */
static char *socket_path(struct argv *a, const struct chardev *c)
{
	if (c->path)
		return argv_escape(c->path);
	if (c->kind == CHARDEV_CHANNEL && c->name && a->ctx->channel_dir) {
		_cleanup_free_ char *path = xasprintf("%s/%s", a->ctx->channel_dir, c->name);

		return argv_escape(path);
	}
	return NULL;
}

static int put_unix(struct argv *a, struct buf *b, const struct chardev *c, const char *id)
{
	_cleanup_free_ char *path = socket_path(a, c);

	if (!path)
		return error_set(a->err, ERROR_XML, "%s: a UNIX socket needs a path", id);
	buf_addf(b, "socket,id=char%s,path=%s", id, path);
	/* A socket of our own choosing is always ours to listen on. */
	if (c->listen || !c->path)
		buf_adds(b, ",server=on,wait=off");
	return 0;
}

static int put_tcp(struct argv *a, struct buf *b, const struct chardev *c, const char *id)
{
	_cleanup_free_ char *host = argv_escape(c->host), *port = argv_escape(c->service);

	if (!c->service)
		return error_set(a->err, ERROR_XML, "%s: a TCP connection needs a service", id);
	buf_addf(b, "socket,id=char%s,host=%s,port=%s", id, host, port);
	if (c->listen)
		buf_adds(b, ",server=on,wait=off");
	return 0;
}

static int put_path(struct argv *a, struct buf *b, const struct chardev *c, const char *kind)
{
	_cleanup_free_ char *path = argv_escape(c->path);

	if (!c->path)
		return error_set(
			a->err, ERROR_XML, "%s: a character device of this type needs a path", c->info.alias);
	buf_addf(b, "%s,id=char%s,path=%s", kind, c->info.alias, path);
	return 0;
}

static int put_backend(struct argv *a, struct buf *b, const struct chardev *c)
{
	const char *id = c->info.alias;

	switch (c->backend) {
	case CHARDEV_PTY:
		buf_addf(b, "pty,id=char%s", id);
		return 0;
	case CHARDEV_NULL:
		buf_addf(b, "null,id=char%s", id);
		return 0;
	case CHARDEV_STDIO:
		buf_addf(b, "stdio,id=char%s", id);
		return 0;
	case CHARDEV_FILE:
		if (put_path(a, b, c, "file") < 0)
			return -1;
		if (c->append != TRISTATE_ABSENT)
			buf_addf(b, ",append=%s", on_off(c->append == TRISTATE_ON));
		return 0;
	case CHARDEV_DEV:
		return put_path(a, b, c, "serial");
	case CHARDEV_PIPE:
		return put_path(a, b, c, "pipe");
	case CHARDEV_UNIX:
		return put_unix(a, b, c, id);
	case CHARDEV_TCP:
		return put_tcp(a, b, c, id);
	case CHARDEV_SPICEVMC:
		if (argv_need_feature(a, "chardev-spicevmc", "a channel of type 'spicevmc'") < 0)
			return -1;
		buf_addf(b, "spicevmc,id=char%s,name=vdagent", id);
		return 0;
	case CHARDEV_BACKEND_MAX_:
		break;
	}
	return error_set(a->err, ERROR_INTERNAL, "%s has no backend", id);
}

static int add_chardev(struct argv *a, const struct chardev *c)
{
	struct buf b = {0};
	int r = put_backend(a, &b, c);

	if (r == 0 && c->log_file) {
		_cleanup_free_ char *path = argv_escape(c->log_file);

		buf_addf(&b, ",logfile=%s", path);
		if (c->log_append != TRISTATE_ABSENT)
			buf_addf(&b, ",logappend=%s", on_off(c->log_append == TRISTATE_ON));
	}
	if (r == 0)
		argv_add(a, "-chardev", "%s", b.data);
	buf_fini(&b);
	return r;
}

static json *device(const struct chardev *c, const char *driver)
{
	_cleanup_free_ char *chardev = xasprintf("char%s", c->info.alias);

	return json_pack("s:driver", driver, "s:chardev", chardev, "s:id", c->info.alias, NULL);
}

static int add_serial(struct argv *a, const struct chardev *c)
{
	json *o = device(c, c->target_model);

	if (c->target == CHARDEV_TARGET_ISA_SERIAL)
		argv_put_uint(o, "index", c->port);
	else if (c->target == CHARDEV_TARGET_PCI_SERIAL)
		argv_put_pci(a, o, &c->info);
	else
		argv_put_usb(a, o, &c->info);
	return argv_add_device(a, o);
}

static int add_channel(struct argv *a, const struct chardev *c)
{
	const struct device_address *at = &c->info.address;
	json *o = json_pack("s:driver", "virtserialport", NULL);
	_cleanup_free_ char *bus = xasprintf(
		"%s.0", domain_find_controller(a->d, CONTROLLER_VIRTIO_SERIAL, at->virtio_serial.controller)
				->info.alias);
	_cleanup_free_ char *chardev = xasprintf("char%s", c->info.alias);

	argv_put_string(o, "bus", bus);
	argv_put_uint(o, "nr", at->virtio_serial.port);
	argv_put_string(o, "chardev", chardev);
	argv_put_string(o, "id", c->info.alias);
	/* The agent's channel has a name of its own by convention. */
	argv_put_string(o, "name",
		c->name				 ? c->name
		: c->backend == CHARDEV_SPICEVMC ? "com.redhat.spice.0"
						 : NULL);
	return argv_add_device(a, o);
}

int argv_chardevs(struct argv *a)
{
	VEC_FOREACH (c, &a->d->serials)
		if (add_chardev(a, c) < 0 || add_serial(a, c) < 0)
			return -1;
	VEC_FOREACH (c, &a->d->channels)
		if (add_chardev(a, c) < 0 || add_channel(a, c) < 0)
			return -1;
	VEC_FOREACH (c, &a->d->consoles)
		if (c->target == CHARDEV_TARGET_VIRTIO &&
			(add_chardev(a, c) < 0 || argv_add_device(a, device(c, "virtconsole")) < 0))
			return -1;
	return 0;
}

int argv_tpm(struct argv *a)
{
	const struct tpm *tpm = a->d->tpm;
	_cleanup_free_ char *path = NULL, *id = NULL;

	if (!tpm)
		return 0;
	if (!a->ctx->tpm_socket)
		return error_set(
			a->err, ERROR_UNSUPPORTED_CONFIG, "TPM emulation is not available here: no swtpm");
	if (argv_need_feature(a, "tpm-emulator", "TPM emulation") < 0)
		return -1;
	path = argv_escape(a->ctx->tpm_socket);
	id = xasprintf("tpm-%s", tpm->info.alias);
	argv_add(a, "-chardev", "socket,id=chrtpm,path=%s", path);
	argv_add(a, "-tpmdev", "emulator,id=%s,chardev=chrtpm", id);
	return argv_add_device(a, json_pack("s:driver", tpm->model == TPM_CRB ? "tpm-crb" : "tpm-tis",
					  "s:tpmdev", id, "s:id", tpm->info.alias, NULL));
}
