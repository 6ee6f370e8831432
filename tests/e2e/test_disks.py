#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A state fits its disks, or is refused: what is compared, what the refusal says, and how to go on nevertheless.

The guest is the boot sector, which writes nothing, with more disks than it knows of.
"""

import os
import re
import shutil
import subprocess
import unittest

import harness
from test_cli import Godwit

SIZE = 1 << 20


def write(path):
    """As somebody who does not know that the disk belongs to a saved state: one byte."""
    with open(path, "r+b") as f:
        f.seek(4096)
        f.write(b"x")


def disk_xml(path, target, form="raw", more="", kind="file"):
    attribute = "dev" if kind == "block" else "file"
    return f"""<disk type='{kind}' device='disk'><driver name='qemu' type='{form}'/>
      <source {attribute}='{path}'/><target dev='{target}' bus='virtio'/>{more}</disk>"""


class DisksTest(harness.DaemonTest):
    def setUp(self):
        super().setUp()
        self.godwit = Godwit(self.daemon)
        self.guest = self.sector()
        self.image = self.root / "sector.save"

    def file(self, name):
        path = self.root / name
        path.write_bytes(bytes(SIZE))
        return path

    def overlay(self, name, base):
        path = self.root / name
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", base.name, path], check=True)
        return path

    def run_with(self, *disks):
        self.guest.define(extra_devices="".join(disks))
        self.virsh("start", self.guest.name)
        self.guest.wait_count(5)

    def save(self):
        self.virsh("save", self.guest.name, self.image)

    def restore(self, *options):
        """It goes on where it was."""
        before = self.guest.wait_still()
        self.godwit("restore", self.image, *options)
        self.guest.wait_count(before + 5)
        self.guest.check_sequence()

    def refused(self, target, path, what, *command):
        """Refused by name, with the way out; and nothing is different then."""
        times = {p: os.stat(p).st_mtime_ns for p in self.root.iterdir() if p.is_file()}
        command = command or ("restore", self.image)
        for client in (self.virsh, self.godwit):
            said = client.fails(*command)
            self.assertIn(f"disk {target}: {path} {what}", said)
            self.assertRegex(said, r"godwit (restore \S+|start sector) --force")
        self.assertEqual(self.guest.state(), "shut off")
        for p, then in times.items():
            if p.suffix in (".img", ".qcow2", ".save"):
                self.assertEqual(os.stat(p).st_mtime_ns, then, p)


class Files(DisksTest):
    def test_written(self):
        """The disk itself, and what it stands on, however deep."""
        data, base = self.file("data.img"), self.file("base.img")
        top = self.overlay("top.qcow2", base)
        self.run_with(disk_xml(data, "vda"), disk_xml(top, "vdb", "qcow2"))
        for target, path in (("vda", data), ("vdb", base), ("vdb", top)):
            with self.subTest(path=path.name):
                self.save()
                write(path)
                self.refused(target, path, "was written at ")
                self.restore("--force")
        self.save()
        self.restore()

    def test_managed_save(self):
        data = self.file("data.img")
        self.run_with(disk_xml(data, "vda"))
        self.virsh("managedsave", self.guest.name)
        before = self.guest.wait_still()
        write(data)
        self.refused("vda", data, "was written at ", "start", self.guest.name)
        self.assertIn("--force-boot", self.virsh.fails("start", self.guest.name))
        self.assertTrue(self.managed_save_path(self.guest).exists())
        self.godwit("start", self.guest.name, "--force")
        self.guest.wait_count(before + 5)
        self.guest.check_sequence()
        self.assertFalse(self.managed_save_path(self.guest).exists())

    def test_other_size(self):
        base = self.file("base.img")
        top = self.overlay("top.qcow2", base)
        self.run_with(disk_xml(top, "vda", "qcow2"))
        self.save()
        times = os.stat(base).st_atime_ns, os.stat(base).st_mtime_ns
        os.truncate(base, SIZE // 2)
        os.utime(base, ns=times)
        self.refused("vda", base, "has another size")
        os.truncate(base, SIZE)
        os.utime(base, ns=times)
        self.restore()

    def test_copies(self):
        """A faithful copy is the disk, wherever it is; also one whose times were cut off. A younger one is not."""
        data, copy = self.file("data.img"), self.root / "copy.img"
        self.run_with(disk_xml(data, "vda"))
        self.save()
        shutil.copy2(data, copy)
        xml = self.root / "moved.xml"
        xml.write_text(self.virsh("save-image-dumpxml", self.image).replace(str(data), str(copy)))
        self.restore("--xml", xml)
        self.virsh("destroy", self.guest.name)
        os.utime(copy, (0, int(os.stat(data).st_mtime)))
        self.virsh("restore", self.image, "--xml", xml)
        self.virsh("destroy", self.guest.name)
        copy.touch()
        self.refused("vda", copy, "was written at ", "restore", self.image, "--xml", xml)

    def test_what_is_not_compared(self):
        """What the guest cannot write, and what others may."""
        fixed, shared = self.file("fixed.img"), self.file("shared.img")
        self.run_with(disk_xml(fixed, "vda", more="<readonly/>"), disk_xml(shared, "vdb", more="<shareable/>"))
        self.save()
        write(fixed)
        write(shared)
        self.restore()


class OnceOnly(DisksTest):
    def test_used(self):
        """A state is good until its guest has run; a start that came to nothing costs it nothing."""
        # QEMU writes metadata of such a disk when it gives it up, at the end of the save
        self.guest = self.linux()
        self.guest.disk = disk = self.root / "disk.qcow2"
        self.guest.disks_xml = lambda: disk_xml(disk, "vda", "qcow2")
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", "lazy_refcounts=on", disk, "4M"], check=True)
        self.guest.define()
        self.virsh("start", self.guest.name)
        self.guest.wait_count(10)
        self.save()
        for _ in range(2):
            self.virsh("restore", self.image, "--paused")
            self.virsh("destroy", self.guest.name)
        self.virsh("restore", self.image)
        self.guest.wait_count(self.guest.last() + 3)
        self.guest.check()
        self.virsh("destroy", self.guest.name)
        said = self.virsh.fails("restore", self.image)
        self.assertRegex(said, rf"disk vda: {re.escape(str(disk))} was written at \S+ \S+ UTC, after the state was saved at ")


class Devices(DisksTest):
    def setUp(self):
        super().setUp()
        if not harness.IS_ROOT:
            self.skipTest("making a device needs root")
        done = subprocess.run(["losetup", "--find", "--show", self.file("device.img")], capture_output=True, text=True)
        if done.returncode != 0:
            self.skipTest(f"no loop devices here: {done.stderr}")
        self.device = done.stdout.strip()
        self.addCleanup(subprocess.run, ["losetup", "--detach", self.device], check=True)

    def test_written(self):
        self.run_with(disk_xml(self.device, "vda", kind="block"))
        self.save()
        self.restore()
        self.save()
        write(self.device)
        subprocess.run(["sync", self.device], check=True)
        self.refused("vda", self.device, "was written since the state was saved: 4 KiB")
        self.restore("--force")


if __name__ == "__main__":
    harness.main()
