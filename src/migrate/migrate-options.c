/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Flags and typed parameters of a migration: a table of each, and rules of what goes with what. */
#include "migrate-options.h"

#include <stddef.h>
#include <stdlib.h>

#include "alloc.h"

#define NON_SHARED (MIGRATE_NON_SHARED_DISK | MIGRATE_NON_SHARED_INC)
#define MIB	   ((uint64_t)1 << 20)

/* ---- parameters ---- */

enum kind { TEXT, TEXTS, METHOD, SIZE, NUMBER, GONE };

/* `min` and `max`: of SIZE and NUMBER. What only a compression or a throttle can use is checked later. */
struct parameter {
	const char *name;
	enum kind kind;
	size_t offset;
	uint64_t min, max;
};

#define AT(member) offsetof(struct migrate_options, member)

static const struct parameter parameters[] = {
	{"migrate_uri", TEXT, AT(uri), 0, 0},
	{"destination_name", TEXT, AT(name), 0, 0},
	{"destination_xml", TEXT, AT(xml), 0, 0},
	{"persistent_xml", TEXT, AT(persistent_xml), 0, 0},
	{"bandwidth", SIZE, AT(bandwidth_mib), 0, INT64_MAX / MIB},
	{"bandwidth.postcopy", SIZE, AT(bandwidth_postcopy_mib), 0, INT64_MAX / MIB},
	{"bandwidth.avail.switchover", SIZE, AT(bandwidth_switchover_mib), 0, INT64_MAX / MIB},
	{"graphics_uri", TEXT, AT(graphics_uri), 0, 0},
	{"listen_address", TEXT, AT(listen_address), 0, 0},
	{"migrate_disks", TEXTS, AT(disks), 0, 0},
	{"disks_port", NUMBER, AT(disks_port), 0, 65535},
	{"disks_uri", TEXT, AT(disks_uri), 0, 0},
	{"compression", METHOD, AT(compression), 0, 0},
	{"compression.mt.level", GONE, 0, 0, 0},
	{"compression.mt.threads", GONE, 0, 0, 0},
	{"compression.mt.dthreads", GONE, 0, 0, 0},
	{"compression.xbzrle.cache", SIZE, AT(xbzrle_cache), 1, INT64_MAX},
	{"compression.zlib.level", NUMBER, AT(zlib_level), 0, 9},
	{"compression.zstd.level", NUMBER, AT(zstd_level), 0, 20},
	{"auto_converge.initial", NUMBER, AT(converge_initial), 1, 99},
	{"auto_converge.increment", NUMBER, AT(converge_increment), 1, 99},
	{"parallel.connections", NUMBER, AT(connections), 1, 255},
	{"tls.destination", TEXT, AT(tls_destination), 0, 0},
};

static const struct {
	const char *name;
	unsigned method;
} methods[] = {{"xbzrle", MIGRATE_XBZRLE}, {"zlib", MIGRATE_ZLIB}, {"zstd", MIGRATE_ZSTD}};

static void *member(const struct migrate_options *o, const struct parameter *p)
{
	return (char *)o + p->offset;
}

static int refuse_mt(struct error *err)
{
	return error_set(err, ERROR_INVALID_ARGUMENT,
		"compression method 'mt' is gone from QEMU (9.1): there are xbzrle, and zlib and zstd with "
		"parallel connections");
}

static int take_method(struct migrate_options *o, const char *name, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		if (!streq(name, methods[i].name))
			continue;
		if (o->compression & methods[i].method)
			return error_set(err, ERROR_INVALID_ARGUMENT,
				"compression method '%s' is specified twice", name);
		o->compression |= methods[i].method;
		return 0;
	}
	if (streq(name, "mt"))
		return refuse_mt(err);
	return error_set(err, ERROR_INVALID_ARGUMENT, "unsupported compression method '%.64s'", name);
}

static int take_text(
	struct migrate_options *o, const struct parameter *p, const char *value, struct error *err)
{
	char **text = member(o, p);

	if (p->kind == METHOD)
		return take_method(o, value, err);
	if (p->kind == TEXTS) {
		strv_add(member(o, p), value);
		return 0;
	}
	if (*text)
		return error_set(
			err, ERROR_INVALID_ARGUMENT, "parameter '%s' occurs multiple times", p->name);
	*text = xstrdup(value);
	return 0;
}

static int take_number(
	struct migrate_options *o, const struct parameter *p, const rpc_param_value *value, struct error *err)
{
	bool is_size = p->kind == SIZE;
	uint64_t n = value->rpc_param_value_u.ul;

