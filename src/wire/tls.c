/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sessions of TLS:
 *
 *     SHAKING --- hands shaken, the other side is who it should be ---> CONFIRMING --- '\1' sent, or come ---> (a transport)
 *
 * A server that does not accept a client's certificate says so by an alert, which the client reads in place of the '\1'.
 */
#include "tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "alloc.h"
#include "file.h"
#include "list.h"
#include "tls-internal.h"

struct session_transport {
	struct transport transport;
	struct tls_context *context;
	gnutls_session_t session;
	bool up;      /* goodbye is to be said */
	bool pending; /* a record that was taken, and of which a part is still to be sent */
};

struct tls_handshake {
	struct session_transport *st;
	char *host, *dn;
	bool confirming;
	sd_event_source *io, *timer;
	tls_done_fn done;
	void *userdata;
};

/* ---- as a transport ---- */

static bool is_again(ssize_t r)
{
	return r == GNUTLS_E_AGAIN || r == GNUTLS_E_INTERRUPTED;
}

static int explain(gnutls_session_t session, ssize_t r, struct error *err)
{
	if (r == GNUTLS_E_FATAL_ALERT_RECEIVED)
		return error_set(err, ERROR_OPERATION_FAILED, "TLS: it says \"%s\"",
			gnutls_library.alert_get_name(gnutls_library.alert_get(session)));
	return error_set(err, ERROR_OPERATION_FAILED, "TLS: %s", gnutls_library.strerror((int)r));
}

static ssize_t tls_receive(struct transport *t, void *data, size_t len, struct error *err)
{
	struct session_transport *st = container_of(t, struct session_transport, transport);
	size_t got = 0;
	ssize_t r;

	/* all of it: what GnuTLS has decrypted already wakes nobody */
	while (got < len) {
		r = gnutls_library.record_recv(st->session, (char *)data + got, len - got);
		if (r > 0) {
			got += (size_t)r;
			continue;
		}
		if (got > 0)
			break;
		if (is_again(r))
			return TRANSPORT_AGAIN;
		if (r == 0 || r == GNUTLS_E_PREMATURE_TERMINATION)
			return 0;
		if (gnutls_library.error_is_fatal((int)r))
			return explain(st->session, r, err);
	}
	return (ssize_t)got;
}

static ssize_t tls_send(struct transport *t, const void *data, size_t len, struct error *err)
{
	struct session_transport *st = container_of(t, struct session_transport, transport);
	ssize_t r = st->pending ? gnutls_library.record_send(st->session, NULL, 0)
				: gnutls_library.record_send(st->session, data, len);

	st->pending = is_again(r);
	if (st->pending)
		return TRANSPORT_AGAIN;
	return r < 0 ? explain(st->session, r, err) : r;
}

static void tls_free(struct transport *t)
{
	struct session_transport *st = container_of(t, struct session_transport, transport);

	if (st->session) {
		if (st->up)
			gnutls_library.bye(st->session, GNUTLS_SHUT_WR);
		gnutls_library.deinit(st->session);
	}
	close(st->transport.fd);
	tls_context_close(st->context);
	free(st);
}

static const struct transport_ops tls_ops = {tls_receive, tls_send, tls_free};

static int open_session(struct session_transport *st, const char *host, struct error *err)
{
	unsigned role = st->context->is_server ? GNUTLS_SERVER : GNUTLS_CLIENT;
	unsigned char address[16];
	int r;

	r = gnutls_library.init(&st->session, role | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL);
	if (r >= 0)
		r = gnutls_library.set_default_priority(st->session);
	if (r >= 0)
		r = gnutls_library.credentials_set(
			st->session, GNUTLS_CRD_CERTIFICATE, st->context->credentials);
	/* an address is no server name (RFC 6066, 3) */
	if (r >= 0 && host && inet_pton(AF_INET, host, address) != 1 &&
		inet_pton(AF_INET6, host, address) != 1)
		r = gnutls_library.server_name_set(st->session, GNUTLS_NAME_DNS, host, strlen(host));
	if (r < 0)
		return tls_error(err, r, "set up TLS");
	/* asked for, not required: that there is none is said by us */
	if (st->context->is_server)
		gnutls_library.certificate_server_set_request(st->session, GNUTLS_CERT_REQUEST);
	gnutls_library.transport_set_int2(st->session, st->transport.fd, st->transport.fd);
	return 0;
}

