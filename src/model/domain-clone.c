/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Clones of domains (domain-clone.h). */
#include "domain-clone.h"

#include <ctype.h>

#include "defaults.h"
#include "disk.h"
#include "strv.h"

#define NVRAM_NAME "nvram"

struct clone {
	struct domain *d;
	const char *before, *name, *directory;
	struct clone_files *files;
	struct error *err;
};

void clone_files_fini(struct clone_files *files)
{
	VEC_FOREACH (file, &files->items) {
		free(file.name);
		free(file.from);
	}
	VEC_FREE(&files->items);
}

static int refuse(struct clone *c, const char *what, const char *which, const char *why)
{
	return error_set(c->err, ERROR_UNSUPPORTED_CONFIG, "domain '%s' cannot be cloned: its %s%s%s %s",
		c->before, what, *which ? " " : "", which, why);
}

/* ---- paths ---- */

/* Where `word` stands in `text` by itself, and not as a part of another word. */
static const char *find_word(const char *text, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = text; (p = strstr(p, word)); p++)
		if ((p == text || !isalnum((unsigned char)p[-1])) && !isalnum((unsigned char)p[len]))
			return p;
	return NULL;
}

/* "/log/guest7.console" becomes "/log/NAME.console", "/log/console" "/log/console-NAME". */
static void make_own_path(const struct clone *c, char **path)
{
	const char *slash, *found;
	char *own;

	if (!*path)
		return;
	slash = strrchr(*path, '/');
	found = find_word(slash ? slash + 1 : *path, c->before);
	if (found)
		own = xasprintf("%.*s%s%s", (int)(found - *path), *path, c->name, found + strlen(c->before));
	else
		own = xasprintf("%s-%s", *path, c->name);
	free(*path);
	*path = own;
}

static char *add_file(struct clone *c, char *name, const char *from, bool is_overlay, enum disk_format format)
{
	struct clone_file file = {
		.name = name, .from = xstrdup(from), .is_overlay = is_overlay, .format = format};

	VEC_ADD(&c->files->items, file);
	return xasprintf("%s/%s", c->directory, name);
}

/* ---- devices ---- */

/* Below the overlay comes the disk as its user has described it; else headers say. */
static void make_overlay_chain(struct disk *disk)
{
	struct disk_layer below = {disk->source_type, xstrdup(disk->source), disk->format, 0};

	if (!disk->backing_given) {
		free(below.source);
		disk_clear_backing(disk);
		return;
	}
	VEC_ADD(&disk->backing, below);
	for (size_t i = disk->backing.n - 1; i > 0; i--)
		disk->backing.items[i] = disk->backing.items[i - 1];
	disk->backing.items[0] = below;
}

static int clone_disks(struct clone *c)
{
	VEC_FOREACH (disk, &c->d->disks) {
		char *own;

		if (disk->device == DISK_LUN)
			return refuse(c, "disk", disk->target, "is a device passed through to it");
		if (!disk->source || disk->readonly || disk->device == DISK_CDROM)
			continue;
		if (disk->shareable)
			return refuse(c, "disk", disk->target, "is shared with others");
		make_overlay_chain(disk);
		own = add_file(c, xasprintf("%s.qcow2", disk->target), disk->source, true, disk->format);
		free(disk->source);
		disk->source = own;
		disk->source_type = DISK_SOURCE_FILE;
		disk->format = DISK_FORMAT_QCOW2;
	}
	return 0;
}

static int clone_nics(struct clone *c)
{
	VEC_FOREACH (nic, &c->d->nics) {
		if (nic->type == NIC_ETHERNET && !nic->target_managed)
			return refuse(c, "interface", nic->target ? nic->target : "",
				"is a tap device that somebody else made for it");
		replace_string(&nic->target, NULL);
		if (nic_make_mac(nic, c->err) < 0)
			return -1;
	}
	return 0;
}

static int clone_chardev(struct clone *c, struct chardev *device)
{
	const char *which = device->info.alias ? device->info.alias : device->name ? device->name : "port";

	make_own_path(c, &device->log_file);
	switch (device->backend) {
	case CHARDEV_FILE:
		make_own_path(c, &device->path);
		return 0;
	case CHARDEV_UNIX:
		if (device->listen)
			make_own_path(c, &device->path);
		return 0;
	case CHARDEV_TCP:
		return device->listen ? refuse(c, "character device", which, "listens at a fixed TCP port")
				      : 0;
	case CHARDEV_DEV:
	case CHARDEV_PIPE:
		return refuse(c, "character device", which, "is a device or pipe of the host");
	case CHARDEV_PTY:
	case CHARDEV_NULL:
	case CHARDEV_STDIO:
	case CHARDEV_SPICEVMC:
	case CHARDEV_BACKEND_MAX_:
		break;
	}
	return 0;
}

static int clone_chardevs(struct clone *c)
{
	VEC_FOREACH (serial, &c->d->serials)
		if (clone_chardev(c, serial) < 0)
			return -1;
	VEC_FOREACH (console, &c->d->consoles)
		if (clone_chardev(c, console) < 0)
			return -1;
	VEC_FOREACH (channel, &c->d->channels)
		if (clone_chardev(c, channel) < 0)
			return -1;
	return 0;
}

static void clone_graphics(struct clone *c)
{
	VEC_FOREACH (graphics, &c->d->graphics) {
		make_own_path(c, &graphics->socket);
		graphics->port = graphics->tls_port = -1;
		graphics->autoport = !graphics->socket && !graphics->listen_none;
		if (graphics->websocket > 0)
			graphics->websocket = -1;
	}
}

static int clone_rest(struct clone *c)
{
	struct domain *d = c->d;

	if (d->tpm)
		return refuse(c, "TPM", "", "is in its memory and on the host, and there is one of it");
	VEC_FOREACH (lease, &d->leases)
		return refuse(c, "lease", lease->key, "can have one holder");
	if (d->vsock)
		d->vsock->auto_cid = true;
	if (d->os.nvram) {
		char *own = add_file(c, xstrdup(NVRAM_NAME), d->os.nvram, false, DISK_FORMAT_NONE);

		free(d->os.nvram);
		d->os.nvram = own;
	}
	return 0;
}

int domain_make_clone(
	struct domain *d, const char *name, const char *directory, struct clone_files *ret, struct error *err)
{
	_cleanup_free_ char *before = d->name;
	struct clone_files files = {0};
	struct clone c = {
		.d = d, .before = before, .name = name, .directory = directory, .files = &files, .err = err};

	d->name = xstrdup(name);
	if (clone_disks(&c) < 0 || clone_nics(&c) < 0 || clone_chardevs(&c) < 0 || clone_rest(&c) < 0) {
		clone_files_fini(&files);
		return -1;
	}
	clone_graphics(&c);
	*ret = files;
	return 0;
}

unsigned domain_unplug_networks(struct domain *d)
{
	unsigned n = 0;

	VEC_FOREACH (nic, &d->nics) {
		if (nic->type == NIC_USER || nic->link == TRISTATE_OFF)
			continue;
		nic->link = TRISTATE_OFF;
		n++;
	}
	return n;
}

unsigned domain_count_unplugged(const struct domain *live, const struct domain *defined)
{
	unsigned n = 0;

	for (size_t i = 0; i < live->nics.n && i < defined->nics.n; i++)
		n += live->nics.items[i]->link == TRISTATE_OFF &&
		     defined->nics.items[i]->link != TRISTATE_OFF;
	return n;
}
