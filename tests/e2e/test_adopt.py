#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Virtual machines outlive the daemon, however it ends; what the next one finds, it continues."""

import fcntl
import os
import re
import signal
import socket
import struct
import unittest

import harness

OFD_SETLK = getattr(fcntl, "F_OFD_SETLK", 37)  # fcntl.h


class Adopt(harness.DaemonTest):
    def setUp(self):
        super().setUp()
        self.guest = self.sector().define()

    def running(self):
        self.virsh("start", self.guest.name)
        self.guest.wait_count(10)
        self.qemu, = harness.qemus_of(self.root)

    def same_guest_goes_on(self, state="running"):
        self.assertEqual(harness.qemus_of(self.root), [self.qemu], "the same QEMU")
        self.assertEqual(self.guest.state(), state)
        if state == "running":
            self.guest.wait_count(self.guest.last() + 10)
        self.guest.check_sequence()

    def test_restart(self):
        self.running()
        identity = self.virsh("domid", self.guest.name)
        text = self.virsh("dumpxml", self.guest.name)
        for kill in (False, True):
            with self.subTest(kill=kill):
                self.daemon.restart(kill=kill)
                self.same_guest_goes_on()
                self.assertEqual(self.virsh("domid", self.guest.name), identity)
                self.assertEqual(self.virsh("dumpxml", self.guest.name), text)
        self.virsh("managedsave", self.guest.name)
        saved = self.guest.wait_still()
        self.daemon.restart(kill=True)
        self.assertRegex(self.virsh("dominfo", self.guest.name), r"Managed save:\s+yes")
        self.virsh("start", self.guest.name)
        self.guest.wait_count(saved + 10)
        self.guest.check_sequence()
        self.virsh("destroy", self.guest.name)
        self.assertEqual(harness.qemus_of(self.root), [])

    def lock_as_another(self):
        """The daemon's lock, held by this test; a file to be closed."""
        lock = open(self.root / "run/godwitd.lock", "rb+")
        fcntl.fcntl(lock, OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        return lock

    def waits_for_the_lock(self):
        directory = f"/proc/{self.daemon.process.pid}/fd"
        return any(os.readlink(f"{directory}/{fd}").endswith("/godwitd.lock") for fd in os.listdir(directory))

    def test_lock_held_for_a_moment(self):
        """As by a child that a daemon had just forked when it was killed."""
        self.daemon.kill()
        with self.lock_as_another():
            self.daemon.spawn()
            harness.wait_for(self.waits_for_the_lock, "it has opened its lock")
        harness.wait_for(self.daemon.answers, "godwitd accepts connections")

    def test_lock_held_for_good(self):
        self.daemon.kill()
        with self.lock_as_another():
            self.daemon.spawn()
            self.assertEqual(self.daemon.process.wait(30 * harness.SLOW), 1)
        self.assertIn("another godwitd already serves", self.daemon.stderr())
        self.daemon.process = None

    def test_channel_survives(self):
        """The socket of a channel without a path of its own is QEMU's: the daemon's end takes it from nobody."""
        guest = self.guest
        path = guest.write_xml()
        text = path.read_text()
        path.write_text(text.replace("</devices>", "<channel type='unix'><target type='virtio' name='org.x.0'/></channel></devices>"))
        self.virsh("define", path)
        self.virsh("start", guest.name)
        socket_path, = re.findall(r"<source mode='bind' path='([^']*org\.x\.0)'/>", self.virsh("dumpxml", guest.name))
        for kill in (False, True):
            self.daemon.restart(kill=kill)
            with socket.socket(socket.AF_UNIX) as channel:
                channel.connect(socket_path)
        self.virsh("destroy", guest.name)
        self.assertEqual(os.listdir(self.root / "run/channel"), [])

    def test_paused_stays_paused(self):
        self.running()
        self.virsh("suspend", self.guest.name)
        self.daemon.restart(kill=True)
        self.same_guest_goes_on("paused")
        self.assertEqual(self.guest.reason(), "paused (user)")
        self.virsh("resume", self.guest.name)
        self.same_guest_goes_on()

    def test_qemu_ended_meanwhile(self):
        self.running()
        self.daemon.kill()
        harness.kill_and_wait(self.qemu)
        self.daemon.start()
        self.assertEqual(self.guest.state(), "shut off")
        self.virsh("start", self.guest.name)
        self.guest.wait_count(10)

    def test_paused_behind_the_daemons_back(self):
        """What QEMU is, not what was written down, is what is shown."""
        self.running()
        self.virsh("qemu-monitor-command", self.guest.name, "--hmp", "stop")
        harness.wait_for(lambda: self.guest.state() == "paused", "the daemon hears of it")
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.guest.state(), "paused")

    def test_transient(self):
        guest = self.sector("transient").create()
        guest.wait_count(10)
        self.daemon.restart(kill=True)
        self.assertEqual(guest.state(), "running")
        self.assertRegex(self.virsh("dominfo", guest.name), r"Persistent:\s+no")
        self.virsh("destroy", guest.name)
        self.assertNotIn(guest.name, self.virsh("list", "--all", "--name").split())
        self.daemon.restart()
        self.assertNotIn(guest.name, self.virsh("list", "--all", "--name").split())

    def test_definitions_and_autostart(self):
        self.virsh("autostart", self.guest.name)
        self.assertRegex(self.virsh("dominfo", self.guest.name), r"Autostart:\s+enable")
        self.daemon.restart()
        harness.wait_for(lambda: self.guest.state() == "running", "what is marked for it starts with the daemon")
        self.guest.wait_count(10)
        # a managed save of what starts by itself is resumed
        self.virsh("managedsave", self.guest.name)
        saved = self.guest.wait_still()
        self.daemon.restart()
        harness.wait_for(lambda: self.guest.state() == "running", "it resumes")
        self.guest.wait_count(saved + 10)
        self.guest.check_sequence()
        self.assertFalse(self.managed_save_path(self.guest).exists())
        self.virsh("autostart", self.guest.name, "--disable")
        self.virsh("destroy", self.guest.name)
        self.daemon.restart()
        self.assertEqual(self.guest.state(), "shut off")

    def test_running_autostarted_guest_is_not_started_twice(self):
        self.virsh("autostart", self.guest.name)
        self.running()
        self.daemon.restart(kill=True)
        self.same_guest_goes_on()

    def test_broken_files_do_not_stop_the_daemon(self):
        self.daemon.stop()
        domains = self.root / "etc/domains"
        (domains / "broken.xml").write_text("<domain type='qemu'><name>broken")
        (domains / "other.xml").write_text("no XML")
        (domains / "empty.xml").write_text("")
        (domains / "README").write_text("not ours")
        self.daemon.start()
        self.assertEqual(self.virsh("list", "--all", "--name"), self.guest.name)
        self.assertIn("broken", self.daemon.stderr())

    def test_second_daemon_is_refused(self):
        self.running()
        second = harness.Daemon(self.root)
        second.stderr_path = self.root / "second.stderr"
        second.spawn()
        self.assertNotEqual(second.process.wait(30), 0)
        self.assertIn("another", second.stderr().lower().replace("already", "another"))
        self.same_guest_goes_on()

    def test_sigterm_ends_it_with_0(self):
        self.running()
        self.assertEqual(self.daemon.stop(), 0)
        self.assertTrue(harness.is_alive(self.qemu))
        os.kill(self.qemu, signal.SIGKILL)


class BadConfiguration(harness.DaemonTest):
    autostart = False

    def test_says_file_and_line(self):
        for text, pattern in (("frobnicate = 1\n", r"godwit\.conf:1.*frobnicate"),
                              ("\n\nsave_image_format = \"rar\"\n", r"godwit\.conf:3"),
                              ("host_uuid = \"x\n", r"godwit\.conf:1")):
            with self.subTest(text=text):
                (self.root / "etc/godwit.conf").write_text(text)
                self.daemon.spawn()
                self.assertNotEqual(self.daemon.process.wait(30), 0)
                self.assertRegex(self.daemon.stderr(), pattern)
        self.daemon.process = None


if __name__ == "__main__":
    unittest.main(verbosity=2)
