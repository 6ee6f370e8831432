/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A VM's figures: from QEMU's monitor, /proc and /sys. */
#include "stats.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "clock.h"
#include "file.h"
#include "strv.h"
#include "vm-internal.h"

struct query {
	struct vm_stats stats; /* holds a reference to the VM */
	unsigned pending;
	struct error err;
	sd_event_source *timer; /* ends it: at once when nobody was asked, else when QEMU is too slow */
	vm_stats_fn done;
	void *userdata;
};

static void finish(struct query *q)
{
	sd_event_source_disable_unref(q->timer);
	if (q->pending > 0 && q->stats.vm->qmp)
		qmp_forget(q->stats.vm->qmp, q);
	q->done(&q->stats, q->err.code != ERROR_NONE ? &q->err : NULL, q->userdata);
	vm_unref(q->stats.vm);
	VEC_FREE(&q->stats.memory);
	VEC_FREE(&q->stats.vcpus);
	VEC_FOREACH (b, &q->stats.blocks) {
		free(b.target);
		free(b.path);
		free(b.alias);
	}
	VEC_FREE(&q->stats.blocks);
	free(q);
}

static int time_is_up(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct query *q = userdata;

	if (q->pending > 0)
		error_set(&q->err, ERROR_TIMEOUT, "QEMU of %s does not answer", vm_get_name(q->stats.vm));
	finish(q);
	return 0;
}

/* One answer came; `q` may be gone afterwards. */
static void answered(struct query *q, const struct error *err)
{
	if (err)
		error_copy(&q->err, err);
	if (--q->pending == 0)
		finish(q);
}

static void ask(struct query *q, const char *command, json *arguments, qmp_reply_fn reply)
{
	q->pending++;
	qmp_command(q->stats.vm->qmp, command, arguments, -1, 0, reply, q);
}

/* ---- /proc ---- */

static uint64_t ticks_to_ns(uint64_t ticks)
{
	return ticks * (1000000000ull / (uint64_t)sysconf(_SC_CLK_TCK));
}

struct task_stat {
	char state;
	uint64_t user, system; /* ticks */
	uint64_t rss_pages;
	int cpu;
};

/* proc(5): fields 3, 14, 15, 24 and 39 of stat; the name in parentheses may hold anything. */
static bool read_task_stat(const char *path, struct task_stat *ret)
{
	_cleanup_free_ char *text = NULL;
	const char *rest;

	if (file_read(AT_FDCWD, path, 4096, &text, NULL, NULL) < 0)
		return false;
	rest = strrchr(text, ')');
	return rest && sscanf(rest,
			       ") %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64
			       " %*d %*d %*d %*d %*d %*d %*u %*u %" SCNu64
			       " %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*d %d",
			       &ret->state, &ret->user, &ret->system, &ret->rss_pages, &ret->cpu) == 5;
}

/* The kernel's schedstat: nanoseconds run, nanoseconds ready but not run, time slices. */
static uint64_t read_delay_ns(pid_t pid, pid_t tid)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/task/%d/schedstat", (int)pid, (int)tid), *text = NULL;
	uint64_t delay = 0;

	if (file_read(AT_FDCWD, path, 256, &text, NULL, NULL) == 0 &&
		sscanf(text, "%*u %" SCNu64, &delay) != 1)
		delay = 0;
	return delay;
}

static void read_process(struct query *q, unsigned what)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/stat", (int)vm_get_pid(q->stats.vm));
	struct task_stat stat;
	uint64_t page_kib = (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
	struct vm_memory_stat rss = {.tag = 7};

	if (!read_task_stat(path, &stat))
		return;
	q->stats.cpu_user_ns = ticks_to_ns(stat.user);
	q->stats.cpu_system_ns = ticks_to_ns(stat.system);
	rss.value = stat.rss_pages * page_kib;
	if (what & VM_STATS_BALLOON)
		VEC_ADD(&q->stats.memory, rss);
}

