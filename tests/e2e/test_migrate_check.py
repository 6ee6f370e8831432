#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The check before a migration: every row that says no is proved by a case; and nothing has been touched."""

import json
import shutil
import struct
import subprocess
import time
import unittest
import xml.etree.ElementTree as ET

import harness
import hosts
import migrating
import rpc

GODWIT, COMPARE = 0x676F6477, 15


class Check(migrating.MigrateTest):
    def check(self, guest, *options):
        """The rows by what they are about."""
        command = harness.Godwit(self.here.daemon).run("migrate", guest.name, self.there.uri(), "--check", "--json", *options)
        rows = json.loads(command.stdout)
        failures = [row for row in rows if row["result"] == "failure"]
        self.assertEqual(command.returncode, 1 if failures else 0, command.stderr)
        for row in rows:
            self.assertEqual(row["advice"] is None, row["result"] == "ok", row)
        self.check_gone(self.there, guest.name)
        return {row["check"]: row for row in rows}

    def no(self, rows, what, found, result="failure"):
        """It says this, and nothing else is wrong."""
        self.assertEqual({name for name, row in rows.items() if row["result"] != "ok"}, {what}, rows)
        self.assertEqual(rows[what]["result"], result)
        self.assertRegex(rows[what]["found"], found)

    def test_well(self):
        """All is well; then it moves, without --unsafe, as both have the very same file."""
        guest = self.run_guest(self.sector())
        rows = self.check(guest)
        self.assertEqual({row["result"] for row in rows.values()}, {"ok"}, rows)
        self.assertLessEqual({"VM at the source", "devices", "VM", "lock manager", "clocks", "QEMU", "machine type", "memory", "disk hda",
                              "disk hda, cache", "source's name", "destination's name", "ports"}, set(rows))
        self.assertRegex(rows["ports"]["found"], rf"{self.there.address}, .*can be reached")
        said = harness.Godwit(self.here.daemon)("migrate", guest.name, self.there.uri(), "--check")
        self.assertRegex(said, r"(?m)^ *Check +Result +Found")
        self.goes_on(guest)
        said = harness.Godwit(self.here.daemon)("migrate", guest.name, self.there.uri(), "--live")
        self.assertNotIn("Check", said)
        self.check_runs(guest.at(self.there))

    def test_no(self):
        """The guest runs on all the while."""
        guest = self.sector()
        guest.disk = self.network.local / "own.img"
        for place in (guest.disk, self.here.local / "own.img", self.there.local / "own.img"):
            shutil.copy(guest.files / "bootsector.img", place)
        self.files = {host: self.files_of(host) for host in (self.here, self.there)}
        self.run_guest(guest)
        for case in (self.other_file, self.no_file, self.ports, self.name, self.device, self.taken):
            with self.subTest(case.__name__):
                case(guest)
        self.goes_on(guest)
        self.check_runs(guest)

    def other_file(self, guest):
        """Of the same name and the same contents. --unsafe does not let a check lie; a copy needs no such file."""
        for options in ((), ("--unsafe",)):
            self.no(self.check(guest, *options), "disk hda", "another file")
        said = harness.Godwit(self.here.daemon).run("migrate", guest.name, self.there.uri(), "--live")
        self.assertEqual(said.returncode, 1)
        self.assertRegex(said.stdout, r"disk hda +failure")
        self.assertNotIn(" ok ", said.stdout)
        self.assertIn("nothing has been touched", said.stderr)
        self.assertEqual({row["result"] for row in self.check(guest, "--copy-storage-all").values()}, {"ok"})

    def no_file(self, guest):
        (self.there.local / "own.img").unlink()
        self.files[self.there].discard("local/own.img")
        self.no(self.check(guest), "disk hda", "No such file")
        self.assertRegex(self.check(guest, "--copy-storage-all")["disk hda"]["found"], "to be copied")
        # from here on it may be the same one
        (self.there.local / "own.img").hardlink_to(self.here.local / "own.img")
        self.files[self.there].add("local/own.img")

    def ports(self, guest):
        """A route stands for a firewall; the daemons speak over UNIX sockets."""
        self.here.ip(f"route add prohibit {self.there.address}/32")
        self.no(self.check(guest), "ports", rf"port \d+ of {self.there.address}")
        self.here.ip(f"route del prohibit {self.there.address}/32")

    def name(self, guest):
        before = self.network.names.read_text()
        self.network.names.write_text(before.replace(f"{self.here.address} ", "127.0.1.1 "))
        self.no(self.check(guest), "source's name", "loopback", "warning")
        self.network.names.write_text(before)

    def device(self, guest):
        """QEMU cannot migrate with an image of this format."""
        image = self.root / "blocks.vdi"
        subprocess.run(["qemu-img", "create", "-q", "-f", "vdi", image, "1M"], check=True)
        for command, arguments in (("blockdev-add", {"driver": "vdi", "node-name": "blocks", "file": {"driver": "file", "filename": str(image)}}),
                                   ("blockdev-del", {"node-name": "blocks"})):
            guest.virsh("qemu-monitor-command", guest.name, json.dumps({"execute": command, "arguments": arguments}))
            if command == "blockdev-add":
                self.no(self.check(guest), "devices", "vdi")

    def taken(self, guest):
        other = hosts.RoamingSector(self.network, self.there, guest.name).define()
        command = harness.Godwit(self.here.daemon).run("migrate", guest.name, self.there.uri(), "--check", "--json")
        self.assertEqual(command.returncode, 1)
        row, = (row for row in json.loads(command.stdout) if row["result"] == "failure")
        self.assertRegex(row["found"], "another VM")
        other.virsh("undefine", other.name)


