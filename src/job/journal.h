/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a job has done so far, on disk: one append-only file for each VM that has a job, named by its UUID.
 * It is there from before the first step until after the last one. docs/formats/journal.md has the bytes.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "alloc.h"
#include "error.h"
#include "job.h"
#include "json.h"
#include "strv.h"

struct journal;

/* Params of a job may hold a domain definition (XML_TEXT_MAX), which JSON can blow up. */
#define JOURNAL_RECORD_MAX (32u << 20)

/* A journal as it was found. */
struct journal_entry {
	char *type;    /* of the job: its name */
	json *params;  /* an object; what journal_create was given */
	uint64_t time; /* clock_wall() when the job was written down */
	bool torn;     /* the last record was incomplete and has been cut off */
	VEC(struct journal_step *) steps;
};

struct journal_step {
	char *event; /* "begun", "finished", "undo": see job.h */
	char *step;
};

void journal_entry_fini(struct journal_entry *entry);

/*
 * Begin a journal: the job's name and its params (an object, borrowed; NULL for none). A `durable` one is on
 * disk on return, and so is every record of it. Another one is safe from a crash of the daemon, not of the host.
 * ERROR_BUSY when the VM has one already.
 */
int journal_create(int dirfd, const uint8_t uuid[16], const char *type, json *params, bool durable,
	struct journal **ret, struct error *err);

/*
 * Take up what an earlier daemon wrote; appending goes on behind it. A record that was being written when the
 * daemon died is cut off. ERROR_DAMAGED for anything else that is not as it was written: the file is then kept
 * as UUID.damaged. ERROR_UNSUPPORTED for a journal of a later version, which is left where it is.
 * ERROR_NO_OBJECT when there is none.
 */
int journal_open(int dirfd, const uint8_t uuid[16], struct journal **ret, struct journal_entry *ret_entry,
	struct error *err);

/* What journal_open reads from the file, from memory. */
int journal_decode(
	const void *data, size_t size, const uint8_t uuid[16], struct journal_entry *ret, struct error *err);

/* What `entry` says, in terms of the steps of `type`. ERROR_DAMAGED when no such job can have written it. */
int journal_get_progress(const struct journal_entry *entry, const struct job_type *type,
	struct job_progress *ret, struct error *err);

/* One record, whole or not at all; a failed one leaves the journal as it was. */
int journal_append(struct journal *journal, const char *event, const char *step, struct error *err);

/* The job is over: remove the file and free the journal, which is freed also on failure. */
int journal_finish(struct journal *journal, struct error *err);

/* Close, and leave the file for the next daemon. */
void journal_free(struct journal *journal);

/* The UUIDs (text) that have a journal, sorted. What else lies in the directory is not looked at. */
int journal_list(int dirfd, struct strv *ret, struct error *err);
