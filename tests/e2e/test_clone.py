#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clones: many VMs that go on where one was saved, each with disks, a name and a console of its own."""

import hashlib
import os
import re
import struct
import unittest

import harness
import rpc

COUNT = 3
GET_ALL_DOMAIN_STATS = 344


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


class CloneTest(harness.DaemonTest):
    def setUp(self):
        super().setUp()
        self.godwit = harness.Godwit(self.daemon)
        self.image = self.root / "original.save"
        self.clones_directory = self.root / "lib/clones"

    def save(self, guest, image_format="sparse", *more):
        self.virsh("start", guest.name)
        guest.wait_count(20)
        self.virsh("save", guest.name, self.image, "--image-format", image_format, *more)
        self.saved = guest.wait_still()

    def names(self):
        return sorted(self.virsh("list", "--all", "--name").split())

    def xml_value(self, name, pattern):
        return re.findall(pattern, self.virsh("dumpxml", name, "--inactive"))


class ManyAtOnce(CloneTest):
    """One guest, saved once, and all that is done with its clones."""

    def goes_on(self, clone):
        """Memory and disk are whole and of one instant, and it counts where the other one stopped."""
        clone.wait_count(self.saved)
        for command in ("check-memory", "check-disk", "status"):
            good, values = clone.ask(command)
            self.assertTrue(good, f"{clone.name}: {command} says {values}")
        numbers = clone.numbers()
        self.assertLessEqual(numbers[0], self.saved + 2)
        clone.check_sequence(numbers[0])

    def private_kib(self, name):
        """What its memory takes beside the image's."""
        pid = next(p for p, c in harness.processes_of(self.root).items() if f"-name guest={name}," in c)
        with open(f"/proc/{pid}/smaps") as smaps:
            mapping = re.search(rf"{self.image}\n(.*?)VmFlags", smaps.read(), re.S).group(1)
        return int(re.search(r"Private_Dirty: +(\d+)", mapping).group(1))

    def check_their_own(self, clones):
        names = [clone.name for clone in clones]
        self.assertEqual(self.names(), ["original", *names])
        for what, pattern in (("UUIDs", "<uuid>(.*?)</uuid>"), ("MAC addresses", "<mac address='(.*?)'"),
                              ("disks", "<source file='(.*?)'"), ("consoles", "<source path='(.*?console)'")):
            values = {value for name in ("original", *names) for value in self.xml_value(name, pattern)}
            self.assertEqual(len(values), COUNT + 1, what)
        for name in names:
            self.assertEqual(self.virsh("domstate", name), "running")
            self.assertLess(self.private_kib(name), 64 << 10, "most of its memory is the image's")

    def save_and_start(self, clone):
        self.virsh("managedsave", clone.name)
        before = clone.wait_still()
        self.virsh("start", clone.name)
        clone.wait_count(before)
        self.goes_on(clone)

    def save_and_restore(self, clone):
        image = self.root / "again.save"
        self.virsh("save", clone.name, image)
        before = clone.wait_still()
        self.virsh("restore", image)
        clone.wait_count(before)
        self.goes_on(clone)

    def disappear(self, clone):
        directory = self.clones_directory / self.virsh("domuuid", clone.name)
        self.assertEqual(os.listdir(directory), ["vda.qcow2"])
        self.assertRegex(self.virsh.fails("undefine", clone.name), "is a clone and runs")
        self.goes_on(clone)
        self.virsh("destroy", clone.name)
        self.virsh("undefine", clone.name)
        self.assertFalse(directory.exists())

    def test_life(self):
        original = self.linux("original", network=True, arguments="gw.mem=32").define()
        self.save(original)
        image, disk = digest(self.image), digest(original.disk)
        self.godwit("clone", self.image, "--name", "web", "--count", COUNT, "--verify")
        clones = [self.linux(f"web-{i + 1}") for i in range(COUNT)]
        for clone in clones:
            self.goes_on(clone)
        self.check_their_own(clones)
        self.assertRegex(self.virsh.fails("start", "original"), "(?i)lock", "its disk is read by others")

        self.save_and_start(clones[0])
        self.save_and_restore(clones[1])
        self.assertEqual((digest(self.image), digest(original.disk)), (image, disk))
        self.daemon.restart(kill=True)
        # Its name is all that goes.
        self.image.unlink()
        self.virsh("domrename", "original", "other")
        for clone in clones:
            self.goes_on(clone)
            self.disappear(clone)
        self.assertEqual(os.listdir(self.clones_directory), [])
        self.virsh("start", "other")


