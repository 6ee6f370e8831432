#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""godwit's lockd and libvirt's virtlockd keep each other out, both ways, on the same storage. Root only.

QEMU locks its images by itself, and on one machine that would exclude too. So libvirt's QEMUs do not lock theirs (NO_LOCKS):
what refuses here is the lease. godwit takes it before there is a QEMU, libvirt before its QEMU runs the guest.
"""

import hashlib
import os
import pathlib
import shutil
import tempfile
import unittest

import harness
import leases

NO_LOCKS = f"""#!/usr/bin/python3 -S
import os, sys
os.execv("{harness.QEMU}", [a.replace('{{"driver":"file",', '{{"driver":"file","locking":"off",') for a in sys.argv])
"""
# The emulator of libvirt's VMs, and what libvirt has found out about it, which takes it seconds.
shared = None


def setUpModule():
    global shared
    shared = pathlib.Path(tempfile.mkdtemp(prefix="gw-", dir=os.environ.get("GODWIT_TEST_DIR")))
    unittest.addModuleCleanup(shutil.rmtree, shared)
    (shared / "cache").mkdir()
    emulator = shared / "qemu"
    emulator.write_text(NO_LOCKS)
    emulator.chmod(0o755)


class TwoKinds(harness.DaemonTest):
    """self.ours is godwit's VM, self.theirs the same one of a libvirt with virtlockd."""

    autostart = False

    def setUp(self):
        harness.need_reference(self)
        super().setUp()
        settings = self.settings()
        # On one CPU: another one may not look the same, and then libvirt would ask the emulator again.
        self.libvirt = harness.Reference(self.root / "libvirt", lockd=True, lockd_config=settings,
                                         prefix=("taskset", "--cpu-list", min(os.sched_getaffinity(0))))
        self.libvirt.environment["GODWIT_TEST_ROOT"] = str(self.root)
        (self.libvirt.root / "cache").symlink_to(shared / "cache")
        self.reference = harness.Virsh(self.libvirt.uri())
        self.addCleanup(self.end_libvirt)
        self.libvirt.spawn()
        (self.root / "etc/godwit.conf").write_text(f'lock_manager = "lockd"\n{settings}')
        self.daemon.start()
        harness.wait_for(self.libvirt.answers, "the reference libvirtd answers", 120)
        self.ours, self.theirs = self.ours_and_theirs("sector")
        self.disk = self.ours.disk

    def settings(self):
        """Lines for the configuration of both."""
        return ""

    def locked(self, disk):
        """The file that is locked for the disk, and libvirt's name for it."""
        return disk, disk

    def ours_and_theirs(self, name, **options):
        """The same VM on both sides, each with a console of its own."""
        ours = self.sector(name)
        theirs = harness.BootSector(self.root, self.reference, name, emulator=shared / "qemu")
        theirs.console = self.root / f"{name}.their-console"
        return ours.define(**options), theirs.define(**options)

    def end_libvirt(self):
        for name in self.reference.run("list", "--name").stdout.split():
            self.reference.run("destroy", name)
        self.libvirt.end()

    # what is done on either side

    def start(self, guest):
        """Until it counts, on a new console."""
        guest.console.unlink(missing_ok=True)
        guest.virsh("start", guest.name)
        guest.wait_count()

    def kill(self, guest):
        """libvirt notices only when init has reaped it; that need not be waited for here."""
        pid, = harness.qemus_of(self.root) if guest.virsh is self.virsh else self.libvirt.qemus()
        harness.kill_and_wait(pid)

    def check_ours_refused(self, guest, disk):
        guest.console.unlink(missing_ok=True)
        virtlockd = (self.libvirt.root / "run/virtlockd.pid").read_text().strip()
        self.assertIn(f"resource busy: start {guest.name}: disk {disk} is in use: process virtlockd (pid {virtlockd}) "
                      "holds its lease; stop it there first", guest.virsh.fails("start", guest.name))
        self.assertFalse(guest.console.exists(), "no QEMU was run: it would have made its console, if nothing else")

    def check_theirs_refused(self, guest, disk, command="start"):
        if command == "start":
            guest.wait_state("shut off")
        said = guest.wait_still()
        self.assertIn(f"resource busy: Lockspace resource '{self.locked(disk)[1]}' is locked",
                      guest.virsh.fails(command, guest.name))
        self.assertEqual(guest.wait_still(), said, "no instruction of the guest was run")

    def wait_free(self, disk):
        """virtlockd removes the files that it has made."""
        def is_free():
            try:
                return leases.is_free(self.locked(disk)[0])
            except FileNotFoundError:
                return True
        harness.wait_for(is_free, f"the lease of {disk} is free")


class Disk(TwoKinds):
    """The disk itself is locked."""

    def test_excludes(self):
        self.running_excludes()
        self.suspended()

    def running_excludes(self):
        self.start(self.theirs)
        self.check_ours_refused(self.ours, self.disk)
        self.kill(self.theirs)
        self.wait_free(self.disk)
        self.start(self.ours)
        self.check_theirs_refused(self.theirs, self.disk)
        self.assertEqual(self.libvirt.qemus(), [])
        self.virsh("suspend", self.ours.name)
        self.check_theirs_refused(self.theirs, self.disk)
        self.virsh("destroy", self.ours.name)

    def suspended(self):
        """One of theirs lets the other side in, and cannot go on; it goes on when the disk is free again."""
        self.start(self.theirs)
        self.reference("suspend", self.theirs.name)
        self.start(self.ours)
        self.check_theirs_refused(self.theirs, self.disk, "resume")
        self.assertEqual(self.theirs.state(), "paused")
        self.kill(self.ours)
        self.reference("resume", self.theirs.name)
        self.theirs.wait_count(self.theirs.last())
        self.check_ours_refused(self.ours, self.disk)
        self.kill(self.theirs)
        self.wait_free(self.disk)
        self.start(self.ours)

    def test_shareable(self):
        """A disk in VMs of both, and VMs that want it for themselves."""
        disk = self.root / "data.img"
        disk.write_bytes(bytes(1 << 20))
        xml = f"<disk type='file'><source file='{disk}'/><target dev='vdb'/>%s</disk>"
        sharing = self.ours_and_theirs("sharing", extra_devices=xml % "<shareable/>")
        greedy = self.ours_and_theirs("greedy", extra_devices=xml % "")
        self.start(sharing[1])
        self.check_ours_refused(greedy[0], disk)
        sharing[0].disk = self.root / "sharing.second-img"  # they share the one, but not the other
        self.start(sharing[0].define(extra_devices=xml % "<shareable/>"))
        self.kill(sharing[1])
        self.check_theirs_refused(greedy[1], disk)
        self.kill(sharing[0])
        self.start(greedy[1])
        self.check_ours_refused(sharing[0], disk)
        self.kill(greedy[1])
        self.wait_free(disk)
        self.start(greedy[0])
        self.check_theirs_refused(sharing[1], disk)


class FileLockspace(Disk):
    """Files of their own are locked, named by the disk's path."""

    test_shareable = None  # as above

    def test_excludes(self):
        self.suspended()
        self.check_theirs_refused(self.theirs, self.disk)

    def settings(self):
        return f'file_lockspace_dir = "{self.root}/locks"\n'

    def locked(self, disk):
        name = hashlib.sha256(str(disk).encode()).hexdigest()
        return self.root / "locks" / name, name


if __name__ == "__main__":
    unittest.main(verbosity=2)
