/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The smaller devices: <tpm>, <rng>, <memballoon>, <watchdog>, <panic>, <vsock>, <iommu>. */
#include "schema.h"
#include "strv.h"

/* ---- <tpm> ---- */

static const struct field tpm_backend_fields[] = {
	ATTR_CONST("type", "emulator", .flags = FIELD_ALWAYS | FIELD_REQUIRED),
	ATTR(struct tpm, version, "version", VALUE_STRING, .names = &tpm_version_words),
	ATTR_CONST("persistent_state", "no"), /* the default */
};
static const struct table tpm_backend_table = TABLE(tpm_backend_fields, struct tpm);

static int tpm_finish(struct parse_context *c, const xmlNode *node, void *object)
{
	const struct tpm *tpm = object;

	if (tpm->model == TPM_CRB && streq(tpm->version, "1.2"))
		return field_invalid(c, node, "TPM model 'tpm-crb' has no version 1.2");
	return 0;
}

static const struct field tpm_fields[] = {
	ATTR_ENUM(struct tpm, model, "model", tpm_model_names),
	GROUP("backend", tpm_backend_table, .flags = FIELD_REQUIRED),
	INLINE(struct tpm, info, info_table),
};
const struct table tpm_table = TABLE(tpm_fields, struct tpm, .finish = tpm_finish);

/* ---- <rng> ---- */

static const struct field rate_fields[] = {
	ATTR(struct rng, rate_bytes, "bytes", VALUE_U32, .min = 1, .max = UINT32_MAX,
		.flags = FIELD_REQUIRED),
	ATTR(struct rng, rate_period_ms, "period", VALUE_U32, .min = 1, .max = UINT32_MAX),
};
static const struct table rate_table = TABLE(rate_fields, struct rng);

static bool is_random(const void *rng)
{
	return ((const struct rng *)rng)->backend == RNG_RANDOM;
}

static const struct field rng_backend_fields[] = {
	ATTR_ENUM(struct rng, backend, "model", rng_backend_names, .flags = FIELD_ALWAYS | FIELD_REQUIRED),
	TEXT(struct rng, path, VALUE_STRING, .when = is_random, .valid = text_is_path),
};
static const struct table rng_backend_table = TABLE(rng_backend_fields, struct rng);

static int rng_finish(struct parse_context *c, const xmlNode *node, void *object)
{
	struct rng *rng = object;

	if (!rng->model)
		replace_string(&rng->model, "virtio");
	if (is_random(rng) && !rng->path)
		replace_string(&rng->path, "/dev/random");
	return 0;
}

static const struct field rng_fields[] = {
	ATTR(struct rng, model, "model", VALUE_STRING, .names = &rng_model_words),
	GROUP("rate", rate_table, .flags = FIELD_HOST),
	GROUP("backend", rng_backend_table, .flags = FIELD_REQUIRED | FIELD_HOST),
	INLINE(struct rng, info, info_table),
};
const struct table rng_table = TABLE(rng_fields, struct rng, .finish = rng_finish);

/* ---- <memballoon> ---- */

static const struct field stats_fields[] = {
	ATTR(struct memballoon, stats_period_s, "period", VALUE_U32, .max = INT32_MAX,
		.flags = FIELD_REQUIRED),
};
static const struct table stats_table = TABLE(stats_fields, struct memballoon);

static const struct field memballoon_fields[] = {
	ATTR_ENUM(
		struct memballoon, model, "model", memballoon_names, .flags = FIELD_ALWAYS | FIELD_REQUIRED),
	ATTR(struct memballoon, autodeflate, "autodeflate", VALUE_ON_OFF),
	ATTR(struct memballoon, free_page_reporting, "freePageReporting", VALUE_ON_OFF),
	GROUP("stats", stats_table, .flags = FIELD_HOST),
	INLINE(struct memballoon, info, info_table),
};
const struct table memballoon_table = TABLE(memballoon_fields, struct memballoon);

/* ---- <watchdog> ---- */

static int watchdog_finish(struct parse_context *c, const xmlNode *node, void *object)
{
	if (((const struct watchdog *)object)->action == WATCHDOG_DUMP)
		return field_unsupported(
			c, node, "value 'dump' of attribute 'action' of <watchdog> is not supported");
	return 0;
}

static const struct field watchdog_fields[] = {
	ATTR_ENUM(struct watchdog, model, "model", watchdog_model_names,
		.flags = FIELD_ALWAYS | FIELD_REQUIRED),
	ATTR_ENUM(
		struct watchdog, action, "action", watchdog_action_names, .flags = FIELD_ALWAYS | FIELD_HOST),
	INLINE(struct watchdog, info, info_table),
};
const struct table watchdog_table = TABLE(watchdog_fields, struct watchdog, .finish = watchdog_finish);

/* ---- <panic> ---- */

static const struct field panic_fields[] = {
	ATTR_ENUM(struct panic_device, model, "model", panic_names),
	INLINE(struct panic_device, info, info_table),
};
const struct table panic_table = TABLE(panic_fields, struct panic_device);

/* ---- <vsock> ---- */

/* 0 to 2 mean the hypervisor, the guest itself and the host; the highest means anybody. */
static const struct field cid_fields[] = {
	ATTR(struct vsock, auto_cid, "auto", VALUE_BOOL, .flags = FIELD_ALWAYS),
	ATTR(struct vsock, cid, "address", VALUE_U32, .min = 3, .max = UINT32_MAX - 1),
};
static const struct table cid_table = TABLE(cid_fields, struct vsock);

static int vsock_finish(struct parse_context *c, const xmlNode *node, void *object)
{
	const struct vsock *vsock = object;

	if (!vsock->auto_cid && !vsock->cid)
		return field_invalid(c, node, "<vsock> has neither a CID nor auto='yes'");
	return 0;
}

static const struct field vsock_fields[] = {
	ATTR_CONST("model", "virtio", .flags = FIELD_ALWAYS),
	GROUP("cid", cid_table, .flags = FIELD_HOST),
	INLINE(struct vsock, info, info_table),
};
const struct table vsock_table = TABLE(vsock_fields, struct vsock, .finish = vsock_finish);

/* ---- <iommu> ---- */

static const struct field iommu_driver_fields[] = {
	ATTR(struct iommu, intremap, "intremap", VALUE_ON_OFF),
	ATTR(struct iommu, caching_mode, "caching_mode", VALUE_ON_OFF),
	ATTR(struct iommu, eim, "eim", VALUE_ON_OFF),
	ATTR(struct iommu, iotlb, "iotlb", VALUE_ON_OFF),
};
static const struct table iommu_driver_table = TABLE(iommu_driver_fields, struct iommu);

static bool is_intel(const void *iommu)
{
	return ((const struct iommu *)iommu)->model == IOMMU_INTEL;
}

static const struct field iommu_fields[] = {
	ATTR_ENUM(struct iommu, model, "model", iommu_names, .flags = FIELD_ALWAYS | FIELD_REQUIRED),
	GROUP("driver", iommu_driver_table, .when = is_intel),
	INLINE(struct iommu, info, info_table),
};
const struct table iommu_table = TABLE(iommu_fields, struct iommu);
