/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the daemon listens. */
#include "daemon-address.h"
#include "tap.h"

static struct address resolved;

static const char *socket_of(struct address_request request)
{
	struct error err = ERROR_INIT;

	address_fini(&resolved);
	return address_resolve(&request, &resolved, &err) < 0 ? "refused" : resolved.socket;
}

int main(void)
{
	char longest[200];

	memset(longest, 'x', sizeof(longest) - 1);
	longest[0] = '/';
	longest[sizeof(longest) - 1] = '\0';

	is_str(socket_of((struct address_request){.uid = 0}), ADDRESS_SYSTEM_SOCKET, "root's is the host's");
	ok(!resolved.uri && !resolved.session_dir, "which nobody starts on demand");
	is_str(socket_of((struct address_request){.uid = 5, .runtime_dir = "/run/user/5"}),
		"/run/user/5/godwit/godwit-sock", "anybody else's is their own");
	is_str(resolved.session_dir, "/run/user/5/godwit", "and may be started there");
	is_str(socket_of((struct address_request){.uid = 5}), "/run/user/5/godwit/godwit-sock",
		"where logging in puts it");
	is_str(socket_of((struct address_request){.root = "/r", .env_socket = "/s"}), "/r/run/godwit-sock",
		"--root");
	is_str(socket_of((struct address_request){.socket = "/s", .env_root = "/r"}), "/s", "--socket");
	is_str(socket_of((struct address_request){.env_socket = "/s", .env_root = "/r"}), "/s",
		"GODWIT_SOCKET");
	is_str(socket_of((struct address_request){.env_root = "/r"}), "/r/run/godwit-sock", "GODWIT_ROOT");
	is_str(socket_of((struct address_request){.uri = "godwit:///system", .env_root = "/r", .uid = 5}),
		ADDRESS_SYSTEM_SOCKET, "a URI beats the environment");
	is_str(resolved.uri, "godwit:///system", "and is what the daemon hears");
	is_str(socket_of((struct address_request){.uri = "qemu+unix:///system?a=b&socket=/x&c=d"}), "/x",
		"a socket in the URI");
	is_str(resolved.uri, "qemu:///system", "which the daemon does not hear");
	is_str(socket_of((struct address_request){.uri = "godwit:///session", .uid = 5, .runtime_dir = "/u"}),
		"/u/godwit/godwit-sock", "one's own by URI");
	is_str(socket_of((struct address_request){.root = "/r", .read_only = true}), "/r/run/godwit-sock-ro",
		"the read-only socket");
	is_str(socket_of((struct address_request){.read_only = true}), ADDRESS_SYSTEM_SOCKET "-ro",
		"of the host's");
	is_str(socket_of((struct address_request){.uid = 5, .read_only = true}),
		"/run/user/5/godwit/godwit-sock", "one's own has none");
	is_str(socket_of((struct address_request){.socket = "/s", .read_only = true}), "/s",
		"nor has one that was named");

	is_str(socket_of((struct address_request){.uri = "qemu+ssh://host/system"}), "refused",
		"other hosts");
	is_str(socket_of((struct address_request){.uri = "qemu://host/system"}), "refused",
		"other hosts over TLS");
	is_str(socket_of((struct address_request){.uri = "xen:///system"}), "refused", "other hypervisors");
	is_str(socket_of((struct address_request){.uri = "qemu:///nowhere"}), "refused", "other objects");
	is_str(socket_of((struct address_request){.uri = "system"}), "refused", "what is no URI");
	is_str(socket_of((struct address_request){.socket = longest}), "refused",
		"a path too long for a socket");
	address_fini(&resolved);
	return done_testing();
}
