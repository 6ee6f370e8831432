#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon and QEMU killed while a VM is saved (crash.py)."""

import unittest

import crash

Crash = crash.tests_of(crash.Save, crash.SaveOver, crash.ManagedSave)

if __name__ == "__main__":
    unittest.main(verbosity=2)
