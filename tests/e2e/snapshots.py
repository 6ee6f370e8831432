# SPDX-License-Identifier: LGPL-2.1-or-later
"""Snapshots made by hand while a VM is off, and what each of them must read ever after."""

import json
import pathlib
import subprocess
import xml.etree.ElementTree as ET

MIB = 1 << 20
BLOCK = 64 << 10


def tool(*args):
    return subprocess.run(list(map(str, args)), check=True, capture_output=True, text=True).stdout


def check_image(path):
    tool("qemu-img", "check", "-U", path)


class Disk:
    """A VM's disk vda with snapshots of it. `test` has root and virsh, `guest` is not defined yet."""

    def __init__(self, test, guest, form="raw", size=MIB):
        self.test, self.virsh, self.guest = test, test.virsh, guest
        self.directory = test.root / f"{guest.name}.disks"
        self.directory.mkdir()
        self.base = self.directory / "base"
        tool("qemu-img", "create", "-q", "-f", form, self.base, size)
        self.top, self.form, self.base_form = self.base, form, form
        self.seen, self.made, self.written = {}, 0, 0
        self.define()

    def disk_xml(self):
        return (f"<disk type='file' device='disk'><driver name='qemu' type='{self.form}'/><source file='{self.top}'/>"
                "<target dev='vda' bus='virtio'/></disk>")

    def define(self):
        self.guest.define(extra_devices=self.disk_xml())

    def source(self, *options):
        rows = [line.split() for line in self.virsh("domblklist", self.guest.name, *options).splitlines()]
        return next(pathlib.Path(r[1]) for r in rows if r and r[0] == "vda")

    def write(self, *blocks):
        """The VM is off, or its QEMU is asked."""
        for block in blocks:
            self.written = self.written % 250 + 1
            command = f"write -q -P {self.written} {block * BLOCK} {BLOCK}"
            if self.guest.state() == "shut off":
                tool("qemu-io", "-f", self.form_of(self.top), "-c", command, self.top)
            else:
                for words in (command, "flush"):
                    self.virsh("qemu-monitor-command", "--hmp", self.guest.name,
                               f'qemu-io -d /machine/peripheral/virtio-disk0/virtio-backend "{words}"')
        return self.read(self.source())

    def form_of(self, image):
        return self.base_form if image == self.base else "qcow2"

    def read(self, image):
        target = self.test.root / "read"
        tool("qemu-img", "convert", "-U", "-f", self.form_of(image), "-O", "raw", image, target)
        return target.read_bytes()

    def overlay(self, name=None):
        self.made += 1
        below, self.top = self.top, self.directory / (name or f"overlay{self.made}")
        tool("qemu-img", "create", "-q", "-f", "qcow2", "-F", self.form, "-b", below, self.top)
        self.form = "qcow2"
        return below

    def redefine(self, name, overlay, parent=None, domain=None, revert=None, current=True):
        domain = domain or self.virsh("dumpxml", "--inactive", self.guest.name)
        above = f"<parent><name>{parent}</name></parent>" if parent else ""
        back = (f"<revertDisks><disk name='vda' snapshot='external' type='file'><driver type='qcow2'/>"
                f"<source file='{revert}'/></disk></revertDisks>" if revert else "")
        path = self.test.root / "snapshot.xml"
        path.write_text(
            f"<domainsnapshot><name>{name}</name><state>shutoff</state>{above}<creationTime>1700000000</creationTime>"
            f"<memory snapshot='no'/><disks><disk name='vda' snapshot='external' type='file'><driver type='qcow2'/>"
            f"<source file='{overlay}'/></disk></disks>{domain}{back}</domainsnapshot>")
        self.virsh("snapshot-create", self.guest.name, path, "--redefine", *(["--current"] if current else []))

    def take(self, name, parent=None):
        """As snapshot-create-as does it of a VM that is off."""
        domain = self.virsh("dumpxml", "--inactive", self.guest.name)
        self.seen[name] = self.read(self.top)
        self.overlay()
        self.redefine(name, self.top, parent, domain)
        self.define()

    def revert(self, name):
        """As snapshot-revert does it: another overlay on what the snapshot froze; what nobody froze goes."""
        old, document = self.top, self.document(name)
        self.top = self.frozen_by(name)
        self.form = self.form_of(self.top)
        self.overlay()
        self.redefine(name, document.find("disks/disk/source").get("file"), document.findtext("parent/name"),
                      ET.tostring(document.find("domain"), "unicode"), self.top)
        self.define()
        if old not in {self.frozen_by(n) for n in self.seen}:
            old.unlink()

    def document(self, name):
        return ET.fromstring(self.virsh("snapshot-dumpxml", "--security-info", self.guest.name, name))

    def frozen_by(self, name):
        """What the snapshot froze."""
        disks = self.document(name).findall("domain/devices/disk")
        return next(pathlib.Path(d.find("source").get("file")) for d in disks if d.find("target").get("dev") == "vda")

    def delete(self, *names_and_options):
        names = [n for n in names_and_options if not n.startswith("--")]
        options = [o for o in names_and_options if o.startswith("--")]
        for name in names:
            self.virsh("snapshot-delete", self.guest.name, name, *options)
        self.refresh()

    def refresh(self):
        """Who is left, and what the disk is called now."""
        left = self.virsh("snapshot-list", self.guest.name, "--name").split()
        self.seen = {n: s for n, s in self.seen.items() if n in left}
        self.top = self.source("--inactive")
        self.form = self.form_of(self.top)

    def check_contents(self, present):
        """Everybody in `seen` reads what they read before."""
        self.test.assertEqual(self.read(self.source()), present, "the present")
        for name, seen in self.seen.items():
            self.test.assertEqual(self.read(self.frozen_by(name)), seen, name)

    def check(self, present):
        """The same, and nothing is damaged or left over."""
        self.refresh()
        test = self.test
        self.check_contents(present)
        test.assertEqual(self.source(), self.source("--inactive"))
        needed = set()
        for name in self.seen:
            needed |= self.chain(self.frozen_by(name))
        needed |= self.chain(self.source())
        for image in self.directory.iterdir():
            if self.form_of(image) == "qcow2":
                check_image(image)
        test.assertEqual(set(self.directory.iterdir()), needed)

    def chain(self, image):
        options = ["-U", "--backing-chain", "--output=json", "-f", self.form_of(image)]
        return {pathlib.Path(i["filename"]) for i in json.loads(tool("qemu-img", "info", *options, image))}