/* ---- vCPUs ---- */

static void on_cpus(struct qmp *qmp, json *ret, const struct error *err, void *userdata)
{
	struct query *q = userdata;
	pid_t pid = vm_get_pid(q->stats.vm);

	JSON_FOREACH (cpu, ret) {
		struct vm_vcpu_stats v = {.number = (uint32_t)json_get_uint(cpu, "cpu-index", 0),
			.tid = (pid_t)json_get_int(cpu, "thread-id", 0)};
		_cleanup_free_ char *path = xasprintf("/proc/%d/task/%d/stat", (int)pid, (int)v.tid);
		struct task_stat stat;

		if (read_task_stat(path, &stat)) {
			v.running = stat.state == 'R';
			v.time_ns = ticks_to_ns(stat.user + stat.system);
			v.delay_ns = read_delay_ns(pid, v.tid);
			v.cpu = stat.cpu;
		}
		VEC_ADD(&q->stats.vcpus, v);
	}
	answered(q, err);
}

/* ---- memory ---- */

static void on_guest_stats(struct qmp *qmp, json *ret, const struct error *err, void *userdata)
{
	static const struct {
		const char *name;
		int tag;
		unsigned divisor;
	} known[] = {
		{"stat-swap-in", 0, 1024},
		{"stat-swap-out", 1, 1024},
		{"stat-major-faults", 2, 1},
		{"stat-minor-faults", 3, 1},
		{"stat-free-memory", 4, 1024},
		{"stat-total-memory", 5, 1024},
		{"stat-available-memory", 8, 1024},
		{"stat-disk-caches", 10, 1024},
		{"stat-htlb-pgalloc", 11, 1},
		{"stat-htlb-pgfail", 12, 1},
	};
	struct query *q = userdata;
	json *stats = json_get(ret, "stats");
	uint64_t updated = json_get_uint(ret, "last-update", 0);

	for (size_t i = 0; i < ARRAY_SIZE(known) && updated > 0; i++) {
		/* UINT64_MAX is QEMU's "the guest did not say" */
		uint64_t value = json_get_uint(stats, known[i].name, UINT64_MAX);
		struct vm_memory_stat stat = {known[i].tag, value / known[i].divisor};

		if (value != UINT64_MAX)
			VEC_ADD(&q->stats.memory, stat);
	}
	if (updated > 0)
		VEC_ADD(&q->stats.memory, ((struct vm_memory_stat){9, updated}));
	answered(q, NULL); /* a machine without the device's statistics is no failure */
}

static void ask_balloon(struct query *q)
{
	const struct memballoon *balloon = q->stats.vm->live->memballoon;
	_cleanup_free_ char *path = NULL;

	VEC_ADD(&q->stats.memory, ((struct vm_memory_stat){6, vm_get_balloon_kib(q->stats.vm)}));
	if (!balloon || balloon->model == MEMBALLOON_NONE || !balloon->info.alias)
		return;
	path = xasprintf("/machine/peripheral/%s", balloon->info.alias);
	ask(q, "qom-get", json_pack("s:path", path, "s:property", "guest-stats", NULL), on_guest_stats);
}

/* ---- disks ---- */

/* Copies: the VM may go off while QEMU is asked. */
static void list_block(
	struct query *q, const char *target, const char *path, const char *alias, uint32_t node)
{
	struct vm_block_stats b = {
		.target = xstrdup(target), .path = xstrdup(path), .alias = xstrdup(alias), .node = node};

	VEC_ADD(&q->stats.blocks, b);
}

static void list_blocks(struct query *q, bool backing)
{
	VEC_FOREACH (disk, &vm_get_domain(q->stats.vm)->disks) {
		list_block(q, disk->target, disk->source, disk->info.alias, disk->node);
		for (size_t i = 0; backing && i < disk->backing.n; i++)
			list_block(q, disk->target, disk->backing.items[i].source, NULL,
				disk->backing.items[i].node);
	}
}

