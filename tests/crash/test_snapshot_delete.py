#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon and QEMU killed while snapshots go (crash.py)."""

import unittest

import crash

Crash = crash.tests_of(crash.DeleteSnapshot, crash.DeleteSnapshotsOff)

if __name__ == "__main__":
    unittest.main(verbosity=2)