	if (!is_size && value->rpc_param_value_u.i < 0)
		return error_set(err, ERROR_INVALID_ARGUMENT, "parameter '%s' is negative", p->name);
	if (!is_size)
		n = (uint64_t)value->rpc_param_value_u.i;
	if (n < p->min || n > p->max)
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"parameter '%s' is %llu, and must be between %llu and %llu", p->name,
			(unsigned long long)n, (unsigned long long)p->min, (unsigned long long)p->max);
	if (is_size)
		*(uint64_t *)member(o, p) = n;
	else
		*(unsigned *)member(o, p) = (unsigned)n;
	return 0;
}

static const struct parameter *find_parameter(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(parameters); i++)
		if (streq(parameters[i].name, name))
			return &parameters[i];
	return NULL;
}

static int take_parameter(struct migrate_options *o, const rpc_param *param, struct error *err)
{
	const struct parameter *p = find_parameter(param->field);
	int want;

	if (!p)
		return error_set(
			err, ERROR_INVALID_ARGUMENT, "parameter '%.64s' not supported", param->field);
	if (p->kind == GONE)
		return refuse_mt(err);
	want = p->kind == SIZE ? RPC_PARAM_ULLONG : p->kind == NUMBER ? RPC_PARAM_INT : RPC_PARAM_STRING;
	if (param->value.type != want)
		return error_set(err, ERROR_INVALID_ARGUMENT, "invalid type for parameter '%s', expected %s",
			p->name,
			want == RPC_PARAM_ULLONG ? "ullong"
			: want == RPC_PARAM_INT	 ? "int"
						 : "string");
	if (want == RPC_PARAM_STRING)
		return take_text(o, p, param->value.rpc_param_value_u.s, err);
	return take_number(o, p, &param->value, err);
}

/* ---- rules ---- */

static const char *const flag_names[] = {"LIVE", "PEER2PEER", "TUNNELLED", "PERSIST_DEST", "UNDEFINE_SOURCE",
	"PAUSED", "NON_SHARED_DISK", "NON_SHARED_INC", "CHANGE_PROTECTION", "UNSAFE", "OFFLINE", "COMPRESSED",
	"ABORT_ON_ERROR", "AUTO_CONVERGE", "RDMA_PIN_ALL", "POSTCOPY", "TLS", "PARALLEL",
	"NON_SHARED_SYNCHRONOUS_WRITES", "POSTCOPY_RESUME", "ZEROCOPY"};
_Static_assert(1 << ARRAY_SIZE(flag_names) == MIGRATE_FLAGS_ALL + 1, "a flag without a name");

static const char *flag_name(unsigned flag)
{
	return flag_names[__builtin_ctz(flag)];
}

static const struct {
	unsigned one, other;
} exclusions[] = {
	{MIGRATE_NON_SHARED_DISK, MIGRATE_NON_SHARED_INC},
	/* one stream over the daemons' connection is all there is */
	{MIGRATE_TUNNELLED, MIGRATE_PARALLEL},
	{MIGRATE_TUNNELLED, MIGRATE_POSTCOPY},
	{MIGRATE_TUNNELLED, MIGRATE_TLS},
	{MIGRATE_TUNNELLED, MIGRATE_NON_SHARED_DISK},
	{MIGRATE_TUNNELLED, MIGRATE_NON_SHARED_INC},
	/* only a definition travels */
	{MIGRATE_OFFLINE, MIGRATE_NON_SHARED_DISK},
	{MIGRATE_OFFLINE, MIGRATE_NON_SHARED_INC},
	{MIGRATE_OFFLINE, MIGRATE_TUNNELLED},
	{MIGRATE_OFFLINE, MIGRATE_POSTCOPY},
	/* pages that QEMU sends as they lie in memory */
	{MIGRATE_ZEROCOPY, MIGRATE_COMPRESSED},
	{MIGRATE_ZEROCOPY, MIGRATE_TLS},
};

/* The flag needs one of the others. */
static const struct {
	unsigned flag, needed;
	const char *needs;
} needs[] = {
	{MIGRATE_TUNNELLED, MIGRATE_PEER2PEER, "VIR_MIGRATE_PEER2PEER"},
	{MIGRATE_OFFLINE, MIGRATE_PERSIST_DEST, "VIR_MIGRATE_PERSIST_DEST"},
	{MIGRATE_NON_SHARED_SYNC_WRITES, NON_SHARED,
		"VIR_MIGRATE_NON_SHARED_DISK or VIR_MIGRATE_NON_SHARED_INC"},
	{MIGRATE_POSTCOPY_RESUME, MIGRATE_POSTCOPY, "VIR_MIGRATE_POSTCOPY"},
	{MIGRATE_ZEROCOPY, MIGRATE_PARALLEL, "VIR_MIGRATE_PARALLEL"},
};

