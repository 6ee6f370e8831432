#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Snapshots go, and what is left reads as before: the VM running and off, chains and branches, in any order.

The guest is the boot sector, which does not use the disk; it is written by qemu-io, or by QEMU when asked to.
"""

import concurrent.futures
import fcntl
import itertools
import json
import os
import signal
import struct
import unittest

import harness
import rpc
import snapshots

F_OFD_SETLK = 37


class Delete(harness.DaemonTest):
    def setUp(self):
        super().setUp()
        self.count = 0

    def disk(self, form="raw"):
        self.count += 1
        return snapshots.Disk(self, self.sector(f"vm{self.count}"), form)

    def chain(self, n, form="raw"):
        disk = self.disk(form)
        disk.write(0, 1, 2, 3, 4)
        for i in range(n):
            disk.take(f"s{i}", f"s{i - 1}" if i else None)
            present = disk.write(i % 5, 5 + i % 10)
        return disk, present

    def tree(self, disk):
        lines = self.virsh("snapshot-list", disk.guest.name, "--tree").split()
        return [w for w in lines if w.startswith("s")]

    def alone(self, disk, present):
        """No snapshot is left: the disk is called what it was."""
        self.assertEqual(disk.source(), disk.base)
        self.assertEqual(list(disk.directory.iterdir()), [disk.base])
        self.assertEqual(disk.read(disk.base), present)
        self.assertFalse((self.root / "lib/snapshot" / disk.guest.name).exists())

    def test_orders(self):
        for order in itertools.permutations(range(3)):
            disk, present = self.chain(3, "raw" if order[0] else "qcow2")
            for i in order:
                disk.delete(f"s{i}")
                disk.check(present)
                present = disk.write(11)
            self.alone(disk, present)

    def test_unreadable(self):
        """What a snapshot with damaged metadata needs is not known: nothing goes until that is settled."""
        disk, present = self.chain(3)
        name = disk.guest.name
        path = self.root / "lib/snapshot" / name / "s1.xml"
        whole = path.read_bytes()
        path.write_bytes(whole[:100])
        self.daemon.restart()
        files = sorted(disk.directory.iterdir())
        for words in (("snapshot-delete", name, "s0"), ("snapshot-delete", name, "s0", "--children"),
                      ("snapshot-revert", name, "s2"), ("undefine", name, "--snapshots-metadata"),
                      ("snapshot-create-as", name, "s1", "--disk-only"), ("snapshot-dumpxml", name, "s1")):
            with self.subTest(words=words):
                said = self.virsh.fails(*words)
                self.assertIn("'s1'", said)
                self.assertIn("cannot be read", said)
        self.assertEqual(sorted(disk.directory.iterdir()), files)
        self.assertEqual(path.read_bytes(), whole[:100])
        path.write_bytes(whole)
        self.daemon.restart()
        disk.delete("s0")
        disk.check(present)
        path.write_bytes(whole[:100])
        self.daemon.restart()
        self.virsh("snapshot-delete", name, "s1", "--metadata")
        self.virsh("snapshot-delete", name, "s2")
        self.assertFalse(path.exists())

    def test_running(self):
        """First, middle, current, and what is left, of a chain of four."""
        disk, present = self.chain(4)
        self.virsh("start", disk.guest.name)
        disk.guest.wait_count(3)
        for name in ("s0", "s2", "s3", "s1"):
            present = disk.write(7, 12)
            disk.delete(name)
            disk.check(present)
        self.alone(disk, present)
        present = disk.write(13)
        disk.guest.wait_count(disk.guest.last() + 3)
        self.virsh("destroy", disk.guest.name)
        disk.check(present)

    def filled(self):
        """One snapshot, and 32 MiB written since."""
        disk = snapshots.Disk(self, self.sector("vm"), size=32 * snapshots.MIB)
        disk.take("s0")
        snapshots.tool("qemu-io", "-f", "qcow2", "-c", "write -q -P 7 0 32M", disk.top)
        return disk

    def job(self, disk, *options):
        figures = json.loads(harness.Godwit(self.daemon)("domjobinfo", disk.guest.name, "--json", *options))
        return figures["operation"], figures["figures"]

    def test_figures(self):
        """How much is to be merged, and how much of it is: while QEMU is at it, and of one that is over."""
        disk = self.filled()
        self.virsh("start", disk.guest.name)
        qemu = json.loads((self.root / f"run/vm/{disk.guest.uuid}/status.json").read_text())["pid"]
        # It is told the speed right behind the job, and hears of both at once.
        os.kill(qemu, signal.SIGSTOP)
        self.addCleanup(harness.kill_and_wait, qemu)
        with concurrent.futures.ThreadPoolExecutor() as threads, rpc.Connection(self.daemon.socket) as client:
            handle = client.open().lookup(disk.guest.name)
            deletion = threads.submit(self.virsh, "snapshot-delete", disk.guest.name, "s0")

            def is_told():
                """There being a job QEMU is asked, and does not answer; else the refusal comes first."""
                client.post(rpc.SET_JOB_SPEED, handle + rpc.string("vda") + struct.pack(">QI", 1, 0))
                return client.post(rpc.GET_URI) == client.receive().serial or not client.receive()

            harness.wait_for(is_told, "QEMU is told to merge")
            os.kill(qemu, signal.SIGCONT)
            harness.wait_for(lambda: self.job(disk)[1].get("disk_processed", 0) > 0, "some of it is merged")
            operation, figures = self.job(disk)
            self.assertEqual(operation, "Snapshot delete")
            self.assertGreaterEqual(figures["disk_total"], 32 * snapshots.MIB)
            self.assertLess(figures["disk_processed"], figures["disk_total"])
            self.assertEqual(figures["disk_remaining"], figures["disk_total"] - figures["disk_processed"])
            self.assertIn("File total:", self.virsh("domjobinfo", disk.guest.name))
            self.virsh("blockjob", disk.guest.name, "vda", "--bandwidth", "0")
            deletion.result()
        self.all_merged(disk)

    def test_figures_off(self):
        disk = self.filled()
        disk.delete("s0")
        self.all_merged(disk)
        self.assertIn("domain is not running", self.virsh.fails("domjobinfo", disk.guest.name))

    def all_merged(self, disk):
        operation, figures = self.job(disk, "--completed")
        self.assertEqual(operation, "Snapshot delete")
        self.assertGreaterEqual(figures["disk_total"], 32 * snapshots.MIB)
        self.assertEqual(figures["disk_processed"], figures["disk_total"])
        self.assertEqual(figures["data_remaining"], 0)

    def test_tree(self):
        """Children become the parent's, the parent becomes current; --children and --children-only."""
        disk, present = self.chain(4)
        name = disk.guest.name
        disk.delete("s1")
        self.assertEqual(self.virsh("snapshot-parent", name, "s2").strip(), "s0")
        disk.delete("s3")
        self.assertEqual(self.virsh("snapshot-current", name, "--name").strip(), "s2")
        disk.check(present)
        disk.delete("s0", "--children-only")
        self.assertEqual(self.tree(disk), ["s0"])
        self.assertEqual(self.virsh("snapshot-current", name, "--name").strip(), "s0")
        disk.check(present)
        disk.delete("s0", "--children")
        self.alone(disk, present)

    def branches(self):
        """s0 with two branches: s1, s2 and s3, the present."""
        disk, _ = self.chain(3)
        disk.revert("s0")
        disk.write(3, 9)
        disk.take("s3", "s0")
        return disk, disk.write(4, 8)

    def test_branches(self):
        for order in (("s0", "s1", "s2", "s3"), ("s0", "s3", "s2", "s1"), ("s2", "s0", "s3", "s1"), ("s1", "s3", "s0", "s2")):
            disk, present = self.branches()
            disk.check(present)
            for name in order:
                disk.delete(name)
                disk.check(present)
                present = disk.write(14)
            self.alone(disk, present)

    def test_branches_running(self):
        """The images of the other branch are not QEMU's; what is beneath both stays until one is gone, whatever daemon it is."""
        disk, present = self.branches()
        self.virsh("start", disk.guest.name)
        for name in ("s0", "s1", "s2", "s3"):
            disk.delete(name)
            disk.check(present)
            self.daemon.restart()
            present = disk.write(14)
        self.alone(disk, present)

    def test_thirty(self):
        disk, present = self.chain(30)
        for name in ("s10", "s29", "s0"):
            disk.delete(name)
        disk.check(present)
        self.virsh("start", disk.guest.name)
        present = disk.write(2)
        disk.delete("s20", "--children")
        disk.check(present)
        disk.delete("s1", "--children")
        self.alone(disk, present)

    def test_refused(self):
        """Before anything changes, and by name."""
        disk, present = self.chain(2)
        name = disk.guest.name
        hidden = disk.directory.parent / "hidden"
        frozen = disk.frozen_by("s1")
        frozen.rename(hidden)
        self.assertIn(str(frozen), self.virsh.fails("snapshot-delete", name, "s1"))
        self.assertIn(str(frozen), self.virsh.fails("snapshot-delete", name, "s0"))
        hidden.rename(frozen)
        disk.check(present)
        self.assertIn("nobody", self.virsh.fails("snapshot-delete", name, "nobody"))
        other = self.sector("other")
        other.define(extra_devices=disk.disk_xml().replace(str(disk.top), str(frozen)))
        disk.delete("s1")
        self.assertEqual(disk.source(), disk.top)
        self.virsh("undefine", "other")
        disk.delete("s0")
        self.alone(disk, present)

    def test_saved(self):
        """A managed save needs its disks under their names."""
        disk, present = self.chain(2)
        name = disk.guest.name
        self.virsh("start", name)
        disk.guest.wait_count(3)
        self.virsh("managedsave", name)
        self.assertIn("managed save", self.virsh.fails("snapshot-delete", name, "s1"))
        disk.delete("s0")
        disk.check(present)
        self.virsh("managedsave-remove", name)
        disk.delete("s1")
        self.alone(disk, present)

    def test_used_by_name(self):
        """A file that has come to the place of one that is gone is nobody's overlay."""
        disk, present = self.chain(2)
        disk.revert("s1")
        gone = disk.directory / "overlay2"
        gone.write_text("precious")
        disk.delete("s1", "s0")
        self.assertEqual(gone.read_text(), "precious")

    def test_in_use(self):
        """A merge that fails leaves everybody else as they were, and can be done again."""
        disk, present = self.chain(2)
        name = disk.guest.name
        with open(disk.base, "rb") as user:
            # as a QEMU does that shares its image with readers only
            fcntl.fcntl(user, F_OFD_SETLK, struct.pack("hhxxxxqqixxxx", fcntl.F_RDLCK, os.SEEK_SET, 201, 1, 0))
            self.assertIn("lock", self.virsh.fails("snapshot-delete", name, "s0"))
        self.assertIn("snapshotDeleteInProgress", self.virsh("snapshot-dumpxml", name, "s0"))
        disk.check(present)
        self.daemon.restart(GODWIT_FAULT="snapshot-delete/mark/begun")
        self.virsh.fails("snapshot-delete", name, "s0")
        self.daemon.process.wait()
        self.daemon.start()
        harness.wait_for(lambda: not list((self.root / "lib/journal").iterdir()), "it is undone")
        self.assertIn("snapshotDeleteInProgress", self.virsh("snapshot-dumpxml", name, "s0"), "an earlier one has begun")
        disk.delete("s0")
        disk.check(present)

    def test_detached(self):
        """A disk that was taken from the VM is its user's, with what it stands on."""
        disk, present = self.chain(2)
        top = disk.top
        disk.guest.define()
        for snapshot in ("s1", "s0"):
            self.virsh("snapshot-delete", disk.guest.name, snapshot)
        self.assertEqual(disk.read(top), present)


if __name__ == "__main__":
    unittest.main(verbosity=2)
