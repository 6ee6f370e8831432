#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Disks on the buses of real machines, under a Linux that writes to them: saved and restored they hold what memory knows."""

import unittest

import harness


class BusGuest(harness.LinuxGuest):
    """The Linux guest with the drivers for them: Debian's kernel for clouds has no AHCI and no USB. It has a disk on each bus."""

    kernel, initrd, usb = "vmlinuz-generic", "initrd-generic.img", "qemu-xhci"

    def __init__(self, *args, buses, **options):
        # Which is which in the guest depends on who was found first; it matters to nobody.
        letters = "abc"[:len(buses)]
        super().__init__(*args, arguments="gw.mem=4 gw.disk=" + ",".join(f"/dev/sd{c}" for c in letters), **options)
        self.buses = buses
        self.files = harness.guest_files(generic=True)

    def image(self, bus):
        return self.directory / f"{self.name}-{bus}.img"

    def prepare(self):
        for bus in self.buses:
            with open(self.image(bus), "wb") as f:
                f.truncate(4 << 20)

    def disks_xml(self):
        return "<controller type='scsi' index='0' model='virtio-scsi'/>" + "".join(
            f"<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{self.image(bus)}'/>"
            f"<target dev='{'hd' if bus == 'ide' else 'sd'}{letter}' bus='{bus}'/></disk>"
            for bus, letter in zip(self.buses, "abc"))

    def records(self):
        """How many the guest has written; memory and disks must know of the same."""
        good, values = self.ask("check-disk")
        if not good or values["memory"] != values["disk"]:
            raise AssertionError(f"{self.name}: check-disk says {values}")
        return int(values["disk"])


class Buses(harness.DaemonTest):
    def save_and_restore(self, *buses, **options):
        guest = BusGuest(self.root, self.virsh, buses=buses, **options).define()
        self.virsh("start", guest.name)
        guest.wait_count()
        harness.wait_for(lambda: guest.records() > 5 * len(buses), "it writes to its disks")
        image = self.root / "image"
        self.virsh("save", guest.name, image)
        saved = guest.wait_still()
        self.virsh("restore", image)
        guest.wait_count(saved)
        restored = guest.records()
        harness.wait_for(lambda: guest.records() > restored + len(buses), "it goes on writing")
        guest.check()
        self.assertEqual(guest.boots(), 1)
        self.virsh("destroy", guest.name)
        for bus in buses:
            self.assertIn(b"gwdisk1", guest.image(bus).read_bytes(), f"on the {bus} disk")

    def test_sata_scsi_usb(self):
        self.save_and_restore("sata", "scsi", "usb")

    def test_ide(self):
        self.save_and_restore("ide", machine="pc")


if __name__ == "__main__":
    unittest.main(verbosity=2)
