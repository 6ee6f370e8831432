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

static bool is_ascii(char c)
{
	return (uint8_t)c < 0x80;
}

/* How much of `text` to parse at once: up to what is not ASCII, or from there at most as far as its string goes. */
static size_t get_run(const char *text, size_t len)
{
	size_t n = 0;

	if (is_ascii(text[0]))
		while (n < len && is_ascii(text[n]))
			n++;
	else
		while (n < len && (uint8_t)text[n] >= ' ' && text[n] != '"' && text[n] != '\'')
			n++;
	return n;
}

/*
 * json-c 0.18 takes what is not ASCII in a string for control characters (where char is signed), and being strict
 * refuses them. Inside a string to be strict means nothing more, so it is not while such a run is fed; outside of
 * one these bytes are refused either way.
 */
static json *feed(json_tokener *tok, const char *text, size_t len, size_t *ret_end)
{
	json *o = NULL;
	size_t run;

	*ret_end = 0;
	for (size_t at = 0; at < len; at += run) {
		run = get_run(text + at, len - at);
		json_tokener_set_flags(tok, is_ascii(text[at]) ? JSON_TOKENER_STRICT : 0);
		o = json_tokener_parse_ex(tok, text + at, (int)run);
		*ret_end = at + json_tokener_get_parse_end(tok);
		if (json_tokener_get_error(tok) != json_tokener_continue)
			break;
	}
	return o;
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
	/* White space behind the value is cut off here: strict mode refuses anything there. */
	while (len > 0 && is_space(text[len - 1]))
		len--;
	if (len == 0)
		return error_set(err, ERROR_INVALID_ARGUMENT, "JSON ends too early");
	o = feed(tok, text, len, &end);
	e = json_tokener_get_error(tok);
	if (e == json_tokener_continue) {
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
