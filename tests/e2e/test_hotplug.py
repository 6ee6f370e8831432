#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Disks that come and go while the guest runs, and their leases (lockd; sanlock is in test_lease_sanlock.py)."""

import json
import os
import signal
import subprocess
import time
import unittest
import xml.etree.ElementTree as ET

import harness
import leases

SCSI = "<controller type='scsi' model='virtio-scsi'/>"


class Hotplug(harness.DaemonTest):
    """self.daemon is host h1."""

    manager = 'lock_manager = "lockd"\n'

    def setUp(self):
        self.config = self.manager + 'hostname = "h1"\n'
        super().setUp()

    def file(self, name="data.img", size=1 << 20):
        path = self.root / name
        path.write_bytes(bytes(size))
        return path

    def qmp(self, guest, command):
        return json.loads(self.virsh("qemu-monitor-command", guest.name, json.dumps({"execute": command})))["return"]

    def in_qemu(self, guest):
        """{path: read-only} of the disks QEMU has, and the names of its nodes."""
        blocks = {b["inserted"]["file"]: b["inserted"]["ro"] for b in self.qmp(guest, "query-block") if "inserted" in b}
        nodes = sorted(n["node-name"] for n in self.qmp(guest, "query-named-block-nodes"))
        return blocks, nodes

    def targets(self, guest, *flags):
        devices = ET.fromstring(self.virsh("dumpxml", guest.name, *flags)).find("devices")
        return [d.find("target").get("dev") for d in devices.findall("disk")]

    def godwit(self, *args, fails=False):
        done = subprocess.run([harness.BUILD / "godwit", "--root", self.root, *args], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode != 0, fails, done.stdout + done.stderr)
        return done.stderr if fails else done.stdout

    def qemu(self):
        pids = harness.qemus_of(self.root)
        self.assertEqual(len(pids), 1)
        return pids[0]

    def held(self, guest):
        shown = json.loads(self.godwit("lease", "show", guest.name, "--json"))
        return shown["held"], len(shown["leases"])

    def started(self, guest, **options):
        guest.define(**options)
        self.virsh("start", guest.name)
        guest.wait_count(5)
        return guest

    def wait_detached(self, guest, path):
        harness.wait_for(lambda: str(path) not in self.in_qemu(guest)[0], "the guest lets go", 30)
        harness.wait_for(lambda: leases.is_free(path), "the lease is given back", 10)
        harness.wait_for(lambda: str(path) not in self.virsh("dumpxml", guest.name), "it is out of the XML", 10)

    def check_attached(self, guest, path):
        self.assertIn(str(path), self.in_qemu(guest)[0])
        self.assertEqual(leases.holders(path), [self.qemu()])
        self.assertIn(str(path), self.virsh("dumpxml", guest.name))

    def check_untouched(self, guest, before, path=None):
        """A refusal has changed nothing."""
        self.assertEqual((self.virsh("dumpxml", guest.name), self.virsh("dumpxml", guest.name, "--inactive"),
                          self.in_qemu(guest)), before)
        if path:
            self.assertTrue(leases.is_free(path))
        self.assertEqual(os.listdir(self.root / "lib/journal"), [])

    def now(self, guest):
        return self.virsh("dumpxml", guest.name), self.virsh("dumpxml", guest.name, "--inactive"), self.in_qemu(guest)


