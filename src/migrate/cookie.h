/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the daemons of both sides tell each other in a migration, carried by whoever drives the phases: libvirt's XML document <qemu-migration>,
 * and one element of ours that libvirt ignores:
 *
 *	<handover token="32 hex digits" [host="name or address" port="49153" place="32 hex digits"]/>
 *
 * source to destination: its token; the source knows how to pass the right to run (handover.h). destination to source: the same token,
 * where it can be asked, and whose word counts (verdict.h).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "alloc.h"
#include "error.h"
#include "strv.h"

#define COOKIE_MAX	 (4u << 20) /* bytes, as in libvirt's protocol */
#define COOKIE_TOKEN_LEN 32	    /* hex digits */

/* <feature name='...'/>: whoever reads it must know it */
enum {
	COOKIE_LOCKSTATE = 1 << 0,
	COOKIE_PERSISTENT = 1 << 1,
	COOKIE_MEMORY_HOTPLUG = 1 << 2,
	COOKIE_CPU_HOTPLUG = 1 << 3,
	COOKIE_ALL_MANDATORY =
		COOKIE_LOCKSTATE | COOKIE_PERSISTENT | COOKIE_MEMORY_HOTPLUG | COOKIE_CPU_HOTPLUG,
	/* elements that are no mandatory features */
	COOKIE_GRAPHICS = 1 << 4,
	COOKIE_NETWORK = 1 << 5,
	COOKIE_NBD = 1 << 6,
	COOKIE_STATISTICS = 1 << 7,
	COOKIE_CPU = 1 << 8,
	COOKIE_CAPABILITIES = 1 << 9,
	COOKIE_BITMAPS = 1 << 10,
	COOKIE_HANDOVER = 1 << 11,
};

struct cookie_disk {
	char *target;
	uint64_t capacity; /* bytes */
};

/* <statistics>, in libvirt's units: ms, bytes */
struct cookie_statistics {
	uint64_t started_ms, stopped_ms, sent_ms; /* wall clock */
	bool has_delta;
	int64_t delta_ms; /* of the clocks */
	uint64_t time_elapsed, downtime, setup_time;
	bool has_downtime;
	uint64_t memory_total, memory_processed, memory_remaining, memory_bps;
	uint64_t memory_constant, memory_normal, memory_normal_bytes, memory_dirty_rate, memory_iteration;
	uint64_t memory_postcopy_requests, memory_page_size;
	uint64_t disk_total, disk_processed, disk_remaining, disk_bps;
};

struct cookie {
	unsigned has;	    /* COOKIE_*: which of the parts below are there */
	unsigned mandatory; /* COOKIE_*: named as features */
	char *name, *hostname;
	uint8_t uuid[16], host_uuid[16];
	char *lock_driver, *lock_state; /* NULL, NULL: only the feature */
	char *persistent_xml;		/* the persistent definition */
	char *cpu_xml;			/* <cpu>, as text */
	struct strv capabilities;	/* QEMU's migration capabilities */
	struct strv auto_capabilities;	/* those of them with auto='yes' */
	VEC(struct cookie_disk) disks;	/* nbd */
	uint16_t nbd_port;		/* 0: not said */
	char *graphics_type, *graphics_listen;
	int graphics_port, graphics_tls_port;
	struct cookie_statistics statistics;
	char *token, *handover_host, *handover_place; /* handover */
	uint16_t handover_port;
};

void cookie_fini(struct cookie *c);
/* Caller frees. name, uuid, hostname and host_uuid must be set. */
char *cookie_format(const struct cookie *c);
/*
 * `text`: at most COOKIE_MAX bytes, NULL or "": an empty one. `accept`: COOKIE_* features that are accepted as mandatory in this phase.
 * ERROR_OPERATION_FAILED: of another VM than `uuid` (NULL: any), of this very host (`own_host_uuid`; libvirt's words), or with a mandatory feature that
 * is not accepted. ERROR_XML: no such document. Unknown elements are ignored.
 */
int cookie_parse(const char *text, size_t len, const uint8_t uuid[16], const uint8_t own_host_uuid[16],
	unsigned accept, struct cookie *ret, struct error *err);
