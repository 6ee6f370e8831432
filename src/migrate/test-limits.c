/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What was set for a VM, and what its migration is then asked for. The rest of limits.c is between virsh and QEMU: tests/e2e. */
#include "migrate.h"
#include "tap.h"
#include "vm-internal.h"

static void check(uint64_t kept, uint64_t asked, uint64_t want, const char *name)
{
	struct vm vm = {.migrate_speed_mib = kept, .migrate_postcopy_speed_mib = kept ? kept + 1 : 0};
	struct migrate_options o;

	migrate_options_init(&o);
	o.bandwidth_mib = asked;
	o.bandwidth_postcopy_mib = asked ? asked + 1 : 0;
	migrate_apply_limits(&vm, &o);
	is_int((int64_t)o.bandwidth_mib, (int64_t)want, name);
	is_int((int64_t)o.bandwidth_postcopy_mib, want ? (int64_t)want + 1 : 0, "also after the switch");
	migrate_options_fini(&o);
}

int main(void)
{
	check(0, 0, 0, "no limit");
	check(7, 0, 7, "what was set before");
	check(0, 9, 9, "what is asked for");
	check(7, 9, 9, "what is asked for counts");
	return done_testing();
}
