/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A migration cookie from the other host: what is accepted is written so that it is read again as the same. */
#include <assert.h>

#include "cookie.h"
#include "xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_token(const char *token)
{
	assert(token && strlen(token) == COOKIE_TOKEN_LEN);
	assert(strspn(token, "0123456789abcdef") == COOKIE_TOKEN_LEN);
}

/* What its users rely on without looking. */
static void check_promises(const struct cookie *c)
{
	if (!c->name) {
		assert(c->has == 0 && c->mandatory == 0);
		return;
	}
	assert(c->hostname);
	assert(!(c->has & COOKIE_PERSISTENT) || c->persistent_xml);
	assert(!(c->has & COOKIE_CPU) || c->cpu_xml);
	assert(!(c->has & COOKIE_LOCKSTATE) || c->lock_driver);
	for (size_t i = 0; i < c->disks.n; i++)
		assert(c->disks.items[i].target);
	if (c->has & COOKIE_HANDOVER)
		check_token(c->token);
	if (c->handover_port) {
		assert(c->handover_host);
		check_token(c->handover_place);
	}
}

static void check(const char *text, size_t len, unsigned accept)
{
	struct cookie c, again = {0};
	_cleanup_free_ char *first = NULL, *second = NULL;
	struct error err = ERROR_INIT;

	if (cookie_parse(text, len, NULL, NULL, accept, &c, &err) < 0) {
		assert(err.code == ERROR_XML || err.code == ERROR_OPERATION_FAILED);
		assert(!strchr(err.message, '\n') && c.has == 0 && !c.name);
		return;
	}
	check_promises(&c);
	assert(!(c.mandatory & ~accept));
	if (c.name) {
		first = cookie_format(&c);
		/* Escaping can make a document grow past the limit. */
		if (cookie_parse(first, strlen(first), NULL, NULL, accept, &again, &err) == 0) {
			check_promises(&again);
			assert(again.has == c.has && again.mandatory == c.mandatory);
			second = cookie_format(&again);
			assert(streq(first, second));
		} else {
			assert(strlen(first) > XML_TEXT_MAX);
		}
	}
	cookie_fini(&c);
	cookie_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check((const char *)data, size, COOKIE_ALL_MANDATORY);
	check((const char *)data, size, ~0u);
	return 0;
}
