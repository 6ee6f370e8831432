#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What happens inside a guest as those outside hear of it: watchdogs that bark, disks that fail, memory given and taken."""

import shutil
import subprocess
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


if __name__ == "__main__":
    unittest.main(verbosity=2)
