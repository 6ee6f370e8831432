/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the daemon says to its administrator: journal when systemd runs it, standard error otherwise. */
#pragma once

#include "cleanup.h"

/* Syslog's levels (RFC 5424, 6.2.1). */
enum log_level {
	LOG_LEVEL_ERROR = 3,
	LOG_LEVEL_WARNING = 4,
	LOG_LEVEL_NOTICE = 5,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7,
};

/* Level below which nothing is written. Set once at start-up; LOG_LEVEL_INFO until then. */
void log_set_level(enum log_level level);

/* `vm` and `job` become fields VM= and JOB= of the record; either may be NULL. */
void log_write(enum log_level level, const char *vm, const char *job, const char *fmt, ...) _printf_(4, 5);

#define log_error(...)	 log_write(LOG_LEVEL_ERROR, NULL, NULL, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, NULL, NULL, __VA_ARGS__)
#define log_info(...)	 log_write(LOG_LEVEL_INFO, NULL, NULL, __VA_ARGS__)
#define log_debug(...)	 log_write(LOG_LEVEL_DEBUG, NULL, NULL, __VA_ARGS__)