class Strangers(migrating.MigrateTest):
    """Hosts that have little in common, and a VM that is off."""

    config_there = 'lock_manager = "lockd"\n'

    def check(self, *options):
        done = harness.Godwit(self.here.daemon).run("migrate", "sector", self.there.uri(), "--check", "--json", "--offline",
                                                    "--persistent", *options)
        self.assertEqual(done.returncode, 1, done.stderr)
        return {row["check"]: row for row in json.loads(done.stdout) if row["result"] != "ok"}

    def test_no(self):
        self.sector().define()
        rows = self.check()
        self.assertEqual(set(rows), {"lock manager"}, rows)
        self.assertRegex(rows["lock manager"]["found"], '"none" at the source, "lockd"')
        tree = ET.fromstring(self.here.virsh("dumpxml", "sector"))
        tree.find("os/type").set("machine", "pc-i440fx-0.1")
        for name in ("memory", "currentMemory"):
            tree.find(name).text = str(1 << 40)
        cpu = tree.find("cpu")
        if cpu is not None:
            tree.remove(cpu)
        ET.SubElement(ET.SubElement(tree, "cpu", mode="custom", match="exact"), "model").text = "Abacus"
        ET.SubElement(ET.SubElement(tree.find("devices"), "interface", type="bridge"), "source", bridge="nowhere")
        rows = self.asked_with(tree)
        for what, found in (("machine type", "pc-i440fx-0.1 is not there"), ("memory", "1073741824 MiB needed"), ("CPU", "Abacus"),
                            ("bridge nowhere", "none")):
            self.assertRegex(rows.pop(what)["found"], found)
        self.assertEqual(set(rows), {"lock manager"}, rows)
        tree.find("devices/emulator").text = "/nowhere/qemu"
        self.assertIn("/nowhere/qemu", self.asked_with(tree)["QEMU"]["found"])
        self.check_gone(self.there)

    def asked_with(self, tree):
        path = self.root / "there.xml"
        path.write_text(ET.tostring(tree, encoding="unicode"))
        return self.check("--xml", path)


