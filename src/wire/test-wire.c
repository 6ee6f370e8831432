/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Frames, coders and connections, with input no honest peer would send. */
#include <errno.h>
#include <malloc.h>
#include <sys/socket.h>

#include "alloc.h"
#include "clock.h"
#include "connection.h"
#include "tap.h"

static void test_round_trip(void)
{
	struct rpc_header header = {.prog = RPC_PROGRAM_REMOTE, .vers = 1, .proc = 23, .serial = 7}, got;
	rpc_domain dom = {.name = (char *)"guest7", .uuid = "0123456789abcde", .id = 3}, back = {0};
	struct buf b = {0};
	size_t length = 0;

	ok(frame_encode(&b, &header, (xdrproc_t)xdr_rpc_domain, &dom, NULL) == 0, "a frame is encoded");
	is_int(b.len, 28 + 12 + 16 + 4, "its size");
	is_int(frame_get_length(b.data, 3, RPC_FRAME_MAX, &length, NULL), 0,
		"three bytes do not tell the length");
	is_int(frame_get_length(b.data, 4, RPC_FRAME_MAX, &length, NULL), 1, "four do");
	is_int(length, b.len, "and it is right");
	frame_decode_header(b.data, &got);
	ok(memcmp(&got, &header, sizeof(got)) == 0, "the header survives");
	ok(payload_decode(b.data + 28, b.len - 28, (xdrproc_t)xdr_rpc_domain, &back, NULL) == 0,
		"the payload is decoded");
	is_str(back.name, "guest7", "name");
	is_int(back.id, 3, "id");
	ok(memcmp(back.uuid, dom.uuid, 16) == 0, "uuid");
	payload_free((xdrproc_t)xdr_rpc_domain, &back);

	for (size_t cut = 0; cut < b.len - 28; cut++) {
		rpc_domain part = {0};

		if (payload_decode(b.data + 28, cut, (xdrproc_t)xdr_rpc_domain, &part, NULL) == 0) {
			ok(false, "a payload cut short is refused");
			break;
		}
	}
	buf_add(&b, "\0\0\0\0", 4);
	back = (rpc_domain){0};
	ok(payload_decode(b.data + 28, b.len - 28, (xdrproc_t)xdr_rpc_domain, &back, NULL) == -1,
		"bytes left over are refused");
	ok(back.name == NULL, "and nothing stays allocated");
	buf_fini(&b);
}

static void test_lengths(void)
{
	static const uint8_t huge[] = {0xff, 0xff, 0xff, 0xff}, zero[4], small[] = {0, 0, 0, 27};
	struct error err = ERROR_INIT;
	uint8_t most[4];
	size_t length;

	ok(frame_get_length(huge, 4, RPC_FRAME_MAX, &length, &err) == -1, "a frame of 4 GiB is refused");
	is_int(err.code, ERROR_RPC, "as an error of the protocol");
	ok(frame_get_length(zero, 4, RPC_FRAME_MAX, &length, NULL) == -1, "a frame of no bytes is refused");
	ok(frame_get_length(small, 4, RPC_FRAME_MAX, &length, NULL) == -1,
		"a frame shorter than its header is refused");
	put_be32(most, RPC_FRAME_MAX);
	ok(frame_get_length(most, 4, RPC_FRAME_MAX, &length, NULL) == 1, "the longest frame is allowed");
	put_be32(most, RPC_FRAME_MAX + 1);
	ok(frame_get_length(most, 4, RPC_FRAME_MAX, &length, NULL) == -1, "one byte more is not");
}

static void test_strings(void)
{
	size_t len = RPC_STRING_MAX + 4;
	_cleanup_free_ char *data = xcalloc(1, len + 8), *text = NULL;
	rpc_string s = NULL;
	struct buf b = {0};

	memset(data + 4, 'x', len);
	put_be32(data, RPC_STRING_MAX);
	ok(payload_decode(data, 4 + RPC_STRING_MAX, (xdrproc_t)xdr_rpc_string, &s, NULL) == 0,
		"a string of 4 MiB is taken");
	payload_free((xdrproc_t)xdr_rpc_string, &s);
	s = NULL;
	put_be32(data, RPC_STRING_MAX + 1);
	memset(data + 4 + RPC_STRING_MAX + 1, 0, 3);
	ok(payload_decode(data, 4 + RPC_STRING_MAX + 4, (xdrproc_t)xdr_rpc_string, &s, NULL) == -1,
		"4 MiB + 1 is refused");
	ok(s == NULL, "and not allocated");
	ok(payload_decode("\0\0\0\3a\0b\0", 8, (xdrproc_t)xdr_rpc_string, &s, NULL) == -1,
		"a NUL inside a string is refused");
	text = xcalloc(1, RPC_STRING_MAX + 2);
	memset(text, 'y', RPC_STRING_MAX + 1);
	ok(frame_encode(&b, &(struct rpc_header){0}, (xdrproc_t)xdr_rpc_string, &text, NULL) == -1,
		"nor sent");
	is_int(b.len, 0, "and nothing of it stays in the buffer");
	s = NULL;
	ok(frame_encode(&b, &(struct rpc_header){0}, (xdrproc_t)xdr_rpc_string, &s, NULL) == -1,
		"a missing string is not sent");
	buf_fini(&b);
}

