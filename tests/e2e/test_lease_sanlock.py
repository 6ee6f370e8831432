#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Leases by sanlock: two hosts with a sanlock daemon each. Root only.

GODWIT_TEST_LONG=1 adds what waits until a host is given up, two minutes.
"""

import hashlib
import json
import os
import subprocess
import sys
import time
import unittest

import harness
import lease_hosts
import leases


class Exclusion(lease_hosts.SanlockTest):
    def test_from_start_to_end(self):
        self.second()
        guest = self.both(self.sector())
        self.virsh("start", guest.name)
        qemu, name = self.qemu(), self.resource(guest)
        self.assertEqual(sorted(os.listdir(self.leases)), sorted([lease_hosts.LOCKSPACE, name, f"{name}.holder"]))
        self.assertEqual(self.holders(self.here, guest), [qemu], "the registered process is QEMU")
        refused = (f"resource busy: start {guest.name}: disk {guest.disk} is in use: VM {guest.name} on host h1 (pid {qemu}) "
                   "holds its lease; stop it there first")
        for change in (lambda: None, lambda: self.virsh("suspend", guest.name), self.daemon.kill, self.daemon.start,
                       lambda: self.virsh("resume", guest.name), lambda: self.daemon.restart(kill=True)):
            change()
            self.assertIn(refused, self.other_virsh.fails("start", guest.name))
            self.assertEqual(self.holders(self.here, guest), [qemu])
        shown = json.loads(subprocess.run([harness.BUILD / "godwit", "--root", self.root, "lease", "show", guest.name, "--json"],
                                          capture_output=True, text=True, timeout=60, check=True).stdout)
        self.assertEqual((shown["lock_manager"], shown["state"], shown["held"]), ("sanlock", "held", 1))
        harness.kill_and_wait(qemu)
        harness.wait_for(lambda: not self.holders(self.here, guest), "QEMU is dead, the lease is free")
        self.other_virsh("start", guest.name)
        self.assertIn("on host h2", self.virsh.fails("start", guest.name))

    def test_race(self):
        """Both start it at the same time: exactly one of them does."""
        self.second()
        guest, hosts = self.both(self.sector()), (self.here, self.there)
        leases.race(self, (self.daemon, self.other), guest.name,
                    lambda k: self.assertEqual(self.holders(hosts[k], guest), [self.qemu()]),
                    lambda k: harness.wait_for(lambda: not self.holders(hosts[k], guest), "sanlock has given the lease back"))

    def test_shareable(self):
        """Both hosts share it; nobody has it for itself while anybody does."""
        self.second()
        disk = self.root / "data.img"
        disk.write_bytes(bytes(1 << 20))
        xml = f"<disk type='file'><source file='{disk}'/><target dev='vdb'/>%s</disk>"
        for name in ("one", "two"):
            self.both(self.sector(name), extra_devices=xml % "<shareable/>")
        self.both(self.sector("greedy"), extra_devices=xml % "")
        self.virsh("start", "one")
        self.other_virsh("start", "two")
        in_use = f"resource busy: start greedy: disk {disk} is in use: "
        for virsh in (self.virsh, self.other_virsh):
            self.assertIn(in_use, virsh.fails("start", "greedy"))
        self.virsh("destroy", "one")
        self.assertIn(in_use, self.virsh.fails("start", "greedy"))
        self.other_virsh("destroy", "two")
        self.virsh("start", "greedy")
        self.assertIn("VM greedy on host h1", self.other_virsh.fails("start", "two"))

    def test_lease_elements(self):
        area = self.root / "area"
        self.here.format_lockspace("space", area)
        self.here.format_resource("space", "key", area, lease_hosts.MIB)
        lease = (f"<lease><lockspace>space</lockspace><key>key</key><target path='{area}' offset='{lease_hosts.MIB}'/></lease>")
        guest = self.sector().define(extra_devices=lease)
        self.assertIn("this host has not joined the lockspace", self.virsh.fails("start", guest.name))
        self.here.add_lockspace("space", area)
        self.virsh("start", guest.name)
        self.assertEqual(self.here.status().holders("space", "key"), [self.qemu()])
        self.assertEqual(self.holders(self.here, guest), [self.qemu()], "and its disk")

    def test_what_it_cannot_do(self):
        guest = self.sector().define(extra="<on_lockfailure>ignore</on_lockfailure>")
        self.assertIn("<on_lockfailure>ignore</on_lockfailure> cannot be had with sanlock", self.virsh.fails("start", guest.name))
        lease = f"<lease><lockspace>{'s' * 48}</lockspace><key>key</key><target path='/area'/></lease>"
        self.virsh("define", guest.write_xml(extra_devices=lease))
        self.assertIn("names of sanlock have at most 47 bytes", self.virsh.fails("start", guest.name))
        self.here.kill()
        self.virsh("define", guest.write_xml())
        self.assertIn("sanlock is not running on this host", self.virsh.fails("start", guest.name))
        self.assertEqual(harness.qemus_of(self.root), [])
        self.here.restart()
        self.virsh("start", guest.name)

    def test_no_directory(self):
        (self.root / "etc/godwit.conf").write_text(lease_hosts.CONFIG.format(leases=self.root / "nowhere", number=1, name="h1"))
        self.daemon.restart()
        guest = self.sector().define()
        self.assertIn(f"directory for leases {self.root}/nowhere: No such file or directory", self.virsh.fails("start", guest.name))


class Hotplug(lease_hosts.SanlockTest):
    SCSI = "<controller type='scsi' model='virtio-scsi'/>"

    def test_disk_comes_and_goes(self):
        """By pid, although QEMU's own connection is restricted; what it held it holds."""
        self.second()
        guest, other = self.sector(), self.sector("other")
        guest.define(extra_devices=self.SCSI)
        other.prepare()
        self.other_virsh("define", other.write_xml(extra_devices=self.SCSI))
        self.virsh("start", guest.name)
        qemu = self.qemu()
        self.other_virsh("start", other.name)
        path = self.root / "data.img"
        path.write_bytes(bytes(1 << 20))
        resource = hashlib.md5(str(path).encode()).hexdigest()
        self.virsh("attach-disk", guest.name, path, "sdb")
        for change in (lambda: None, lambda: self.daemon.restart(kill=True), lambda: self.virsh("suspend", guest.name),
                       lambda: self.virsh("resume", guest.name)):
            change()
            self.assertEqual(self.here.status().holders(lease_hosts.LOCKSPACE, resource), [qemu])
            self.assertEqual(self.holders(self.here, guest), [qemu])
            self.assertIn(f"disk {path} is in use: VM {guest.name} on host h1 (pid {qemu}) holds its lease",
                          self.other_virsh.fails("attach-disk", other.name, path, "sdb"))
        self.assertIn("twice, not <shareable/>", self.virsh.fails("attach-disk", guest.name, path, "sdc"))
        self.assertEqual(self.here.status().holders(lease_hosts.LOCKSPACE, resource), [qemu], "the refusal took nothing away")
        self.virsh("detach-disk", guest.name, "sdb")
        self.assertEqual(self.here.status().holders(lease_hosts.LOCKSPACE, resource), [])
        self.assertEqual(self.holders(self.here, guest), [qemu])
        self.other_virsh("attach-disk", other.name, path, "sdb")
        self.assertIn("on host h2", self.virsh.fails("attach-disk", guest.name, path, "sdb"))
        self.assertEqual(guest.state(), "running")

    def test_daemon_dies_with_the_lease_taken(self):
        """sanlock has given it to QEMU, the disk has not come: the next daemon gives it back."""
        guest = self.sector()
        guest.define(extra_devices=self.SCSI)
        self.virsh("start", guest.name)
        qemu = self.qemu()
        path = self.root / "data.img"
        path.write_bytes(bytes(1 << 20))
        resource = hashlib.md5(str(path).encode()).hexdigest()
        self.daemon.stop()
        self.start_daemon(self.daemon, self.here, GODWIT_FAULT="attach-disk/add-nodes/begun")
        self.virsh.run("attach-disk", guest.name, path, "sdb")
        self.assertEqual(self.here.status().holders(lease_hosts.LOCKSPACE, resource), [qemu])
        self.daemon.process.wait(60)
        self.daemon.process = None
        self.start_daemon(self.daemon, self.here)
        harness.wait_for(lambda: not self.here.status().holders(lease_hosts.LOCKSPACE, resource), "the lease is given back", 30)
        self.assertEqual(self.holders(self.here, guest), [qemu])
        self.virsh("attach-disk", guest.name, path, "sdb")


