#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A host is emptied by one command."""

import re
import signal
import unittest

import daemons
import harness


class Evacuate(daemons.MigrateTest):
    def setUp(self):
        super().setUp()
        self.godwit = harness.Godwit(self.here.daemon)

    def run_guests(self, *names, **options):
        guests = [self.sector(name, **options).define() for name in names]
        for guest in guests:
            self.virsh("start", guest.name)
            guest.wait_count(5)
        return guests

    def command(self, *more):
        return ["evacuate", "--to", self.there.uri(), *more]

    def check_there(self, *guests):
        for guest in guests:
            self.goes_on(self.there, guest)

    def test_all(self):
        """The smaller ones first; those that are off only when that is asked for; again for what was left."""
        guests = self.run_guests("a", "b", "c")
        large, = self.run_guests("large", memory=64)
        self.sector("off").define()
        said = self.godwit(*self.command("--jobs", 1))
        self.assertEqual(re.findall(r"^Domain '(\w+)' runs at", said, re.M), ["a", "b", "c", "large"])
        self.assertIn("4 moved, 0 stayed", said)
        self.check_there(*guests, large)
        self.assertEqual(self.here.names("--all"), ["off"])
        self.assertIn("0 moved, 0 stayed", self.godwit(*self.command()))
        self.assertIn("1 moved, 0 stayed", self.godwit(*self.command("--offline")))
        self.assertEqual(self.here.names("--all"), [])
        self.assertIn("off", self.there.names("--all"))

    def test_what_stays(self):
        """It is named, with the reason, and goes on; the others have gone. Another host is tried first."""
        moves, stays = self.run_guests("moves", "stays")
        self.there.virsh("define", self.sector("stays2").write_xml())
        self.there.virsh("domrename", "stays2", "stays")
        nowhere = f"qemu+unix:///system?socket={self.root}/nowhere"
        done = self.godwit.run("evacuate", "--to", f"{nowhere},{self.there.uri()}")
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn("trying the next host", done.stdout)
        self.assertIn("1 moved, 1 stayed", done.stdout)
        self.assertRegex(done.stdout, r"(?m)^stays stays: .+")
        self.assertIn("1 of 2 VMs stay here", done.stderr)
        self.check_there(moves)
        self.goes_on(self.here, stays)

    def test_interrupted(self):
        """Those under way arrive, the others stay, and nothing is lost."""
        guests = self.run_guests("a", "b", "c")
        for guest in guests:
            self.virsh("migrate-setspeed", guest.name, "1")
        process = self.godwit.start(*self.command("--jobs", 1))
        self.addCleanup(lambda: (process.kill(), process.communicate()))
        harness.wait_for(lambda: "Unbounded" in self.virsh.run("domjobinfo", "a").stdout or process.poll() is not None, "the first one is under way")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120 * harness.SLOW)
        self.assertEqual(process.returncode, 1, out + err)
        self.assertIn("Waiting for those under way (1)", out)
        self.assertIn("1 moved, 2 stayed", out)
        self.assertIn("b stays: not begun, as this was interrupted", out)
        self.check_there(guests[0])
        for guest in guests[1:]:
            self.goes_on(self.here, guest)

    def test_called_off(self):
        # more than a quarter of a minute of memory
        guest = self.linux("a", arguments="gw.mem=16 gw.incompressible=1").define()
        self.virsh("start", guest.name)
        guest.wait_count()
        self.virsh("migrate-setspeed", guest.name, "1")
        process = self.godwit.start(*self.command())
        self.addCleanup(lambda: (process.kill(), process.communicate()))
        harness.wait_for(lambda: "Unbounded" in self.virsh.run("domjobinfo", "a").stdout or process.poll() is not None, "it is under way")
        process.send_signal(signal.SIGINT)
        self.assertIn("Waiting", process.stdout.readline())
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60 * harness.SLOW)
        self.assertEqual(process.returncode, 1, out + err)
        self.assertIn("0 moved, 1 stayed", out)
        self.goes_on(self.here, guest)

    def test_refused(self):
        self.assertIn("--to", self.godwit.fails("evacuate"))
        self.assertIn("names no host", self.godwit.fails("evacuate", "--to", ","))
        self.assertIn("--jobs", self.godwit.fails(*self.command("--jobs", 0)))


if __name__ == "__main__":
    unittest.main(verbosity=2)