class Linux(Hotplug):
    def test_virtio(self):
        """Comes, is saved and restored with the guest, goes; its lease with it."""
        guest = self.started(self.linux(arguments="gw.mem=4"))
        path = self.file()
        nodes = self.in_qemu(guest)[1]
        with self.virsh.start("event", guest.name, "--all", "--loop") as events:
            time.sleep(0.5 * harness.SLOW)
            self.virsh("attach-disk", guest.name, path, "vdb")
            self.check_attached(guest, path)
            self.assertEqual(self.targets(guest), ["vda", "vdb"])
            self.assertEqual(self.targets(guest, "--inactive"), ["vda"])
            self.assertEqual(self.held(guest), (2, 2))
            image = self.root / "saved"
            self.virsh("save", guest.name, image)
            self.assertTrue(leases.is_free(path))
            self.virsh("restore", image)
            self.check_attached(guest, path)
            guest.wait_count(guest.last() + 3)
            guest.check()
            self.virsh("detach-disk", guest.name, "vdb")
            self.wait_detached(guest, path)
            events.send_signal(signal.SIGINT)
            said = events.communicate(timeout=20)[0]
        self.assertIn("event 'device-added' for domain 'guest': virtio-disk1", said)
        self.assertIn("event 'device-removed' for domain 'guest': virtio-disk1", said)
        self.assertEqual(self.targets(guest), ["vda"])
        self.assertEqual(len(self.in_qemu(guest)[1]), len(nodes), "no block node is left")
        self.assertEqual(self.held(guest), (1, 1))
        self.virsh("attach-disk", guest.name, path, "vdb")
        self.check_attached(guest, path)
        self.virsh("destroy", guest.name)
        self.assertTrue(leases.is_free(path))
        guest.check_sequence()

    def test_place_where_nothing_can_be_plugged(self):
        """Which only QEMU knows, at the last step: nodes and lease are taken back."""
        guest = self.started(self.linux())
        path, device = self.file(), self.root / "device.xml"
        device.write_text(f"""<disk type='file'><source file='{path}'/><target dev='vdb'/>
            <address type='pci' domain='0' bus='0' slot='0x10' function='0'/></disk>""")
        before = self.now(guest)
        self.assertIn("does not support hotplugging", self.virsh.fails("attach-device", guest.name, device))
        self.check_untouched(guest, before, path)
        self.virsh("attach-disk", guest.name, path, "vdb")
        self.check_attached(guest, path)

    def test_no_slot(self):
        """The machine has one port for later; who wants a second one hears what is missing."""
        guest = self.started(self.linux())
        first, second = self.file("1.img"), self.file("2.img")
        self.virsh("attach-disk", guest.name, first, "vdb")
        before = self.now(guest)
        self.assertIn("no PCI slot is free for disk 'vdc'", self.virsh.fails("attach-disk", guest.name, second, "vdc"))
        self.check_untouched(guest, before, second)
        self.virsh("detach-disk", guest.name, "vdb")
        self.wait_detached(guest, first)
        self.virsh("attach-disk", guest.name, second, "vdb")
        self.check_attached(guest, second)

    def test_the_disk_it_started_with(self):
        """Whose descriptor QEMU inherited; it comes again by another."""
        guest = self.linux()
        path = self.file()
        self.started(guest, extra_devices=f"<disk type='file'><source file='{path}'/><target dev='vdb'/></disk>")
        self.check_attached(guest, path)
        self.virsh("detach-disk", guest.name, "vdb")
        self.wait_detached(guest, path)
        self.assertEqual(self.held(guest), (1, 1))
        self.virsh("attach-disk", guest.name, path, "vdb")
        self.check_attached(guest, path)
        self.assertEqual(self.held(guest), (2, 2))
        for change in (lambda: self.virsh("suspend", guest.name), lambda: self.daemon.restart(kill=True),
                       lambda: self.virsh("resume", guest.name)):
            change()
            self.check_attached(guest, path)
            self.assertEqual(self.held(guest), (2, 2))
        self.assertIn("vdb", self.targets(guest, "--inactive"))