class Snapshots(lease_hosts.SanlockTest):
    def test_follows_the_guest(self):
        """The overlay's lease in place of the frozen image's; a daemon that dies in between leaves nothing behind."""
        guest = self.sector().define()
        self.virsh("start", guest.name)
        overlay, take = self.root / "sector.s1", ["snapshot-create-as", guest.name, "s1", "--disk-only"]

        def holders():
            return [self.here.status().holders(lease_hosts.LOCKSPACE, hashlib.md5(str(p).encode()).hexdigest())
                    for p in (guest.disk, overlay)]

        qemu = [self.qemu()]
        self.daemon.stop()
        self.start_daemon(self.daemon, self.here, GODWIT_FAULT="snapshot-create/add-nodes/begun")
        self.virsh.run(*take)
        self.assertEqual(holders(), [qemu, qemu])
        self.daemon.process.wait(60)
        self.daemon.process = None
        self.start_daemon(self.daemon, self.here)
        harness.wait_for(lambda: holders() == [qemu, []], "the overlay's lease is given back", 30)
        self.virsh(*take)
        self.assertEqual(holders(), [[], qemu])
        self.virsh("snapshot-delete", guest.name, "s1")
        self.assertEqual(holders(), [qemu, []])
        self.assertEqual(guest.state(), "running")


