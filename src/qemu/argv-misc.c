/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Balloon, entropy, watchdogs, panic devices and the IOMMU on the command line. */
#include "argv-internal.h"

int argv_memballoon(struct argv *a)
{
	static const enum controller_model flavours[MEMBALLOON_MAX_] = {
		[MEMBALLOON_VIRTIO_TRANSITIONAL] = CONTROLLER_VIRTIO_TRANSITIONAL,
		[MEMBALLOON_VIRTIO_NON_TRANSITIONAL] = CONTROLLER_VIRTIO_NON_TRANSITIONAL,
	};
	const struct memballoon *m = a->d->memballoon;
	_cleanup_free_ char *driver = NULL;
	json *o;

	if (!m || m->model == MEMBALLOON_NONE)
		return 0;
	driver = argv_virtio_name("virtio-balloon", flavours[m->model]);
	o = json_pack("s:driver", driver, "s:id", m->info.alias, NULL);
	if (m->autodeflate != TRISTATE_ABSENT)
		argv_put_bool(o, "deflate-on-oom", m->autodeflate == TRISTATE_ON);
	if (m->free_page_reporting != TRISTATE_ABSENT)
		argv_put_bool(o, "free-page-reporting", m->free_page_reporting == TRISTATE_ON);
	argv_put_pci(a, o, &m->info);
	return argv_add_device(a, o);
}

static int add_rng(struct argv *a, const struct rng *rng)
{
	_cleanup_free_ char *object = xasprintf("obj%s", rng->info.alias);
	_cleanup_free_ char *driver = xasprintf("virtio-rng-pci%s", rng->model + strlen("virtio"));
	json *o = json_pack("s:qom-type", rng->backend == RNG_BUILTIN ? "rng-builtin" : "rng-random", "s:id",
		object, NULL);

	if (rng->backend == RNG_RANDOM)
		argv_put_string(o, "filename", rng->path);
	if (argv_add_object(a, o) < 0)
		return -1;
	o = json_pack("s:driver", driver, "s:rng", object, NULL);
	if (rng->rate_bytes) {
		argv_put_uint(o, "max-bytes", rng->rate_bytes);
		argv_put_uint(o, "period", rng->rate_period_ms ? rng->rate_period_ms : 1000);
	}
	argv_put_string(o, "id", rng->info.alias);
	argv_put_pci(a, o, &rng->info);
	return argv_add_device(a, o);
}

int argv_rngs(struct argv *a)
{
	VEC_FOREACH (rng, &a->d->rngs) {
		if (!startswith(rng->model, "virtio"))
			return error_set(a->err, ERROR_UNSUPPORTED_CONFIG, "rng model '%s' is not supported",
				rng->model);
		if (add_rng(a, rng) < 0)
			return -1;
	}
	return 0;
}

static int add_watchdog(struct argv *a, const struct watchdog *w)
{
	json *o;

	if (w->model == WATCHDOG_ITCO) {
		/* It is in the chipset and only has to be allowed to act. */
		argv_add(a, "-global", "ICH9-LPC.noreboot=off");
		return 0;
	}
	o = json_pack("s:driver", watchdog_model_name(w->model), "s:id", w->info.alias, NULL);
	argv_put_pci(a, o, &w->info);
	return argv_add_device(a, o);
}

int argv_watchdogs(struct argv *a)
{
	enum watchdog_action action;

	if (a->d->watchdogs.n == 0)
		return 0;
	action = a->d->watchdogs.items[0]->action;
	VEC_FOREACH (w, &a->d->watchdogs) {
		if (w->action != action)
			return error_set(
				a->err, ERROR_UNSUPPORTED_CONFIG, "all watchdogs must have the same action");
		if (add_watchdog(a, w) < 0)
			return -1;
	}
	argv_add(a, "-watchdog-action", "%s", watchdog_action_name(action));
	return 0;
}

int argv_panics(struct argv *a)
{
	VEC_FOREACH (panic, &a->d->panics) {
		json *o;

		if (panic->model == PANIC_HYPERV)
			continue; /* a CPU feature */
		o = json_pack("s:driver", panic->model == PANIC_PVPANIC ? "pvpanic-pci" : "pvpanic", NULL);
		if (panic->model == PANIC_ISA && panic->info.address.type == ADDRESS_ISA)
			argv_put_uint(o, "ioport", panic->info.address.isa.iobase);
		argv_put_pci(a, o, &panic->info);
		if (argv_add_device(a, o) < 0)
			return -1;
	}
	return 0;
}

int argv_iommu(struct argv *a)
{
	const struct iommu *iommu = a->d->iommu;
	json *o;

	if (!iommu)
		return 0;
	if (!domain_is_q35(a->d))
		return error_set(
			a->err, ERROR_UNSUPPORTED_CONFIG, "an IOMMU device needs machine type 'q35'");
	if (iommu->model == IOMMU_VIRTIO) {
		o = json_pack("s:driver", "virtio-iommu-pci", "s:id", iommu->info.alias, NULL);
		argv_put_pci(a, o, &iommu->info);
		return argv_add_device(a, o);
	}
	o = json_pack("s:driver", "intel-iommu", "s:id", iommu->info.alias, NULL);
	argv_put_on_off(o, "intremap", iommu->intremap);
	if (iommu->caching_mode != TRISTATE_ABSENT)
		argv_put_bool(o, "caching-mode", iommu->caching_mode == TRISTATE_ON);
	argv_put_on_off(o, "eim", iommu->eim);
	if (iommu->iotlb != TRISTATE_ABSENT)
		argv_put_bool(o, "device-iotlb", iommu->iotlb == TRISTATE_ON);
	return argv_add_device(a, o);
}
