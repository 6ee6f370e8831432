/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a running VM takes of the host besides QEMU itself: tap devices, display ports, firmware variables, a TPM
 * emulator, a vsock address. Taken before QEMU starts, given back when it is gone.
 */
#pragma once

#include "vm-internal.h"

struct vm_resources {
	char *run_path;	    /* run/vm/UUID */
	char *channel_path; /* run/channel/ID-NAME: sockets of channels without a path of their own */
	int *tap_fds;	    /* one for each nic; -1 where none, and again once QEMU has them */
	size_t n_taps;
	int vsock_fd;	  /* -1 none */
	char *tpm_socket; /* NULL none */
	struct process *tpm;
};

/* Fills vm->resources and writes what was chosen (ports, tap names) into vm->live. Undone by release on failure. */
int resources_acquire(struct vm *vm, bool reset_nvram, struct error *err);
/* For an adopted VM: only what must be given back later. */
void resources_adopt(struct vm *vm);
/* QEMU holds the descriptors now. */
void resources_handed_over(struct vm *vm);
/* QEMU is gone, or never was. Idempotent. */
void resources_release(struct vm *vm);
/* The daemon ends and QEMU runs on: only forget. Accepts NULL. */
void resources_free(struct vm_resources *res);
