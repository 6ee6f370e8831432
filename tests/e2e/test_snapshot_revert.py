#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Going back to snapshots: the guest goes on where it was, and until it does the present is not lost."""

import ctypes
import json
import os
import pathlib
import re
import signal
import unittest

import harness
import reverting


class Revert(harness.DaemonTest):
    def setUp(self):
        super().setUp()
        self.snapshots = reverting.Snapshots(self)
        self.guest = self.snapshots.guest

    def revert_disk(self, name):
        xml = self.virsh("snapshot-dumpxml", self.guest.name, name).partition("<revertDisks>")[2]
        return re.search(r"<source file='([^']+)'", xml)[1]

    def test_back_and_forth(self):
        """Running, again, to another one and back; then of a VM that is off, and paused."""
        s = self.snapshots
        s.boot()
        first = s.take("first")
        s.revert("first")
        s.check_back(first, parked=False)
        overlay = s.disk()
        self.assertEqual(str(overlay), self.revert_disk("first"))
        second = s.take("second")
        self.assertIn("first", self.virsh("snapshot-parent", self.guest.name, "second"))

        with self.subTest("to the parent, and back to the child"):
            s.revert("second", "--running")
            s.check_back(second, parked=False)
            child = s.disk()
            qemu = harness.qemus_of(self.root)
            s.revert("first")
            s.check_back(first)
            self.assertNotEqual(harness.qemus_of(self.root), qemu)
            self.assertEqual(len(harness.qemus_of(self.root)), 1, "the parked one is gone")
            self.assertEqual(s.left_over(), [])
            self.assertTrue(overlay.exists(), "the second stands on it")
            self.assertFalse(child.exists(), "nobody needs it")
            s.revert("second")
            s.check_back(second)
            self.assertEqual(self.virsh("snapshot-list", self.guest.name, "--roots", "--name").split(), ["first"])
            self.assertEqual(self.virsh("snapshot-list", self.guest.name, "--leaves", "--name").split(), ["second"])
        with self.subTest("again to the same"):
            before = s.disk()
            s.revert("second")
            s.check_back(second)
            self.assertFalse(before.exists())
            self.assertEqual(str(s.disk()), self.revert_disk("second"))
            self.assertEqual(self.virsh("snapshot-current", self.guest.name, "--name"), "second")
        with self.subTest("paused"):
            s.revert("first", "--paused")
            self.assertEqual(self.guest.reason(), "paused (from snapshot)")
            harness.wait_for(lambda: "None" in self.virsh("domjobinfo", self.guest.name), "memory is in")
            nodes = self.virsh("qemu-monitor-command", self.guest.name, '{"execute": "query-named-block-nodes"}')
            self.assertIn('"active":true', nodes)
            self.assertNotIn('"active":false', nodes)
            self.virsh("resume", self.guest.name)
            s.check_back(first)
        self.assertTrue((self.root / "first.memory").exists(), "the image stays")
        self.virsh("destroy", self.guest.name)
        s.check_files()

    def test_the_present_is_not_lost(self):
        s = self.snapshots
        s.boot()
        first = s.take("first")
        s.boot_present()
        image = self.root / "first.memory"
        files = set(os.listdir(self.root))

        def fails(why, *flags):
            qemus = harness.qemus_of(self.root)
            said = self.virsh.fails("snapshot-revert", self.guest.name, "first", *flags)
            self.assertRegex(said, why)
            self.assertEqual(harness.qemus_of(self.root), qemus)
            s.check_present()
            self.assertEqual(s.left_over(), [])
            self.assertEqual(set(os.listdir(self.root)), files)
            self.assertEqual(self.guest.reason().split()[0], "running")

        with self.subTest("the image is damaged"):
            middle = image.stat().st_size - 5000
            harness.flip(image, middle)
            fails("first.memory")
            harness.flip(image, middle)
        with self.subTest("the image is gone"):
            image.rename(self.root / "elsewhere")
            self.assertRegex(self.virsh.fails("snapshot-revert", self.guest.name, "first"), "No such file")
            (self.root / "elsewhere").rename(image)
            s.check_present()
        with self.subTest("the disk was written since"):
            times = os.stat(self.guest.disk)
            os.utime(self.guest.disk, (1, 1))
            fails("do not fit together.*--force")
            os.utime(self.guest.disk, ns=(times.st_atime_ns, times.st_mtime_ns))
        with self.subTest("wrong arguments"):
            self.assertIn("nothing", self.virsh.fails("snapshot-revert", self.guest.name, "nothing"))
            self.assertIn("exclusive", self.virsh.fails("snapshot-revert", self.guest.name, "first", "--running", "--paused"))
        s.revert("first")
        s.check_back(first)

    def parked(self):
        """The process that is put aside."""
        path = self.root / f"run/vm/{self.guest.uuid}.parked/status.json"
        return json.loads(path.read_text())["pid"] if path.exists() else None

    def revert_held(self, point):
        """Begin, and hold the daemon at `point`: the client, and what lets it go."""
        self.snapshots.leave_behind("first")
        self.daemon.restart(GODWIT_FAULT=point + "=stop")
        client = self.virsh.start("snapshot-revert", self.guest.name, "first")
        daemon = self.daemon.process.pid
        harness.wait_for(lambda: "T (stopped)" in pathlib.Path(f"/proc/{daemon}/status").read_text(), f"it stops at {point}")
        return client, lambda: os.kill(daemon, signal.SIGCONT)

    def test_the_parked_one_ends(self):
        """Before the other one runs: then there is nothing to go back to, which matters only when that fails."""
        s = self.snapshots
        s.boot()
        first = s.take("first")
        for damaged in (True, False):
            with self.subTest(damaged=damaged):
                s.boot_present()
                client, go_on = self.revert_held("snapshot-revert/check-disks/begun")
                times = os.stat(self.guest.disk)
                if damaged:
                    os.utime(self.guest.disk, (1, 1))
                harness.kill_and_wait(self.parked())
                go_on()
                said = client.communicate()[1]
                os.utime(self.guest.disk, ns=(times.st_atime_ns, times.st_mtime_ns))
                if damaged:
                    self.assertRegex(said, "do not fit together.*it is off now")
                    self.assertEqual(self.guest.state(), "shut off")
                else:
                    self.assertEqual(client.returncode, 0, said)
                    s.check_back(first)
                self.assertEqual(s.left_over(), [])

    def test_destroyed_meanwhile(self):
        s = self.snapshots
        s.boot()
        s.take("first")
        s.boot_present()
        client, go_on = self.revert_held("snapshot-revert/spawn/done")
        destroy = self.virsh.start("destroy", self.guest.name)
        go_on()
        self.assertEqual(destroy.wait(60), 0, destroy.stderr.read())
        client.communicate()
        self.assertEqual(self.guest.state(), "shut off")
        self.assertEqual(harness.qemus_of(self.root), [])
        self.assertEqual(os.listdir(self.root / "run/vm"), [])
        destroy.communicate()

    def test_of_one_taken_while_it_ran(self):
        s = self.snapshots
        s.boot()
        self.virsh("snapshot-create-as", s.name, "one", "--memspec", f"file={self.root}/one.memory", "--diskspec",
                   "vda,snapshot=external")
        taken = self.guest.last()
        harness.wait_for(lambda: self.guest.last() > taken + 5, "it goes on")
        for _ in range(2):
            s.revert("one")
            harness.wait_for(lambda: len(s.runs()) == 2 and len(s.runs()[1]) > 5, "it goes on where it was taken")
            self.assertLessEqual(s.runs()[1][0], taken)
            s.is_good()

    def test_off(self):
        """Of a VM that was off: it is off again, or boots, from an overlay."""
        s = self.snapshots
        self.guest.define()
        s.take("off", "shutoff")
        before = s.disk()
        s.revert("off")
        self.assertEqual(self.guest.state(), "shut off")
        self.assertFalse(before.exists())
        self.assertEqual(str(s.disk()), self.revert_disk("off"))
        with self.subTest("what another VM uses stays"):
            before = s.disk()
            other = self.sector("other")
            other.define(extra_devices=f"""<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
              <source file='{before}'/><target dev='vdb' bus='virtio'/></disk>""")
            s.revert("off")
            self.assertTrue(before.exists())
            self.virsh("undefine", "other")
        with self.subTest("so does a file that has come to its place"):
            before = s.disk()
            before.write_text("precious")
            s.revert("off")
            self.assertEqual(before.read_text(), "precious")
        s.revert("off", "--running")
        s.wait_ready()
        self.assertEqual(self.guest.reason(), "running (from snapshot)")
        overlay = s.disk()
        s.revert("off")
        self.assertEqual(self.guest.reason(), "shut off (from snapshot)")
        self.assertFalse(overlay.exists())
        self.assertEqual(harness.qemus_of(self.root), [])
        with self.subTest("a managed save goes with the disks that are left"):
            self.virsh("start", self.guest.name)
            self.virsh("managedsave", self.guest.name)
            overlay = s.disk()
            self.assertIn("managed save", self.virsh.fails("snapshot-revert", self.guest.name, "off"))
            s.revert("off", "--force")
            self.assertEqual(list((self.root / "lib").glob("**/*.save")), [])
            self.assertFalse(overlay.exists())
        s.check_files()


