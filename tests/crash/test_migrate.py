#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Either daemon killed at each point of a migration: when it is back, exactly one guest runs, on one of the hosts, and goes on counting."""

import os
import signal
import unittest

import crash
import harness
import points

import daemons

LOCKD = 'lock_manager = "lockd"\n'


class Killed(daemons.MigrateTest):
    here_config = there_config = LOCKD

    def at_rest(self):
        return all(os.listdir(host.daemon.root / "lib/journal") == [] for host in (self.here, self.there))

    def runs_once(self, guest):
        """The host where it does."""
        harness.wait_for(self.at_rest, "no job is left on either host", 60)
        running = [host for host in (self.here, self.there) if host.qemus()]
        self.assertEqual(len(running), 1, "hosts with a QEMU")
        self.assertEqual(harness.qemus_of(self.root), running[0].qemus())
        self.goes_on(running[0], guest)
        return running[0]

    def dies(self, victim, point):
        guest = self.sector().define()
        self.virsh("start", guest.name)
        guest.wait_count(5)
        victim.daemon.restart(GODWIT_FAULT=point)
        client = self.here.virsh.start("migrate", "--unsafe", "--live", "--persistent", guest.name, self.there.uri())
        self.assertEqual(victim.daemon.process.wait(60 * harness.SLOW), -signal.SIGKILL, f"it was to die at {point}")
        victim.daemon.process = None
        victim.daemon.start()
        client.communicate(timeout=60 * harness.SLOW)
        host = self.runs_once(guest)
        # And it can move again, from wherever it is.
        other = self.there if host is self.here else self.here
        self.migrate(guest, "--live", "--persistent", source=host, target=other)
        self.goes_on(other, guest)


def add_tests():
    for job, victim in (("migrate-out", "here"), ("migrate-in", "there")):
        found = points.jobs()[job]
        for index, step in enumerate(found.steps):
            for moment in crash.FORWARD + ((crash.COMMITTED,) if index == found.commit else ()):
                if moment == "done" and index == found.commit:
                    continue  # it is called "committed" there
                point = f"{job}/{step.name}/{moment}"
                crash.add(Killed, point, lambda self, p=point, v=victim: self.dies(getattr(self, v), p))


add_tests()

if __name__ == "__main__":
    unittest.main(verbosity=2)
