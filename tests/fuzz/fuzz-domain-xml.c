/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Domain XML from a client: what is accepted is written so that it is read again as the same. */
#include <assert.h>

#include "domain.h"
#include "strv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *xml, size_t len, unsigned parse_flags, unsigned format_flags)
{
	_cleanup_domain_ struct domain *d = NULL, *again = NULL, *copy = NULL;
	_cleanup_free_ char *first = NULL, *second = NULL, *third = NULL;
	struct error err = ERROR_INIT;

	if (domain_parse(xml, len, parse_flags, &d, &err) < 0) {
		assert(!d && !strchr(err.message, '\n'));
		assert(err.code == ERROR_XML || err.code == ERROR_UNSUPPORTED_CONFIG);
		return;
	}
	first = domain_format(d, format_flags);
	assert(domain_parse(first, strlen(first), parse_flags, &again, &err) == 0);
	second = domain_format(again, format_flags);
	copy = domain_copy(d);
	third = domain_format(copy, format_flags);
	assert(streq(first, second) && streq(first, third));
	assert(domain_check_abi_stable(d, again, &err) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *xml = (const char *)data;

	check(xml, size, 0, DOMAIN_FORMAT_INACTIVE | DOMAIN_FORMAT_SECURE);
	check(xml, size, DOMAIN_PARSE_LIVE, DOMAIN_FORMAT_SECURE);
	return 0;
}
