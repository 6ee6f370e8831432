#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Taking snapshots: memory and disks of one instant, what is refused, and what is left of those that fail."""

import fcntl
import re
import subprocess
import unittest

import harness
from harness import wait_for


def image_info(path):
    """(format, path of its backing file or None)"""
    text = subprocess.run(["qemu-img", "info", "-U", path], check=True, capture_output=True, text=True).stdout
    backing = re.search(r"^backing file: (\S+)", text, re.M)
    return re.search(r"^file format: (\S+)", text, re.M)[1], backing and backing[1]


def check_image(path):
    subprocess.run(["qemu-img", "check", "-q", path], check=True)


class TwoDisks:
    """A raw disk and a qcow2 one."""

    @property
    def second(self):
        return self.directory / f"{self.name}-2.qcow2"

    def prepare(self):
        super().prepare()
        if not self.second.exists():
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", self.second, "4M"], check=True)

    def second_xml(self):
        return f"""<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
          <source file='{self.second}'/><target dev='vdb' bus='virtio'/></disk>"""


class Linux(TwoDisks, harness.LinuxGuest):
    first = "vda"

    def disks_xml(self):
        return super().disks_xml() + self.second_xml()


class Sector(TwoDisks, harness.BootSector):
    first = "hda"

    def devices_xml(self):
        return super().devices_xml() + self.second_xml()


class SnapshotTest(harness.DaemonTest):
    def path(self, name):
        return self.root / name

    def define(self, kind=Sector, **options):
        self.guest = kind(self.root, self.virsh, **options).define()
        return self.guest

    def running(self, kind=Sector, **options):
        self.define(kind, **options)
        self.virsh("start", self.guest.name)
        self.guest.wait_count(10)

    def create(self, name, *options, memory=True, **run):
        memspec = ["--memspec", f"file={self.path(name + '.mem')},snapshot=external"] if memory else []
        return self.virsh("snapshot-create-as", self.guest.name, name, *memspec, *options, **run)

    def refuse(self, pattern, name, *options, memory=False):
        memspec = ["--memspec", f"file={self.path(name + '.mem')},snapshot=external"] if memory else []
        before = self.sources(), sorted(p.name for p in self.root.iterdir())
        message = self.virsh.fails("snapshot-create-as", self.guest.name, name, *memspec, *options)
        self.assertRegex(message, pattern)
        self.assertEqual((self.sources(), sorted(p.name for p in self.root.iterdir())), before, "nothing has changed")

    def sources(self):
        """{target: path} as the VM has them."""
        rows = self.virsh("domblklist", self.guest.name).splitlines()[2:]
        return {row.split()[0]: row.split()[1] for row in rows if len(row.split()) == 2 and row.split()[1] != "-"}

    def snapshots(self):
        return self.virsh("snapshot-list", self.guest.name, "--name").split()

    def overlays(self, name):
        return {self.guest.first: str(self.path(f"{self.guest.name}.{name}")), "vdb": str(self.path(f"{self.guest.name}-2.{name}"))}

    def bases(self):
        return {self.guest.first: str(self.guest.disk), "vdb": str(self.guest.second)}

    def check_undone(self, name):
        """No trace, and the guest runs on its old images."""
        self.assertEqual(self.sources(), self.bases())
        self.assertEqual(self.snapshots(), [])
        for path in (*self.overlays(name).values(), self.path(name + ".mem")):
            self.assertFalse(harness.pathlib.Path(path).exists(), path)
        self.check_no_partial(self.root)
        self.guest.wait_state("running")
        self.guest.wait_count(self.guest.last() + 20)
        nodes = self.virsh("qemu-monitor-command", self.guest.name, '{"execute":"query-named-block-nodes"}')
        self.assertFalse(f".{name}" in nodes, "QEMU has no node of it")


