/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What QEMU binaries can do, remembered: in memory, in a file each (docs/formats/capabilities.md), and found out by
 * probing when neither is true any more.
 *
 *     find --> in memory? --> in the file? --> KVM probe --> capability probe --> memory and file --> done
 *                                              (only where /dev/kvm can be opened)
 *
 * What was handed out stays valid: an entry that is no longer true is passed over, never freed before the cache.
 */
#include "capability-cache.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "alloc.h"
#include "capability-probe.h"
#include "file.h"
#include "kvm-probe.h"
#include "list.h"
#include "log.h"

#define FILE_MAGIC   "godwit-capabilities"
#define FILE_VERSION 2 /* 2: looks for memory-file-copy-on-write */
#define FILE_MAX     (1 << 20)

/* The answers are true as long as all of this is the same. */
struct identity {
	uint64_t size, mtime_ns;
	uint64_t modules; /* of QEMU's loadable modules: more of them, more abilities */
	char kvm[56];	  /* "none", "trusted", or the boot and processor under which KVM was tried */
};

struct entry {
	struct list node;
	struct identity identity;
	struct qemu_capabilities *caps;
};

struct waiter {
	struct list node;
	capability_done_fn done;
	void *userdata;
	const struct qemu_capabilities *caps; /* NULL: err */
	struct error err;
};

struct probing {
	struct list node;
	struct capability_cache *cache;
	char *binary;
	struct identity identity;
	bool undecided;
	struct kvm_probe *kvm_probe;
	struct capability_probe *probe;
	struct list waiters;
};

struct capability_cache {
	sd_event *loop;
	int dirfd;
	const char *kvm_device;
	bool trust_kvm;
	struct list entries, probings;
	struct list answered; /* waiters whose answer is known */
	sd_event_source *later;
	bool trim; /* a probe has just ended */
};

/* ---- identity ---- */

/* Of the host, as far as it decides what KVM can do: this boot of this processor. */
static void kvm_identity(const char *device, char ret[56])
{
	_cleanup_close_ int fd = -1, proc = -1;
	char cpu[8192], boot[37] = "";
	ssize_t n;
	char *end;

	snprintf(ret, 56, "none");
	if (faccessat(AT_FDCWD, device, R_OK | W_OK, AT_EACCESS) < 0)
		return;
	fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	proc = open("/proc/cpuinfo", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || proc < 0 || read_full(fd, boot, 36) != 36)
		return;
	n = read_full(proc, cpu, sizeof(cpu) - 1);
	cpu[n > 0 ? n : 0] = '\0';
	/* The flags come after the frequency, which changes. */
	end = strstr(cpu, "\nflags");
	n = end ? (ssize_t)strcspn(end + 1, "\n") : 0;
	snprintf(ret, 56, "%.36s-%016llx", boot, (unsigned long long)XXH64(end ? end + 1 : "", (size_t)n, 0));
}

static uint64_t modules_identity(void)
{
	static const char *const directories[] = {
		"/usr/lib/x86_64-linux-gnu/qemu", "/usr/lib64/qemu-kvm", "/usr/lib64/qemu", "/usr/lib/qemu"};
	uint64_t sum = 0;
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
		if (stat(directories[i], &st) == 0)
			sum += (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec;
	return sum;
}

static int identify(struct capability_cache *c, const char *binary, struct identity *ret, struct error *err)
{
	struct stat st;

	if (binary[0] != '/')
		return error_set(err, ERROR_INVALID_ARGUMENT, "emulator %s: not an absolute path", binary);
	if (stat(binary, &st) < 0)
		return error_errno(err, errno, "emulator %s", binary);
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERROR_INVALID_ARGUMENT, "emulator %s: not a file", binary);
	*ret = (struct identity){
		.size = (uint64_t)st.st_size,
		.mtime_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec,
		.modules = modules_identity(),
	};
	kvm_identity(c->kvm_device, ret->kvm);
	if (c->trust_kvm && !streq(ret->kvm, "none"))
		snprintf(ret->kvm, sizeof(ret->kvm), "trusted");
	return 0;
}

static bool identity_equal(const struct identity *a, const struct identity *b)
{
	return a->size == b->size && a->mtime_ns == b->mtime_ns && a->modules == b->modules &&
	       streq(a->kvm, b->kvm);
}

/* ---- memory ---- */

static struct entry *find_entry(
	struct capability_cache *c, const char *binary, const struct identity *identity)
{
	struct entry *e;

	LIST_FOREACH (e, &c->entries, node)
		if (streq(e->caps->binary, binary) && identity_equal(&e->identity, identity))
			return e;
	return NULL;
}

/* Takes caps. */
static struct entry *add_entry(
	struct capability_cache *c, struct qemu_capabilities *caps, const struct identity *identity)
{
	struct entry *e = NEW(struct entry);

	e->identity = *identity;
	e->caps = caps;
	list_add_tail(&c->entries, &e->node);
	return e;
}

