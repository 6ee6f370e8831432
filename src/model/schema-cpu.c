/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* <cpu> and <clock>: what processor the guest sees, and what time. */
#include "schema.h"
#include "strv.h"

/* ---- <cpu> ---- */

static const struct field model_fields[] = {
	ATTR_ENUM(struct domain_cpu, fallback, "fallback", cpu_fallback_names, .flags = FIELD_HOST),
	TEXT(struct domain_cpu, model, VALUE_STRING, .valid = text_is_word),
};
static const struct table model_table = TABLE(model_fields, struct domain_cpu);

static int topology_finish(struct parse_context *c, const xmlNode *node, void *object)
{
	struct domain_cpu *cpu = object;

	if (!cpu->dies)
		cpu->dies = 1;
	if (!cpu->clusters)
		cpu->clusters = 1;
	return 0;
}

#define TOPOLOGY(member, word, ...)                                                                          \
	ATTR(struct domain_cpu, member, word, VALUE_U32, .min = 1, .max = 65535, __VA_ARGS__)

static const struct field topology_fields[] = {
	TOPOLOGY(sockets, "sockets", .flags = FIELD_REQUIRED),
	TOPOLOGY(dies, "dies"),
	TOPOLOGY(clusters, "clusters"),
	TOPOLOGY(cores, "cores", .flags = FIELD_REQUIRED),
	TOPOLOGY(threads, "threads", .flags = FIELD_REQUIRED),
};
static const struct table topology_table =
	TABLE(topology_fields, struct domain_cpu, .finish = topology_finish);

static void feature_init(void *object)
{
	((struct cpu_feature *)object)->policy = CPU_POLICY_REQUIRE;
}

static const struct field feature_fields[] = {
	ATTR_ENUM(struct cpu_feature, policy, "policy", cpu_policy_names, .flags = FIELD_ALWAYS),
	ATTR(struct cpu_feature, name, "name", VALUE_STRING, .flags = FIELD_REQUIRED, .valid = text_is_word),
};
static const struct table feature_table = TABLE(feature_fields, struct cpu_feature, .init = feature_init);

static int cpu_finish(struct parse_context *c, const xmlNode *node, void *object)
{
	struct domain_cpu *cpu = object;

	if (cpu->model && cpu->mode == CPU_MODE_NONE)
		cpu->mode = CPU_MODE_CUSTOM;
	if (cpu->mode == CPU_MODE_CUSTOM && !cpu->model)
		return field_invalid(c, node, "<cpu mode='custom'> has no <model>");
	if (cpu->model && (cpu->mode == CPU_MODE_HOST_PASSTHROUGH || cpu->mode == CPU_MODE_MAXIMUM))
		return field_invalid(
			c, node, "<cpu mode='%s'> takes no <model>", enum_name(&cpu_mode_names, cpu->mode));
	if (cpu->mode == CPU_MODE_NONE && cpu->features.n > 0)
		return field_invalid(c, node, "CPU features are given without a CPU model");
	if (cpu->migratable != TRISTATE_ABSENT && cpu->mode != CPU_MODE_HOST_PASSTHROUGH &&
		cpu->mode != CPU_MODE_MAXIMUM)
		return field_invalid(c, node,
			"attribute 'migratable' of <cpu> belongs to modes host-passthrough and maximum only");
	for (size_t i = 0; i < cpu->features.n; i++)
		for (size_t k = i + 1; k < cpu->features.n; k++)
			if (streq(cpu->features.items[i].name, cpu->features.items[k].name))
				return field_invalid(c, node, "CPU feature '%s' is named twice",
					cpu->features.items[i].name);
	if (cpu->mode == CPU_MODE_CUSTOM) {
		if (cpu->match == CPU_MATCH_DEFAULT)
			cpu->match = CPU_MATCH_EXACT;
		if (cpu->fallback == CPU_FALLBACK_DEFAULT)
			cpu->fallback = CPU_FALLBACK_ALLOW;
	}
	return 0;
}