class Requests(CloneTest):
    """What is asked for, and what cannot be."""

    def setUp(self):
        super().setUp()
        self.guest = self.sector("original").define()

    def refused(self, message, *args, image=None):
        before = self.names()
        self.assertRegex(self.godwit.fails("clone", image or self.image, *args), message)
        self.assertEqual(self.names(), before)
        self.assertEqual(os.listdir(self.clones_directory), [])

    def test_what_cannot_be(self):
        self.save(self.guest)
        self.refused("count", "--name", "c", "--count", "0")
        self.refused("(?i)name", "--name", "a/b")
        self.refused("already exists", "--name", "original")
        self.refused("missing", "--name", "c", image=self.root / "missing.save")
        self.refused("(?i)image", "--name", "c", image=self.guest.disk)
        cut = self.root / "cut.save"
        cut.write_bytes(self.image.read_bytes()[:-5000])
        self.refused("truncated|damaged", "--name", "c", image=cut)
        self.virsh("restore", self.image)
        self.refused("disk of the saved VM.*is being written to", "--name", "c")  # the original writes to the disk
        for image_format in ("zstd", "raw"):
            self.virsh("save", "original", self.image, "--image-format", image_format)
            self.refused(f"{image_format}.*convert", "--name", "c")
            self.virsh("restore", self.image)

    def test_damage(self):
        """In what godwit reads it is always noticed; in memory that is mapped, when that is asked for."""
        self.save(self.guest)
        memory, devices = (9 << 20) + 77, os.stat(self.image).st_size - 3000
        harness.flip(self.image, devices)
        self.refused("damaged", "--name", "c")
        harness.flip(self.image, devices)
        harness.flip(self.image, memory)
        self.refused("damaged", "--name", "c", "--count", "2", "--verify")
        self.godwit("clone", self.image, "--name", "c", "--paused")
        harness.flip(self.image, memory)

    def test_asked_meanwhile(self):
        """Clones that are not there yet are VMs that can be asked."""
        self.save(self.guest)
        answers = 0
        with rpc.Connection(self.daemon.socket).open() as connection:
            client = self.godwit.start("clone", self.image, "--name", "c", "--count", "6", "--verify")
            while client.poll() is None:
                self.assertEqual(connection.call(GET_ALL_DOMAIN_STATS, struct.pack(">III", 0, 0, 0)).status, rpc.OK)
                answers += 1
        self.assertEqual(client.returncode, 0, client.stderr.read())
        self.assertGreater(answers, 20)
        self.check_alive()

    def test_what_exists_but_once(self):
        self.virsh("undefine", "original")
        disk = self.root / "shared.img"
        disk.write_bytes(bytes(1 << 20))
        self.guest.define(extra_devices=f"<disk type='file'><source file='{disk}'/><target dev='hdb' bus='ide'/>"
                                        "<shareable/></disk>")
        self.save(self.guest)
        self.refused("disk hdb is shared", "--name", "c")

    def test_disks_that_were_written_since(self):
        self.save(self.guest)
        with open(self.guest.disk, "r+b") as disk:
            disk.seek(100 << 10)
            disk.write(b"other contents")
        self.refused("do not fit together", "--name", "c")

    def test_paused(self):
        self.save(self.guest, "sparse", "--paused")
        self.godwit("clone", self.image, "--name", "as-saved")
        self.assertEqual(self.virsh("domstate", "as-saved"), "paused")
        clone = self.sector("as-saved")
        self.virsh("resume", clone.name)
        clone.wait_count(self.saved)
        self.assertEqual(clone.numbers()[0], self.saved + 1)

    def test_one_of_them_fails(self):
        self.save(self.guest)
        self.virsh("define", self.sector("c-2").write_xml())
        said = self.godwit.run("clone", self.image, "--name", "c", "--count", "30")
        self.assertEqual(said.returncode, 1)
        self.assertRegex(said.stderr, "c-2.*already exists")
        made = [name for name in self.names() if name not in ("c-2", "original")]
        self.assertIn("c-1", made)
        self.assertLess(len(made), 29, "no more are begun")
        self.assertRegex(said.stdout, rf"{len(made)} of 30 ")
        for name in made:
            self.assertEqual(self.virsh("domstate", name), "running")
        self.assertEqual(len(os.listdir(self.clones_directory)), len(made))


if __name__ == "__main__":
    unittest.main(verbosity=2)