class Variables(harness.DaemonTest):
    """Of the firmware: QEMU has the file, and writes it only when the guest does."""

    def test_reset(self):
        guest = self.sector()
        guest.put_variables()
        s = reverting.Snapshots(self, guest=guest)
        s.boot()
        s.take("first")
        self.virsh("start", guest.name)
        guest.wait_count(5)
        with open(guest.variables, "r+b") as f:
            f.write(b"present!")
        before = guest.variables.stat().st_ino
        with self.subTest("it fails: the guest has the file it had"):
            times = os.stat(guest.disk)
            os.utime(guest.disk, (1, 1))
            self.assertIn("do not fit together", self.virsh.fails("snapshot-revert", guest.name, "first", "--reset-nvram"))
            os.utime(guest.disk, ns=(times.st_atime_ns, times.st_mtime_ns))
            self.assertEqual(guest.variables.read_bytes()[:8], b"present!")
            self.assertEqual(guest.variables.stat().st_ino, before)
            self.assertEqual(list(self.root.glob("sector.vars*")), [guest.variables])
            guest.wait_count(guest.last() + 5)
        with self.subTest("there is no template"):
            guest.template.rename(self.root / "elsewhere")
            self.assertIn("template", self.virsh.fails("snapshot-revert", guest.name, "first", "--reset-nvram"))
            (self.root / "elsewhere").rename(guest.template)
            self.assertEqual(guest.variables.stat().st_ino, before)
            guest.wait_count(guest.last() + 5)
        self.virsh("snapshot-revert", guest.name, "first", "--paused")
        self.assertEqual(guest.variables.read_bytes()[:8], b"present!", "nobody asked for it")
        self.virsh("snapshot-revert", guest.name, "first", "--paused", "--reset-nvram")
        self.assertEqual(guest.variables.read_bytes(), guest.template.read_bytes())
        self.assertEqual(list(self.root.glob("sector.vars*")), [guest.variables])
        last = guest.last()
        self.virsh("resume", guest.name)
        guest.wait_count(last)


