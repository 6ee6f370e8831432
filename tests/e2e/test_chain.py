#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Disks whose images stand on others: every image is known, named as libvirt names it, and shown.

The guest is the boot sector, which needs none of these disks.
"""

import json
import re
import shutil
import subprocess
import unittest
import xml.etree.ElementTree as ElementTree

import harness
from test_disks import SIZE, disk_xml


def make_overlay(directory, name, base, form):
    path = directory / name
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-u", "-F", form, "-b", base, path, "1M"], check=True)
    return path


def all_nodes(virsh, name):
    """{name: node} of those with libvirt's names."""
    answer = virsh("qemu-monitor-command", name, '{"execute":"query-named-block-nodes","arguments":{"flat":true}}')
    return {n["node-name"]: n for n in json.loads(answer)["return"] if n["node-name"].startswith("libvirt-")}


def disks_of(virsh, name, *options):
    devices = ElementTree.fromstring(virsh("dumpxml", name, *options)).find("devices")
    return {d.find("target").get("dev"): d for d in devices.findall("disk")}


def images_of(disk):
    """(number, name, format) of each image, and whether the end is said."""
    source, below = disk.find("source"), disk.find("backingStore")
    found = [(source.get("index"), source.get("file"), disk.find("driver").get("type"))] if source is not None else []
    while below is not None and below.get("type"):
        found.append((below.get("index"), below.find("source").get("file"), below.find("format").get("type")))
        below = below.find("backingStore")
    return found, below is not None


class Chain(harness.DaemonTest):
    def setUp(self):
        super().setUp()
        self.guest = self.sector()
        (self.root / "base").write_bytes(bytes(SIZE))
        self.overlay("middle", "base", "raw")
        self.top = self.overlay("top", "middle", "qcow2")
        self.plain = self.root / "plain"
        self.plain.write_bytes(bytes(SIZE))

    def overlay(self, name, base, form):
        return make_overlay(self.root, name, base, form)

    def define(self, path, *more):
        self.guest.define(extra_devices="".join((disk_xml(path, "vda", "qcow2"), *more)))

    def images(self, *options, target="vda"):
        return images_of(disks_of(self.virsh, self.guest.name, *options)[target])

    def nodes(self):
        return all_nodes(self.virsh, self.guest.name)

    def expect(self, *numbers, target="vda"):
        """All three images, so numbered by XML and QEMU."""
        names = [(str(self.root / n), f) for n, f in (("top", "qcow2"), ("middle", "qcow2"), ("base", "raw"))]
        want = [(str(number), *name) for number, name in zip(numbers, names)]
        self.assertEqual(self.images(target=target), (want, True))
        nodes = self.nodes()
        for number, path, form in want:
            self.assertEqual(nodes[f"libvirt-{number}-storage"]["file"], path)
            self.assertEqual(nodes[f"libvirt-{number}-format"]["drv"], form)
            self.assertEqual(nodes[f"libvirt-{number}-format"]["ro"], number != str(numbers[0]))
        self.assertEqual(self.images("--inactive", target=target), ([(None, *names[0])], False))

    def test_life(self):
        self.define(self.top, disk_xml(self.plain, "vdb"))
        self.virsh("start", self.guest.name)
        self.guest.wait_count(5)
        self.expect(2, 4, 5)
        self.daemon.restart()
        self.expect(2, 4, 5)
        image = self.root / "sector.save"
        self.virsh("save", self.guest.name, image)
        before = self.guest.wait_still()
        self.virsh("restore", image)
        self.guest.wait_count(before + 5)
        self.expect(2, 4, 5)

    def test_nothing_known(self):
        """A daemon that must also find out what QEMU can do asks for both at the same time; one of them may fail."""
        self.overlay("lost", "nowhere", "raw")
        for name in ("lost", "top"):
            self.define(self.root / name)
            self.daemon.stop()
            shutil.rmtree(self.root / "lib/capabilities")
            self.daemon.start()
            if name == "lost":
                self.assertIn("/nowhere", self.virsh.fails("start", self.guest.name))
                self.assertEqual(self.guest.state(), "shut off")
        self.virsh("start", self.guest.name)
        self.guest.wait_count(5)
        self.expect(1, 3, 4)

    def test_plugged(self):
        """A disk that comes later brings its whole chain, and takes it away."""
        self.guest.define(extra_devices="<controller type='scsi' model='virtio-scsi'/>" + disk_xml(self.plain, "vda"))
        self.virsh("start", self.guest.name)
        self.guest.wait_count(5)
        before = self.nodes()
        attach = "attach-disk", self.guest.name, self.top, "sdb", "--subdriver", "qcow2"
        self.overlay("lost", "nowhere", "raw")
        self.assertRegex(self.virsh.fails(*attach[:2], self.root / "lost", *attach[3:]), "nowhere.*lost.*sdb.*No such file")
        self.assertEqual(self.nodes(), before)
        self.virsh(*attach, "--persistent")
        self.expect(3, 4, 5, target="sdb")
        self.daemon.restart(kill=True)
        self.expect(3, 4, 5, target="sdb")
        self.virsh("detach-disk", self.guest.name, "sdb")
        self.assertEqual(self.nodes().keys(), before.keys())
        self.virsh("attach-disk", self.guest.name, self.root / "middle", *attach[3:])
        self.virsh("detach-disk", self.guest.name, "sdb", "--persistent")
        self.assertEqual(self.nodes().keys(), before.keys())

    def test_given(self):
        """A user may say that there is nothing below: the header is not asked then."""
        path = self.overlay("given", "nowhere", "raw")
        xml = disk_xml(path, "vda", "qcow2", more="<backingStore/>")
        self.guest.define(extra_devices=xml)
        self.virsh("start", self.guest.name)
        self.guest.wait_count(5)
        self.assertEqual(self.images(), ([("1", str(path), "qcow2")], True))
        self.assertEqual(self.images("--inactive"), ([(None, str(path), "qcow2")], True))
        image = self.root / "sector.save"
        self.virsh("save", self.guest.name, image)
        self.virsh("restore", image)
        self.daemon.restart()
        self.assertEqual(self.images(), ([("1", str(path), "qcow2")], True))

    def test_refused(self):
        self.overlay("ring", "ring-2", "qcow2")
        (self.root / "text").write_bytes(b"no image" * 100)
        for name, base, form, *said in (
            ("lost", "nowhere", "raw", "/nowhere", "/lost", "No such file"),
            ("ring-2", "ring", "qcow2", "/ring-2", "stands on itself"),
            ("false", "text", "qcow2", "/text", "/false", "is no qcow2 image"),
            ("far", "nbd://localhost/x", "raw", "nbd://localhost/x", "/far", "is not a file"),
        ):
            with self.subTest(name=name):
                self.define(self.overlay(name, base, form))
                why = self.virsh.fails("start", self.guest.name)
                for words in ("vda", *said):
                    self.assertIn(words, why)
                self.assertEqual(self.guest.state(), "shut off")


