/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The journal's file: a header, then records, each sealed with a checksum that continues the one before it.
 *
 *     +--------+-------------------------+----------------+----------------+-- ...
 *     | header | job: type, params, time | step: begun A  | step: begun B  |
 *     +--------+-------------------------+----------------+----------------+-- ...
 *      created together, by rename         appended, one write each
 *
 * Every frame has two checksums, one over its own head and one over its payload. The head's tells a record that was
 * being written (good head, too few bytes behind it) from one whose length was damaged and only looks like that.
 */
#include "journal.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <xxhash.h>

#include "buf.h"
#include "clock.h"
#include "file.h"
#include "log.h"

#define MAGIC	     "godwitJ\n"
#define MAGIC_SIZE   8
#define VERSION	     1
#define FLAG_DURABLE 1u

#define HEADER_SIZE 32 /* magic, version, flags, UUID */
#define HEAD_SIZE   24 /* length, type, checksum of these, checksum of the payload */

#define FILE_SIZE_MAX (JOURNAL_RECORD_MAX + (1u << 20))

enum record_type { RECORD_JOB = 1, RECORD_STEP = 2 };

struct journal {
	int dirfd; /* a copy */
	int fd;
	bool durable;
	bool broken; /* a failed record could not be cut off again */
	char name[UUID_TEXT_MAX];
	uint64_t size;
	uint64_t chain; /* the checksum that the next record continues */
};

static uint64_t checksum(const void *data, size_t len, uint64_t chain)
{
	return XXH64(data, len, chain);
}

/* One frame onto `out`; moves the chain on. */
static void put_record(struct buf *out, enum record_type type, json *payload, uint64_t *chain)
{
	_cleanup_free_ char *text = json_format(payload);
	size_t len = strlen(text);
	uint8_t head[HEAD_SIZE];

	put_le32(head, (uint32_t)len);
	put_le32(head + 4, type);
	put_le64(head + 8, checksum(head, 8, *chain));
	*chain = checksum(text, len, get_le64(head + 8));
	put_le64(head + 16, *chain);
	buf_add(out, head, sizeof(head));
	buf_add(out, text, len);
}

static void put_header(struct buf *out, const uint8_t uuid[16], bool durable, uint64_t *chain)
{
	uint8_t header[HEADER_SIZE];

	memcpy(header, MAGIC, MAGIC_SIZE);
	put_le32(header + 8, VERSION);
	put_le32(header + 12, durable ? FLAG_DURABLE : 0);
	memcpy(header + 16, uuid, 16);
	*chain = checksum(header, sizeof(header), 0);
	buf_add(out, header, sizeof(header));
}

static struct journal *journal_new(int dirfd, const uint8_t uuid[16])
{
	struct journal *journal = NEW(struct journal);

	uuid_format(uuid, journal->name);
	journal->fd = -1;
	journal->dirfd = fcntl(dirfd, F_DUPFD_CLOEXEC, 3);
	return journal;
}

void journal_free(struct journal *journal)
{
	if (!journal)
		return;
	if (journal->fd >= 0)
		close(journal->fd);
	if (journal->dirfd >= 0)
		close(journal->dirfd);
	free(journal);
}
DEFINE_CLEANUP(struct journal *, journal_free);

