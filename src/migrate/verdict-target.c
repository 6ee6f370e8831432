/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The destination's half of verdict.h: tokens that may be asked about, those who ask, and what is on disk.
 *
 * A record (docs/formats/migration.md) says that the VM runs here, or has run; it is there from before its first instruction until the source has
 * understood. Whoever asks is read one line, slowly if it must be, and gets one line; who is slow or silent is dropped.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "buf.h"
#include "clock.h"
#include "file.h"
#include "log.h"
#include "migrations.h"
#include "ports.h"
#include "verdict.h"

#define PLACE_FILE     "place"
#define RECORD_VERSION 1
#define RECORD_MAX     4096
#define QUESTION_MAX   128
#define ASKERS_MAX     8 /* of one token; the source is one. The oldest goes for another one */
#define ASKER_USEC     (10 * USEC_PER_SEC)
#define GONE_USEC      (3600 * USEC_PER_SEC)
#define RETRY_USEC     (500 * USEC_PER_MSEC)

struct asker {
	struct offer *offer;
	int fd;
	sd_event_source *io, *timer;
	char line[QUESTION_MAX];
	size_t len;
	bool waits; /* the question is understood, and not decided */
};

struct offer {
	struct migrations *m;
	char token[VERDICT_TOKEN_LEN + 1];
	uint8_t uuid[16];
	enum verdict verdict;
	uint16_t port;
	int fd; /* -1: the port is somebody else's for now */
	sd_event_source *io;
	VEC(struct asker *) askers;
	bool is_unwanted;	 /* the source asks no more */
	sd_event_source *expiry; /* of one that is gone */
	verdict_asked_fn asked;	 /* NULL: nobody decides any more */
	void *userdata;
};

/* ---- those who ask ---- */

static void asker_free(struct asker *a)
{
	struct offer *o = a->offer;

	for (size_t i = 0; i < o->askers.n; i++) {
		if (o->askers.items[i] == a) {
			VEC_REMOVE(&o->askers, i);
			break;
		}
	}
	sd_event_source_disable_unref(a->io);
	sd_event_source_disable_unref(a->timer);
	close_p(&a->fd);
	free(a);
}

/* A line this short fits every socket's buffer; who does not take it asks again. NONE: it was another daemon that was meant. */
static void answer(struct asker *a, enum verdict verdict)
{
	const char *line = verdict == VERDICT_RUNS   ? "runs\n"
			   : verdict == VERDICT_GONE ? "gone\n"
						     : "elsewhere\n";

	(void)send(a->fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT);
	asker_free(a);
}

/* In the same time for every wrong token. */
static bool same_token(const char *a, const char *b)
{
	unsigned char difference = 0;

	for (size_t i = 0; i < VERDICT_TOKEN_LEN; i++)
		difference |= (unsigned char)(a[i] ^ b[i]);
	return difference == 0;
}

static void offer_free(struct offer *o);

static void remove_record(struct offer *o);

/*
 * The source needs no answer any more; one that was not even decided can only be that it is gone. But as long as the job here goes on, a daemon that comes after
 * this one must find the record.
 */
static void understood(struct offer *o)
{
	o->is_unwanted = true;
	if (o->verdict != VERDICT_NONE && !o->asked)
		remove_record(o);
}

static struct offer *find(const struct migrations *m, const char *token);

/* The asker came to the port of another token: that one's may be somebody else's now. */
static void move_to(struct asker *a, struct offer *o)
{
	struct offer *from = a->offer;

	for (size_t i = 0; i < from->askers.n; i++) {
		if (from->askers.items[i] == a) {
			VEC_REMOVE(&from->askers, i);
			break;
		}
	}
	a->offer = o;
	VEC_ADD(&o->askers, a);
}

static void ask(struct asker *a, bool failed)
{
	struct offer *o = a->offer;

	if (o->verdict != VERDICT_NONE) {
		answer(a, o->verdict);
		return;
	}
	a->waits = true;
	a->timer = sd_event_source_disable_unref(a->timer);
	if (o->asked)
		o->asked(o->m, o->token, failed, o->userdata);
}

