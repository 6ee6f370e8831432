/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The real qemu-img, several times in a row. */
#include <stdlib.h>
#include <unistd.h>

#include "cleanup.h"
#include "qemu-img.h"
#include "tap.h"

static char directory[] = "/tmp/qemu-img-XXXXXX";

struct answer {
	sd_event *loop;
	unsigned n;
	char *output;
	struct error err;
};

static void done(const char *output, const struct error *err, void *userdata)
{
	struct answer *a = userdata;

	a->n++;
	a->output = xstrdup(output);
	if (err)
		a->err = *err;
	sd_event_exit(a->loop, 0);
}

static void command(
	struct strv *v, const char *first, const char *second, const char *third, const char *name)
{
	strv_add(v, first);
	if (second)
		strv_add(v, second);
	if (third)
		strv_add(v, third);
	strv_addf(v, "%s/%s", directory, name);
}

static void run(const struct strv *commands, size_t n, struct answer *a)
{
	struct qemu_img *q = NULL;

	*a = (struct answer){.err = ERROR_INIT};
	sd_event_new(&a->loop);
	if (qemu_img_start(a->loop, commands, n, done, a, &q, &a->err) == 0)
		sd_event_loop(a->loop);
	qemu_img_free(q);
	sd_event_unref(a->loop);
}

static void test_rows(void)
{
	struct strv commands[3] = {{0}};
	struct answer a;

	command(&commands[0], "snapshot", "-c", "one", "image");
	command(&commands[1], "snapshot", "-c", "two", "image");
	command(&commands[2], "info", "--output=json", NULL, "image");
	run(commands, 3, &a);
	ok(a.n == 1 && a.err.code == ERROR_NONE, "three commands, one answer");
	ok(a.output && strstr(a.output, "\"name\": \"one\"") && strstr(a.output, "\"name\": \"two\""),
		"in their order; the last one's words");
	free(a.output);
	for (size_t i = 0; i < 3; i++)
		strv_fini(&commands[i]);
}

static void test_failure(void)
{
	struct strv commands[3] = {{0}};
	struct answer a;

	command(&commands[0], "snapshot", "-d", "one", "image");
	command(&commands[1], "snapshot", "-a", "none", "image");
	command(&commands[2], "snapshot", "-d", "two", "image");
	run(commands, 3, &a);
	ok(a.n == 1 && a.err.code == ERROR_OPERATION_FAILED && !a.output, "the second fails");
	ok(startswith(a.err.message, "qemu-img: ") && !strchr(a.err.message, '\n') &&
			strstr(a.err.message, "none"),
		"in its own words");
	strv_fini(&commands[0]);
	command(&commands[0], "info", "--output=json", NULL, "image");
	run(commands, 1, &a);
	ok(a.output && !strstr(a.output, "\"one\"") && strstr(a.output, "\"two\""), "the third never ran");
	free(a.output);
	for (size_t i = 0; i < 3; i++)
		strv_fini(&commands[i]);
}

static void test_progress(void)
{
	is_int(qemu_img_parse_permyriad(""), 0, "nothing said");
	is_int(qemu_img_parse_permyriad("    (0.00/100%)\r"), 0, "at its beginning");
	is_int(qemu_img_parse_permyriad("(1.01/100%)\r    (12.34/100%)\r"), 1234, "the last counts");
	is_int(qemu_img_parse_permyriad("5/100%)\r    (7.50/100%)\r    (8.1"), 750, "what is whole counts");
	is_int(qemu_img_parse_permyriad("    (100.00/100%)\r\nImage (a) committed.\n"), 10000, "all of it");
}

int main(void)
{
	_cleanup_free_ char *make = NULL, *clean = NULL;

	if (access("/usr/bin/qemu-img", X_OK) < 0) {
		printf("1..0 # SKIP no qemu-img\n");
		return 0;
	}
	if (!mkdtemp(directory))
		return 1;
	make = xasprintf("qemu-img create -q -f qcow2 %s/image 1M", directory);
	clean = xasprintf("rm -rf %s", directory);
	ok(system(make) == 0, "an image");
	test_rows();
	test_failure();
	test_progress();
	(void)!system(clean);
	return done_testing();
}
