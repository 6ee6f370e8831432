/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A journal with anything in it. Its checksums would keep a fuzzer out, so the input is read in one of two ways: beginning
 * with '!', as the file's bytes; otherwise as lines "TYPE PAYLOAD" that are framed with right checksums.
 */
#include <assert.h>
#include <xxhash.h>

#include "buf.h"
#include "journal.h"

static const uint8_t uuid[16] = {1};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum step_result nothing(struct job *job, void *context, struct error *err)
{
	return STEP_DONE;
}

static const struct job_step steps[] = {
	{"a", nothing, nothing}, {"b", nothing, nothing}, {"c", nothing, NULL}};
static const struct job_type type = {.name = "j", .steps = steps, .n_steps = 3, .commit = 1};

static uint64_t add_header(struct buf *out)
{
	uint8_t header[32] = "godwitJ\n";

	put_le32(header + 8, 1);
	memcpy(header + 16, uuid, sizeof(uuid));
	buf_add(out, header, sizeof(header));
	return XXH64(header, sizeof(header), 0);
}

static uint64_t add_record(struct buf *out, uint32_t kind, const uint8_t *payload, size_t len, uint64_t chain)
{
	uint8_t head[24];

	put_le32(head, (uint32_t)len);
	put_le32(head + 4, kind);
	put_le64(head + 8, XXH64(head, 8, chain));
	put_le64(head + 16, XXH64(payload, len, get_le64(head + 8)));
	buf_add(out, head, sizeof(head));
	buf_add(out, payload, len);
	return get_le64(head + 16);
}

static void frame(struct buf *out, const uint8_t *data, size_t size)
{
	uint64_t chain = add_header(out);

	while (size > 0) {
		const uint8_t *end = memchr(data, '\n', size);
		size_t len = end ? (size_t)(end - data) : size;

		if (len > 2)
			chain = add_record(out, (uint32_t)(data[0] - '0'), data + 2, len - 2, chain);
		data += len + (end != NULL);
		size -= len + (end != NULL);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(journal_entry_fini) struct journal_entry entry = {0};
	_cleanup_(buf_fini) struct buf file = {0};
	struct job_progress progress = {0};
	struct error err = ERROR_INIT;

	if (size > 0 && data[0] == '!')
		buf_add(&file, data + 1, size - 1);
	else
		frame(&file, data, size);
	if (journal_decode(file.data, file.len, uuid, &entry, &err) < 0) {
		assert(err.code != ERROR_NONE && !entry.type);
		return 0;
	}
	assert(entry.type && entry.params);
	if (strcmp(entry.type, type.name) == 0 && journal_get_progress(&entry, &type, &progress, &err) == 0)
		assert(progress.begun <= 3 && progress.finished <= progress.begun);
	return 0;
}
