/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tests of the base: arrays, buffers, errors, files, JSON, strings, faults. XML has its own. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "alloc.h"
#include "base64.h"
#include "clock.h"
#include "fault.h"
#include "file.h"
#include "json.h"
#include "list.h"
#include "log.h"
#include "strv.h"
#include "tap.h"

static void test_vec(void)
{
	VEC(int *) v = {0};
	static int numbers[100];
	int visited = 0, sum = 0;

	for (int i = 0; i < 100; i++) {
		numbers[i] = i;
		VEC_ADD(&v, &numbers[i]);
	}
	is_int(v.n, 100, "vec: all items were added");
	for (size_t i = 0; i < v.n; i++)
		sum += *v.items[i];
	is_int(sum, 4950, "vec: items survive growing");
	VEC_REMOVE(&v, 0);
	is_int(*v.items[0], 1, "vec: removing closes the gap");
	is_int(v.n, 99, "vec: removing shortens");
	while (v.n > 4)
		VEC_REMOVE(&v, v.n - 1);
	for (int i = 0; i < 60; i++)
		VEC_ADD(&v, &numbers[i]);
	is_int(*v.items[63], 59, "vec: growing after shrinking");
	sum = 0;
	VEC_FOREACH (item, &v) {
		visited++;
		if (*item == 2)
			continue;
		if (*item == 4)
			break;
		sum += *item;
	}
	is_int(visited, 4, "vec: break leaves the loop");
	is_int(sum, 1 + 3, "vec: continue skips one");
	VEC_FREE(&v);
	ok(v.n == 0 && !v.items, "vec: empty after free");
}

static void test_buf(void)
{
	_cleanup_(buf_fini) struct buf b = {0};
	_cleanup_free_ char *text = NULL;
	uint8_t bytes[8];
	char *p;

	buf_adds(&b, "abc");
	buf_addf(&b, "%d-%s", 7, "x");
	is_str(b.data, "abc7-x", "buf: text is appended");
	buf_drop_front(&b, 3);
	is_str(b.data, "7-x", "buf: front is dropped");
	p = buf_reserve(&b, 1000);
	for (int i = 0; i < 1000; i++)
		p[i] = 'y';
	b.len += 1000;
	ok(b.len == 1003 && strlen(b.data) == 1003, "buf: terminated behind what was filled in");
	text = buf_take(&b);
	ok(strlen(text) == 1003 && b.len == 0 && !b.data, "buf: taking empties it");
	free(text);
	text = buf_take(&b);
	is_str(text, "", "buf: an empty one gives an empty string");
	put_be64(bytes, 0x0102030405060708ull);
	ok(bytes[0] == 1 && bytes[7] == 8 && get_be64(bytes) == 0x0102030405060708ull, "buf: big endian");
	put_le64(bytes, 0x0102030405060708ull);
	ok(bytes[0] == 8 && bytes[7] == 1 && get_le64(bytes) == 0x0102030405060708ull, "buf: little endian");
	put_be16(bytes, 0xfffe);
	is_int(get_be16(bytes), 0xfffe, "buf: 16 bits");
}

static void test_error(void)
{
	struct error err = ERROR_INIT, copy = ERROR_INIT;
	char text[2 * ERROR_MESSAGE_MAX];

	is_int(error_set(&err, ERROR_BUSY, "vm %s", "a"), -1, "error: setting returns -1");
	is_str(err.message, "vm a", "error: message");
	error_prefix(&err, "start %d", 5);
	is_str(err.message, "start 5: vm a", "error: prefix");
	is_int(err.code, ERROR_BUSY, "error: prefix keeps the code");
	error_set(&err, ERROR_QEMU, "again: %s", err.message);
	is_str(err.message, "again: start 5: vm a", "error: the old message may be an argument");
	error_errno(&err, ENOENT, "open f");
	is_str(err.message, "open f: No such file or directory", "error: errno as words");
	is_int(err.errnum, ENOENT, "error: errno kept");
	error_errno(&err, ENOMEM, "x");
	is_int(err.code, ERROR_NO_MEMORY, "error: ENOMEM has its own code");
	memset(text, 'x', sizeof(text));
	memcpy(text + ERROR_MESSAGE_MAX - 2, "\xc3\xa4", 2);
	text[sizeof(text) - 1] = '\0';
	error_set(&err, ERROR_XML, "%s", text);
	is_int(strlen(err.message), ERROR_MESSAGE_MAX - 2, "error: cut between characters");
	error_prefix(&err, "p");
	ok(startswith(err.message, "p: xxx") && strlen(err.message) == ERROR_MESSAGE_MAX - 1,
		"error: prefix cuts");
	error_copy(&copy, &err);
	is_str(copy.message, err.message, "error: copy");
	error_clear(&copy);
	ok(copy.code == ERROR_NONE && !*copy.message, "error: clear");
	is_int(error_set(NULL, ERROR_XML, "nobody asks"), -1, "error: NULL is accepted");
}

