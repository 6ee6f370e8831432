/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Domain XML held by golden files.
 *
 * tests/golden/xml/NAME.in.xml -> NAME.out.xml: what a description looks like once it was understood.
 * tests/golden/xml-bad/NAME.xml -> NAME.err: how a description is refused.
 *
 * With GODWIT_GOLDEN_UPDATE=1 in the environment the files are rewritten instead; look at the difference before you
 * commit it.
 */
#include <dirent.h>
#include <fcntl.h>

#include "domain.h"
#include "file.h"
#include "strv.h"
#include "tap.h"

#define GOOD	 GODWIT_SOURCE_ROOT "/tests/golden/xml"
#define BAD	 GODWIT_SOURCE_ROOT "/tests/golden/xml-bad"
#define FILE_MAX (1u << 20)

static bool updating;

static char *read_text(int dir, const char *name, const char *suffix, size_t *ret_len)
{
	_cleanup_free_ char *file = xasprintf("%s%s", name, suffix);
	struct error err = ERROR_INIT;
	char *text = NULL;

	if (file_read(dir, file, FILE_MAX, &text, ret_len, &err) < 0)
		printf("# %s\n", err.message);
	return text;
}

/* Compare with the golden file, or write it. */
static void is_golden(int dir, const char *name, const char *suffix, const char *got)
{
	_cleanup_free_ char *file = xasprintf("%s%s", name, suffix), *want = NULL;
	struct error err = ERROR_INIT;
	size_t len;

	if (updating) {
		ok(file_replace(dir, file, got, strlen(got), 0644, &err) == 0, file);
		return;
	}
	want = read_text(dir, name, suffix, &len);
	is_str(got, want, file);
}

/* What is written is read again as the same, and a copy is no different. */
static bool is_stable(const struct domain *d, unsigned parse_flags, unsigned format_flags)
{
	_cleanup_free_ char *first = domain_format(d, format_flags), *again = NULL, *copied = NULL;
	_cleanup_domain_ struct domain *copy = domain_copy(d), *reread = NULL;
	struct error err = ERROR_INIT;

	if (domain_parse(first, strlen(first), parse_flags, &reread, &err) < 0) {
		printf("# reading it again: %s\n", err.message);
		return false;
	}
	again = domain_format(reread, format_flags);
	copied = domain_format(copy, format_flags);
	if (!streq(first, again) || !streq(first, copied)) {
		printf("# first: %s\n# again: %s\n# copied: %s\n", first, again, copied);
		return false;
	}
	if (domain_check_abi_stable(d, reread, &err) < 0 || domain_check_abi_stable(d, copy, &err) < 0) {
		printf("# %s\n", err.message);
		return false;
	}
	return true;
}

static void test_good(int dir, const char *name)
{
	_cleanup_domain_ struct domain *d = NULL;
	_cleanup_free_ char *xml = NULL, *out = NULL;
	struct error err = ERROR_INIT;
	size_t len = 0;

	xml = read_text(dir, name, ".in.xml", &len);
	if (!xml || domain_parse(xml, len, 0, &d, &err) < 0) {
		ok(false, name);
		printf("# %s\n", err.message);
		return;
	}
	out = domain_format(d, DOMAIN_FORMAT_INACTIVE | DOMAIN_FORMAT_SECURE);
	is_golden(dir, name, ".out.xml", out);
	ok(is_stable(d, 0, DOMAIN_FORMAT_INACTIVE | DOMAIN_FORMAT_SECURE) &&
			is_stable(d, DOMAIN_PARSE_LIVE, DOMAIN_FORMAT_SECURE),
		"  is read again as the same, inactive and live");
}

static void test_bad(int dir, const char *name)
{
	_cleanup_domain_ struct domain *d = NULL;
	_cleanup_free_ char *xml = NULL, *text = NULL;
	struct error err = ERROR_INIT;
	size_t len = 0;

	xml = read_text(dir, name, ".xml", &len);
	if (!xml || domain_parse(xml, len, 0, &d, &err) == 0) {
		ok(false, name);
		printf("# it was accepted\n");
		return;
	}
	text = xasprintf("%s: %s\n",
		err.code == ERROR_XML		       ? "XML error"
		: err.code == ERROR_UNSUPPORTED_CONFIG ? "unsupported configuration"
						       : "another error",
		err.message);
	is_golden(dir, name, ".err", text);
	ok(!strchr(err.message, '\n'), "  is refused in one line");
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void each(const char *path, const char *suffix, void (*test)(int dir, const char *name))
{
	_cleanup_(strv_fini) struct strv names = {0};
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = opendir(path);

	for (const struct dirent *entry; dir && (entry = readdir(dir));)
		if (endswith(entry->d_name, suffix))
			strv_take(&names, xstrndup(entry->d_name, strlen(entry->d_name) - strlen(suffix)));
	if (dir)
		closedir(dir);
	if (names.n > 0)
		qsort(names.items, names.n, sizeof(char *), by_name);
	ok(names.n > 0, path);
	for (size_t i = 0; i < names.n; i++)
		test(fd, names.items[i]);
}

int main(void)
{
	updating = getenv("GODWIT_GOLDEN_UPDATE") != NULL;
	each(GOOD, ".in.xml", test_good);
	each(BAD, ".xml", test_bad);
	return done_testing();
}