class Sector(Hotplug):
    """The guest has no driver and never lets go of a PCI device; SCSI and USB it is not asked about."""

    def scsi_guest(self, name="sector", **options):
        return self.started(self.sector(name), extra_devices=SCSI + options.pop("more", ""), **options)

    def test_every_bus(self):
        guest = self.sector()
        guest.prepare()
        xml = guest.write_xml(extra_devices=SCSI)
        xml.write_text(xml.read_text().replace("<controller type='usb' model='none'/>", "<controller type='usb' model='qemu-xhci'/>"))
        self.virsh("define", xml)
        self.virsh("start", guest.name)
        guest.wait_count(3)
        for target in ("sdb", "sdc"):
            path = self.file(f"{target}.img")
            bus = "usb" if target == "sdc" else "scsi"
            with self.subTest(bus):
                for _ in range(3):
                    self.virsh("attach-disk", guest.name, path, target, "--targetbus", bus, "--live")
                    self.check_attached(guest, path)
                    self.assertEqual(self.held(guest), (2, 2))
                    self.virsh("detach-disk", guest.name, target, "--live")
                    self.assertTrue(leases.is_free(path), "when detach has returned")
                    self.assertNotIn(target, self.targets(guest))
        guest.wait_count(guest.last() + 3)
        guest.check_sequence()

    def test_definitions(self):
        """--live, --config, --persistent, --current, running and off."""
        guest = self.scsi_guest()
        paths = [self.file(f"{i}.img") for i in range(4)]
        attach = lambda i, target, *flags: self.virsh("attach-disk", guest.name, paths[i], target, *flags)
        attach(0, "sdb", "--config")
        self.assertEqual((self.targets(guest), self.targets(guest, "--inactive")), (["hda"], ["hda", "sdb"]))
        self.assertTrue(leases.is_free(paths[0]))
        attach(1, "sdc", "--live")
        attach(2, "sdd", "--persistent")
        attach(3, "sde", "--current")
        self.assertEqual(self.targets(guest), ["hda", "sdc", "sdd", "sde"])
        self.assertEqual(self.targets(guest, "--inactive"), ["hda", "sdb", "sdd"])
        self.daemon.restart()
        self.assertEqual(self.targets(guest), ["hda", "sdc", "sdd", "sde"])
        self.assertEqual(self.targets(guest, "--inactive"), ["hda", "sdb", "sdd"])
        self.virsh("detach-disk", guest.name, "sdd", "--persistent")
        self.virsh("detach-disk", guest.name, "sdb", "--config")
        self.assertEqual((self.targets(guest), self.targets(guest, "--inactive")), (["hda", "sdc", "sde"], ["hda"]))
        self.virsh("destroy", guest.name)
        attach(0, "vdb", "--current")
        attach(1, "vdc", "--persistent")
        self.assertEqual(self.targets(guest), ["hda", "vdb", "vdc"])
        self.virsh("start", guest.name)
        for i in (0, 1):
            self.check_attached(guest, paths[i])

    def test_refusals(self):
        guest = self.scsi_guest()
        path, before = self.file(), self.now(guest)
        device = self.root / "device.xml"

        def refused(words, *command, xml=None):
            if xml is not None:
                device.write_text(xml)
            with self.subTest(words):
                self.assertIn(words, self.virsh.fails(*command))
                self.check_untouched(guest, before, path)

        attach = ("attach-device", guest.name, device)
        disk = f"<disk type='file'><source file='{path}'/><target dev='sdb' bus='scsi'/>%s</disk>"
        refused("target hda already exists", "attach-disk", guest.name, path, "hda", "--targetbus", "scsi")
        refused("Cannot access storage file '/nowhere'", "attach-disk", guest.name, "/nowhere", "sdb", "--sourcetype", "file")
        refused("has no SCSI controller 1", *attach, xml=disk % "<address type='drive' controller='1'/>")
        refused("on bus 'sata' cannot be plugged", *attach, xml=disk.replace("scsi", "sata") % "")
        refused("io='native' needs", "attach-disk", guest.name, path, "sdb", "--io", "native")
        refused("attaching <interface> is not supported", *attach, xml="<interface type='user'/>")
        refused("attaching <lease> is not supported", *attach, xml="<lease/>")
        refused("detaching <interface> is not supported", "detach-device", guest.name, device, xml="<interface type='user'/>")
        refused("XML error", *attach, xml="<disk type='file'><source")
        refused("<nonsense>", *attach, xml=disk % "<nonsense/>")
        refused("has no source", *attach, xml="<disk type='file'><target dev='sdb'/></disk>")
        refused("disk sdz not found", "detach-device", guest.name, device, xml="<disk><target dev='sdz'/></disk>")
        refused("no target device sdz", "detach-device", guest.name, device, "--config")
        refused("<disk> has no <target", "detach-device", guest.name, device, xml="<disk/>")
        refused("no disk found with alias x", "detach-device-alias", guest.name, "x")
        refused("cannot be taken from a running VM", "detach-disk", guest.name, "hda")
        self.assertIn("No disk found", self.virsh.fails("detach-disk", guest.name, "sdz"))
        self.check_alive()
        self.virsh("destroy", guest.name)
        for command in (["attach-disk", guest.name, path, "sdb", "--live"], ["detach-disk", guest.name, "hda", "--live"]):
            self.assertIn("is not running", self.virsh.fails(*command))
        transient = self.sector("transient")
        transient.create()
        self.assertIn("no persistent", self.virsh.fails("attach-disk", "transient", path, "sdb", "--config"))

    def test_qemu_refuses(self):
        """What QEMU is the first to find wrong is undone."""
        guest = self.scsi_guest()
        path = self.file()
        before = self.now(guest)
        self.assertIn("sdb", self.virsh("attach-disk", guest.name, path, "sdb", "--print-xml"))
        self.virsh.fails("attach-disk", guest.name, path, "sdb", "--subdriver", "qcow2")
        self.check_untouched(guest, before, path)
        self.virsh("attach-disk", guest.name, path, "sdb")
        self.check_attached(guest, path)

    def test_readonly_and_shareable(self):
        guest, second = self.scsi_guest(), self.scsi_guest("second")
        fixed, shared = self.file("fixed.img"), self.file("shared.img")
        for name in (guest.name, second.name):
            self.virsh("attach-disk", name, fixed, "sdb", "--mode", "readonly")
            self.virsh("attach-disk", name, shared, "sdc", "--mode", "shareable")
        self.assertEqual(leases.holders(fixed), [])
        self.assertEqual(leases.holders(shared), harness.qemus_of(self.root))
        self.assertTrue(self.in_qemu(guest)[0][str(fixed)], "read-only")
        self.virsh("attach-disk", guest.name, shared, "sdd", "--mode", "shareable")
        self.virsh("detach-disk", guest.name, "sdc")
        self.assertEqual(leases.holders(shared), harness.qemus_of(self.root), "it has the disk twice, and once now")
        self.virsh("detach-disk", guest.name, "sdd")
        self.assertEqual(len(leases.holders(shared)), 1)
        self.assertIn("in use", self.virsh.fails("attach-disk", guest.name, shared, "sdd"), "not for itself")
        self.virsh("detach-disk", second.name, "sdc")
        self.virsh("attach-disk", guest.name, shared, "sdd")
        before = self.now(guest)
        self.assertIn(f"has disk {shared} twice, not <shareable/>", self.virsh.fails("attach-disk", guest.name, shared, "sde"))
        self.check_untouched(guest, before)
        self.assertEqual(len(leases.holders(shared)), 1)

    def test_daemon_killed(self):
        """A descriptor that QEMU got by its monitor stays when the daemon dies."""
        guest = self.scsi_guest()
        path = self.file()
        self.virsh("attach-disk", guest.name, path, "sdb")
        qemu = self.qemu()
        self.daemon.kill()
        guest.wait_count(guest.last() + 10)
        self.assertEqual(leases.holders(path), [qemu])
        self.daemon.start()
        self.check_attached(guest, path)
        self.assertEqual(self.held(guest), (2, 2))
        self.virsh("detach-disk", guest.name, "sdb")
        self.assertTrue(leases.is_free(path))
        self.assertEqual(self.held(guest), (1, 1))

    def test_guest_that_does_not_let_go(self):
        """The call is answered, the disk stays with its lease, and goes when the guest is reset."""
        guest = self.scsi_guest()
        path = self.file()
        self.virsh("attach-disk", guest.name, path, "vdb")
        began = time.monotonic()
        self.virsh("detach-disk", guest.name, "vdb")
        if str(path) not in self.in_qemu(guest)[0]:
            self.skipTest("this machine does not ask the guest")
        self.assertGreater(time.monotonic() - began, 4)
        self.check_attached(guest, path)
        self.daemon.restart()
        self.check_attached(guest, path)
        self.virsh("reset", guest.name)
        self.wait_detached(guest, path)
        self.assertEqual(self.held(guest), (1, 1))
        guest.wait_count(guest.last() + 3)

    def test_two_let_go_at_once(self):
        """One that is waited for, and one that is not any more."""
        guest = self.scsi_guest()
        late, asked = self.file("late.img"), self.file("asked.img")
        self.virsh("attach-disk", guest.name, late, "vdb")
        self.virsh("attach-disk", guest.name, asked, "vdc")
        self.virsh("detach-disk", guest.name, "vdb")
        self.check_attached(guest, late)
        client = self.virsh.start("detach-disk", guest.name, "vdc")
        harness.wait_for(lambda: os.listdir(self.root / "lib/journal"), "it is asked to let go")
        self.virsh("qemu-monitor-command", guest.name, '{"execute": "system_reset"}')
        client.communicate(timeout=60)
        for path in (late, asked):
            self.wait_detached(guest, path)
        self.assertEqual(self.held(guest), (1, 1))

    def test_before_the_disk_it_booted_from(self):
        """By its name it comes first, and <boot> in <os> would mean it from the next start on; now the firmware has its order."""
        guest, path = self.sector(), self.file()
        guest.prepare()
        xml = guest.write_xml()
        xml.write_text(xml.read_text().replace("<target dev='hda' bus='ide'/>", "<target dev='vdb' bus='virtio'/>"))
        self.virsh("define", xml)
        self.virsh("start", guest.name)
        guest.wait_count(3)
        self.virsh("attach-disk", guest.name, path, "vda")
        self.check_attached(guest, path)
        self.assertEqual(self.targets(guest), ["vda", "vdb"])
        image = self.root / "saved"
        self.virsh("save", guest.name, image)
        saved = guest.wait_still()
        self.virsh("restore", image)
        guest.wait_count(saved + 3)
        guest.check_sequence()
        self.check_attached(guest, path)

    def test_gone_meanwhile(self):
        """QEMU lets go while no daemon is there to hear of it, or without having been asked by one."""
        guest = self.scsi_guest()
        path = self.file()
        for daemon_is_there in (True, False):
            self.virsh("attach-disk", guest.name, path, "sdb")
            self.virsh("qemu-monitor-command", guest.name,
                       json.dumps({"execute": "device_del", "arguments": {"id": "scsi0-0-0-1"}}))
            if not daemon_is_there:
                self.daemon.restart(kill=True)
            harness.wait_for(lambda: leases.is_free(path), "the lease is given back", 20)
            harness.wait_for(lambda: "sdb" not in self.targets(guest), "it is out of the XML", 20)
            self.assertNotIn(str(path), self.in_qemu(guest)[0])
            self.assertEqual(self.held(guest), (1, 1))

    def test_commands(self):
        """godwit's own."""
        guest = self.scsi_guest()
        path = self.file()
        self.godwit("attach-disk", guest.name, str(path), "sdb", "--targetbus", "scsi", "--cache", "none", "--serial", "S1",
                    "--persistent")
        self.check_attached(guest, path)
        disk = ET.fromstring(self.virsh("dumpxml", guest.name)).findall("devices/disk")[1]
        self.assertEqual((disk.find("driver").get("cache"), disk.find("serial").text), ("none", "S1"))
        printed = self.godwit("attach-disk", guest.name, str(path), "sdc", "--mode", "readonly", "--print-xml")
        self.assertIsNotNone(ET.fromstring(printed).find("readonly"))
        self.assertIn("No disk", self.godwit("detach-disk", guest.name, "sdz", fails=True))
        self.godwit("detach-disk", guest.name, str(path), "--persistent")
        self.assertTrue(leases.is_free(path))
        self.assertEqual(self.targets(guest, "--inactive"), ["hda"])
        device = self.root / "device.xml"
        device.write_text(f"<disk type='file'><source file='{path}'/><target dev='sdb' bus='scsi'/></disk>")
        self.godwit("attach-device", guest.name, str(device), "--live")
        self.check_attached(guest, path)
        self.godwit("detach-device", guest.name, str(device), "--current")
        self.assertTrue(leases.is_free(path))
        self.assertIn("not running", self.godwit("attach-device", self.off().name, str(device), "--live", fails=True))

    def off(self):
        guest = self.sector("off")
        guest.define()
        return guest

    def test_busy(self):
        """Not while a job has the VM."""
        guest = self.scsi_guest()
        path = self.file()
        self.daemon.restart(GODWIT_FAULT="lease-added=stop")
        client = self.virsh.start("attach-disk", guest.name, path, "sdb")
        harness.wait_for(lambda: leases.holders(path), "the child has the lease")
        child, = leases.holders(path)
        self.assertIn("job 'attach-disk' is in progress", self.virsh.fails("attach-disk", guest.name, self.file("2"), "sdc"))
        self.assertIn("job 'attach-disk' is in progress", self.virsh.fails("suspend", guest.name))
        os.kill(child, signal.SIGCONT)
        self.assertEqual(client.wait(60), 0)
        client.communicate()
        self.check_attached(guest, path)


