/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Putting the pieces together. */
#include "manager.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "file.h"
#include "host.h"
#include "log.h"
#include "migrate.h"
#include "registry.h"
#include "server.h"

#define SETTLE_USEC	(5 * USEC_PER_SEC)
#define LOCK_USEC	(3 * USEC_PER_SEC)
#define LOCK_PAUSE_NSEC (10 * 1000000)

struct manager {
	int lock_fd;
	struct migrations *migrations;
	struct registry *registry;
	struct server *server;
};

/*
 * A killed daemon leaves no lock, but for as long as a child that it had just forked has not yet closed what it inherited: a moment. Whoever
 * holds it longer is a daemon.
 */
static int wait_for_lock(int fd)
{
	const struct timespec pause = {.tv_nsec = LOCK_PAUSE_NSEC};
	uint64_t until = clock_now() + LOCK_USEC;
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	while (fcntl(fd, F_OFD_SETLK, &lock) < 0) {
		if ((errno != EAGAIN && errno != EACCES) || clock_now() > until)
			return -1;
		nanosleep(&pause, NULL);
	}
	return 0;
}

/* One daemon for one set of directories. */
static int lock_directories(struct manager *m, const struct paths *paths, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("%s/godwitd.lock", paths->run);
	char pid[16];
	int n;

	m->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (m->lock_fd < 0)
		return error_errno(err, errno, "open %s", path);
	if (wait_for_lock(m->lock_fd) < 0) {
		if (errno == EAGAIN || errno == EACCES)
			return error_set(err, ERROR_BUSY, "another godwitd already serves %s", paths->run);
		return error_errno(err, errno, "lock %s", path);
	}
	n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(m->lock_fd, 0) < 0 || pwrite_full(m->lock_fd, pid, (size_t)n, 0) < 0)
		return error_errno(err, errno, "write %s", path);
	return 0;
}

static int find_host_uuid(
	const struct paths *paths, const struct config *config, uint8_t ret[16], struct error *err)
{
	_cleanup_close_ int lib_fd = dir_open_or_make(paths->lib, 0700, err);
	struct host *host = NULL;
	char configured[UUID_TEXT_MAX];
	int r = -1;

	if (config->has_host_uuid)
		uuid_format(config->host_uuid, configured);
	if (lib_fd >= 0 && host_open("/", &host, err) == 0)
		r = host_find_uuid(host, config->has_host_uuid ? configured : NULL, lib_fd, ret, err);
	host_close(host);
	return r;
}

static int find_account(const char *user, const char *group, struct lease_settings *s, struct error *err)
{
	const struct passwd *pw = user ? getpwnam(user) : NULL;
	const struct group *gr = group ? getgrnam(group) : NULL;

	if (user && !pw)
		return error_set(err, ERROR_INVALID_ARGUMENT, "sanlock_user: there is no user '%s'", user);
	if (group && !gr)
		return error_set(err, ERROR_INVALID_ARGUMENT, "sanlock_group: there is no group '%s'", group);
	s->sanlock_uid = pw ? pw->pw_uid : (uid_t)-1;
	s->sanlock_gid = gr ? gr->gr_gid : (gid_t)-1;
	return 0;
}

/* The defaults are those of libvirt's drivers. `directory`: allocated here, for the settings to point to. */
static int fill_leases(const struct paths *paths, const struct config *config, struct lease_settings *s,
	char **directory, struct error *err)
{
	bool automatic = config->auto_disk_leases >= 0 ? config->auto_disk_leases
						       : config->lock_manager == LEASE_KIND_LOCKD;

	*directory = config->disk_lease_dir ? xstrdup(config->disk_lease_dir)
		     : paths->is_system	    ? xstrdup("/var/lib/libvirt/sanlock")
					    : xasprintf("%s/sanlock", paths->lib);
	*s = (struct lease_settings){
		.kind = config->lock_manager,
		.auto_disk_leases = automatic,
		.require_lease_for_disks =
			config->require_lease_for_disks >= 0 ? config->require_lease_for_disks : !automatic,
		.file_lockspace_dir = config->file_lockspace_dir,
		.disk_lease_dir = *directory,
		.host_id = config->host_id,
		.io_timeout_s = config->io_timeout,
		.lost_program = paths->command,
		.lost_socket = paths->socket,
	};
	return find_account(config->sanlock_user, config->sanlock_group, s, err);
}

/* A name is that of one of those that came with godwit. */
static int find_hook(const struct paths *paths, const struct config *config, char **ret, struct error *err)
{
	const char *hook = config->snapshot_hook;

	if (!hook)
		return 0;
	*ret = *hook == '/' ? xstrdup(hook) : xasprintf("%s/%s", paths->hooks, hook);
	if (access(*ret, X_OK) < 0)
		return error_errno(err, errno, "%s: snapshot_hook '%s': run %s", paths->config, hook, *ret);
	return 0;
}

