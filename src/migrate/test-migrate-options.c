/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is asked of a migration: parsed, refused, and written again. */
#include "migrate-options.h"
#include "tap.h"

static rpc_param items[40];
static rpc_params given;
static struct migrate_options options;
static struct error err;

static void text(const char *name, const char *value)
{
	rpc_param *p = &items[given.rpc_params_len++];

	*p = (rpc_param){.field = (char *)name, .value.type = RPC_PARAM_STRING};
	p->value.rpc_param_value_u.s = (char *)value;
}

static void number(const char *name, int value)
{
	rpc_param *p = &items[given.rpc_params_len++];

	*p = (rpc_param){.field = (char *)name, .value.type = RPC_PARAM_INT};
	p->value.rpc_param_value_u.i = value;
}

static void size(const char *name, uint64_t value)
{
	rpc_param *p = &items[given.rpc_params_len++];

	*p = (rpc_param){.field = (char *)name, .value.type = RPC_PARAM_ULLONG};
	p->value.rpc_param_value_u.ul = value;
}

/* Parse what was given, which is forgotten; into `options`. */
static int parse(unsigned flags)
{
	int r;

	migrate_options_fini(&options);
	error_clear(&err);
	given.rpc_params_val = items;
	r = migrate_options_parse(&options, flags, &given, &err);
	given.rpc_params_len = 0;
	return r;
}

static void is_refused(unsigned flags, const char *message)
{
	ok(parse(flags) < 0 && err.code == ERROR_INVALID_ARGUMENT, "is refused");
	is_str(err.message, message, "by name");
}

static void give_everything(void)
{
	text("migrate_uri", "tcp:b:1");
	text("destination_name", "other");
	text("destination_xml", "<domain/>");
	text("persistent_xml", "<domain p=''/>");
	size("bandwidth", 10);
	size("bandwidth.postcopy", 11);
	size("bandwidth.avail.switchover", 12);
	text("graphics_uri", "vnc://b");
	text("listen_address", "::");
	text("migrate_disks", "vda");
	text("migrate_disks", "vdb");
	text("disks_uri", "unix:///nbd");
	text("compression", "zstd");
	number("compression.zstd.level", 0);
	number("auto_converge.initial", 30);
	number("auto_converge.increment", 5);
	number("parallel.connections", 4);
	text("tls.destination", "b");
}

static void test_round_trip(void)
{
	unsigned flags = MIGRATE_LIVE | MIGRATE_NON_SHARED_INC | MIGRATE_PARALLEL | MIGRATE_COMPRESSED |
			 MIGRATE_AUTO_CONVERGE | MIGRATE_TLS;
	struct migrate_options again, copy;
	rpc_params params, twice;

	give_everything();
	is_int(parse(flags), 0, "everything at once");
	is_str(options.uri, "tcp:b:1", "a string");
	ok(options.bandwidth_mib == 10 && options.bandwidth_postcopy_mib == 11 &&
			options.bandwidth_switchover_mib == 12,
		"bandwidths");
	ok(options.disks.n == 2 && strcmp(options.disks.items[1], "vdb") == 0, "a list");
	ok(options.compression == MIGRATE_ZSTD && options.zstd_level == 0 && options.zlib_level == -1,
		"level 0 is one, and none is none");
	ok(options.connections == 4 && options.converge_initial == 30 && options.converge_increment == 5,
		"numbers");

	migrate_options_copy(&options, &copy);
	migrate_options_fini(&options);
	migrate_options_format(&copy, &params);
	is_int(params.rpc_params_len, 18, "all are written again");
	migrate_options_init(&again);
	is_int(migrate_options_parse(&again, copy.flags, &params, &err), 0, "and parsed again");
	migrate_options_format(&again, &twice);
	ok(twice.rpc_params_len == params.rpc_params_len, "as many");
	for (u_int i = 0; i < params.rpc_params_len && i < twice.rpc_params_len; i++) {
		const rpc_param *a = &params.rpc_params_val[i], *b = &twice.rpc_params_val[i];

		is_str(a->field, b->field, "the same name");
		ok(a->value.type == b->value.type &&
				(a->value.type == RPC_PARAM_STRING
						? strcmp(a->value.rpc_param_value_u.s,
							  b->value.rpc_param_value_u.s) == 0
					: a->value.type == RPC_PARAM_INT
						? a->value.rpc_param_value_u.i == b->value.rpc_param_value_u.i
						: a->value.rpc_param_value_u.ul ==
							  b->value.rpc_param_value_u.ul),
			"the same value");
	}
	migrate_params_free(&params);
	migrate_params_free(&twice);
	migrate_options_fini(&again);
	migrate_options_fini(&copy);

	is_int(parse(MIGRATE_COMPRESSED), 0, "compressed, and no word of how");
	is_int(options.compression, MIGRATE_XBZRLE, "is xbzrle");
	is_int(parse(0), 0, "nothing");
	migrate_options_format(&options, &params);
	is_int(params.rpc_params_len, 0, "is written as nothing");
	migrate_params_free(&params);
}