/* What a decoder allocates for a promise that the frame does not keep. */
static size_t allocated(xdrproc_t coder, const void *data, size_t len)
{
	struct rpc_all_domain_stats_args value = {0};
	size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
	XDR xdrs;
	size_t after;

	xdrmem_create(&xdrs, (char *)data, (u_int)len, XDR_DECODE);
	if (coder_run(coder, &xdrs, &value))
		return SIZE_MAX;
	after = mallinfo2().uordblks + mallinfo2().hblkhd;
	xdr_free(coder, &value);
	return after - before;
}

static void test_promises(void)
{
	uint8_t data[8] = {0};

	put_be32(data, 16384);
	ok(allocated((xdrproc_t)xdr_rpc_all_domain_stats_args, data, sizeof(data)) == 0,
		"16384 domains in 8 bytes cost nothing");
	put_be32(data, RPC_STRING_MAX);
	ok(allocated((xdrproc_t)xdr_rpc_string, data, sizeof(data)) == 0, "nor do 4 MiB of string");
	put_be32(data, RPC_CPUMAPS_MAX);
	ok(allocated((xdrproc_t)xdr_rpc_pin_info_ret, data, sizeof(data)) == 0, "nor 8 MiB of bytes");
	put_be32(data, UINT32_MAX);
	ok(allocated((xdrproc_t)xdr_rpc_all_domain_stats_args, data, sizeof(data)) == 0,
		"nor four thousand million domains");
}

struct peer {
	sd_event *loop;
	struct connection *c;
	int fd; /* the other end */
	unsigned frames, drained, closed;
	bool close_in_frame, hold_in_frame;
	struct rpc_header last;
	size_t last_len;
	enum error_code why;
};

static void on_frame(struct connection *c, const struct rpc_header *header, const uint8_t *payload,
	size_t len, void *userdata)
{
	struct peer *p = userdata;

	p->frames++;
	p->last = *header;
	p->last_len = len;
	if (p->hold_in_frame)
		connection_hold(c, true);
	if (p->close_in_frame) {
		connection_close(c);
		p->c = NULL;
	}
}

static void on_drained(struct connection *c, void *userdata)
{
	((struct peer *)userdata)->drained++;
}

static void on_closed(struct connection *c, const struct error *why, void *userdata)
{
	struct peer *p = userdata;

	p->closed++;
	p->why = why ? why->code : ERROR_NONE;
	connection_close(c);
	p->c = NULL;
}

static const struct connection_ops ops = {on_frame, on_drained, on_closed};

static void peer_init(struct peer *p)
{
	int fds[2];

	*p = (struct peer){0};
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0 || sd_event_new(&p->loop) < 0 ||
		connection_open(p->loop, fds[0], &ops, p, &p->c, NULL) < 0)
		abort();
	p->fd = fds[1];
}

static void peer_fini(struct peer *p)
{
	connection_close(p->c);
	close(p->fd);
	sd_event_unref(p->loop);
}

static void peer_run(struct peer *p)
{
	while (sd_event_run(p->loop, 0) > 0)
		;
}

static void peer_write(struct peer *p, const void *data, size_t len)
{
	size_t done = 0;
	ssize_t n;

	while (done < len) {
		n = send(p->fd, (const char *)data + done, len - done, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0)
			done += (size_t)n;
		else if (errno == EAGAIN)
			peer_run(p);
		else
			break;
	}
	peer_run(p);
}

