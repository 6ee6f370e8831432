/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The journal's file: written and taken up again, torn at every byte, altered at every byte. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "file.h"
#include "journal.h"
#include "tap.h"

static const uint8_t uuid[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
#define NAME "01020304-0506-0708-090a-0b0c0d0e0f10"

static struct error err;

/* What is in the journal, as "type params event step event step". */
static char *describe(const struct journal_entry *entry)
{
	_cleanup_free_ char *params = json_format(entry->params);
	struct buf b = {0};

	buf_addf(&b, "%s %s", entry->type, params);
	for (size_t i = 0; i < entry->steps.n; i++)
		buf_addf(&b, " %s %s", entry->steps.items[i]->event, entry->steps.items[i]->step);
	return buf_take(&b);
}

/* Open, describe, close; NULL and `err` when it cannot be opened. */
static char *look(int dir, bool *ret_torn)
{
	_cleanup_(journal_entry_fini) struct journal_entry entry = {0};
	struct journal *journal = NULL;
	char *text;

	error_clear(&err);
	if (journal_open(dir, uuid, &journal, &entry, &err) < 0)
		return NULL;
	text = describe(&entry);
	if (ret_torn)
		*ret_torn = entry.torn;
	journal_free(journal);
	return text;
}

static void write_sample(int dir, bool durable)
{
	_cleanup_json_ json *params = json_pack("s:path", "/a\xff/b", "i:n", (int64_t)-1, NULL);
	struct journal *journal = NULL;

	if (journal_create(dir, uuid, "save", params, durable, &journal, &err) == 0) {
		journal_append(journal, "begun", "stop", &err);
		journal_append(journal, "begun", "write", &err);
	}
	journal_free(journal);
}

static const char sample[] = "save {\"path\":\"/a\xff/b\",\"n\":-1} begun stop begun write";

static void test_life(int dir, bool durable)
{
	_cleanup_(journal_entry_fini) struct journal_entry entry = {0};
	_cleanup_free_ char *text = NULL, *later = NULL;
	struct journal *journal = NULL, *second = NULL;
	struct stat st;

	write_sample(dir, durable);
	ok(fstatat(dir, NAME, &st, 0) == 0 && (st.st_mode & 07777) == 0600,
		"life: a private file named by the UUID");
	ok(journal_create(dir, uuid, "start", NULL, durable, &second, &err) < 0 && err.code == ERROR_BUSY,
		"life: one job at a time");
	ok(journal_open(dir, uuid, &journal, &entry, &err) == 0, "life: taken up");
	text = describe(&entry);
	is_str(text, sample, "life: says what was done");
	ok(!entry.torn && entry.time > 0, "life: whole, with its time");
	is_int(journal_append(journal, "undo", "write", &err), 0, "life: appending goes on");
	journal_free(journal);
	later = look(dir, NULL);
	ok(later && endswith(later, "begun write undo write"), "life: behind what was there");
	journal_entry_fini(&entry);
	journal_open(dir, uuid, &journal, &entry, &err);
	is_int(journal_finish(journal, &err), 0, "life: finished");
	ok(!file_exists(dir, NAME), "life: and gone");
	ok(!look(dir, NULL) && err.code == ERROR_NO_OBJECT, "life: none there is told apart");
}

static void test_params(int dir)
{
	struct journal *journal = NULL;
	_cleanup_free_ char *text = NULL, *big = xcalloc(1, JOURNAL_RECORD_MAX + 1);
	_cleanup_json_ json *params = NULL;

	is_int(journal_create(dir, uuid, "start", NULL, false, &journal, &err), 0, "params: none");
	journal_free(journal);
	is_str(text = look(dir, NULL), "start {}", "params: read as an empty object");
	file_remove(dir, NAME, false, &err);
	memset(big, 'x', JOURNAL_RECORD_MAX);
	params = json_pack("s:big", big, NULL);
	ok(journal_create(dir, uuid, "start", params, false, &journal, &err) < 0 && !file_exists(dir, NAME),
		"params: too large is refused before anything is written");
}

/* Put `len` bytes in place as the journal. */
static void plant(int dir, const void *data, size_t len)
{
	file_replace_volatile(dir, NAME, data, len, 0600, &err);
}

static void test_torn(int dir)
{
	_cleanup_free_ char *whole = NULL;
	size_t len = 0, first = 0, good = 0, torn_count = 0;
	struct stat st;

	write_sample(dir, false);
	file_read(dir, NAME, 10000, &whole, &len, &err);
	/* Header and first record come into being together; torn before that is not a crash of ours. */
	first = 32 + 24 + get_le32(whole + 32);
	for (size_t cut = 0; cut <= len; cut++) {
		_cleanup_free_ char *text = NULL, *again = NULL;
		bool torn = false, torn_again = true;

		plant(dir, whole, cut);
		text = look(dir, &torn);
		if (cut < first) {
			good += !text && err.code == ERROR_DAMAGED && !file_exists(dir, NAME);
			file_remove(dir, NAME ".damaged", false, &err);
			continue;
		}
		again = look(dir, &torn_again);
		fstatat(dir, NAME, &st, 0);
		torn_count += torn;
		good += text && again && strncmp(sample, text, strlen(text)) == 0 &&
			strcmp(text, again) == 0 && !torn_again && (size_t)st.st_size <= cut &&
			torn == ((size_t)st.st_size != cut);
	}
	is_int(good, len + 1, "torn: at every byte, read up to there or refused as damaged");
	is_int(torn_count, len - first - 2, "torn: cut off when within a record");
	file_remove(dir, NAME, false, &err);
}

static void test_append_after_torn(int dir)
{
	_cleanup_(journal_entry_fini) struct journal_entry entry = {0};
	_cleanup_free_ char *whole = NULL, *text = NULL;
	struct journal *journal = NULL;
	size_t len = 0;

	write_sample(dir, false);
	file_read(dir, NAME, 10000, &whole, &len, &err);
	plant(dir, whole, len - 3);
	ok(journal_open(dir, uuid, &journal, &entry, &err) == 0 && entry.torn, "torn: opened");
	journal_append(journal, "undo", "stop", &err);
	journal_free(journal);
	text = look(dir, NULL);
	ok(text && endswith(text, "begun stop undo stop"), "torn: the next record takes the place");
	file_remove(dir, NAME, false, &err);
}

static void test_damage(int dir)
{
	_cleanup_free_ char *whole = NULL, *doubled = NULL;
	size_t len = 0, good = 0, last;

	write_sample(dir, true);
	file_read(dir, NAME, 10000, &whole, &len, &err);
	for (size_t i = 0; i < 8 * len; i++) {
		_cleanup_free_ char *text = NULL;

		whole[i / 8] ^= (char)(1 << i % 8);
		plant(dir, whole, len);
		text = look(dir, NULL);
		/* Version and flags are refused, not called damaged: a later version may have written them. */
		if (i / 8 >= 8 && i / 8 < 16 && i != 12 * 8)
			good += !text && err.code == ERROR_UNSUPPORTED && file_exists(dir, NAME);
		else
			good += !text && err.code == ERROR_DAMAGED && !file_exists(dir, NAME);
		whole[i / 8] ^= (char)(1 << i % 8);
		file_remove(dir, NAME ".damaged", false, &err);
	}
	is_int(good, 8 * len, "damage: every bit altered is noticed");
	last = 24 + strlen("{\"event\":\"begun\",\"step\":\"write\"}");
	doubled = xcalloc(1, len + last);
	memcpy(doubled, whole, len);
	memcpy(doubled + len, whole + len - last, last);
	plant(dir, doubled, len + last);
	ok(!look(dir, NULL) && err.code == ERROR_DAMAGED, "damage: a record twice");
	plant(dir, "", 0);
	ok(!look(dir, NULL) && err.code == ERROR_DAMAGED, "damage: an empty file");
}

static void test_kept_aside(int dir)
{
	_cleanup_free_ char *kept = NULL;

	plant(dir, "rubbish", 7);
	file_remove(dir, NAME ".damaged", false, &err);
	ok(!look(dir, NULL) && file_exists(dir, NAME ".damaged"), "damage: kept aside");
	is_str(err.message,
		"journal " NAME " is damaged (kept as " NAME ".damaged): no journal's header at byte 0",
		"damage: and said where");
	file_read(dir, NAME ".damaged", 100, &kept, NULL, &err);
	is_str(kept, "rubbish", "damage: as it was");
	file_remove(dir, NAME ".damaged-2", false, &err);
	plant(dir, "other", 5);
	ok(!look(dir, NULL) && file_exists(dir, NAME ".damaged-2"), "damage: not over an earlier one");
	plant(dir, "x", 1);
	unlinkat(dir, NAME, 0);
	ok(symlinkat("/etc/passwd", dir, NAME) == 0 && !look(dir, NULL) && err.code == ERROR_SYSTEM,
		"damage: a symlink is not followed");
	unlinkat(dir, NAME, 0);
}

static void test_disk_full(int dir)
{
	_cleanup_(journal_entry_fini) struct journal_entry entry = {0};
	_cleanup_free_ char *text = NULL;
	struct journal *journal = NULL;
	struct rlimit limit, old;
	struct stat st;

	write_sample(dir, false);
	journal_open(dir, uuid, &journal, &entry, &err);
	fstatat(dir, NAME, &st, 0);
	/* The file may grow by a few bytes only, as on a disk that fills up within a record. */
	getrlimit(RLIMIT_FSIZE, &old);
	limit = old;
	limit.rlim_cur = (rlim_t)st.st_size + 10;
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &limit);
	ok(journal_append(journal, "begun", "sync", &err) < 0 && err.code == ERROR_SYSTEM,
		"full: append reports");
	setrlimit(RLIMIT_FSIZE, &old);
	is_int(journal_append(journal, "undo", "write", &err), 0, "full: and goes on when there is room");
	journal_free(journal);
	text = look(dir, NULL);
	ok(text && endswith(text, "begun write undo write"), "full: nothing half in between");
	file_remove(dir, NAME, false, &err);
}

