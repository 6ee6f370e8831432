#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Saves that cannot succeed, images that were damaged: the guest, and every whole file, is still there afterwards."""

import contextlib
import os
import random
import shutil
import subprocess
import unittest

import harness


class SaveFails(harness.DaemonTest):
    def setUp(self):
        super().setUp()
        self.guest = self.sector().define()
        self.virsh("start", self.guest.name)
        self.guest.wait_count(10)

    def still_running(self):
        self.assertEqual(self.guest.state(), "running")
        self.guest.wait_count(self.guest.last() + 10)
        self.guest.check_sequence()
        self.check_alive()

    def test_directory(self):
        target = self.root / "directory"
        target.mkdir()
        self.assertIn(str(target), self.virsh.fails("save", self.guest.name, target))
        self.assertEqual(os.listdir(target), [])
        self.virsh.fails("save", self.guest.name, self.root / "no/such/directory/vm.save")
        self.still_running()

    def test_symlink(self):
        """A link is followed or refused, but what it points to is never half written, and the link stays one."""
        real, link = self.root / "real.save", self.root / "link.save"
        real.write_text("precious")
        link.symlink_to(real)
        done = self.virsh.run("save", self.guest.name, link)
        if done.returncode == 0:
            self.assertEqual(real.read_bytes()[:16], b"LibvirtQemudSave")
            self.virsh("restore", link)
        else:
            self.assertEqual(real.read_text(), "precious")
        self.still_running()
        if link.is_symlink():
            self.assertEqual(os.readlink(link), str(real))

    def test_dangling_symlink(self):
        link = self.root / "link.save"
        link.symlink_to(self.root / "nowhere/vm.save")
        self.virsh.fails("save", self.guest.name, link)
        self.assertTrue(link.is_symlink())
        self.still_running()

    def mount(self, *options):
        where = self.root / "mount"
        where.mkdir()
        if not harness.IS_ROOT or subprocess.run(["mount", *options, str(where)], capture_output=True).returncode != 0:
            self.skipTest("cannot mount here")
        self.addCleanup(subprocess.run, ["umount", "-l", str(where)])
        return where

    def test_full_file_system(self):
        small = self.mount("-t", "tmpfs", "-o", "size=256k", "tmpfs")
        for image_format in ("raw", "zstd", "sparse"):
            with self.subTest(format=image_format):
                with open(small / "ballast", "wb") as f:
                    f.write(bytes(200 * 1024))
                said = self.virsh.fails("save", self.guest.name, small / "vm.save", "--image-format", image_format)
                self.assertRegex(said, r"(?i)no space left")
                self.assertEqual(os.listdir(small), ["ballast"], "no partial file is left")
                self.still_running()

    def test_full_file_system_keeps_the_older_image(self):
        small = self.mount("-t", "tmpfs", "-o", "size=64m", "tmpfs")
        image = small / "vm.save"
        self.virsh("save", self.guest.name, image)
        saved = self.guest.wait_still()
        self.virsh("restore", image)
        self.guest.wait_count(saved + 100)
        with contextlib.suppress(OSError), open(small / "ballast", "wb", buffering=0) as f:
            while True:
                f.write(bytes(1 << 16))
        self.virsh.fails("save", self.guest.name, image)
        self.still_running()
        self.virsh("destroy", self.guest.name)
        self.virsh("restore", image)
        self.guest.wait_count(0)

    def loop_device(self, size):
        backing = self.root / "backing"
        with open(backing, "wb") as f:
            f.truncate(size)
        if not harness.IS_ROOT:
            self.skipTest("needs a loop device")
        done = subprocess.run(["losetup", "--find", "--show", str(backing)], capture_output=True, text=True)
        if done.returncode != 0:
            self.skipTest(f"no loop device here: {done.stderr.strip()}")
        device = done.stdout.strip()
        self.addCleanup(subprocess.run, ["losetup", "--detach", device])
        return device

    def test_block_device_stays_one(self):
        device = self.loop_device(128 << 20)
        self.virsh("save", self.guest.name, device)
        self.assertTrue(os.path.exists(device))
        self.assertTrue(harness.stat.S_ISBLK(os.stat(device).st_mode), "the device is still a device")
        saved = self.guest.wait_still()
        self.virsh("restore", device)
        self.guest.wait_count(saved + 10)
        self.still_running()

    def test_block_device_too_small(self):
        device = self.loop_device(128 << 10)
        self.virsh.fails("save", self.guest.name, device)
        self.assertTrue(harness.stat.S_ISBLK(os.stat(device).st_mode))
        self.still_running()

    def test_character_device_and_fifo(self):
        fifo = self.root / "fifo"
        os.mkfifo(fifo)
        self.virsh.fails("save", self.guest.name, fifo)
        self.virsh.fails("save", self.guest.name, "/dev/null")
        self.assertTrue(harness.stat.S_ISFIFO(os.stat(fifo).st_mode))
        self.assertTrue(harness.stat.S_ISCHR(os.stat("/dev/null").st_mode))
        self.still_running()


