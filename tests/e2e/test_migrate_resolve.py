#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A destination that is lost at the last moment, and is given up by hand: `godwit migrate-resolve`."""

import os
import signal
from pathlib import Path

import daemons
import harness


class Resolve(daemons.MigrateTest):
    def lose(self, point, *, before_asking=False):
        """A guest that is paused here, and whose other daemon died at that point; its QEMU there is still alive. Before it was asked: else it may just have
        answered."""
        guest = self.sector().define()
        self.virsh("start", guest.name)
        guest.wait_count(5)
        self.there.daemon.restart(GODWIT_FAULT=point)
        if before_asking:
            self.here.daemon.restart(GODWIT_FAULT="migrate-out/hear/begun=stop")
        client = self.virsh.start("migrate", "--unsafe", "--live", guest.name, self.there.uri())
        self.assertEqual(self.there.daemon.process.wait(60 * harness.SLOW), -signal.SIGKILL)
        self.there.daemon.process = None
        self.addCleanup(lambda: (client.kill(), client.communicate()))
        if before_asking:
            here = self.here.daemon.process.pid
            harness.wait_for(lambda: "State:\tT" in Path(f"/proc/{here}/status").read_text(), "it is about to ask")
            os.kill(here, signal.SIGCONT)
        harness.wait_for(lambda: "migrate-resolve" in self.virsh.fails("resume", guest.name), "it has asked in vain")
        self.assertEqual(guest.state(), "paused")
        return guest

    def kill_there(self):
        qemu, = self.there.qemus()
        os.kill(qemu, signal.SIGKILL)
        harness.wait_for(lambda: self.there.qemus() == [], "its QEMU there is gone")

    def godwit(self):
        return harness.Godwit(self.here.daemon)

    def stays_here(self, guest):
        """It runs, and goes on to when the other daemon is back, which has nothing of it."""
        self.goes_on(self.here, guest)
        harness.wait_for(lambda: [p for p in self.here.left() if not p.startswith("run/vm/")] == [], "no job is left here")
        self.there.daemon.start()
        harness.wait_for(lambda: not [p for p in self.there.left() if not p.startswith("lib/migration/")], "nothing is left there")
        self.assertEqual(self.there.qemus(), [])
        self.goes_on(self.here, guest)

    def test_here(self):
        guest = self.lose("migrate-in/take-leases/begun")
        self.assertRegex(self.virsh.fails("resume", guest.name), r"ask 127.0.0.1 .* whether it runs there: .* --here'")
        self.kill_there()
        self.assertIn("--here", self.godwit().fails("migrate-resolve", guest.name))
        self.assertEqual(guest.state(), "paused")
        self.assertIn("goes on here", self.godwit()("migrate-resolve", guest.name, "--here"))
        self.assertEqual(guest.state(), "running")
        self.stays_here(guest)
        self.assertIn("not waiting", self.godwit().fails("migrate-resolve", guest.name, "--here"))

    def test_daemon_dies(self):
        """The word is kept: nobody has to say it again."""
        guest = self.lose("migrate-in/take-leases/begun")
        self.kill_there()
        self.here.daemon.restart(kill=True, GODWIT_FAULT="migrate-out/come-back/begun")
        self.godwit().fails("migrate-resolve", guest.name, "--here")
        self.assertEqual(self.here.daemon.process.wait(60 * harness.SLOW), -signal.SIGKILL)
        self.here.daemon.process = None
        self.here.daemon.start()
        harness.wait_for(lambda: guest.state() == "running", "it runs here")
        self.stays_here(guest)

    def test_runs_there(self):
        """The other host's own word counts."""
        guest = self.lose("migrate-in/accept/committed", before_asking=True)
        self.there.daemon.start()
        self.godwit().fails("migrate-resolve", guest.name, "--here")
        harness.wait_for(lambda: self.here.qemus() == [], "it has ended here")
        self.goes_on(self.there, guest)


if __name__ == "__main__":
    harness.main()
