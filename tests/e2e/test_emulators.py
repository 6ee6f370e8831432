#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Other engines than QEMU 10.0 under emulation: QEMU 7.2, and KVM as far as this machine has it."""

import pathlib
import subprocess
import tempfile
import time
import unittest

import harness


class Old(harness.DaemonTest):
    """Debian 12's QEMU: everything but what it lacks, and that is said."""

    def setUp(self):
        try:
            self.emulator = harness.load_program(harness.TREE / "tests/reference/fetch-qemu-7.2").fetch()
        except (SystemExit, subprocess.CalledProcessError) as error:
            self.skipTest(f"no QEMU 7.2 to be had: {error}")
        super().setUp()

    def test_story(self):
        for machine in ("q35", "pc"):
            with self.subTest(machine=machine):
                guest = self.linux(machine, machine=machine, emulator=self.emulator).define()
                self.virsh("start", guest.name)
                guest.wait_count()
                image = self.root / "vm.save"
                for image_format in ("raw", "zstd", "sparse"):
                    self.virsh("save", guest.name, image, "--image-format", image_format)
                    saved = guest.last()
                    self.virsh("restore", image)
                    guest.wait_count(saved + 5)
                self.virsh("managedsave", guest.name)
                saved = guest.last()
                self.virsh("start", guest.name)
                guest.wait_count(saved + 5)
                guest.check()
                self.virsh("shutdown", guest.name)
                guest.wait_state("shut off")

    def test_saved_by_the_old_restored_by_the_new(self):
        guest = self.sector(emulator=self.emulator).define()
        self.virsh("start", guest.name)
        guest.wait_count(10)
        image, xml = self.root / "vm.save", self.root / "new.xml"
        self.virsh("save", guest.name, image)
        saved = guest.wait_still()
        xml.write_text(self.virsh("save-image-dumpxml", image).replace(str(self.emulator), harness.QEMU))
        self.virsh("restore", image, "--xml", xml)
        guest.wait_count(saved + 10)
        guest.check_sequence()

    def test_no_clones(self):
        guest = self.sector(emulator=self.emulator).define()
        self.virsh("start", guest.name)
        guest.wait_count(10)
        image = self.root / "vm.save"
        self.virsh("save", guest.name, image, "--image-format", "sparse")
        self.assertIn("cannot map memory", harness.Godwit(self.daemon).fails("clone", image, "--name", "clone"))
        self.assertEqual((self.root / "lib/clones").exists() and list((self.root / "lib/clones").iterdir()), [])


def kvm_runs_the_sector(directory):
    """/dev/kvm existing proves nothing: try it."""
    if not pathlib.Path("/dev/kvm").exists():
        return False
    console = pathlib.Path(directory) / "console"
    sector = harness.guest_files() / "bootsector.img"
    qemu = subprocess.Popen([harness.QEMU, "-nodefaults", "-M", "pc", "-accel", "kvm", "-cpu", "host", "-m", "16", "-display", "none",
                             "-serial", f"file:{console}", "-drive", f"file={sector},format=raw,if=ide,snapshot=on"],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while qemu.poll() is None and time.monotonic() < deadline:
            if console.exists() and b"00000005" in console.read_bytes():
                return True
            time.sleep(0.05)
        return False
    finally:
        qemu.kill()
        qemu.wait()


class Kvm(harness.DaemonTest):
    # Where KVM runs no Linux, as under an emulated hypervisor, godwit would not use it by itself.
    config = "kvm_probe = 0\n"

    def setUp(self):
        with tempfile.TemporaryDirectory() as directory:
            if not kvm_runs_the_sector(directory):
                self.skipTest("KVM does not run a guest here")
        super().setUp()

    def test_smoke(self):
        guest = self.sector()
        guest.prepare()
        done = self.virsh.run("define", guest.write_xml(domain_type="kvm", cpu="<cpu mode='host-passthrough'/>"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.virsh("start", guest.name)
        guest.wait_count(10)
        image = self.root / "vm.save"
        self.virsh("save", guest.name, image)
        saved = guest.wait_still()
        self.virsh("restore", image)
        guest.wait_count(saved + 10)
        self.virsh("managedsave", guest.name)
        saved = guest.wait_still()
        self.virsh("start", guest.name)
        guest.wait_count(saved + 10)
        guest.check_sequence()


if __name__ == "__main__":
    unittest.main(verbosity=2)
