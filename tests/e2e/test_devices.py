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

    def state(self):
        """What the TPM keeps without power: another at every boot, which it counts. And where."""
        directory, = (self.root / "lib/tpm").iterdir()
        return (directory / "tpm2-00.permall").read_bytes(), directory.stat().st_ino

    def boot_again(self, guest):
        before = self.state()[0]
        self.virsh("reset", guest.name)
        harness.wait_for(lambda: self.state()[0] != before, "the TPM counts a boot")

    def test_goes_back(self):
        """To a snapshot it does with the memory; until then it is the present's, and where there is no memory it stays what it is."""
        guest = self.sector()
        guest.define(extra_devices="<tpm model='tpm-tis'><backend type='emulator' version='2.0'/></tpm>")
        self.virsh("start", guest.name)
        guest.wait_count(5)
        self.virsh("snapshot-create-as", guest.name, "one", "--memspec", f"file={self.root}/one.memory")
        then = self.state()[0]
        self.virsh("snapshot-create-as", guest.name, "two", "--disk-only")
        self.boot_again(guest)
        with self.subTest("it fails, and the guest of now has its own"):
            now = self.state()
            times = os.stat(guest.disk)
            os.utime(guest.disk, (1, 1))
            self.assertIn("do not fit together", self.virsh.fails("snapshot-revert", guest.name, "one"))
            os.utime(guest.disk, ns=(times.st_atime_ns, times.st_mtime_ns))
            self.assertEqual(self.state(), now)
            harness.wait_for(lambda: len(self.emulators()) == 1, "the other emulator ends")
            self.boot_again(guest)
        with self.subTest("with memory"):
            self.assertNotEqual(self.state()[0], then)
            self.virsh("snapshot-revert", guest.name, "one")
            self.assertEqual(self.state()[0], then)
            harness.wait_for(lambda: len(self.emulators()) == 1, "the parked one's emulator ends")
            self.boot_again(guest)
        with self.subTest("without"):
            now = self.state()
            self.virsh("snapshot-revert", guest.name, "two", "--paused")
            self.assertEqual(self.state()[0], now[0])
            self.assertNotEqual(self.state()[1], now[1], "a copy")
            self.virsh("resume", guest.name)
            harness.wait_for(lambda: self.state()[0] != now[0], "it counts on")

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
