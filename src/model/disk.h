/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A disk by itself, and its coming to and going from a domain: what hot-plugging needs of the model. */
#pragma once

#include "domain.h"

/*
 * The XML of one device. Any but a <disk> is refused by name with ERROR_UNSUPPORTED_CONFIG; `doing` ("attaching") begins that
 * message. `flags` as for domain_parse.
 */
int disk_parse(const char *xml, unsigned flags, const char *doing, struct disk **ret, struct error *err);
/* Only which disk it is: its target. The rest of the XML may be incomplete. Caller frees. */
int disk_parse_target(const char *xml, const char *doing, char **ret, struct error *err);
char *disk_format(const struct disk *disk, unsigned flags);
struct disk *disk_copy(const struct disk *disk);
void disk_free(struct disk *disk); /* accepts NULL */
DEFINE_CLEANUP(struct disk *, disk_free);

/* NULL: there is none. */
struct disk *domain_find_disk(const struct domain *d, const char *target);
struct disk *domain_find_disk_by_alias(const struct domain *d, const char *alias);

/* Takes the disk when it succeeds, to its place among the others; checks it against all other devices. */
int domain_add_disk(struct domain *d, struct disk *disk, struct error *err);
/* Frees it. */
void domain_remove_disk(struct domain *d, struct disk *disk);

/* Its backing images are forgotten, whoever said them. */
void disk_clear_backing(struct disk *disk);

/*
 * Live XML does not say who has written a chain. Whoever knows that all in this document are its user's says so; a document in the place of
 * another, `before`, may have found chains too: of those only the ones that were given there count as given.
 */
void domain_give_chains(struct domain *d);
void domain_keep_given_chains(const struct domain *before, struct domain *d);

/*
 * disk->node and those of its layers, where there is none, as libvirt numbers them: first all disks, empty drives too, from the last to the first,
 * then what they stand on, in the same order. No number is given twice, so that none ever means another image of the same QEMU.
 */
void domain_number_disks(struct domain *d);
/* For another QEMU. */
void domain_clear_nodes(struct domain *d);
