#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Restored guests that run before their memory is in: every kind of image, what is told meanwhile, what has to wait."""

import subprocess
import unittest

import harness
import lazy


class Lazy(lazy.LazyTest):
    def test_every_format(self):
        """From each kind of image, twice: the second time what was needed first comes first."""
        self.start_daemon()
        for image_format in ("raw", "sparse", "zstd"):
            for again in (False, True):
                with self.subTest(format=image_format, again=again):
                    self.virsh("restore", self.image)
                    self.answers()
                    self.assertEqual(self.info().get("restored"), "lazily", self.info())
                    self.wait_all_in()
                    self.check_guest()
                    self.assertTrue(self.image.exists(), "a file of the user's stays")
                    self.virsh("save", self.guest.name, self.image, "--image-format", image_format)

    def test_managed_save_goes_with_its_last_page(self):
        self.start_held_from_managed_save()
        self.assertRegex(self.virsh("dominfo", self.guest.name), r"Managed save: +no")
        info = self.virsh("domjobinfo", self.guest.name)
        self.assertRegex(info, r"Memory remaining: +[1-9]")
        inside = self.info()["memory_in"]
        self.assertLess(inside["bytes"], inside["total"])
        self.assertGreaterEqual(inside["total"], lazy.MEMORY << 20)
        self.release()
        self.wait_all_in()
        harness.wait_for(lambda: not self.used().exists(), "the image goes with the last page")
        self.check_guest()

    def test_paused(self):
        self.start_daemon()
        self.virsh("restore", self.image, "--paused")
        self.assertEqual(self.guest.state(), "paused")
        self.wait_all_in()
        self.assertEqual(self.guest.wait_still(), 0, "it has not run")
        self.virsh("resume", self.guest.name)
        self.answers()
        self.check_guest()

    def test_a_save_waits(self):
        self.start_daemon(hold=True)
        self.virsh("restore", self.image)
        other = self.root / "other.save"
        save = self.virsh.start("save", self.guest.name, other)
        harness.wait_for(lambda: "Operation:        Save" in self.virsh("domjobinfo", self.guest.name), "it saves")
        self.answers()
        self.assertIn("save", self.virsh.fails("suspend", self.guest.name))
        self.virsh("domjobabort", self.guest.name)
        self.assertNotEqual(save.wait(60), 0)
        self.assertRegex(save.communicate()[1], "cancel")
        self.answers()

        save = subprocess.Popen([str(harness.BUILD / "godwit"), "-c", self.daemon.uri(), "save", self.guest.name,
                                 str(other), "--hurry"], stdout=subprocess.DEVNULL)
        harness.wait_for(lambda: "Operation:        Save" in self.virsh("domjobinfo", self.guest.name), "it saves")
        self.release()
        self.assertEqual(save.wait(60), 0)
        saved = self.guest.last()
        self.virsh("restore", other)
        self.answers(saved + 3)
        self.wait_all_in()
        self.check_guest()
        other.unlink()

    def test_destroyed_meanwhile(self):
        self.start_daemon(hold=True)
        self.virsh("restore", self.image)
        self.answers()
        helper = self.helper()
        self.virsh("destroy", self.guest.name)
        harness.wait_for(lambda: not harness.is_alive(helper), "the helper ends")
        self.assertEqual(self.guest.state(), "shut off")

    def test_eagerly(self):
        """When it is asked for; the reason is told."""
        self.start_daemon()
        for flags in (["--eager"], ["--bypass-cache"]):
            with self.subTest(flags=flags):
                done = self.godwit("restore", self.image, *flags)
                self.assertEqual(done.returncode, 0, done.stderr)
                info = self.info()
                self.assertEqual(info["restored"], "eagerly")
                self.assertIn("asked for", info["restored_why"])
                self.assertNotIn("memory_in", info)
                self.answers()
                self.virsh("save", self.guest.name, self.image)

    def test_what_cannot_be_served(self):
        """An image that can only be read from its beginning is loaded first; the guest does not notice."""
        self.start_daemon()
        self.virsh("restore", self.image)
        self.wait_all_in()
        self.virsh("save", self.guest.name, self.image, "--image-format", "zstd")
        strip = self.image.read_bytes()
        # As libvirt leaves it: one frame, and no trailer.
        state = strip.index(b"\x28\xb5\x2f\xfd")
        plain = subprocess.run(["zstd", "-dcq"], input=strip[state:], capture_output=True, check=True).stdout
        packed = subprocess.run(["zstd", "-cq"], input=plain, capture_output=True, check=True).stdout
        self.image.write_bytes(strip[:48] + bytes(44) + strip[92:state] + packed)
        saved = self.guest.last()
        self.virsh("restore", self.image)
        info = self.info()
        self.assertEqual(info["restored"], "eagerly", info)
        self.assertIn("beginning", info["restored_why"])
        self.answers(saved + 3)
        self.check_guest()


class Eager(lazy.LazyTest):
    config = 'restore_mode = "eager"\n'

    def test_configured(self):
        self.start_daemon()
        self.virsh("restore", self.image)
        self.assertIn("restore_mode", self.info()["restored_why"])
        self.answers()
        self.check_guest()


if __name__ == "__main__":
    harness.main()
