/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Running swtpm(8) for a VM. */
#include "tpm-emulator.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "file.h"
#include "resources.h"

#define SWTPM "/usr/bin/swtpm"

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
	int r;

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
	log_fd = openat(
		vm->registry->log_fd, name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	res->tpm_socket = xasprintf("%s/tpm.sock", res->run_path);
	strv_add(&argv, SWTPM);
	strv_add(&argv, "socket");
	strv_add(&argv, "--ctrl");
	strv_addf(&argv, "type=unixio,fd=%d", socket_fd);
	strv_add(&argv, "--tpmstate");
	strv_addf(&argv, "dir=%s,mode=0600", state);
	strv_add(&argv, "--terminate");
	if (!streq(tpm->version, "1.2"))
		strv_add(&argv, "--tpm2");
	r = process_start(vm->registry->loop,
		&(struct process_options){.argv = &argv,
			.fds = &socket_fd,
			.n_fds = 1,
			.stdin_fd = -1,
			.stdout_fd = log_fd,
			.stderr_fd = log_fd,
			.new_session = true},
		ended, vm, &res->tpm, err);
	strv_fini(&argv);
	return r;
}
