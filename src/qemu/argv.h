/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From a domain, complete with addresses and aliases, to the command line that makes QEMU be it. */
#pragma once

#include "capabilities.h"
#include "domain.h"
#include "strv.h"

/* What the command line needs besides the domain. Descriptors are -1 when not used. */
struct argv_context {
	const char *run_dir;	 /* this VM's directory: secrets, sockets */
	const char *channel_dir; /* where channels with mode='bind' and no path get their socket */
	int monitor_fd;	    /* listening UNIX socket for QMP; -1: the line is for reading, not for running */
	bool incoming;	    /* -incoming defer: state comes from an image or another host */
	const int *tap_fds; /* one for each nic, -1 where none; may be NULL */
	const int *vhost_fds;	/* likewise */
	int vsock_fd;		/* opened /dev/vhost-vsock with its CID set */
	const char *tpm_socket; /* swtpm's control socket */
	/* The guest's memory begins as these bytes of a file, mapped copy-on-write; NULL: with zeros */
	const char *memory_path;
	uint64_t memory_offset;
	bool sandbox; /* -sandbox on,... */
	int64_t now;  /* seconds since 1970, for clocks that start elsewhere; 0: ask the system */
};

/*
 * ret_argv[0] is the emulator. The guest always starts stopped (-S). Every disk is a -blockdev pair:
 * node names "libvirt-N-storage" (file) and "libvirt-N-format", for each image of its chain, N counting as domain_number_disks does, and device ids are the aliases, so that images and migrations are interchangeable.
 * ERROR_UNSUPPORTED_CONFIG when this QEMU cannot do what the domain asks.
 */
int argv_build(const struct domain *d, const struct qemu_capabilities *caps, const struct argv_context *ctx,
	struct strv *ret_argv, struct error *err);

/*
 * The part of the command line that is this one disk of `d`: pairs of "-blockdev" and JSON from the bottom up, then "-device" and JSON. The
 * JSON is that of the commands blockdev-add and device_add.
 */
int argv_build_disk(const struct domain *d, const struct disk *disk, const struct qemu_capabilities *caps,
	struct strv *ret_argv, struct error *err);
/*
 * The two nodes of the image that is the top of `disk`'s chain, on nothing: blockdev-snapshot puts it onto what it stands on. Pairs as of
 * argv_build_disk, without a device.
 */
int argv_build_overlay(const struct domain *d, const struct disk *disk, const struct qemu_capabilities *caps,
	struct strv *ret_argv, struct error *err);
/* The names of its block nodes from the top down, as they are to be deleted; its numbers must be set. Appended. */
void argv_disk_nodes(const struct disk *disk, struct strv *ret);
