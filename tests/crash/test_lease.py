#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""With sanlock: the daemon, QEMU and sanlock killed at every step of a start. Root only.

Afterwards no QEMU is left without its lease; the VM runs with it, or is off and the lease is free; and the other host can
start the VM. Each test goes through all points on its one pair of hosts.
"""

import os
import signal
import unittest

import crash
import harness
import lease_hosts
import points

CHILD = "lease-taken"  # where not the daemon is stopped, but the child that is to become QEMU


def points_of(job):
    """In the order in which they are met."""
    for i, step in enumerate(job.steps):
        yield f"{job.name}/{step.name}/begun"
        if step.name == "spawn":
            yield CHILD
        yield f"{job.name}/{step.name}/{crash.COMMITTED if i == job.commit else 'done'}"


class Lease(lease_hosts.SanlockTest):
    def setUp(self):
        super().setUp()
        self.second()
        self.guest = self.both(self.sector())
        self.points = list(points_of(points.jobs()["start"]))
        self.assertGreater(len(self.points), 8)

    def is_joined(self):
        space = self.here.status().lockspaces.get(lease_hosts.LOCKSPACE)
        return space and not space.flags

    def holders_here(self):
        return self.holders(self.here, self.guest)

    def stopped_at(self, point):
        """Start it until `point`; the client, and the process that stands there."""
        self.daemon.restart(GODWIT_FAULT=point + "=stop")
        harness.wait_for(self.is_joined, "the first host has joined the lockspace")
        client = self.virsh.start("start", self.guest.name)
        find = self.holders_here if point == CHILD else lambda: [self.daemon.process.pid]
        harness.wait_for(lambda: any(map(crash.stopped, find())), f"somebody stops at {point}")
        return client, find()[0]

    def finish(self, client):
        client.communicate(timeout=60 * harness.SLOW)

    def check(self, running=(True, False)):
        """At rest: who is said to run does, with its lease, and nobody has it otherwise."""
        def at_rest():
            return not os.listdir(self.root / "lib/journal") and self.guest.state() in ("running", "shut off")
        harness.wait_for(at_rest, "no job is left")
        is_running = self.guest.state() == "running"
        self.assertIn(is_running, running)
        qemus = harness.qemus_of(self.root)
        self.assertEqual(len(qemus), is_running, "as many QEMUs as VMs that run")
        harness.wait_for(lambda: self.holders_here() == qemus, f"QEMU {qemus} has the lease, and nobody else", 10)
        return is_running

    def check_fail_over(self):
        """To the other host, and gone from there."""
        if self.guest.state() == "running":
            self.virsh("destroy", self.guest.name)
        self.assertEqual(harness.qemus_of(self.root), [])
        self.other_virsh("start", self.guest.name)
        self.assertEqual(self.holders(self.there, self.guest), [self.qemu()])
        self.other_virsh("destroy", self.guest.name)
        harness.wait_for(lambda: not self.holders(self.there, self.guest), "the other host has given the lease back")

    def test_daemon(self):
        for point in self.points:
            with self.subTest(point):
                client, process = self.stopped_at(point)
                self.daemon.kill()
                if point == CHILD:
                    os.kill(process, signal.SIGCONT)
                self.finish(client)
                self.daemon.start()
                self.check()
                self.check_fail_over()

    def test_qemu(self):
        killed = 0
        for point in self.points:
            with self.subTest(point):
                client, process = self.stopped_at(point)
                victims = [process] if point == CHILD else harness.qemus_of(self.root)
                for pid in victims:
                    harness.kill_and_wait(pid)
                    killed += 1
                if point != CHILD:
                    os.kill(process, signal.SIGCONT)
                self.finish(client)
                self.check(running=[not victims])
                self.check_alive()
                self.check_fail_over()
        self.assertGreater(killed, len(self.points) // 2)

    def test_sanlock(self):
        """It is back before anybody goes on, or not before all have found out."""
        cases = [(point, i % 2 == 1) for i, point in enumerate(self.points)]
        for point, away in [*cases, (CHILD, not dict(cases)[CHILD])]:
            with self.subTest(point, away=away):
                client, process = self.stopped_at(point)
                had_lease = bool(self.holders_here())
                self.here.kill()
                if not away:
                    self.here.restart()
                os.kill(process, signal.SIGCONT)
                self.finish(client)
                if away or had_lease:
                    self.guest.wait_state("shut off")
                if away:
                    harness.wait_for(lambda: harness.qemus_of(self.root) == [], "nothing runs on")
                    self.here.restart()
                self.check(running=[not away and not had_lease])
                self.check_alive()
                # Only a host that has joined again is known to have lost what it had.
                self.daemon.restart()
                harness.wait_for(self.is_joined, "the first host has joined the lockspace")
                self.check_fail_over()


if __name__ == "__main__":
    unittest.main(verbosity=2)
