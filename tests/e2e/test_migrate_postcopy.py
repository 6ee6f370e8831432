#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Post-copy: the guest runs on the other host before all of its memory is there."""

import unittest

import migrating


class PostCopy(migrating.LiveTest):
    def test_when_told(self):
        guest = self.guest_that_writes(10)
        source = guest.host
        virsh = self.start_moving(guest, "--persistent", "--postcopy", "--bandwidth", 2, "--postcopy-bandwidth", 100)
        guest.virsh("migrate-postcopy", guest.name)
        self.moved(guest, virsh)
        self.assertRegex(source.virsh("domjobinfo", guest.name, "--completed"), r"Postcopy requests: +[1-9]")
        with self.subTest("only when it was allowed"):
            virsh = self.start_moving(guest, "--bandwidth", 2)
            self.assertIn("postcopy", guest.virsh.fails("migrate-postcopy", guest.name).lower().replace("-", ""))
            guest.virsh("domjobabort", guest.name)
            self.assertNotEqual(virsh.wait(60), 0)
            self.check_runs(guest)

    def test_after_one_pass(self):
        guest = self.guest_that_writes(50, memory=32)
        source = guest.host
        guest.virsh(*self.command(guest, "--live", "--persistent", "--postcopy", "--postcopy-after-precopy", "--bandwidth", 40))
        guest.at(self.there)
        self.check_whole(guest)
        self.assertRegex(source.virsh("domjobinfo", guest.name, "--completed"), r"Postcopy requests: +\d")


if __name__ == "__main__":
    unittest.main(verbosity=2)