class AsLibvirt(harness.DaemonTest):
    """The names and numbers of all images are those libvirt gives them; only raw ones have a node "format" more. Root only."""

    def setUp(self):
        harness.need_reference(self)
        super().setUp()
        self.libvirt = harness.Reference(self.root / "libvirt")
        self.libvirt.environment["GODWIT_TEST_ROOT"] = str(self.root)
        self.addCleanup(self.libvirt.end)
        self.libvirt.spawn()
        for name in ("base", "other"):
            (self.root / name).write_bytes(bytes(SIZE))
        for name, base, form in (("middle", "base", "raw"), ("top", "middle", "qcow2"), ("later", "other", "raw")):
            make_overlay(self.root, name, base, form)
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", self.root / "single", "1M"], check=True)

    def figures(self, virsh, name):
        """Of all images: which they are and how large the guest sees them."""
        told = re.findall(r"block\.(\d+\.(?:name|path|backingIndex|capacity|rd\.reqs))=(\S+)", virsh("domstats", name, "--block", "--backing"))
        self.assertEqual(virsh("domblkerror", name), "No errors found")
        return {key: "" if key.endswith("reqs") else value for key, value in told}, virsh("domblklist", name, "--details")

    def life(self, virsh):
        """What is seen of the images: at the start, with one more disk, when that has gone."""
        guest, seen = self.sector(), []
        guest.virsh = virsh
        guest.create(extra_devices="<controller type='scsi' model='virtio-scsi'/>"
                     "<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><target dev='hdc' bus='ide'/></disk>" +
                     disk_xml(self.root / "top", "vda", "qcow2") + disk_xml(self.root / "single", "vdb", "qcow2"))
        guest.wait_count(5)
        attach = "attach-disk", guest.name, self.root / "later", "sdb", "--subdriver", "qcow2"
        for command in ((), attach, ("detach-disk", guest.name, "sdb"), attach):
            if command:
                virsh(*command)
            nodes, disks = all_nodes(virsh, guest.name), disks_of(virsh, guest.name)
            seen.append(({name: node["file"] if name.endswith("-storage") else node["drv"] for name, node in nodes.items()
                          if not name.endswith("-format") or node["drv"] != "raw"},
                         {target: images_of(disk) for target, disk in disks.items()}, self.figures(virsh, guest.name)))
        virsh("destroy", guest.name)
        guest.console.unlink()
        return seen

    def test_numbers(self):
        ours = self.life(self.virsh)
        harness.wait_for(self.libvirt.answers, "the reference libvirtd answers", 120)
        self.maxDiff = None
        self.assertEqual(ours, self.life(harness.Virsh(self.libvirt.uri())))


if __name__ == "__main__":
    unittest.main()