/* ---- file ---- */

static void file_name(const char *binary, char ret[40])
{
	snprintf(ret, 40, "%016llx.capabilities", (unsigned long long)XXH64(binary, strlen(binary), 0));
}

static void write_file(struct capability_cache *c, const struct entry *e)
{
	_cleanup_(buf_fini) struct buf b = {0};
	_cleanup_free_ char *text = NULL;
	_cleanup_json_ json *o = json_pack("u:size", e->identity.size, "u:mtime-ns", e->identity.mtime_ns,
		"u:modules", e->identity.modules, "s:kvm-identity", e->identity.kvm, "o:capabilities",
		capabilities_encode(e->caps), NULL);
	struct error err = ERROR_INIT;
	char name[40];

	text = json_format(o);
	buf_addf(&b, FILE_MAGIC " %d %zu %016llx\n", FILE_VERSION, strlen(text),
		(unsigned long long)XXH64(text, strlen(text), 0));
	buf_adds(&b, text);
	file_name(e->caps->binary, name);
	if (file_replace_volatile(c->dirfd, name, b.data, b.len, 0600, &err) < 0)
		log_warning("capabilities of %s are not kept: %s", e->caps->binary, err.message);
}

/* The JSON behind a header that fits it, or NULL. */
static json *parse_file(const char *data, size_t len)
{
	unsigned long long sum;
	struct error err = ERROR_INIT;
	size_t text_len;
	json *o = NULL;
	int version, header = 0;

	if (sscanf(data, FILE_MAGIC " %d %zu %16llx\n%n", &version, &text_len, &sum, &header) != 3 ||
		header == 0)
		return NULL;
	if (version != FILE_VERSION || text_len != len - (size_t)header ||
		XXH64(data + header, text_len, 0) != sum)
		return NULL;
	if (json_parse(data + header, text_len, &o, &err) < 0)
		return NULL;
	return o;
}

static struct entry *read_entry(
	struct capability_cache *c, const char *binary, const struct identity *identity)
{
	_cleanup_free_ char *data = NULL;
	_cleanup_json_ json *o = NULL;
	struct qemu_capabilities *caps = NULL;
	struct error err = ERROR_INIT;
	struct identity found = {0};
	size_t len;
	char name[40];

	file_name(binary, name);
	if (file_read(c->dirfd, name, FILE_MAX, &data, &len, &err) < 0)
		return NULL;
	o = parse_file(data, len);
	found.size = json_get_uint(o, "size", 0);
	found.mtime_ns = json_get_uint(o, "mtime-ns", 0);
	found.modules = json_get_uint(o, "modules", 0);
	snprintf(found.kvm, sizeof(found.kvm), "%s", json_get_string(o, "kvm-identity") ?: "");
	if (!o || !identity_equal(&found, identity) ||
		capabilities_decode(json_get(o, "capabilities"), &caps, &err) < 0)
		return NULL;
	if (!streq(caps->binary, binary)) {
		capabilities_free(caps);
		return NULL;
	}
	return add_entry(c, caps, identity);
}

/* ---- probing ---- */

static void waiter_free(struct waiter *w)
{
	list_remove(&w->node);
	free(w);
}

static void answer(struct capability_cache *c, struct waiter *w, const struct qemu_capabilities *caps,
	const struct error *err)
{
	w->caps = caps;
	if (!caps)
		w->err = *err;
	list_remove(&w->node);
	list_add_tail(&c->answered, &w->node);
	sd_event_source_set_enabled(c->later, SD_EVENT_ONESHOT);
}

static int on_later(sd_event_source *s, void *userdata)
{
	struct capability_cache *c = userdata;

	/* The schema alone is megabytes as a tree; an idle daemon shall not keep them. */
	if (c->trim)
		malloc_trim(0);
	c->trim = false;
	while (!list_empty(&c->answered)) {
		struct waiter *w = container_of(c->answered.next, struct waiter, node);
		struct waiter copy = *w;

		waiter_free(w);
		copy.done(copy.caps, copy.caps ? NULL : &copy.err, copy.userdata);
	}
	return 0;
}

static void probing_free(struct probing *p)
{
	struct waiter *w, *next;

	LIST_FOREACH_SAFE (w, next, &p->waiters, node)
		waiter_free(w);
	list_remove(&p->node);
	kvm_probe_free(p->kvm_probe);
	capability_probe_free(p->probe);
	free(p->binary);
	free(p);
}

/* Tells all who wait for it, and is gone. */
static void probing_finish(struct probing *p, const struct qemu_capabilities *caps, const struct error *err)
{
	struct waiter *w, *next;

	LIST_FOREACH_SAFE (w, next, &p->waiters, node)
		answer(p->cache, w, caps, err);
	probing_free(p);
}