static const struct field cpu_fields[] = {
	ATTR_ENUM(struct domain_cpu, mode, "mode", cpu_mode_names),
	ATTR_ENUM(struct domain_cpu, match, "match", cpu_match_names, .flags = FIELD_HOST),
	ATTR_ENUM(struct domain_cpu, check, "check", cpu_check_names, .flags = FIELD_HOST),
	ATTR(struct domain_cpu, migratable, "migratable", VALUE_ON_OFF),
	GROUP("model", model_table),
	CHILD(struct domain_cpu, vendor, "vendor", VALUE_STRING, .valid = text_is_word),
	GROUP("topology", topology_table, HAS(struct domain_cpu, has_topology)),
	LIST(struct domain_cpu, features, "feature", feature_table, .flags = FIELD_BY_VALUE),
};
const struct table cpu_table = TABLE(cpu_fields, struct domain_cpu, .finish = cpu_finish);

/* ---- <clock> ---- */

static int timer_finish(struct parse_context *c, const xmlNode *node, void *object)
{
	const struct domain_timer *timer = object;

	if (timer->frequency_hz && timer->name != TIMER_TSC)
		return field_invalid(
			c, node, "timer '%s' takes no frequency", enum_name(&timer_names, timer->name));
	if (timer->track != TRACK_ABSENT && timer->name != TIMER_RTC && timer->name != TIMER_PLATFORM)
		return field_invalid(
			c, node, "timer '%s' takes no track", enum_name(&timer_names, timer->name));
	return 0;
}

static const struct field timer_fields[] = {
	ATTR_ENUM(struct domain_timer, name, "name", timer_names, .flags = FIELD_ALWAYS | FIELD_REQUIRED),
	ATTR(struct domain_timer, present, "present", VALUE_YES_NO),
	ATTR_ENUM(struct domain_timer, tickpolicy, "tickpolicy", tickpolicy_names),
	ATTR_ENUM(struct domain_timer, track, "track", track_names),
	ATTR(struct domain_timer, frequency_hz, "frequency", VALUE_U64, .min = 1, .max = UINT64_MAX),
};
static const struct table timer_table = TABLE(timer_fields, struct domain_timer, .finish = timer_finish);

static bool is_variable(const void *clock)
{
	return ((const struct domain_clock *)clock)->offset == CLOCK_VARIABLE;
}

static bool is_timezone(const void *clock)
{
	return ((const struct domain_clock *)clock)->offset == CLOCK_TIMEZONE;
}

static bool is_absolute(const void *clock)
{
	return ((const struct domain_clock *)clock)->offset == CLOCK_ABSOLUTE;
}

static int basis_set(struct parse_context *c, const xmlNode *node, void *object, const char *text)
{
	struct domain_clock *clock = object;

	if (!streq(text, "utc") && !streq(text, "localtime"))
		return field_unsupported(c, node,
			"value '%.80s' of attribute 'basis' of <clock> is not supported, only: utc, "
			"localtime",
			text);
	clock->basis_localtime = streq(text, "localtime");
	return 0;
}

static char *basis_get(const struct format_context *c, const void *object)
{
	return xstrdup(((const struct domain_clock *)object)->basis_localtime ? "localtime" : "utc");
}

static int clock_finish(struct parse_context *c, const xmlNode *node, void *object)
{
	const struct domain_clock *clock = object;

	for (size_t i = 0; i < clock->timers.n; i++)
		for (size_t k = i + 1; k < clock->timers.n; k++)
			if (clock->timers.items[i].name == clock->timers.items[k].name)
				return field_invalid(c, node, "timer '%s' is given twice",
					enum_name(&timer_names, clock->timers.items[i].name));
	return 0;
}

static const struct field clock_fields[] = {
	ATTR_ENUM(struct domain_clock, offset, "offset", clock_offset_names,
		.flags = FIELD_ALWAYS | FIELD_HOST),
	ATTR(struct domain_clock, adjustment_s, "adjustment", VALUE_I64, .when = is_variable,
		.flags = FIELD_ALWAYS | FIELD_HOST),
	ATTR_CALL("basis", basis_set, basis_get, .when = is_variable, .flags = FIELD_HOST),
	ATTR(struct domain_clock, timezone, "timezone", VALUE_STRING, .when = is_timezone,
		.flags = FIELD_REQUIRED | FIELD_HOST, .valid = text_is_line),
	ATTR(struct domain_clock, start_s, "start", VALUE_I64, .when = is_absolute,
		.flags = FIELD_ALWAYS | FIELD_REQUIRED | FIELD_HOST),
	LIST(struct domain_clock, timers, "timer", timer_table, .flags = FIELD_BY_VALUE),
};
const struct table clock_table = TABLE(clock_fields, struct domain_clock, .finish = clock_finish);