class Running(SnapshotTest):
    def test_one_instant(self):
        """What the guest remembers and what is on both disks agree, in the snapshot and in the guest that went on."""
        self.running(Linux, arguments="gw.disk=/dev/vda,/dev/vdb")
        self.guest.wait_count(50)
        self.create("s1")
        self.assertEqual(self.sources(), self.overlays("s1"))
        self.assertEqual(self.snapshots(), ["s1"])
        self.assertEqual(self.virsh("snapshot-current", self.guest.name, "--name").strip(), "s1")
        xml = self.virsh("snapshot-dumpxml", self.guest.name, "s1")
        self.assertIn("<state>running</state>", xml)
        self.assertIn(str(self.path("s1.mem")), xml)
        inactive = self.virsh("dumpxml", self.guest.name, "--inactive")
        for path in self.overlays("s1").values():
            self.assertIn(path, inactive)
            self.assertEqual(image_info(path)[0], "qcow2")
        self.assertEqual({t: image_info(p)[1] for t, p in self.overlays("s1").items()}, self.bases())
        print(" ", "; ".join(re.findall(r"the guest stood still for .*", self.daemon.stderr())), end=" ")
        self.assertIn("within one short stop", self.daemon.stderr())
        self.guest.wait_count(self.guest.last() + 50)
        self.create("s2")
        self.guest.wait_count(self.guest.last() + 20)
        self.guest.check()
        self.assertEqual(self.snapshots(), ["s1", "s2"])

        # The image belongs to the frozen images: its own document names them.
        self.virsh("destroy", self.guest.name)
        for path in (*self.overlays("s1").values(), *self.overlays("s2").values()):
            check_image(path)
        for name in ("s2", "s1"):
            self.assertIn("is the ground of snapshot", self.virsh.fails("restore", self.path(name + ".mem")))
            harness.Godwit(self.daemon)("restore", self.path(name + ".mem"), "--force")
            last = self.guest.last()
            wait_for(lambda: self.guest.last() != last, "the guest of the snapshot goes on")
            for command in ("check-memory", "check-disk", "status"):
                self.assertTrue(self.guest.ask(command)[0], f"{name}: {command}")
            self.virsh("destroy", self.guest.name)

    def test_disk_only(self):
        self.running()
        self.create("d1", "--disk-only", memory=False)
        self.assertEqual(self.sources(), self.overlays("d1"))
        self.assertIn("<state>disk-snapshot</state>", self.virsh("snapshot-dumpxml", self.guest.name, "d1"))
        self.create("d2", "--disk-only", "--atomic", "--no-metadata", "--diskspec", "vdb,snapshot=no", memory=False)
        self.assertEqual(self.sources(), {"hda": self.overlays("d2")["hda"], "vdb": self.overlays("d1")["vdb"]})
        self.assertEqual(self.snapshots(), ["d1"])
        other = self.path("other.qcow2")
        self.create("d3", "--disk-only", "--diskspec", f"hda,file={other}", "--diskspec", "vdb,snapshot=no", memory=False)
        self.assertEqual(self.sources()["hda"], str(other))
        self.guest.wait_count(self.guest.last() + 20)
        self.assertEqual(self.guest.state(), "running")

    def test_reuse_external(self):
        self.running()
        mine = self.path("mine.qcow2")
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", self.guest.disk, "-F", "raw", mine], check=True)
        self.create("r1", "--disk-only", "--reuse-external", "--diskspec", f"hda,file={mine}", "--diskspec", "vdb,snapshot=no",
                    memory=False)
        self.assertEqual(self.sources()["hda"], str(mine))
        self.refuse("missing existing file", "r2", "--disk-only", "--reuse-external")

    def test_halt(self):
        self.running()
        self.create("h1", "--halt")
        self.assertEqual(self.guest.state(), "shut off")
        self.assertIn("from snapshot", self.guest.reason())
        self.assertEqual(self.sources(), self.overlays("h1"))
        self.virsh("start", self.guest.name)
        self.guest.wait_count(self.guest.last())

    def test_manual(self):
        """The guest is left paused, for its user to take what storage holds."""
        self.running()
        for name, memory, disks in (("m1", True, ["hda,snapshot=manual"]), ("m2", False, ["hda,snapshot=manual", "vdb,snapshot=manual"])):
            before = self.sources()
            options = [] if memory else ["--disk-only"]
            self.create(name, *options, *(word for disk in disks for word in ("--diskspec", disk)), memory=memory)
            self.assertEqual(self.guest.state(), "paused")
            self.assertEqual(self.sources(), {**before, **({"vdb": self.overlays("m1")["vdb"]} if memory else {})})
            last = self.guest.wait_still()
            self.virsh("resume", self.guest.name)
            self.guest.wait_count(last + 20)

    def test_refused(self):
        self.running()
        taken = self.path("taken")
        taken.write_bytes(b"")
        self.create("s1", "--disk-only", memory=False)
        self.refuse("already exists", "s1", "--disk-only")
        self.refuse("no disk named 'vdz'", "x", "--disk-only", "--diskspec", "vdz,snapshot=external")
        self.refuse("twice", "x", "--disk-only", "--diskspec", "hda", "--diskspec", "hda")
        self.refuse("same file", "x", "--disk-only", "--diskspec", f"hda,file={self.path('f')}", "--diskspec",
                    f"vdb,file={self.path('f')}")
        self.refuse("is the file of disk", "x", "--disk-only", "--reuse-external", "--diskspec",
                    f"hda,file={self.sources()['vdb']}", "--diskspec", "vdb,snapshot=no")
        self.refuse("already exists", "x", "--disk-only", "--diskspec", f"hda,file={taken}")
        self.refuse("internal", "x", "--disk-only", "--diskspec", "hda,snapshot=internal")
        self.refuse("(?i)internal", "x", "--diskspec", "hda,snapshot=internal", memory=True)
        self.refuse("(?i)quiesce", "x", "--quiesce", memory=True)
        self.refuse("snapshot_hook", "x", "--disk-only", "--quiesce", "--diskspec", "hda,snapshot=manual")
        self.refuse("(?i)exclusive|exclude|--live", "x", "--live", "--halt", memory=True)
        self.refuse("nothing", "x", "--disk-only", "--diskspec", "hda,snapshot=no", "--diskspec", "vdb,snapshot=no")
        for path in (self.overlays("x")["hda"], self.path("f")):
            self.refuse("same file", "x", "--memspec", f"file={path},snapshot=external", "--diskspec", f"vdb,file={self.path('f')}")
        for path in self.bases()["hda"], self.sources()["vdb"]:
            self.refuse("same file", "x", "--reuse-external", "--memspec", f"file={path},snapshot=external", "--diskspec",
                        f"hda,file={taken}", "--diskspec", "vdb,snapshot=no")
        self.refuse("(?i)directory", "x", "--disk-only", "--diskspec", "hda,file=/nonexistent/f", "--diskspec",
                    "vdb,snapshot=no")
        self.guest.wait_count(self.guest.last() + 20)


