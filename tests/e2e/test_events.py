#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What happens inside a guest as those outside hear of it: watchdogs that bark, disks that fail, memory given and taken."""

import os
import pathlib
import re
import shutil
import unittest

import harness
from terminal import Listener


class WatchedSector(harness.BootSector):
    """The boot sector that arms a watchdog at its 64th line and lets it bark."""

    def prepare(self):
        shutil.copy(self.files / "watchdog.img", self.disk)

    def watched(self, model, action):
        return self.define(extra_devices=f"<watchdog model='{model}' action='{action}'/>")


class Watchdog(harness.DaemonTest):
    def watched_sector(self, **options):
        return WatchedSector(self.root, self.virsh, "watched", **options)

    def bark(self, guest, model, action):
        """Start the guest and wait until its watchdog barks; what listens to its events."""
        guest.watched(model, action)
        events = Listener(self)
        self.virsh("start", guest.name)
        events.event("watchdog", guest.name, action)
        return events

    def check_pause(self, model, **options):
        guest = self.watched_sector(**options)
        self.bark(guest, model, "pause").lifecycle(guest.name, "Suspended Watchdog")
        self.assertEqual(guest.reason(), "paused (watchdog)")
        return guest

    def test_pause(self):
        guest = self.check_pause("i6300esb")
        self.daemon.restart()
        self.assertEqual(guest.reason(), "paused (watchdog)")
        last = guest.wait_still()
        self.assertGreaterEqual(last, 64)
        # saved like this, it comes back as it was
        self.virsh("managedsave", guest.name)
        self.virsh("start", guest.name)
        self.assertEqual(guest.state(), "paused")
        self.virsh("resume", guest.name)
        guest.wait_count(last)
        guest.check_sequence()
        self.assertEqual(guest.state(), "running")

    def test_pause_q35(self):
        self.check_pause("i6300esb", machine="q35")

    def test_pause_ib700(self):
        self.check_pause("ib700")

    def test_reset(self):
        guest = self.watched_sector()
        events = self.bark(guest, "i6300esb", "reset")
        events.event("reboot", guest.name)
        # the boot sector arms it again
        events.event("watchdog", guest.name, "reset")
        self.assertEqual(guest.reason(), "running (booted)")

    def test_poweroff(self):
        guest = self.watched_sector()
        # QEMU just goes: nobody asked for a shutdown
        self.bark(guest, "i6300esb", "poweroff").lifecycle(guest.name, "Stopped Failed")
        self.assertEqual(guest.reason(), "shut off (crashed)")

    def test_others(self):
        guest = self.watched_sector()
        for action in ("none", "inject-nmi", "shutdown"):
            with self.subTest(action=action):
                self.bark(guest, "i6300esb", action)
                guest.wait_count(guest.last() + 5)
                guest.check_sequence()
                self.assertEqual(guest.state(), "running")
                self.virsh("destroy", guest.name)
                guest.console.unlink()


class PolicyGuest(harness.LinuxGuest):
    policy = ""

    def prepare(self):
        pass

    def disks_xml(self):
        return super().disks_xml().replace("type='raw'", f"type='raw' {self.policy}")


class FailingDisk(harness.DaemonTest):
    """A disk image on a file system that is full, in a mount namespace of the daemon's."""

    autostart = False
    ROOM = 64 << 10  # for the guest's first records

    def setUp(self):
        super().setUp()
        prefix = harness.unshare("--mount")
        if not prefix:
            self.skipTest("no mount namespaces here")
        small = self.root / "small"
        small.mkdir()
        mount = 'mount -t tmpfs -o size=8m,mode=755 none "$1" && shift && exec "$@"'
        self.daemon.prefix = [*prefix, "sh", "-c", mount, "sh", str(small)]
        self.daemon.start()
        # as the daemon sees it, seen from here
        self.small = pathlib.Path(f"/proc/{self.daemon.process.pid}/root{small}")
        self.guest = PolicyGuest(self.root, self.virsh, arguments="gw.mem=4")
        self.guest.disk = small / "guest.img"

    def fill(self):
        with open(self.small / "guest.img", "wb") as f:
            f.truncate(4 << 20)
        room = os.statvfs(self.small)
        with open(self.small / "filler", "wb") as f:
            f.write(bytes(room.f_bavail * room.f_frsize - self.ROOM))

    def start(self, policy):
        self.fill()
        self.guest.policy = policy
        self.guest.define()
        events = Listener(self)
        self.virsh("start", self.guest.name)
        return events

    def expect_stop(self, events):
        where = rf"{re.escape(str(self.guest.disk))} \(virtio-disk0\) pause"
        events.event("io-error", self.guest.name, where)
        events.event("io-error", self.guest.name, where + " due to enospc")
        events.lifecycle(self.guest.name, "Suspended I/O Error")
        self.assertEqual(self.guest.reason(), "paused (I/O error)")
        self.assertEqual(self.virsh("domblkerror", self.guest.name), "vda: no space")

    def test_stops_and_goes_on(self):
        events = self.start("error_policy='enospace'")
        self.expect_stop(events)
        last = self.guest.wait_still()
        # once more, for nothing has changed
        self.virsh("resume", self.guest.name)
        events.lifecycle(self.guest.name, "Resumed Unpaused", "Suspended I/O Error")
        self.assertEqual(self.guest.reason(), "paused (I/O error)")
        # the write that failed is part of the state that is saved
        image = self.root / "image"
        self.virsh("save", self.guest.name, image)
        (self.small / "filler").unlink()
        self.virsh("restore", image)
        self.assertEqual(self.guest.state(), "paused")
        self.virsh("resume", self.guest.name)
        self.guest.wait_count(last)
        self.guest.check()
        self.assertIn("No errors found", self.virsh("domblkerror", self.guest.name))

    def test_reported_to_the_guest(self):
        events = self.start("error_policy='report'")
        events.event("io-error", self.guest.name, rf"{re.escape(str(self.guest.disk))} \(virtio-disk0\) report")
        harness.wait_for(lambda: b"E disk" in self.guest.console_bytes(), "the guest hears of it")
        self.assertEqual(self.guest.state(), "running")


class Balloon(harness.DaemonTest):
    """Memory in KiB: what the guest has, of what it was made with."""

    def actual(self, guest):
        return int(re.search(r"^actual (\d+)$", self.virsh("dommemstat", guest.name), re.MULTILINE).group(1))

    def test_inflate(self):
        guest, events = self.linux(arguments="gw.mem=4").define(), Listener(self)
        self.virsh("start", guest.name)
        guest.wait_count()
        self.assertEqual(self.actual(guest), 128 << 10)
        self.virsh("qemu-monitor-command", guest.name, "--hmp", "balloon 100")
        events.event("balloon-change", guest.name, f"{100 << 10}KiB")
        self.assertEqual(self.actual(guest), 100 << 10)
        self.daemon.restart()
        self.assertEqual(self.actual(guest), 100 << 10)
        self.assertIn(f"<currentMemory unit='KiB'>{100 << 10}<", self.virsh("dumpxml", guest.name))
        # restored it has what it had, whatever the document says
        definition, image = self.root / "definition.xml", self.root / "image"
        definition.write_text(self.virsh("dumpxml", "--inactive", guest.name))
        self.assertIn(f"<currentMemory unit='KiB'>{128 << 10}<", definition.read_text())
        self.virsh("save", guest.name, image)
        self.virsh("restore", image, "--xml", definition)
        self.assertEqual(self.actual(guest), 100 << 10)
        guest.check()


if __name__ == "__main__":
    unittest.main(verbosity=2)
