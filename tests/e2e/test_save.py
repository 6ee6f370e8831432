#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Save, restore and managed save with every option virsh has for them. The guest is the boot sector."""

import re
import unittest

import harness

FORMATS = {"raw": 0, "zstd": 5, "sparse": 6}


def image_format(path):
    return int.from_bytes(path.read_bytes()[28:32], "little")


class SaveTest(harness.DaemonTest):
    def setUp(self):
        super().setUp()
        self.guest = self.sector().define()
        self.image = self.root / "sector.save"

    def running(self):
        self.virsh("start", self.guest.name)
        self.guest.wait_count(10)

    def goes_on(self, saved):
        self.guest.wait_count(saved + 10)
        self.guest.check_sequence()


class Save(SaveTest):
    def test_formats(self):
        self.running()
        for name, number in FORMATS.items():
            with self.subTest(format=name):
                self.virsh("save", self.guest.name, self.image, "--image-format", name)
                self.assertEqual(image_format(self.image), number)
                saved = self.guest.wait_still()
                self.virsh("restore", self.image)
                self.goes_on(saved)

    def test_formats_with_bypass_cache_and_channels(self):
        self.running()
        for name, number in FORMATS.items():
            with self.subTest(format=name):
                channels = ["--parallel-channels", "2"] if name == "sparse" else []
                self.virsh("save", self.guest.name, self.image, "--bypass-cache", "--image-format", name, *channels)
                self.assertEqual(image_format(self.image), number)
                saved = self.guest.wait_still()
                self.virsh("restore", self.image, "--bypass-cache", *channels)
                self.goes_on(saved)

    def test_running_and_paused(self):
        self.running()
        self.virsh("save", self.guest.name, self.image, "--paused")
        saved = self.guest.wait_still()
        self.virsh("restore", self.image)
        self.assertEqual(self.guest.state(), "paused")
        self.assertEqual(self.guest.wait_still(), saved)
        self.virsh("destroy", self.guest.name)
        self.virsh("restore", self.image, "--running")
        self.assertEqual(self.guest.state(), "running")
        self.goes_on(saved)

        self.virsh("suspend", self.guest.name)
        saved = self.guest.wait_still()
        self.virsh("save", self.guest.name, self.image)
        self.virsh("restore", self.image)
        self.assertEqual(self.guest.state(), "paused", "saved paused, restored paused")
        self.virsh("save", self.guest.name, self.image, "--running")
        self.virsh("restore", self.image)
        self.goes_on(saved)
        self.virsh("save", self.guest.name, self.image)
        self.virsh("restore", self.image, "--paused")
        self.assertEqual(self.guest.state(), "paused")
        self.virsh.fails("restore", self.image, "--paused", "--running")

    def test_other_xml(self):
        """--xml on saving and on restoring: another console path is fine, another machine is not."""
        self.running()
        xml = self.root / "other.xml"
        xml.write_text(self.virsh("dumpxml", self.guest.name, "--migratable"))
        moved = self.root / "moved.console"
        text = xml.read_text().replace(str(self.guest.console), str(moved))
        self.assertIn(str(moved), text)
        xml.write_text(text)
        self.virsh("save", self.guest.name, self.image, "--xml", xml)
        saved = self.guest.wait_still()
        self.assertIn(str(moved), self.virsh("save-image-dumpxml", self.image))
        self.virsh("restore", self.image)
        self.guest.console = moved
        self.guest.wait_count(saved)
        self.guest.check_sequence(self.guest.numbers()[0])
        self.virsh("save", self.guest.name, self.image)
        xml.write_text(text.replace("<vcpu placement='static'>1<", "<vcpu placement='static'>2<"))
        self.assertIn("2<", xml.read_text())
        self.assertRegex(self.virsh.fails("restore", self.image, "--xml", xml), r"(?i)vcpu|cpu")
        self.assertEqual(self.guest.state(), "shut off")
        xml.write_text(text.replace(str(moved), str(self.root / "third.console")))
        self.virsh("restore", self.image, "--xml", xml)
        self.guest.console = self.root / "third.console"
        self.guest.wait_count(saved)

    def test_image_xml(self):
        self.running()
        self.virsh("save", self.guest.name, self.image)
        saved = self.guest.wait_still()
        text = self.virsh("save-image-dumpxml", self.image)
        self.assertIn(f"<name>{self.guest.name}</name>", text)
        edited = self.root / "edited.xml"
        moved = self.root / "moved.console"
        edited.write_text(text.replace(str(self.guest.console), str(moved)))
        self.virsh("save-image-define", self.image, edited, "--paused")
        self.assertIn(str(moved), self.virsh("save-image-dumpxml", self.image))
        self.virsh("restore", self.image)
        self.assertEqual(self.guest.state(), "paused")
        self.virsh("resume", self.guest.name)
        self.guest.console = moved
        self.guest.wait_count(saved)
        self.virsh("destroy", self.guest.name)

        edited.write_text(text.replace(self.guest.uuid, "00000000-1111-4222-8333-444444444444"))
        self.virsh.fails("save-image-define", self.image, edited)
        self.assertIn(self.guest.uuid, self.virsh("save-image-dumpxml", self.image))
        self.virsh("restore", self.image)

    def test_image_edit(self):
        self.running()
        self.virsh("save", self.guest.name, self.image)
        script = self.root / "editor"
        script.write_text("#!/bin/sh\nsed -i 's|sector.console|edited.console|' \"$1\"\n")
        script.chmod(0o755)
        environment = {**harness.os.environ, "VISUAL": str(script), "EDITOR": str(script), "LC_ALL": "C"}
        done = harness.subprocess.run(self.virsh.command("save-image-edit", self.image), env=environment,
                                      capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("edited.console", self.virsh("save-image-dumpxml", self.image))

    def test_save_replaces_an_older_image(self):
        self.running()
        self.virsh("save", self.guest.name, self.image)
        first = self.guest.wait_still()
        self.virsh("restore", self.image)
        self.guest.wait_count(first + 200)
        self.virsh("save", self.guest.name, self.image)
        second = self.guest.wait_still()
        self.assertGreater(second, first)
        self.virsh("restore", self.image)
        self.goes_on(second)

    def test_refused(self):
        self.assertIn("not running", self.virsh.fails("save", self.guest.name, self.image))
        self.assertFalse(self.image.exists())
        self.running()
        self.virsh.fails("save", self.guest.name, self.image, "--image-format", "rar")
        self.virsh.fails("save", self.guest.name, self.image, "--parallel-channels", "2", "--image-format", "raw")
        self.virsh.fails("save", self.guest.name, self.image, "--running", "--paused")
        self.assertFalse(self.image.exists())
        self.assertEqual(self.guest.state(), "running")
        self.virsh("save", self.guest.name, self.image)
        self.virsh("start", self.guest.name)
        self.assertIn("already", self.virsh.fails("restore", self.image))
        self.assertEqual(self.guest.state(), "running")


class ManagedSave(SaveTest):
    def test_options(self):
        self.running()
        for options, state in ((["--bypass-cache"], "running"), (["--running"], "running"), (["--paused"], "paused")):
            with self.subTest(options=options):
                self.virsh("managedsave", self.guest.name, *options)
                saved = self.guest.wait_still()
                self.virsh("start", self.guest.name)
                self.assertEqual(self.guest.state(), state)
                if state == "paused":
                    self.virsh("resume", self.guest.name)
                self.goes_on(saved)

    def test_start_options(self):
        self.running()
        self.virsh("managedsave", self.guest.name)
        saved = self.guest.wait_still()
        self.virsh("start", self.guest.name, "--paused")
        self.assertEqual(self.guest.state(), "paused")
        self.virsh("resume", self.guest.name)
        self.goes_on(saved)
        self.virsh("managedsave", self.guest.name)
        self.virsh("start", self.guest.name, "--bypass-cache")
        self.assertEqual(self.guest.reason(), "running (restored)")
        self.virsh("managedsave", self.guest.name)
        image = self.managed_save_path(self.guest)
        self.assertTrue(image.exists())
        self.virsh("start", self.guest.name, "--force-boot")
        self.assertFalse(image.exists(), "--force-boot throws the managed save away")
        harness.wait_for(lambda: self.guest.console_bytes().count(b"00000001\n") == 2, "the guest boots afresh")

    def test_remove(self):
        self.running()
        self.virsh("managedsave", self.guest.name)
        image = self.managed_save_path(self.guest)
        self.assertTrue(image.exists())
        self.virsh("managedsave-remove", self.guest.name)
        self.assertFalse(image.exists())
        self.assertRegex(self.virsh("dominfo", self.guest.name), r"Managed save:\s+no")
        self.virsh("managedsave-remove", self.guest.name)
        self.virsh("start", self.guest.name)
        self.assertEqual(self.guest.reason(), "running (booted)")

    def test_xml(self):
        self.running()
        self.virsh.fails("managedsave-dumpxml", self.guest.name)
        self.virsh("managedsave", self.guest.name)
        saved = self.guest.wait_still()
        text = self.virsh("managedsave-dumpxml", self.guest.name)
        self.assertIn(self.guest.uuid, text)
        edited, moved = self.root / "edited.xml", self.root / "moved.console"
        edited.write_text(text.replace(str(self.guest.console), str(moved)))
        self.virsh("managedsave-define", self.guest.name, edited, "--paused")
        self.assertIn(str(moved), self.virsh("managedsave-dumpxml", self.guest.name))
        self.virsh("start", self.guest.name)
        self.assertEqual(self.guest.state(), "paused")
        self.virsh("resume", self.guest.name)
        self.guest.console = moved
        self.guest.wait_count(saved)

    def test_undefine(self):
        self.running()
        self.virsh("managedsave", self.guest.name)
        self.assertRegex(self.virsh.fails("undefine", self.guest.name), r"(?i)managed save")
        self.assertTrue(self.managed_save_path(self.guest).exists())
        self.virsh("undefine", self.guest.name, "--managed-save")
        self.assertFalse(self.managed_save_path(self.guest).exists())
        self.assertEqual(self.virsh("list", "--all", "--name"), "")

    def test_undefine_while_running(self):
        """It becomes transient, and can be defined again."""
        self.running()
        self.virsh("undefine", self.guest.name)
        self.assertRegex(self.virsh("dominfo", self.guest.name), r"Persistent:\s+no")
        self.virsh("define", self.root / "sector.xml")
        self.assertRegex(self.virsh("dominfo", self.guest.name), r"Persistent:\s+yes")
        self.virsh("managedsave", self.guest.name)
        saved = self.guest.wait_still()
        self.virsh("start", self.guest.name)
        self.goes_on(saved)


class ConfiguredFormat(harness.DaemonTest):
    config = 'save_image_format = "zstd"\n'

    def test_configured_format(self):
        guest = self.sector().define()
        self.virsh("start", guest.name)
        guest.wait_count(10)
        self.virsh("managedsave", guest.name)
        self.assertEqual(image_format(self.managed_save_path(guest)), FORMATS["zstd"])
        self.virsh("start", guest.name)
        self.assertTrue(re.match("running", guest.state()))


if __name__ == "__main__":
    unittest.main(verbosity=2)