class TwoHosts(Hotplug):
    def setUp(self):
        super().setUp()
        self.other = harness.Daemon(self.root / "h2", self.manager + 'hostname = "h2"\n', test_root=self.root).start()
        self.addCleanup(self.other.kill)
        self.there = harness.Virsh(self.other.uri())

    def qemu(self):
        return next(pid for pid in harness.qemus_of(self.root) if pid not in self.before)

    def test_exclusion(self):
        theirs = self.sector("theirs")
        theirs.prepare()
        self.there("define", theirs.write_xml(extra_devices=SCSI))
        self.there("start", theirs.name)
        self.before = harness.qemus_of(self.root)
        guest = self.started(self.sector(), extra_devices=SCSI)
        path, before = self.file(), self.now(guest)
        self.there("attach-disk", theirs.name, path, "sdb")
        said = self.virsh.fails("attach-disk", guest.name, path, "sdb")
        self.assertIn(f"resource busy: attach a disk to {guest.name}: disk {path} is in use: VM theirs on host h2 "
                      f"(pid {self.before[0]}) holds its lease; stop it there first", said)
        self.assertEqual(self.now(guest), before)
        self.there("detach-disk", theirs.name, "sdb")
        self.virsh("attach-disk", guest.name, path, "sdb")
        self.check_attached(guest, path)
        for change in (lambda: None, self.daemon.kill, self.daemon.start):
            change()
            self.assertIn(f"VM {guest.name} on host h1 (pid {self.qemu()})",
                          self.there.fails("attach-disk", theirs.name, path, "sdb"))
        harness.kill_and_wait(self.qemu())
        self.there("attach-disk", theirs.name, path, "sdb")
        self.assertEqual(leases.holders(path), self.before)

    def test_race(self):
        """Both plug it in at the same time: exactly one of them does."""
        self.before = []
        self.started(self.sector("one"), extra_devices=SCSI)
        two = self.sector("two")
        two.prepare()
        self.there("define", two.write_xml(extra_devices=SCSI))
        self.there("start", "two")
        path = self.file()
        for _ in range(10):
            clients = [(virsh, name, virsh.start("attach-disk", name, path, "sdb"))
                       for virsh, name in ((self.virsh, "one"), (self.there, "two"))]
            for _, _, client in clients:
                client.communicate(timeout=60)
            won = [(virsh, name) for virsh, name, client in clients if client.returncode == 0]
            self.assertEqual(len(won), 1)
            self.assertEqual(len(leases.holders(path)), 1)
            won[0][0]("detach-disk", won[0][1], "sdb")
            self.assertTrue(leases.is_free(path))


if __name__ == "__main__":
    unittest.main(verbosity=2)
