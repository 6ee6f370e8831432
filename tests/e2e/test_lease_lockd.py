#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Leases by lockd: two daemons that share storage, two hosts to each other."""

import contextlib
import fcntl
import hashlib
import json
import os
import signal
import struct
import subprocess
import unittest

import harness
import leases


class TwoHosts(harness.DaemonTest):
    """self.daemon is host h1; self.other is host h2, whose VMs have the same names and disks."""

    manager = 'lock_manager = "lockd"\n'

    def setUp(self):
        self.config = self.manager + 'hostname = "h1"\n'
        super().setUp()
        self.other = harness.Daemon(self.root / "h2", self.manager + 'hostname = "h2"\n', test_root=self.root).start()
        self.addCleanup(self.other.kill)
        self.there = harness.Virsh(self.other.uri())

    def both(self, guest, **options):
        """Define it on both."""
        guest.define(**options)
        self.there("define", self.root / f"{guest.name}.xml")
        return guest

    def qemu(self):
        pids = harness.qemus_of(self.root)
        self.assertEqual(len(pids), 1)
        return pids[0]

    def check_refused(self, said, guest, host="h1"):
        self.assertIn(f"resource busy: start {guest.name}: disk {guest.disk} is in use: VM {guest.name} on host {host} "
                      f"(pid {self.qemu()}) holds its lease; stop it there first", said)

    def godwit(self, *args):
        done = subprocess.run([harness.BUILD / "godwit", "--root", self.root, *args], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout


class Lockd(TwoHosts):
    def test_from_start_to_end(self):
        """The lease is there as long as QEMU is, whatever the guest and the daemon do."""
        guest = self.both(self.sector())
        self.virsh("start", guest.name)
        qemu = self.qemu()
        self.assertEqual(leases.holders(guest.disk), [qemu])
        for change in (lambda: None, lambda: self.virsh("suspend", guest.name), self.daemon.kill, self.daemon.start,
                       lambda: self.virsh("resume", guest.name), lambda: self.virsh("reset", guest.name),
                       lambda: self.daemon.restart(kill=True), self.daemon.stop, self.daemon.start):
            change()
            self.check_refused(self.there.fails("start", guest.name), guest)
            self.assertEqual(leases.holders(guest.disk), [qemu])
        self.assertEqual(self.there("domstate", guest.name), "shut off")
        self.virsh("destroy", guest.name)
        self.there("start", guest.name)
        self.check_refused(self.virsh.fails("start", guest.name), guest, "h2")

    def test_every_way_out(self):
        guest = self.both(self.linux(arguments="gw.mem=4"))

        def poweroff():
            guest.ask("poweroff")
            guest.wait_state("shut off")

        def shutdown():
            self.virsh("shutdown", guest.name)
            guest.wait_state("shut off")

        ways = {"destroy": lambda: self.virsh("destroy", guest.name), "poweroff": poweroff, "shutdown": shutdown,
                "save": lambda: self.virsh("save", guest.name, self.root / "saved"),
                "managedsave": lambda: self.virsh("managedsave", guest.name),
                "kill": lambda: harness.kill_and_wait(self.qemu())}
        for name, way in ways.items():
            with self.subTest(name):
                guest.console.unlink(missing_ok=True)
                self.virsh("start", guest.name, "--force-boot")
                guest.wait_count()
                self.assertFalse(leases.is_free(guest.disk))
                way()
                harness.wait_for(lambda: leases.is_free(guest.disk), f"{name} gives the lease back", 20)
                guest.wait_state("shut off")

    def test_every_way_in(self):
        """Each is refused while the other host has the disk, and changes nothing."""
        guest = self.both(self.sector())
        image, managed = self.root / "saved", self.managed_save_path(guest)
        self.virsh("start", guest.name)
        guest.wait_count(5)
        self.virsh("save", guest.name, image)
        self.virsh("start", guest.name)
        guest.wait_count(5)
        self.virsh("managedsave", guest.name)
        kept = image.read_bytes(), managed.read_bytes()
        self.there("start", guest.name)
        self.check_refused(self.virsh.fails("start", guest.name), guest, "h2")
        self.assertIn("on host h2", self.virsh.fails("restore", image))
        self.assertEqual((image.read_bytes(), managed.read_bytes()), kept)
        self.virsh("undefine", guest.name, "--managed-save")
        self.assertIn("on host h2", self.virsh.fails("create", self.root / "sector.xml"))
        self.assertEqual(self.virsh("list", "--all", "--name"), "")
        self.assertEqual(len(harness.qemus_of(self.root)), 1)
        self.there("destroy", guest.name)
        self.virsh("restore", image)
        self.assertEqual(leases.holders(guest.disk), [self.qemu()])
        self.check_alive()

    def test_autostart(self):
        guest = self.both(self.sector())
        self.virsh("autostart", guest.name)
        self.daemon.stop()
        self.there("start", guest.name)
        self.daemon.start()
        harness.wait_for(lambda: "on host h2" in self.daemon.stderr(), "the refusal is in the log")
        self.assertEqual(self.virsh("domstate", guest.name), "shut off")
        self.there("destroy", guest.name)
        self.daemon.restart()
        guest.wait_state("running")

    def test_race(self):
        """Both start it at the same time: exactly one of them does."""
        guest = self.both(self.sector())
        leases.race(self, (self.daemon, self.other), guest.name,
                    lambda _: self.assertEqual(leases.holders(guest.disk), [self.qemu()]),
                    lambda _: self.assertTrue(leases.is_free(guest.disk), "free when destroy has returned"))

    def test_killed_with_the_lease_and_before_the_program(self):
        """The child has the lease, is not QEMU yet, and its daemon dies: nobody keeps the lease."""
        guest = self.both(self.sector())
        self.daemon.restart(GODWIT_FAULT="lease-taken=stop")
        client = self.virsh.start("start", guest.name)
        harness.wait_for(lambda: leases.holders(guest.disk), "the child has the lease")
        child, = leases.holders(guest.disk)
        self.assertIn("on host h1", self.there.fails("start", guest.name))
        self.daemon.kill()
        self.assertEqual(leases.holders(guest.disk), [child])
        os.kill(child, signal.SIGCONT)
        self.daemon.start()
        client.communicate(timeout=60)
        harness.wait_for(lambda: self.virsh("domstate", guest.name) == "shut off", "the start is undone")
        harness.wait_for(lambda: leases.is_free(guest.disk), "the lease is free")
        self.there("start", guest.name)

    def test_start_is_called_off_while_the_child_works(self):
        guest = self.both(self.sector())
        self.daemon.restart(GODWIT_FAULT="lease-taken=stop")
        client = self.virsh.start("start", guest.name)
        harness.wait_for(lambda: leases.holders(guest.disk), "the child has the lease")
        os.kill(leases.holders(guest.disk)[0], signal.SIGSTOP)
        self.virsh("destroy", guest.name)
        self.assertIn("destroyed while it waited for its leases", client.communicate(timeout=60)[1])
        self.assertEqual(self.virsh("domstate", guest.name), "shut off")
        self.there("start", guest.name)

    def test_shareable_and_readonly(self):
        shared, fixed = self.root / "shared.img", self.root / "fixed.img"
        for path in (shared, fixed):
            path.write_bytes(bytes(1 << 20))
        disks = f"""<disk type='file'><source file='{shared}'/><target dev='vdb'/><shareable/></disk>
            <disk type='file'><source file='{fixed}'/><target dev='vdc'/><readonly/></disk>"""
        here, there = self.sector("here"), self.sector("there")
        here.define(extra_devices=disks)
        there.prepare()
        self.there("define", there.write_xml(extra_devices=disks))
        self.virsh("start", "here")
        self.there("start", "there")
        self.assertEqual(leases.holders(shared), harness.qemus_of(self.root))
        self.assertEqual(leases.holders(fixed), [])
        greedy = self.sector("greedy")
        greedy.define(extra_devices=f"<disk type='file'><source file='{shared}'/><target dev='vdb'/></disk>")
        self.assertIn(f"disk {shared} is in use", self.virsh.fails("start", "greedy"))
        self.assertTrue(leases.is_free(greedy.disk), "all or nothing: its own disk is free again")

    def test_in_the_way(self):
        """Whoever else locks the disk is named when it can be; nothing is started."""
        guest = self.sector().define()
        with open(guest.disk, "r+b") as file:
            fcntl.fcntl(file, fcntl.F_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0))
            self.assertIn(f"(pid {os.getpid()}) holds its lease", self.virsh.fails("start", guest.name))
            fcntl.fcntl(file, fcntl.F_SETLK, struct.pack("hhqqi4x", fcntl.F_UNLCK, os.SEEK_SET, 0, 1, 0))
            leases.lock(file)
            self.assertIn("another process or another host holds its lease", self.virsh.fails("start", guest.name))
        self.virsh("start", guest.name)

    def test_same_disk_twice(self):
        guest = self.sector().define(
            extra_devices=f"<disk type='file'><source file='{self.root}/sector.img'/><target dev='vdb'/></disk>")
        self.assertIn(f"domain 'sector' has disk {guest.disk} twice, not <shareable/>", self.virsh.fails("start", guest.name))

    def test_cannot_be_lost(self):
        guest = self.sector().define()
        self.virsh("start", guest.name)
        self.virsh("suspend", guest.name)
        self.assertIn("has no leases that could be lost", subprocess.run(
            [harness.BUILD / "godwit", "--root", self.root, "lease-lost", guest.uuid], capture_output=True, text=True,
            timeout=60).stderr)
        self.assertEqual(guest.state(), "paused")

    def test_shown(self):
        guest = self.sector().define()
        self.assertIn("is not running", subprocess.run(
            [harness.BUILD / "godwit", "--root", self.root, "lease", "show", guest.name], capture_output=True, text=True,
            timeout=60).stderr)
        self.virsh("start", guest.name)
        shown = json.loads(self.godwit("lease", "show", guest.name, "--json"))
        self.assertEqual(shown, {"vm": guest.name, "lock_manager": "lockd", "state": "held", "pid": self.qemu(), "held": 1,
                                 "leases": [{"lease": f"disk {guest.disk}", "mode": "exclusive", "file": str(guest.disk)}]})
        listed, = json.loads(self.godwit("lease", "list", "--json"))
        self.assertEqual((listed["vm"], listed["state"], listed["lease"]), (guest.name, "held", f"disk {guest.disk}"))
        self.assertIn("1 of 1", self.godwit("lease-show", guest.name))
        self.virsh("suspend", guest.name)
        self.daemon.restart(kill=True)
        shown = json.loads(self.godwit("lease", "show", guest.name, "--json"))
        self.assertEqual(shown["held"], 1, "paused, and found by a new daemon: it holds it still")


