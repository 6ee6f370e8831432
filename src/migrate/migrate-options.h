/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is asked of a migration: flags and typed parameters of libvirt's calls, checked, and as parameters again for the other daemon. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "error.h"
#include "godwit.h"
#include "strv.h"

/* virDomainMigrateFlags (libvirt-domain.h) */
enum {
	MIGRATE_LIVE = 1 << 0,
	MIGRATE_PEER2PEER = 1 << 1,
	MIGRATE_TUNNELLED = 1 << 2,
	MIGRATE_PERSIST_DEST = 1 << 3,
	MIGRATE_UNDEFINE_SOURCE = 1 << 4,
	MIGRATE_PAUSED = 1 << 5,
	MIGRATE_NON_SHARED_DISK = 1 << 6,
	MIGRATE_NON_SHARED_INC = 1 << 7,
	MIGRATE_CHANGE_PROTECTION = 1 << 8,
	MIGRATE_UNSAFE = 1 << 9,
	MIGRATE_OFFLINE = 1 << 10,
	MIGRATE_COMPRESSED = 1 << 11,
	MIGRATE_ABORT_ON_ERROR = 1 << 12,
	MIGRATE_AUTO_CONVERGE = 1 << 13,
	MIGRATE_RDMA_PIN_ALL = 1 << 14,
	MIGRATE_POSTCOPY = 1 << 15,
	MIGRATE_TLS = 1 << 16,
	MIGRATE_PARALLEL = 1 << 17,
	MIGRATE_NON_SHARED_SYNC_WRITES = 1 << 18,
	MIGRATE_POSTCOPY_RESUME = 1 << 19,
	MIGRATE_ZEROCOPY = 1 << 20,
	MIGRATE_FLAGS_ALL = (1 << 21) - 1,
};

enum { MIGRATE_XBZRLE = 1 << 0, MIGRATE_ZLIB = 1 << 1, MIGRATE_ZSTD = 1 << 2 };

/* Strings are owned; NULL and 0: not given. */
struct migrate_options {
	unsigned flags;
	char *uri;		    /* migrate_uri: where QEMU listens */
	char *name;		    /* destination_name */
	char *xml, *persistent_xml; /* destination_xml, persistent_xml */
	char *graphics_uri, *listen_address, *tls_destination, *disks_uri;
	uint64_t bandwidth_mib, bandwidth_postcopy_mib, bandwidth_switchover_mib; /* MiB/s */
	struct strv disks; /* migrate_disks, by target */
	unsigned disks_port;
	unsigned compression;			       /* MIGRATE_XBZRLE ... */
	uint64_t xbzrle_cache;			       /* bytes */
	int zlib_level, zstd_level;		       /* -1: not given */
	unsigned converge_initial, converge_increment; /* per cent */
	unsigned connections;			       /* of MIGRATE_PARALLEL */
};

void migrate_options_init(struct migrate_options *o);
void migrate_options_fini(struct migrate_options *o);
/* `o` is initialised. ERROR_INVALID_ARGUMENT names the flag or parameter, also for those that exclude each other. */
int migrate_options_parse(
	struct migrate_options *o, unsigned flags, const rpc_params *params, struct error *err);
/*
 * What is checked once, when a migration begins: the destination is not told of some flags (AUTO_CONVERGE), and for a VM that stands still clients
 * set PAUSED in the phases behind the first.
 */
int migrate_options_check_begin(const struct migrate_options *o, struct error *err);
void migrate_options_copy(const struct migrate_options *from, struct migrate_options *to);
/* All that is given, as libvirt's parameters; to be freed by migrate_params_free. */
void migrate_options_format(const struct migrate_options *o, rpc_params *ret);
void migrate_params_free(rpc_params *params);
