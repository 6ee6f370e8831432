/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Probing, decoding and caching what QEMU can do. "dump BINARY" prints the answers of a real one. */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capability-cache.h"
#include "capability-probe.h"
#include "clock.h"
#include "file.h"
#include "kvm-probe.h"
#include "log.h"
#include "tap.h"

/* What the test itself needs failed. */
#define BAIL_OUT(...) (printf("Bail out! " __VA_ARGS__), putchar('\n'), exit(1))

struct asked {
	unsigned calls;
	const struct qemu_capabilities *caps;
	struct error err;
};

static void on_found(const struct qemu_capabilities *caps, const struct error *err, void *userdata)
{
	struct asked *a = userdata;

	a->calls++;
	a->caps = caps;
	if (err)
		a->err = *err;
}

static void wait_for(sd_event *loop, const unsigned *calls, unsigned n)
{
	for (int i = 0; i < 3000 && *calls < n; i++)
		sd_event_run(loop, 10000);
}

static int remove_traces(const char *directory)
{
	_cleanup_close_ int tmp = open("/tmp", O_DIRECTORY | O_RDONLY | O_CLOEXEC);

	return dir_remove(tmp, directory + strlen("/tmp/"), NULL);
}

/* Once cold, once from memory, once from the file; times go to stderr. */
static int dump(const char *binary)
{
	static const char *const from[] = {"probe", "memory", "file"};
	char directory[] = "/tmp/capabilities-XXXXXX";
	_cleanup_close_ int dirfd = open(mkdtemp(directory), O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	struct capability_cache *cache = NULL;
	struct asked a = {0};
	sd_event *loop;

	if (dirfd < 0 || sd_event_new(&loop) < 0)
		return 1;
	cache = capability_cache_new(loop, dirfd);
	for (unsigned i = 0; i < ARRAY_SIZE(from); i++) {
		uint64_t start = clock_now();

		if (i == 2) {
			capability_cache_free(cache);
			cache = capability_cache_new(loop, dirfd);
		}
		capability_cache_find(cache, binary, on_found, &a);
		wait_for(loop, &a.calls, i + 1);
		fprintf(stderr, "%s: %llu us\n", from[i], (unsigned long long)(clock_now() - start));
	}
	if (a.caps) {
		_cleanup_json_ json *o = capabilities_encode(a.caps);

		puts(json_object_to_json_string_ext(
			o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	} else {
		fprintf(stderr, "%s\n", a.err.message);
	}
	capability_cache_free(cache);
	sd_event_unref(loop);
	return remove_traces(directory) < 0;
}

/* ---- fake QEMU ---- */

struct fixture {
	sd_event *loop;
	char directory[32];
	int dirfd;
	char *emulator; /* a link of our own to the fake, so that its identity is ours to change */
	struct capability_cache *cache;
	struct asked asked;
};

static void write_rules(struct fixture *f, const char *rules)
{
	if (file_replace_volatile(f->dirfd, "control", rules, strlen(rules), 0600, NULL) < 0)
		BAIL_OUT("cannot write rules");
	unlinkat(f->dirfd, "log", 0);
}

/* How many QEMUs were started for `part` since the rules were written. */
static unsigned count_starts(struct fixture *f, const char *part)
{
	_cleanup_free_ char *log = NULL, *what = xasprintf("{\"start\": \"%s\"", part);
	unsigned n = 0;
	size_t len;

	if (file_read(f->dirfd, "log", 1 << 20, &log, &len, NULL) < 0)
		return 0;
	for (const char *p = log; (p = strstr(p, what)); p++)
		n++;
	return n;
}

static void unlink_caches(struct fixture *f)
{
	DIR *dir = opendir(f->directory);
	struct dirent *entry;

	while ((entry = readdir(dir)))
		if (endswith(entry->d_name, ".capabilities"))
			unlinkat(f->dirfd, entry->d_name, 0);
	closedir(dir);
}

static void fixture_new_cache(struct fixture *f, bool kvm)
{
	capability_cache_free(f->cache);
	f->cache = capability_cache_new(f->loop, f->dirfd);
	capability_cache_set_kvm_device(f->cache, kvm ? "/dev/null" : "/nonexistent/kvm");
}

static void fixture_init(struct fixture *f)
{
	_cleanup_free_ char *control = NULL, *log = NULL;

	*f = (struct fixture){.directory = "/tmp/capabilities-XXXXXX"};
	if (!mkdtemp(f->directory) || sd_event_new(&f->loop) < 0)
		BAIL_OUT("no directory or loop");
	f->dirfd = open(f->directory, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	f->emulator = xasprintf("%s/qemu", f->directory);
	control = xasprintf("%s/control", f->directory);
	log = xasprintf("%s/log", f->directory);
	if (symlink(FAKE_QEMU, f->emulator) < 0)
		BAIL_OUT("symlink");
	setenv("FAKE_QEMU_CONTROL", control, 1);
	setenv("FAKE_QEMU_LOG", log, 1);
	write_rules(f, "");
	fixture_new_cache(f, false);
}

static void fixture_fini(struct fixture *f)
{
	capability_cache_free(f->cache);
	close(f->dirfd);
	is_int(remove_traces(f->directory), 0, "own traces removed");
	free(f->emulator);
	sd_event_unref(f->loop);
}

static const struct qemu_capabilities *find(struct fixture *f)
{
	f->asked = (struct asked){0};
	capability_cache_find(f->cache, f->emulator, on_found, &f->asked);
	wait_for(f->loop, &f->asked.calls, 1);
	return f->asked.caps;
}

static void test_answers(struct fixture *f)
{
	const struct qemu_capabilities *caps;
	const struct qemu_machine *q35;
	struct asked second = {0};

	capability_cache_find(f->cache, f->emulator, on_found, &f->asked);
	capability_cache_find(f->cache, f->emulator, on_found, &second);
	ok(f->asked.calls == 0, "the answer never comes from within");
	wait_for(f->loop, &second.calls, 1);
	caps = f->asked.caps;
	if (!ok(caps, "a binary is probed"))
		BAIL_OUT("%s", f->asked.err.message);
	ok(second.caps == caps && count_starts(f, "probe") == 1, "two who ask at once share one probe");

	is_int(caps->version, 10000002, "version");
	is_str(caps->arch, "x86_64", "architecture");
	ok(!caps->kvm_usable && count_starts(f, "kvm") == 0, "without the device KVM is not tried");
	q35 = capabilities_find_machine(caps, "q35");
	ok(q35 && q35->max_cpus == 4096 && streq(q35->name, "pc-q35-10.0"),
		"a machine is found by its alias");
	is_str(q35->default_cpu, "qemu64", "its CPU is named as users do");
	is_str(q35->default_ram_id, "pc.ram", "its memory has a name");
	ok(capabilities_find_machine(caps, "pc-q35-7.2") && !capabilities_find_machine(caps, "none"),
		"by its name too; the machine without anything is left out");
	ok(capabilities_has_device(caps, "virtio-blk-pci") && !capabilities_has_device(caps, "toaster"),
		"devices");
	ok(!capabilities_has_device(caps, "qemu64-x86_64-cpu"), "CPUs are none");
	ok(capabilities_has_command(caps, "blockdev-set-active"), "commands");
	ok(capabilities_has_migration(caps, "mapped-ram"), "migration capabilities");
	ok(strv_contains(&caps->migration_parameters, "direct-io"), "migration parameters");
	ok(strv_contains(&caps->cpu_models, "EPYC") && !strv_contains(&caps->usable_cpu_models, "EPYC"),
		"CPU models");
	ok(capabilities_has_feature(caps, "migrate-file") &&
			capabilities_has_feature(caps, "fdset-direct-io") &&
			capabilities_has_feature(caps, "aio-io_uring") &&
			capabilities_has_feature(caps, "netdev-user"),
		"features");
	ok(!capabilities_has_feature(caps, "spice"),
		"what the schema promises without the module is not there");
}

static void test_cache(struct fixture *f)
{
	const struct qemu_capabilities *before = capability_cache_get(f->cache, f->emulator);
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1000000000}};
	_cleanup_free_ char *copy = xasprintf("%s/copy", f->directory), *data = NULL;
	_cleanup_close_ int fd = -1;
	struct dirent *entry;
	size_t len;
	DIR *dir;

	ok(before && find(f) == before, "asked again it comes from memory");
	fixture_new_cache(f, false);
	before = capability_cache_get(f->cache, f->emulator);
	ok(before && capabilities_has_device(before, "virtio-blk-pci") && count_starts(f, "probe") == 1,
		"a new daemon takes it from the file");

	/* Another file behind the same name. */
	if (file_read(AT_FDCWD, FAKE_QEMU, 1 << 20, &data, &len, NULL) < 0)
		BAIL_OUT("read");
	fd = open(copy, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
	if (fd < 0 || write_full(fd, "#!/bin/sh\n", 10) < 0 || unlink(f->emulator) < 0 ||
		symlink(copy, f->emulator) < 0)
		BAIL_OUT("copy");
	futimens(fd, times);
	ok(!capability_cache_get(f->cache, f->emulator), "not when the binary is another");
	if (unlink(f->emulator) < 0 || symlink(FAKE_QEMU, f->emulator) < 0)
		BAIL_OUT("link");
	ok(capability_cache_get(f->cache, f->emulator) == before, "again when it is the old one");
	fixture_new_cache(f, true);
	ok(!capability_cache_get(f->cache, f->emulator), "not when KVM has come in the meantime");

	/* One byte of the file changed. */
	fixture_new_cache(f, false);
	dir = opendir(f->directory);
	while ((entry = readdir(dir)))
		if (endswith(entry->d_name, ".capabilities")) {
			_cleanup_close_ int file = openat(f->dirfd, entry->d_name, O_RDWR | O_CLOEXEC);

			pwrite_full(file, "X", 1, 300);
		}
	closedir(dir);
	ok(!capability_cache_get(f->cache, f->emulator), "a damaged file is none");
	ok(find(f) && count_starts(f, "probe") == 2, "and is replaced");
}

static void test_bad_binaries(struct fixture *f)
{
	static const struct {
		const char *rules, *message, *name;
	} cases[] = {
		{"probe:start exit 1 one\\ntwo: no such thing", "two: no such thing",
			"its last words are in the error"},
		{"probe:greeting garbage", "not QMP", "garbage in the place of a greeting"},
		{"probe:query-machines half", "closed the monitor", "closing in the middle of an answer"},
		{"probe:query-machines kill", "killed by signal 9", "dying in the middle"},
		{"probe:query-machines lie [{\"name\": 5}, 7, null, []]", "does not say",
			"lies of the wrong kind"},
		{"probe:query-commands error no", "does not say", "refusing what is needed"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		fixture_new_cache(f, false);
		unlink_caches(f);
		write_rules(f, cases[i].rules);
		if (!ok(!find(f) && strstr(f->asked.err.message, cases[i].message), cases[i].name))
			printf("# %s\n", f->asked.err.message);
	}
	f->asked = (struct asked){0};
	capability_cache_find(f->cache, "/nonexistent/qemu", on_found, &f->asked);
	wait_for(f->loop, &f->asked.calls, 1);
	is_str(f->asked.err.message, "emulator /nonexistent/qemu: No such file or directory",
		"a binary that is not there");
	f->asked = (struct asked){0};
	capability_cache_find(f->cache, "qemu", on_found, &f->asked);
	wait_for(f->loop, &f->asked.calls, 1);
	ok(f->asked.err.code == ERROR_INVALID_ARGUMENT, "a name that is no path");
}

struct judged {
	unsigned calls;
	enum kvm_verdict verdict;
	char text[128];
};

static void on_verdict(enum kvm_verdict verdict, const char *text, void *userdata)
{
	struct judged *j = userdata;

	j->calls++;
	j->verdict = verdict;
	snprintf(j->text, sizeof(j->text), "%s", text);
}

static void test_kvm(struct fixture *f)
{
	static const struct {
		const char *rules;
		enum kvm_verdict verdict;
		const char *text, *name;
	} cases[] = {
		{"kvm:serial say rplcsfui!", KVM_UNUSABLE,
			"a guest got wrong results after steps \"rplcsfui\"",
			"KVM is not used when a guest gets a wrong result"},
		{"kvm:serial say rplxxxxxxxxxxxxxxxxxxxxxxx", KVM_UNUSABLE, NULL, "nor when it babbles"},
		{"kvm:serial say \nkvm:cont event STOP", KVM_UNUSABLE, "a guest was stopped after steps \"\"",
			"nor when its processor gave up"},
		{"kvm:cont exit 1 no kvm", KVM_UNUSABLE, NULL, "nor when QEMU ends"},
		{"kvm:cont error no", KVM_UNUSABLE, "cont: no after steps \"\"", "nor when it cannot be run"},
	};
	const struct qemu_capabilities *caps;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct kvm_probe *p = NULL;
		struct judged j = {0};

		write_rules(f, cases[i].rules);
		if (kvm_probe_start(f->loop, f->emulator, on_verdict, &j, &p, NULL) < 0)
			BAIL_OUT("kvm probe");
		wait_for(f->loop, &j.calls, 1);
		ok(j.calls == 1 && j.verdict == cases[i].verdict &&
				(!cases[i].text || streq(j.text, cases[i].text)),
			cases[i].name);
		kvm_probe_free(p);
	}

	fixture_new_cache(f, true);
	unlink_caches(f);
	write_rules(f, "");
	caps = find(f);
	ok(caps && caps->kvm_usable && count_starts(f, "kvm") == 1,
		"it is used when the guest comes to its end");
}

static void test_decode(void)
{
	static const char *const bad[] = {
		"{}",
		"[]",
		"{\"binary\":\"x\",\"arch\":\"y\",\"machines\":[]}",
		"{\"binary\":\"x\",\"arch\":\"y\",\"machines\":[{}]}",
		"{\"binary\":\"x\",\"arch\":\"y\",\"machines\":[5],\"cpu-models\":[1]}",
	};
	struct qemu_capabilities *caps = NULL;
	struct error err = ERROR_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_json_ json *o = NULL;

		if (json_parse(bad[i], strlen(bad[i]), &o, &err) < 0)
			BAIL_OUT("%s", err.message);
		ok(capabilities_decode(o, &caps, &err) < 0 && !caps && err.code == ERROR_DAMAGED, bad[i]);
	}
}

static void test_free_while_probing(struct fixture *f)
{
	unlink_caches(f);
	write_rules(f, "");
	fixture_new_cache(f, true);
	f->asked = (struct asked){0};
	capability_cache_find(f->cache, f->emulator, on_found, &f->asked);
	fixture_new_cache(f, false);
	for (int i = 0; i < 3; i++)
		sd_event_run(f->loop, 0);
	ok(f->asked.calls == 0, "who asked a cache that is gone hears nothing");
}

int main(int argc, char **argv)
{
	struct fixture f;

	if (argc == 3 && strcmp(argv[1], "dump") == 0)
		return dump(argv[2]);
	log_set_level(LOG_LEVEL_ERROR);
	fixture_init(&f);
	test_decode();
	test_answers(&f);
	test_cache(&f);
	test_bad_binaries(&f);
	test_kvm(&f);
	test_free_while_probing(&f);
	fixture_fini(&f);
	return done_testing();
}
