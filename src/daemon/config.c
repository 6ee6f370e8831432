/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading godwit.conf: one table says which keys there are and what they take. */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "file.h"
#include "strv.h"

#define CONFIG_MAX (1u << 20)

enum kind {
	KIND_STRING,
	KIND_PATH,
	KIND_PORT,
	KIND_NUMBER,
	KIND_SIGNED,
	KIND_SWITCH,
	KIND_OPTIONAL_SWITCH,
	KIND_FORMAT,
	KIND_UUID,
	KIND_LEASE,
	KIND_RESTORE,
	KIND_HOOK,
	KIND_HOST,
	KIND_ADDRESS,
	KIND_LIST
};

static const struct key {
	const char *name;
	enum kind kind;
	size_t offset;
	uint32_t min, max; /* numbers only */
} keys[] = {
	{"save_image_format", KIND_FORMAT, offsetof(struct config, save_image_format), 0, 0},
	{"snapshot_image_format", KIND_FORMAT, offsetof(struct config, snapshot_image_format), 0, 0},
	{"restore_mode", KIND_RESTORE, offsetof(struct config, restore_eagerly), 0, 0},
	{"snapshot_hook", KIND_HOOK, offsetof(struct config, snapshot_hook), 0, 0},
	{"auto_start_bypass_cache", KIND_SWITCH, offsetof(struct config, auto_start_bypass_cache), 0, 0},
	{"kvm_probe", KIND_SWITCH, offsetof(struct config, kvm_probe), 0, 0},
	{"vnc_listen", KIND_STRING, offsetof(struct config, vnc_listen), 0, 0},
	{"hostname", KIND_STRING, offsetof(struct config, hostname), 0, 0},
	{"host_uuid", KIND_UUID, offsetof(struct config, host_uuid), 0, 0},
	{"emulator", KIND_STRING, offsetof(struct config, emulator), 0, 0},
	{"unix_sock_group", KIND_STRING, offsetof(struct config, unix_sock_group), 0, 0},
	{"listen_tcp", KIND_SWITCH, offsetof(struct config, listen_tcp), 0, 0},
	{"listen_addr", KIND_STRING, offsetof(struct config, listen_addr), 0, 0},
	{"tcp_port", KIND_PORT, offsetof(struct config, tcp_port), 0, 0},
	{"auth_tcp", KIND_STRING, offsetof(struct config, auth_tcp), 0, 0},
	{"listen_tls", KIND_SWITCH, offsetof(struct config, listen_tls), 0, 0},
	{"tls_port", KIND_PORT, offsetof(struct config, tls_port), 0, 0},
	{"ca_file", KIND_PATH, offsetof(struct config, ca_file), 0, 0},
	{"cert_file", KIND_PATH, offsetof(struct config, cert_file), 0, 0},
	{"key_file", KIND_PATH, offsetof(struct config, key_file), 0, 0},
	{"crl_file", KIND_PATH, offsetof(struct config, crl_file), 0, 0},
	{"tls_no_verify_certificate", KIND_SWITCH, offsetof(struct config, tls_no_verify_certificate), 0, 0},
	{"tls_no_sanity_certificate", KIND_SWITCH, offsetof(struct config, tls_no_sanity_certificate), 0, 0},
	{"tls_allowed_dn_list", KIND_LIST, offsetof(struct config, tls_allowed_dn_list), 0, 0},
	{"max_clients", KIND_NUMBER, offsetof(struct config, max_clients), 1, 100000},
	{"max_client_requests", KIND_NUMBER, offsetof(struct config, max_client_requests), 1, 1000},
	{"keepalive_interval", KIND_SIGNED, offsetof(struct config, keepalive_interval), 0, 86400},
	{"keepalive_count", KIND_NUMBER, offsetof(struct config, keepalive_count), 0, 1000},
	{"log_level", KIND_NUMBER, offsetof(struct config, log_level), 1, 4},
	{"drop_in", KIND_SWITCH, offsetof(struct config, drop_in), 0, 0},
	{"migration_host", KIND_HOST, offsetof(struct config, migration_host), 0, 0},
	{"migration_address", KIND_ADDRESS, offsetof(struct config, migration_address), 0, 0},
	{"migration_port_min", KIND_NUMBER, offsetof(struct config, migration_port_min), 1024, 65535},
	{"migration_port_max", KIND_NUMBER, offsetof(struct config, migration_port_max), 1024, 65535},
	{"lock_manager", KIND_LEASE, offsetof(struct config, lock_manager), 0, 0},
	{"auto_disk_leases", KIND_OPTIONAL_SWITCH, offsetof(struct config, auto_disk_leases), 0, 0},
	{"require_lease_for_disks", KIND_OPTIONAL_SWITCH, offsetof(struct config, require_lease_for_disks), 0,
		0},
	{"file_lockspace_dir", KIND_PATH, offsetof(struct config, file_lockspace_dir), 0, 0},
	{"disk_lease_dir", KIND_PATH, offsetof(struct config, disk_lease_dir), 0, 0},
	{"host_id", KIND_NUMBER, offsetof(struct config, host_id), 1, 2000},
	{"io_timeout", KIND_NUMBER, offsetof(struct config, io_timeout), 0, 3600},
	{"sanlock_user", KIND_STRING, offsetof(struct config, sanlock_user), 0, 0},
	{"sanlock_group", KIND_STRING, offsetof(struct config, sanlock_group), 0, 0},
};

