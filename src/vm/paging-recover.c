/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A guest whose memory stopped coming in: its helper died, or its connection broke, or this daemon is a new one.
 *
 * QEMU notices by itself and waits ("postcopy-paused"); the guest runs on until it touches a page that is not there. Two things must
 * come together before it goes on: QEMU waits, and a helper has the image open. Then QEMU is made to listen again, out of band, since
 * its main loop may be the one that waits for a page.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "file.h"
#include "image-layout.h"
#include "log.h"
#include "paging.h"

/* Helpers in a row that may end without having brought a page. Then somebody has to look. */
#define FAILURES_MAX 3u

static void start_another(struct paging *p, const struct error *why)
{
	struct error err = ERROR_INIT;

	p->failures = p->came_in > p->came_in_before ? 1 : p->failures + 1;
	p->came_in_before = p->came_in;
	if (p->failures > FAILURES_MAX) {
		paging_in_trouble(p, why);
		return;
	}
	if (paging_start_helper(p, &err) < 0)
		paging_in_trouble(p, &err);
}

void paging_broken(struct paging *p, const struct error *why)
{
	log_write(LOG_LEVEL_WARNING, p->vm->name, NULL, "the memory of %s stopped coming in: %s", p->vm->name,
		why->message);
	if (p->qemu_has_all) {
		paging_finish(p);
		return;
	}
	paging_move(p, PAGING_BROKEN);
	if (!p->pager)
		start_another(p, why);
	paging_try_recover(p);
}

/* QEMU stays as it is until somebody has connected, so that this can be tried again. */
static void recover_replied(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct paging *p = userdata;
	struct error failure = ERROR_INIT;

	p->recovering = false;
	if (err) {
		/* Not before it waits: its event follows. Everything else is for somebody to look at. */
		failure = *err;
		p->qemu_waits = false;
		paging_in_trouble(p, &failure);
		return;
	}
	if (!p->servable || !p->pager)
		return; /* the helper died meanwhile: another one is on its way */
	if (paging_connect(p, true, &failure) < 0) {
		paging_in_trouble(p, &failure);
		return;
	}
	log_write(LOG_LEVEL_NOTICE, p->vm->name, NULL, "the memory of %s comes in again", p->vm->name);
	p->qemu_waits = false;
	paging_move(p, PAGING_FILLING);
	paging_go(p);
	/* Whoever resumes wants to hear how it ends; a helper that can read everything says so at once. */
	if (p->trouble.code != ERROR_NONE)
		pager_retry(p->pager);
}

void paging_try_recover(struct paging *p)
{
	if (p->state != PAGING_BROKEN || !p->pager || !p->servable || !p->qemu_waits || p->recovering ||
		!p->incoming_uri || !p->vm->qmp)
		return;
	p->recovering = true;
	qmp_command_urgent(
		p->vm->qmp, "migrate-recover", json_pack("s:uri", p->incoming_uri, NULL), recover_replied, p);
}

void paging_qemu_status(struct paging *p, const char *status)
{
	if (p->state == PAGING_LOADING)
		return; /* load-lazy.c listens itself */
	if (streq(status, "postcopy-paused")) {
		p->qemu_waits = true;
		paging_try_recover(p);
	} else if (streq(status, "completed")) {
		p->qemu_has_all = true;
		/* A helper that brought the last page says so itself, when it has written down what was needed first. */
		if (!p->pager || p->state == PAGING_BROKEN)
			paging_finish(p);
	}
}

/* ---- another daemon ---- */

struct paging *paging_decode(struct vm *vm, json *o)
{
	const char *image = json_get_string(o, "image");
	struct paging *p;

	if (!image)
		return NULL;
	/* The helper has the image open. If it must be opened anew, that is done when it is known to be needed. */
	p = paging_new(vm, image, -1);
	p->spent = json_get_bool(o, "spent", false);
	p->identity = json_get_uint(o, "identity", 0);
	paging_move(p, PAGING_BROKEN);
	p->hurry = json_get_bool(o, "hurry", false);
	p->preempt = json_get_bool(o, "preempt", false);
	p->memory = json_get_uint(o, "memory", 0);
	return p;
}

