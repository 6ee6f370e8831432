/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A lazily restored guest while its memory comes in: from the helper's start to the last page (paging.h). */
#include "paging.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "clock.h"
#include "file.h"
#include "hot-list.h"
#include "log.h"

enum { DIRECTORY_FDSET = 2 };

static const char *const state_names[] = {
	[PAGING_LOADING] = "loading",
	[PAGING_FILLING] = "filling",
	[PAGING_BROKEN] = "broken",
};
static_assert(ARRAY_SIZE(state_names) == PAGING_STATE_MAX_, "every state has a name");

/* Row: from; column: to. The drawing in paging.h; a new daemon begins with LOADING, and takes the helper as lost until it is found. */
static const bool moves[PAGING_STATE_MAX_][PAGING_STATE_MAX_] = {
	[PAGING_LOADING] = {[PAGING_FILLING] = true, [PAGING_BROKEN] = true},
	[PAGING_FILLING] = {[PAGING_BROKEN] = true},
	[PAGING_BROKEN] = {[PAGING_FILLING] = true},
};

void paging_move(struct paging *p, enum paging_state state)
{
	if (state == p->state)
		return;
	assert(moves[p->state][state]);
	log_write(LOG_LEVEL_DEBUG, p->vm->name, NULL, "memory of vm %s: %s -> %s", p->vm->name,
		state_names[p->state], state_names[state]);
	p->state = state;
}

struct paging *paging_new(struct vm *vm, const char *image_path, int image_fd)
{
	struct paging *p = NEW(struct paging);

	p->vm = vm;
	p->image_path = xstrdup(image_path);
	p->image_fd = image_fd;
	p->identity = image_fd >= 0 ? paging_identify(image_fd) : 0;
	p->began = clock_now();
	return p;
}

void paging_tell_waiters(struct paging *p, const struct error *err)
{
	__typeof__(p->waiters) waiters = p->waiters;

	p->waiters.items = NULL;
	p->waiters.n = 0;
	for (size_t i = 0; i < waiters.n; i++)
		waiters.items[i].done(waiters.items[i].userdata, err);
	VEC_FREE(&waiters);
}

void paging_free(struct paging *p, const struct error *why)
{
	if (!p)
		return;
	if (p->vm->qmp)
		qmp_forget(p->vm->qmp, p);
	if (p->pager)
		pager_kill(p->pager);
	pager_free(p->pager);
	if (p->resume_done)
		p->resume_done(p->vm, why, p->resume_userdata);
	paging_tell_waiters(p, why);
	close_p(&p->image_fd);
	free(p->incoming_uri);
	free(p->image_path);
	free(p);
}

/* ---- the helper ---- */

static char *run_file(const struct vm *vm, const char *name)
{
	/* Through the descriptor: a socket's path is short (unix(7)), a directory's need not be. */
	return xasprintf("/proc/self/fd/%d/%s", vm->run_fd, name);
}

int paging_start_helper(struct paging *p, struct error *err)
{
	_cleanup_free_ char *path = run_file(p->vm, PAGER_SOCKET);
	_cleanup_close_ int listening = -1;
	struct pager_options options = {.program = p->vm->registry->settings.io_program};

	p->servable = false;
	if (p->image_fd < 0 && paging_open_image(p, err) < 0)
		return -1;
	listening = pager_listen(path, err);
	if (listening < 0)
		return -1;
	options.name = p->image_path;
	options.file_fd = p->image_fd;
	options.listen_fd = listening;
	return pager_start(p->vm->registry->loop, &options, &paging_pager_ops, p, &p->pager, err);
}

static int connect_to(const char *path, int type)
{
	_cleanup_close_ int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -1;
	return take_fd(&fd);
}

int paging_connect(struct paging *p, bool resume, struct error *err)
{
	_cleanup_free_ char *path = run_file(p->vm, PAGES_SOCKET);
	_cleanup_close_ int first = connect_to(path, SOCK_STREAM), urgent = -1;

	/* In this order: QEMU takes the first for the stream itself. */
	if (first >= 0 && p->preempt)
		urgent = connect_to(path, SOCK_STREAM);
	if (first < 0 || (p->preempt && urgent < 0))
		return error_errno(err, errno, "connect to where QEMU takes its memory");
	pager_connect(p->pager, first, urgent, resume);
	p->servable = false;
	return 0;
}

