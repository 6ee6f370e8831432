/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asking one QEMU binary over QMP what it can do. The way there is capability_cache_find. */
#pragma once

#include "capabilities.h"

struct capability_probe;

/* Exactly one of caps (taken by the callee) and err is set. Called once, from the loop. */
typedef void (*capability_probe_done_fn)(
	struct qemu_capabilities *caps, const struct error *err, void *userdata);

/* `kvm`: see the CPU models as KVM offers them, and say so in kvm_usable; the caller has made sure of it. */
int capability_probe_start(sd_event *loop, const char *binary, bool kvm, capability_probe_done_fn done,
	void *userdata, struct capability_probe **ret, struct error *err);

/* Stops it; done is not called any more. Safe inside done. Accepts NULL. */
void capability_probe_free(struct capability_probe *p);

/* ---- parts of it that are of use on their own ---- */

/* From the answer to query-qmp-schema: what add to features and migration_parameters. */
void capability_features_from_schema(json *schema, struct qemu_capabilities *caps);

/* The lists are looked up by bisection. */
void capabilities_sort(struct qemu_capabilities *caps);
