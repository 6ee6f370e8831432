/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Showing the command line a domain would get (virsh domxml-to-native). */
#include "argv.h"
#include "buf.h"
#include "vm-internal.h"

struct conversion {
	struct registry *registry;
	struct domain *domain;
	registry_text_fn reply;
	void *userdata;
};

/* What a shell needs quoted; QEMU's JSON arguments nearly always do. */
static void quote(struct buf *out, const char *arg)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%";

	if (*arg && arg[strspn(arg, plain)] == '\0') {
		buf_adds(out, arg);
		return;
	}
	buf_adds(out, "'");
	for (; *arg; arg++)
		buf_addf(out, *arg == '\'' ? "'\\''" : "%c", *arg);
	buf_adds(out, "'");
}

static int convert(struct conversion *c, const struct qemu_capabilities *caps, char **ret, struct error *err)
{
	struct domain *d = c->domain;
	_cleanup_free_ int *no_taps = xcalloc(d->nics.n + 1, sizeof(int));
	struct strv argv = {0};
	struct buf out = {0};
	char uuid[UUID_TEXT_MAX];
	_cleanup_free_ char *run = NULL;
	struct argv_context ctx = {.monitor_fd = -1, .vsock_fd = -1, .tap_fds = no_taps, .sandbox = true};

	if (definition_complete(c->registry, d, caps, err) < 0)
		return -1;
	domain_assign_aliases(d);
	for (size_t i = 0; i < d->nics.n; i++)
		no_taps[i] = -1;
	uuid_format(d->uuid, uuid);
	run = xasprintf("%s/vm/%s", c->registry->settings.run_dir, uuid);
	ctx.run_dir = ctx.channel_dir = run;
	ctx.tpm_socket = "tpm.sock";
	if (argv_build(d, caps, &ctx, &argv, err) < 0) {
		strv_fini(&argv);
		return -1;
	}
	for (size_t i = 0; i < argv.n; i++) {
		/* An option and its value on one line. */
		if (i > 0)
			buf_adds(&out, argv.items[i][0] == '-' ? " \\\n" : " ");
		quote(&out, argv.items[i]);
	}
	buf_adds(&out, "\n");
	strv_fini(&argv);
	*ret = buf_take(&out);
	return 0;
}

static void probed(const struct qemu_capabilities *caps, const struct error *err, void *userdata)
{
	struct conversion *c = userdata;
	_cleanup_free_ char *text = NULL;
	struct error failure = ERROR_INIT;

	if (!caps)
		failure = *err;
	else
		convert(c, caps, &text, &failure);
	c->reply(text, text ? NULL : &failure, c->userdata);
	domain_free(c->domain);
	free(c);
}

int registry_xml_to_native(
	struct registry *r, const char *xml, registry_text_fn reply, void *userdata, struct error *err)
{
	_cleanup_domain_ struct domain *d = NULL;
	struct conversion *c;

	if (definition_parse(r, xml, &d, err) < 0)
		return -1;
	c = NEW(struct conversion);
	c->registry = r;
	c->domain = TAKE_PTR(d);
	c->reply = reply;
	c->userdata = userdata;
	capability_cache_find(r->capabilities, c->domain->emulator, probed, c);
	return 0;
}