/* The asker may be gone afterwards, and so may the offer. */
static void take_line(struct asker *a)
{
	static const char magic[] = "godwit-verdict 1 ";
	size_t place = strlen(magic), start = place + VERDICT_TOKEN_LEN + 1, end = start + VERDICT_TOKEN_LEN;
	const char *word = a->line + end + 1;
	struct offer *o;

	if (!startswith(a->line, magic) || a->len <= end || a->line[start - 1] != ' ' ||
		a->line[end] != ' ') {
		asker_free(a);
		return;
	}
	/* "Gone" from somebody who never had it would let it run twice. */
	if (!same_token(a->line + place, a->offer->m->place)) {
		answer(a, VERDICT_NONE);
		return;
	}
	a->line[end] = '\0';
	o = find(a->offer->m, a->line + start);
	if (!o) {
		answer(a, VERDICT_GONE);
		return;
	}
	move_to(a, o);
	if (streq(word, "understood")) {
		asker_free(a);
		understood(o);
	} else if (streq(word, "failed") || streq(word, "completed")) {
		ask(a, streq(word, "failed"));
	} else {
		asker_free(a);
	}
}

static int readable(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct asker *a = userdata;
	ssize_t n = read(fd, a->line + a->len, sizeof(a->line) - 1 - a->len);
	char *end;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0 || a->waits) {
		asker_free(a);
		return 0;
	}
	a->len += (size_t)n;
	a->line[a->len] = '\0';
	end = strchr(a->line, '\n');
	if (end) {
		*end = '\0';
		take_line(a);
	} else if (a->len == sizeof(a->line) - 1) {
		asker_free(a);
	}
	return 0;
}

static int silent(sd_event_source *source, uint64_t usec, void *userdata)
{
	asker_free(userdata);
	return 0;
}

static int connected(sd_event_source *source, int listener, uint32_t events, void *userdata)
{
	struct offer *o = userdata;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct asker *a;

	if (fd < 0)
		return 0;
	/* A source whose host lost the network is not seen to go; its next question must find a place. */
	if (o->askers.n >= ASKERS_MAX)
		asker_free(o->askers.items[0]);
	a = NEW(struct asker);
	*a = (struct asker){.offer = o, .fd = fd};
	VEC_ADD(&o->askers, a);
	sd_event_add_io(o->m->loop, &a->io, fd, EPOLLIN, readable, a);
	sd_event_add_time_relative(o->m->loop, &a->timer, CLOCK_MONOTONIC, ASKER_USEC, 0, silent, a);
	return 0;
}

/* ---- offers ---- */

static struct offer *find(const struct migrations *m, const char *token)
{
	VEC_FOREACH (o, &m->offers)
		if (same_token(o->token, token))
			return o;
	return NULL;
}

static void offer_free(struct offer *o)
{
	struct migrations *m = o->m;

	for (size_t i = 0; i < m->offers.n; i++) {
		if (m->offers.items[i] == o) {
			VEC_REMOVE(&m->offers, i);
			break;
		}
	}
	while (o->askers.n > 0)
		asker_free(o->askers.items[0]);
	VEC_FREE(&o->askers);
	sd_event_source_disable_unref(o->io);
	sd_event_source_disable_unref(o->expiry);
	if (o->fd >= 0)
		ports_give(m, o->port);
	close_p(&o->fd);
	free(o);
}

static int offer_listen(struct offer *o, struct error *err)
{
	if (migrations_listen(o->m, o->port, &o->fd, &o->port, err) < 0)
		return -1;
	sd_event_add_io(o->m->loop, &o->io, o->fd, EPOLLIN, connected, o);
	return 0;
}

static int listen_again(sd_event_source *source, uint64_t usec, void *userdata);

static void retry_later(struct migrations *m)
{
	if (!m->retry)
		sd_event_add_time_relative(
			m->loop, &m->retry, CLOCK_MONOTONIC, RETRY_USEC, 0, listen_again, m);
}

static int listen_again(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct migrations *m = userdata;
	struct error err = ERROR_INIT;

	m->retry = sd_event_source_unref(m->retry);
	VEC_FOREACH (o, &m->offers)
		if (o->fd < 0 && offer_listen(o, &err) < 0)
			retry_later(m);
	return 0;
}

static struct offer *offer_new(struct migrations *m, const char *token, const uint8_t uuid[16], uint16_t port)
{
	struct offer *o = NEW(struct offer);

