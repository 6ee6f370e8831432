/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Many VMs from one image: godwit's own program, for which virsh has no commands. */
#include "alloc.h"
#include "commands.h"
#include "constants.h"
#include "frame.h"
#include "own.h"

enum {
	AT_ONCE =
		8, /* starts in flight: enough to keep every processor busy, and not so many that each of them waits */
	COUNT_MAX = 1000,
};

struct clone {
	char *name; /* owned; NULL: nothing in flight here */
	struct rpc_clone_args args;
	struct rpc_clone_ret ret;
	struct client_call call;
	struct client_request *request;
};

struct batch {
	struct cli *cli;
	const char *name;
	char *image;
	unsigned count, begun, in_flight, succeeded, n_unplugged;
	bool paused, verify;
	struct error *err; /* the first failure */
	bool failed;
	struct clone clones[AT_ONCE];
};

static void keep_failure(struct batch *b, const struct error *why)
{
	if (b->failed)
		cli_print_error(b->cli, why);
	else
		*b->err = *why;
	b->failed = true;
}

static void begin(struct batch *b, struct clone *c)
{
	struct error why = ERROR_INIT;
	unsigned flags = b->paused ? RPC_CLONE_PAUSED : 0;

	b->begun++;
	/* One look at all of the image is enough. */
	if (b->verify && b->begun == 1)
		flags |= RPC_CLONE_VERIFY;
	c->name = b->count == 1 ? xstrdup(b->name) : xasprintf("%s-%u", b->name, b->begun);
	c->args = (struct rpc_clone_args){.image = b->image, .name = c->name, .flags = flags};
	c->ret = (struct rpc_clone_ret){0};
	c->call = (struct client_call){
		.program = RPC_PROGRAM_GODWIT,
		.procedure = RPC_GODWIT_DOMAIN_CLONE,
		CLIENT_ARGS(rpc_clone_args, &c->args),
		CLIENT_RET(rpc_clone_ret, &c->ret),
	};
	if (client_start(b->cli->client, &c->call, &c->request, &why) < 0) {
		keep_failure(b, &why);
		free(c->name);
		c->name = NULL;
		return;
	}
	b->in_flight++;
}

static void finish(struct batch *b, struct clone *c)
{
	struct error why = ERROR_INIT;

	if (client_finish(b->cli->client, c->request, &why) < 0) {
		keep_failure(b, &why);
	} else {
		b->succeeded++;
		b->n_unplugged += c->ret.n_unplugged;
		cli_print_extra(b->cli, "Domain '%s' cloned from %s\n", c->name, b->image);
	}
	payload_free((xdrproc_t)xdr_rpc_clone_ret, &c->ret);
	free(c->name);
	c->name = NULL;
	b->in_flight--;
}

/* While the first one has the image verified nothing else is begun. */
static unsigned room(const struct batch *b)
{
	return b->verify && b->succeeded == 0 ? 1 : AT_ONCE;
}

static int run(struct batch *b, struct error *err)
{
	for (;;) {
		for (unsigned i = 0; i < AT_ONCE; i++)
			if (!b->clones[i].name && !b->failed && b->begun < b->count && b->in_flight < room(b))
				begin(b, &b->clones[i]);
		if (b->in_flight == 0)
			return 0;
		if (client_wait(b->cli->client, NULL, 0, -1, err) < 0)
			return -1;
		for (unsigned i = 0; i < AT_ONCE; i++)
			if (b->clones[i].name && client_is_answered(b->clones[i].request))
				finish(b, &b->clones[i]);
	}
}

static void batch_fini(struct batch *b)
{
	for (unsigned i = 0; i < AT_ONCE; i++) {
		if (!b->clones[i].name)
			continue;
		client_forget(b->cli->client, b->clones[i].request);
		free(b->clones[i].name);
	}
	free(b->image);
}

static void tell(struct batch *b)
{
	if (b->count > 1 && b->failed)
		cli_print_extra(b->cli, "%u of %u clones were made, and stay\n", b->succeeded, b->count);
	if (b->n_unplugged > 0)
		cli_print_extra(b->cli,
			"Network cables are out (%u): each guest still has the MAC address of its original; "
			"see clone in godwit(1)\n",
			b->n_unplugged);
}

int cmd_clone(struct cli *cli, const struct arguments *args, struct error *err)
{
	uint64_t count = arguments_number(args, "count", 1);
	struct batch b = {
		.cli = cli,
		.name = arguments_string(args, "name"),
		.paused = arguments_has(args, "paused"),
		.verify = arguments_has(args, "verify"),
		.count = (unsigned)count,
		.err = err,
	};
	int r;

	if (count < 1 || count > COUNT_MAX)
		return error_set(err, ERROR_INVALID_ARGUMENT, "--count must be between 1 and %d", COUNT_MAX);
	if (cli_connect(cli, err) < 0)
		return -1;
	b.image = cli_absolute_path(arguments_string(args, "image"));
	r = run(&b, err);
	tell(&b);
	batch_fini(&b);
	return r < 0 || b.failed ? -1 : 0;
}
