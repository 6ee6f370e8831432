/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bundles come back as they were, go on where they were cut, and nothing that is not whole and right is taken. */
#include <errno.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bundle-tar.h"
#include "bundle.h"
#include "file.h"
#include "tap.h"

#define MEMBERS	  4
#define DISK_SIZE 150000

/* The files of a VM, as they are on one side or the other. */
struct files {
	int fds[MEMBERS];
	uint64_t position; /* where the last stream read into them began */
	size_t n_filled;
};

static void files_init(struct files *f)
{
	*f = (struct files){0};
	for (size_t i = 0; i < MEMBERS; i++)
		f->fds[i] = memfd_create("member", MFD_CLOEXEC);
}

static void files_fini(struct files *f)
{
	for (size_t i = 0; i < MEMBERS; i++)
		close(f->fds[i]);
}

static void put_at(int fd, off_t at, const char *text)
{
	if (pwrite_full(fd, text, strlen(text), at) < 0)
		ok(false, "write a file of the test");
}

/* A definition, a state of two blocks and a bit, firmware variables, and a disk that is mostly a hole. */
static void files_fill(struct files *f)
{
	static const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1700000000, .tv_nsec = 123456789}};
	char state[1100];

	memset(state, 's', sizeof(state) - 1);
	state[sizeof(state) - 1] = '\0';
	put_at(f->fds[0], 0, "<domain><name>vm</name></domain>");
	put_at(f->fds[1], 0, state);
	put_at(f->fds[2], 0, "variables");
	put_at(f->fds[3], 100, "boot");
	put_at(f->fds[3], 100000, "far");
	if (ftruncate(f->fds[3], DISK_SIZE) < 0 || futimens(f->fds[3], times) < 0)
		ok(false, "make a disk");
}

static bool same_file(int a, int b)
{
	_cleanup_free_ char *x = xcalloc(1, DISK_SIZE), *y = xcalloc(1, DISK_SIZE);
	ssize_t n = pread_full(a, x, DISK_SIZE, 0);

	return n == pread_full(b, y, DISK_SIZE, 0) && memcmp(x, y, (size_t)n) == 0;
}

static bool same_files(const struct files *a, const struct files *b)
{
	for (size_t i = 0; i < MEMBERS; i++)
		if (!same_file(a->fds[i], b->fds[i]))
			return false;
	return true;
}

/* ---- a bundle in memory ---- */

static struct bundle_source sources[MEMBERS];

static void measure(struct files *f, struct bundle_manifest *m)
{
	static const enum bundle_kind kinds[MEMBERS] = {
		BUNDLE_DEFINITION, BUNDLE_STATE, BUNDLE_NVRAM, BUNDLE_DISK};
	struct error err = ERROR_INIT;

	*m = (struct bundle_manifest){.vm = xstrdup("vm"), .uuid = "00000000-1111-4222-8333-444444444444"};
	for (size_t i = 0; i < MEMBERS; i++) {
		struct bundle_member *member =
			bundle_add_member(m, kinds[i], kinds[i] == BUNDLE_DISK ? "vda" : NULL);

		sources[i] = (struct bundle_source){f->fds[i], member->name};
		if (bundle_member_measure(member, &sources[i], &err) < 0)
			ok(false, err.message);
	}
}

static int append(const void *data, size_t len, void *userdata, struct error *err)
{
	buf_add(userdata, data, len);
	return 0;
}

static int write_bundle(
	const struct bundle_manifest *m, uint64_t position, struct buf *out, struct error *err)
{
	struct bundle_write_options o = {
		.manifest = m, .sources = sources, .position = position, .write = append, .userdata = out};

	return bundle_write(&o, err);
}

static int begin(const struct bundle_manifest *m, const char *text, uint64_t position, void *userdata,
	struct error *err)
{
	struct files *f = userdata;

	f->position = position;
	return m->members.n == MEMBERS ? 0 : error_set(err, ERROR_DAMAGED, "another number of members");
}

static int open_member(size_t i, void *userdata, struct error *err)
{
	struct files *f = userdata;

	return dup(f->fds[i]);
}

static int filled(size_t i, int fd, void *userdata, struct error *err)
{
	struct files *f = userdata;

	f->n_filled++;
	return 0;
}

static int read_bundle(int stream, const void *data, size_t len, struct files *f, struct error *err)
{
	static const struct bundle_read_ops ops = {begin, open_member, filled};

	error_clear(err);
	f->n_filled = 0;
	if (ftruncate(stream, 0) < 0 || pwrite_full(stream, data, len, 0) < 0 ||
		lseek(stream, 0, SEEK_SET) < 0)
		return error_errno(err, errno, "fill the stream");
	return bundle_read(stream, "B", &ops, f, err);
}