static int check_flags(const struct migrate_options *o, struct error *err)
{
	if (o->flags & ~(unsigned)MIGRATE_FLAGS_ALL)
		return error_set(err, ERROR_INVALID_ARGUMENT, "migration flags 0x%x are not known",
			o->flags & ~(unsigned)MIGRATE_FLAGS_ALL);
	if (o->flags & MIGRATE_RDMA_PIN_ALL || (o->uri && startswith(o->uri, "rdma:")))
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"migration over RDMA is not supported (VIR_MIGRATE_RDMA_PIN_ALL, rdma://)");
	for (size_t i = 0; i < ARRAY_SIZE(exclusions); i++)
		if (o->flags & exclusions[i].one && o->flags & exclusions[i].other)
			return error_set(err, ERROR_INVALID_ARGUMENT,
				"VIR_MIGRATE_%s and VIR_MIGRATE_%s exclude each other",
				flag_name(exclusions[i].one), flag_name(exclusions[i].other));
	for (size_t i = 0; i < ARRAY_SIZE(needs); i++)
		if (o->flags & needs[i].flag && !(o->flags & needs[i].needed))
			return error_set(err, ERROR_INVALID_ARGUMENT, "VIR_MIGRATE_%s needs %s",
				flag_name(needs[i].flag), needs[i].needs);
	return 0;
}

static int needs_flag(const char *parameter, const char *flag, struct error *err)
{
	return error_set(err, ERROR_INVALID_ARGUMENT, "parameter '%s' needs VIR_MIGRATE_%s", parameter, flag);
}

/* What the flags make of parameters. */
static int check_parameters(const struct migrate_options *o, struct error *err)
{
	const struct {
		bool given;
		const char *name;
	} of_sockets[] = {{o->uri, "migrate_uri"}, {o->listen_address, "listen_address"},
		{o->disks.n, "migrate_disks"}};

	if (o->flags & MIGRATE_TUNNELLED)
		for (size_t i = 0; i < ARRAY_SIZE(of_sockets); i++)
			if (of_sockets[i].given)
				return error_set(err, ERROR_INVALID_ARGUMENT,
					"parameter '%s' is not supported by tunnelled migration",
					of_sockets[i].name);
	if (o->disks.n > 0 && !(o->flags & NON_SHARED))
		return needs_flag("migrate_disks", "NON_SHARED_DISK or VIR_MIGRATE_NON_SHARED_INC", err);
	if (o->disks_port && o->disks_uri)
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"parameters 'disks_port' and 'disks_uri' exclude each other");
	if (o->connections && !(o->flags & MIGRATE_PARALLEL))
		return needs_flag("parallel.connections", "PARALLEL", err);
	return 0;
}

static int check_compression(const struct migrate_options *o, struct error *err)
{
	bool parallel = o->flags & MIGRATE_PARALLEL;

	if (o->flags & MIGRATE_COMPRESSED && o->compression == 0)
		return error_set(
			err, ERROR_INVALID_ARGUMENT, "no compression method selected for parallel migration");
	if (o->compression && o->flags & MIGRATE_ZEROCOPY)
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"parameter 'compression' and VIR_MIGRATE_ZEROCOPY exclude each other");
	if (o->compression & MIGRATE_XBZRLE && parallel)
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"compression method 'xbzrle' is not supported with parallel migration");
	if (o->compression & (MIGRATE_ZLIB | MIGRATE_ZSTD) && !parallel)
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"compression method '%s' is only supported with parallel migration",
			o->compression & MIGRATE_ZLIB ? "zlib" : "zstd");
	if (o->compression == (MIGRATE_ZLIB | MIGRATE_ZSTD))
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"compression methods 'zlib' and 'zstd' exclude each other");
	if (o->xbzrle_cache && !(o->compression & MIGRATE_XBZRLE))
		return error_set(
			err, ERROR_INVALID_ARGUMENT, "'compression.xbzrle.cache' needs method 'xbzrle'");
	if (o->zlib_level >= 0 && !(o->compression & MIGRATE_ZLIB))
		return error_set(err, ERROR_INVALID_ARGUMENT, "'compression.zlib.level' needs method 'zlib'");
	if (o->zstd_level >= 0 && !(o->compression & MIGRATE_ZSTD))
		return error_set(err, ERROR_INVALID_ARGUMENT, "'compression.zstd.level' needs method 'zstd'");
	return 0;
}

