/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Running swtpm(8) for a VM. */
#include "tpm-emulator.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "file.h"
#include "resources.h"

#define SWTPM	       "/usr/bin/swtpm"
#define STATE_FILE_MAX (1u << 20) /* bytes; they are some KiB */

/* ---- its state ---- */

static int open_all(const struct vm *vm, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("%s/tpm", vm->registry->settings.lib_dir);

	return dir_open_or_make(path, 0700, err);
}

static int copy_file(int from, int to, const char *name, struct error *err)
{
	_cleanup_free_ char *data = NULL;
	size_t len;

	if (file_read(from, name, STATE_FILE_MAX, &data, &len, err) < 0)
		return -1;
	return file_replace(to, name, data, len, 0600, err);
}

static int copy_state(int all, const char *from, const char *to, struct error *err)
{
	_cleanup_close_ int target = dir_open_or_make_at(all, to, 0700, err);
	int source = target < 0 ? -1 : openat(all, from, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = source < 0 ? NULL : fdopendir(source);
	const struct dirent *entry;
	int r = 0;

	if (target < 0)
		return -1;
	if (!dir) {
		error_errno(err, errno, "open directory %s", from);
		close_p(&source);
		return -1;
	}
	/* not its lock */
	while (r == 0 && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			r = copy_file(dirfd(dir), target, entry->d_name, err);
	closedir(dir);
	return r;
}

int tpm_state_set_aside(const struct vm *vm, const char *aside, bool keep, struct error *err)
{
	_cleanup_close_ int all = open_all(vm, err);
	char uuid[UUID_TEXT_MAX];

	uuid_format(vm->uuid, uuid);
	if (all < 0)
		return -1;
	if (!file_exists(all, uuid))
		return 0;
	if (renameat(all, uuid, all, aside) < 0 || fsync(all) < 0)
		return error_errno(err, errno, "rename TPM state of %s", vm->name);
	return keep && copy_state(all, aside, uuid, err) < 0 ? error_prefix(err, "TPM state of %s", vm->name)
							     : 0;
}

int tpm_state_bring_back(const struct vm *vm, const char *aside, struct error *err)
{
	_cleanup_close_ int all = open_all(vm, err);
	char uuid[UUID_TEXT_MAX];

	uuid_format(vm->uuid, uuid);
	if (all < 0)
		return -1;
	if (!file_exists(all, aside))
		return 0;
	if (dir_remove(all, uuid, err) < 0)
		return -1;
	if (renameat(all, aside, all, uuid) < 0 || fsync(all) < 0)
		return error_errno(err, errno, "rename TPM state of %s", vm->name);
	return 0;
}

int tpm_state_forget(const struct vm *vm, const char *aside, struct error *err)
{
	_cleanup_close_ int all = open_all(vm, err);

	return all < 0 ? -1 : dir_remove(all, aside, err);
}

/* ---- it ---- */

static void ended(struct process *p, int status, void *userdata)
{
	/* With QEMU, or QEMU says that it lost its TPM; nothing to do for us. */
}

/* Listening before swtpm runs, so that QEMU can connect at once. */
static int listen_for_qemu(const struct vm *vm, struct error *err)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	/* As the monitor's socket: through /proc, since sun_path is short. */
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/tpm.sock", vm->run_fd);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 1) < 0)
		return error_errno(err, errno, "create TPM socket of %s", vm->name);
	return take_fd(&fd);
}

int tpm_emulator_start(struct vm *vm, struct error *err)
{
	const struct tpm *tpm = vm->live->tpm;
	struct vm_resources *res = vm->resources;
	_cleanup_free_ char *state = NULL, *name = vm_file_name(vm, "-swtpm.log");
	_cleanup_close_ int dir = -1, log_fd = -1, socket_fd = -1;
	struct strv argv = {0};
	char uuid[UUID_TEXT_MAX];
	int fds[2], r;

	if (!tpm)
		return 0;
	if (access(SWTPM, X_OK) < 0)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG, "a TPM needs %s (package swtpm)", SWTPM);
	uuid_format(vm->uuid, uuid);
	state = xasprintf("%s/tpm/%s", vm->registry->settings.lib_dir, uuid);
	dir = dir_open_or_make(state, 0700, err);
	if (dir < 0)
		return -1;
	socket_fd = listen_for_qemu(vm, err);
	if (socket_fd < 0)
		return -1;
	fds[0] = socket_fd;
	fds[1] = dir;
	log_fd = openat(
		vm->registry->log_fd, name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	res->tpm_socket = xasprintf("%s/tpm.sock", res->run_path);
	strv_add(&argv, SWTPM);
	strv_add(&argv, "socket");
	strv_add(&argv, "--ctrl");
	strv_addf(&argv, "type=unixio,fd=%d", socket_fd);
	strv_add(&argv, "--tpmstate");
	/* the directory itself: it may get another name (tpm_state_set_aside) */
	strv_addf(&argv, "dir=/proc/self/fd/%d,mode=0600", fds[1]);
	strv_add(&argv, "--terminate");
	if (!streq(tpm->version, "1.2"))
		strv_add(&argv, "--tpm2");
	r = process_start(vm->registry->loop,
		&(struct process_options){.argv = &argv,
			.fds = fds,
			.n_fds = 2,
			.stdin_fd = -1,
			.stdout_fd = log_fd,
			.stderr_fd = log_fd,
			.new_session = true},
		ended, vm, &res->tpm, err);
	strv_fini(&argv);
	return r;
}