class Described(harness.DaemonTest):
    """A destination that is told of a VM: hosts of a test have one clock and one kernel."""

    def compare(self, cpu="", **more):
        xml = f"<domain type='{'kvm' if cpu else 'qemu'}'>{cpu}"
        xml += "<name>far</name><uuid>00000000-0000-4000-8000-000000000001</uuid><memory>16384</memory>" \
              f"<os><type>hvm</type></os><devices><disk type='file' device='disk'><source file='{self.root}/a.img'/>" \
              "<driver name='qemu' type='raw' cache='unsafe'/><target dev='vda' bus='virtio'/></disk></devices></domain>"
        description = {"version": 1, "xml": xml, "lock_manager": "none", "clock_us": int(time.time() * 1e6), "qemu": 9000000, **more}
        with rpc.Connection(self.daemon.socket) as connection:
            connection.open()
            reply = connection.call(COMPARE, rpc.string(json.dumps(description)), program=GODWIT)
        self.assertEqual(reply.status, rpc.OK, reply)
        length, = struct.unpack(">I", reply.payload[:4])
        return {row["what"]: row for row in json.loads(reply.payload[4:4 + length])["rows"]}

    def test_clocks(self):
        for ahead, status in ((0, "ok"), (-1.5, "warning"), (30, "warning")):
            row = self.compare(clock_us=int((time.time() + ahead) * 1e6))["clocks"]
            self.assertEqual(row["status"], status, row)

    def test_cpu(self):
        """No processor of today has this one's features, nor has QEMU without KVM."""
        plain = "<cpu mode='custom' match='exact'><model>KnightsMill</model>{}</cpu>"
        less = plain.format("<feature policy='disable' name='avx512-4vnniw'/>")
        for cpu, usable, status in ((plain.format(""), True, "failure"), (plain.format(""), False, "warning"), (less, True, "warning")):
            row = self.compare(cpu, cpu_usable=usable)["CPU"]
            self.assertEqual(row["status"], status, row)

    def test_older(self):
        self.assertEqual(self.compare(qemu=99000000)["QEMU"]["status"], "warning")
        self.assertEqual(self.compare()["QEMU"]["status"], "ok")

    def test_another_kernel(self):
        """What is on a file system of this host alone is another file, and with this cache mode nobody may have written it."""
        (self.root / "a.img").write_bytes(bytes(512))
        file = {"disk": "vda", "path": f"{self.root}/a.img", "kind": "file", "device": 1, "inode": 1, "size": 512, "shared": True}
        rows = self.compare(boot="another", files=[file])
        self.assertRegex(rows["disk vda"]["found"], "one host alone")
        self.assertEqual(rows["disk vda, cache"]["status"], "failure")
        room = self.compare(boot="another", files=[{**file, "path": "b.img", "copied": True, "allocated": 1 << 60, "size": 1 << 61}])
        self.assertEqual(room["disk vda"]["status"], "failure")
        self.assertEqual(room["disk vda, cache"]["status"], "ok")

    def test_senseless(self):
        for text in ("", "[]", "{}", "{\"xml\": \"<domain/>\"}", "null"):
            with rpc.Connection(self.daemon.socket) as connection:
                connection.open()
                self.assertEqual(connection.call(COMPARE, rpc.string(text), program=GODWIT).status, rpc.ERROR, text)
        self.compare(files=[1, {}, {"disk": "vda"}, {"disk": 1, "path": 2}, {"disk": "vda", "path": "/"}], boot=1, hostname="")


class LibvirtThere(harness.DaemonTest):
    def test_not_known(self):
        """Rows for what only a godwit there would tell are warnings."""
        harness.need_reference(self)
        libvirt = harness.Reference(self.root / "libvirt")
        self.addCleanup(libvirt.end)
        libvirt.spawn()
        guest = self.sector().define()
        harness.wait_for(libvirt.answers, "the reference libvirtd answers", 120)
        done = harness.Godwit(self.daemon).run("migrate", guest.name, libvirt.uri(), "--check", "--json", "--offline", "--persistent")
        self.assertEqual(done.returncode, 0, done.stderr)
        rows = {row["check"]: row for row in json.loads(done.stdout)}
        self.assertEqual(rows.pop("VM at the source")["result"], "ok")
        self.assertEqual({row["result"] for row in rows.values()}, {"warning"})
        self.assertLess({"disks", "memory", "ports"}, set(rows))


if __name__ == "__main__":
    unittest.main(verbosity=2)
