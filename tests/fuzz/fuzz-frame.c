/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bytes from a client, as they come from its socket, against the whole server with VMs that are not real. */
#include <assert.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fake-vm.h"
#include "log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void send_bytes(struct client *c, const uint8_t *data, size_t size)
{
	size_t done = 0, idle = 0;
	ssize_t n;

	while (done < size && idle < 3) {
		n = send(c->fd, data + done, size - done, MSG_DONTWAIT | MSG_NOSIGNAL);
		done += n > 0 ? (size_t)n : 0;
		idle = n > 0 ? 0 : idle + 1;
		client_run(c->loop);
	}
}

/* The first byte says how the client stands to the server: bit 0 already open, bit 1 read-only. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct server_settings settings = SERVER_SETTINGS_DEFAULT;
	struct registry *registry;
	struct server *server;
	sd_event *loop;
	struct client c, honest;

	if (size == 0)
		return 0;
	log_set_level(LOG_LEVEL_ERROR);
	if (sd_event_new(&loop) < 0)
		abort();
	registry = fake_registry_new(loop);
	fake_vm_add(registry, "guest", VM_RUNNING);
	fake_vm_add(registry, "other", VM_OFF);
	if (server_open(loop, registry, &settings, &server, NULL) < 0)
		abort();
	c = data[0] & 1 ? client_open(loop, server, data[0] & 2) : client_connect(loop, server, data[0] & 2);
	send_bytes(&c, data + 1, size - 1);
	close(fake_console_take(registry));
	honest = client_open(loop, server, false);
	assert(!honest.gone);
	client_close(&honest);
	client_close(&c);
	assert(server_get_n_clients(server) == 0);
	server_close(server);
	fake_registry_free(registry);
	sd_event_unref(loop);
	return 0;
}
