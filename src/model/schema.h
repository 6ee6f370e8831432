/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The tables of domain XML, one file for each field of meaning. */
#pragma once

#include "field.h"

/* schema-domain.c */
extern const struct table domain_table;

/* schema-os.c: of struct domain_os and struct domain_features */
extern const struct table os_table, features_table;

/* schema-cpu.c: of struct domain_cpu and struct domain_clock */
extern const struct table cpu_table, clock_table;

/* schema-address.c, of struct device_info: info is <alias> and <address>, and what disks and nics have besides */
extern const struct table info_table, info_boot_table, info_nic_table, alias_table, address_table;

/* A controller that was given no index; domain_check finds one. */
#define CONTROLLER_INDEX_NEXT UINT32_MAX

/* schema-disk.c, schema-lease.c, schema-nic.c, schema-chardev.c, schema-graphics.c, schema-device.c */
extern const struct table disk_table, controller_table, lease_table, nic_table;
extern const struct table serial_table, console_table, channel_table;
extern const struct table graphics_table, video_table, input_table, hub_table, tpm_table, rng_table,
	memballoon_table, watchdog_table, panic_table, vsock_table, iommu_table;

/* The list of consoles, whose first one repeats the first serial port. */
void consoles_format(const struct format_context *c, const void *domain);

/* domain.c: <domain>, or the same under another name, inside another document. */
int domain_parse_element(struct parse_context *c, const xmlNode *node, struct domain **ret);
void domain_format_element(struct xml_writer *w, const char *name, const struct domain *d, unsigned flags);

/* check.c: what holds between the parts of a domain. Fills in what follows from the description alone. */
int domain_check(struct parse_context *c, const xmlNode *node, void *domain);
