/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Plans and links as they stand in a journal and on disk. */
#include "snapshot-plan.h"

static int damaged(struct error *err)
{
	return error_set(err, ERROR_DAMAGED, "it is no plan for images");
}

static enum disk_format format_get(json *o, const char *key)
{
	const char *name = json_get_string(o, key);

	for (size_t i = DISK_FORMAT_NONE + 1; i < DISK_FORMAT_MAX_; i++)
		if (streq(disk_format_name((enum disk_format)i), name))
			return (enum disk_format)i;
	return DISK_FORMAT_NONE;
}

/* NULL leaves the key out. */
static const char *format_of(enum disk_format format)
{
	return format == DISK_FORMAT_NONE ? NULL : disk_format_name(format);
}

static enum disk_source source_get(json *o, const char *key)
{
	return json_get_bool(o, key, false) ? DISK_SOURCE_BLOCK : DISK_SOURCE_FILE;
}

json *image_links_encode(const struct image_links *links)
{
	json *array = json_object_new_array();

	VEC_FOREACH (link, &links->items) {
		json *o = json_pack("s:target", link.target, "s:image", link.image, "s:on", link.on,
			"b:on_block", link.on_type == DISK_SOURCE_BLOCK, "s:on_format",
			format_of(link.on_format), NULL);

		if (link.bytes)
			json_object_object_add(o, "bytes", json_object_new_uint64(link.bytes));
		json_object_array_add(array, o);
	}
	return array;
}

int image_links_decode(json *o, struct image_links *ret, struct error *err)
{
	JSON_FOREACH (item, o) {
		struct image_link link = {.target = (char *)json_get_string(item, "target"),
			.image = (char *)json_get_string(item, "image"),
			.on = (char *)json_get_string(item, "on"),
			.on_type = source_get(item, "on_block"),
			.on_format = format_get(item, "on_format"),
			.bytes = json_get_uint(item, "bytes", 0)};

		if (!link.image)
			return damaged(err);
		image_links_add(ret, &link);
	}
	return 0;
}

static json *step_encode(const struct image_step *step)
{
	json *between = json_object_new_array(), *above = json_object_new_array();

	for (size_t i = 0; i < step->between.n; i++)
		json_object_array_add(between, json_object_new_string(step->between.items[i]));
	VEC_FOREACH (a, &step->above)
		json_object_array_add(above, json_pack("s:path", a.path, "s:format", format_of(a.format),
						     "b:present", a.present, NULL));
	return json_pack("s:target", step->target, "s:image", step->image, "b:block",
		step->type == DISK_SOURCE_BLOCK, "s:format", format_of(step->format), "s:on", step->on,
		"b:on_block", step->on_type == DISK_SOURCE_BLOCK, "s:on_format", format_of(step->on_format),
		"o:between", between, "o:above", above, "b:present", step->present, "b:top", step->top,
		"b:named", step->named, "u:bytes", step->bytes, NULL);
}

static int step_decode(json *o, struct image_step *ret, struct error *err)
{
	*ret = (struct image_step){.target = xstrdup(json_get_string(o, "target")),
		.image = xstrdup(json_get_string(o, "image")),
		.type = source_get(o, "block"),
		.format = format_get(o, "format"),
		.on = xstrdup(json_get_string(o, "on")),
		.on_type = source_get(o, "on_block"),
		.on_format = format_get(o, "on_format"),
		.present = json_get_bool(o, "present", false),
		.top = json_get_bool(o, "top", false),
		.named = json_get_bool(o, "named", false),
		.bytes = json_get_uint(o, "bytes", 0)};
	JSON_FOREACH (item, json_get(o, "between")) {
		if (!json_object_is_type(item, json_type_string))
			return damaged(err);
		strv_add(&ret->between, json_object_get_string(item));
	}
	JSON_FOREACH (item, json_get(o, "above")) {
		if (!json_get_string(item, "path"))
			return damaged(err);
		VEC_ADD(&ret->above, ((struct image_above){.path = xstrdup(json_get_string(item, "path")),
					     .format = format_get(item, "format"),
					     .present = json_get_bool(item, "present", false)}));
	}
	return ret->image ? 0 : damaged(err);
}

json *image_plan_encode(const struct image_plan *plan)
{
	json *merges = json_object_new_array(), *removals = json_object_new_array();

	for (size_t i = 0; i < plan->merges.n; i++)
		json_object_array_add(merges, step_encode(&plan->merges.items[i]));
	for (size_t i = 0; i < plan->removals.n; i++)
		json_object_array_add(removals, step_encode(&plan->removals.items[i]));
	return json_pack("o:merges", merges, "o:removals", removals, "o:remembered",
		image_links_encode(&plan->remembered), NULL);
}

int image_plan_decode(json *o, struct image_plan *ret, struct error *err)
{
	*ret = (struct image_plan){0};
	JSON_FOREACH (item, json_get(o, "merges")) {
		VEC_ADD(&ret->merges, (struct image_step){0});
		if (step_decode(item, &ret->merges.items[ret->merges.n - 1], err) < 0)
			return -1;
		if (!ret->merges.items[ret->merges.n - 1].on)
			return damaged(err);
	}
	JSON_FOREACH (item, json_get(o, "removals")) {
		VEC_ADD(&ret->removals, (struct image_step){0});
		if (step_decode(item, &ret->removals.items[ret->removals.n - 1], err) < 0)
			return -1;
	}
	return image_links_decode(json_get(o, "remembered"), &ret->remembered, err);
}