void paging_give_directory(struct paging *p, qmp_reply_fn reply, void *userdata)
{
	qmp_command(p->vm->qmp, "add-fd", json_pack("i:fdset-id", (int64_t)DIRECTORY_FDSET, NULL),
		p->vm->run_fd, 0, reply, userdata);
}

void paging_set_directory(struct paging *p, json *ret)
{
	_cleanup_free_ char *uri =
		xasprintf("unix:/proc/self/fd/%" PRIi64 "/" PAGES_SOCKET, json_get_int(ret, "fd", -1));

	replace_string(&p->incoming_uri, uri);
}

void paging_rename_image(struct paging *p, const char *path)
{
	replace_string(&p->image_path, path);
	status_write(p->vm, NULL);
}

int paging_find_helper(struct paging *p)
{
	_cleanup_free_ char *path = run_file(p->vm, PAGER_SOCKET);

	return connect_to(path, SOCK_SEQPACKET);
}

void paging_go(struct paging *p)
{
	if (p->pager)
		pager_go(p->pager);
	if (p->pager && p->hurry)
		pager_hurry(p->pager);
}

static void on_servable(struct pager *pager, uint64_t memory, void *userdata)
{
	struct paging *p = userdata;

	p->memory = memory;
	if (p->state == PAGING_FILLING)
		return; /* an earlier daemon's: it has been at work for long */
	p->servable = true;
	if (p->state == PAGING_LOADING)
		lazy_load_servable(p, NULL);
	else
		paging_try_recover(p);
}

static void on_trouble(struct pager *pager, const struct error *err, void *userdata)
{
	struct paging *p = userdata;

	if (p->state == PAGING_LOADING)
		lazy_load_failed(p, err);
	else
		paging_in_trouble(p, err);
}

static void on_mended(struct pager *pager, void *userdata)
{
	paging_mended(userdata);
}

static void on_lost(struct pager *pager, void *userdata)
{
	struct paging *p = userdata;
	struct error err = ERROR_INIT;

	if (p->state == PAGING_LOADING)
		return; /* QEMU is ending, and says why */
	p->servable = true;
	error_set(&err, ERROR_OPERATION_FAILED, "the connection between QEMU and godwit-io broke");
	paging_broken(p, &err);
}

static void on_done(struct pager *pager, const struct error *err, void *userdata)
{
	struct error why = err ? *err : (struct error)ERROR_INIT; /* it is the pager's */
	struct paging *p = userdata;
	struct transfer_progress progress;

	pager_get_progress(p->pager, &progress);
	p->came_in = progress.processed;
	pager_free(p->pager);
	p->pager = NULL;
	if (why.code == ERROR_NONE)
		paging_finish(p);
	else if (p->state == PAGING_LOADING)
		lazy_load_servable(p, &why);
	else
		paging_broken(p, &why);
}

const struct pager_ops paging_pager_ops = {.servable = on_servable,
	.trouble = on_trouble,
	.mended = on_mended,
	.lost = on_lost,
	.done = on_done};

/* ---- the end ---- */

static void remove_sockets(struct vm *vm)
{
	unlinkat(vm->run_fd, PAGES_SOCKET, 0);
	unlinkat(vm->run_fd, PAGER_SOCKET, 0);
}

void paging_remove_leftover(struct vm *vm)
{
	_cleanup_free_ char *used = vm_file_name(vm, ".save.used");
	struct error err = ERROR_INIT;

	if (file_remove(vm->registry->save_fd, used, true, &err) < 0)
		log_write(LOG_LEVEL_WARNING, vm->name, NULL, "%s", err.message);
}

/*
 * What this guest needed first it will need first the next time, from whatever image: kept with an empty file (it is an extended attribute)
 * on the images' file system until the VM is off.
 */
static void keep_hot_list(struct paging *p)
{
	_cleanup_free_ char *name = vm_file_name(p->vm, HOT_LIST_SUFFIX);
	_cleanup_close_ int fd = openat(
		p->vm->registry->save_fd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd >= 0)
		(void)hot_list_copy(p->image_fd, fd);
}

