#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Disks whose images stand on others: every image is known, named as libvirt names it, and shown.

The guest is the boot sector, which needs none of these disks.
"""

import json
import subprocess
import unittest
import xml.etree.ElementTree as ElementTree

import harness
from test_disks import SIZE, disk_xml


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
        path = self.root / name
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-u", "-F", form, "-b", base, path, "1M"], check=True)
        return path

    def define(self, path, *more):
        self.guest.define(extra_devices="".join((disk_xml(path, "vda", "qcow2"), *more)))

    def images(self, *options):
        """(number, name, format) of each image of vda, and whether the end is said."""
        document = ElementTree.fromstring(self.virsh("dumpxml", self.guest.name, *options))
        disk = next(d for d in document.iter("disk") if d.find("target").get("dev") == "vda")
        source, below = disk.find("source"), disk.find("backingStore")
        found = [(source.get("index"), source.get("file"), disk.find("driver").get("type"))]
        while below is not None and below.get("type"):
            found.append((below.get("index"), below.find("source").get("file"), below.find("format").get("type")))
            below = below.find("backingStore")
        return found, below is not None

    def nodes(self):
        answer = self.virsh("qemu-monitor-command", self.guest.name,
                            '{"execute":"query-named-block-nodes","arguments":{"flat":true}}')
        return {n["node-name"]: n for n in json.loads(answer)["return"] if n["node-name"].startswith("libvirt-")}

    def expect(self, *numbers):
        """All three images, so numbered by XML and QEMU."""
        names = [(str(self.root / n), f) for n, f in (("top", "qcow2"), ("middle", "qcow2"), ("base", "raw"))]
        want = [(str(number), *name) for number, name in zip(numbers, names)]
        self.assertEqual(self.images(), (want, True))
        nodes = self.nodes()
        for number, path, form in want:
            self.assertEqual(nodes[f"libvirt-{number}-storage"]["file"], path)
            self.assertEqual(nodes[f"libvirt-{number}-format"]["drv"], form)
            self.assertEqual(nodes[f"libvirt-{number}-format"]["ro"], number != str(numbers[0]))
        self.assertEqual(self.images("--inactive"), ([(None, *names[0])], False))

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


if __name__ == "__main__":
    unittest.main()