class Hook(SnapshotTest):
    """A program that takes storage snapshots: one that notes what it was asked, has "old" already, and fails for the name "bad"."""

    @property
    def config(self):
        hook = self.root / "hook"
        hook.write_text(f"""#!/bin/sh
echo "$*" >>{self.root}/asked
test "$1" != exists || {{ test "$3" = old && echo yes || echo no; exit; }}
test "$3" != bad || test "$1" = delete\n""")
        hook.chmod(0o755)
        return f'snapshot_hook = "{hook}"\n'

    def test_hook(self):
        self.running()
        self.create("h1", "--diskspec", "hda,snapshot=manual", "--diskspec", "vdb,snapshot=no")
        self.assertEqual(self.guest.state(), "running")
        asked = self.path("asked")
        words = f"{self.guest.name} h1 hda={self.guest.disk}\n"
        self.assertEqual(asked.read_text(), f"exists {words}create {words}")
        self.virsh.fails("snapshot-create-as", self.guest.name, "bad", "--disk-only", "--diskspec", "hda,snapshot=manual")
        self.assertEqual([line.split()[0] for line in asked.read_text().splitlines()], ["exists", "create", "exists", "create", "delete"])
        asked.unlink()
        self.assertIn(f"the storage keeps something of domain '{self.guest.name}' under the name 'old' already", self.virsh.fails(
            "snapshot-create-as", self.guest.name, "old", "--disk-only", "--diskspec", "hda,snapshot=manual"))
        self.assertEqual([line.split()[0] for line in asked.read_text().splitlines()], ["exists"], "what it has stays")
        self.assertEqual(self.snapshots(), ["h1"])
        self.assertEqual(self.sources(), self.bases())
        self.guest.wait_state("running")
        self.guest.wait_count(self.guest.last() + 20)


class Paused(SnapshotTest):
    def test_everything_works_afterwards(self):
        """A paused VM stays what it was: saved, photographed again and saved for good, without being resumed."""
        self.running()
        self.virsh("suspend", self.guest.name)
        last = self.guest.wait_still()
        self.create("p1")
        self.assertEqual(self.guest.state(), "paused")
        self.assertIn("<state>paused</state>", self.virsh("snapshot-dumpxml", self.guest.name, "p1"))
        self.create("p2")
        self.create("p3", "--disk-only", memory=False)
        self.virsh("qemu-monitor-command", self.guest.name,
                   '{"execute":"block-commit","arguments":{"job-id":"c","device":"%s"}}' % self.top_node())
        wait_for(lambda: '"ready":true' in self.virsh("qemu-monitor-command", self.guest.name,
                                                     '{"execute":"query-block-jobs"}'), "the commit is ready")
        self.virsh("qemu-monitor-command", self.guest.name,
                   '{"execute":"block-job-cancel","arguments":{"device":"c"}}')
        wait_for(lambda: '"return":[]' in self.virsh("qemu-monitor-command", self.guest.name,
                                                    '{"execute":"query-block-jobs"}'), "the commit is over")
        self.virsh("save", self.guest.name, self.path("saved"))
        self.virsh("restore", self.path("saved"))
        self.assertEqual(self.guest.state(), "paused")
        self.assertEqual(self.guest.wait_still(), last)
        self.virsh("managedsave", self.guest.name)
        self.virsh("start", self.guest.name)
        self.virsh("resume", self.guest.name)
        self.guest.wait_count(last + 20)

    def top_node(self):
        nodes = self.virsh("qemu-monitor-command", self.guest.name, '{"execute":"query-named-block-nodes"}')
        return max(re.findall(r'"node-name":"(libvirt-\d+-format)"', nodes.replace(" ", "")),
                   key=lambda n: int(n.split("-")[1]))