static uint64_t position_of(const struct files *f, const struct bundle_manifest *m)
{
	uint64_t position = 0;

	for (size_t i = 0; i < MEMBERS; i++) {
		struct stat st;

		fstat(f->fds[i], &st);
		position += (uint64_t)st.st_size;
		if ((uint64_t)st.st_size < m->members.items[i].size)
			break;
	}
	return position;
}

/* ---- tests ---- */

struct fixture {
	struct files source;
	struct bundle_manifest manifest;
	struct buf bundle;
	int stream;
};

static void fixture_init(struct fixture *x)
{
	struct error err = ERROR_INIT;

	*x = (struct fixture){.stream = memfd_create("stream", MFD_CLOEXEC)};
	files_init(&x->source);
	files_fill(&x->source);
	measure(&x->source, &x->manifest);
	ok(write_bundle(&x->manifest, 0, &x->bundle, &err) == 0, "a bundle is written");
}

static void fixture_fini(struct fixture *x)
{
	files_fini(&x->source);
	bundle_manifest_fini(&x->manifest);
	buf_fini(&x->bundle);
	close(x->stream);
}

static void test_round_trip(struct fixture *x)
{
	struct error err = ERROR_INIT;
	struct buf again = {0};
	struct files f;
	struct stat st;

	files_init(&f);
	ok(read_bundle(x->stream, x->bundle.data, x->bundle.len, &f, &err) == 0, "and read");
	ok(same_files(&x->source, &f), "with the same contents");
	is_int(f.n_filled, MEMBERS, "every member was filled");
	fstat(f.fds[3], &st);
	ok(x->manifest.members.items[3].sparse && x->bundle.len < DISK_SIZE && st.st_blocks * 512 < DISK_SIZE,
		"holes are neither sent nor written");
	ok(write_bundle(&x->manifest, 0, &again, &err) == 0 && again.len == x->bundle.len &&
			memcmp(again.data, x->bundle.data, again.len) == 0,
		"the same files give the same bytes");
	ok(read_bundle(x->stream, x->bundle.data, x->bundle.len, &f, &err) == 0 && same_files(&x->source, &f),
		"what is there already may come again");
	buf_fini(&again);
	files_fini(&f);
}

/* Cut anywhere; a second stream goes on with what the files then have. */
static void test_cut(struct fixture *x)
{
	bool refused = true, goes_on = true, whole = true;

	for (size_t len = 0; len < x->bundle.len; len += 61) {
		struct error err = ERROR_INIT;
		struct buf rest = {0};
		struct files f;
		uint64_t position;

		files_init(&f);
		refused = refused && read_bundle(x->stream, x->bundle.data, len, &f, &err) < 0 &&
			  err.code == ERROR_DAMAGED;
		position = position_of(&f, &x->manifest);
		goes_on = goes_on && write_bundle(&x->manifest, position, &rest, &err) == 0 &&
			  read_bundle(x->stream, rest.data, rest.len, &f, &err) == 0 &&
			  f.position == position;
		if (err.code != ERROR_NONE)
			printf("# cut at %zu, position %llu: %s\n", len, (unsigned long long)position,
				err.message);
		whole = whole && same_files(&x->source, &f);
		buf_fini(&rest);
		files_fini(&f);
	}
	ok(refused, "a cut bundle is refused");
	ok(goes_on, "another stream goes on there");
	ok(whole, "and the files are whole");
}

/* One bit of each byte, another one in each; of zeros, which are most of it, of every third. */
static void test_every_byte(struct fixture *x)
{
	size_t taken = 0;

	for (size_t i = 0, step; i < x->bundle.len; i += step) {
		struct error err = ERROR_INIT;
		struct files f;

		step = x->bundle.data[i] ? 1 : 3;
		files_init(&f);
		x->bundle.data[i] ^= (char)(1 << i % 7);
		if (read_bundle(x->stream, x->bundle.data, x->bundle.len, &f, &err) == 0) {
			printf("# byte %zu may be altered\n", i);
			taken++;
		}
		x->bundle.data[i] ^= (char)(1 << i % 7);
		files_fini(&f);
	}
	is_int(taken, 0, "no byte can be altered");
}

/* The byte at which `text` begins for the last time. */
static size_t find(const struct buf *b, const char *text)
{
	for (size_t i = b->len - strlen(text); i > 0; i--)
		if (memcmp(b->data + i, text, strlen(text)) == 0)
			return i;
	return 0;
}

