/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What runs on the other host is a line of shell, since it is not known what is there: libvirt's helper, which knows where its daemons listen, or one of the
 * programs that connect to a UNIX socket. Whatever shell the user has over there gets one word for sh.
 */
#include "peer-ssh.h"

#include <string.h>

#include "buf.h"

#define SSH_PROGRAM "/usr/bin/ssh"

static void add_quoted(struct buf *b, const char *s)
{
	buf_adds(b, "'");
	for (; *s; s++) {
		if (*s == '\'')
			buf_adds(b, "'\\''");
		else
			buf_add(b, s, 1);
	}
	buf_adds(b, "'");
}

/* Where a daemon listens when nobody says it; the helper knows better. */
static const char *usual_socket(const struct peer_uri *uri)
{
	return startswith(uri->name, "godwit") ? "/run/godwit/godwit-sock" : "/run/libvirt/libvirt-sock";
}

static void add_script(struct buf *b, const struct peer_uri *uri)
{
	buf_adds(b, "s=");
	add_quoted(b, uri->socket ? uri->socket : usual_socket(uri));
	buf_adds(b, "; ");
	if (!uri->socket) {
		buf_adds(b, "command -v virt-ssh-helper >/dev/null && exec virt-ssh-helper ");
		add_quoted(b, uri->name);
		buf_adds(b, "; ");
	}
	/* netcats that have -q would stay when we have gone */
	buf_adds(b,
		"if command -v nc >/dev/null; then "
		"if nc -h 2>&1 | grep -q -e \" -q\"; then exec nc -q 0 -U \"$s\"; fi; exec nc -U \"$s\"; fi; "
		"command -v socat >/dev/null && exec socat STDIO UNIX-CONNECT:\"$s\"; "
		"echo \"neither nc nor socat is there\" >&2; exit 127");
}

void peer_ssh_command(const struct peer_uri *uri, struct strv *ret)
{
	_cleanup_(buf_fini) struct buf script = {0}, command = {0};

	strv_add(ret, uri->command ? uri->command : SSH_PROGRAM);
	strv_add(ret, "-T");
	strv_add(ret, "-e");
	strv_add(ret, "none");
	strv_add(ret, "-o");
	strv_add(ret, "BatchMode=yes");
	if (uri->no_verify) {
		strv_add(ret, "-o");
		strv_add(ret, "StrictHostKeyChecking=no");
	}
	if (uri->port) {
		strv_add(ret, "-p");
		strv_addf(ret, "%u", uri->port);
	}
	if (uri->user) {
		strv_add(ret, "-l");
		strv_add(ret, uri->user);
	}
	if (uri->keyfile) {
		strv_add(ret, "-i");
		strv_add(ret, uri->keyfile);
	}
	strv_add(ret, "--");
	strv_add(ret, uri->host);
	add_script(&script, uri);
	buf_adds(&command, "sh -c ");
	add_quoted(&command, script.data);
	strv_add(ret, command.data);
}
