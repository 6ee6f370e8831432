# SPDX-License-Identifier: LGPL-2.1-or-later
"""Guests that move from one host to the other, and what must hold wherever they are."""

import json
import os
import re

import harness
import hosts
import leases


class MigrateTest(hosts.HostsTest):
    """self.files: what each host had when there was no guest yet."""

    def setUp(self):
        super().setUp()
        self.files = {host: self.files_of(host) for host in (self.here, self.there)}

    def files_of(self, host):
        """Everything below the directories of its daemon and of its QEMUs, without logs, what is known of the emulator, and
        the answers that are kept for sources that may still ask."""
        found = set()
        for directory in (host.daemon.root, host.local):
            found |= {str(path.relative_to(host.root)) for path in directory.rglob("*")
                      if not path.is_dir() and not path.is_socket()}
        return {path for path in found if not re.match(r"d/(log/|lib/capabilities/|lib/migration/(\w{32}\.json|place)$|godwitd\.stderr$)", path)}

    def other(self, host):
        return self.there if host is self.here else self.here

    def run_guest(self, guest, transient=False, **options):
        if transient:
            guest.create(**options)
        else:
            guest.define(**options)
            guest.virsh("start", guest.name)
        guest.wait_count(5)
        return guest

    def command(self, guest, *options, to=None):
        """The hosts have a directory in common, but no daemon can see that it is the same."""
        return ["migrate", guest.name, (to or self.other(guest.host)).uri(), "--unsafe", *options]

    def move(self, guest, *options, live=True):
        """It is on the other host when this returns."""
        guest.virsh(*self.command(guest, *(["--live"] if live else []), *options))
        return guest.at(self.other(guest.host))

    def refused(self, guest, *options, to=None):
        """What virsh says."""
        return guest.virsh.fails(*self.command(guest, "--live", *options, to=to))

    def start_moving(self, guest, *options):
        """The virsh at work on a migration that has sent something; `options` make it so slow that it is not over then."""
        virsh = guest.virsh.start(*self.command(guest, "--live", *options))
        self.addCleanup(lambda: (virsh.kill(), virsh.communicate()))
        harness.wait_for(lambda: virsh.poll() is not None or self.sent(guest) > 0, "memory is on its way")
        if virsh.poll() is not None:
            raise AssertionError(f"the migration is over: {virsh.communicate()}")
        return virsh

    def sent(self, guest):
        match = re.search(r"Memory processed: +([\d.]+) (\w+)", guest.virsh.run("domjobinfo", guest.name).stdout)
        return float(match[1]) if match else 0

    # what holds

    def is_listed(self, host, name):
        return name in host.virsh("list", "--all", "--name").split()

    def qemu_of(self, guest):
        """The only one there is, on the guest's host."""
        qemus = guest.host.qemus()
        self.assertEqual(len(qemus), 1, "QEMUs where the guest is")
        self.assertEqual(self.other(guest.host).qemus(), [], "QEMUs where it is not")
        return qemus[0]

    def goes_on(self, guest):
        """It counts, and has lost and repeated nothing."""
        guest.wait_count(guest.last() + 5)
        guest.check_sequence()

    def check_runs(self, guest):
        """On its host, and nowhere else."""
        harness.wait_for(lambda: self.other(guest.host).qemus() == [], "the other host has no QEMU")
        qemu = self.qemu_of(guest)
        self.assertEqual(guest.state(), "running")
        self.goes_on(guest)
        harness.wait_for(lambda: "None" in guest.virsh("domjobinfo", guest.name), "its job is over")
        if "lockd" in self.config:
            self.assertEqual(leases.holders(guest.disk), [qemu])
            for host in (self.here, self.there):
                held = json.loads(harness.Godwit(host.daemon)("lease", "list", "--json"))
                expected = [(guest.name, qemu, "held")] if host is guest.host else []
                self.assertEqual([(h["vm"], int(h["pid"]), h["state"]) for h in held], expected, host.name)

    def check_persistent(self, guest, is_persistent):
        self.assertIn(f"Persistent:     {'yes' if is_persistent else 'no'}", guest.virsh("dominfo", guest.name))

    def check_gone(self, host, name="sector"):
        """There is nothing of it."""
        self.assertFalse(self.is_listed(host, name))
        self.assertEqual(self.files_of(host), self.files[host])
        self.assertEqual(host.taps(), [])
        self.assertEqual(host.qemus(), [])

    def check_off(self, host, name="sector"):
        """It is only defined."""
        self.assertEqual(host.virsh("domstate", name), "shut off")
        more = self.files_of(host) - self.files[host]
        self.assertEqual({path for path in more if not path.startswith("d/etc/")}, set())
        self.assertEqual(host.taps(), [])

    def check_stayed(self, guest):
        """As if nothing had been asked."""
        self.check_runs(guest)
        self.check_gone(self.other(guest.host), guest.name)


class LiveTest(MigrateTest):
    """With the Linux guest, which is asked whether it is whole. Not with sanitizers: QEMU does the work, and they see the same in MigrateTest."""

    def setUp(self):
        if os.environ.get("GODWIT_SANITIZED"):
            self.skipTest("the same of the daemon is in test_migrate")
        super().setUp()

    def guest_that_writes(self, rate, memory=16):
        """So many MiB/s, in memory that nothing makes smaller."""
        return self.run_guest(self.linux(arguments=f"gw.mem={memory} gw.rate={rate} gw.incompressible=1"))

    def check_whole(self, guest):
        self.check_runs(guest)
        guest.check()
        self.assertEqual(guest.boots(), 1)

    def moved(self, guest, virsh):
        """It is there once virsh is done."""
        out, err = virsh.communicate(timeout=60 * harness.SLOW)
        self.assertEqual(virsh.returncode, 0, err + out)
        guest.at(self.other(guest.host))
        self.check_whole(guest)