static void test_numbers(void)
{
	static const char *const bad[] = {
		"", " 1", "1 ", "-1", "+1", "0x", "1a", "18446744073709551616", "0xg"};
	uint64_t u = 42;
	uint32_t v = 42;
	int64_t i = 42;

	for (size_t n = 0; n < ARRAY_SIZE(bad); n++)
		ok(!parse_u64(bad[n], &u) && u == 42, bad[n]);
	ok(!parse_u64(NULL, &u), "numbers: NULL is none");
	ok(parse_u64("18446744073709551615", &u) && u == UINT64_MAX, "numbers: largest");
	ok(parse_u64("0xfF", &u) && u == 255, "numbers: hexadecimal");
	ok(parse_u64("010", &u) && u == 10, "numbers: never octal");
	ok(!parse_u32("4294967296", &v) && v == 42, "numbers: 32 bits are enforced");
	ok(!parse_u32("0x1", &v) && v == 42, "numbers: hexadecimal only where promised");
	ok(parse_u32("4294967295", &v) && v == UINT32_MAX, "numbers: largest of 32 bits");
	ok(parse_i64("-9223372036854775808", &i) && i == INT64_MIN, "numbers: smallest signed");
	ok(parse_i64("9223372036854775807", &i) && i == INT64_MAX, "numbers: largest signed");
	ok(!parse_i64("9223372036854775808", &i) && !parse_i64("-9223372036854775809", &i),
		"numbers: too far");
	ok(!parse_i64("-", &i) && !parse_i64("--1", &i), "numbers: a sign alone");
}

static void test_strv(void)
{
	_cleanup_(strv_fini) struct strv v = {0};
	_cleanup_free_ char *joined = NULL, *s = xstrdup("inner text");
	uint8_t uuid[16], other[16];
	char text[UUID_TEXT_MAX];

	for (int i = 0; i < 70; i++) {
		strv_addf(&v, "%d", i);
		if (v.items[v.n])
			break;
	}
	ok(v.n == 70 && !v.items[70], "strv: always NULL-terminated");
	is_str(v.items[69], "69", "strv: last item");
	ok(strv_contains(&v, "42") && !strv_contains(&v, "70"), "strv: contains");
	strv_fini(&v);
	strv_add(&v, "a");
	strv_take(&v, xstrdup("b"));
	joined = strv_join(&v, ", ");
	is_str(joined, "a, b", "strv: join");
	ok(streq(NULL, NULL) && !streq("a", NULL) && streq("a", "a"), "strv: streq");
	ok(startswith("abc", "ab") && !startswith("a", "ab") && endswith("abc", "bc") && !endswith("c", "bc"),
		"strv: prefix and suffix");
	replace_string(&s, s + 6);
	is_str(s, "text", "strv: replace by a part of itself");
	ok(uuid_parse("C7A5FDBD-EDAF-9455-926A-D65C16DB1809", uuid), "uuid: with dashes");
	uuid_format(uuid, text);
	is_str(text, "c7a5fdbd-edaf-9455-926a-d65c16db1809", "uuid: lower case out");
	ok(uuid_parse("c7a5fdbdedaf9455926ad65c16db1809", other) && memcmp(uuid, other, 16) == 0,
		"uuid: without");
	ok(!uuid_parse("c7a5fdbd-edaf-9455-926a-d65c16db180", other), "uuid: too short");
	ok(!uuid_parse("c7a5fdbd-edaf-9455-926a-d65c16db18090", other), "uuid: too long");
	ok(!uuid_parse("c7a5fdbde-daf-9455-926a-d65c16db1809", other), "uuid: dash in the wrong place");
	ok(!uuid_parse("g7a5fdbd-edaf-9455-926a-d65c16db1809", other), "uuid: not a digit");
	uuid_generate(uuid);
	uuid_generate(other);
	ok(memcmp(uuid, other, 16) != 0 && uuid[6] >> 4 == 4 && uuid[8] >> 6 == 2,
		"uuid: generated, version 4");
}

