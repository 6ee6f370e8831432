/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* String lists, strict numbers, UUIDs. */
#include "strv.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/random.h>

#include "buf.h"

void strv_fini(struct strv *v)
{
	for (size_t i = 0; i < v->n; i++)
		free(v->items[i]);
	free(v->items);
	*v = (struct strv){0};
}

void strv_take(struct strv *v, char *s)
{
	/* Grown in powers of two, the NULL behind the last one included. */
	if (v->n == 0 || ((v->n + 1) & v->n) == 0)
		v->items = xrealloc(v->items, v->n ? (v->n + 1) * 2 : 4, sizeof(char *));
	v->items[v->n++] = s;
	v->items[v->n] = NULL;
}

void strv_add(struct strv *v, const char *s)
{
	strv_take(v, xstrdup(s));
}

void strv_addf(struct strv *v, const char *fmt, ...)
{
	struct buf b = {0};
	va_list ap;

	va_start(ap, fmt);
	buf_addv(&b, fmt, ap);
	va_end(ap);
	strv_take(v, buf_take(&b));
}

bool strv_contains(const struct strv *v, const char *s)
{
	for (size_t i = 0; i < v->n; i++)
		if (strcmp(v->items[i], s) == 0)
			return true;
	return false;
}

char *strv_join(const struct strv *v, const char *separator)
{
	struct buf b = {0};

	for (size_t i = 0; i < v->n; i++) {
		if (i > 0)
			buf_adds(&b, separator);
		buf_adds(&b, v->items[i]);
	}
	return buf_take(&b);
}

bool streq(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

bool startswith(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool endswith(const char *s, const char *suffix)
{
	size_t a = strlen(s), b = strlen(suffix);

	return a >= b && strcmp(s + a - b, suffix) == 0;
}

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 16;
}

bool parse_u64(const char *s, uint64_t *ret)
{
	uint64_t value = 0;
	unsigned base = 10;

	if (s && s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
		base = 16;
		s += 2;
	}
	if (!s || !*s)
		return false;
	for (; *s; s++) {
		unsigned digit = (unsigned)digit_value(*s);

		if (digit >= base || __builtin_mul_overflow(value, base, &value) ||
			__builtin_add_overflow(value, digit, &value))
			return false;
	}
	*ret = value;
	return true;
}

static bool is_decimal(const char *s)
{
	return s && *s && strspn(s, "0123456789") == strlen(s);
}

bool parse_u32(const char *s, uint32_t *ret)
{
	uint64_t value;

	if (!is_decimal(s) || !parse_u64(s, &value) || value > UINT32_MAX)
		return false;
	*ret = (uint32_t)value;
	return true;
}

bool parse_i64(const char *s, int64_t *ret)
{
	bool negative = s && *s == '-';
	uint64_t value;

	if (negative)
		s++;
	if (!is_decimal(s) || !parse_u64(s, &value) || value > (uint64_t)INT64_MAX + negative)
		return false;
	*ret = negative ? (int64_t)(0 - value) : (int64_t)value;
	return true;
}

bool uuid_parse(const char *s, uint8_t ret[16])
{
	uint8_t uuid[16];
	bool dashes;

	if (!s)
		return false;
	dashes = strchr(s, '-') != NULL;
	for (size_t i = 0; i < 16; i++) {
		int high, low;

		if (dashes && (i == 4 || i == 6 || i == 8 || i == 10) && *s++ != '-')
			return false;
		high = digit_value(s[0]);
		low = high < 16 ? digit_value(s[1]) : 16;
		if (low >= 16)
			return false;
		uuid[i] = (uint8_t)(high << 4 | low);
		s += 2;
	}
	if (*s)
		return false;
	memcpy(ret, uuid, sizeof(uuid));
	return true;
}

void uuid_format(const uint8_t uuid[16], char ret[UUID_TEXT_MAX])
{
	static const char digits[] = "0123456789abcdef";
	char *p = ret;

	for (size_t i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		*p++ = digits[uuid[i] >> 4];
		*p++ = digits[uuid[i] & 15];
	}
	*p = '\0';
}

void uuid_generate(uint8_t ret[16])
{
	ssize_t n;

	do
		n = getrandom(ret, 16, 0);
	while (n < 0 && errno == EINTR);
	assert(n == 16);
	ret[6] = (uint8_t)((ret[6] & 0x0f) | 0x40);
	ret[8] = (uint8_t)((ret[8] & 0x3f) | 0x80);
}