class Switched(harness.DaemonTest):
    """Other settings, and settings that change."""

    def write_config(self, text):
        (self.root / "etc/godwit.conf").write_text(text)

    def test_changed_while_running(self):
        """A VM stays what it was when it was started."""
        guest = self.sector().define()
        self.virsh("start", guest.name)
        self.write_config('lock_manager = "lockd"\n')
        self.daemon.restart()
        self.assertIn('it was started with lock_manager "none"', self.daemon.stderr())
        guest.wait_count(guest.last() + 3)
        self.virsh("suspend", guest.name)
        self.virsh("resume", guest.name)
        self.assertTrue(leases.is_free(guest.disk))
        self.virsh("destroy", guest.name)
        self.virsh("start", guest.name)
        self.assertFalse(leases.is_free(guest.disk))

    def test_leases_are_required(self):
        lease_dir = self.root / "area/space"
        lease_dir.mkdir(parents=True)
        self.write_config('lock_manager = "lockd"\nauto_disk_leases = 0\n')
        self.daemon.restart()
        guest = self.sector().define()
        self.assertIn(f"writes to disk {guest.disk} and has no <lease>", self.virsh.fails("start", guest.name))
        lease = (f"<lease><lockspace>space</lockspace><key>key</key><target path='{self.root}/area'/></lease>")
        self.virsh("define", guest.write_xml(extra_devices=lease))
        self.assertIn(f"open {lease_dir}/key for the lease of lease 'key' of lockspace 'space': No such file or directory",
                      self.virsh.fails("start", guest.name))
        (lease_dir / "key").touch()
        self.virsh("start", guest.name)
        self.assertEqual(leases.holders(lease_dir / "key"), harness.qemus_of(self.root))
        self.assertTrue(leases.is_free(guest.disk))
        self.virsh("destroy", guest.name)
        offset = lease.replace("/area'", "/area' offset='512'")
        self.virsh("define", guest.write_xml(extra_devices=offset))
        self.assertIn("knows only offset 0", self.virsh.fails("start", guest.name))

    def test_no_lock_manager(self):
        guest = self.sector().define(
            extra_devices="<lease><lockspace>l</lockspace><key>k</key><target path='/l'/></lease>")
        self.assertIn("has a <lease>, but there is no lock_manager", self.virsh.fails("start", guest.name))
        self.virsh("define", guest.write_xml())
        self.virsh("start", guest.name)
        self.assertTrue(leases.is_free(guest.disk))

    def test_bad_configuration(self):
        self.daemon.stop()
        for text, complaint in (('lock_manager = "dlm"', "lock_manager = 'dlm': expected"),
                                ('file_lockspace_dir = "relative"', "expected an absolute path"),
                                ('lock_manager = "sanlock"\nauto_disk_leases = 1', "needs a host_id"),
                                ('host_id = 2001', "from 1 to 2000"),
                                ('sanlock_user = "nobody-of-this-name"', "there is no user 'nobody-of-this-name'"),
                                ("auto_disk_leases = 2", "expected 0 or 1")):
            with self.subTest(text):
                self.write_config(text + "\n")
                self.daemon.spawn()
                self.assertNotEqual(self.daemon.process.wait(30), 0)
                self.daemon.process = None
                self.assertIn(complaint, self.daemon.stderr())


