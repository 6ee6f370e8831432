/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which capability is on, and why, is one table (qemu-setup.h). */
#include "qemu-setup.h"

#define MIB (1ull << 20)

enum { DEFAULT_CONNECTIONS = 2, ALWAYS = 0 };

static const struct {
	const char *name;
	unsigned flags; /* of the options, all of them; ALWAYS */
	unsigned compression;
	bool source, target; /* the sides that set it */
	bool both;	     /* the other side's QEMU must have it */
	bool wanted;	     /* asked for by name: without it the migration is refused */
} uses[] = {
	{"events", ALWAYS, 0, true, true, false, false},
	{"pause-before-switchover", ALWAYS, 0, true, false, false, true},
	/* Images are opened by `cont`, behind the leases, and not as soon as the state is in. */
	{"late-block-activate", ALWAYS, 0, false, true, false, false},
	/*
	 * Only where it must be: with it QEMU counts a migration as failed, and lets the guest run, when the last acknowledgement is lost, though the
	 * other side has everything. Without it what the source calls failed has not arrived.
	 */
	{"return-path", MIGRATE_POSTCOPY, 0, true, true, true, false},
	{"postcopy-ram", MIGRATE_POSTCOPY, 0, true, true, true, true},
	{"postcopy-preempt", MIGRATE_POSTCOPY, 0, true, true, true, false},
	{"multifd", MIGRATE_PARALLEL, 0, true, true, true, true},
	{"xbzrle", MIGRATE_COMPRESSED, MIGRATE_XBZRLE, true, true, true, true},
	{"auto-converge", MIGRATE_AUTO_CONVERGE, 0, true, false, false, true},
	{"zero-copy-send", MIGRATE_ZEROCOPY, 0, true, false, false, true},
};

static bool is_asked(const struct migration_setup *setup, size_t i)
{
	const struct migrate_options *o = setup->options;
	unsigned compression = o->compression;

	/* --compressed alone has always meant this one. */
	if (o->flags & MIGRATE_COMPRESSED && !compression)
		compression = MIGRATE_XBZRLE;
	return (o->flags & uses[i].flags) == uses[i].flags &&
	       (compression & uses[i].compression) == uses[i].compression &&
	       (setup->is_target ? uses[i].target : uses[i].source);
}

static bool can_be(const struct migration_setup *setup, size_t i)
{
	/* A tunnel goes one way. */
	if (setup->options->flags & MIGRATE_TUNNELLED && streq(uses[i].name, "return-path"))
		return false;
	return capabilities_has_migration(setup->caps, uses[i].name) &&
	       (!uses[i].both || !setup->theirs || strv_contains(setup->theirs, uses[i].name));
}

bool migration_uses(const struct migration_setup *setup, const char *capability)
{
	for (size_t i = 0; i < ARRAY_SIZE(uses); i++)
		if (streq(uses[i].name, capability))
			return is_asked(setup, i) && can_be(setup, i);
	return false;
}

int migration_check_setup(const struct migration_setup *setup, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(uses); i++) {
		if (!uses[i].wanted || !is_asked(setup, i) || can_be(setup, i))
			continue;
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"the migration needs QEMU's '%s', which the QEMU of the %s does not have",
			uses[i].name,
			capabilities_has_migration(setup->caps, uses[i].name) == setup->is_target
				? "source"
				: "destination");
	}
	return 0;
}

json *migration_capabilities(const struct migration_setup *setup)
{
	json *list = json_object_new_array();

	for (size_t i = 0; i < setup->caps->migration_capabilities.n; i++) {
		const char *name = setup->caps->migration_capabilities.items[i];

		/* COLO and its like cannot be named without having been built in, and are never left on. */
		if (startswith(name, "x-"))
			continue;
		json_object_array_add(
			list, json_pack("s:capability", name, "b:state", migration_uses(setup, name), NULL));
	}
	return json_pack("o:capabilities", list, NULL);
}

static void add(json *o, const struct migration_setup *setup, const char *name, uint64_t value)
{
	if (strv_contains(&setup->caps->migration_parameters, name))
		json_object_object_add(o, name, json_object_new_uint64(value));
}

static void add_multifd(json *o, const struct migration_setup *setup)
{
	const struct migrate_options *opt = setup->options;
	const char *method = opt->compression & MIGRATE_ZSTD   ? "zstd"
			     : opt->compression & MIGRATE_ZLIB ? "zlib"
							       : "none";

	add(o, setup, "multifd-channels", opt->connections ? opt->connections : DEFAULT_CONNECTIONS);
	if (strv_contains(&setup->caps->migration_parameters, "multifd-compression"))
		json_object_object_add(o, "multifd-compression", json_object_new_string(method));
	if (opt->zlib_level >= 0)
		add(o, setup, "multifd-zlib-level", (uint64_t)opt->zlib_level);
	if (opt->zstd_level >= 0)
		add(o, setup, "multifd-zstd-level", (uint64_t)opt->zstd_level);
}

json *migration_parameters(const struct migration_setup *setup)
{
	const struct migrate_options *opt = setup->options;
	json *o = json_object_new_object();

	if (migration_uses(setup, "multifd"))
		add_multifd(o, setup);
	if (opt->xbzrle_cache)
		add(o, setup, "xbzrle-cache-size", opt->xbzrle_cache);
	if (setup->is_target)
		return o;
	/* 0 is no limit. */
	add(o, setup, "max-bandwidth", opt->bandwidth_mib * MIB);
	add(o, setup, "max-postcopy-bandwidth", opt->bandwidth_postcopy_mib * MIB);
	if (opt->bandwidth_switchover_mib)
		add(o, setup, "avail-switchover-bandwidth", opt->bandwidth_switchover_mib * MIB);
	if (opt->converge_initial)
		add(o, setup, "cpu-throttle-initial", opt->converge_initial);
	if (opt->converge_increment)
		add(o, setup, "cpu-throttle-increment", opt->converge_increment);
	return o;
}
