/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A VM's monitor connection: events in, single commands out, and the end of QEMU. */
#pragma once

#include <sys/un.h>

#include "vm-internal.h"

#define MONITOR_SOCKET "monitor.sock"

/*
 * Through /proc and vm->run_fd, since sun_path is short (unix(7): 108 bytes) and directories are not.
 */
void vm_monitor_address(const struct vm *vm, struct sockaddr_un *ret);
int vm_connect_monitor(struct vm *vm, struct error *err);

/* vm->qmp was somebody else's (park.c): its events are the VM's from now on. */
void vm_own_monitor(struct vm *vm);

/* For process_start and process_adopt; userdata is the VM. */
void vm_on_process_exit(struct process *p, int status, void *userdata);

/* Send `sig`; what the VM will have been once it is off. SIGKILL follows when it does not go. */
void vm_stop_process(struct vm *vm, int sig, int shutoff_reason, int stopped_detail);
/* The guest stands still, or will as soon as QEMU can stop it: PAUSED_*. Tells everybody. */
void vm_become_paused(struct vm *vm, int reason);
/* Its monitor is lost: kill it unless it goes by itself in a moment. */
void vm_kill_later(struct vm *vm);
/* Kill it unless vm->end_timer is dropped before. */
void vm_kill_after(struct vm *vm, uint64_t usec);

/* The guest has shut down and QEMU waits: end it, or start the guest anew, as its definition says. */
void vm_finish_shutdown(struct vm *vm);

/* Learn how much memory the guest has, before any command sent after this is answered. */
void vm_ask_balloon(struct vm *vm);

/* vm->qmp must be connected. done (may be NULL) gets QEMU's answer; it is lost only when the VM is. */
void vm_command(struct vm *vm, const char *command, json *arguments, vm_done_fn done, void *userdata);