	*o = (struct offer){.m = m, .port = port, .fd = -1};
	memcpy(o->token, token, VERDICT_TOKEN_LEN);
	memcpy(o->uuid, uuid, 16);
	VEC_ADD(&m->offers, o);
	return o;
}

static int write_record(const struct offer *o, struct error *err);

static void remove_record(struct offer *o)
{
	_cleanup_free_ char *name = xasprintf("%s.json", o->token);
	struct error err = ERROR_INIT;

	if (file_remove(o->m->dir_fd, name, true, &err) < 0)
		log_write(LOG_LEVEL_WARNING, NULL, NULL, "%s", err.message);
	else
		offer_free(o);
}

static int expired(sd_event_source *source, uint64_t usec, void *userdata)
{
	remove_record(userdata);
	return 0;
}

/* It is still answered, until the source has understood or nobody can be expected to ask any more. */
static void stay_gone(struct offer *o)
{
	if (o->is_unwanted && !o->asked)
		remove_record(o);
	else if (!o->expiry)
		sd_event_add_time_relative(o->m->loop, &o->expiry, CLOCK_MONOTONIC, GONE_USEC, 0, expired, o);
}

int verdict_offer(struct migrations *m, const char *token, const uint8_t uuid[16], verdict_asked_fn asked,
	void *userdata, uint16_t *ret_port, struct error *err)
{
	struct offer *o;

	if (strlen(token) != VERDICT_TOKEN_LEN)
		return error_set(
			err, ERROR_INVALID_ARGUMENT, "a migration's token has %d digits", VERDICT_TOKEN_LEN);
	if (find(m, token))
		return error_set(err, ERROR_EXISTS, "this migration has been here before");
	o = offer_new(m, token, uuid, 0);
	if (offer_listen(o, err) < 0) {
		offer_free(o);
		return -1;
	}
	/* Also a daemon that comes after this one must be there for the question. */
	if (write_record(o, err) < 0) {
		offer_free(o);
		return -1;
	}
	o->asked = asked;
	o->userdata = userdata;
	*ret_port = o->port;
	return 0;
}

static int write_record(const struct offer *o, struct error *err)
{
	_cleanup_free_ char *name = xasprintf("%s.json", o->token), *text = NULL;
	_cleanup_json_ json *record = NULL;
	char uuid[UUID_TEXT_MAX];

	uuid_format(o->uuid, uuid);
	record = json_pack("i:version", (int64_t)RECORD_VERSION, "s:token", o->token, "s:uuid", uuid,
		"u:port", (uint64_t)o->port, "s:verdict", o->verdict == VERDICT_RUNS ? "runs" : "open",
		"u:time", clock_wall(), NULL);
	text = json_format(record);
	return file_replace(o->m->dir_fd, name, text, strlen(text), 0600, err);
}

int verdict_decide(struct migrations *m, const char *token, enum verdict verdict, struct error *err)
{
	struct offer *o = find(m, token);
	struct error trouble = ERROR_INIT;

	if (o ? o->verdict == verdict : verdict != VERDICT_RUNS)
		return 0;
	/* The source may have been told. */
	if (!o || o->verdict != VERDICT_NONE)
		return error_set(err, ERROR_OPERATION_INVALID,
			"how this migration ends is decided already: %s",
			o && o->verdict == VERDICT_RUNS ? "it runs here" : "it does not run here");
	o->verdict = verdict;
	/* A word about nothing came too early. */
	if (verdict == VERDICT_RUNS)
		o->is_unwanted = false;
	/* Also when it is gone: to write down that it runs may have failed, and the record be there all the same. */
	if (write_record(o, verdict == VERDICT_RUNS ? err : &trouble) < 0) {
		if (verdict == VERDICT_RUNS) {
			o->verdict = VERDICT_NONE;
			return -1;
		}
		log_write(LOG_LEVEL_WARNING, NULL, NULL, "%s", trouble.message);
	}
	for (size_t i = o->askers.n; i-- > 0;)
		if (o->askers.items[i]->waits)
			answer(o->askers.items[i], verdict);
	if (verdict == VERDICT_GONE)
		stay_gone(o);
	return 0;
}

void verdict_resume(struct migrations *m, const char *token, verdict_asked_fn asked, void *userdata)
{
	struct offer *o = find(m, token);

	if (o) {
		o->asked = asked;
		o->userdata = userdata;
	}
}