int migrate_options_check_begin(const struct migrate_options *o, struct error *err)
{
	if (o->flags & MIGRATE_POSTCOPY && !(o->flags & MIGRATE_LIVE))
		return error_set(err, ERROR_INVALID_ARGUMENT, "VIR_MIGRATE_POSTCOPY needs VIR_MIGRATE_LIVE");
	if (o->flags & MIGRATE_POSTCOPY && o->flags & MIGRATE_PAUSED)
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"VIR_MIGRATE_POSTCOPY and VIR_MIGRATE_PAUSED exclude each other");
	if (o->flags & MIGRATE_AUTO_CONVERGE)
		return 0;
	if (o->converge_initial)
		return needs_flag("auto_converge.initial", "AUTO_CONVERGE", err);
	if (o->converge_increment)
		return needs_flag("auto_converge.increment", "AUTO_CONVERGE", err);
	return 0;
}

/* ---- the whole ---- */

void migrate_options_init(struct migrate_options *o)
{
	*o = (struct migrate_options){.zlib_level = -1, .zstd_level = -1};
}

void migrate_options_fini(struct migrate_options *o)
{
	for (size_t i = 0; i < ARRAY_SIZE(parameters); i++)
		if (parameters[i].kind == TEXT)
			free(*(char **)member(o, &parameters[i]));
	strv_fini(&o->disks);
	migrate_options_init(o);
}

int migrate_options_parse(
	struct migrate_options *o, unsigned flags, const rpc_params *params, struct error *err)
{
	o->flags = flags;
	for (u_int i = 0; i < params->rpc_params_len; i++)
		if (take_parameter(o, &params->rpc_params_val[i], err) < 0)
			return -1;
	if (o->flags & MIGRATE_COMPRESSED && o->compression == 0 && !(o->flags & MIGRATE_PARALLEL))
		o->compression = MIGRATE_XBZRLE;
	if (check_flags(o, err) < 0 || check_parameters(o, err) < 0)
		return -1;
	return check_compression(o, err);
}

void migrate_options_copy(const struct migrate_options *from, struct migrate_options *to)
{
	*to = *from;
	to->disks = (struct strv){0};
	for (size_t i = 0; i < ARRAY_SIZE(parameters); i++)
		if (parameters[i].kind == TEXT)
			*(char **)member(to, &parameters[i]) =
				xstrdup(*(char **)member(from, &parameters[i]));
	for (size_t i = 0; i < from->disks.n; i++)
		strv_add(&to->disks, from->disks.items[i]);
}

static rpc_param_value *add(rpc_params *params, const char *name, int type)
{
	rpc_param *p = &params->rpc_params_val[params->rpc_params_len++];

	p->field = xstrdup(name);
	p->value.type = type;
	return &p->value;
}

static void add_text(rpc_params *params, const char *name, const char *value)
{
	add(params, name, RPC_PARAM_STRING)->rpc_param_value_u.s = xstrdup(value);
}

static void format_number(const struct migrate_options *o, const struct parameter *p, rpc_params *ret)
{
	uint64_t size = p->kind == SIZE ? *(uint64_t *)member(o, p) : 0;
	int number = p->kind == NUMBER ? *(int *)member(o, p) : 0;
	/* a level may be 0, and is -1 when there is none */
	bool is_level = member(o, p) == (void *)&o->zlib_level || member(o, p) == (void *)&o->zstd_level;

	if (size > 0)
		add(ret, p->name, RPC_PARAM_ULLONG)->rpc_param_value_u.ul = size;
	else if (number > 0 || (is_level && number == 0))
		add(ret, p->name, RPC_PARAM_INT)->rpc_param_value_u.i = number;
}

void migrate_options_format(const struct migrate_options *o, rpc_params *ret)
{
	/* what came in fitted, too */
	size_t max = ARRAY_SIZE(parameters) + ARRAY_SIZE(methods) + o->disks.n;

	*ret = (rpc_params){0, xcalloc(max, sizeof(rpc_param))};
	for (size_t i = 0; i < ARRAY_SIZE(parameters); i++) {
		const struct parameter *p = &parameters[i];

		switch (p->kind) {
		case TEXT:
			if (*(char **)member(o, p))
				add_text(ret, p->name, *(char **)member(o, p));
			break;
		case TEXTS:
			for (size_t d = 0; d < o->disks.n; d++)
				add_text(ret, p->name, o->disks.items[d]);
			break;
		case METHOD:
			for (size_t m = 0; m < ARRAY_SIZE(methods); m++)
				if (o->compression & methods[m].method)
					add_text(ret, p->name, methods[m].name);
			break;
		case SIZE:
		case NUMBER:
			format_number(o, p, ret);
			break;
		case GONE:
			break;
		}
	}
}

void migrate_params_free(rpc_params *params)
{
	for (u_int i = 0; i < params->rpc_params_len; i++) {
		free(params->rpc_params_val[i].field);
		if (params->rpc_params_val[i].value.type == RPC_PARAM_STRING)
			free(params->rpc_params_val[i].value.rpc_param_value_u.s);
	}
	free(params->rpc_params_val);
	*params = (rpc_params){0};
}