static void test_json(void)
{
	_cleanup_json_ json *o = NULL, *packed = NULL;
	_cleanup_free_ char *text = NULL;
	struct error err = ERROR_INIT;
	static const char good[] =
		" {\"a\": [1, {\"b\": \"x\"}], \"n\": -5, \"t\": true, \"u\": 18446744073709551615}\n";
	static const char foreign[] = "{\"\u00fc\":[\"\u00e9\\\"\\u00e9\\n\\\\\",\"/\xff'x\"],\"n\":1}";
	static const char *const bad[] = {"", "{", "{} {}", "{}x", "[1,]", "{a:1}", "nul", "null", "\u00e9",
		"\"\u00e9", "1\u00e9", "\"a\"\u00e9", "[\"\u00e9\",]", "{'\u00e9':'a'}", "[\"\u00e9\",'a']",
		"[1 \u00e9, 'a']", "[\"\u00e9\"] /* \u00e9 */"};
	_cleanup_(buf_fini) struct buf deep = {0};
	int sum = 0;

	ok(json_parse(good, strlen(good), &o, &err) == 0, "json: parse");
	is_str(json_get_string(json_get_path(o, "a.1"), "b"), "x", "json: path");
	ok(!json_get_path(o, "a.2") && !json_get_path(o, "n.x"), "json: path to nothing");
	is_int(json_get_int(o, "n", 0), -5, "json: int");
	is_int(json_get_uint(o, "n", 7), 7, "json: a negative number is not unsigned");
	ok(json_get_uint(o, "u", 0) == UINT64_MAX, "json: uint");
	ok(json_get_bool(o, "t", false) && json_get_bool(o, "missing", true), "json: bool");
	ok(!json_get_string(o, "n") && json_get_int(o, "t", 3) == 3 && !json_get(NULL, "x"),
		"json: other kind");
	JSON_FOREACH (item, o)
		ok(!item, "json: an object has no items");
	JSON_FOREACH (item, json_get(o, "a")) {
		sum += json_object_get_int(item);
		break;
	}
	is_int(sum, 1, "json: foreach ends at break");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		json *none = NULL;

		ok(json_parse(bad[i], strlen(bad[i]), &none, &err) < 0 && !none, bad[i]);
	}
	{
		_cleanup_json_ json *kept = NULL;
		_cleanup_free_ char *again = NULL;

		if (json_parse(foreign, strlen(foreign), &kept, &err) == 0)
			again = json_format(kept);
		is_str(again, "{\"\u00fc\":[\"\u00e9\\\"\u00e9\\n\\\\\",\"/\xff'x\"],\"n\":1}",
			"json: what is not ASCII, or not even UTF-8, is kept");
	}
	for (int i = 0; i < 200; i++)
		buf_adds(&deep, "[");
	for (int i = 0; i < 200; i++)
		buf_adds(&deep, "]");
	{
		json *none = NULL;

		ok(json_parse(deep.data, deep.len, &none, &err) < 0 && !none, "json: nested too deeply");
		ok(json_parse(deep.data + 136, 128, &none, &err) == 0, "json: 64 levels are allowed");
		json_object_put(none);
	}
	packed = json_pack("s:name", "v/m", "s:none", (char *)NULL, "i:i", (int64_t)-1, "u:u", UINT64_MAX,
		"b:b", true, "o:o", json_object_new_array(), NULL);
	text = json_format(packed);
	is_str(text, "{\"name\":\"v/m\",\"i\":-1,\"u\":18446744073709551615,\"b\":true,\"o\":[]}",
		"json: pack");
}

