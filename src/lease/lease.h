/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Leases: what a VM must hold to write to its disks, so that no disk ever has two writers, on whatever host.
 *
 * A lease belongs to the process that can write, which is QEMU. The child that becomes QEMU takes it before it does
 * (lease_take_here), and it lasts exactly as long as that process: it needs no daemon to be kept, and nobody to be given back.
 * lease-lockd.c and lease-sanlock.c say how. Only a hand-over between two living QEMUs takes a lease from a process and gives it
 * to another (lease_request_start).
 *
 * Everything that may block runs in a child process. docs/leases.md is for people.
 */
#pragma once

#include <systemd/sd-event.h>

#include "alloc.h"
#include "domain.h"
#include "lease-state.h"

enum lease_kind { LEASE_KIND_NONE, LEASE_KIND_LOCKD, LEASE_KIND_SANLOCK, LEASE_KIND_MAX_ };

/* "none" (also "nop", as in qemu.conf), "lockd", "sanlock". False: no such lock manager, or built without it. */
bool lease_kind_parse(const char *name, enum lease_kind *ret);
const char *lease_kind_name(enum lease_kind kind);

/* As the configuration has them (man godwit.conf). Strings are borrowed for the manager's life. */
struct lease_settings {
	enum lease_kind kind;
	bool auto_disk_leases;	      /* a lease for every writable disk */
	bool require_lease_for_disks; /* without auto_disk_leases: writable disks need a <lease> beside them */
	const char *file_lockspace_dir; /* lockd; NULL: the disk itself is locked */
	const char *disk_lease_dir;	/* sanlock */
	uint32_t host_id;		/* sanlock: 1 to 2000, unlike any other host's */
	uint32_t io_timeout_s;		/* sanlock; 0: its default */
	uid_t sanlock_uid; /* who shall own what is made for sanlock; (uid_t)-1, (gid_t)-1: as we are */
	gid_t sanlock_gid;
	const char *hostname;	  /* for whoever is refused */
	const char *lost_program; /* what sanlock runs when a lease is lost: godwit ... */
	const char *lost_socket;  /* ... which speaks to the daemon that listens there */
};

/* One thing to be held. */
struct lease_item {
	char *what; /* for messages: "disk /s/vm.qcow2", "lease 'key' of lockspace 'area'" */
	bool is_shared;
	/*
	 * lockd: the file one byte of which is locked. sanlock: the file that holds the resource, at `offset`.
	 * is_own: the file is there for the lease alone and is made when it is missing.
	 */
	char *file;
	uint64_t offset;
	bool is_own;
	char *lockspace, *resource; /* sanlock's names; NULL with lockd */
	int fd;			    /* in the child that becomes QEMU; else -1 */
};

/* A living QEMU that must hold so many. */
struct lease_holder {
	pid_t pid;
	size_t n_items;
};

/* All that one VM must hold: taken and given back together. */
struct lease_set {
	const struct lease_settings *settings;
	char *vm_name;
	uint8_t uuid[16];
	enum lockfailure_action on_lost;
	VEC(struct lease_item) items;
	VEC(struct lease_holder) holders; /* for WATCH alone */
	int fd; /* sanlock, in the child that becomes QEMU: its connection; else -1 */
};

/*
 * What `d` must hold; never blocks. ERROR_UNSUPPORTED_CONFIG: it has a <lease> or an <on_lockfailure> that this lock manager cannot
 * honour, or has none where one is required.
 */
int lease_plan(
	const struct lease_settings *s, const struct domain *d, struct lease_set **ret, struct error *err);
void lease_set_free(struct lease_set *set); /* accepts NULL */
DEFINE_CLEANUP(struct lease_set *, lease_set_free);

/*
 * For the child that becomes QEMU, before it does. May block for as long as sanlock waits for a dead host's lease to expire. All
 * or nothing. ERROR_IN_USE: somebody else has it, named as far as that can be known. Descriptors that carry the lease stay open
 * across exec. Without `hold` the process is only made able to hold it later.
 */
int lease_take_here(struct lease_set *set, bool hold, struct error *err);

/* ---- of a living QEMU, asynchronously; a child does it ---- */

enum lease_operation {
	LEASE_JOIN,    /* sanlock: become a host of the lockspace; of no VM: `set` is empty, `pid` 0 */
	LEASE_INQUIRE, /* what does it hold? */
	LEASE_RELEASE, /* give back all; the guest must stand still, its images be flushed. Idempotent */
	LEASE_ACQUIRE, /* take all, or nothing. Idempotent */
	LEASE_ADD,     /* take the one item of the set besides what is held */
	LEASE_REMOVE,  /* give back the one item of the set, which is not written to any more. Idempotent */
	/*
	 * Of no VM: ends (with an error) when the lock manager's daemon does, or one of the holders holds less than it must, which
	 * is looked at once, when that daemon is watched already. Not before.
	 */
	LEASE_WATCH,
};

struct lease_answer {
	size_t n_held; /* of the set's items, after INQUIRE */
	/*
	 * sanlock, after INQUIRE and RELEASE: what the next holder may be told, so that it notices if anybody had the lease in
	 * between (libvirt's <lockstate>). "" with lockd.
	 */
	const char *state;
	/*
	 * After ADD: what carries the lease, which is held for as long as this is open, and which the process must get before the
	 * callback's copy is closed; -1: it has the lease. Borrowed.
	 */
	int fd;
};

/* Exactly once, from the loop, unless the request was freed before. err NULL on success. */
typedef void (*lease_done_fn)(const struct lease_answer *answer, const struct error *err, void *userdata);

struct lease_request;
/* `state` (may be NULL) is of an earlier holder, for ACQUIRE. `set` may be freed at once. */
int lease_request_start(sd_event *loop, const struct lease_set *set, enum lease_operation operation,
	pid_t pid, const char *state, lease_done_fn done, void *userdata, struct lease_request **ret,
	struct error *err);
/* Its child is killed. Accepts NULL. */
void lease_request_free(struct lease_request *r);

/* A set of nothing, for JOIN and WATCH. */
struct lease_set *lease_set_new(const struct lease_settings *s);

/* What is in `a` and not in `b`; of the same VM. Caller frees. */
struct lease_set *lease_set_subtract(const struct lease_set *a, const struct lease_set *b);
/* Is something in both, be it shared or not? */
bool lease_set_overlaps(const struct lease_set *a, const struct lease_set *b);