class FileLockspace(TwoHosts):
    """Locks on files of their own, named by the disk's path."""

    def setUp(self):
        self.manager = TwoHosts.manager  # the directory is known only when there is one
        super().setUp()
        self.directory = self.root / "locks"
        self.directory.mkdir(0o700)
        for daemon, host in ((self.daemon, "h1"), (self.other, "h2")):
            (daemon.root / "etc/godwit.conf").write_text(
                f'{self.manager}hostname = "{host}"\nfile_lockspace_dir = "{self.directory}"\n')
            daemon.restart()

    def test_excludes(self):
        guest = self.both(self.sector())
        self.virsh("start", guest.name)
        lock_file = self.directory / hashlib.sha256(str(guest.disk).encode()).hexdigest()
        self.assertEqual(os.listdir(self.directory), [lock_file.name])
        self.assertEqual(self.mode_of(lock_file), 0o600)
        self.assertEqual(leases.holders(lock_file), [self.qemu()])
        self.assertTrue(leases.is_free(guest.disk), "the disk itself is not locked")
        self.check_refused(self.there.fails("start", guest.name), guest)
        self.virsh("destroy", guest.name)
        self.there("start", guest.name)
        self.check_refused(self.virsh.fails("start", guest.name), guest, "h2")

    def test_directory_that_cannot_be(self):
        (self.root / "etc/godwit.conf").write_text(f'{self.manager}file_lockspace_dir = "{self.root}/no/such/place"\n')
        self.daemon.restart()
        guest = self.sector().define()
        self.assertIn(f"file_lockspace_dir {self.root}/no/such/place (is the shared file system mounted?",
                      self.virsh.fails("start", guest.name))
        self.assertEqual(guest.state(), "shut off")
        self.assertFalse((self.root / "no").exists())


if __name__ == "__main__":
    unittest.main(verbosity=2)