static void test_rename(int dir)
{
	_cleanup_free_ char *a = xasprintf("/proc/self/fd/%d/a", dir),
			    *b = xasprintf("/proc/self/fd/%d/b", dir);
	_cleanup_free_ char *data = NULL;
	struct error err = ERROR_INIT;

	ok(file_replace(dir, "a", "new", 3, 0600, &err) == 0 &&
			file_replace(dir, "b", "old", 3, 0600, &err) == 0,
		"file: two of them");
	ok(file_rename(a, b, false, &err) < 0 && err.code == ERROR_EXISTS && file_exists(dir, "a"),
		"file: a rename that would replace");
	ok(file_rename(a, b, true, &err) == 0 && !file_exists(dir, "a"), "file: one that shall");
	ok(file_read(dir, "b", 3, &data, NULL, &err) == 0 && strcmp(data, "new") == 0, "file: replaced");
	ok(file_rename(b, a, false, &err) == 0 && file_exists(dir, "a"), "file: one to a free name");
	ok(file_rename(b, a, false, &err) < 0 && err.errnum == ENOENT, "file: what is not there");
}

static void test_files(int dir)
{
	struct error err = ERROR_INIT;
	_cleanup_free_ char *data = NULL;
	_cleanup_close_ int sub = -1, fd = -1;
	size_t len = 0;
	struct stat st;

	is_int(file_replace(dir, "f", "one", 3, 0640, &err), 0, "file: create");
	is_int(file_replace(dir, "f", "three", 5, 0600, &err), 0, "file: replace");
	is_int(file_read(dir, "f", 5, &data, &len, &err), 0, "file: read");
	is_str(data, "three", "file: contents");
	is_int(len, 5, "file: length");
	ok(fstatat(dir, "f", &st, 0) == 0 && (st.st_mode & 07777) == 0600, "file: mode");
	ok(!file_exists(dir, ".f.new"), "file: nothing temporary left");
	is_int(file_read(dir, "f", 4, &data, &len, &err), -1, "file: larger than allowed");
	ok(file_replace(dir, "a/b", "", 0, 0600, &err) < 0 && err.code == ERROR_INVALID_ARGUMENT,
		"file: a '/' refused");
	ok(file_replace(dir, "..", "", 0, 0600, &err) < 0, "file: '..' refused");
	ok(symlinkat("f", dir, "link") == 0 && file_read(dir, "link", 99, &data, &len, &err) < 0 &&
			err.errnum == ELOOP,
		"file: a symlink is not followed");
	ok(symlinkat("f", dir, ".g.new") == 0 && file_replace_volatile(dir, "g", "g", 1, 0600, &err) == 0,
		"file: a leftover is no obstacle");
	free(data);
	data = NULL;
	ok(file_read(dir, "f", 99, &data, &len, &err) == 0 && strcmp(data, "three") == 0,
		"file: nor written through");
	ok(mkfifoat(dir, "fifo", 0600) == 0 && file_read(dir, "fifo", 99, &data, &len, &err) < 0,
		"file: no FIFO");
	is_int(file_remove(dir, "f", true, &err), 0, "file: remove");
	is_int(file_remove(dir, "f", true, &err), 0, "file: removed already");
	sub = dir_open_or_make_at(dir, "d", 0700, &err);
	ok(sub >= 0 && file_replace(sub, "x", "", 0, 0600, &err) == 0, "dir: make and use");
	ok(dir_open_or_make_at(dir, "link", 0700, &err) < 0, "dir: not through a symlink");
	ok(symlinkat("..", sub, "up") == 0 && dir_remove(dir, "d", &err) == 0 && !file_exists(dir, "d"),
		"dir: removed with what is in it");
	ok(file_exists(dir, "g"), "dir: and nothing else");
	is_int(dir_remove(dir, "d", &err), 0, "dir: removed already");
	fd = openat(dir, "g", O_RDONLY);
	ok(write_full(fd, "x", 1) < 0 && errno == EBADF, "file: write_full reports");
}

static void test_dir_path(const char *base)
{
	_cleanup_free_ char *path = xasprintf("%s/p/q/r/", base), *want = xasprintf("%s/p/q/r", base);
	struct error err = ERROR_INIT;
	_cleanup_close_ int fd = dir_open_or_make(path, 0700, &err);
	struct stat st;

	ok(fd >= 0 && stat(want, &st) == 0 && S_ISDIR(st.st_mode), "dir: path made");
}

static int run_fault(const char *value, bool three)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		setenv("GODWIT_FAULT", value, 1);
		if (three)
			fault_point3("save", "stream", "begun");
		else
			fault_point("a-place");
		_exit(7);
	}
	waitpid(pid, &status, WUNTRACED);
	if (WIFSTOPPED(status)) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		return -SIGSTOP;
	}
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

