#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Images are libvirt's, both ways: what one saved the other restores, for all three formats. Root only."""

import unittest

import harness


class Interop(harness.DaemonTest):
    def setUp(self):
        harness.need_reference(self)
        super().setUp()
        self.libvirt = harness.Reference(self.root / "libvirt")
        self.libvirt.environment["GODWIT_TEST_ROOT"] = str(self.root)
        self.addCleanup(self.libvirt.end)
        self.libvirt.spawn()

    def to_and_fro(self, guest, image_format):
        image = self.root / "vm.save"
        for source, target in ((self.godwit, self.reference), (self.reference, self.godwit)):
            source("save", guest.name, image, "--image-format", image_format)
            guest.virsh = target
            saved = guest.last()
            target("restore", image)
            guest.wait_count(saved + 5)
            guest.check()
            self.assertEqual(guest.boots(), 1)
            image.unlink()

    def test_both_ways(self):
        self.godwit = self.virsh
        guest = self.linux().create()
        guest.wait_count()
        harness.wait_for(self.libvirt.answers, "the reference libvirtd answers", 120)
        self.reference = harness.Virsh(self.libvirt.uri())
        for image_format in ("raw", "zstd", "sparse"):
            with self.subTest(format=image_format):
                self.to_and_fro(guest, image_format)

    def test_libvirts_own_idea_of_the_machine(self):
        """Defined and started by libvirt with addresses of its choosing, taken over by godwit on a pc machine."""
        harness.wait_for(self.libvirt.answers, "the reference libvirtd answers", 120)
        self.godwit, self.reference = self.virsh, harness.Virsh(self.libvirt.uri())
        guest = self.linux(machine="pc", network=True)
        guest.virsh = self.reference
        guest.create(extra_devices="<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>"
                     "<input type='keyboard' bus='virtio'/><panic model='isa'/>"
                     "<controller type='scsi' model='virtio-scsi'/>")
        guest.wait_count()
        image = self.root / "vm.save"
        self.reference("save", guest.name, image)
        guest.virsh = self.godwit
        saved = guest.last()
        self.godwit("restore", image)
        guest.wait_count(saved + 5)
        guest.check()


if __name__ == "__main__":
    unittest.main(verbosity=2)
