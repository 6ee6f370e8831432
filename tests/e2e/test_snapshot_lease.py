#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Leases of a VM whose disks' images change by snapshots: whatever the guest writes to is held, and nothing else is."""

import json
import pathlib
import unittest

import harness
import leases
from harness import wait_for
from test_snapshot_create import SnapshotTest


class LeaseTest(SnapshotTest):
    """By lockd, which locks the images themselves."""

    config = 'lock_manager = "lockd"\n'

    def qemu(self):
        qemu, = harness.qemus_of(self.root)
        return [qemu]

    def images(self):
        return {str(p) for p in self.root.iterdir() if p.name.startswith(self.guest.name) and p.suffix not in (".xml", ".console")
                and p.is_file()}

    def check_held(self, *besides):
        """What the guest writes to is held, and these."""
        held = {path for path in self.images() if leases.holders(path) == self.qemu()}
        self.assertEqual(held, {*self.sources().values(), *map(str, besides)})
        for path in self.images() - held:
            self.assertTrue(leases.is_free(path), path)


class Taken(LeaseTest):
    def other_host(self):
        other = harness.Daemon(self.root / "h2", self.config + 'hostname = "h2"\n', test_root=self.root).start()
        self.addCleanup(other.kill)
        return harness.Virsh(other.uri())

    def test_follows_the_guest(self):
        """Through snapshots of memory and of disks, with a daemon that was there and one that comes; then merged, one by one."""
        self.running()
        self.check_held()
        self.create("s1")
        self.check_held()
        self.daemon.restart(kill=True)
        self.create("s2", "--disk-only", memory=False)
        self.check_held()
        self.create("s3", "--disk-only", "--diskspec", "vdb,snapshot=no", memory=False)
        self.check_held()
        there, thief = self.other_host(), harness.BootSector(self.root / "h2", None, "thief")
        thief.prepare()
        there("define", thief.write_xml(extra_devices=f"""<disk type='file'><driver name='qemu' type='qcow2'/>
            <source file='{self.sources()["hda"]}'/><target dev='vdb'/></disk>"""))
        self.assertIn(f"(pid {self.qemu()[0]}) holds its lease", there.fails("start", "thief"))
        for name in ("s3", "s1", "s2"):
            self.virsh("snapshot-delete", self.guest.name, name)
            self.check_held()
        self.assertEqual(self.sources(), self.bases())
        self.create("s4", "--disk-only", memory=False)
        self.check_held()
        self.virsh("destroy", self.guest.name)
        for path in self.images():
            self.assertTrue(leases.is_free(path), path)

    def test_somebody_else_has_it(self):
        """An overlay made by hand that another writes to: refused, and the other overlay's lease is given back."""
        self.running()
        mine = self.path("mine.qcow2")
        harness.subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", self.guest.second, "-F", "qcow2", mine], check=True)
        also = self.path("also.qcow2")
        harness.subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", self.guest.disk, "-F", "raw", also], check=True)
        with open(mine, "r+b") as file:
            leases.lock(file)
            self.refuse(f"disk {mine} is in use", "x", "--disk-only", "--reuse-external", "--diskspec", f"hda,file={also}",
                        "--diskspec", f"vdb,file={mine}")
            self.check_held()
            self.assertEqual(leases.holders(also), [])
        self.create("x", "--disk-only", "--reuse-external", "--diskspec", f"hda,file={also}", "--diskspec", f"vdb,file={mine}",
                    memory=False)
        self.assertEqual((leases.holders(also), leases.holders(mine)), (self.qemu(), self.qemu()))
        self.assertEqual(self.sources(), {"hda": str(also), "vdb": str(mine)})

    def test_revert(self):
        """The QEMU of the snapshot holds what it writes to; one that cannot be is undone, and the parked one has its own again."""
        self.running()
        self.create("s1")
        self.create("s2")
        frozen = self.path(f"{self.guest.name}.s1")
        self.virsh("suspend", self.guest.name)  # whose going on would take them, too
        before, sources = self.qemu(), self.sources()
        with open(frozen, "ab") as file:
            file.write(bytes(512))
        self.virsh.fails("snapshot-revert", self.guest.name, "s2")
        self.assertEqual((self.qemu(), self.sources()), (before, sources))
        self.assertIn("is parked", self.daemon.stderr())
        self.assertEqual(self.guest.state(), "paused")
        self.check_held()
        self.virsh("resume", self.guest.name)
        self.guest.wait_count(self.guest.last() + 20)
        self.virsh("snapshot-revert", self.guest.name, "s1")
        self.assertNotEqual(self.qemu(), before)
        self.check_held()
        self.create("s3", "--disk-only", memory=False)
        self.check_held()


