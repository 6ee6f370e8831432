#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Devices that need more of the host than QEMU: a TPM with its emulator."""

import os
import shutil
import unittest

import harness


class Tpm(harness.DaemonTest):
    def setUp(self):
        if not shutil.which("swtpm"):
            self.skipTest("swtpm is not installed")
        super().setUp()

    def emulators(self):
        return [pid for pid, command in harness.processes_of(self.root).items() if "swtpm" in command.split(" ")[0]]

    def test_comes_and_goes_with_the_guest(self):
        guest = self.sector()
        guest.prepare()
        path = guest.write_xml()
        path.write_text(path.read_text().replace(
            "</devices>", "<tpm model='tpm-tis'><backend type='emulator' version='2.0'/></tpm></devices>"))
        self.virsh("define", path)
        self.virsh("start", guest.name)
        guest.wait_count(5)
        self.assertEqual(len(self.emulators()), 1)
        self.virsh("managedsave", guest.name)
        saved = guest.wait_still()
        harness.wait_for(lambda: not self.emulators(), "the emulator ends with QEMU")
        self.virsh("start", guest.name)
        guest.wait_count(saved + 5)
        guest.check_sequence()
        self.daemon.restart()
        self.assertEqual(len(self.emulators()), 1, "it outlives the daemon as QEMU does")
        self.virsh("destroy", guest.name)
        harness.wait_for(lambda: not self.emulators(), "the emulator ends with QEMU")
        self.assertEqual(len(os.listdir(self.root / "lib/tpm")), 1, "its state stays")

    def test_none_is_left_when_the_start_fails(self):
        guest = self.sector()
        guest.prepare()
        path = guest.write_xml()
        path.write_text(path.read_text().replace(
            "</devices>", "<tpm model='tpm-tis'><backend type='emulator'/></tpm><channel type='unix'>"
            "<source mode='bind' path='/nowhere/at/all'/><target type='virtio' name='org.x.0'/></channel></devices>"))
        self.virsh("define", path)
        self.assertIn("/nowhere/at/all", self.virsh.run("start", guest.name).stderr)
        harness.wait_for(lambda: not self.emulators(), "no emulator is left")
        self.assertEqual(guest.state(), "shut off")


if __name__ == "__main__":
    unittest.main(verbosity=2)