class Earlier(harness.DaemonTest):
    """A QEMU that gives up its images only at the end of a migration."""

    def test_park(self):
        s = reverting.Snapshots(self)
        s.boot()
        first = s.take("first")
        self.forget_set_active()
        s.boot_present()
        times = os.stat(s.guest.disk)
        os.utime(s.guest.disk, (1, 1))
        self.assertRegex(self.virsh.fails("snapshot-revert", s.name, "first"), "do not fit together")
        os.utime(s.guest.disk, ns=(times.st_atime_ns, times.st_mtime_ns))
        s.check_present()
        s.revert("first")
        s.check_back(first)

    def forget_set_active(self):
        """What the daemon knows of QEMU, less this."""
        xxhash = ctypes.CDLL("libxxhash.so.0")
        xxhash.XXH64.restype = ctypes.c_uint64
        self.daemon.stop()
        for path in (self.root / "lib/capabilities").iterdir():
            head, _, body = path.read_bytes().partition(b"\n")
            self.assertIn(b'"blockdev-set-active"', body)
            body = body.replace(b'"blockdev-set-active"', b'"blockdev-set-nothing"')
            checksum = xxhash.XXH64(body, ctypes.c_size_t(len(body)), ctypes.c_uint64(0))
            path.write_bytes(b"%s %d %016x\n%s" % (b" ".join(head.split()[:2]), len(body), checksum, body))
        self.daemon.start()


if __name__ == "__main__":
    unittest.main(verbosity=2)
