/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* godwit.conf: `key = value`, value a "string" or a number, as in libvirt's files and with their key names (man godwit.conf). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "error.h"
#include "image.h"
#include "lease.h"
#include "strv.h"

/* A key that need not be there. */
struct config_format {
	bool given;
	enum image_format format;
};

struct config {
	struct config_format save_image_format, snapshot_image_format;
	bool restore_eagerly; /* all memory is in before the guest runs */
	bool auto_start_bypass_cache;
	bool kvm_probe;	     /* false: take the kernel's word that KVM works */
	char *snapshot_hook; /* path, or the name of one of hooks/; NULL: none */
	char *vnc_listen;
	char *hostname;
	bool has_host_uuid;
	uint8_t host_uuid[16];
	char *emulator;
	char *unix_sock_group;
	bool listen_tcp;
	char *listen_addr; /* NULL: every address */
	char *tcp_port;	   /* a number */
	char *auth_tcp;	   /* NULL: it was not said */
	bool listen_tls;
	char *tls_port;
	char *ca_file, *cert_file, *key_file, *crl_file; /* crl_file NULL: libvirt's place, if it is there */
	bool tls_no_verify_certificate, tls_no_sanity_certificate;
	struct strv tls_allowed_dn_list; /* none: every DN */
	uint32_t max_clients, max_client_requests;
	int32_t keepalive_interval; /* seconds; -1 off */
	uint32_t keepalive_count;
	uint32_t log_level; /* 1 debug, 2 info, 3 warnings, 4 errors */
	bool drop_in;
	char *migration_host, *migration_address; /* NULL: this host's name; all addresses */
	uint32_t migration_port_min, migration_port_max;
	enum lease_kind lock_manager;
	int32_t auto_disk_leases, require_lease_for_disks; /* 1, 0; -1: as the lock manager has it */
	char *file_lockspace_dir, *disk_lease_dir;	   /* NULL: the default */
	char *sanlock_user, *sanlock_group;
	uint32_t host_id, io_timeout;
};

void config_init(struct config *c); /* the defaults */
void config_fini(struct config *c);

/*
 * Read `path` over what is there. A file that does not exist is success unless `must_exist`. An unknown key or a
 * value that makes no sense is an error "FILE:LINE: ...".
 */
int config_read(struct config *c, const char *path, bool must_exist, struct error *err);

/* What must hold between the keys, once all are set. */
int config_check(const struct config *c, struct error *err);

/* One value, as the command line gives it; `where` is for messages. */
int config_set(struct config *c, const char *key, const char *value, bool quoted, const char *where,
	struct error *err);