class Damage(harness.DaemonTest):
    """godwit's own images, loaded before the guest runs: whatever is altered is found before it does."""

    config = 'restore_mode = "eager"\n'
    formats = ("raw", "zstd", "sparse")

    def setUp(self):
        super().setUp()
        self.guest = self.sector().define()
        self.virsh("start", self.guest.name)
        self.guest.wait_count(10)
        self.image = self.root / "vm.save"
        self.copy = self.root / "damaged.save"

    def refused(self, what):
        said = self.virsh.fails("restore", self.copy)
        self.assertEqual(self.guest.state(), "shut off", what)
        self.assertEqual(harness.qemus_of(self.root), [], what)
        self.assertTrue(self.copy.exists(), "the image is kept")
        return said

    def damage(self, image_format, offsets):
        size = self.image.stat().st_size
        for offset in offsets:
            offset = offset % size
            with self.subTest(format=image_format, offset=offset, size=size):
                shutil.copy(self.image, self.copy)
                harness.flip(self.copy, offset)
                self.refused(f"byte {offset} of {size} altered")

    def test_altered(self):
        chance = random.Random(20)
        for image_format in self.formats:
            self.virsh("save", self.guest.name, self.image, "--image-format", image_format)
            saved = self.guest.wait_still()
            size = self.image.stat().st_size
            # header, XML, somewhere in the state, and the end
            self.damage(image_format, [3, 22, 30, 200, -1, -40] + [chance.randrange(size) for _ in range(5)])
            self.virsh("restore", self.image)
            self.guest.wait_count(saved)

    def test_truncated(self):
        for image_format in self.formats:
            self.virsh("save", self.guest.name, self.image, "--image-format", image_format)
            saved = self.guest.wait_still()
            size = self.image.stat().st_size
            for length in (0, 10, 92, 300, size // 2, size - 100, size - 1):
                with self.subTest(format=image_format, length=length):
                    shutil.copy(self.image, self.copy)
                    os.truncate(self.copy, length)
                    self.refused(f"cut to {length} of {size}")
            self.virsh("restore", self.image)
            self.guest.wait_count(saved)

    def test_no_image_at_all(self):
        self.virsh("destroy", self.guest.name)
        self.virsh.fails("restore", self.root / "missing.save")
        self.copy.write_bytes(os.urandom(4096))
        self.refused("random bytes")
        self.copy.write_bytes(b"LibvirtQemudPart" + bytes(4096))
        self.refused("an incomplete save")
        self.virsh.fails("restore", self.root)
        self.virsh.fails("restore", "/dev/zero")
        self.virsh.fails("save-image-dumpxml", self.copy)
        self.check_alive()

    def test_managed_save_that_cannot_be_restored(self):
        self.virsh("managedsave", self.guest.name)
        image = self.managed_save_path(self.guest)
        with open(image, "r+b") as f:
            f.truncate(image.stat().st_size // 2)
        broken = image.read_bytes()
        said = self.virsh.fails("start", self.guest.name)
        self.assertIn("--force-boot", said)
        self.assertEqual(self.guest.state(), "shut off")
        self.assertEqual(image.read_bytes(), broken, "it is kept as it was")
        self.virsh("start", self.guest.name, "--force-boot")
        self.assertFalse(image.exists())
        self.assertEqual(self.guest.reason(), "running (booted)")

    def test_managed_save_whose_disk_is_gone(self):
        """Nothing is wrong with the image: it stays, and works once the disk is back."""
        self.virsh("managedsave", self.guest.name)
        saved = self.guest.wait_still()
        image = self.managed_save_path(self.guest)
        self.guest.disk.rename(self.root / "away.img")
        self.assertIn(str(self.guest.disk), self.virsh.fails("start", self.guest.name))
        self.assertTrue(image.exists())
        (self.root / "away.img").rename(self.guest.disk)
        self.virsh("start", self.guest.name)
        self.guest.wait_count(saved + 10)
        self.guest.check_sequence()


class DamageLazily(Damage):
    """The same while its memory follows: found before it runs, or it is stopped before it sees what was altered.

    Of a sparse image only what holds memory is read at all; raw and zstd are read whole.
    """

    config = ""
    formats = ("raw", "zstd")

    def refused(self, what):
        if self.virsh.run("restore", self.copy).returncode != 0:
            return super().refused(what)
        harness.wait_for(lambda: self.guest.reason() == "paused (I/O error)", f"{what}: the guest is stopped")
        self.assertIn("damaged", self.virsh.fails("resume", self.guest.name))
        self.assertTrue(self.copy.exists(), "the image is kept")
        self.virsh("destroy", self.guest.name)
        return ""


if __name__ == "__main__":
    unittest.main(verbosity=2)