void config_init(struct config *c)
{
	/* The numbers are libvirtd.conf's defaults. */
	*c = (struct config){
		.vnc_listen = xstrdup("127.0.0.1"),
		.emulator = xstrdup("/usr/bin/qemu-system-x86_64"),
		.kvm_probe = true,
		.tcp_port = xstrdup("16509"),
		.tls_port = xstrdup("16514"),
		.ca_file = xstrdup("/etc/pki/CA/cacert.pem"),
		.cert_file = xstrdup("/etc/pki/libvirt/servercert.pem"),
		.key_file = xstrdup("/etc/pki/libvirt/private/serverkey.pem"),
		.max_clients = 5000,
		.max_client_requests = 5,
		.keepalive_interval = 5,
		.keepalive_count = 5,
		.log_level = 2,
		.migration_port_min = 49152,
		.migration_port_max = 49215,
		.auto_disk_leases = -1,
		.require_lease_for_disks = -1,
	};
}

void config_fini(struct config *c)
{
	free(c->snapshot_hook);
	free(c->vnc_listen);
	free(c->hostname);
	free(c->emulator);
	free(c->unix_sock_group);
	free(c->listen_addr);
	free(c->tcp_port);
	free(c->auth_tcp);
	free(c->tls_port);
	free(c->ca_file);
	free(c->cert_file);
	free(c->key_file);
	free(c->crl_file);
	strv_fini(&c->tls_allowed_dn_list);
	free(c->migration_host);
	free(c->migration_address);
	free(c->file_lockspace_dir);
	free(c->disk_lease_dir);
	free(c->sanlock_user);
	free(c->sanlock_group);
}

static int bad(const char *where, const char *key, const char *value, const char *wanted, struct error *err)
{
	return error_set(err, ERROR_INVALID_ARGUMENT, "%s: %s = '%s': %s", where, key, value, wanted);
}

static int set_number(
	struct config *c, const struct key *key, const char *value, const char *where, struct error *err)
{
	void *slot = (char *)c + key->offset;
	char wanted[64];
	int64_t v;

	snprintf(wanted, sizeof(wanted), "expected a number from %s%u to %u",
		key->kind == KIND_SIGNED ? "-1 or " : "", key->min, key->max);
	if (!parse_i64(value, &v) || v > key->max || (v < key->min && !(key->kind == KIND_SIGNED && v == -1)))
		return bad(where, key->name, value, wanted, err);
	if (key->kind == KIND_SIGNED)
		*(int32_t *)slot = (int32_t)v;
	else
		*(uint32_t *)slot = (uint32_t)v;
	return 0;
}

static int set_port(
	struct config *c, const struct key *key, const char *value, const char *where, struct error *err)
{
	uint32_t v;

	if (!parse_u32(value, &v) || v == 0 || v > UINT16_MAX)
		return bad(where, key->name, value, "expected a number from 1 to 65535, in quotes", err);
	replace_string((char **)(void *)((char *)c + key->offset), value);
	return 0;
}

/* Every host means itself by these; so does 127.0.0.1, but whoever writes that means it. */
static bool is_own_name(const char *name)
{
	static const char *const names[] = {"localhost", "ip6-localhost", "ip6-loopback"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcasecmp(name, names[i]) == 0)
			return true;
	return strncasecmp(name, "localhost.", strlen("localhost.")) == 0;
}

