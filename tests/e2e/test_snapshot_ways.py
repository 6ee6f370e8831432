#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The other ways to memory and disks of one instant: where QEMU cannot do the best, and what a guest may be busy with meanwhile."""

import re
import subprocess
import unittest

import harness
import lazy
import test_agent
import test_snapshot_create as create
from harness import wait_for

DISKS = "gw.disk=/dev/vda,/dev/vdb"


class WaysTest(create.SnapshotTest):
    def check_way(self, *ways):
        """How the snapshots so far were taken, as the log has it."""
        self.assertEqual(re.findall(r"the guest stood still for .*; (.*)\)", self.daemon.stderr()), list(ways))

    def check_goes_on(self):
        self.guest.wait_count(self.guest.last() + 20)
        self.guest.check()

    def check_restored(self, *names):
        """Memory and disks of each are of the same instant. The last taken first: what runs on a snapshot's images changes those above."""
        self.virsh("destroy", self.guest.name)
        for name in names:
            harness.Godwit(self.daemon)("restore", self.path(name + ".mem"), "--force") # it writes to what the snapshot froze
            self.guest.wait_count(self.guest.last() + 3)
            for command in ("check-memory", "check-disk", "status"):
                self.assertTrue(self.guest.ask(command)[0], f"{name}: {command}")
            self.virsh("destroy", self.guest.name)


class Memory(WaysTest):
    def test_without_gate(self):
        """Where its FIFO cannot be, the guest is stopped before its memory is prepared."""
        self.running(create.Linux, arguments=DISKS)
        (self.root / "run/vm" / self.guest.uuid / "gate").mkdir()
        self.create("s1")
        self.check_way("stopping the guest before its memory is prepared")
        self.check_goes_on()
        self.check_restored("s1")

    def test_alone(self):
        """No disk takes part: the memory of one instant, and the guest goes on where it was."""
        self.running(create.Linux)
        self.create("m1", "--diskspec", "vda,snapshot=no", "--diskspec", "vdb,snapshot=no")
        self.assertEqual(self.sources(), self.bases())
        self.check_way("within one short stop")
        self.check_goes_on()
        self.assertIn(f"<name>{self.guest.name}</name>", self.virsh("save-image-dumpxml", self.path("m1.mem")))


class Mapped(WaysTest):
    """Memory in a file, which cannot be write-protected: a clone's."""

    def test_clone(self):
        original = self.linux("original").define()
        self.virsh("start", "original")
        original.wait_count(20)
        self.virsh("save", "original", self.path("original.save"), "--image-format", "sparse")
        harness.Godwit(self.daemon)("clone", self.path("original.save"), "--name", "clone")
        self.guest = self.linux("clone")
        self.guest.wait_count(original.wait_still())
        for name, options, way in (("s1", [], "stopping the guest until all is written"), ("s2", ["--live"], "by pre-copy")):
            self.create(name, *options)
            self.assertIn(f"the snapshot is taken {way}", self.daemon.stderr())
            self.guest.wait_count(self.guest.last() + 20)
            for command in ("check-memory", "check-disk", "status"):
                self.assertTrue(self.guest.ask(command)[0], command)
        self.check_way("stopping the guest until all is written", "by pre-copy")
        self.check_restored("s2", "s1")


class Old(WaysTest):
    """QEMU 7.2, which lets a paused guest run behind a background snapshot."""

    def setUp(self):
        try:
            self.emulator = harness.load_program(harness.TREE / "tests/reference/fetch-qemu-7.2").fetch()
        except (SystemExit, subprocess.CalledProcessError) as error:
            self.skipTest(f"no QEMU 7.2 to be had: {error}")
        super().setUp()

    def test_old(self):
        self.running(create.Linux, arguments=DISKS, emulator=self.emulator)
        self.create("s1")
        self.check_way("within one short stop")
        self.check_goes_on()
        self.virsh("suspend", self.guest.name)
        last = self.guest.wait_still()
        self.create("s2")
        self.assertIn("this QEMU would let the guest run", self.daemon.stderr())
        self.assertEqual((self.guest.state(), self.guest.wait_still()), ("paused", last))
        self.virsh("resume", self.guest.name)
        self.check_goes_on()
        self.check_restored("s1")


class Quiesced(test_agent.AgentTest):
    @property
    def config(self):
        hook = self.root / "hook"
        hook.write_text("#!/bin/sh\n[ $1 != exists ] || exec echo no\nexit 1\n")
        hook.chmod(0o755)
        return f'snapshot_hook = "{hook}"\n'

    def said(self, guest):
        return re.findall(rb"^GW (frozen|thawed) ", guest.console_bytes(), re.M)

    def test_quiesce(self):
        """Frozen for the switch, thawed behind it, also when the snapshot fails."""
        guest = self.guest_with_agent()
        before = guest.disk.read_bytes()
        self.virsh("snapshot-create-as", guest.name, "q1", "--disk-only", "--quiesce")
        self.assertEqual(self.said(guest), [b"frozen", b"thawed"])
        frozen = guest.disk.read_bytes()
        self.assertNotEqual(frozen, before)
        self.check_writes(guest)
        self.assertEqual(guest.disk.read_bytes(), frozen, "nothing is written to it any more")
        self.assertIn("hook", self.virsh.fails("snapshot-create-as", guest.name, "q2", "--disk-only", "--quiesce", "--diskspec",
                                               "vda,snapshot=manual"))
        wait_for(lambda: self.said(guest) == [b"frozen", b"thawed"] * 2, "it is thawed again")
        guest.wait_state("running")
        self.check_writes(guest)

    def check_writes(self, guest):
        before = self.disk_counter(guest)
        wait_for(lambda: self.disk_counter(guest) > before, "it writes to its disk")


class Lazy(lazy.LazyTest):
    def test_waits_for_memory(self):
        """Of a guest whose memory is still coming in a snapshot is taken when it is there."""
        self.start_daemon(hold=True)
        self.virsh("restore", self.image)
        self.answers()
        image = self.root / "s1.mem"
        arguments = ("snapshot-create-as", self.guest.name, "s1", "--memspec", f"file={image},snapshot=external")
        for end in (lambda: self.virsh("domjobabort", self.guest.name), self.release):
            client = self.virsh.start(*arguments)
            wait_for(lambda: "Snapshot" in self.virsh("domjobinfo", self.guest.name), "the job waits")
            self.assertFalse(image.exists())
            end()
            said = client.communicate()[1]
            self.answers()
        self.assertEqual(client.returncode, 0, said)
        self.assertIn("within one short stop", self.daemon.stderr())
        self.check_guest()


if __name__ == "__main__":
    unittest.main(verbosity=2)
