/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Can a guest really run under KVM here? /dev/kvm existing proves nothing: there are hosts (nested, emulated, without
 * hardware behind it) where it opens and runs a boot sector, and no operating system. So a guest is run
 * (kvm-probe-guest.S) and must say that it went through everything.
 */
#pragma once

#include <systemd/sd-event.h>

#include "error.h"

enum kvm_verdict {
	KVM_USABLE,
	KVM_UNUSABLE,
	KVM_UNDECIDED, /* it was too slow in coming, perhaps because the host is busy: use no KVM, ask again another time */
};

struct kvm_probe;

/* `text` says in one line what was found. Called once, from the loop. */
typedef void (*kvm_probe_done_fn)(enum kvm_verdict verdict, const char *text, void *userdata);

int kvm_probe_start(sd_event *loop, const char *binary, kvm_probe_done_fn done, void *userdata,
	struct kvm_probe **ret, struct error *err);

/* Stops it; done is not called any more. Safe inside done. Accepts NULL. */
void kvm_probe_free(struct kvm_probe *p);
