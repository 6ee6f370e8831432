#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A guest that runs outlives a daemon whose next one would have it hold other leases."""

import os
import unittest

import harness


class LeaseAdopt(harness.DaemonTest):
    config = 'lock_manager = "lockd"\nauto_disk_leases = 0\nrequire_lease_for_disks = 0\n'

    def setUp(self):
        super().setUp()
        self.guest = self.sector().define()

    def configure(self, text):
        (self.daemon.root / "etc/godwit.conf").write_text(text)

    def outlives_restart(self, warning):
        before = harness.qemus_of(self.root)
        self.daemon.restart()
        self.guest.wait_count(self.guest.last() + 20)
        self.assertEqual(harness.qemus_of(self.root), before, "the same QEMU")
        self.assertEqual(self.guest.state(), "running")
        harness.wait_for(lambda: warning in self.daemon.stderr(), "a warning says so")

    def test_leases_switched_on(self):
        self.virsh("start", self.guest.name)
        self.guest.wait_count(10)
        self.configure('lock_manager = "lockd"\nauto_disk_leases = 1\n')
        self.outlives_restart("it was started with 0 leases")

    def test_disk_renamed(self):
        self.configure('lock_manager = "lockd"\n')
        self.daemon.restart()
        self.virsh("start", self.guest.name)
        self.guest.wait_count(10)
        os.rename(self.guest.disk, f"{self.guest.disk}.elsewhere")
        self.outlives_restart("runs with 0 of the 1 leases it should have")


if __name__ == "__main__":
    unittest.main(verbosity=2)
