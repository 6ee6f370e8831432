/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who holds a lease: a note that the holder leaves beside it, for the message to whoever is refused. Nothing is decided
 * by it (docs/formats/lease.md).
 */
#pragma once

#include "lease.h"

/* Where the note stands. */
enum lease_note {
	LEASE_NOTE_INSIDE, /* it is the contents of the lease's own file */
	LEASE_NOTE_ATTRIBUTE, /* user.godwit.lease of the disk; nowhere, where the file system has no such attributes */
	LEASE_NOTE_BESIDE, /* the file FILE.holder */
};

/* Best effort. `fd` is the lease's file, writable; BESIDE needs only `file`. `pid` 0: this process. */
void lease_note_write(
	enum lease_note where, int fd, const char *file, const struct lease_set *set, pid_t pid);

/* May that process of this host hold it, for all that can be seen? */
typedef bool (*lease_may_hold_fn)(pid_t pid, const struct lease_item *item);

/*
 * "VM vm on host h2 (pid 4711) holds its lease", as certain as it can be said: from the note if its process lives here and `may_hold`
 * (NULL: nothing can be seen) has nothing against it, or is another host's, whose `host_id` is this if there is one (0: there is
 * none); otherwise `otherwise`. Caller frees.
 */
char *lease_note_describe(enum lease_note where, int fd, const struct lease_item *item, uint64_t host_id,
	lease_may_hold_fn may_hold, const char *otherwise);