void vm_give_hot_list(const struct vm *vm, int image_fd)
{
	_cleanup_free_ char *name = vm_file_name(vm, HOT_LIST_SUFFIX);
	_cleanup_close_ int fd = openat(vm->registry->save_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd >= 0)
		(void)hot_list_copy(fd, image_fd);
}

void vm_drop_hot_list(const struct vm *vm)
{
	_cleanup_free_ char *name = vm_file_name(vm, HOT_LIST_SUFFIX);

	unlinkat(vm->registry->save_fd, name, 0);
}

void paging_finish(struct paging *p)
{
	struct vm *vm = p->vm;
	bool spent = p->spent;

	log_write(LOG_LEVEL_INFO, vm->name, NULL,
		"the last page of %s is in, %" PRIu64 " ms after it was asked for", vm->name,
		(uint64_t)((clock_now() - p->began) / USEC_PER_MSEC));
	keep_hot_list(p);
	vm->paging = NULL;
	if (vm->run_fd >= 0)
		remove_sockets(vm);
	status_write(vm, NULL);
	if (spent)
		paging_remove_leftover(vm);
	if (p->trouble.code != ERROR_NONE)
		paging_mended(p);
	paging_free(p, NULL);
}

void vm_drop_paging(struct vm *vm)
{
	struct paging *p = vm->paging;
	struct error why = ERROR_INIT;

	if (!p)
		return;
	vm->paging = NULL;
	if (p->spent)
		paging_remove_leftover(vm);
	error_set(&why, ERROR_OPERATION_FAILED, "QEMU ended before all memory was in");
	paging_free(p, &why);
}

void vm_leave_paging(struct vm *vm)
{
	struct paging *p = vm->paging;

	if (!p)
		return;
	vm->paging = NULL;
	pager_free(TAKE_PTR(p->pager));
	/* Those who wait end as well, and are told nothing. */
	VEC_FREE(&p->waiters);
	p->resume_done = NULL;
	paging_free(p, NULL);
}

/* ---- those who wait, and those who look ---- */

void paging_wait(struct paging *p, void (*done)(void *userdata, const struct error *err), void *userdata)
{
	VEC_ADD(&p->waiters, ((struct paging_waiter){.done = done, .userdata = userdata}));
}

void paging_forget_waiter(struct paging *p, void *userdata)
{
	for (size_t i = 0; p && i < p->waiters.n; i++) {
		if (p->waiters.items[i].userdata != userdata)
			continue;
		VEC_REMOVE(&p->waiters, i);
		return;
	}
}

void paging_fill_job_info(const struct paging *p, struct vm_job_info *info)
{
	struct transfer_progress progress = {0};

	if (p->pager)
		pager_get_progress(p->pager, &progress);
	info->operation = VM_JOB_RESTORE;
	info->name = "restore";
	info->elapsed_ms = (clock_now() - p->began) / USEC_PER_MSEC;
	info->memory_total = p->memory;
	info->memory_processed = progress.processed;
}

json *paging_encode(const struct paging *p)
{
	if (!p)
		return NULL;
	return json_pack("s:image", p->image_path, "u:identity", p->identity, "b:spent", p->spent, "b:hurry",
		p->hurry, "b:preempt", p->preempt, "u:memory", p->memory, NULL);
}

/* ---- the verbs ---- */

void vm_get_restore_info(const struct vm *vm, struct vm_restore_info *ret)
{
	const struct paging *p = vm->paging;
	struct vm_job_info job = {0};

	*ret = (struct vm_restore_info){.lazily = vm->restored_lazily, .why = vm->restored_why};
	if (!p)
		return;
	paging_fill_job_info(p, &job);
	ret->memory_total = job.memory_total;
	ret->memory_in = job.memory_processed;
	ret->is_coming_in = true;
	ret->trouble = p->trouble.code != ERROR_NONE ? p->trouble.message : NULL;
}

int vm_hurry_restore(struct vm *vm, struct error *err)
{
	if (vm->state == VM_OFF)
		return error_set(err, ERROR_OPERATION_INVALID, "domain '%s' is not running", vm->name);
	if (!vm->paging)
		return 0;
	vm->paging->hurry = true;
	if (vm->paging->pager && vm->paging->state == PAGING_FILLING)
		pager_hurry(vm->paging->pager);
	status_write(vm, NULL);
	return 0;
}
