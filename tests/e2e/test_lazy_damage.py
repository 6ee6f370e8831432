#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""While memory comes in: helpers and daemons that die, images that are damaged, vanish or are replaced."""

import os
import shutil
import subprocess
import unittest

import harness
import lazy


class Killed(lazy.LazyTest):
    def begin(self):
        self.start_daemon(hold=True)
        self.virsh("restore", self.image)
        self.answers()

    def end(self):
        self.answers()
        self.release()
        self.wait_all_in()
        self.check_guest()

    def test_helper(self):
        """Another one takes over, several times; nothing is lost."""
        self.begin()
        for _ in range(3):
            before = self.helper()
            harness.kill_and_wait(before)
            harness.wait_for(lambda: [p for p, c in harness.processes_of(self.root).items()
                                      if "godwit-io" in c.split(" ")[0]] not in ([], [before]), "another helper")
            self.answers()
        self.end()

    def test_daemon(self):
        """The helper serves on without it; the next daemon finds it."""
        self.begin()
        helper = self.helper()
        self.daemon.kill()
        self.answers()
        self.start_daemon()
        self.assertEqual(self.helper(), helper)
        self.assertTrue(self.is_coming_in())
        self.assertEqual(self.info()["restored"], "lazily")
        self.end()

    def test_all_in_without_a_daemon(self):
        self.begin()
        helper = self.helper()
        self.daemon.kill()
        self.release()
        harness.wait_for(lambda: not harness.is_alive(helper), "the helper brings the last page and ends")
        self.start_daemon()
        self.wait_all_in()
        self.end()

    def test_daemon_and_helper(self):
        """While the guest's processor waits, or does not; QEMU itself is free."""
        self.begin()
        self.kill_both()
        self.start_daemon()
        self.end()

    def kill_both(self):
        helper = self.helper()
        self.daemon.kill()
        harness.kill_and_wait(helper)

    def test_daemon_and_helper_of_a_managed_save(self):
        """It has another name by then."""
        self.start_held_from_managed_save()
        self.kill_both()
        self.start_daemon()
        self.assertTrue(self.used().exists())
        self.end()
        harness.wait_for(lambda: not self.used().exists(), "the image goes with the last page")

    def test_another_image_under_its_name(self):
        """A new helper does not take pages of another state for the guest's."""
        self.begin()
        other = self.root / "other"
        shutil.copy2(self.template, other)
        with open(other, "ab") as f:
            f.write(b"?")
        os.replace(other, self.image)
        self.kill_both()
        self.start_daemon()
        harness.wait_for(lambda: "trouble" in self.info(), "it is noticed")
        self.assertIn("not the one", self.info()["trouble"])
        self.assertEqual(self.guest.reason(), "paused (I/O error)")
        self.virsh.fails("resume", self.guest.name)
        shutil.copy2(self.template, other)
        os.replace(other, self.image)
        self.virsh("resume", self.guest.name)
        self.end()

    def test_politely_stopped_daemon(self):
        self.begin()
        helper = self.helper()
        self.assertEqual(self.daemon.stop(), 0)
        self.assertTrue(harness.is_alive(helper))
        self.answers()
        self.start_daemon()
        self.end()


class Damaged(lazy.LazyTest):
    def begin(self, hold=True):
        self.start_daemon(hold=hold)
        self.events = subprocess.Popen(self.virsh.command("event", "--all", "--loop"), stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.stop_events)
        self.virsh("restore", self.image)
        self.answers()

    def stop_events(self):
        self.events.kill()
        self.events.wait()
        self.events.stdout.close()

    def wait_trouble(self):
        harness.wait_for(lambda: "trouble" in self.info(), "it is noticed")
        self.assertEqual(self.guest.reason(), "paused (I/O error)")
        self.assertIn(str(self.image), self.info()["trouble"])
        self.assertTrue(self.image.exists())

    def last_memory(self):
        """An offset in the middle of memory's last part, which nothing asks for early."""
        return self.image.stat().st_size - (8 << 20)

    def goes_on(self):
        self.virsh("resume", self.guest.name)
        self.answers()
        self.assertEqual(self.guest.state(), "running")
        self.wait_all_in()
        self.check_guest()
        self.events.terminate()
        said = self.events.stdout.read()
        self.assertRegex(said, r"(?s)I/O error|io-error")
        self.assertIn(str(self.image), said)

    def test_byte(self):
        self.begin()
        harness.flip(self.image, self.last_memory())
        self.release()
        self.wait_trouble()
        self.assertIn("damaged", self.info()["trouble"])
        self.assertIn("damaged", self.virsh.fails("resume", self.guest.name))
        self.assertEqual(self.guest.state(), "paused")
        harness.flip(self.image, self.last_memory())
        self.goes_on()

    def test_a_save_that_waits(self):
        """It fails with the cause, and the guest can be mended as without it."""
        self.begin()
        harness.flip(self.image, self.last_memory())
        save = self.virsh.start("save", self.guest.name, self.root / "other.save")
        harness.wait_for(lambda: "Operation:        Save" in self.virsh("domjobinfo", self.guest.name), "it saves")
        self.release()
        self.assertNotEqual(save.wait(60), 0)
        self.assertIn("damaged", save.communicate()[1])
        self.wait_trouble()
        harness.flip(self.image, self.last_memory())
        self.goes_on()

    def test_truncated(self):
        self.begin()
        size = self.image.stat().st_size
        os.truncate(self.image, 1 << 20)
        self.release()
        self.wait_trouble()
        self.virsh.fails("resume", self.guest.name)
        with open(self.image, "r+b") as mended, open(self.template, "rb") as good:
            shutil.copyfileobj(good, mended)
        self.assertEqual(self.image.stat().st_size, size)
        self.goes_on()

    def test_replaced(self):
        """A good copy put in its place counts; another image does not."""
        self.begin()
        harness.flip(self.image, self.last_memory())
        self.release()
        self.wait_trouble()
        other = self.root / "other"
        other.write_bytes(self.template.read_bytes()[:-1] + b"?")
        os.replace(other, self.image)
        self.assertIn("damaged", self.virsh.fails("resume", self.guest.name))
        shutil.copy2(self.template, other)
        os.replace(other, self.image)
        self.goes_on()

    def test_unlinked(self):
        """A file that is only unlinked is still there for who has it open."""
        self.begin()
        self.image.unlink()
        self.release()
        self.wait_all_in()
        self.answers()
        self.check_guest()

    def test_destroyed_in_trouble(self):
        self.begin()
        harness.flip(self.image, self.last_memory())
        self.release()
        self.wait_trouble()
        self.virsh("destroy", self.guest.name)
        self.assertEqual(self.guest.state(), "shut off")

    def test_before_it_runs(self):
        """Damaged where QEMU needs it at once: the restore fails, by name."""
        self.start_daemon()
        harness.flip(self.image, 200)
        said = self.virsh.fails("restore", self.image)
        self.assertIn(str(self.image), said)
        self.assertIn("damaged", said)
        self.assertEqual(self.guest.state(), "shut off")


if __name__ == "__main__":
    harness.main()
