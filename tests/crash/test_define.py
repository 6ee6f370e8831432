#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon killed while definitions come and go, and while a guest shuts down (crash.py)."""

import os
import shutil
import signal
import unittest

import crash
import harness
import points

Crash = crash.tests_of(crash.Define, crash.Redefine, crash.Undefine)


class Shutdown(harness.DaemonTest):
    """A guest that is shutting down when the daemon dies ends all the same."""

    def test_killed_while_the_guest_shuts_down(self):
        guest = self.linux(arguments="gw.mem=4").define()
        self.virsh("start", guest.name)
        guest.wait_count()
        self.virsh("shutdown", guest.name)
        self.daemon.kill()
        self.daemon.start()
        guest.wait_state("shut off")
        harness.wait_for(lambda: harness.qemus_of(self.root) == [], "QEMU is gone")
        self.virsh("start", guest.name)
        guest.wait_state("running")

    def test_killed_at_every_point(self):
        guest = self.linux(arguments="gw.mem=4").define()
        seen = [p for p in points.others() if p.startswith("shutdown/")]
        self.assertTrue(seen)
        for point in seen:
            with self.subTest(point):
                self.daemon.restart(GODWIT_FAULT=point)
                guest.console.unlink(missing_ok=True)
                self.virsh("start", guest.name)
                guest.wait_count()
                # The daemon may die before virsh has said goodbye, which then dies of that.
                self.virsh.run("shutdown", guest.name)
                self.assertEqual(self.daemon.process.wait(60 * harness.SLOW), -signal.SIGKILL)
                self.daemon.process = None
                self.daemon.start()
                guest.wait_state("shut off")
                self.assertEqual(guest.reason(), "shut off (shutdown)")
                harness.wait_for(lambda: harness.qemus_of(self.root) == [], "QEMU is gone")
                self.assertEqual(os.listdir(self.root / "run/vm"), [])

    def test_everything_is_gone_at_once(self):
        """A power failure: no process is left, and run/ is empty."""
        guest = self.sector().define()
        self.virsh("start", guest.name)
        guest.wait_count(5)
        self.daemon.kill()
        for qemu in harness.qemus_of(self.root):
            harness.kill_and_wait(qemu)
        shutil.rmtree(self.root / "run")
        self.daemon.start()
        self.assertEqual(guest.state(), "shut off")
        self.virsh("start", guest.name)
        guest.wait_state("running")


if __name__ == "__main__":
    unittest.main(verbosity=2)
