/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The CPU on the command line: model, features, Hyper-V enlightenments, paravirtual clocks. */
#include "argv-internal.h"

/* libvirt's name of a CPU feature to QEMU's. */
static char *feature_name(const char *name)
{
	char *text;

	if (streq(name, "pclmuldq"))
		return xstrdup("pclmulqdq");
	text = xstrdup(name);
	for (char *p = text; *p; p++)
		if (*p == '_')
			*p = '-';
	return text;
}

/*
 * Features that a model once had in QEMU and that libvirt says no to unless they are asked for, so that the model
 * is the same with every QEMU.
 */
static const struct {
	const char *model;
	bool family; /* names that begin so, too, but for versions ("-v1"), which say exactly what they are */
	const char *feature;
} dropped_features[] = {
	{"Skylake-", true, "mpx"},
	{"Cascadelake-Server", true, "mpx"},
	{"Icelake-Server", true, "mpx"},
	{"Icelake-", true, "intel-pt"},
	{"EPYC", false, "monitor"},
	{"EPYC-IBPB", false, "monitor"},
	{"Dhyana", false, "monitor"},
	{"Opteron_G3", false, "monitor"},
};

static bool names_feature(const struct domain_cpu *cpu, const char *name)
{
	for (size_t i = 0; i < cpu->features.n; i++)
		if (streq(cpu->features.items[i].name, name))
			return true;
	return false;
}

static bool has_version(const char *model)
{
	size_t n = strlen(model);

	return n > 3 && model[n - 3] == '-' && model[n - 2] == 'v';
}

static void add_dropped_features(struct argv *a, struct buf *b)
{
	const struct domain_cpu *cpu = &a->d->cpu;

	if (cpu->mode != CPU_MODE_CUSTOM || cpu->match == CPU_MATCH_MINIMUM)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(dropped_features); i++) {
		const char *model = dropped_features[i].model, *feature = dropped_features[i].feature;
		bool same = streq(cpu->model, model);

		same |= dropped_features[i].family && startswith(cpu->model, model) &&
			!has_version(cpu->model);
		if (same && !names_feature(cpu, feature))
			buf_addf(b, ",%s=off", feature);
	}
}

static void add_features(struct argv *a, struct buf *b)
{
	const struct domain_cpu *cpu = &a->d->cpu;

	for (size_t i = 0; i < cpu->features.n; i++) {
		const struct cpu_feature *f = &cpu->features.items[i];
		_cleanup_free_ char *name = feature_name(f->name);

		buf_addf(b, ",%s=%s", name,
			f->policy == CPU_POLICY_DISABLE || f->policy == CPU_POLICY_FORBID ? "off" : "on");
	}
}

static void add_clocks(struct argv *a, struct buf *b)
{
	for (size_t i = 0; i < a->d->clock.timers.n; i++) {
		const struct domain_timer *t = &a->d->clock.timers.items[i];

		if (t->name == TIMER_KVMCLOCK && t->present != TRISTATE_ABSENT)
			buf_addf(b, ",kvmclock=%s", t->present == TRISTATE_ON ? "on" : "off");
		if (t->name == TIMER_HYPERVCLOCK && t->present == TRISTATE_ON)
			buf_adds(b, ",hv-time=on");
		if (t->name == TIMER_TSC && t->frequency_hz)
			buf_addf(b, ",tsc-frequency=%llu", (unsigned long long)t->frequency_hz);
	}
}

static void add_hyperv(struct argv *a, struct buf *b)
{
	const struct domain_features *f = &a->d->features;
	const struct {
		const char *name;
		enum tristate value;
	} flags[] = {
		{"hv-relaxed", f->hyperv_relaxed},
		{"hv-vapic", f->hyperv_vapic},
		{"hv-vpindex", f->hyperv_vpindex},
		{"hv-runtime", f->hyperv_runtime},
		{"hv-synic", f->hyperv_synic},
		{"hv-stimer", f->hyperv_stimer},
		{"hv-reset", f->hyperv_reset},
		{"hv-frequencies", f->hyperv_frequencies},
	};

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (flags[i].value == TRISTATE_ON)
			buf_addf(b, ",%s=on", flags[i].name);
	if (f->hyperv_spinlocks == TRISTATE_ON)
		buf_addf(b, ",hv-spinlocks=0x%x", f->hyperv_spinlock_retries);
	VEC_FOREACH (panic, &a->d->panics)
		if (panic->model == PANIC_HYPERV)
			buf_adds(b, ",hv-crash=on");
}

/* Without a database of CPUs, "like the host's" is what QEMU itself offers: all of it. */
static int add_model(struct argv *a, struct buf *b)
{
	const struct domain_cpu *cpu = &a->d->cpu;
	bool kvm = a->d->type == DOMAIN_TYPE_KVM;

	if (cpu->mode == CPU_MODE_MAXIMUM) {
		buf_adds(b, "max");
	} else if (cpu->mode == CPU_MODE_HOST_PASSTHROUGH || cpu->mode == CPU_MODE_HOST_MODEL ||
		   (cpu->mode == CPU_MODE_CUSTOM && cpu->match == CPU_MATCH_MINIMUM)) {
		buf_adds(b, kvm ? "host" : "max");
	} else {
		if (!strv_contains(&a->caps->cpu_models, cpu->model))
			return error_set(a->err, ERROR_UNSUPPORTED_CONFIG,
				"CPU model '%s': %s does not have it", cpu->model, a->caps->binary);
		buf_adds(b, cpu->model);
		return 0;
	}
	if (cpu->migratable != TRISTATE_ABSENT)
		buf_addf(b, ",migratable=%s", cpu->migratable == TRISTATE_ON ? "on" : "off");
	return 0;
}

int argv_cpu(struct argv *a)
{
	struct buf b = {0};
	int r = add_model(a, &b);

	if (r == 0) {
		add_features(a, &b);
		add_dropped_features(a, &b);
		add_clocks(a, &b);
		add_hyperv(a, &b);
		if (a->d->features.kvm_hidden == TRISTATE_ON)
			buf_adds(&b, ",kvm=off");
		if (a->d->features.pmu != TRISTATE_ABSENT)
			buf_addf(&b, ",pmu=%s", a->d->features.pmu == TRISTATE_ON ? "on" : "off");
		argv_add(a, "-cpu", "%s", b.data);
	}
	buf_fini(&b);
	return r;
}
