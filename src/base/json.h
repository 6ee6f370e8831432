/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* json-c with the manners of this tree: typed getters that name what is missing, building by one call. */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "error.h"

typedef struct json_object json;

static inline void json_put_p(json **o)
{
	if (*o)
		json_object_put(*o);
}
#define _cleanup_json_ _cleanup_(json_put_p)

/* One value, nothing behind it, nesting at most 64. Bytes that are not UTF-8 are kept: paths may hold any. */
int json_parse(const char *text, size_t len, json **ret, struct error *err);
/* Compact text, owned by the caller. */
char *json_format(json *o);

/*
 * json_pack("s:name", "vm", "i:size", (int64_t)1, "b:force", true, "o:arguments", obj, NULL)
 * makes an object; s string (NULL leaves the key out), i int64_t, u uint64_t, b bool (int), o json, taken
 * (NULL leaves the key out). Every key carries its kind so that a call reads as what it sends.
 */
json *json_pack(const char *first, ...) __attribute__((sentinel));

/* NULL or the default when the key is missing or of another kind. `o` may be NULL. Borrowed. */
json *json_get(json *o, const char *key);
const char *json_get_string(json *o, const char *key);
int64_t json_get_int(json *o, const char *key, int64_t otherwise);
uint64_t json_get_uint(json *o, const char *key, uint64_t otherwise);
bool json_get_bool(json *o, const char *key, bool otherwise);

/* "a.b.0.c": walk keys and array indices; NULL when any is missing. */
json *json_get_path(json *o, const char *path);

/* What a peer sends as a list may be anything; json-c asserts that it is one. */
static inline size_t json_count_(json *array)
{
	return json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;
}

/* Over the items of an array (none in NULL and in anything else). break and continue work. */
#define JSON_FOREACH(item, array)                                                                            \
	for (size_t item##_i = 0, item##_left = 0, item##_n = json_count_(array);                            \
		!item##_left && item##_i < item##_n; item##_i++)                                             \
		for (json *item = json_object_array_get_idx(array, item##_i),                                \
			  *item##_once = (item##_left = 1, (json *)1);                                       \
			item##_once; item##_once = NULL, item##_left = 0)
