#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Migrations that do not come about: the guest runs on where it was as if nothing had been asked, and the other host has nothing of it."""

import os
import unittest

import harness
import migrating


class Broken(migrating.MigrateTest):
    """Something ends in the middle."""

    config = 'lock_manager = "lockd"\n'

    def under_way(self, guest):
        """The QEMU that waits on the other host, and virsh."""
        virsh = self.start_moving(guest, "--bandwidth", 1)
        waiting, = self.there.qemus()
        return waiting, virsh

    def test_all(self):
        guest = self.run_guest(self.linux(arguments="gw.incompressible=1"))
        qemu = self.qemu_of(guest)
        for way in (self.abort, self.end_target, self.end_client, self.end_daemon_there, self.end_daemon_here, self.cut):
            with self.subTest(way.__name__):
                waiting, self.virsh_at_work = self.under_way(guest)
                way(guest, waiting)
                self.assertNotEqual(self.virsh_at_work.wait(60 * harness.SLOW), 0)
                harness.wait_for(lambda: not harness.is_alive(waiting), "the other QEMU has ended")
                self.check_stayed(guest)
                self.assertEqual(self.qemu_of(guest), qemu)
        self.move(guest, "--persistent")
        self.check_runs(guest)
        guest.check()
        self.assertEqual(guest.boots(), 1)

    def abort(self, guest, _):
        guest.virsh("domjobabort", guest.name)

    def end_target(self, guest, waiting):
        self.kill_qemu(guest, self.there, waiting)

    def kill_qemu(self, guest, host, qemu):
        harness.kill_and_wait(qemu)
        # which could not tidy up any more
        (host.local / guest.channel.name).unlink()

    def end_client(self, *_):
        self.virsh_at_work.kill()

    def end_daemon_there(self, *_):
        self.there.daemon.restart(kill=True)

    def end_daemon_here(self, *_):
        self.here.daemon.restart(kill=True)

    def cut(self, guest, _):
        """Both daemons can still be reached by who asked."""
        self.there.cut()
        self.addCleanup(self.there.mend)
        guest.virsh("domjobabort", guest.name)
        self.there.mend()

    def test_source_ends(self):
        """Then there is no guest any more, and no half of one."""
        guest = self.run_guest(self.linux(arguments="gw.incompressible=1"), transient=True)
        waiting, virsh = self.under_way(guest)
        self.kill_qemu(guest, self.here, self.here.qemus()[0])
        self.assertNotEqual(virsh.wait(60 * harness.SLOW), 0)
        harness.wait_for(lambda: not harness.is_alive(waiting), "the other QEMU has ended")
        for host in (self.here, self.there):
            harness.wait_for(lambda: not self.is_listed(host, guest.name), f"it is not at {host.name}")
            self.check_gone(host, guest.name)
        self.assertEqual(migrating.leases.holders(guest.disk), [])


class Refused(migrating.MigrateTest):
    """Found before anything has moved."""

    def test_to_the_same_host(self):
        guest = self.run_guest(self.sector())
        self.assertIn("same host", self.refused(guest, to=self.here))
        self.check_stayed(guest)

    def test_no_disk(self):
        """A file of that name is on this host alone."""
        guest = self.sector()
        guest.prepare()
        inside = self.network.local / guest.disk.name
        os.rename(guest.disk, self.here.local / guest.disk.name)
        guest.prepare, guest.disk = lambda: None, inside
        self.run_guest(guest)
        said = self.refused(guest)
        self.assertIn(str(inside), said)
        self.check_stayed(guest)

    def test_unsafe(self):
        """A file of this host alone might be another one of that name over there; a copy of it is not."""
        guest = self.run_guest(self.sector())
        command = [word for word in self.command(guest, "--live") if word != "--unsafe"]
        said = guest.virsh.fails(*command)
        self.assertIn("Unsafe migration", said)
        self.assertIn(str(guest.disk), said)
        self.check_stayed(guest)

    def test_what_is_not_there_yet(self):
        """Never less than was asked for, and above all not in clear."""
        guest = self.run_guest(self.sector())
        for options, words in ((("--tls",), "TLS"), (("--postcopy", "--postcopy-resume"), "POSTCOPY_RESUME"),
                               (("--copy-storage-all", "--disks-uri", "unix:///tmp/x"), "URI for disks")):
            with self.subTest(options):
                self.assertIn(words, guest.virsh.fails(*self.command(guest, "--live", *options)))
                self.check_stayed(guest)

    def test_name_in_use(self):
        guest = self.run_guest(self.sector())
        other = harness.BootSector(self.root / "beta", self.there.virsh, guest.name).define()
        self.assertIn(other.uuid, self.refused(guest))
        self.check_runs(guest)
        self.assertEqual(self.there.virsh("domuuid", guest.name), other.uuid)
        self.check_off(self.there)
        # under another name there is room
        guest.virsh(*self.command(guest, "--live", "--dname", "another"))
        guest.at(self.there).name = "another"
        self.check_runs(guest)

    def test_runs_there(self):
        """One of the same UUID: without leases nobody else would notice."""
        guest = self.run_guest(self.sector())
        twin = harness.BootSector(self.root / "beta", self.there.virsh, guest.name)
        twin.uuid = guest.uuid
        twin.create()
        twin.wait_count(5)
        qemus = harness.qemus_of(self.root)
        self.assertRegex(self.refused(guest), "active|running|runs")
        self.assertEqual(harness.qemus_of(self.root), qemus)
        for one in (guest, twin):
            self.assertEqual(one.state(), "running")
            self.goes_on(one)


class LockManagers(migrating.MigrateTest):
    config_here = 'lock_manager = "lockd"\n'

    def test_unequal(self):
        """Whoever has no leases must not get a guest from one who relies on them."""
        guest = self.run_guest(self.sector())
        self.assertRegex(self.refused(guest), "lock ?manager|lock_manager|lockd")
        self.check_stayed(guest)
        self.assertEqual(migrating.leases.holders(guest.disk), [self.qemu_of(guest)])


if __name__ == "__main__":
    unittest.main(verbosity=2)