static void on_probed(struct qemu_capabilities *caps, const struct error *err, void *userdata)
{
	struct probing *p = userdata;
	struct entry *e;

	p->cache->trim = true;
	if (caps) {
		e = add_entry(p->cache, caps, &p->identity);
		if (!p->undecided)
			write_file(p->cache, e);
	}
	probing_finish(p, caps, err);
}

static void probe_binary(struct probing *p, bool kvm)
{
	struct error err = ERROR_INIT;

	if (capability_probe_start(p->cache->loop, p->binary, kvm, on_probed, p, &p->probe, &err) < 0)
		probing_finish(p, NULL, &err);
}

static void on_kvm_verdict(enum kvm_verdict verdict, const char *text, void *userdata)
{
	struct probing *p = userdata;

	log_info("KVM is %s with %s: %s", verdict == KVM_USABLE ? "used" : "not used", p->binary, text);
	p->undecided = verdict == KVM_UNDECIDED;
	kvm_probe_free(TAKE_PTR(p->kvm_probe));
	probe_binary(p, verdict == KVM_USABLE);
}

static struct probing *find_probing(
	struct capability_cache *c, const char *binary, const struct identity *identity)
{
	struct probing *p;

	LIST_FOREACH (p, &c->probings, node)
		if (streq(p->binary, binary) && identity_equal(&p->identity, identity))
			return p;
	return NULL;
}

/* Takes w. */
static void probing_start(
	struct capability_cache *c, const char *binary, const struct identity *identity, struct waiter *w)
{
	struct probing *p = NEW(struct probing);
	struct error err = ERROR_INIT;

	p->cache = c;
	p->binary = xstrdup(binary);
	p->identity = *identity;
	list_init(&p->waiters);
	list_add_tail(&c->probings, &p->node);
	list_add_tail(&p->waiters, &w->node);
	if (streq(identity->kvm, "none"))
		probe_binary(p, false);
	else if (streq(identity->kvm, "trusted"))
		probe_binary(p, true);
	else if (kvm_probe_start(c->loop, binary, on_kvm_verdict, p, &p->kvm_probe, &err) < 0)
		probing_finish(p, NULL, &err);
}

/* ---- the cache ---- */

struct capability_cache *capability_cache_new(sd_event *loop, int dirfd)
{
	struct capability_cache *c = NEW(struct capability_cache);

	c->loop = sd_event_ref(loop);
	c->dirfd = dirfd;
	c->kvm_device = "/dev/kvm";
	list_init(&c->entries);
	list_init(&c->probings);
	list_init(&c->answered);
	if (sd_event_add_defer(loop, &c->later, on_later, c) < 0)
		abort(); /* a small allocation */
	sd_event_source_set_enabled(c->later, SD_EVENT_OFF);
	return c;
}

void capability_cache_free(struct capability_cache *c)
{
	struct probing *p, *next_probing;
	struct waiter *w, *next_waiter;
	struct entry *e, *next_entry;

	if (!c)
		return;
	LIST_FOREACH_SAFE (p, next_probing, &c->probings, node)
		probing_free(p);
	LIST_FOREACH_SAFE (w, next_waiter, &c->answered, node)
		waiter_free(w);
	LIST_FOREACH_SAFE (e, next_entry, &c->entries, node) {
		capabilities_free(e->caps);
		free(e);
	}
	sd_event_source_disable_unref(c->later);
	sd_event_unref(c->loop);
	free(c);
}

void capability_cache_trust_kvm(struct capability_cache *c)
{
	c->trust_kvm = true;
}

void capability_cache_set_kvm_device(struct capability_cache *c, const char *path)
{
	c->kvm_device = path;
}

static const struct qemu_capabilities *cache_get(
	struct capability_cache *c, const char *binary, struct identity *ret_identity, struct error *err)
{
	struct entry *e;

	if (identify(c, binary, ret_identity, err) < 0)
		return NULL;
	e = find_entry(c, binary, ret_identity);
	if (!e)
		e = read_entry(c, binary, ret_identity);
	return e ? e->caps : NULL;
}

const struct qemu_capabilities *capability_cache_get(struct capability_cache *c, const char *binary)
{
	struct identity identity;
	struct error err = ERROR_INIT;

	return cache_get(c, binary, &identity, &err);
}

void capability_cache_find(
	struct capability_cache *c, const char *binary, capability_done_fn done, void *userdata)
{
	const struct qemu_capabilities *caps;
	struct waiter *w = NEW(struct waiter);
	struct error err = ERROR_INIT;
	struct identity identity;
	struct probing *p;

	list_init(&w->node);
	w->done = done;
	w->userdata = userdata;
	caps = cache_get(c, binary, &identity, &err);
	if (caps || err.code != ERROR_NONE) {
		answer(c, w, caps, &err);
		return;
	}
	p = find_probing(c, binary, &identity);
	if (p)
		list_add_tail(&p->waiters, &w->node);
	else
		probing_start(c, binary, &identity, w);
}