/* QEMU names a device's path: /machine/peripheral/ALIAS, for virtio with something behind it. */
static struct vm_block_stats *find_block(struct query *q, json *entry)
{
	static const char prefix[] = "/machine/peripheral/";
	const char *qdev = json_get_string(entry, "qdev");
	size_t len;

	if (!qdev)
		return NULL;
	if (startswith(qdev, prefix))
		qdev += strlen(prefix);
	len = strcspn(qdev, "/");
	for (size_t i = 0; i < q->stats.blocks.n; i++) {
		const char *alias = q->stats.blocks.items[i].alias;

		if (alias && strlen(alias) == len && memcmp(alias, qdev, len) == 0)
			return &q->stats.blocks.items[i];
	}
	return NULL;
}

static void on_blockstats(struct qmp *qmp, json *ret, const struct error *err, void *userdata)
{
	struct query *q = userdata;

	JSON_FOREACH (entry, ret) {
		struct vm_block_stats *b = find_block(q, entry);
		json *stats = json_get(entry, "stats");

		if (!b || !stats)
			continue;
		b->has_counts = true;
		b->read_requests = json_get_uint(stats, "rd_operations", 0);
		b->read_bytes = json_get_uint(stats, "rd_bytes", 0);
		b->read_ns = json_get_uint(stats, "rd_total_time_ns", 0);
		b->write_requests = json_get_uint(stats, "wr_operations", 0);
		b->write_bytes = json_get_uint(stats, "wr_bytes", 0);
		b->write_ns = json_get_uint(stats, "wr_total_time_ns", 0);
		b->flush_requests = json_get_uint(stats, "flush_operations", 0);
		b->flush_ns = json_get_uint(stats, "flush_total_time_ns", 0);
		b->failed = json_get_uint(stats, "failed_rd_operations", 0) +
			    json_get_uint(stats, "failed_wr_operations", 0) +
			    json_get_uint(stats, "failed_flush_operations", 0);
	}
	answered(q, err);
}