static void test_connection(void)
{
	struct rpc_header header = {.prog = 1, .proc = 2};
	_cleanup_free_ char *big = xcalloc(1, 3 << 20);
	struct buf b = {0};
	struct peer p;

	peer_init(&p);
	frame_encode_raw(&b, &header, "abcd", 4);
	for (size_t i = 0; i < b.len; i++)
		peer_write(&p, b.data + i, 1);
	ok(p.frames == 1 && p.last_len == 4 && p.last.proc == 2, "a frame that comes byte by byte arrives");
	for (unsigned i = 0; i < 99; i++)
		frame_encode_raw(&b, &header, "abcd", 4);
	peer_write(&p, b.data, b.len);
	is_int(p.frames, 101, "a hundred in one write arrive");
	buf_clear(&b);
	frame_encode_raw(&b, &header, big, 3 << 20);
	peer_write(&p, b.data, b.len);
	ok(p.frames == 102 && p.last_len == 3 << 20, "a frame of 3 MiB arrives");

	p.hold_in_frame = true;
	buf_clear(&b);
	for (unsigned i = 0; i < 3; i++)
		frame_encode_raw(&b, &header, "abcd", 4);
	peer_write(&p, b.data, b.len);
	is_int(p.frames, 103, "while held nothing more is delivered");
	p.hold_in_frame = false;
	connection_hold(p.c, false);
	peer_run(&p);
	is_int(p.frames, 105, "afterwards what waited is");

	connection_skip(p.c, 5);
	peer_write(&p, "12345", 5);
	peer_write(&p, b.data, b.len);
	is_int(p.frames, 108, "skipped bytes are not taken for a frame");

	p.close_in_frame = true;
	peer_write(&p, b.data, b.len);
	ok(p.frames == 109 && p.c == NULL && p.closed == 0, "closing from within a frame delivers no more");
	buf_fini(&b);
	peer_fini(&p);
}

static void test_hostile(void)
{
	static const uint8_t huge[] = {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0};
	uint8_t half[32] = {0};
	struct peer p;
	size_t before, after;

	peer_init(&p);
	peer_write(&p, huge, sizeof(huge));
	ok(p.closed == 1 && p.why == ERROR_RPC, "a frame of 4 GiB closes the connection");
	peer_fini(&p);

	peer_init(&p);
	before = mallinfo2().uordblks + mallinfo2().hblkhd;
	put_be32(half, 32 << 20);
	peer_write(&p, half, sizeof(half));
	after = mallinfo2().uordblks + mallinfo2().hblkhd;
	ok(p.closed == 0 && after - before < 4096,
		"half a frame of 32 MiB costs what arrived, not what it promises");
	close(p.fd);
	peer_run(&p);
	ok(p.closed == 1 && p.why == ERROR_NONE, "and is dropped when its sender goes away");
	p.fd = -1;
	peer_fini(&p);

	peer_init(&p);
	connection_set_frame_max(p.c, 1000);
	put_be32(half, 1001);
	peer_write(&p, half, 4);
	ok(p.closed == 1, "a limit of its own is kept");
	peer_fini(&p);
}

static void test_output(void)
{
	struct rpc_header header = {.prog = 1};
	_cleanup_free_ char *chunk = xcalloc(1, 100000);
	size_t total = 0;
	struct peer p;
	ssize_t n;

	peer_init(&p);
	for (unsigned i = 0; i < 50; i++)
		connection_send_raw(p.c, &header, chunk, 100000);
	ok(connection_get_queued(p.c) > CONNECTION_OUTPUT_HIGH, "what the socket does not take is queued");
	do {
		peer_run(&p);
		n = recv(p.fd, chunk, 100000, MSG_DONTWAIT);
		total += n > 0 ? (size_t)n : 0;
	} while (n > 0);
	is_int(total, 50 * 100028, "and all of it is sent in the end");
	ok(p.drained == 1 && connection_get_queued(p.c) == 0, "then the owner is told, once");
	connection_send_raw(p.c, &header, chunk, 10);
	connection_send_raw(p.c, &header, chunk, 10);
	is_int(recv(p.fd, chunk, 1000, MSG_DONTWAIT), 76, "small frames go out at once");
	close(p.fd);
	p.fd = -1;
	connection_send_raw(p.c, &header, chunk, 10);
	ok(p.closed == 0, "a dead peer is not reported from within a send");
	peer_run(&p);
	is_int(p.closed, 1, "but from the loop");
	peer_fini(&p);
}

int main(void)
{
	test_round_trip();
	test_lengths();
	test_strings();
	test_promises();
	test_connection();
	test_hostile();
	test_output();
	return done_testing();
}