static int open_registry(struct manager *m, sd_event *loop, const struct paths *paths,
	const struct config *config, const char *hostname, struct error *err)
{
	_cleanup_free_ char *lease_directory = NULL, *hook = NULL;
	struct registry_settings settings = {
		.etc_dir = paths->etc,
		.lib_dir = paths->lib,
		.run_dir = paths->run,
		.log_dir = paths->log,
		.io_program = paths->io_program,
		.default_emulator = config->emulator,
		.hooks_dir = paths->hooks,
		.has_save_format = config->save_image_format.given,
		.save_format = config->save_image_format.format,
		.has_snapshot_format = config->snapshot_image_format.given,
		.snapshot_format = config->snapshot_image_format.format,
		.restore_eagerly = config->restore_eagerly,
		.auto_start_bypass_cache = config->auto_start_bypass_cache,
		.trust_kvm = !config->kvm_probe,
		.vnc_listen = config->vnc_listen,
		.hostname = hostname,
		.more_jobs = migrate_operation_types,
		.migrations = m->migrations,
	};

	if (find_hook(paths, config, &hook, err) < 0 ||
		find_host_uuid(paths, config, settings.host_uuid, err) < 0 ||
		fill_leases(paths, config, &settings.leases, &lease_directory, err) < 0)
		return -1;
	settings.snapshot_hook = hook;
	return registry_open(loop, &settings, &m->registry, err);
}

static int open_migrations(struct manager *m, sd_event *loop, const struct paths *paths,
	const struct config *config, struct error *err)
{
	const struct migrations_settings settings = {.lib_dir = paths->lib,
		.migration_host = config->migration_host,
		.migration_address = config->migration_address,
		.port_min = (uint16_t)config->migration_port_min,
		.port_max = (uint16_t)config->migration_port_max};

	return migrations_open(loop, &settings, &m->migrations, err);
}

/* A list of revoked certificates is used where there is one, as libvirt does. */
#define CRL_FILE "/etc/pki/CA/cacrl.pem"

static void fill_network(const struct config *config, struct server_network *n)
{
	n->address = config->listen_addr;
	if (config->listen_tcp)
		n->tcp_port = config->tcp_port;
	if (config->listen_tls)
		n->tls_port = config->tls_port;
	n->tls = (struct tls_settings){
		.is_server = true,
		.ca_file = config->ca_file,
		.cert_file = config->cert_file,
		.key_file = config->key_file,
		.crl_file = config->crl_file		  ? config->crl_file
			    : access(CRL_FILE, F_OK) == 0 ? CRL_FILE
							  : NULL,
		.no_verify = config->tls_no_verify_certificate,
		.no_sanity = config->tls_no_sanity_certificate,
		.allowed_dns = config->tls_allowed_dn_list.n > 0 ? &config->tls_allowed_dn_list : NULL,
	};
}

static int open_server(struct manager *m, sd_event *loop, const struct paths *paths,
	const struct config *config, const char *hostname, struct error *err)
{
	struct server_socket sockets[6];
	struct server_settings settings = {
		.sockets = sockets,
		.group = config->unix_sock_group,
		.max_clients = config->max_clients,
		.max_client_requests = config->max_client_requests,
		.keepalive_interval =
			config->keepalive_interval > 0 ? (unsigned)config->keepalive_interval : 0,
		.keepalive_count = config->keepalive_count,
		.hostname = hostname,
		.uri = paths->socket_ro ? "qemu:///system" : "qemu:///session",
	};
	size_t n = 0;

	sockets[n++] = (struct server_socket){.path = paths->socket};
	if (paths->socket_ro)
		sockets[n++] = (struct server_socket){.path = paths->socket_ro, .read_only = true};
	if (paths->alias_socket) {
		sockets[n++] = (struct server_socket){.path = paths->alias_socket};
		sockets[n++] = (struct server_socket){.path = paths->alias_socket_ro, .read_only = true};
	}
	if (config->drop_in) {
		if (!paths->is_system)
			return error_set(
				err, ERROR_INVALID_ARGUMENT, "drop_in = 1 is for the system's daemon only");
		sockets[n++] = (struct server_socket){.path = "/run/libvirt/libvirt-sock"};
		sockets[n++] =
			(struct server_socket){.path = "/run/libvirt/libvirt-sock-ro", .read_only = true};
	}
	settings.n_sockets = n;
	fill_network(config, &settings.network);
	return server_open(loop, m->registry, &settings, &m->server, err);
}

/*
 * Clients shall meet the VMs as they are, not as they are being found again. But a QEMU that does not answer keeps nobody waiting
 * for long.
 */
static void wait_settled(struct manager *m, sd_event *loop)
{
	uint64_t now = clock_now(), until = now + SETTLE_USEC;

	while (!registry_is_settled(m->registry) && now < until) {
		if (sd_event_run(loop, until - now) < 0 || sd_event_get_state(loop) == SD_EVENT_FINISHED)
			return;
		now = clock_now();
	}
}

static char *get_hostname(void)
{
	char name[HOST_NAME_MAX + 1];

	if (gethostname(name, sizeof(name)) < 0)
		return xstrdup("localhost");
	return xstrdup(name);
}

int manager_open(sd_event *loop, const struct paths *paths, const struct config *config, struct manager **ret,
	struct error *err)
{
	struct manager *m = NEW(struct manager);
	_cleanup_free_ char *hostname = config->hostname ? xstrdup(config->hostname) : get_hostname();

	m->lock_fd = -1;
	if (lock_directories(m, paths, err) < 0 || open_migrations(m, loop, paths, config, err) < 0 ||
		open_registry(m, loop, paths, config, hostname, err) < 0)
		goto fail;
	wait_settled(m, loop);
	if (open_server(m, loop, paths, config, hostname, err) < 0)
		goto fail;
	registry_autostart(m->registry);
	*ret = m;
	return 0;
fail:
	manager_close(m);
	return -1;
}

void manager_close(struct manager *m)
{
	if (!m)
		return;
	server_close(m->server);
	if (m->registry)
		registry_close(m->registry);
	migrations_close(m->migrations);
	close_p(&m->lock_fd);
	free(m);
}
