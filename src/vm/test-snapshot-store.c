/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Snapshots' metadata: what is written is there for the next daemon, and what is damaged hurts nobody else. */
#include "snapshot-store.h"

#include <fcntl.h>

#include "file.h"
#include "snapshot-tree.h"
#include "tap.h"
#include "vm-internal.h"
#include "vm-snapshot.h"

static const uint8_t uuid[16] = {1, 2, 3};
static char directory[] = "/tmp/godwit-test-XXXXXX";
static struct registry registry;
static struct error err;

static struct snapshot *make(const char *name, const char *parent)
{
	struct snapshot *s = snapshot_new();

	s->name = xstrdup(name);
	s->parent = xstrdup(parent);
	s->created_s = 1700000000;
	s->state = SNAPSHOT_SHUTOFF;
	s->memory = SNAPSHOT_NO;
	memcpy(s->uuid, uuid, 16);
	s->has_uuid = true;
	return s;
}

static bool add(struct vm *vm, const char *name, const char *parent)
{
	struct snapshot *s = make(name, parent);

	if (snapshot_store_add(vm, s, false, &err) == 0)
		return true;
	printf("# %s\n", err.message);
	snapshot_free(s);
	return false;
}

static bool parent_is(const struct vm *vm, const char *name, const char *parent)
{
	const struct snapshot *s = snapshot_tree_find(&vm->snapshots, name);

	return s && streq(s->parent, parent);
}

/* As the next daemon finds it. */
static struct vm *reload(struct vm *vm)
{
	struct vm *next = vm_new(&registry, vm->name, uuid);

	vm_unref(vm);
	snapshot_store_load(next);
	return next;
}

static struct vm *test_changes(struct vm *vm)
{
	ok(add(vm, "one", NULL) && add(vm, "two", "one") && add(vm, "three", "two"), "three of them");
	ok(snapshot_store_set_current(vm, "three", &err) == 0, "the last one is current");
	vm = reload(vm);
	ok(vm->snapshots.all.n == 3 && parent_is(vm, "three", "two"), "are there for the next daemon");
	is_str(vm->snapshots.current, "three", "and where it was");
	ok(snapshot_store_set_current(vm, "one", &err) == 0, "another one is current");
	vm = reload(vm);
	is_str(vm->snapshots.current, "one", "and no other");
	ok(snapshot_store_set_current(vm, "nobody", &err) < 0 && err.code == ERROR_NO_SNAPSHOT,
		"one that is not there cannot be");
	ok(snapshot_store_set_current(vm, "two", &err) == 0 && snapshot_store_remove(vm, "two", &err) == 0,
		"the current one goes");
	vm = reload(vm);
	ok(vm->snapshots.all.n == 2 && parent_is(vm, "three", "one"), "its child is its parent's");
	is_str(vm->snapshots.current, "one", "which is the current one");
	ok(snapshot_store_set_current(vm, NULL, &err) == 0, "none is current");
	vm = reload(vm);
	ok(!vm->snapshots.current, "nor later");
	ok(snapshot_store_rename(vm, "new", &err) == 0, "the machine has another name");
	replace_string(&vm->name, "new");
	vm = reload(vm);
	is_int(vm->snapshots.all.n, 2, "and its snapshots");
	return vm;
}

static bool put_file(const struct vm *vm, const char *file, const char *text)
{
	_cleanup_close_ int dir = openat(registry.snapshot_fd, vm->name, O_RDONLY | O_DIRECTORY);

	return file_replace(dir, file, text, strlen(text), 0600, &err) == 0;
}

static bool put(const struct vm *vm, const char *name, const char *parent, bool current)
{
	_cleanup_(snapshot_free_p) struct snapshot *s = make(name, parent);
	_cleanup_free_ char *xml = snapshot_format(s, SNAPSHOT_FORMAT_INTERNAL, current),
			    *file = xasprintf("%s.xml", name);

	return put_file(vm, file, xml);
}

