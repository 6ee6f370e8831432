/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Notes of snapshots' disks, looked at in a child: storage may not answer. */
#include "snapshot-note.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "disk-check.h"
#include "disk-look.h"
#include "disk.h"
#include "file.h"
#include "image.h"

#define SUFFIX	 ".disks"
#define NOTE_MAX (4u << 20) /* bytes */

struct domain *snapshot_frozen_domain(const struct snapshot *s)
{
	struct domain *d;

	if (!s->domain)
		return NULL;
	d = domain_copy(s->domain);
	for (size_t i = d->disks.n; i-- > 0;) {
		const struct snapshot_disk *disk = snapshot_find_disk(s, d->disks.items[i]->target);

		if (!disk || disk->location != SNAPSHOT_EXTERNAL)
			domain_remove_disk(d, d->disks.items[i]);
	}
	return d;
}

/* ---- beside the metadata ---- */

static int open_directory(const struct vm *vm)
{
	return openat(vm->registry->snapshot_fd, vm->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int read_note(int dir, const char *name, char **ret, struct error *err)
{
	_cleanup_free_ char *file = xasprintf("%s" SUFFIX, name);
	size_t len;

	*ret = NULL;
	if (dir < 0 || !file_exists(dir, file))
		return 0;
	return file_read(dir, file, NOTE_MAX, ret, &len, err);
}

int snapshot_note_read(struct vm *vm, const char *name, char **ret, struct error *err)
{
	_cleanup_close_ int dir = open_directory(vm);

	return read_note(dir, name, ret, err);
}

int snapshot_note_write(struct vm *vm, const char *name, const char *text, struct error *err)
{
	_cleanup_free_ char *file = xasprintf("%s" SUFFIX, name);
	_cleanup_close_ int dir = open_directory(vm);

	if (dir < 0 && errno == ENOENT && !text)
		return 0;
	if (dir < 0)
		return error_errno(err, errno, "open the directory of snapshots of %s", vm->name);
	return text ? file_replace(dir, file, text, strlen(text), 0600, err)
		    : file_remove(dir, file, true, err);
}

/* ---- looking ---- */

struct snapshot_notes {
	struct vm *vm;	   /* a reference */
	struct strv names; /* to look at */
	bool renew;
	int dir; /* of the metadata, for the child; -1: there is none */
	struct process *looker;
	snapshot_notes_fn done;
	void *userdata;
};

void snapshot_notes_free(struct snapshot_notes *n)
{
	if (!n)
		return;
	disk_check_end(&n->looker);
	close_p(&n->dir);
	strv_fini(&n->names);
	vm_unref(n->vm);
	free(n);
}

/* The newer one, else its image's; NULL: there is none. */
static char *find_note(const struct snapshot_notes *n, const struct snapshot *s)
{
	_cleanup_close_ int fd = -1;
	char *text = NULL;

	if (read_note(n->dir, s->name, &text, NULL) < 0 || text)
		return text;
	fd = open(s->memory_file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || image_read_disks(fd, s->memory_file, &text, NULL) < 0)
		return NULL;
	return text;
}

static int look(const struct snapshot *s, struct disk_notes *ret)
{
	_cleanup_domain_ struct domain *d = snapshot_frozen_domain(s);

	return d ? disk_look(d, false, ret, NULL) : -1;
}

static bool is_as_noted(const struct snapshot_notes *n, const struct snapshot *s)
{
	_cleanup_free_ char *text = find_note(n, s);
	struct disk_notes saved = {0}, now = {0};
	struct buf remarks = {0};
	bool good = text && disk_notes_parse(text, &saved, NULL) == 0 && look(s, &now) == 0 &&
		    disk_notes_compare(&saved, &now, &remarks, NULL) == 0;

	disk_notes_fini(&saved);
	disk_notes_fini(&now);
	buf_fini(&remarks);
	return good;
}

/* {"NAME": its note now, or "" when it is only checked} */
static int work(struct buf *result, void *userdata, struct error *err)
{
	const struct snapshot_notes *n = userdata;
	_cleanup_json_ json *o = json_object_new_object();
	_cleanup_free_ char *text = NULL;

	for (size_t i = 0; i < n->names.n; i++) {
		const struct snapshot *s = snapshot_tree_find(&n->vm->snapshots, n->names.items[i]);
		_cleanup_free_ char *note = NULL;
		struct disk_notes now = {0};

		if (!s || (n->renew ? look(s, &now) < 0 : !is_as_noted(n, s)))
			continue;
		note = n->renew ? disk_notes_format(&now) : xstrdup("");
		json_object_object_add(o, s->name, json_object_new_string(note));
		disk_notes_fini(&now);
	}
	text = json_format(o);
	buf_adds(result, text);
	return 0;
}

static int take_result(
	struct snapshot_notes *n, const char *text, size_t len, struct strv *ret, struct error *err)
{
	_cleanup_json_ json *o = NULL;

	if (json_parse(text, len, &o, err) < 0)
		return -1;
	json_object_object_foreach(o, name, note)
	{
		if (n->renew && snapshot_note_write(n->vm, name, json_object_get_string(note), err) < 0)
			return -1;
		strv_add(ret, name);
	}
	return 0;
}

static void worked(struct process *p, const struct error *err, const char *result, size_t len, void *userdata)
{
	struct snapshot_notes *n = userdata;
	struct vm *vm = vm_ref(n->vm);
	struct error failure = ERROR_INIT;
	struct strv names = {0};
	snapshot_notes_fn done = n->done;
	void *done_userdata = n->userdata;

	if (err)
		failure = *err;
	else
		take_result(n, result, len, &names, &failure);
	snapshot_notes_free(n);
	done(vm, &names, failure.code != ERROR_NONE ? &failure : NULL, done_userdata);
	strv_fini(&names);
	vm_unref(vm);
}

static int start(struct vm *vm, bool renew, const struct strv *names, snapshot_notes_fn done, void *userdata,
	struct snapshot_notes **ret, struct error *err)
{
	struct snapshot_notes *n = NEW(struct snapshot_notes);

	*n = (struct snapshot_notes){.vm = vm_ref(vm),
		.renew = renew,
		.dir = open_directory(vm),
		.done = done,
		.userdata = userdata};
	for (size_t i = 0; i < names->n; i++)
		strv_add(&n->names, names->items[i]);
	if (process_start(vm->registry->loop,
		    &(struct process_options){.fds = &n->dir,
			    .n_fds = n->dir >= 0,
			    .stdin_fd = -1,
			    .stdout_fd = -1,
			    .stderr_fd = -1,
			    .dies_with_daemon = true,
			    .work = work,
			    .work_userdata = n,
			    .worked = worked},
		    NULL, n, &n->looker, err) < 0) {
		snapshot_notes_free(n);
		return -1;
	}
	*ret = n;
	return 0;
}

int snapshot_notes_check(
	struct vm *vm, snapshot_notes_fn done, void *userdata, struct snapshot_notes **ret, struct error *err)
{
	struct strv names = {0};
	int r;

	VEC_FOREACH (s, &vm->snapshots.all) {
		if (s->memory == SNAPSHOT_EXTERNAL && s->memory_file && s->domain)
			strv_add(&names, s->name);
	}
	r = start(vm, false, &names, done, userdata, ret, err);
	strv_fini(&names);
	return r;
}

int snapshot_notes_renew(struct vm *vm, const struct strv *names, snapshot_notes_fn done, void *userdata,
	struct snapshot_notes **ret, struct error *err)
{
	return start(vm, true, names, done, userdata, ret, err);
}
