#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The Linux guest moves while somebody talks to it: its memory, its disk, its clocks and its connections.

GODWIT_MIGRATIONS=N moves it N times to and fro (3 times by default).
"""

import os
import re
import unittest

import harness
import migrating

ROUNDS = int(os.environ.get("GODWIT_MIGRATIONS") or 3)
# Far beyond what it takes, and below what makes a connection fail.
SILENCE = 10


class Connections(migrating.LiveTest):
    config = 'lock_manager = "lockd"\n'

    def test_stay(self):
        guest = self.guest_that_writes(1)
        talk = self.talk()
        guest.wait_count(guest.last() + 20)
        talk.report()
        for _ in range(ROUNDS):
            source = guest.host
            self.move(guest, "--persistent")
            # the last word of the other one is through
            guest.wait_count(guest.last() + 50)
            report = talk.report()
            self.assertIsNone(report["error"])
            self.assertGreater(min(report["tcp_back"], report["udp_back"]), 0, "it answers where it is")
            self.assertLess(max(report["tcp"], report["udp"]), SILENCE * harness.SLOW)
            self.assertEqual(source.taps(), [])
            self.assertEqual(len(guest.host.taps()), 1)
            self.check_whole(guest)

    def test_stay_when_it_fails(self):
        """A migration that does not come about is nothing that a client notices."""
        guest = self.guest_that_writes(1)
        talk = self.talk()
        virsh = self.start_moving(guest, "--bandwidth", 1)
        talk.report()
        guest.virsh("domjobabort", guest.name)
        self.assertNotEqual(virsh.wait(60), 0)
        guest.wait_count(guest.last() + 50)
        report = talk.report()
        self.assertIsNone(report["error"])
        self.assertGreater(min(report["tcp_back"], report["udp_back"]), 0)
        self.check_stayed(guest)
        guest.check()


class Convergence(migrating.LiveTest):
    """A guest that writes faster than its memory is sent."""

    def test_convergence(self):
        guest = self.guest_that_writes(10)
        slow = ("--persistent", "--bandwidth", 2)
        with self.subTest("its figures while it is under way, and faster by hand"):
            virsh = self.start_moving(guest, *slow)
            said = guest.virsh("domjobinfo", guest.name)
            self.assertRegex(said, r"Job type: +Unbounded")
            self.assertRegex(said, r"Operation: +Outgoing migration")
            self.assertRegex(said, r"Memory remaining: +[1-9]")
            self.assertRegex(said, r"Memory bandwidth: +[\d.]+ MiB/s")
            self.assertRegex(said, r"Expected downtime: +\d+ +ms|Iteration: +\d+")
            self.assertRegex(self.other(guest.host).virsh("domjobinfo", guest.name), r"Operation: +Incoming migration")
            guest.virsh("migrate-setspeed", guest.name, 1000)
            self.moved(guest, virsh)
        with self.subTest("suspended after a while"):
            virsh = self.start_moving(guest, "--persistent", "--bandwidth", 8, "--timeout", 1, "--timeout-suspend")
            harness.wait_for(lambda: guest.virsh.run("domstate", guest.name).stdout.strip() != "running", "it stands still")
            self.moved(guest, virsh)
        with self.subTest("a longer blackout is allowed"):
            guest.virsh("migrate-setmaxdowntime", guest.name, 1)
            virsh = self.start_moving(guest, "--persistent", "--bandwidth", 8)
            guest.virsh("migrate-setmaxdowntime", guest.name, 60000)
            self.assertEqual(int(guest.virsh("migrate-getmaxdowntime", guest.name)), 60000)
            self.moved(guest, virsh)
        with self.subTest("slowed down"):
            virsh = self.start_moving(guest, "--persistent", "--bandwidth", 8, "--auto-converge", "--auto-converge-initial", 90)
            harness.wait_for(lambda: re.search(r"Auto converge throttle: +9\d",
                                               guest.virsh.run("domjobinfo", guest.name).stdout) or virsh.poll() is not None,
                             "it is slowed down")
            self.assertIsNone(virsh.poll(), "it moved before it was slowed down")
            guest.virsh("migrate-setspeed", guest.name, 1000)
            self.moved(guest, virsh)


if __name__ == "__main__":
    unittest.main(verbosity=2)
