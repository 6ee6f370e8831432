#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Going back to snapshots: the guest goes on where it was, and until it does the present is not lost."""

import unittest

import harness
import reverting


class Revert(harness.DaemonTest):
    def setUp(self):
        super().setUp()
        self.snapshots = reverting.Snapshots(self)
        self.guest = self.snapshots.guest

    def test_back_and_forth(self):
        s = self.snapshots
        s.boot()
        first = s.take("first")
        s.boot_present()
        qemu = harness.qemus_of(self.root)
        s.revert("first")
        s.check_back(first)
        self.assertNotEqual(harness.qemus_of(self.root), qemu)
        self.assertEqual(len(harness.qemus_of(self.root)), 1, "the parked one is gone")
        self.assertEqual(s.left_over(), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
