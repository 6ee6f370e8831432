/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The end. Nothing may be under way when QEMU reads END: it then shuts the urgent socket down with whatever is in it, and the guest
 * would find zeros there. So the urgent socket is ended first, with EOS, which ends QEMU's thread for it, and that thread is seen to
 * be gone from /proc before END goes out.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

#include "alloc.h"
#include "file.h"
#include "page-serving.h"

#define POLL_US	    500
#define BLIND_POLLS 400 /* 200 ms */

/* QEMU's names for it: since 9.1, and before. */
static const char *const preempt_threads[] = {"mig/dst/preempt", "fault-fast"};

static void sleep_us(uint64_t us)
{
	struct timespec t = {.tv_nsec = (long)us * 1000};

	nanosleep(&t, NULL);
}

/* `task` is "/proc/PID/task/TID". */
static bool is_preempt_thread(const char *task)
{
	_cleanup_free_ char *path = xasprintf("%s/comm", task);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	char name[32] = "";
	ssize_t n = fd >= 0 ? read_full(fd, name, sizeof(name) - 1) : -1;

	if (n <= 0)
		return false;
	name[strcspn(name, "\n")] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(preempt_threads); i++)
		if (strcmp(name, preempt_threads[i]) == 0)
			return true;
	return false;
}

/* The path of that thread of the process, the caller's; NULL: none can be seen, as with a QEMU that does not name its threads. */
static char *find_preempt_thread(pid_t pid)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/task", (int)pid);
	DIR *tasks = opendir(path);
	const struct dirent *entry;
	char *found = NULL;

	while (tasks && !found && (entry = readdir(tasks))) {
		_cleanup_free_ char *task = xasprintf("%s/%s", path, entry->d_name);

		if (entry->d_name[0] != '.' && is_preempt_thread(task))
			found = TAKE_PTR(task);
	}
	if (tasks)
		closedir(tasks);
	return found;
}

static pid_t peer_of(int fd)
{
	struct ucred peer = {0};
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 ? peer.pid : 0;
}

/* Bytes the peer has not taken. */
static int unread_bytes(int fd)
{
	int n = 0;

	return ioctl(fd, SIOCOUTQ, &n) == 0 ? n : 0;
}

/* Where the thread cannot be seen: until the socket has been empty for a while that is long for a page. */
static void wait_blindly(struct page_server *s)
{
	for (unsigned quiet = 0; quiet < BLIND_POLLS && serving_look(s, NULL); quiet++) {
		if (unread_bytes(s->connection.urgent_fd) > 0)
			quiet = 0;
		sleep_us(POLL_US);
	}
}

static int end_urgent(struct page_server *s, struct error *err)
{
	struct serving_connection *c = &s->connection;
	pid_t pid = peer_of(c->main_fd);
	_cleanup_free_ char *thread = pid > 0 ? find_preempt_thread(pid) : NULL;
	uint8_t eos[8];
	int r;

	put_be64(eos, RAM_EOS);
	pthread_mutex_lock(&c->urgent_lock);
	c->urgent_over = true;
	r = stream_write(c->urgent_fd, eos, sizeof(eos), err);
	pthread_mutex_unlock(&c->urgent_lock);
	if (r < 0)
		return -1;
	if (thread)
		while (serving_look(s, NULL) && is_preempt_thread(thread))
			sleep_us(POLL_US);
	else
		wait_blindly(s);
	return serving_look(s, NULL) ? 0 : -1;
}

/* END before the devices are loaded would hang QEMU for ever. */
static int wait_for_devices(struct page_server *s)
{
	bool connected;

	pthread_mutex_lock(&s->lock);
	while (serving_is_connected(s) && !s->devices_loaded)
		pthread_cond_wait(&s->changed, &s->lock);
	connected = serving_is_connected(s);
	pthread_mutex_unlock(&s->lock);
	return connected ? 0 : -1;
}

static int send_end(struct page_server *s, struct error *err)
{
	uint32_t id = page_source_section(s->source);
	uint8_t end[POSTCOPY_SECTION_SIZE + POSTCOPY_SECTION_END_SIZE + 1];

	postcopy_section_encode(end, STREAM_END, id);
	postcopy_section_end_encode(end + POSTCOPY_SECTION_SIZE, id);
	end[sizeof(end) - 1] = STREAM_EOF;
	/* First, so that the answer is expected. */
	serving_move(s, SERVING_ENDING);
	return serving_send(s, &(struct iovec){.iov_base = end, .iov_len = sizeof(end)}, 1, err);
}

int serving_end(struct page_server *s, struct error *err)
{
	if (wait_for_devices(s) < 0 || (s->connection.urgent_fd >= 0 && end_urgent(s, err) < 0) ||
		send_end(s, err) < 0)
		return -1;
	/* What QEMU says now is the answerer's. */
	pthread_mutex_lock(&s->lock);
	while (serving_is_connected(s))
		pthread_cond_wait(&s->changed, &s->lock);
	pthread_mutex_unlock(&s->lock);
	return 0;
}