static bool is_address(const char *text)
{
	const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;

	if (getaddrinfo(text, NULL, &hints, &found) != 0)
		return false;
	freeaddrinfo(found);
	return true;
}

/* An IPv6 address may stand in brackets, as in libvirt. */
static int set_host(
	struct config *c, const struct key *key, const char *value, const char *where, struct error *err)
{
	size_t len = strlen(value);
	bool bracketed = len > 2 && value[0] == '[' && value[len - 1] == ']';
	_cleanup_free_ char *host = bracketed ? xstrndup(value + 1, len - 2) : xstrdup(value);

	if (!*host)
		return bad(where, key->name, value, "must not be empty", err);
	if (key->kind == KIND_ADDRESS && !is_address(host))
		return bad(where, key->name, value, "expected an address of this host, no name", err);
	if (key->kind == KIND_HOST && is_own_name(host))
		return bad(where, key->name, value, "other hosts mean themselves by that", err);
	replace_string((char **)(void *)((char *)c + key->offset), host);
	return 0;
}

/* `["one", "two"]`; the list that was there goes. */
static int set_list(
	struct config *c, const struct key *key, const char *value, const char *where, struct error *err)
{
	static const char wanted[] = "expected [\"string\", ...] on one line";
	struct strv *list = (struct strv *)(void *)((char *)c + key->offset), new = {0};
	const char *s = value;
	bool good = *s == '[';

	do {
		const char *end;

		s += 1 + strspn(s + 1, " \t");
		end = good && *s == '"' ? strchr(s + 1, '"') : NULL;
		good = end != NULL;
		if (!good)
			break;
		strv_take(&new, xstrndup(s + 1, (size_t)(end - s - 1)));
		s = end + 1 + strspn(end + 1, " \t");
	} while (*s == ',');
	if (!good || *s != ']' || s[1]) {
		strv_fini(&new);
		return bad(where, key->name, value, wanted, err);
	}
	strv_fini(list);
	*list = new;
	return 0;
}

static int set_format(
	struct config *c, const struct key *key, const char *value, const char *where, struct error *err)
{
	enum image_format format;

	if (!image_format_parse(value, &format) || !image_format_is_supported(format))
		return bad(where, key->name, value, "expected \"raw\", \"zstd\" or \"sparse\"", err);
	*(struct config_format *)(void *)((char *)c + key->offset) = (struct config_format){true, format};
	return 0;
}

int config_set(struct config *c, const char *name, const char *value, bool quoted, const char *where,
	struct error *err)
{
	const struct key *key = NULL;
	bool is_text;

	for (size_t i = 0; i < ARRAY_SIZE(keys) && !key; i++)
		if (streq(keys[i].name, name))
			key = &keys[i];
	if (!key)
		return error_set(err, ERROR_INVALID_ARGUMENT, "%s: unknown key '%s'", where, name);
	is_text = key->kind == KIND_STRING || key->kind == KIND_PATH || key->kind == KIND_PORT ||
		  key->kind == KIND_FORMAT || key->kind == KIND_UUID || key->kind == KIND_LEASE ||
		  key->kind == KIND_RESTORE || key->kind == KIND_HOOK || key->kind == KIND_HOST ||
		  key->kind == KIND_ADDRESS;
	if (quoted && key->kind == KIND_LIST)
		return set_list(c, key, value, where, err);
	if (quoted != is_text)
		return bad(where, name, value,
			is_text ? "expected a \"string\" in quotes" : "expected a number without quotes",
			err);
	switch (key->kind) {
	case KIND_PATH:
	case KIND_STRING:
		if (key->kind == KIND_PATH && *value != '/')
			return bad(where, name, value, "expected an absolute path", err);
		if (!*value)
			return bad(where, name, value, "must not be empty", err);
		replace_string((char **)(void *)((char *)c + key->offset), value);
		return 0;
	case KIND_HOST:
	case KIND_ADDRESS:
		return set_host(c, key, value, where, err);
	case KIND_PORT:
		return set_port(c, key, value, where, err);
	case KIND_NUMBER:
	case KIND_SIGNED:
		return set_number(c, key, value, where, err);
	case KIND_SWITCH:
	case KIND_OPTIONAL_SWITCH:
		if (!streq(value, "0") && !streq(value, "1"))
			return bad(where, name, value, "expected 0 or 1", err);
		if (key->kind == KIND_SWITCH)
			*(bool *)((char *)c + key->offset) = *value == '1';
		else
			*(int32_t *)(void *)((char *)c + key->offset) = *value == '1';
		return 0;
	case KIND_LEASE:
		if (!lease_kind_parse(value, &c->lock_manager))
			return bad(where, name, value,
				"expected \"none\", \"lockd\" or \"sanlock\" (if godwit was built with it)",
				err);
		return 0;
	case KIND_RESTORE:
		if (!streq(value, "lazy") && !streq(value, "eager"))
			return bad(where, name, value, "expected \"lazy\" or \"eager\"", err);
		c->restore_eagerly = streq(value, "eager");
		return 0;
	case KIND_HOOK:
		if (*value != '/' && (!*value || strchr(value, '/')))
			return bad(where, name, value,
				"expected an absolute path or a name such as \"reflink\"", err);
		replace_string(&c->snapshot_hook, value);
		return 0;
	case KIND_LIST:
		return set_list(c, key, value, where, err);
	case KIND_FORMAT:
		return set_format(c, key, value, where, err);
	case KIND_UUID:
		if (!uuid_parse(value, c->host_uuid))
			return bad(where, name, value, "expected a UUID", err);
		c->has_host_uuid = true;
		return 0;
	}
	return -1;
}

