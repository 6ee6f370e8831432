/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The words behind a command's name. */
#include "option.h"
#include "strv.h"
#include "tap.h"

static const struct option_spec specs[] = {
	{"domain", OPTION_STRING, OPTION_REQUIRED | OPTION_POSITIONAL, "the VM"},
	{"mode", OPTION_STRING, OPTION_POSITIONAL, "a mode"},
	{"channels", OPTION_NUMBER, 0, "a number"},
	{"xml", OPTION_STRING, OPTION_POSITIONAL | OPTION_SILENT, "a file"},
	{"paused", OPTION_FLAG, 0, "a flag"},
	{"all", OPTION_FLAG, 0, "a flag"},
	{"words", OPTION_REST, OPTION_POSITIONAL, "words"},
	{NULL, OPTION_FLAG, 0, NULL},
};

#define PARSE(a, err, ...)                                                                                   \
	({                                                                                                   \
		const char *words_[] = {__VA_ARGS__, NULL};                                                  \
		arguments_parse("test", specs, true, (int)ARRAY_SIZE(words_) - 1, (char *const *)words_,     \
			(a), (err));                                                                         \
	})

static void test_values(void)
{
	struct arguments a;
	char *joined;

	ok(PARSE(&a, NULL, "vm1", "--paused", "--channels", "4") == 0, "a word, a flag and a number");
	is_str(arguments_string(&a, "domain"), "vm1", "the word went to the first option by position");
	ok(arguments_has(&a, "paused") && !arguments_has(&a, "all"), "only the given flag is set");
	is_int(arguments_number(&a, "channels", 9), 4, "the number");
	is_int(arguments_flag(&a, "paused", 8) | arguments_flag(&a, "all", 2), 8, "flags become bits");
	ok(!a.json && !a.help, "neither JSON nor help was asked for");
	arguments_fini(&a);

	ok(PARSE(&a, NULL, "--channels=7", "--domain=x y", "--xml=", "acpi") == 0, "values behind '='");
	is_str(arguments_string(&a, "domain"), "x y", "with a space in them");
	is_str(arguments_string(&a, "xml"), "", "or empty");
	is_str(arguments_string(&a, "mode"), "acpi", "the word skips an option that has a value");
	is_int(arguments_number(&a, "channels", 9), 7, "the number");
	arguments_fini(&a);

	ok(PARSE(&a, NULL, "vm", "m", "f.xml", "a", "--all", "b") == 0, "many words");
	is_str(arguments_string(&a, "xml"), "f.xml", "a silent one takes its turn by position");
	joined = arguments_join_rest(&a);
	is_str(joined, "a b", "the last takes all that is left");
	free(joined);
	arguments_fini(&a);

	ok(PARSE(&a, NULL, "--", "--paused", "-5") == 0, "behind -- nothing is an option");
	is_str(arguments_string(&a, "domain"), "--paused", "the first word");
	is_str(arguments_string(&a, "mode"), "-5", "the second");
	arguments_fini(&a);

	ok(PARSE(&a, NULL, "vm", "--json") == 0 && a.json, "--json");
	arguments_fini(&a);
	ok(PARSE(&a, NULL, "--help") == 0 && a.help, "--help needs none of the required words");
	arguments_fini(&a);
}

static void test_refusals(void)
{
	struct error err = ERROR_INIT;
	struct arguments a;
	char *none[] = {NULL}, *json[] = {(char *)"vm", (char *)"--json", NULL};

	ok(arguments_parse("test", specs, true, 0, none, &a, &err) < 0, "a missing word is refused");
	ok(err.code == ERROR_INVALID_ARGUMENT && strstr(err.message, "<domain>"), "by name");
	ok(PARSE(&a, &err, "vm", "--bogus") < 0 && strstr(err.message, "--bogus"),
		"an unknown option is refused");
	ok(strstr(err.message, "godwit help test") != NULL, "and the message says where to look");
	ok(PARSE(&a, &err, "vm", "--paused=1") < 0, "a flag with a value is refused");
	ok(PARSE(&a, &err, "vm", "--channels") < 0, "an option without its value is refused");
	ok(PARSE(&a, &err, "vm", "--channels", "four") < 0, "a number must be one");
	ok(PARSE(&a, &err, "vm", "--channels", "-1") < 0, "and not negative");
	ok(PARSE(&a, &err, "vm", "--xml", "a", "--xml", "b") < 0, "an option given twice is refused");
	ok(PARSE(&a, &err, "vm", "--pause") < 0, "an abbreviation is refused");
	ok(arguments_parse("test", specs, false, 2, json, &a, &err) < 0,
		"--json is refused where it is not known");
	ok(arguments_parse("test", NULL, false, 1, json, &a, &err) < 0,
		"a word to a command that takes none");

	ok(PARSE(&a, NULL, "vm", "--paused", "--all") == 0, "two flags");
	ok(arguments_exclusive(&a, "paused", "all", &err) < 0, "may exclude each other");
	ok(arguments_exclusive(&a, "paused", "mode", &err) == 0, "one alone is fine");
	arguments_fini(&a);
}

static void test_split(void)
{
	struct error err = ERROR_INIT;
	struct strv words = {0};

	ok(words_split("start 'my vm';  list --all \"a;b\" c\\ d ''", &words, &err) == 0,
		"a string of commands");
	is_int(words.n, 8, "in words");
	is_str(words.items[1], "my vm", "single quotes");
	is_str(words.items[2], ";", "a semicolon is a word of its own");
	is_str(words.items[5], "a;b", "but not between quotes");
	is_str(words.items[6], "c d", "an escaped space");
	is_str(words.items[7], "", "an empty word");
	strv_fini(&words);
	ok(words_split("list 'x", &words, &err) < 0, "an open quotation is refused");
	strv_fini(&words);
}

int main(void)
{
	test_values();
	test_refusals();
	test_split();
	return done_testing();
}
