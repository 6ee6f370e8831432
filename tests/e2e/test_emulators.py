#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Other engines than QEMU 10.0 under emulation: QEMU 7.2, and KVM as far as this machine has it."""

import pathlib
import subprocess
import tempfile
import time
import unittest

import harness
from test_chain import all_nodes, disks_of, images_of, make_overlay
from test_disks import SIZE, disk_xml


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

    def test_chains(self):
        """Of the disk it starts with, and of one that comes later."""
        (self.root / "base").write_bytes(bytes(SIZE))
        for name, base, form in (("middle", "base", "raw"), ("top", "middle", "qcow2"), ("later", "base", "raw")):
            make_overlay(self.root, name, base, form)
        guest = self.sector(emulator=self.emulator).define(extra_devices="<controller type='scsi' model='virtio-scsi'/>" +
                                                           disk_xml(self.root / "top", "vda", "qcow2"))
        self.virsh("start", guest.name)
        guest.wait_count(5)
        before = all_nodes(self.virsh, guest.name).keys()
        self.virsh("attach-disk", guest.name, self.root / "later", "sdb", "--subdriver", "qcow2")
        image = self.root / "vm.save"
        self.virsh("save", guest.name, image)
        saved = guest.wait_still()
        self.virsh("restore", image)
        guest.wait_count(saved + 5)
        disks, nodes = disks_of(self.virsh, guest.name), all_nodes(self.virsh, guest.name)
        for target, names in (("vda", ("top", "middle", "base")), ("sdb", ("later", "base"))):
            images, is_all = images_of(disks[target])
            self.assertEqual([path for _, path, _ in images], [str(self.root / name) for name in names])
            self.assertTrue(is_all)
            for number, path, form in images:
                self.assertEqual((nodes[f"libvirt-{number}-storage"]["file"], nodes[f"libvirt-{number}-format"]["drv"]), (path, form))
        self.assertEqual(self.virsh("domstats", guest.name, "--block", "--backing").count(".capacity="), 6)
        self.virsh("detach-disk", guest.name, "sdb")
        self.assertEqual(len(all_nodes(self.virsh, guest.name)), len(before))

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