class Undone(LeaseTest):
    def test_held_until_merged(self):
        """Both images are written to while a snapshot may yet be undone, by whichever daemon; afterwards it is as before."""
        hold = self.path("hold")
        hold.write_bytes(b"")
        self.daemon.restart(GODWIT_FAULT=f"io-saving=hold:{hold}")
        self.running()
        for undo in (lambda: self.virsh("domjobabort", self.guest.name), lambda: self.daemon.restart(kill=True)):
            client = self.virsh.start("snapshot-create-as", self.guest.name, "s1", "--memspec",
                                      f"file={self.path('s1.mem')},snapshot=external")
            wait_for(lambda: self.sources() == self.overlays("s1"), "the disks are switched")
            self.check_held(*self.bases().values())
            undo()
            client.communicate(timeout=60)
            self.assertNotEqual(client.returncode, 0)
            wait_for(lambda: self.sources() == self.bases(), "the disks are as they were")
            self.check_undone("s1")
            self.check_held()
        self.create("s1")
        self.check_held()


    def test_one_cannot_be_merged(self):
        """The guest goes on in that overlay, and in the other disk's old image; each is held, and can be merged later."""
        hold = self.path("hold")
        hold.write_bytes(b"")
        self.daemon.restart(GODWIT_FAULT=f"io-saving=hold:{hold}")
        self.running()
        client = self.virsh.start("snapshot-create-as", self.guest.name, "s1", "--memspec",
                                  f"file={self.path('s1.mem')},snapshot=external")
        wait_for(lambda: self.sources() == self.overlays("s1"), "the disks are switched")
        node, = (b["inserted"]["node-name"] for b in json.loads(self.ask("query-block"))["return"]
                 if b.get("inserted", {}).get("file") == self.overlays("s1")["vdb"])
        self.ask("block-stream", **{"job-id": "in-the-way", "device": node, "auto-finalize": False})
        self.virsh("domjobabort", self.guest.name)
        client.communicate(timeout=60)
        self.assertIn("could not be merged", self.daemon.stderr())
        stuck = {"hda": self.bases()["hda"], "vdb": self.overlays("s1")["vdb"]}
        self.assertEqual(self.sources(), stuck)
        self.assertIn(stuck["vdb"], self.virsh("dumpxml", "--inactive", self.guest.name))
        self.assertIn(stuck["hda"], self.virsh("dumpxml", "--inactive", self.guest.name))
        self.assertFalse(pathlib.Path(self.overlays("s1")["hda"]).exists())
        self.check_held()
        self.ask("job-cancel", id="in-the-way")
        wait_for(lambda: '"return":[]' in self.ask("query-jobs").replace(" ", ""), "it is out of the way")
        self.virsh("blockcommit", self.guest.name, "vdb", "--active", "--pivot")
        self.assertEqual(self.sources(), self.bases())
        self.check_held()
        self.guest.wait_count(self.guest.last() + 20)

    def ask(self, command, **arguments):
        return self.virsh("qemu-monitor-command", self.guest.name, json.dumps({"execute": command, "arguments": arguments}))


if __name__ == "__main__":
    unittest.main(verbosity=2)