static void migration_replied(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct vm *vm = userdata;

	if (!err && vm->paging)
		paging_qemu_status(vm->paging, json_get_string(ret, "status") ?: "");
}

/* QEMU before 9.1 has closed the one it got from the last daemon. */
static void directory_given(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct vm *vm = userdata;

	if (err || !vm->paging)
		return;
	paging_set_directory(vm->paging, ret);
	paging_try_recover(vm->paging);
}

void paging_adopt(struct paging *p)
{
	struct error err = ERROR_INIT;
	int fd = paging_find_helper(p);

	/* First: trouble stops the guest, and then QEMU's main loop may stand still. */
	paging_give_directory(p, directory_given, p->vm);
	qmp_command(p->vm->qmp, "query-migrate", NULL, -1, 0, migration_replied, p->vm);
	if (fd >= 0 && pager_reconnect(p->vm->registry->loop, fd, &paging_pager_ops, p, &p->pager, &err) == 0)
		paging_move(p, PAGING_FILLING);
	else if (paging_start_helper(p, &err) < 0)
		paging_in_trouble(p, &err);
}

int paging_recover_again(struct paging *p, struct error *err)
{
	p->failures = 0;
	if (!p->pager && paging_start_helper(p, err) < 0)
		return -1;
	/* QEMU's main loop may stand still and answer nothing; if it does not wait for this, it says so out of band. */
	p->qemu_waits = true;
	paging_try_recover(p);
	return 0;
}

/* ---- another file in the place of the first ---- */

uint64_t paging_identify(int fd)
{
	uint8_t ends[IMAGE_HEADER_SIZE + 32];
	int64_t size = image_file_size(fd);

	if (size < (int64_t)sizeof(ends) || pread_full(fd, ends, IMAGE_HEADER_SIZE, 0) != IMAGE_HEADER_SIZE ||
		pread_full(fd, ends + IMAGE_HEADER_SIZE, 32, size - 32) != 32)
		return 0;
	return checksum(ends, sizeof(ends)) ^ (uint64_t)size;
}

/* -1: err, or another image than the guest's stands there (ERROR_OPERATION_INVALID). */
static int open_same(const struct paging *p, const char *path, struct error *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return error_errno(err, errno, "open image %s", path);
	if (p->identity && paging_identify(fd) != p->identity)
		return error_set(err, ERROR_OPERATION_INVALID,
			"image %s is not the one the guest was restored from, or its ends are damaged", path);
	return take_fd(&fd);
}

int paging_open_image(struct paging *p, struct error *err)
{
	_cleanup_free_ char *used = xasprintf("%s.used", p->image_path);

	p->image_fd = open_same(p, p->image_path, err);
	if (p->image_fd >= 0)
		return 0;
	/* A managed save is put aside when its guest is about to run; that may have been the last thing a daemon did. */
	p->image_fd = open_same(p, used, NULL);
	if (p->image_fd < 0)
		return -1;
	replace_string(&p->image_path, used);
	return 0;
}

bool paging_take_replacement(struct paging *p)
{
	_cleanup_close_ int fd = open_same(p, p->image_path, NULL);
	struct stat new, old;

	if (fd < 0 || fstat(fd, &new) < 0)
		return false;
	if (p->image_fd >= 0 && fstat(p->image_fd, &old) == 0 && old.st_dev == new.st_dev &&
		old.st_ino == new.st_ino)
		return false;
	log_write(LOG_LEVEL_NOTICE, p->vm->name, NULL, "%s was replaced by the same image: reading that one",
		p->image_path);
	close_p(&p->image_fd);
	p->image_fd = take_fd(&fd);
	return true;
}