static void take_sizes(struct vm_block_stats *b, json *image)
{
	struct stat st;

	b->has_size = true;
	b->capacity = json_get_uint(image, "virtual-size", 0);
	b->allocation = json_get_uint(image, "actual-size", 0);
	b->physical = b->path && stat(b->path, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size
										: b->capacity;
}

static void on_block(struct qmp *qmp, json *ret, const struct error *err, void *userdata)
{
	struct query *q = userdata;
	const struct vm_block_stats *end = q->stats.blocks.items + q->stats.blocks.n;

	JSON_FOREACH (entry, ret) {
		struct vm_block_stats *b = find_block(q, entry);
		json *image = json_get_path(entry, "inserted.image");
		const char *status = json_get_string(entry, "io-status");

		if (!b)
			continue;
		if (streq(status, "nospace"))
			b->io_status = VM_BLOCK_NO_SPACE;
		else if (streq(status, "failed"))
			b->io_status = VM_BLOCK_FAILED;
		/* Each image says what it stands on. */
		for (bool is_layer = false; image && b < end && (!is_layer || !b->alias); is_layer = true) {
			take_sizes(b++, image);
			image = json_get(image, "backing-image");
		}
	}
	answered(q, err);
}

void vm_stats_find(struct vm *vm, unsigned what, vm_stats_fn done, void *userdata)
{
	struct query *q = NEW(struct query);
	sd_event *loop = vm->registry->loop;

	q->stats.vm = vm_ref(vm);
	q->done = done;
	q->userdata = userdata;
	if (what & (VM_STATS_BLOCK | VM_STATS_BLOCK_SIZE))
		list_blocks(q, what & VM_STATS_BACKING);
	if (vm_is_active(vm) && what & (VM_STATS_CPU | VM_STATS_BALLOON))
		read_process(q, what);
	if (vm_is_active(vm) && vm->qmp) {
		if (what & VM_STATS_BALLOON)
			ask_balloon(q);
		if (what & VM_STATS_VCPU)
			ask(q, "query-cpus-fast", NULL, on_cpus);
		if (what & VM_STATS_BLOCK)
			ask(q, "query-blockstats", NULL, on_blockstats);
		if (what & VM_STATS_BLOCK_SIZE)
			ask(q, "query-block", NULL, on_block);
	}
	if (sd_event_add_time_relative(loop, &q->timer, CLOCK_MONOTONIC,
		    q->pending ? VM_STATS_TIMEOUT_USEC : 0, q->pending ? USEC_PER_SEC : 1, time_is_up, q) < 0)
		abort(); /* the loop refuses only for want of memory */
}

/* ---- immediate ---- */

static int read_counter(const char *device, const char *name, uint64_t *ret, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("/sys/class/net/%s/statistics/%s", device, name), *text = NULL;

	if (file_read(AT_FDCWD, path, 64, &text, NULL, err) < 0)
		return -1;
	text[strcspn(text, "\n")] = '\0';
	if (!parse_u64(text, ret))
		return error_set(err, ERROR_INTERNAL, "%s holds no number", path);
	return 0;
}

int vm_stats_get_nic(const char *device, struct vm_nic_stats *ret, struct error *err)
{
	struct vm_nic_stats s = {0};
	const struct {
		const char *name;
		uint64_t *value;
	} counters[] = {
		{"tx_bytes", &s.rx_bytes},
		{"tx_packets", &s.rx_packets},
		{"tx_errors", &s.rx_errors},
		{"tx_dropped", &s.rx_dropped},
		{"rx_bytes", &s.tx_bytes},
		{"rx_packets", &s.tx_packets},
		{"rx_errors", &s.tx_errors},
		{"rx_dropped", &s.tx_dropped},
	};

	/* the name comes from a definition, not from the network; it must still be no path */
	if (strchr(device, '/') || device[0] == '.')
		return error_set(err, ERROR_INVALID_ARGUMENT, "\"%s\" is no network device", device);
	for (size_t i = 0; i < ARRAY_SIZE(counters); i++)
		if (read_counter(device, counters[i].name, counters[i].value, err) < 0)
			return -1;
	*ret = s;
	return 0;
}

/* docs/interop/qcow2 of QEMU: magic "QFI\xfb" at 0, the guest's size as u64 big-endian at 24. */
#define QCOW2_MAGIC	  0x514649fbu
#define QCOW2_SIZE_OFFSET 24
#define QCOW2_HEAD	  32

int vm_stats_get_file_size(const struct disk *disk, struct vm_block_stats *ret, struct error *err)
{
	uint8_t head[QCOW2_HEAD];
	_cleanup_close_ int fd = -1;
	struct stat st;
	off_t end;

	if (!disk->source)
		return error_set(err, ERROR_OPERATION_INVALID, "drive %s is empty", disk->target);
	/* not blocking: a path may turn out to be a pipe */
	fd = open(disk->source, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_errno(err, errno, "open %s", disk->source);
	end = S_ISREG(st.st_mode) ? st.st_size : lseek(fd, 0, SEEK_END);
	if (end < 0)
		return error_errno(err, errno, "find the size of %s", disk->source);
	ret->physical = ret->capacity = ret->allocation = (uint64_t)end;
	if (S_ISREG(st.st_mode))
		ret->allocation = (uint64_t)st.st_blocks * 512;
	if (disk->format == DISK_FORMAT_QCOW2 && pread_full(fd, head, sizeof(head), 0) == sizeof(head) &&
		get_be32(head) == QCOW2_MAGIC)
		ret->capacity = get_be64(head + QCOW2_SIZE_OFFSET);
	ret->has_size = true;
	return 0;
}
