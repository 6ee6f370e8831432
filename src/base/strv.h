/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Strings: a growing list of them, NULL-terminated as execve wants it, and strict number parsing. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "alloc.h"
#include "error.h"

/* items[n] is always NULL once something was added; an empty list may have items == NULL. */
struct strv {
	char **items;
	size_t n;
};

void strv_fini(struct strv *v);
void strv_add(struct strv *v, const char *s); /* copies */
void strv_addf(struct strv *v, const char *fmt, ...) _printf_(2, 3);
void strv_take(struct strv *v, char *s); /* owns s from now on */
bool strv_contains(const struct strv *v, const char *s);
char *strv_join(const struct strv *v, const char *separator);

bool streq(const char *a, const char *b); /* NULL equals only NULL */
bool startswith(const char *s, const char *prefix);
bool endswith(const char *s, const char *suffix);

/* Whole string, base 10 (parse_u64: also 0x), no sign, no space; false and *ret untouched otherwise. */
bool parse_u64(const char *s, uint64_t *ret);
bool parse_u32(const char *s, uint32_t *ret);
bool parse_i64(const char *s, int64_t *ret);

/* UUID text (RFC 9562: 36 characters; libvirt also takes 32 without dashes), any case in, lower case out. */
#define UUID_TEXT_MAX 37
bool uuid_parse(const char *s, uint8_t ret[16]);
void uuid_format(const uint8_t uuid[16], char ret[UUID_TEXT_MAX]);
void uuid_generate(uint8_t ret[16]); /* version 4, from getrandom */
