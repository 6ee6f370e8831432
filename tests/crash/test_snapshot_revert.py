#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon and QEMU killed while a VM goes back to a snapshot (crash.py)."""

import unittest

import crash

Crash = crash.tests_of(crash.SnapshotRevert, crash.SnapshotRevertVariables, crash.SnapshotRevertStored, crash.SnapshotRevertStoredOff, crash.SnapshotRevertOff)

if __name__ == "__main__":
    unittest.main(verbosity=2)
