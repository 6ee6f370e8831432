#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""VMs come from libvirt while they run, and go there, by stock virsh."""

import os
import unittest

import daemons
import harness

# An address of our own: tests run beside each other, and each daemon looks for a free port by itself.
ADDRESS = f"127.{os.getpid() >> 16 & 127}.{os.getpid() >> 8 & 255}.{os.getpid() & 255 or 1}"
DEVICES = f"""<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
  <graphics type='vnc' autoport='yes' listen='{ADDRESS}'/><video><model type='vga'/></video>"""


class Libvirt(daemons.MigrateTest):
    """self.here is a godwitd, self.libvirt a virsh for a libvirtd."""

    def setUp(self):
        harness.need_reference(self)
        super().setUp()
        self.reference = harness.Reference(self.root / "reference")
        self.addCleanup(self.reference.end)
        self.reference.start()
        self.libvirt = harness.Virsh(self.reference.uri())
        harness.wait_for(self.reference.answers, "the reference libvirtd answers", 120)

    def uri_of(self, virsh):
        return self.reference.uri() if virsh is self.libvirt else self.here.uri()

    def move(self, guest, to, *flags):
        """It is there, and gone where it was."""
        source = guest.virsh
        source("migrate", "--live", "--unsafe", guest.name, self.uri_of(to), *flags)
        guest.virsh = to
        self.assertNotIn(guest.name, source("list", "--name").split())

    def goes_on(self, guest):
        self.assertEqual(guest.state(), "running")
        guest.wait_count(guest.last() + 10)
        guest.check_sequence()

    def test_linux(self):
        """With the devices that people have, on both kinds of machine: to godwit, and back."""
        for machine in ("q35", "pc"):
            with self.subTest(machine):
                guest = self.linux(machine, machine=machine, network=True)
                guest.virsh = self.libvirt
                guest.create(extra_devices=DEVICES)
                guest.wait_count()
                for to in (self.here.virsh, self.libvirt, self.here.virsh):
                    self.move(guest, to)
                    self.goes_on(guest)
                # One path is one file here: the QEMU that left has removed the other one's socket, and the guest cannot be asked.
                self.assertEqual(guest.boots(), 1)
                guest.virsh("destroy", guest.name)
        harness.wait_for(lambda: self.here.left() == [], "nothing of them is left")

    def test_definitions(self):
        """Everything goes along, and back by the daemons alone."""
        guest = self.sector("sector")
        guest.virsh = self.libvirt
        guest.define()
        self.libvirt("start", guest.name)
        guest.wait_count(10)
        self.move(guest, self.here.virsh, "--persistent", "--undefinesource")
        self.goes_on(guest)
        self.assertEqual(self.libvirt("list", "--all", "--name").split(), [])
        self.assertEqual(self.here.names("--all", "--persistent"), [guest.name])
        self.move(guest, self.libvirt, "--p2p", "--persistent", "--undefinesource")
        self.goes_on(guest)
        self.assertEqual(self.here.names("--all"), [])
        self.move(guest, self.here.virsh, "--p2p")
        self.goes_on(guest)
        self.assertEqual(self.libvirt("domstate", guest.name), "shut off")

    def test_paused(self):
        guest = self.sector("sector")
        guest.virsh = self.libvirt
        guest.create()
        guest.wait_count(10)
        self.libvirt("suspend", guest.name)
        self.move(guest, self.here.virsh)
        self.assertEqual(guest.state(), "paused")
        guest.virsh("resume", guest.name)
        self.goes_on(guest)

    def test_stays(self):
        """What godwit refuses goes on under libvirt, and leaves nothing here."""
        guest = self.sector("sector")
        guest.virsh = self.libvirt
        guest.create()
        guest.wait_count(10)
        other = self.sector("other").define()
        said = self.libvirt.fails("migrate", "--live", "--unsafe", guest.name, self.here.uri(), "--dname", other.name)
        self.assertIn("other", said)
        self.goes_on(guest)
        self.assertEqual(self.here.left(), [])

    def test_peer(self):
        """The daemon's own connection to a libvirtd, through which the state goes, too."""
        for flags in (["--p2p"], ["--p2p", "--tunnelled"]):
            with self.subTest(flags):
                guest = self.sector(f"to{len(flags)}").define()
                self.here.virsh("start", guest.name)
                guest.wait_count(10)
                self.move(guest, self.libvirt, *flags)
                self.goes_on(guest)
                self.assert_gone(self.here, guest, defined=True)
                self.libvirt("destroy", guest.name)


if __name__ == "__main__":
    unittest.main(verbosity=2)
