/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The metadata of a VM's snapshots on disk, lib/snapshot/NAME/SNAPSHOT.xml, and the tree of them in memory (struct vm's
 * `snapshots`). libvirt keeps the same files in the same places. What these functions wrote is durable when they return, and whenever the
 * daemon or the host ends, what is on disk is a tree with at most one current snapshot.
 */
#pragma once

#include "snapshot-tree.h"
#include "vm.h"

/* Fills the tree of a VM that has none yet. Files that cannot be read are logged, left alone, and known as unreadable. */
void snapshot_store_load(struct vm *vm);

/*
 * All snapshots could be read, so that it is known which files they need; else ERROR_OPERATION_INVALID, naming one. For whatever writes to
 * images, or removes some, because no snapshot needs them.
 */
int snapshot_store_check_readable(const struct vm *vm, struct error *err);
/* In memory. */
void snapshot_store_forget_unreadable(struct vm *vm);

/* The file alone; the tree stays as it is. Current is whom the tree says. */
int snapshot_store_write(struct vm *vm, const struct snapshot *s, struct error *err);

/* File and tree; `replace` mends one that is unreadable, too. Takes `s` when it succeeds; fails as snapshot_tree_add and leaves both as they were. */
int snapshot_store_add(struct vm *vm, struct snapshot *s, bool replace, struct error *err);

/*
 * File and tree: its children become its parent's, and its parent the current one if it was that. Not there is success. What it froze is
 * the caller's.
 */
int snapshot_store_remove(struct vm *vm, const char *name, struct error *err);

/* File and tree; NULL: none is current. */
int snapshot_store_set_current(struct vm *vm, const char *name, struct error *err);

/* All files of a VM that is going away, and its tree. Not there is success. */
int snapshot_store_remove_all(struct vm *vm, struct error *err);

/* The VM is called `name` from now on; the caller changes vm->name. */
int snapshot_store_rename(struct vm *vm, const char *name, struct error *err);
