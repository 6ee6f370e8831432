/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Strict JSON in, compact JSON out, objects built by one call. */
#include "json.h"

#include <assert.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>

#include "alloc.h"
#include "strv.h"

#define DEPTH_MAX 64

static void tokener_free_p(json_tokener **tok)
{
	if (*tok)
		json_tokener_free(*tok);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

int json_parse(const char *text, size_t len, json **ret, struct error *err)
{
	_cleanup_(tokener_free_p) json_tokener *tok = json_tokener_new_ex(DEPTH_MAX);
	_cleanup_json_ json *o = NULL;
	enum json_tokener_error e;
	size_t end;

	if (!tok)
		return error_set(err, ERROR_NO_MEMORY, "parse JSON: out of memory");
	if (len > INT_MAX / 2)
		return error_set(err, ERROR_INVALID_ARGUMENT, "JSON of %zu bytes is too large", len);
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT);
	/* White space behind the value is cut off here: strict mode refuses anything there. */
	while (len > 0 && is_space(text[len - 1]))
		len--;
	o = json_tokener_parse_ex(tok, text, (int)len);
	e = json_tokener_get_error(tok);
	end = json_tokener_get_parse_end(tok);
	if (e == json_tokener_continue && len > 0) {
		/* A bare number ends only with its text. */
		o = json_tokener_parse_ex(tok, "", 1);
		e = json_tokener_get_error(tok);
		end = len;
	}
	if (e == json_tokener_continue)
		return error_set(err, ERROR_INVALID_ARGUMENT, "JSON ends too early");
	if (e != json_tokener_success)
		return error_set(
			err, ERROR_INVALID_ARGUMENT, "JSON at byte %zu: %s", end, json_tokener_error_desc(e));
	if (end != len)
		return error_set(err, ERROR_INVALID_ARGUMENT, "JSON at byte %zu: text behind the value", end);
	if (!o)
		return error_set(err, ERROR_INVALID_ARGUMENT, "JSON holds only null");
	*ret = TAKE_PTR(o);
	return 0;
}

char *json_format(json *o)
{
	return xstrdup(
		json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
}

json *json_pack(const char *first, ...)
{
	json *o = json_object_new_object();
	va_list ap;

	va_start(ap, first);
	for (const char *key = first; key; key = va_arg(ap, const char *)) {
		const char *string;
		json *value = NULL;

		assert(key[0] && key[1] == ':' && key[2]);
		switch (key[0]) {
		case 's':
			string = va_arg(ap, const char *);
			value = string ? json_object_new_string(string) : NULL;
			break;
		case 'i':
			value = json_object_new_int64(va_arg(ap, int64_t));
			break;
		case 'u':
			value = json_object_new_uint64(va_arg(ap, uint64_t));
			break;
		case 'b':
			value = json_object_new_boolean(va_arg(ap, int));
			break;
		case 'o':
			value = va_arg(ap, json *);
			break;
		default:
			assert(!"json_pack: unknown kind");
		}
		if (value)
			json_object_object_add(o, key + 2, value);
	}
	va_end(ap);
	return o;
}

json *json_get(json *o, const char *key)
{
	json *value = NULL;

	if (json_object_is_type(o, json_type_object))
		json_object_object_get_ex(o, key, &value);
	return value;
}

const char *json_get_string(json *o, const char *key)
{
	json *value = json_get(o, key);

	return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;
}

int64_t json_get_int(json *o, const char *key, int64_t otherwise)
{
	json *value = json_get(o, key);

	return json_object_is_type(value, json_type_int) ? json_object_get_int64(value) : otherwise;
}

uint64_t json_get_uint(json *o, const char *key, uint64_t otherwise)
{
	json *value = json_get(o, key);

	/* json-c would turn a negative number into 0. */
	if (!json_object_is_type(value, json_type_int) || json_object_get_int64(value) < 0)
		return otherwise;
	return json_object_get_uint64(value);
}

bool json_get_bool(json *o, const char *key, bool otherwise)
{
	json *value = json_get(o, key);

	return json_object_is_type(value, json_type_boolean) ? json_object_get_boolean(value) : otherwise;
}

json *json_get_path(json *o, const char *path)
{
	while (o && *path) {
		size_t len = strcspn(path, ".");
		_cleanup_free_ char *key = xstrndup(path, len);
		uint32_t index;

		if (json_object_is_type(o, json_type_array))
			o = parse_u32(key, &index) ? json_object_array_get_idx(o, index) : NULL;
		else
			o = json_get(o, key);
		path += len + (path[len] == '.');
	}
	return o;
}
