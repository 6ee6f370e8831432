/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Filling, extending and copying of struct error. */
#include "error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Messages go to clients as UTF-8 strings, so a cut never leaves half a character behind. */
static void cut_at(char *s, size_t len)
{
	while (len > 0 && ((unsigned char)s[len] & 0xc0) == 0x80)
		len--;
	s[len] = '\0';
}

static void append(char *dst, const char *src)
{
	size_t used = strlen(dst), room = ERROR_MESSAGE_MAX - 1 - used, len = strlen(src);

	if (len <= room) {
		memcpy(dst + used, src, len + 1);
		return;
	}
	memcpy(dst + used, src, room + 1);
	cut_at(dst, ERROR_MESSAGE_MAX - 1);
}

static void format(char message[ERROR_MESSAGE_MAX], const char *fmt, va_list ap) _printf_(2, 0);
static void format(char message[ERROR_MESSAGE_MAX], const char *fmt, va_list ap)
{
	char *text = NULL;

	/* Through the heap, because an argument may be the old message. */
	message[0] = '\0';
	if (vasprintf(&text, fmt, ap) < 0)
		return;
	append(message, text);
	free(text);
}

int error_set(struct error *err, enum error_code code, const char *fmt, ...)
{
	char message[ERROR_MESSAGE_MAX];
	va_list ap;

	if (!err)
		return -1;
	va_start(ap, fmt);
	format(message, fmt, ap);
	va_end(ap);
	err->code = code;
	err->errnum = 0;
	memcpy(err->message, message, sizeof(message));
	return -1;
}

int error_errno(struct error *err, int errnum, const char *fmt, ...)
{
	char message[ERROR_MESSAGE_MAX];
	va_list ap;

	if (!err)
		return -1;
	va_start(ap, fmt);
	format(message, fmt, ap);
	va_end(ap);
	append(message, ": ");
	append(message, strerror(errnum));
	err->code = errnum == ENOMEM ? ERROR_NO_MEMORY : ERROR_SYSTEM;
	err->errnum = errnum;
	memcpy(err->message, message, sizeof(message));
	return -1;
}

int error_prefix(struct error *err, const char *fmt, ...)
{
	char message[ERROR_MESSAGE_MAX];
	va_list ap;

	if (!err)
		return -1;
	va_start(ap, fmt);
	format(message, fmt, ap);
	va_end(ap);
	append(message, ": ");
	append(message, err->message);
	memcpy(err->message, message, sizeof(message));
	return -1;
}

int error_copy(struct error *dst, const struct error *src)
{
	if (dst && dst != src)
		memcpy(dst, src, sizeof(*dst));
	return -1;
}

void error_clear(struct error *err)
{
	if (!err)
		return;
	err->code = ERROR_NONE;
	err->errnum = 0;
	err->message[0] = '\0';
}
