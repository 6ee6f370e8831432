/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tests of URIs of other daemons: each part, each default, and how each mistake is named. */
#include "peer-uri.h"

#include <string.h>

#include "cleanup.h"
#include "tap.h"

static void test_good(void)
{
	static const struct {
		const char *text;
		struct peer_uri want;
	} cases[] = {
		{"qemu:///system", {.transport = PEER_UNIX, .name = (char *)"qemu:///system"}},
		{"godwit:///session",
			{.transport = PEER_UNIX, .name = (char *)"godwit:///session", .is_session = true}},
		{"qemu+unix:///system?socket=/run/a%20b", {.transport = PEER_UNIX,
								  .name = (char *)"qemu:///system",
								  .socket = (char *)"/run/a b"}},
		{"qemu+tcp://host2/system", {.transport = PEER_TCP,
						    .name = (char *)"qemu:///system",
						    .host = (char *)"host2",
						    .port = 16509}},
		{"godwit+tcp://[fe80::1]:7/system", {.transport = PEER_TCP,
							    .name = (char *)"godwit:///system",
							    .host = (char *)"fe80::1",
							    .port = 7}},
		{"qemu://host2/system", {.transport = PEER_TLS,
						.name = (char *)"qemu:///system",
						.host = (char *)"host2",
						.port = 16514}},
		{"qemu+tls://10.0.0.1:99/system?pkipath=/etc/pki&no_verify=1",
			{.transport = PEER_TLS,
				.name = (char *)"qemu:///system",
				.host = (char *)"10.0.0.1",
				.port = 99,
				.pkipath = (char *)"/etc/pki",
				.no_verify = true}},
		{"qemu+ssh://me@host2:2222/session?socket=/s&keyfile=id&command=/bin/ssh&name=qemu:///x",
			{.transport = PEER_SSH,
				.name = (char *)"qemu:///x",
				.user = (char *)"me",
				.host = (char *)"host2",
				.port = 2222,
				.socket = (char *)"/s",
				.keyfile = (char *)"id",
				.command = (char *)"/bin/ssh",
				.is_session = true}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct peer_uri *w = &cases[i].want;
		struct error err = ERROR_INIT;
		struct peer_uri u = {0};

		if (!ok(peer_uri_parse(cases[i].text, &u, &err) == 0, cases[i].text)) {
			printf("# %s\n", err.message);
			continue;
		}
		is_int(u.transport, w->transport, "transport");
		is_str(u.name, w->name, "name");
		is_str(u.user, w->user, "user");
		is_str(u.host, w->host, "host");
		is_int(u.port, w->port, "port");
		is_str(u.socket, w->socket, "socket");
		is_str(u.pkipath, w->pkipath, "pkipath");
		is_str(u.keyfile, w->keyfile, "keyfile");
		is_str(u.command, w->command, "command");
		ok(u.no_verify == w->no_verify && u.is_session == w->is_session, "switches");
		peer_uri_fini(&u);
	}
}

static void test_bad(void)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"host2", "expected SCHEME[+TRANSPORT]://[HOST]/system"},
		{"xen:///system", "must begin with qemu or godwit"},
		{"qemu+libssh2://h/system", "the transports are unix, tcp, tls and ssh"},
		{"qemu+tcp:///system", "it names no host"},
		{"qemu+unix://h/system", "none can be named"},
		{"qemu+tcp://me@h/system", "only ssh knows users"},
		{"qemu+tcp://h:0/system", "the port is not a number from 1 to 65535"},
		{"qemu+tcp://h:65536/system", "the port is not a number from 1 to 65535"},
		{"qemu+tcp://h:/system", "the port is not a number from 1 to 65535"},
		{"qemu+tcp://[::1/system", "the address in brackets is wrong"},
		{"qemu+tcp://[::1]7/system", "the address in brackets is wrong"},
		{"qemu+ssh://-oProxyCommand=x/system", "no host or user begins with a dash"},
		{"qemu+ssh://-a@h/system", "no host or user begins with a dash"},
		{"qemu+tcp://h", "its path must be /system or /session"},
		{"qemu+tcp://h/systematic", "its path must be /system or /session"},
		{"qemu+tcp://h/system?colour=red", "there is no parameter 'colour' of tcp"},
		{"qemu+tcp://h/system?pkipath=/x", "there is no parameter 'pkipath' of tcp"},
		{"qemu+unix:///system?socket", "a parameter has no value"},
		{"qemu+unix:///system?socket=", "socket is empty"},
		{"qemu+unix:///system?socket=a", "are absolute paths"},
		{"qemu+unix:///system?socket=/%2", "a % is not followed by two digits"},
		{"qemu+unix:///system?socket=/%00", "a % is not followed by two digits"},
		{"qemu+tls://h/system?no_verify=yes", "no_verify is 0 or 1"},
		{"qemu+tls://h/system#x", "it has a fragment (#)"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = ERROR_INIT;
		struct peer_uri u;

		if (!ok(peer_uri_parse(cases[i].text, &u, &err) < 0 && strstr(err.message, cases[i].message),
			    cases[i].text))
			printf("# %s\n", err.message);
	}
}

int main(void)
{
	test_good();
	test_bad();
	return done_testing();
}
