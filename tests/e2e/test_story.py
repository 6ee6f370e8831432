#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The main job, as an administrator types it: a Linux guest defined, started, put down and picked up again."""

import re
import unittest

import harness


class Story(harness.DaemonTest):
    def lifecycle(self, guest):
        self.virsh("start", guest.name)
        guest.wait_count()
        listed = self.virsh("list", "--all")
        self.assertRegex(listed, rf"\d+\s+{guest.name}\s+running")
        info = self.virsh("dominfo", guest.name)
        self.assertRegex(info, rf"UUID:\s+{guest.uuid}")
        self.assertRegex(info, r"State:\s+running")
        self.assertRegex(info, r"Max memory:\s+131072 KiB")
        self.assertRegex(info, r"Persistent:\s+yes")
        self.assertRegex(info, r"CPU time:\s+[1-9]")
        self.assertEqual(guest.reason(), "running (booted)")
        self.assertGreater(int(self.virsh("domid", guest.name)), 0)
        self.assertEqual(self.virsh("domuuid", guest.name), guest.uuid)

    def save_and_restore(self, guest):
        image = self.root / "vm.save"
        before = guest.wait_count(guest.last() + 5)
        done = self.virsh.run("save", guest.name, image, "--verbose")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("Save: [100", (done.stdout + done.stderr).replace("[100.00 %]", "[100 %]"))
        self.assertEqual(guest.reason(), "shut off (saved)")
        self.assertEqual(self.mode_of(image), 0o600)
        self.assertEqual(image.read_bytes()[:16], b"LibvirtQemudSave")
        saved = guest.last()
        self.assertGreaterEqual(saved, before)
        self.virsh("restore", image)
        self.assertEqual(guest.reason(), "running (restored)")
        self.assertTrue(image.exists(), "restore leaves the image")
        guest.wait_count(saved + 5)
        guest.check()

    def managed_save_and_start(self, guest):
        image = self.managed_save_path(guest)
        done = self.virsh.run("managedsave", guest.name, "--verbose")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("Managedsave: [100", (done.stdout + done.stderr).replace("[100.00 %]", "[100 %]"))
        self.assertEqual(guest.reason(), "shut off (saved)")
        self.assertEqual(self.mode_of(image), 0o600)
        self.assertRegex(self.virsh("dominfo", guest.name), r"Managed save:\s+yes")
        self.assertRegex(self.virsh("list", "--all", "--managed-save"), rf"{guest.name}\s+saved")
        saved = guest.last()
        self.virsh("start", guest.name)
        guest.wait_count(saved + 5)
        harness.wait_for(lambda: not image.exists(), "the image of a managed save goes when it has been used")
        self.assertRegex(self.virsh("dominfo", guest.name), r"Managed save:\s+no")
        guest.check()

    def test_put_down_and_picked_up_again(self):
        guest = self.linux().define()
        self.assertEqual(guest.reason(), "shut off (unknown)")
        self.lifecycle(guest)
        self.save_and_restore(guest)
        self.managed_save_and_start(guest)
        self.virsh("suspend", guest.name)
        self.assertEqual(guest.reason(), "paused (user)")
        still = guest.wait_still()
        self.assertEqual(guest.wait_still(), still, "a paused guest does not count")
        self.virsh("resume", guest.name)
        guest.wait_count(still + 5)
        guest.check()
        self.assertEqual(guest.boots(), 1, "all this was one boot")
        self.virsh("shutdown", guest.name)
        guest.wait_state("shut off")
        self.assertEqual(guest.reason(), "shut off (shutdown)")
        self.assertIn(b"GW power-button", guest.console_bytes())
        self.virsh("undefine", guest.name)
        self.assertNotIn(guest.name, self.virsh("list", "--all", "--name"))
        self.assertEqual(harness.qemus_of(self.root), [])

    def test_ephemeral(self):
        guest = self.linux().create()
        guest.wait_count()
        self.assertRegex(self.virsh("dominfo", guest.name), r"Persistent:\s+no")
        self.assertIn("transient", self.virsh.fails("managedsave", guest.name))
        self.virsh("reset", guest.name)
        harness.wait_for(lambda: guest.boots() == 2, "the guest boots again after reset")
        guest.wait_count()
        self.virsh("reboot", guest.name)
        harness.wait_for(lambda: guest.boots() == 3, "the guest boots again after reboot")
        guest.wait_count()
        self.assertEqual(guest.state(), "running")
        good, _ = guest.ask("check-disk")
        self.assertTrue(good)
        self.virsh("shutdown", guest.name)
        harness.wait_for(lambda: guest.name not in self.virsh("list", "--all", "--name"),
                         "an ephemeral guest that powers off is gone")

    def test_the_guest_decides(self):
        """Reboot, panic and power-off from inside."""
        guest = self.linux(arguments="gw.mem=4").define()
        self.virsh("start", guest.name)
        guest.wait_count()
        guest.ask("reboot")
        harness.wait_for(lambda: guest.boots() == 2, "the guest rebooted by itself")
        guest.wait_count()
        self.assertEqual(guest.state(), "running")
        guest.ask("poweroff")
        guest.wait_state("shut off")
        self.assertEqual(guest.reason(), "shut off (shutdown)")

    def test_panic(self):
        guest = self.linux(arguments="gw.mem=4").define(extra_devices="<panic model='isa'/>")
        self.virsh("start", guest.name)
        guest.wait_count()
        guest.ask("panic")
        guest.wait_state("crashed")
        self.assertEqual(guest.reason(), "crashed (panicked)")
        self.virsh("destroy", guest.name)
        self.assertEqual(guest.reason(), "shut off (destroyed)")

    def test_pc_machine(self):
        guest = self.linux(machine="pc").define()
        self.lifecycle(guest)
        self.save_and_restore(guest)
        self.virsh("destroy", guest.name)
        self.assertEqual(guest.reason(), "shut off (destroyed)")
        self.assertTrue(re.search(r"machine='pc-i440fx-[\d.]+'", self.virsh("dumpxml", guest.name)))


if __name__ == "__main__":
    unittest.main(verbosity=2)