static char *skip_space(char *s)
{
	while (*s == ' ' || *s == '\t' || *s == '\r')
		s++;
	return s;
}

/* Behind the bracket that closes a list, or its end when none does. */
static char *skip_list(char *s)
{
	bool quoted = false;

	for (; *s && (quoted || *s != ']'); s++)
		quoted = quoted != (*s == '"');
	return *s ? s + 1 : s;
}

/* Only white space or a comment may follow. */
static bool is_end(char *s)
{
	s = skip_space(s);
	return !*s || *s == '#';
}

static int read_line(struct config *c, char *line, const char *where, struct error *err)
{
	char *name = skip_space(line), *end = name, *value;
	bool quoted;

	if (is_end(name))
		return 0;
	while (isalnum((unsigned char)*end) || *end == '_')
		end++;
	value = skip_space(end);
	if (end == name || *value != '=')
		return error_set(err, ERROR_INVALID_ARGUMENT, "%s: expected `key = value`", where);
	value = skip_space(value + 1);
	*end = '\0';
	quoted = *value == '"';
	if (quoted) {
		end = strchr(++value, '"');
		if (!end)
			return error_set(err, ERROR_INVALID_ARGUMENT, "%s: the string is not closed", where);
	} else {
		end = *value == '[' ? skip_list(value) : value + strcspn(value, " \t\r#");
	}
	if (!is_end(quoted ? end + 1 : end))
		return error_set(
			err, ERROR_INVALID_ARGUMENT, "%s: text behind the value of '%s'", where, name);
	*end = '\0';
	return config_set(c, name, value, quoted, where, err);
}

/* libvirt's default is "sasl": that nobody is asked who he is has to be said. */
static int check_tcp(const struct config *c, struct error *err)
{
	if (!c->listen_tcp || streq(c->auth_tcp, "none"))
		return 0;
	if (!c->auth_tcp)
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"listen_tcp = 1 lets in whoever can connect: it needs auth_tcp = \"none\" beside it");
	return error_set(err, ERROR_INVALID_ARGUMENT, "auth_tcp = \"%s\" is not supported, only \"none\"",
		c->auth_tcp);
}

int config_check(const struct config *c, struct error *err)
{
	if (check_tcp(c, err) < 0)
		return -1;
	if (c->lock_manager == LEASE_KIND_SANLOCK && c->auto_disk_leases == 1 && c->host_id == 0)
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"lock_manager = \"sanlock\" with auto_disk_leases = 1 needs a host_id, another one "
			"on each "
			"host");
	if (c->migration_port_min > c->migration_port_max)
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"migration_port_min (%u) is above migration_port_max (%u)", c->migration_port_min,
			c->migration_port_max);
	return 0;
}

int config_read(struct config *c, const char *path, bool must_exist, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	unsigned number = 1;

	if (!must_exist && access(path, F_OK) < 0 && errno == ENOENT)
		return 0;
	if (file_read(AT_FDCWD, path, CONFIG_MAX, &text, NULL, err) < 0)
		return -1;
	for (char *line = text, *next; line; line = next, number++) {
		_cleanup_free_ char *where = xasprintf("%s:%u", path, number);

		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		if (read_line(c, line, where, err) < 0)
			return -1;
	}
	return 0;
}
