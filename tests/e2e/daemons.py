# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two hosts as far as daemons see them, for VMs that move between them without a network of their own (hosts.py has that).

    class Migrate(daemons.MigrateTest):
        def test(self):
            guest = self.sector().define()
            ...
            self.here.migrate("--live", guest.name, self.there.uri())

Each host is a daemon with a host UUID, a name and directories of its own; what is in self.root both see under the same path, like shared storage.
"""

import json
import os
import uuid

import harness

CONFIG = """host_uuid = "{uuid}"
hostname = "{name}"
migration_host = "127.0.0.1"
migration_port_min = {port}
migration_port_max = {last}
"""
PORTS = 64  # of each daemon


class Host:
    """One of the two: its daemon and a virsh for it."""

    def __init__(self, test, name, number, more=""):
        self.test, self.name = test, name
        # Tests run beside each other: a range for each process and host.
        port = 20000 + (os.getpid() * 2 + number) % 320 * PORTS
        self.config = CONFIG.format(uuid=uuid.uuid4(), name=name, port=port, last=port + PORTS - 1) + more
        self.daemon = harness.Daemon(test.root / name, self.config, test_root=test.root)
        self.virsh = harness.Virsh(self.daemon.uri())

    def uri(self):
        return self.daemon.uri()

    def configure(self, more):
        (self.daemon.root / "etc/godwit.conf").write_text(self.config + more)

    def qemus(self):
        """The pids of its QEMUs."""
        found = []
        for path in (self.daemon.root / "run/vm").glob("*/status.json"):
            try:
                pid = json.loads(path.read_text())["pid"]
            except (OSError, ValueError):
                continue
            if pid and harness.is_alive(pid):
                found.append(pid)
        return sorted(found)

    def names(self, *flags):
        return self.virsh("list", "--name", *flags).split()

    def left(self):
        """What a migration must not leave behind: files of VMs, jobs, migrations."""
        root = self.daemon.root
        return sorted(str(p.relative_to(root)) for d in ("run/vm", "lib/journal", "lib/migration") for p in (root / d).glob("*")
                      if p.name != "place")


class MigrateTest(harness.DaemonTest):
    """self.here and self.there; guests' files are shared."""

    autostart = False
    here_config = there_config = ""

    def setUp(self):
        super().setUp()
        self.here = Host(self, "h1", 0, self.here_config)
        self.there = Host(self, "h2", 1, self.there_config)
        for host in (self.here, self.there):
            host.daemon.start()
            self.addCleanup(host.daemon.kill)
        self.daemon, self.virsh = self.here.daemon, self.here.virsh

    def migrate(self, guest, *flags, source=None, target=None, **options):
        source, target = source or self.here, target or self.there
        return source.virsh("migrate", "--unsafe", *flags, guest.name, target.uri(), **options)

    def at(self, host, guest):
        """The guest, asked of that host's daemon."""
        guest.virsh = host.virsh
        return guest

    def assert_gone(self, host, guest, *, defined=False):
        """Nothing runs there, and nothing is left of a migration."""
        self.assertEqual(host.qemus(), [])
        self.assertNotIn(guest.name, host.names())
        harness.wait_for(lambda: host.left() == [], f"{host.name} has nothing left: {host.left()}")
        self.assertEqual(guest.name in host.names("--all"), defined, f"{guest.name} is defined on {host.name}")

    def goes_on(self, host, guest):
        """It runs there, counts on, and has lost or doubled nothing."""
        self.at(host, guest)
        self.assertEqual(guest.state(), "running")
        guest.wait_count(guest.last() + 10)
        guest.check_sequence()
