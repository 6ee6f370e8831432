/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A port of the range that the source may try to reach. Only this one: at any other a QEMU may be listening for a guest, which would take the attempt for
 * its source. It is given back as soon as somebody has come, so that the migration that follows finds it free.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "alloc.h"
#include "check.h"
#include "clock.h"
#include "migrations.h"
#include "ports.h"

#define WAIT_USEC (10 * USEC_PER_SEC)

struct door {
	struct migrations *m;
	int fd;
	uint16_t port;
	sd_event_source *knock, *timer;
};

static void free_door(struct door *d)
{
	sd_event_source_disable_unref(d->knock);
	sd_event_source_disable_unref(d->timer);
	close_p(&d->fd);
	ports_give(d->m, d->port);
	free(d);
}

static void shut(struct door *d)
{
	struct migrations *m = d->m;

	for (size_t i = 0; i < m->doors.n; i++) {
		if (m->doors.items[i] != d)
			continue;
		VEC_REMOVE(&m->doors, i);
		break;
	}
	free_door(d);
}

void check_shut_all(struct migrations *m)
{
	VEC_FOREACH (d, &m->doors)
		free_door(d);
	VEC_FREE(&m->doors);
}

static int on_knock(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	/* accepted, so that it ends in peace: closing the door on it would be a reset */
	int visitor = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

	if (visitor >= 0)
		close(visitor);
	shut(userdata);
	return 0;
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
	shut(userdata);
	return 0;
}

int check_listen(struct migrations *m, uint16_t *ret_port, struct error *err)
{
	struct door *d = NEW(struct door);
	int r;

	*d = (struct door){.m = m, .fd = -1};
	if (migrations_listen(m, 0, &d->fd, &d->port, err) < 0) {
		free_door(d);
		return -1;
	}
	r = sd_event_add_io(m->loop, &d->knock, d->fd, EPOLLIN, on_knock, d);
	if (r >= 0) /* before the call that may follow it */
		r = sd_event_source_set_priority(d->knock, SD_EVENT_PRIORITY_IMPORTANT);
	if (r >= 0)
		r = sd_event_add_time_relative(
			m->loop, &d->timer, CLOCK_MONOTONIC, WAIT_USEC, 0, on_timeout, d);
	if (r < 0) {
		error_errno(err, -r, "listen on port %u", d->port);
		free_door(d);
		return -1;
	}
	*ret_port = d->port;
	VEC_ADD(&m->doors, d);
	return 0;
}
