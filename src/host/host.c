/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who this host is, its memory and how busy it is. */
#include "host.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "host-internal.h"

#define UUID_FILE "host-uuid"

int host_open(const char *root, struct host **ret, struct error *err)
{
	struct host *h;
	int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return error_errno(err, errno, "open %s", root);
	h = NEW(struct host);
	h->root = fd;
	*ret = h;
	return 0;
}

void host_close(struct host *h)
{
	if (!h)
		return;
	close(h->root);
	free(h);
}

/* ---- reading ---- */

static _printf_(2, 0) char *read_text(struct host *h, const char *fmt, va_list ap)
{
	_cleanup_(buf_fini) struct buf path = {0}, text = {0};
	_cleanup_close_ int fd = -1;
	ssize_t n;

	buf_addv(&path, fmt, ap);
	fd = openat(h->root, path.data, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return NULL;
	n = read_full(fd, buf_reserve(&text, HOST_TEXT_MAX), HOST_TEXT_MAX);
	if (n < 0)
		return NULL;
	text.len = (size_t)n;
	while (text.len > 0 && isspace((unsigned char)text.data[text.len - 1]))
		text.len--;
	return xstrndup(text.data, text.len);
}

char *host_read_text(struct host *h, const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	text = read_text(h, fmt, ap);
	va_end(ap);
	return text;
}

bool host_read_number(struct host *h, uint64_t *ret, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = read_text(h, fmt, ap);
	va_end(ap);
	return text && parse_u64(text, ret);
}

char *host_find_value(const char *text, const char *key)
{
	size_t len = strlen(key);

	for (const char *line = text; line && *line;
		line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
		const char *colon;

		if (strncmp(line, key, len) != 0)
			continue;
		colon = line + len + strspn(line + len, " \t");
		if (*colon != ':')
			continue;
		colon += 1 + strspn(colon + 1, " \t");
		return xstrndup(colon, strcspn(colon, "\n"));
	}
	return NULL;
}

bool host_find_number(const char *text, const char *key, uint64_t *ret)
{
	_cleanup_free_ char *value = host_find_value(text, key);

	if (!value)
		return false;
	value[strspn(value, "0123456789")] = '\0';
	return parse_u64(value, ret);
}

void host_each_in_list(const char *list, void (*fn)(uint32_t n, void *userdata), void *userdata)
{
	while (list && isdigit((unsigned char)*list)) {
		char *end;
		unsigned long first = strtoul(list, &end, 10), last = first;

		if (*end == '-')
			last = strtoul(end + 1, &end, 10);
		for (unsigned long i = first; i <= last && i < HOST_CPUS_MAX; i++)
			fn((uint32_t)i, userdata);
		list = *end == ',' ? end + 1 : NULL;
	}
}

/* ---- UUID ---- */

/* Firmware that was never given one: all bytes alike, or the sample value that circulates among boards. */
static bool uuid_is_sane(const uint8_t uuid[16])
{
	static const uint8_t sample[16] = {0x03, 0x00, 0x02, 0x00, 0x04, 0x00, 0x05, 0x00, 0x00, 0x06, 0x00,
		0x07, 0x00, 0x08, 0x00, 0x09};

	if (memcmp(uuid, sample, 16) == 0)
		return false;
	for (int i = 1; i < 16; i++)
		if (uuid[i] != uuid[0])
			return true;
	return false;
}

static bool find_firmware_uuid(struct host *h, uint8_t ret[16])
{
	_cleanup_free_ char *text = host_read_text(h, "sys/class/dmi/id/product_uuid");
	uint8_t uuid[16];

	if (!text || !uuid_parse(text, uuid) || !uuid_is_sane(uuid))
		return false;
	memcpy(ret, uuid, 16);
	return true;
}

static int find_kept_uuid(int dirfd, uint8_t ret[16], struct error *err)
{
	_cleanup_free_ char *text = NULL;
	char made[UUID_TEXT_MAX];
	struct error ignored = ERROR_INIT;
	size_t len;

	if (file_read(dirfd, UUID_FILE, 64, &text, &len, &ignored) == 0) {
		text[strcspn(text, "\n")] = '\0';
		if (uuid_parse(text, ret))
			return 0;
		return error_set(err, ERROR_DAMAGED, "%s holds no UUID", UUID_FILE);
	}
	uuid_generate(ret);
	uuid_format(ret, made);
	return file_replace(dirfd, UUID_FILE, made, strlen(made), 0644, err);
}

int host_find_uuid(struct host *h, const char *configured, int dirfd, uint8_t ret[16], struct error *err)
{
	if (configured) {
		if (!uuid_parse(configured, ret))
			return error_set(err, ERROR_INVALID_ARGUMENT, "host UUID '%s' is none", configured);
		return 0;
	}
	if (find_firmware_uuid(h, ret))
		return 0;
	return find_kept_uuid(dirfd, ret, err);
}

/* ---- memory ---- */

static int read_meminfo(struct host *h, const char *key, uint64_t *ret_kib, struct error *err)
{
	_cleanup_free_ char *text = host_read_text(h, "proc/meminfo");

	if (!text || !host_find_number(text, key, ret_kib))
		return error_set(err, ERROR_SYSTEM, "/proc/meminfo does not say %s", key);
	return 0;
}

/* Lines are "Node 0 MemTotal:  123 kB". */
static bool read_cell_meminfo(struct host *h, uint32_t cell, const char *key, uint64_t *ret_kib)
{
	_cleanup_free_ char *text = host_read_text(h, "sys/devices/system/node/node%u/meminfo", cell);
	_cleanup_free_ char *full_key = xasprintf("Node %u %s", cell, key);

	return text && host_find_number(text, full_key, ret_kib);
}

int host_get_free_memory(struct host *h, uint64_t *ret, struct error *err)
{
	uint64_t kib;

	if (read_meminfo(h, "MemFree", &kib, err) < 0)
		return -1;
	*ret = kib * 1024;
	return 0;
}

int host_get_cells_free_memory(
	struct host *h, uint32_t first, uint32_t n, uint64_t *ret, uint32_t *ret_n, struct error *err)
{
	uint64_t kib;
	uint32_t i;

	for (i = 0; i < n && read_cell_meminfo(h, first + i, "MemFree", &kib); i++)
		ret[i] = kib * 1024;
	if (i == 0 && first == 0 && n > 0) { /* a kernel without NUMA: one cell, all of it */
		if (host_get_free_memory(h, &ret[0], err) < 0)
			return -1;
		i = 1;
	}
	if (i == 0)
		return error_set(err, ERROR_INVALID_ARGUMENT, "there is no NUMA cell %u", first);
	*ret_n = i;
	return 0;
}

int host_get_memory_stats(
	struct host *h, int cell, struct host_stat ret[HOST_STATS_MAX], size_t *ret_n, struct error *err)
{
	static const char *const keys[HOST_STATS_MAX] = {"MemTotal", "MemFree", "Buffers", "Cached"};
	static const char *const names[HOST_STATS_MAX] = {"total", "free", "buffers", "cached"};
	size_t n = cell < 0 ? 4 : 2;

	for (size_t i = 0; i < n; i++) {
		ret[i].name = names[i];
		if (cell < 0 && read_meminfo(h, keys[i], &ret[i].value, err) < 0)
			return -1;
		if (cell >= 0 && !read_cell_meminfo(h, (uint32_t)cell, keys[i], &ret[i].value))
			return error_set(err, ERROR_INVALID_ARGUMENT, "there is no NUMA cell %d", cell);
	}
	*ret_n = n;
	return 0;
}

/* ---- CPU time ---- */

int host_get_cpu_stats(
	struct host *h, int cpu, struct host_stat ret[HOST_STATS_MAX], size_t *ret_n, struct error *err)
{
	_cleanup_free_ char *text = host_read_text(h, "proc/stat");
	_cleanup_free_ char *name = cpu < 0 ? xstrdup("\ncpu ") : xasprintf("\ncpu%d ", cpu);
	unsigned long long user, nice, system, idle, iowait = 0, irq = 0, softirq = 0;
	uint64_t tick = 1000000000ull / (uint64_t)sysconf(_SC_CLK_TCK);
	const char *line = text;

	/* The first line has no newline before it, and is the one for all. */
	if (text && strncmp(text, name + 1, strlen(name + 1)) != 0)
		line = strstr(text, name);
	else if (text)
		line = text;
	if (!line)
		return error_set(err, ERROR_INVALID_ARGUMENT, "there is no CPU %d", cpu);
	line += strspn(line, "\n");
	line += strcspn(line, " ");
	if (sscanf(line, "%llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &iowait, &irq,
		    &softirq) < 4)
		return error_set(err, ERROR_SYSTEM, "/proc/stat has an unknown form");
	ret[0] = (struct host_stat){"kernel", (system + irq + softirq) * tick};
	ret[1] = (struct host_stat){"user", (user + nice) * tick};
	ret[2] = (struct host_stat){"idle", idle * tick};
	ret[3] = (struct host_stat){"iowait", iowait * tick};
	*ret_n = 4;
	return 0;
}