static struct vm *test_damage(struct vm *vm)
{
	static const char stranger[] =
		"<domainsnapshot><name>stranger</name><state>shutoff</state><creationTime>1</creationTime>"
		"<domain><uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid></domain><active>0</active>"
		"</domainsnapshot>";
	struct snapshot *again;

	ok(put_file(vm, "bad.xml", "<domainsnapshot>") && put_file(vm, "notes.txt", "x"), "files of others");
	vm = reload(vm);
	is_int(vm->snapshots.all.n, 2, "are passed over");
	ok(put(vm, "orphan", "gone", false) && put(vm, "child", "orphan", false), "one without its parent");
	vm = reload(vm);
	ok(parent_is(vm, "orphan", "gone") && parent_is(vm, "child", "orphan"), "is there, with its child");
	is_int(snapshot_tree_count_children(&vm->snapshots, NULL), 2, "as a root");
	ok(put(vm, "a", "b", true) && put(vm, "b", "a", true), "two below each other, both of them current");
	vm = reload(vm);
	ok(vm->snapshots.all.n == 6 && snapshot_tree_count_children(&vm->snapshots, NULL) == 3,
		"are a tree again");
	ok(streq(vm->snapshots.current, "a") != streq(vm->snapshots.current, "b"), "one of them is current");
	ok(vm_snapshot_is_unreadable(vm, "bad") && !vm_snapshot_is_unreadable(vm, "a"),
		"what cannot be read stays known");
	ok(snapshot_store_check_readable(vm, &err) < 0 && strstr(err.message, "'bad'"), "and is named");
	again = make("bad", NULL);
	ok(snapshot_store_add(vm, again, false, &err) < 0 && strstr(err.message, "'bad'"),
		"a new one does not take its place");
	ok(snapshot_store_add(vm, again, true, &err) == 0 && snapshot_store_check_readable(vm, &err) == 0,
		"one that is to replace it does");
	ok(snapshot_store_remove(vm, "bad", &err) == 0 && put_file(vm, "bad.xml", "<"),
		"it is damaged again");
	vm = reload(vm);
	ok(snapshot_store_remove(vm, "bad", &err) == 0 && snapshot_store_check_readable(vm, &err) == 0,
		"and its metadata go");
	ok(put_file(vm, "stranger.xml", stranger), "one of another machine");
	vm = reload(vm);
	ok(vm->snapshots.all.n == 6 && !snapshot_tree_find(&vm->snapshots, "stranger"), "is not taken");
	ok(snapshot_store_remove_all(vm, &err) == 0 && vm->snapshots.all.n == 0, "all go");
	ok(!file_exists(registry.snapshot_fd, vm->name), "and leave nothing");
	return vm;
}

/* images.json outlives the snapshots it tells of. */
static struct vm *test_rename_alone(struct vm *vm)
{
	ok(add(vm, "one", NULL) && put_file(vm, "images.json", "x") &&
			snapshot_store_remove(vm, "one", &err) == 0,
		"what is left when there are no snapshots any more");
	ok(snapshot_store_rename(vm, "newer", &err) == 0 && !file_exists(registry.snapshot_fd, vm->name),
		"goes along with a new name");
	replace_string(&vm->name, "newer");
	ok(snapshot_store_rename(vm, "newest", &err) == 0, "again");
	replace_string(&vm->name, "newest");
	ok(snapshot_store_remove_all(vm, &err) == 0 && snapshot_store_rename(vm, "last", &err) == 0,
		"nothing is there to be renamed");
	return vm;
}

int main(void)
{
	struct vm *vm;

	if (!mkdtemp(directory) || (registry.snapshot_fd = open(directory, O_RDONLY | O_DIRECTORY)) < 0)
		return 1;
	vm = vm_new(&registry, "vm", uuid);
	vm = test_changes(vm);
	vm = test_damage(vm);
	vm = test_rename_alone(vm);
	vm_unref(vm);
	close(registry.snapshot_fd);
	rmdir(directory);
	return done_testing();
}
