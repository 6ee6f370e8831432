#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The programs that take storage snapshots (hooks/): on real file systems, and for volumes which commands they give."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import harness

HOOKS = harness.TREE / "hooks"


class Base(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="gw-", dir=os.environ.get("GODWIT_TEST_DIR")))
        self.addCleanup(shutil.rmtree, self.root, True)
        self.environment = dict(os.environ)

    def exists(self, program, snapshot, *disks):
        """What it wrote to standard output."""
        done = subprocess.run([HOOKS / program, "exists", "vm", snapshot, *disks], env=self.environment, capture_output=True, text=True,
                              check=True)
        return done.stdout

    def hook(self, program, action, snapshot, *disks, fails=False):
        """What it wrote to standard error."""
        done = subprocess.run([HOOKS / program, action, "vm", snapshot, *disks], env=self.environment, capture_output=True, text=True,
                              check=False)
        self.assertEqual(done.returncode != 0, fails, done.stderr)
        return done.stderr


class FileSystems(Base):
    def mount(self, make):
        if not harness.IS_ROOT:
            self.skipTest("mounting needs root")
        image, point = self.root / "image", self.root / "mnt"
        with open(image, "wb") as f:
            f.truncate(320 << 20)
        subprocess.run([*make, image], check=True, capture_output=True)
        point.mkdir()
        done = subprocess.run(["mount", "-o", "loop", image, point], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            self.skipTest(f"no loop mounts here: {done.stderr}")
        self.addCleanup(subprocess.run, ["umount", point], check=True)
        return point

    def there_and_back(self, program, directory):
        disks = [directory / "a.img", directory / "b.img"]
        words = [f"vd{letter}={path}" for letter, path in zip("ab", disks)]

        def write(text):
            for path in disks:
                path.write_text(f"{text} {path.name}" * 1000)

        def holds(text):
            for path in disks:
                self.assertEqual(path.read_text(), f"{text} {path.name}" * 1000)

        write("one")
        self.assertEqual(self.exists(program, "s1", *words), "no\n")
        self.hook(program, "create", "s1", words[1])
        self.assertEqual(self.exists(program, "s1", *words), "yes\n", "of one of them")
        self.hook(program, "create", "s1", *words)
        self.assertEqual(self.exists(program, "s1", *words), "yes\n")
        self.assertEqual(self.exists(program, "s", *words), "no\n")
        self.assertNotEqual(self.hook(program, "exists", "s1", words[0], "vdc=/nowhere/c.img", fails=True), "")
        write("two")
        self.hook(program, "create", "s2", *words)
        write("three")
        for snapshot, text in (("s1", "one"), ("s2", "two"), ("s1", "one"), ("s1", "one")):
            self.hook(program, "revert", snapshot, *words)
            holds(text)
        self.hook(program, "create", "s1", *words) # again: what it is now
        self.hook(program, "delete", "s1", *words)
        self.hook(program, "delete", "s1", *words)
        self.assertEqual(self.exists(program, "s1", *words), "no\n")
        self.assertIn("not there", self.hook(program, "revert", "s1", *words, fails=True))
        holds("one")
        self.hook(program, "revert", "s2", *words)
        holds("two")
        self.hook(program, "delete", "s2", *words)
        self.assertEqual(sorted(directory.iterdir()), disks)

    def test_reflink(self):
        self.there_and_back("reflink", self.mount(["mkfs.xfs", "-q"]))

    def test_btrfs(self):
        point = self.mount(["mkfs.btrfs", "-q"])
        subprocess.run(["btrfs", "subvolume", "create", point / "vms"], check=True, capture_output=True)
        (point / "vms/deep").mkdir()
        with self.subTest("a subvolume of its own"):
            self.there_and_back("btrfs", point / "vms/deep")
        with self.subTest("reflink on btrfs"):
            self.there_and_back("reflink", point / "vms/deep")

    def test_elsewhere(self):
        disk = self.root / "a.img"
        disk.write_text("x")
        if subprocess.run(["cp", "--reflink=always", disk, self.root / "b"], capture_output=True, check=False).returncode == 0:
            self.skipTest("this file system can share blocks")
        self.assertIn("XFS or btrfs", self.hook("reflink", "create", "s", f"vda={disk}", fails=True))
        self.assertIn("not on btrfs", self.hook("btrfs", "create", "s", f"vda={disk}", fails=True))
        self.assertEqual(sorted(p.name for p in self.root.iterdir() if p.name != "b"), ["a.img"])


class Volumes(Base):
    """With programs in place of the volume managers' that note what they are told."""

    def setUp(self):
        super().setUp()
        self.told = self.root / "told"
        self.environment.update(PATH=f"{self.root}:{os.environ['PATH']}", TOLD=str(self.told))

    def fake(self, name, body):
        path = self.root / name
        path.write_text(f"#!/bin/sh\necho {name} \"$@\" >>$TOLD\n{body}\n")
        path.chmod(0o755)

    def commands(self):
        text = self.told.read_text()
        self.told.unlink()
        return text.splitlines()

    def test_lvm_thin(self):
        self.fake("lvs", 'case $* in *godwit*) exit 5 ;; *pool_lv*) echo " vg lv ${POOL-pool}" ;; esac')
        for name in ("lvcreate", "lvconvert", "lvremove"):
            self.fake(name, "")
        ask = "lvs --noheadings -o vg_name,lv_name,pool_lv /dev/vg/lv"
        self.hook("lvm-thin", "create", "s", "vda=/dev/vg/lv")
        self.assertEqual(self.commands(), [ask, "lvs vg/lv-godwit-s", "lvcreate --snapshot --name lv-godwit-s vg/lv"])
        self.hook("lvm-thin", "revert", "s", "vda=/dev/vg/lv")
        self.assertEqual(self.commands(), [ask, "lvcreate --snapshot --setactivationskip n --name lv-godwit.merge vg/lv-godwit-s",
                                           "lvconvert --yes --merge vg/lv-godwit.merge"])
        self.hook("lvm-thin", "delete", "s", "vda=/dev/vg/lv")
        self.assertEqual(self.commands(), [ask, "lvs vg/lv-godwit-s"])
        self.assertEqual(self.exists("lvm-thin", "s", "vda=/dev/vg/lv"), "no\n")
        self.assertEqual(self.commands(), [ask, "lvs --noheadings -o lv_name vg"])
        self.environment["POOL"] = ""
        self.assertIn("not a thin", self.hook("lvm-thin", "create", "s", "vda=/dev/vg/lv", fails=True))
        self.assertIn("not a thin", self.hook("lvm-thin", "exists", "s", "vda=/dev/vg/lv", fails=True))
        self.fake("lvs", 'case $* in *pool_lv*) echo " vg lv pool" ;; *) printf "  lv\\n  lv-godwit-s\\n" ;; esac')
        self.assertEqual(self.exists("lvm-thin", "s", "vda=/dev/vg/lv"), "yes\n")
        self.assertEqual(self.exists("lvm-thin", "s2", "vda=/dev/vg/lv"), "no\n")
        self.fake("lvs", 'case $* in *pool_lv*) echo " vg lv pool" ;; *) exit 5 ;; esac')
        self.assertIn("cannot list", self.hook("lvm-thin", "exists", "s", "vda=/dev/vg/lv", fails=True))

    def test_zfs(self):
        self.fake("zfs", "")
        self.hook("zfs", "create", "s", "vda=/dev/zvol/tank/vm/a", "vdb=/dev/zvol/tank/b")
        self.hook("zfs", "create", "godwit-present", "vda=/dev/zvol/tank/vm/a")
        self.hook("zfs", "revert", "s", "vda=/dev/zvol/tank/vm/a")
        self.hook("zfs", "delete", "s", "vda=/dev/zvol/tank/vm/a")
        self.assertEqual(self.commands(), [
            "zfs snapshot tank/vm/a@godwit-s", "zfs snapshot tank/b@godwit-s", "zfs rollback tank/vm/a@godwit-s",
            "zfs list -t snapshot tank/vm/a@godwit-s", "zfs destroy tank/vm/a@godwit-s"])
        self.assertIn("/dev/zvol", self.hook("zfs", "create", "s", "vda=/vm/a.img", fails=True))
        self.assertIn("/dev/zvol", self.hook("zfs", "exists", "s", "vda=/vm/a.img", fails=True))
        self.fake("zfs", "printf 'tank/b@godwit-s\\ntank/b@other\\n'")
        self.assertEqual(self.exists("zfs", "s", "vda=/dev/zvol/tank/b"), "yes\n")
        self.assertEqual(self.commands(), ["zfs list -H -o name -t snapshot -d 1 tank/b"])
        self.assertEqual(self.exists("zfs", "other", "vda=/dev/zvol/tank/b"), "no\n")
        self.fake("zfs", "exit 1")
        self.assertIn("cannot list", self.hook("zfs", "exists", "s", "vda=/dev/zvol/tank/b", fails=True))
        self.assertIn("could not be kept", self.hook("zfs", "revert", "godwit-present", "vda=/dev/zvol/a", fails=True))

    def test_arguments(self):
        for arguments, word in (((), "usage"), (("create", "vm", "s"), "usage"), (("make", "vm", "s", "vda=/x"), "make"),
                                (("create", "vm", "a/b", "vda=/x"), "a/b"), (("create", "..", "s", "vda=/x"), "..")):
            done = subprocess.run([HOOKS / "reflink", *arguments], capture_output=True, text=True, check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(word, done.stderr)


if __name__ == "__main__":
    harness.main()