/* In a child: what is asked for is read once. 1: held, 0: not; `there`: the path exists. */
static int run_held(const char *name, const char *asked, bool there)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		_cleanup_free_ char *value = xasprintf("%s=hold:%s", asked, there ? "/" : "/nonexistent");

		setenv("GODWIT_FAULT", value, 1);
		fault_point("a-place"); /* of that name, but not to be killed at */
		_exit(fault_held(name));
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_fault_held(void)
{
	is_int(run_held("a-place", "a-place", true), 1, "fault: held while the path exists");
	is_int(run_held("a-place", "a-place", false), 0, "fault: and no longer");
	is_int(run_held("a-place", "a-plac", true), 0, "fault: another place is not held");
}

static void test_fault(void)
{
	is_int(run_fault("a-place", false), -SIGKILL, "fault: killed at the place");
	is_int(run_fault("a-place=stop", false), -SIGSTOP, "fault: stopped at the place");
	is_int(run_fault("a-plac", false), 7, "fault: a prefix is another place");
	is_int(run_fault("a-place2", false), 7, "fault: a longer name is another place");
	is_int(run_fault("", false), 7, "fault: nothing asked");
	is_int(run_fault("save/stream/begun", true), -SIGKILL, "fault: name of three parts");
	is_int(run_fault("save/stream/begun=stop", true), -SIGSTOP, "fault: stopped at three parts");
	is_int(run_fault("save/stream/begu", true), 7, "fault: three parts, a prefix");
	is_int(run_fault("save/stream/begun2", true), 7, "fault: three parts, longer");
}

static void test_log(int dir)
{
	_cleanup_close_ int fd = openat(dir, "log", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	int saved = dup(STDERR_FILENO);
	_cleanup_free_ char *data = NULL;
	struct error err = ERROR_INIT;

	dup2(fd, STDERR_FILENO);
	log_debug("not shown");
	log_write(LOG_LEVEL_ERROR, "guest", "save", "bad\nline");
	log_info("plain");
	dup2(saved, STDERR_FILENO);
	close(saved);
	file_read(dir, "log", 1000, &data, NULL, &err);
	is_str(data, "godwitd: error: vm=guest job=save bad line\ngodwitd: plain\n", "log: lines on stderr");
}

static void test_list(void)
{
	struct node {
		int value;
		struct list list;
	} a = {.value = 1}, b = {.value = 2}, c = {.value = 4}, *node, *next;
	struct list head = LIST_INIT(head);
	int sum = 0;

	list_add_tail(&head, &a.list);
	list_add_tail(&head, &b.list);
	list_add_tail(&head, &c.list);
	LIST_FOREACH_SAFE (node, next, &head, list)
		if (node->value == 2)
			list_remove(&node->list);
	list_remove(&b.list);
	LIST_FOREACH (node, &head, list)
		sum = sum * 10 + node->value;
	is_int(sum, 14, "list: order kept, one removed, twice");
}

static void test_base64(void)
{
	/* RFC 4648, section 10 */
	static const char *const cases[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"},
		{"foob", "Zm9vYg=="}, {"\xff\xfe\xfd", "//79"}};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *text = base64_encode(cases[i][0], strlen(cases[i][0]));

		is_str(text, cases[i][1], "base64");
	}
}

int main(void)
{
	char base[] = "/tmp/godwit-test-XXXXXX";
	struct error err = ERROR_INIT;
	int dir;

	unsetenv("JOURNAL_STREAM");
	if (!mkdtemp(base))
		return 1;
	dir = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	test_base64();
	test_fault(); /* first: the environment is read once */
	test_fault_held();
	test_vec();
	test_buf();
	test_error();
	test_numbers();
	test_strv();
	test_json();
	test_list();
	test_files(dir);
	test_rename(dir);
	test_dir_path(base);
	test_log(dir);
	ok(clock_now() > 0 && clock_wall() > 1600000000ull * USEC_PER_SEC, "clock: plausible");
	close(dir);

	{
		_cleanup_close_ int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		is_int(dir_remove(tmp, base + strlen("/tmp/"), &err), 0, "dir: own traces removed");
	}
	return done_testing();
}