class Lost(lease_hosts.SanlockTest):
    """The lockspace is lost, sanlock dies, the storage fails: what <on_lockfailure> says, happens."""

    def test_poweroff(self):
        """sanlock ends it by itself when the lockspace is taken away."""
        guest = self.guest_that("poweroff")
        self.here.rem_lockspace(lease_hosts.LOCKSPACE)
        guest.wait_state("shut off")
        self.assertEqual(harness.qemus_of(self.root), [])
        self.virsh("start", guest.name)
        self.assertEqual(self.holders(self.here, guest), [self.qemu()])

    def lose(self):
        """Storage away for as long as sanlock needs to give the lockspace up, and back."""
        self.here.fail_storage()
        harness.wait_for(lambda: "REM" in self.here.status().lockspaces[lease_hosts.LOCKSPACE].flags, "the lockspace is lost", 60)

    def heal(self):
        self.here.heal_storage()
        harness.wait_for(lambda: lease_hosts.LOCKSPACE not in self.here.status().lockspaces, "the lockspace is left", 90)

    def test_pause(self):
        self.second()
        guest = self.guest_that("pause")
        qemu = self.qemu()
        self.lose()
        guest.wait_state("paused")
        counted = guest.wait_still()
        self.assertIn("has lost its leases: pausing it", self.daemon.stderr())
        self.heal()
        self.virsh("resume", guest.name)
        guest.wait_count(counted)
        self.assertEqual(self.holders(self.here, guest), [qemu], "resumed, the same QEMU, with its lease")
        guest.check_sequence()
        self.lose()
        guest.wait_state("paused")
        self.heal()
        # A QEMU of the other host would still meet this one's own lock on the image: all this is one machine.
        taker = self.there.hold(lease_hosts.LOCKSPACE, self.resource(guest), self.leases / self.resource(guest), 0)
        harness.wait_for(lambda: self.holders(self.there, guest) == [taker.pid], "the other host has the lease", 90)
        self.assertIn("was taken by somebody else in between", self.virsh.fails("resume", guest.name))
        self.assertEqual(guest.state(), "paused")
        taker.kill()
        taker.wait()
        harness.wait_for(lambda: not self.holders(self.there, guest), "the lease is free")
        self.assertIn("was taken by somebody else in between", self.virsh.fails("resume", guest.name))
        self.daemon.restart(kill=True)
        self.assertIn("was taken by somebody else in between", self.virsh.fails("resume", guest.name))
        self.virsh("qemu-monitor-command", guest.name, "--hmp", "cont")
        harness.wait_for(lambda: "somebody let on-pause run without its leases" in self.daemon.stderr(), "it is noticed")
        guest.wait_state("paused")

    def test_restart(self):
        guest = self.guest_that("restart")
        qemu = self.qemu()
        self.lose()
        harness.wait_for(lambda: harness.qemus_of(self.root) == [], "it is ended")
        self.heal()
        harness.wait_for(lambda: harness.qemus_of(self.root) not in ([], [qemu]), "another QEMU runs", 90)
        guest.wait_state("running")
        self.assertEqual(self.holders(self.here, guest), [self.qemu()])

    def test_sanlock_dies(self):
        """There is no watchdog here; the daemon does what it can."""
        for action, state in (("", "shut off"), ("pause", "paused"), ("restart", "shut off")):
            with self.subTest(action):
                guest = self.guest_that(action)
                self.here.kill()
                guest.wait_state(state)
                if action == "pause":
                    counted = guest.wait_still()
                    self.assertIn("sanlock is not running", self.virsh.fails("resume", guest.name))
                self.here.restart()
                if action == "pause":
                    self.assertIn("no longer registered", self.virsh.fails("resume", guest.name))
                    self.virsh("managedsave", guest.name, "--running")
                    self.virsh("start", guest.name)
                    guest.wait_count(counted)
                elif action == "restart":
                    guest.wait_state("running", 90)
                    self.assertEqual(self.holders(self.here, guest), [self.qemu()])
                else:
                    self.virsh("start", guest.name)
                self.virsh("destroy", guest.name)

    def test_sanlock_dies_while_the_daemon_is_away(self):
        guest = self.guest_that("")
        self.daemon.stop()
        self.here.kill()
        self.here.restart()
        self.daemon.start()
        guest.wait_state("shut off")

    def test_told_of_nothing(self):
        """`godwit lease-lost` by mistake."""
        guest = self.sector().define()
        godwit = [harness.BUILD / "godwit", "--root", self.root, "lease-lost"]
        self.assertEqual(subprocess.run([*godwit, guest.uuid], capture_output=True, timeout=60).returncode, 5)
        self.assertEqual(subprocess.run([*godwit, "no-uuid"], capture_output=True, timeout=60).returncode, 2)

    def start_that_waits(self, guest):
        """It is refused as long as the other host's signs of life are not overdue."""
        for _ in range(100):
            client = self.other_virsh.start("start", guest.name)
            try:
                said = client.communicate(timeout=5 * harness.SLOW)[1]
            except subprocess.TimeoutExpired:
                return client
            self.assertIn(f"disk {guest.disk} is in use", said)
        return self.fail("it never waits")

    @unittest.skipUnless(os.environ.get("GODWIT_TEST_LONG"), "waits until a host is given up: GODWIT_TEST_LONG=1")
    def test_host_dies(self):
        """Its VM starts on the other host once the first is certainly dead; until then the start waits, and can be ended."""
        self.second()
        guest = self.both(self.sector())
        self.virsh("start", guest.name)
        qemu = self.qemu()
        self.daemon.kill()
        self.here.crash()
        crashed = time.monotonic()
        harness.kill_and_wait(qemu)
        waiting = self.start_that_waits(guest)
        self.other_virsh("destroy", guest.name)
        self.assertIn("destroyed while it waited", waiting.communicate(timeout=60)[1])
        self.other_virsh("start", guest.name, timeout=300)
        print(f"fail-over: {time.monotonic() - crashed:.0f} s", file=sys.stderr)
        self.assertEqual(self.holders(self.there, guest), [self.qemu()])


if __name__ == "__main__":
    unittest.main(verbosity=2)
