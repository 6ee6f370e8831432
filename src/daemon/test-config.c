/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tests of godwit.conf: what is taken, and how each mistake is named. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "file.h"
#include "strv.h"
#include "tap.h"

static int read_text(const char *text, struct config *c, struct error *err)
{
	char path[] = "/tmp/godwit-test-config-XXXXXX";
	int fd = mkstemp(path), r;

	write_full(fd, text, strlen(text));
	close(fd);
	config_init(c);
	r = config_read(c, path, true, err);
	unlink(path);
	return r;
}

static void test_good(void)
{
	struct error err = ERROR_INIT;
	struct config c;

	ok(read_text("# comment\n\nsave_image_format = \"zstd\"\n  max_clients=7 # seven\nkeepalive_interval "
		     "= -1\n"
		     "host_uuid = \"11111111-2222-3333-4444-555555555555\"\ndrop_in = 1\nrestore_mode = "
		     "\"eager\"\nhostname = \"h#1\"",
		   &c, &err) == 0,
		"a good file is read");
	is_str(err.message, "", "without an error");
	ok(c.save_image_format.given && c.save_image_format.format == IMAGE_FORMAT_ZSTD, "format");
	ok(!c.snapshot_image_format.given, "another one that is not there");
	is_int(c.max_clients, 7, "number before a comment");
	is_int(c.keepalive_interval, -1, "-1 turns off");
	ok(c.has_host_uuid && c.host_uuid[15] == 0x55, "UUID");
	ok(c.drop_in, "switch");
	ok(c.restore_eagerly, "a choice");
	is_str(c.hostname, "h#1", "a string may hold #");
	config_fini(&c);
}

static void test_migration(void)
{
	struct error err = ERROR_INIT;
	struct config c;

	ok(read_text("", &c, &err) == 0 && !c.migration_host && !c.migration_address, "without a word of it");
	ok(c.migration_port_min == 49152 && c.migration_port_max == 49215, "the ports are libvirt's");
	config_fini(&c);
	ok(read_text("migration_host = \"[2001:db8::7]\"\nmigration_address = \"[::]\"\n"
		     "migration_port_min = 1024\nmigration_port_max = 65535\n",
		   &c, &err) == 0,
		"all that is said of migration");
	is_str(c.migration_host, "2001:db8::7", "an address loses its brackets");
	is_str(c.migration_address, "::", "so does the other one");
	ok(c.migration_port_min == 1024 && c.migration_port_max == 65535, "the ends of what can be said");
	config_fini(&c);
}

static void test_list(void)
{
	struct error err = ERROR_INIT;
	struct config c;

	ok(read_text("tls_allowed_dn_list = [ \"O=x\" ]\n"
		     "tls_allowed_dn_list = [\"CN=a]#,O=b\", \"CN=c*\"] # two\n",
		   &c, &err) == 0,
		"a list is read");
	is_str(err.message, "", "without an error");
	is_int(c.tls_allowed_dn_list.n, 2, "the last one counts");
	is_str(c.tls_allowed_dn_list.items[0], "CN=a]#,O=b", "its strings may hold anything");
	is_str(c.tls_allowed_dn_list.items[1], "CN=c*", "all of them are there");
	config_fini(&c);
}