static void test_exclusions(void)
{
	static const struct {
		unsigned flags;
		const char *message;
	} bad[] = {
		{MIGRATE_NON_SHARED_DISK | MIGRATE_NON_SHARED_INC,
			"VIR_MIGRATE_NON_SHARED_DISK and VIR_MIGRATE_NON_SHARED_INC exclude each other"},
		{MIGRATE_TUNNELLED | MIGRATE_PEER2PEER | MIGRATE_PARALLEL,
			"VIR_MIGRATE_TUNNELLED and VIR_MIGRATE_PARALLEL exclude each other"},
		{MIGRATE_TUNNELLED | MIGRATE_PEER2PEER | MIGRATE_POSTCOPY,
			"VIR_MIGRATE_TUNNELLED and VIR_MIGRATE_POSTCOPY exclude each other"},
		{MIGRATE_TUNNELLED | MIGRATE_PEER2PEER | MIGRATE_TLS,
			"VIR_MIGRATE_TUNNELLED and VIR_MIGRATE_TLS exclude each other"},
		{MIGRATE_TUNNELLED | MIGRATE_PEER2PEER | MIGRATE_NON_SHARED_DISK,
			"VIR_MIGRATE_TUNNELLED and VIR_MIGRATE_NON_SHARED_DISK exclude each other"},
		{MIGRATE_TUNNELLED | MIGRATE_PEER2PEER | MIGRATE_NON_SHARED_INC,
			"VIR_MIGRATE_TUNNELLED and VIR_MIGRATE_NON_SHARED_INC exclude each other"},
		{MIGRATE_TUNNELLED, "VIR_MIGRATE_TUNNELLED needs VIR_MIGRATE_PEER2PEER"},
		{MIGRATE_OFFLINE, "VIR_MIGRATE_OFFLINE needs VIR_MIGRATE_PERSIST_DEST"},
		{MIGRATE_OFFLINE | MIGRATE_PERSIST_DEST | MIGRATE_NON_SHARED_DISK,
			"VIR_MIGRATE_OFFLINE and VIR_MIGRATE_NON_SHARED_DISK exclude each other"},
		{MIGRATE_OFFLINE | MIGRATE_PERSIST_DEST | MIGRATE_NON_SHARED_INC,
			"VIR_MIGRATE_OFFLINE and VIR_MIGRATE_NON_SHARED_INC exclude each other"},
		{MIGRATE_OFFLINE | MIGRATE_PERSIST_DEST | MIGRATE_PEER2PEER | MIGRATE_TUNNELLED,
			"VIR_MIGRATE_OFFLINE and VIR_MIGRATE_TUNNELLED exclude each other"},
		{MIGRATE_OFFLINE | MIGRATE_PERSIST_DEST | MIGRATE_POSTCOPY,
			"VIR_MIGRATE_OFFLINE and VIR_MIGRATE_POSTCOPY exclude each other"},
		{MIGRATE_NON_SHARED_SYNC_WRITES,
			"VIR_MIGRATE_NON_SHARED_SYNCHRONOUS_WRITES needs VIR_MIGRATE_NON_SHARED_DISK or "
			"VIR_MIGRATE_NON_SHARED_INC"},
		{MIGRATE_POSTCOPY_RESUME, "VIR_MIGRATE_POSTCOPY_RESUME needs VIR_MIGRATE_POSTCOPY"},
		{MIGRATE_ZEROCOPY, "VIR_MIGRATE_ZEROCOPY needs VIR_MIGRATE_PARALLEL"},
		{MIGRATE_ZEROCOPY | MIGRATE_PARALLEL | MIGRATE_TLS,
			"VIR_MIGRATE_ZEROCOPY and VIR_MIGRATE_TLS exclude each other"},
		{MIGRATE_ZEROCOPY | MIGRATE_PARALLEL | MIGRATE_COMPRESSED,
			"VIR_MIGRATE_ZEROCOPY and VIR_MIGRATE_COMPRESSED exclude each other"},
		{MIGRATE_COMPRESSED | MIGRATE_PARALLEL,
			"no compression method selected for parallel migration"},
		{MIGRATE_RDMA_PIN_ALL,
			"migration over RDMA is not supported (VIR_MIGRATE_RDMA_PIN_ALL, rdma://)"},
		{1u << 21, "migration flags 0x200000 are not known"},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		is_refused(bad[i].flags, bad[i].message);
	is_int(parse(MIGRATE_TUNNELLED | MIGRATE_PEER2PEER), 0, "tunnelled alone goes");
	is_int(parse(MIGRATE_OFFLINE | MIGRATE_PERSIST_DEST), 0, "offline alone goes");
	is_int(parse(MIGRATE_POSTCOPY | MIGRATE_POSTCOPY_RESUME), 0, "resuming post-copy goes");
	is_int(parse(MIGRATE_ZEROCOPY | MIGRATE_PARALLEL), 0, "zero-copy goes");
}

static void test_parameters(void)
{
	text("colour", "red");
	is_refused(0, "parameter 'colour' not supported");
	number("migrate_uri", 1);
	is_refused(0, "invalid type for parameter 'migrate_uri', expected string");
	text("disks_port", "1");
	is_refused(0, "invalid type for parameter 'disks_port', expected int");
	number("bandwidth", 1);
	is_refused(0, "invalid type for parameter 'bandwidth', expected ullong");
	text("migrate_uri", "tcp:a");
	text("migrate_uri", "tcp:b");
	is_refused(0, "parameter 'migrate_uri' occurs multiple times");
	text("migrate_uri", "rdma://b:1");
	is_refused(0, "migration over RDMA is not supported (VIR_MIGRATE_RDMA_PIN_ALL, rdma://)");
	number("disks_port", -1);
	is_refused(0, "parameter 'disks_port' is negative");
	number("disks_port", 65536);
	is_refused(0, "parameter 'disks_port' is 65536, and must be between 0 and 65535");
	number("auto_converge.initial", 100);
	is_refused(MIGRATE_AUTO_CONVERGE,
		"parameter 'auto_converge.initial' is 100, and must be between 1 and 99");
	number("parallel.connections", 2);
	is_refused(0, "parameter 'parallel.connections' needs VIR_MIGRATE_PARALLEL");
	text("migrate_disks", "vda");
	is_refused(0,
		"parameter 'migrate_disks' needs VIR_MIGRATE_NON_SHARED_DISK or VIR_MIGRATE_NON_SHARED_INC");
	number("disks_port", 1);
	text("disks_uri", "unix:///x");
	is_refused(MIGRATE_NON_SHARED_DISK, "parameters 'disks_port' and 'disks_uri' exclude each other");
	text("listen_address", "::");
	is_refused(MIGRATE_TUNNELLED | MIGRATE_PEER2PEER,
		"parameter 'listen_address' is not supported by tunnelled migration");
}

static void test_compression(void)
{
	const char *gone = "compression method 'mt' is gone from QEMU (9.1): there are xbzrle, and zlib and "
			   "zstd with parallel connections";

	text("compression", "mt");
	is_refused(MIGRATE_COMPRESSED, gone);
	number("compression.mt.threads", 2);
	is_refused(MIGRATE_COMPRESSED, gone);
	text("compression", "arj");
	is_refused(0, "unsupported compression method 'arj'");
	text("compression", "xbzrle");
	text("compression", "xbzrle");
	is_refused(0, "compression method 'xbzrle' is specified twice");
	text("compression", "xbzrle");
	is_refused(MIGRATE_PARALLEL, "compression method 'xbzrle' is not supported with parallel migration");
	text("compression", "zlib");
	is_refused(0, "compression method 'zlib' is only supported with parallel migration");
	text("compression", "zlib");
	text("compression", "zstd");
	is_refused(MIGRATE_PARALLEL, "compression methods 'zlib' and 'zstd' exclude each other");
	text("compression", "zlib");
	is_refused(MIGRATE_PARALLEL | MIGRATE_ZEROCOPY,
		"parameter 'compression' and VIR_MIGRATE_ZEROCOPY exclude each other");
	size("compression.xbzrle.cache", 1 << 26);
	is_refused(0, "'compression.xbzrle.cache' needs method 'xbzrle'");
	number("compression.zlib.level", 0);
	is_refused(0, "'compression.zlib.level' needs method 'zlib'");
	number("compression.zstd.level", 0);
	is_refused(0, "'compression.zstd.level' needs method 'zstd'");
	text("compression", "xbzrle");
	size("compression.xbzrle.cache", 1 << 26);
	is_int(parse(0), 0, "the method alone turns it on");
	is_int((int64_t)options.xbzrle_cache, 1 << 26, "with its cache");
}

/* A client takes and adds flags behind the first phase: these must pass there. */
static void test_begin(void)
{
	static const struct {
		unsigned flags;
		const char *message; /* NULL: goes */
	} cases[] = {
		{MIGRATE_POSTCOPY, "VIR_MIGRATE_POSTCOPY needs VIR_MIGRATE_LIVE"},
		{MIGRATE_POSTCOPY | MIGRATE_LIVE | MIGRATE_PAUSED,
			"VIR_MIGRATE_POSTCOPY and VIR_MIGRATE_PAUSED exclude each other"},
		{MIGRATE_POSTCOPY | MIGRATE_LIVE, NULL},
		{MIGRATE_PAUSED, NULL},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		is_int(parse(cases[i].flags), 0, "every phase takes it");
		is_int(migrate_options_check_begin(&options, &err), cases[i].message ? -1 : 0, "the first");
		is_str(err.message, cases[i].message ? cases[i].message : "", "by name");
	}
	number("auto_converge.increment", 5);
	is_int(parse(0), 0, "a destination does not hear of the flag");
	is_int(migrate_options_check_begin(&options, &err), -1, "the source does");
	is_str(err.message, "parameter 'auto_converge.increment' needs VIR_MIGRATE_AUTO_CONVERGE", "by name");
}

int main(void)
{
	migrate_options_init(&options);
	test_round_trip();
	test_exclusions();
	test_parameters();
	test_compression();
	test_begin();
	migrate_options_fini(&options);
	return done_testing();
}