static void test_list(int dir)
{
	static const uint8_t other[16] = {0};
	_cleanup_(strv_fini) struct strv found = {0};
	struct journal *journal = NULL;

	write_sample(dir, false);
	journal_create(dir, other, "start", NULL, false, &journal, &err);
	journal_free(journal);
	file_replace_volatile(dir, "something", "", 0, 0600, &err);
	is_int(journal_list(dir, &found, &err), 0, "list: read");
	ok(found.n == 2 && streq(found.items[0], "00000000-0000-0000-0000-000000000000") &&
			streq(found.items[1], NAME),
		"list: the UUIDs and nothing else, damaged ones neither");
	ok(journal_list(-1, &found, &err) < 0, "list: no directory");
}

int main(void)
{
	char base[] = "/tmp/godwit-test-XXXXXX";
	int dir, tmp;

	if (!mkdtemp(base))
		return 1;
	dir = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	test_life(dir, true);
	test_life(dir, false);
	test_params(dir);
	test_torn(dir);
	test_append_after_torn(dir);
	test_damage(dir);
	test_kept_aside(dir);
	test_disk_full(dir);
	test_list(dir);
	close(dir);
	tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir_remove(tmp, base + strlen("/tmp/"), &err);
	close(tmp);
	return done_testing();
}