/* ---- until it is one ---- */

static void finish(struct tls_handshake *h, const struct error *err)
{
	struct transport *t = NULL;

	h->io = sd_event_source_disable_unref(h->io);
	h->timer = sd_event_source_disable_unref(h->timer);
	if (!err) {
		h->st->up = true;
		t = &TAKE_PTR(h->st)->transport;
	}
	h->done(t, h->dn, err, h->userdata);
}

/* 1 when it is through, TRANSPORT_AGAIN, or -1. */
static int shake(struct tls_handshake *h, struct error *err)
{
	gnutls_session_t session = h->st->session;
	int r = gnutls_library.handshake(session);

	if (is_again(r) || (r < 0 && !gnutls_library.error_is_fatal(r)))
		return TRANSPORT_AGAIN;
	if (r < 0) {
		explain(session, r, err);
		gnutls_library.alert_send_appropriate(session, r);
		return -1;
	}
	if (tls_context_judge(h->st->context, session, h->host, &h->dn, err) < 0) {
		gnutls_library.alert_send(session, GNUTLS_AL_FATAL, GNUTLS_A_BAD_CERTIFICATE);
		error_prefix(err, "TLS");
		return -1;
	}
	return 1;
}

static int confirm(struct tls_handshake *h, struct error *err)
{
	struct transport *t = &h->st->transport;
	char byte = '\1';
	ssize_t n = h->st->context->is_server ? tls_send(t, &byte, 1, err) : tls_receive(t, &byte, 1, err);

	if (n == TRANSPORT_AGAIN || n < 0)
		return (int)n;
	if (n == 0)
		return error_set(err, ERROR_OPERATION_FAILED, "TLS: it does not accept our certificate");
	if (byte != '\1')
		return error_set(err, ERROR_RPC, "TLS: it does not speak libvirt's protocol");
	return 1;
}

static int on_io(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	struct tls_handshake *h = userdata;
	struct error err = ERROR_INIT;
	int r = 1;

	if (!h->confirming) {
		r = shake(h, &err);
		h->confirming = r > 0;
	}
	if (r > 0)
		r = confirm(h, &err);
	if (r == TRANSPORT_AGAIN)
		sd_event_source_set_io_events(
			s, gnutls_library.record_get_direction(h->st->session) ? EPOLLOUT : EPOLLIN);
	else
		finish(h, r < 0 ? &err : NULL);
	return 0;
}

static int on_late(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct error err = ERROR_INIT;

	error_set(&err, ERROR_TIMEOUT, "TLS: no handshake in %llu s", TLS_HANDSHAKE_USEC / 1000000);
	finish(userdata, &err);
	return 0;
}

int tls_handshake_start(sd_event *loop, struct tls_context *c, int fd, const char *host, tls_done_fn done,
	void *userdata, struct tls_handshake **ret, struct error *err)
{
	struct tls_handshake *h = NEW(struct tls_handshake);
	int r;

	*h = (struct tls_handshake){.st = NEW(struct session_transport),
		.host = xstrdup(host),
		.done = done,
		.userdata = userdata};
	h->st->transport = (struct transport){&tls_ops, fd};
	h->st->context = c;
	c->refs++;
	if (open_session(h->st, host, err) < 0)
		goto fail;
	r = fd_set_nonblock(fd) < 0 ? -errno : sd_event_add_io(loop, &h->io, fd, EPOLLOUT, on_io, h);
	if (r >= 0)
		r = sd_event_add_time_relative(
			loop, &h->timer, CLOCK_MONOTONIC, TLS_HANDSHAKE_USEC, 0, on_late, h);
	if (r < 0) {
		error_errno(err, -r, "set up TLS");
		goto fail;
	}
	*ret = h;
	return 0;
fail:
	tls_handshake_free(h);
	return -1;
}

void tls_handshake_free(struct tls_handshake *h)
{
	if (!h)
		return;
	sd_event_source_disable_unref(h->io);
	sd_event_source_disable_unref(h->timer);
	if (h->st)
		tls_free(&h->st->transport);
	free(h->host);
	free(h->dn);
	free(h);
}