static void test_bad(void)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"colour = \"red\"\n", ":1: unknown key 'colour'"},
		{"\nmax_clients = \"7\"\n", ":2: max_clients = '7': expected a number without quotes"},
		{"max_clients = 0\n", ":1: max_clients = '0': expected a number from 1 to 100000"},
		{"keepalive_interval = -2\n",
			":1: keepalive_interval = '-2': expected a number from -1 or 0 to 86400"},
		{"save_image_format = \"gzip\"\n", "expected \"raw\", \"zstd\" or \"sparse\""},
		{"restore_mode = \"fast\"\n", "expected \"lazy\" or \"eager\""},
		{"restore_mode = 1\n", "expected a \"string\" in quotes"},
		{"snapshot_hook = \"../x\"\n", "expected an absolute path or a name"},
		{"hostname = \"open\n", ":1: the string is not closed"},
		{"hostname = bare\n", "expected a \"string\" in quotes"},
		{"hostname \"x\"\n", "expected `key = value`"},
		{"drop_in = 1 1\n", "text behind the value of 'drop_in'"},
		{"drop_in = 2\n", "expected 0 or 1"},
		{"host_uuid = \"1-2\"\n", "expected a UUID"},
		{"tls_allowed_dn_list = \"CN=a\"\n", "expected [\"string\", ...] on one line"},
		{"tls_allowed_dn_list = [\"CN=a\"\n", "expected [\"string\", ...] on one line"},
		{"tls_allowed_dn_list = [\"CN=a\",]\n", "expected [\"string\", ...] on one line"},
		{"tls_allowed_dn_list = [CN=a]\n", "expected [\"string\", ...] on one line"},
		{"tls_allowed_dn_list = [\"CN=a\" \"CN=b\"]\n", "expected [\"string\", ...] on one line"},
		{"tls_allowed_dn_list = []\n", "expected [\"string\", ...] on one line"},
		{"tls_allowed_dn_list = [\"CN=a\"] x\n", "text behind the value of 'tls_allowed_dn_list'"},
		{"migration_host = \"LocalHost\"\n", ":1: migration_host = 'LocalHost': other hosts mean"},
		{"migration_host = \"localhost.localdomain\"\n", "other hosts mean themselves"},
		{"migration_host = \"ip6-localhost\"\n", "other hosts mean themselves"},
		{"migration_host = \"\"\n", "must not be empty"},
		{"migration_address = \"h2\"\n", "expected an address of this host, no name"},
		{"migration_address = \"[]\"\n", "expected an address of this host, no name"},
		{"migration_address = \"\"\n", "must not be empty"},
		{"migration_port_min = 1023\n", "expected a number from 1024 to 65535"},
		{"migration_port_max = 65536\n", "expected a number from 1024 to 65535"},
		{"tcp_port = 16509\n", "expected a \"string\" in quotes"},
		{"tcp_port = \"0\"\n", "expected a number from 1 to 65535, in quotes"},
		{"tcp_port = \"libvirt\"\n", "expected a number from 1 to 65535, in quotes"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = ERROR_INIT;
		struct config c;

		ok(read_text(cases[i].text, &c, &err) < 0 && strstr(err.message, cases[i].message),
			cases[i].message);
		config_fini(&c);
	}
}

static void test_between(void)
{
	static const struct {
		const char *text, *message; /* NULL: it is right */
	} cases[] = {
		{"auth_tcp = \"sasl\"\n", NULL},
		{"listen_tcp = 1\nauth_tcp = \"none\"\n", NULL},
		{"listen_tcp = 1\n", "it needs auth_tcp = \"none\" beside it"},
		{"migration_host = \"127.0.0.1\"\nmigration_address = \"10.0.0.7\"\n", NULL},
		{"migration_host = \"localhost2\"\n", NULL},
		{"migration_port_min = 50000\nmigration_port_max = 50000\n", NULL},
		{"migration_port_min = 50000\n",
			"migration_port_min (50000) is above migration_port_max (49215)"},
		{"listen_tcp = 1\nauth_tcp = \"sasl\"\n", "auth_tcp = \"sasl\" is not supported"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = ERROR_INIT;
		struct config c;
		int r = read_text(cases[i].text, &c, &err) < 0 ? -2 : config_check(&c, &err);

		ok(r == (cases[i].message ? -1 : 0) &&
				(!cases[i].message || strstr(err.message, cases[i].message)),
			cases[i].text);
		config_fini(&c);
	}
}

int main(void)
{
	test_good();
	test_migration();
	test_list();
	test_between();
	test_bad();
	return done_testing();
}