void verdict_forget(struct migrations *m, const char *token)
{
	struct offer *o = find(m, token);

	if (o && o->verdict != VERDICT_RUNS)
		o->is_unwanted = true;
}

void verdict_release(struct migrations *m, const char *token)
{
	struct offer *o = find(m, token);

	if (!o)
		return;
	o->asked = NULL;
	if (o->verdict != VERDICT_NONE && o->is_unwanted) {
		remove_record(o);
		return;
	}
	/* Nobody will decide any more; what is not known is gone. */
	if (o->verdict == VERDICT_NONE) {
		o->verdict = VERDICT_GONE;
		stay_gone(o);
	}
}

enum verdict verdict_get(const struct migrations *m, const char *token)
{
	const struct offer *o = find(m, token);

	return o ? o->verdict : VERDICT_NONE;
}

/* ---- who this is ---- */

static int make_place(struct migrations *m, struct error *err)
{
	uint8_t bytes[16];
	struct buf text = {0};

	uuid_generate(bytes);
	for (size_t i = 0; i < sizeof(bytes); i++)
		buf_addf(&text, "%02x", bytes[i]);
	m->place = buf_take(&text);
	return file_replace(m->dir_fd, PLACE_FILE, m->place, VERDICT_TOKEN_LEN, 0600, err);
}

int verdicts_open_place(struct migrations *m, struct error *err)
{
	struct error why = ERROR_INIT;
	size_t len = 0;

	if (file_read(m->dir_fd, PLACE_FILE, RECORD_MAX, &m->place, &len, &why) < 0)
		return why.errnum == ENOENT ? make_place(m, err) : error_copy(err, &why);
	if (len == VERDICT_TOKEN_LEN && strspn(m->place, "0123456789abcdef") == len)
		return 0;
	return error_set(err, ERROR_DAMAGED,
		"%s/migration/%s is damaged: if no other host waits for a word on a VM that came here, "
		"remove it",
		m->settings.lib_dir, PLACE_FILE);
}

const char *verdict_get_place(const struct migrations *m)
{
	return m->place;
}

/* ---- after a restart ---- */

static int read_record(struct offer *o, const char *name, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_json_ json *record = NULL;
	const char *uuid;
	size_t len;

	if (file_read(o->m->dir_fd, name, RECORD_MAX, &text, &len, err) < 0 ||
		json_parse(text, len, &record, err) < 0)
		return -1;
	uuid = json_get_string(record, "uuid");
	o->port = (uint16_t)json_get_uint(record, "port", 0);
	if (json_get_int(record, "version", 0) != RECORD_VERSION || !uuid || !uuid_parse(uuid, o->uuid))
		return error_set(
			err, ERROR_DAMAGED, "it is no record of a migration that this version knows");
	/* What an earlier daemon had not decided is undone by this one. */
	if (streq(json_get_string(record, "verdict"), "open"))
		o->verdict = VERDICT_GONE;
	return 0;
}

/* Whatever is wrong with a record: that it is there says that the VM has run here. */
static void load(struct migrations *m, const char *name)
{
	static const uint8_t nobody[16];
	struct error err = ERROR_INIT;
	struct offer *o;

	if (strspn(name, "0123456789abcdef") != VERDICT_TOKEN_LEN ||
		!streq(name + VERDICT_TOKEN_LEN, ".json"))
		return;
	o = offer_new(m, name, nobody, 0);
	o->verdict = VERDICT_RUNS;
	if (read_record(o, name, &err) < 0)
		log_warning("%s/migration/%s: %s", m->settings.lib_dir, name, err.message);
	error_clear(&err);
	if (offer_listen(o, &err) < 0) {
		log_warning("the source of a migration cannot ask yet: %s", err.message);
		retry_later(m);
	}
	if (o->verdict == VERDICT_GONE)
		stay_gone(o);
}

int verdicts_load(struct migrations *m, struct error *err)
{
	int fd = openat(m->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (!dir)
		return error_errno(err, errno, "read the directory of migrations");
	while ((entry = readdir(dir)))
		load(m, entry->d_name);
	closedir(dir);
	return 0;
}

void verdicts_close(struct migrations *m)
{
	while (m->offers.n > 0)
		offer_free(m->offers.items[0]);
	VEC_FREE(&m->offers);
}