static void test_names_damage(struct fixture *x)
{
	static const struct {
		const char *contents, *member;
	} cases[] = {
		{"<domain><name>vm", "domain.xml"},
		{"ssssssss", "state.save"},
		{"variables", "nvram.fd"},
		{"boot", "disks/vda.img"},
		{"far", "disks/vda.img"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t at = find(&x->bundle, cases[i].contents);
		struct error err = ERROR_INIT;
		struct files f;

		files_init(&f);
		x->bundle.data[at] ^= 1;
		read_bundle(x->stream, x->bundle.data, x->bundle.len, &f, &err);
		x->bundle.data[at] ^= 1;
		ok(err.code == ERROR_DAMAGED && strstr(err.message, "contents of") &&
				strstr(err.message, cases[i].member),
			cases[i].member);
		files_fini(&f);
	}
}

static void test_continuing_something_else(struct fixture *x)
{
	struct error err = ERROR_INIT;
	struct buf rest = {0};
	struct files f;

	files_init(&f);
	ok(write_bundle(&x->manifest, 500, &rest, &err) == 0, "a stream that begins within the state");
	ok(read_bundle(x->stream, rest.data, rest.len, &f, &err) < 0 &&
			strstr(err.message, "which is not there"),
		"is refused where nothing is");
	read_bundle(x->stream, x->bundle.data, x->bundle.len / 2, &f, &err);
	put_at(f.fds[1], 3, "x");
	ok(read_bundle(x->stream, rest.data, rest.len, &f, &err) < 0 && err.code == ERROR_DAMAGED &&
			strstr(err.message, "state.save") && strstr(err.message, "thrown away"),
		"and where something else is, before any of it is written");
	ok(write_bundle(&x->manifest, 1u << 30, &rest, &err) < 0 && err.code == ERROR_INVALID_ARGUMENT,
		"none begins behind the end");
	buf_fini(&rest);
	files_fini(&f);
}

static int fail_confirm(void *userdata, struct error *err)
{
	return error_set(err, ERROR_OPERATION_INVALID, "started");
}

static void test_changed_source(struct fixture *x)
{
	struct error err = ERROR_INIT;
	struct buf out = {0};
	struct files f;
	struct bundle_write_options o = {.manifest = &x->manifest,
		.sources = sources,
		.write = append,
		.confirm = fail_confirm,
		.userdata = &out};

	files_init(&f);
	ok(bundle_write(&o, &err) < 0 && read_bundle(x->stream, out.data, out.len, &f, &err) < 0 &&
			strstr(err.message, "cut"),
		"what was not confirmed is no bundle");
	buf_clear(&out);
	put_at(sources[3].fd, 100, "BOOT");
	ok(write_bundle(&x->manifest, 0, &out, &err) < 0 && strstr(err.message, "disks/vda.img was changed"),
		"a disk that is written meanwhile");
	buf_clear(&out);
	put_at(sources[1].fd, 1100, "more");
	ok(write_bundle(&x->manifest, 0, &out, &err) < 0 && strstr(err.message, "was changed"),
		"a state that has grown");
	buf_fini(&out);
	files_fini(&f);
}

/* `text` with the first `from` replaced; owned by the caller. */
static char *replaced(const char *text, const char *from, const char *to)
{
	const char *at = strstr(text, from);

	return at ? xasprintf("%.*s%s%s", (int)(at - text), text, to, at + strlen(from)) : xstrdup("?");
}

static void test_hostile_manifest(const struct bundle_manifest *good)
{
	static const struct {
		const char *from, *to, *says;
	} cases[] = {
		{"\"disks/vda.img\"", "\"disks/../vda.img\"", "no name"},
		{"\"target\":\"vda\"", "\"target\":\"../x\"", "good name"},
		{"\"target\":\"vda\"", "\"target\":\"\"", "good name"},
		{"\"kind\":\"disk\",\"target\":\"vda\"", "\"kind\":\"disk\"", "good name"},
		{"\"kind\":\"disk\"", "\"kind\":\"device\"", "unknown kind"},
		{"\"kind\":\"nvram\"", "\"kind\":\"state\"", "out of order"},
		{"\"kind\":\"definition\"", "\"kind\":\"state\"", "out of order"},
		{"\"vm\":\"vm\"", "\"vm\":\"../vm\"", "names no VM"},
		{"\"vm\":\"vm\"", "\"vm\":\"..\"", "names no VM"},
		{"\"uuid\":\"0000", "\"uuid\":\"x000", "names no VM"},
		{"\"size\":150000", "\"size\":9223372036854775807", "impossible"},
		{"\"size\":150000", "\"size\":-1", "impossible"},
		{"\"mtime\":1700000000", "\"mtime\":-5", "impossible"},
		{"\"mtime_ns\":123456789", "\"mtime_ns\":4418424085", "impossible"},
		{"\"sparse\":true", "\"sparse\":false", "impossible"},
		{"\"version\":1", "\"version\":2", "version 2"},
		{"godwit bundle", "other bundle", "no bundle"},
		{"\"version\":1", "\"version\":1,\"more\":1", "not written"},
		{"{", "[", "no JSON"},
	};
	_cleanup_free_ char *text = bundle_manifest_format(good);
	struct bundle_manifest m = {0};
	struct error err = ERROR_INIT;

	ok(bundle_manifest_parse(text, strlen(text), "B", &m, &err) == 0, "the manifest is read");
	bundle_manifest_fini(&m);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *bad = replaced(text, cases[i].from, cases[i].to);

		error_clear(&err);
		if (!ok(bundle_manifest_parse(bad, strlen(bad), "B", &m, &err) < 0 &&
				    strstr(err.message, cases[i].says),
			    cases[i].to))
			printf("# %s\n# %s\n", bad, err.message);
	}
}

