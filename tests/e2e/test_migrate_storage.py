#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Disks that the other host does not reach are copied along."""

import os
import unittest

import harness
import migrating


class Copied(migrating.MigrateTest):
    def local_guest(self, guest):
        """Its disk is on this host alone."""
        guest.prepare()
        inside = self.network.local / guest.disk.name
        os.rename(guest.disk, self.here.local / guest.disk.name)
        guest.prepare, guest.disk = lambda: None, inside
        return self.run_guest(guest)

    def disk_on(self, host, guest):
        return host.local / guest.disk.name

    def test_all(self):
        guest = self.local_guest(self.sector())
        guest.virsh(*(word for word in self.command(guest, "--live", "--persistent", "--undefinesource", "--copy-storage-all")
                      if word != "--unsafe"))
        guest.at(self.there)
        self.check_runs(guest)
        self.assertEqual(self.disk_on(self.there, guest).read_bytes(), self.disk_on(self.here, guest).read_bytes())

    def test_nothing_left(self):
        """What was made over there goes again."""
        guest = self.local_guest(self.linux(arguments="gw.incompressible=1"))
        virsh = self.start_moving(guest, "--bandwidth", 1, "--copy-storage-all")
        self.assertTrue(self.disk_on(self.there, guest).exists())
        guest.virsh("domjobabort", guest.name)
        self.assertNotEqual(virsh.wait(60 * harness.SLOW), 0)
        self.check_stayed(guest)
        self.assertFalse(self.disk_on(self.there, guest).exists())


if __name__ == "__main__":
    unittest.main(verbosity=2)