class Off(SnapshotTest):
    def test_off(self):
        self.define()
        self.create("o1", "--disk-only", memory=False)
        self.assertEqual(self.sources(), self.overlays("o1"))
        self.assertIn("<state>shutoff</state>", self.virsh("snapshot-dumpxml", self.guest.name, "o1"))
        self.refuse("(?i)offline", "x", memory=True)
        self.virsh("start", self.guest.name)
        self.guest.wait_count(10)


class Undefinable(SnapshotTest):
    def test_definition(self):
        """A definition that cannot be written: the next start would write to what is frozen, so there is no snapshot."""
        self.running()
        document = self.path(f"etc/domains/{self.guest.name}.xml")
        aside = self.path("aside")
        document.rename(aside)
        document.mkdir()
        message = self.virsh.fails("snapshot-create-as", self.guest.name, "s1", "--memspec",
                                   f"file={self.path('s1.mem')},snapshot=external")
        self.assertIn(document.name, message)
        self.check_undone("s1")
        document.rmdir()
        aside.rename(document)
        self.assertNotIn(".s1", self.virsh("dumpxml", self.guest.name, "--inactive"))
        self.create("s1")
        self.assertEqual(self.sources(), self.overlays("s1"))


class Undone(SnapshotTest):
    def setUp(self):
        super().setUp()
        self.hold = self.path("hold")
        self.hold.write_bytes(b"")
        self.daemon.restart(GODWIT_FAULT=f"io-saving=hold:{self.hold}")

    def start_streaming(self):
        self.running(Linux, arguments="gw.disk=/dev/vda,/dev/vdb")
        self.guest.wait_count(50) # its disks have a counter, whatever becomes of the overlays
        client = self.virsh.start("snapshot-create-as", self.guest.name, "s1", "--memspec",
                                  f"file={self.path('s1.mem')},snapshot=external")
        wait_for(lambda: self.sources() == self.overlays("s1"), "the disks are switched")
        self.guest.wait_count(self.guest.last() + 100)
        return client

    def test_abort(self):
        client = self.start_streaming()
        info = self.virsh("domjobinfo", self.guest.name)
        self.assertRegex(info, r"Operation:\s+Snapshot")
        self.assertRegex(info, r"Memory processed:\s+[1-9]")
        self.virsh("domjobabort", self.guest.name)
        self.assertNotEqual(client.wait(), 0)
        self.check_undone("s1")
        self.guest.check()

    def test_daemon_killed(self):
        client = self.start_streaming()
        self.daemon.kill()
        client.wait()
        self.hold.unlink()
        self.daemon.start()
        wait_for(lambda: self.sources() == self.bases(), "the disks are as they were")
        self.check_undone("s1")
        self.guest.check()
        self.create("s1")

    def test_qemu_killed(self):
        """What is in the overlays is merged without it. What the guest wrote and never flushed, QEMU may have had in its cache."""
        client = self.start_streaming()
        harness.kill_and_wait(harness.qemus_of(self.root)[0])
        self.assertNotEqual(client.wait(), 0)
        self.assertEqual(self.guest.state(), "shut off")
        self.assertEqual(self.sources(), self.bases())
        self.assertEqual(self.snapshots(), [])
        self.assertFalse(self.path("s1.mem").exists())
        self.virsh("start", self.guest.name)
        wait_for(lambda: self.guest.boots() == 2, "it boots again")
        wait_for(lambda: re.search(rb"GW disk=/dev/vda base=([1-9]\d*)", self.guest.console_bytes()), "its disk has its counter")

    def test_merged_in_part(self):
        """QEMU is gone and one of two images cannot be written: the VM goes on in that one's overlay."""
        client = self.start_streaming()
        with open(self.guest.second, "rb") as file:
            fcntl.lockf(file, fcntl.LOCK_SH, 1, 201)  # "nobody else writes", as QEMU says it
            harness.kill_and_wait(harness.qemus_of(self.root)[0])
            self.assertNotEqual(client.wait(), 0)
        left = self.overlays("s1")
        self.assertEqual(self.sources(), {"vda": self.bases()["vda"], "vdb": left["vdb"]})
        self.assertFalse(harness.pathlib.Path(left["vda"]).exists())
        self.assertEqual(image_info(left["vdb"])[1], self.bases()["vdb"])
        self.virsh("start", self.guest.name)
        wait_for(lambda: self.guest.boots() == 2, "it boots again")
        for device in (b"vda", b"vdb"):
            wait_for(lambda: re.search(rb"GW disk=/dev/%s base=([1-9]\d*)" % device, self.guest.console_bytes()), f"{device} has its counter")


if __name__ == "__main__":
    unittest.main(verbosity=2)
