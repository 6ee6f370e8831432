/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * For the tests of lockd: real processes that hold leases.
 *
 * A holder is a child that does what the child that becomes QEMU does, tells how that went, and stays.
 */
#pragma once

#include "lease-driver.h"
#include "strv.h"
#include "tap.h"

/* What the test itself needs failed. */
#define BAIL_OUT(...) (printf("Bail out! " __VA_ARGS__), putchar('\n'), exit(1))

#define NOTE_ATTRIBUTE "user.godwit.lease"
#define UNKNOWN_HOLDER "another process or another host holds its lease"

/* With the disks themselves, and with files in a directory of `test_directory`. */
extern const struct lease_settings lockd;
extern struct lease_settings lockd_in_directory;
extern char test_directory[];
extern char *disk_a, *disk_b; /* two files there */
extern bool has_attributes;   /* the file system can carry a holder's note */

void prepare_disks(void);
bool remove_disks(void);
void make_file(const char *path);

/* What the VM `name` must hold that has one of these disks, or both. */
struct lease_set *plan_one(const struct lease_settings *s, const char *name, const char *path, bool shared);
struct lease_set *plan_both(const char *name);

struct holder {
	pid_t pid;
	int to, from;
	struct error err; /* how it went */
};

/* What a child does. `to` ends when the child shall. */
typedef int (*holder_fn)(void *userdata, int to, struct error *err);
/* QEMU's own descriptors of its disk, in the child. It closes them and answers with a byte when it gets one. */
extern int holder_others[2];

/* `traced`: it waits for its tracer first. */
struct holder holder_start(holder_fn work, void *userdata, bool traced);
void holder_hear(struct holder *h); /* waits for `err` */
void holder_end(struct holder *h);  /* kill -9; nothing of it remains. Once, or of none */

/* Take the set `userdata`; the second one only makes able to. */
int holder_take(void *userdata, int to, struct error *err);
int holder_take_later(void *userdata, int to, struct error *err);

/* Start and hear. */
struct holder hold_with(holder_fn work, void *userdata);
struct holder hold(struct lease_set *set);
/* Could it be had just now? It is not kept. */
enum error_code try_take(struct lease_set *set, struct error *ret_err);
bool is_free(struct lease_set *set);

/* "VM vm on host h1 (pid 4711) holds its lease", where that can be known. Caller frees. */
char *vm_holder(const char *vm, pid_t pid);

struct posix_lock {
	const char *path;
	short type;
};
/* As virtlockd has it; userdata is a struct posix_lock. */
int lock_posix(void *userdata, int to, struct error *err);
enum error_code try_posix(const char *path, short type);

/* Refused, with "WHAT is in use: `holder`; stop it there first". */
static inline void is_refused(struct lease_set *set, const char *path, const char *holder, const char *name)
{
	_cleanup_free_ char *want = xasprintf("disk %s is in use: %s; stop it there first", path, holder);
	struct error err;

	is_int(try_take(set, &err), ERROR_IN_USE, name);
	is_str(err.message, want, "... and says who has it");
}