static int open_file(struct journal *journal, struct error *err)
{
	/* O_NONBLOCK: no FIFO shall hold the daemon up. */
	journal->fd = openat(
		journal->dirfd, journal->name, O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (journal->fd >= 0)
		return 0;
	if (errno == ENOENT)
		return error_set(err, ERROR_NO_OBJECT, "there is no journal %s", journal->name);
	return error_errno(err, errno, "open journal %s", journal->name);
}

int journal_create(int dirfd, const uint8_t uuid[16], const char *type, json *params, bool durable,
	struct journal **ret, struct error *err)
{
	_cleanup_(journal_free_p) struct journal *journal = journal_new(dirfd, uuid);
	_cleanup_(buf_fini) struct buf out = {0};
	_cleanup_json_ json *payload = NULL;

	if (file_exists(dirfd, journal->name))
		return error_set(err, ERROR_BUSY, "journal %s exists: a job has not ended", journal->name);
	payload = json_pack("s:job", type, "u:time", clock_wall(), "o:params", json_object_get(params), NULL);
	put_header(&out, uuid, durable, &journal->chain);
	put_record(&out, RECORD_JOB, payload, &journal->chain);
	if (out.len > JOURNAL_RECORD_MAX)
		return error_set(
			err, ERROR_INVALID_ARGUMENT, "what the job is to do is too large to write down");
	if ((durable ? file_replace : file_replace_volatile)(
		    dirfd, journal->name, out.data, out.len, 0600, err) < 0 ||
		open_file(journal, err) < 0)
		return error_prefix(err, "begin a journal");
	journal->durable = durable;
	journal->size = out.len;
	*ret = TAKE_PTR(journal);
	return 0;
}

static int append_failed(struct journal *journal, const char *what, struct error *err)
{
	error_errno(err, errno, "%s journal %s", what, journal->name);
	/* Half a record in the middle would be damage to every later reader. */
	if (ftruncate(journal->fd, (off_t)journal->size) < 0)
		journal->broken = true;
	return -1;
}

int journal_append(struct journal *journal, const char *event, const char *step, struct error *err)
{
	_cleanup_json_ json *payload = json_pack("s:event", event, "s:step", step, NULL);
	_cleanup_(buf_fini) struct buf out = {0};
	uint64_t chain = journal->chain;

	if (journal->broken)
		return error_set(
			err, ERROR_OPERATION_FAILED, "journal %s could not be written", journal->name);
	put_record(&out, RECORD_STEP, payload, &chain);
	if (write_full(journal->fd, out.data, out.len) < 0)
		return append_failed(journal, "write", err);
	if (journal->durable && fdatasync(journal->fd) < 0)
		return append_failed(journal, "sync", err);
	journal->size += out.len;
	journal->chain = chain;
	return 0;
}

int journal_finish(struct journal *journal, struct error *err)
{
	int r = 0;

	/* Also the removal is durable: a journal that came back would be undone, or done, a second time. */
	if (file_remove(journal->dirfd, journal->name, journal->durable, err) < 0)
		r = error_prefix(err, "end a journal");
	journal_free(journal);
	return r;
}

void journal_entry_fini(struct journal_entry *entry)
{
	free(entry->type);
	if (entry->params)
		json_object_put(entry->params);
	for (size_t i = 0; i < entry->steps.n; i++) {
		free(entry->steps.items[i]->event);
		free(entry->steps.items[i]->step);
		free(entry->steps.items[i]);
	}
	VEC_FREE(&entry->steps);
	*entry = (struct journal_entry){0};
}

static int damaged(struct error *err, const char *what, size_t offset)
{
	return error_set(err, ERROR_DAMAGED, "%s at byte %zu", what, offset);
}

static int decode_job(json *payload, struct journal_entry *entry, size_t offset, struct error *err)
{
	const char *type = json_get_string(payload, "job");
	json *params = json_get(payload, "params");

	if (!type || (params && !json_object_is_type(params, json_type_object)))
		return damaged(err, "no job", offset);
	entry->type = xstrdup(type);
	entry->time = json_get_uint(payload, "time", 0);
	entry->params = params ? json_object_get(params) : json_object_new_object();
	return 0;
}

static int decode_step(json *payload, struct journal_entry *entry, size_t offset, struct error *err)
{
	const char *event = json_get_string(payload, "event"), *name = json_get_string(payload, "step");
	struct journal_step *step;

	if (!event || !name)
		return damaged(err, "no step", offset);
	step = NEW(struct journal_step);
	step->event = xstrdup(event);
	step->step = xstrdup(name);
	VEC_ADD(&entry->steps, step);
	return 0;
}

/* One frame: 1 and its length when it is whole, 0 when it is torn off, -1 when it is damaged. */
static int decode_record(const uint8_t *data, size_t offset, size_t size, uint64_t *chain,
	struct journal_entry *entry, size_t *ret_len, struct error *err)
{
	const uint8_t *head = data + offset;
	_cleanup_json_ json *payload = NULL;
	size_t len;

	if (size - offset < HEAD_SIZE)
		return 0;
	len = get_le32(head);
	if (checksum(head, 8, *chain) != get_le64(head + 8) || len > JOURNAL_RECORD_MAX)
		return damaged(err, "wrong checksum", offset);
	if (size - offset - HEAD_SIZE < len)
		return 0;
	*chain = checksum(head + HEAD_SIZE, len, get_le64(head + 8));
	if (*chain != get_le64(head + 16))
		return damaged(err, "wrong checksum", offset + 16);
	if (get_le32(head + 4) != (entry->type ? RECORD_STEP : RECORD_JOB))
		return damaged(err, "unexpected record", offset);
	if (json_parse((const char *)head + HEAD_SIZE, len, &payload, err) < 0)
		return damaged(err, "not JSON", offset + HEAD_SIZE);
	*ret_len = HEAD_SIZE + len;
	return (entry->type ? decode_step : decode_job)(payload, entry, offset, err) < 0 ? -1 : 1;
}

static int decode_header(const uint8_t *data, size_t size, struct journal *journal, struct error *err)
{
	char uuid[UUID_TEXT_MAX];

	if (size < HEADER_SIZE || memcmp(data, MAGIC, MAGIC_SIZE) != 0)
		return damaged(err, "no journal's header", 0);
	if (get_le32(data + 8) != VERSION || (get_le32(data + 12) & ~FLAG_DURABLE) != 0)
		return error_set(err, ERROR_UNSUPPORTED, "version %u with flags %#x is not known here",
			get_le32(data + 8), get_le32(data + 12));
	uuid_format(data + 16, uuid);
	if (!streq(uuid, journal->name))
		return error_set(err, ERROR_DAMAGED, "it belongs to %s", uuid);
	journal->durable = get_le32(data + 12) & FLAG_DURABLE;
	journal->chain = checksum(data, HEADER_SIZE, 0);
	return 0;
}

static int decode(const uint8_t *data, size_t size, struct journal *journal, struct journal_entry *entry,
	struct error *err)
{
	size_t offset = HEADER_SIZE, len = 0;
	int r = 1;

	if (decode_header(data, size, journal, err) < 0)
		return -1;
	while (offset < size &&
		(r = decode_record(data, offset, size, &journal->chain, entry, &len, err)) > 0)
		offset += len;
	if (r < 0)
		return -1;
	/* Header and job came into being together, so without a job something was lost later. */
	if (!entry->type)
		return damaged(err, "no job", offset);
	entry->torn = offset < size;
	journal->size = offset;
	return 0;
}

int journal_decode(
	const void *data, size_t size, const uint8_t uuid[16], struct journal_entry *ret, struct error *err)
{
	_cleanup_(journal_entry_fini) struct journal_entry entry = {0};
	struct journal journal = {.dirfd = -1, .fd = -1};

	uuid_format(uuid, journal.name);
	if (decode(data, size, &journal, &entry, err) < 0)
		return -1;
	*ret = entry;
	entry = (struct journal_entry){0};
	return 0;
}

/* Never over an older one: each of them is somebody's evidence. */
static void keep_aside(struct journal *journal, struct error *err)
{
	for (unsigned i = 1; i < 1000; i++) {
		_cleanup_free_ char *name = i == 1 ? xasprintf("%s.damaged", journal->name)
						   : xasprintf("%s.damaged-%u", journal->name, i);

		if (renameat2(journal->dirfd, journal->name, journal->dirfd, name, RENAME_NOREPLACE) == 0) {
			error_prefix(err, "journal %s is damaged (kept as %s)", journal->name, name);
			return;
		}
		if (errno != EEXIST)
			break;
	}
	error_prefix(err, "journal %s is damaged", journal->name);
}

int journal_open(int dirfd, const uint8_t uuid[16], struct journal **ret, struct journal_entry *ret_entry,
	struct error *err)
{
	_cleanup_(journal_free_p) struct journal *journal = journal_new(dirfd, uuid);
	_cleanup_(journal_entry_fini) struct journal_entry entry = {0};
	_cleanup_free_ char *data = NULL;
	struct error why = ERROR_INIT;
	size_t size;

	if (open_file(journal, err) < 0 ||
		file_read(dirfd, journal->name, FILE_SIZE_MAX, &data, &size, err) < 0)
		return -1;
	if (decode((const uint8_t *)data, size, journal, &entry, &why) < 0) {
		if (why.code == ERROR_DAMAGED)
			keep_aside(journal, &why);
		else
			error_prefix(&why, "journal %s", journal->name);
		return error_copy(err, &why);
	}
	if (entry.torn && ftruncate(journal->fd, (off_t)journal->size) < 0)
		return error_errno(err, errno, "cut journal %s", journal->name);
	*ret = TAKE_PTR(journal);
	*ret_entry = entry;
	entry = (struct journal_entry){0};
	return 0;
}

/*
 * Up to the commit step each follows the one before. Behind it a step is begun again when the daemon died in it, a
 * record may be missing because the disk was full, and even the commit's own, when its effect can be seen.
 */
static bool may_begin(const struct job_type *type, const struct job_progress *p, size_t i)
{
	if (p->undoing)
		return false;
	if (i <= type->commit)
		return i == p->begun;
	return p->begun > type->commit && i + 1 >= p->begun &&
	       (p->finished > type->commit || type->committed);
}

static bool replay(const struct job_type *type, const struct journal_step *record, struct job_progress *p)
{
	size_t i = 0;

	while (i < type->n_steps && !streq(type->steps[i].name, record->step))
		i++;
	if (i == type->n_steps)
		return false;
	if (streq(record->event, "begun")) {
		if (!may_begin(type, p, i))
			return false;
		p->begun = i + 1;
		if (i > p->finished)
			p->finished = i;
		return true;
	}
	if (streq(record->event, "finished")) {
		if (p->undoing || i + 1 != p->begun)
			return false;
		p->finished = p->begun;
		return true;
	}
	if (streq(record->event, "undo")) {
		if (i >= p->begun || p->finished > type->commit)
			return false;
		p->undoing = true;
		p->begun = i + 1;
		if (p->finished > p->begun)
			p->finished = p->begun;
		return true;
	}
	return false;
}

int journal_get_progress(const struct journal_entry *entry, const struct job_type *type,
	struct job_progress *ret, struct error *err)
{
	struct job_progress progress = {0};

	assert(streq(entry->type, type->name));
	for (size_t i = 0; i < entry->steps.n; i++) {
		const struct journal_step *record = entry->steps.items[i];

		if (!replay(type, record, &progress))
			return error_set(err, ERROR_DAMAGED,
				"journal of %s: '%s %s' cannot be its record %zu", type->name, record->event,
				record->step, i + 1);
	}
	*ret = progress;
	return 0;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int journal_list(int dirfd, struct strv *ret, struct error *err)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;
	int r = 0;

	if (!dir) {
		error_errno(err, errno, "open the journals' directory");
		if (fd >= 0)
			close(fd);
		return -1;
	}
	while (errno = 0, (entry = readdir(dir))) {
		char text[UUID_TEXT_MAX];
		uint8_t uuid[16];

		if (!uuid_parse(entry->d_name, uuid))
			continue;
		uuid_format(uuid, text);
		if (streq(text, entry->d_name))
			strv_add(ret, text);
	}
	if (errno != 0)
		r = error_errno(err, errno, "read the journals' directory");
	closedir(dir);
	if (ret->n > 1)
		qsort(ret->items, ret->n, sizeof(char *), compare);
	return r;
}