static void test_disk_twice(const struct bundle_manifest *good)
{
	_cleanup_free_ char *text = bundle_manifest_format(good), *bad = NULL;
	const char *disk = strstr(text, ",{\"kind\":\"disk\"");
	struct bundle_manifest m = {0};
	struct error err = ERROR_INIT;

	bad = xasprintf("%.*s%.*s%s", (int)(strrchr(text, ']') - text), text,
		(int)(strrchr(text, ']') - disk), disk, "]}\n");
	ok(bundle_manifest_parse(bad, strlen(bad), "B", &m, &err) < 0 && strstr(err.message, "disk vda"),
		"a disk that is there twice is named");
}

static int parse_map(uint64_t size, size_t n, const uint64_t *numbers)
{
	struct map_parser p = {.size = size};
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		r = map_parser_add(&p, numbers[i]);
	VEC_FREE(&p.extents.v);
	return r;
}

#define MAP(size, ...)                                                                                       \
	parse_map(size, sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t), (uint64_t[]){__VA_ARGS__})

static void test_maps(void)
{
	is_int(MAP(100, 2, 10, 5, 100, 0), 1, "data and a hole behind it");
	is_int(MAP(100, 1, 50, 50), 1, "data at the end");
	is_int(MAP(100, 1, 100, 0), 1, "nothing but a hole");
	is_int(MAP(100, 2, 10, 5), 0, "half a map");
	is_int(MAP(100, 0), -1, "no piece");
	is_int(MAP(100, 2, 10, 5, 12, 88), -1, "pieces that overlap");
	is_int(MAP(100, 2, 50, 5, 10, 5), -1, "pieces that go back");
	is_int(MAP(100, 1, 90, 11), -1, "a piece over the end");
	is_int(MAP(100, 1, 101, 0), -1, "a piece behind the end");
	is_int(MAP(100, 1, 10, 5), -1, "a map that does not reach the end");
	is_int(MAP(100, 2, 10, 0, 100, 0), -1, "an empty piece");
	is_int(MAP(100, UINT64_MAX), -1, "more pieces than there are");
}

static void test_large(void)
{
	struct tar_entry e = {.name = "disks/vda.img",
		.size = UINT64_C(1) << 40,
		.stored = UINT64_C(1) << 40,
		.has_mtime = true};
	struct buf out = {0};

	tar_header_format(&e, &out);
	ok(out.len == 3 * TAR_BLOCK && memmem(out.data, out.len, "22 size=1099511627776\n", 22),
		"a size that ustar cannot hold is in a record");
	ok(memcmp(out.data + 2 * TAR_BLOCK + 257, "ustar", 6) == 0, "and the header is ustar's");
	buf_fini(&out);
}

int main(void)
{
	struct fixture x;

	fixture_init(&x);
	test_round_trip(&x);
	test_cut(&x);
	test_every_byte(&x);
	test_names_damage(&x);
	test_continuing_something_else(&x);
	test_hostile_manifest(&x.manifest);
	test_disk_twice(&x.manifest);
	test_changed_source(&x);
	test_maps();
	test_large();
	fixture_fini(&x);
	return done_testing();
}
