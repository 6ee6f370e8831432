/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* godwitd: options, configuration, signals, and the loop. */
#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>

#include "log.h"
#include "manager.h"
#include "strv.h"
#include "trim.h"

/* sysexits.h: wrong use, and everything that keeps the daemon from serving. */
enum { EXIT_USAGE = 64, EXIT_CONFIG = 78 };

#define DESCRIPTORS_MAX 65536

struct options {
	const char *root, *config;
	bool session;
	VEC(const char *) set; /* key, value, ... from the command line */
};

static const char usage[] =
	"Usage: godwitd [OPTION]...\n"
	"Keep the running state of virtual machines; serve libvirt's protocol.\n"
	"\n"
	"  --root DIR         keep sockets, state, logs and configuration under DIR\n"
	"  --session          serve this user: XDG directories (the default without root)\n"
	"  --config FILE      read FILE instead of etc/godwit.conf\n"
	"  --hostname NAME    call this host NAME\n"
	"  --host-uuid UUID   identify this host by UUID\n"
	"  --debug            log everything\n"
	"  --help, --version\n"
	"\n"
	"See godwitd(8) and godwit.conf(5).\n";

static void set(struct options *o, const char *key, const char *value)
{
	VEC_ADD(&o->set, key);
	VEC_ADD(&o->set, value);
}

/* 0: go on; otherwise exit with *ret_status. */
static int parse_options(int argc, char **argv, struct options *o, int *ret_status)
{
	enum {
		OPTION_ROOT = 256,
		OPTION_SESSION,
		OPTION_CONFIG,
		OPTION_HOSTNAME,
		OPTION_UUID,
		OPTION_DEBUG,
		OPTION_HELP,
		OPTION_VERSION
	};
	static const struct option longs[] = {
		{"root", required_argument, NULL, OPTION_ROOT},
		{"session", no_argument, NULL, OPTION_SESSION},
		{"config", required_argument, NULL, OPTION_CONFIG},
		{"hostname", required_argument, NULL, OPTION_HOSTNAME},
		{"host-uuid", required_argument, NULL, OPTION_UUID},
		{"debug", no_argument, NULL, OPTION_DEBUG},
		{"help", no_argument, NULL, OPTION_HELP},
		{"version", no_argument, NULL, OPTION_VERSION},
		{0},
	};
	int c;

	*ret_status = EXIT_SUCCESS;
	while ((c = getopt_long(argc, argv, "", longs, NULL)) >= 0) {
		switch (c) {
		case OPTION_ROOT:
			o->root = optarg;
			break;
		case OPTION_SESSION:
			o->session = true;
			break;
		case OPTION_CONFIG:
			o->config = optarg;
			break;
		case OPTION_HOSTNAME:
			set(o, "hostname", optarg);
			break;
		case OPTION_UUID:
			set(o, "host_uuid", optarg);
			break;
		case OPTION_DEBUG:
			set(o, "log_level", "1");
			break;
		case OPTION_HELP:
			fputs(usage, stdout);
			return -1;
		case OPTION_VERSION:
			puts("godwitd " GODWIT_VERSION);
			return -1;
		default:
			*ret_status = EXIT_USAGE;
			return -1;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "godwitd: unexpected argument '%s'\n", argv[optind]);
		*ret_status = EXIT_USAGE;
		return -1;
	}
	return 0;
}

static int configure(
	const struct options *o, const struct paths *paths, struct config *config, struct error *err)
{
	static const enum log_level levels[] = {
		LOG_LEVEL_INFO, LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARNING, LOG_LEVEL_ERROR};

	if (config_read(config, o->config ? o->config : paths->config, o->config, err) < 0)
		return -1;
	for (size_t i = 0; i < o->set.n; i += 2) {
		bool quoted = !streq(o->set.items[i], "log_level");

		if (config_set(config, o->set.items[i], o->set.items[i + 1], quoted, "command line", err) < 0)
			return -1;
	}
	if (config_check(config, err) < 0)
		return -1;
	log_set_level(levels[config->log_level]);
	return 0;
}

/* A descriptor for each client and four for each VM; the default of 1024 is select(2)'s, which nobody here uses. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max < DESCRIPTORS_MAX ? limit.rlim_max : DESCRIPTORS_MAX;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int run(const struct options *o, struct error *err)
{
	_cleanup_(sd_event_unrefp) sd_event *loop = NULL;
	struct config config;
	struct paths paths;
	struct manager *manager = NULL;
	int status = EXIT_CONFIG;
	sigset_t signals;

	config_init(&config);
	if (paths_init(&paths, o->root, o->session, err) < 0 || configure(o, &paths, &config, err) < 0)
		goto out;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	if (sd_event_default(&loop) < 0 || sd_event_add_signal(loop, NULL, SIGTERM, NULL, NULL) < 0 ||
		sd_event_add_signal(loop, NULL, SIGINT, NULL, NULL) < 0) {
		error_set(err, ERROR_INTERNAL, "cannot set up the event loop");
		goto out;
	}
	status = EXIT_FAILURE;
	if (manager_open(loop, &paths, &config, &manager, err) < 0)
		goto out;
	log_info("serving %s", paths.socket);
	sd_notify(0, "READY=1");
	sd_event_set_watchdog(loop, true);
	trim_memory();
	if (sd_event_loop(loop) >= 0)
		status = EXIT_SUCCESS;
	sd_notify(0, "STOPPING=1");
out:
	manager_close(manager);
	config_fini(&config);
	paths_fini(&paths);
	return status;
}

int main(int argc, char **argv)
{
	struct error err = ERROR_INIT;
	struct options options = {0};
	int status;

	raise_descriptor_limit();
	/* One thread, many small objects: give back what is free, keep one arena. */
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_TRIM_THRESHOLD, 128 * 1024);
	if (parse_options(argc, argv, &options, &status) == 0) {
		status = run(&options, &err);
		if (err.code != ERROR_NONE)
			log_error("%s", err.message);
	}
	VEC_FREE(&options.set);
	return status;
}
