#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clients that mean no good, and what is not XML for us: the daemon stays up, its memory bounded, the others served."""

import os
import struct
import time
import unittest

import harness
import rpc

UNKNOWN_PROCEDURE = 39
CREATE_XML, GET_ALL_DOMAIN_STATS = 10, 344
STRING_MAX = 4 << 20


class Clients(harness.DaemonTest):
    def setUp(self):
        super().setUp()
        self.other = self.connect().open()
        self.resident = self.daemon.status_value("VmRSS")

    def connect(self):
        connection = rpc.Connection(self.daemon.socket)
        self.addCleanup(connection.close)
        return connection

    def tearDown(self):
        self.assertEqual(self.other.call(rpc.GET_TYPE).status, rpc.OK, "another client is served")
        self.assertIsNone(self.daemon.process.poll(), "godwitd died")
        self.assertLess(self.daemon.status_value("VmRSS") - self.resident, harness.MEMORY_SLACK, "its memory is bounded")

    def is_closed(self, connection):
        with self.assertRaises(rpc.Closed):
            while True:
                connection.receive()

    def test_half_a_frame(self):
        for part in (1, 3, 4, 5, 20, 27):
            self.connect().send(rpc.frame(rpc.AUTH_LIST)[:part])
        begun = self.connect()
        begun.send(struct.pack(">I", 1 << 20) + bytes(100))
        self.assertEqual(self.other.call(rpc.GET_TYPE).status, rpc.OK)

    def test_frame_of_4_gib(self):
        for length in (0xFFFFFFFF, 0x80000000, (32 << 20) + 8192):
            connection = self.connect()
            connection.send(struct.pack(">I", length) + bytes(28))
            self.is_closed(connection)

    def test_frame_too_short(self):
        for length in (0, 3, 4, 27):
            connection = self.connect()
            connection.send(struct.pack(">I", length) + bytes(28))
            self.is_closed(connection)

    def test_many_large_frames_begun(self):
        """A length is a promise only: memory comes with the bytes."""
        for _ in range(15):
            self.connect().send(struct.pack(">I", 30 << 20) + bytes(64))

    def test_long_string(self):
        connection = self.connect().open()
        try:
            reply = connection.call(rpc.LOOKUP_BY_NAME, rpc.string(b"a" * (STRING_MAX + 1)))
            self.assertEqual(reply.status, rpc.ERROR)
        except rpc.Closed:
            pass
        connection = self.connect().open()
        # a length beyond the payload
        reply = connection.call(rpc.LOOKUP_BY_NAME, struct.pack(">I", 1000) + b"abc\0")
        self.assertEqual(reply.status, rpc.ERROR)
        reply = connection.call(rpc.LOOKUP_BY_NAME, struct.pack(">I", 0xFFFFFFFF) + b"abc\0")
        self.assertEqual(reply.status, rpc.ERROR)
        self.assertEqual(connection.call(rpc.GET_TYPE).status, rpc.OK)

    def test_payload_too_short_and_too_long(self):
        connection = self.connect().open()
        for procedure in range(1, 460):
            if procedure in (rpc.OPEN, rpc.CLOSE):
                continue
            with self.subTest(procedure=procedure):
                connection.call(procedure)  # an answer, whatever it is
        self.assertEqual(connection.call(rpc.GET_TYPE).status, rpc.OK)

    def test_unknown(self):
        connection = self.connect().open()
        for options in ({"procedure": 9999}, {"procedure": 0}, {"procedure": -1}, {"procedure": 1, "version": 2},
                        {"procedure": 1, "program": 0x12345678}):
            with self.subTest(**options):
                reply = connection.call(options.pop("procedure"), **options)
                self.assertEqual(reply.status, rpc.ERROR)
                self.assertEqual(reply.error[0], UNKNOWN_PROCEDURE)
        code, message = connection.call(9999).error
        self.assertTrue(message.startswith("unknown procedure"), message)

    def test_what_only_servers_send(self):
        for kind in (rpc.REPLY, rpc.MESSAGE, rpc.STREAM, 4, 6, 7, 99):
            with self.subTest(kind=kind):
                connection = self.connect().open()
                try:
                    connection.send(rpc.frame(rpc.GET_TYPE, kind=kind, serial=77))
                    connection.call(rpc.GET_TYPE)
                except rpc.Closed:
                    pass  # as good an answer

    def test_calls_before_open(self):
        connection = self.connect()
        self.assertEqual(connection.call(rpc.LIST_ALL_DOMAINS, struct.pack(">II", 1, 0)).status, rpc.ERROR)
        self.assertEqual(connection.call(rpc.LOOKUP_BY_NAME, rpc.string("x")).status, rpc.ERROR)

    def test_pipelined_calls(self):
        """Many calls before the first answer is read: each is answered, once."""
        connection = self.connect().open()
        serials = [connection.post(rpc.GET_TYPE) for _ in range(500)]
        answered = sorted(connection.receive().serial for _ in serials)
        self.assertEqual(answered, serials)

    def test_looks_at_what_is_just_being_made(self):
        """In one breath with the call that makes it."""
        guest = harness.BootSector(self.root, self.virsh)
        guest.prepare()
        connection = self.connect().open()
        for i in range(10):
            create = rpc.frame(CREATE_XML, rpc.string(guest.xml()) + struct.pack(">I", 0), serial=100)
            look = rpc.frame(GET_ALL_DOMAIN_STATS, struct.pack(">III", 0, 0, 0), serial=101)
            connection.send(create + look)
            answers = sorted((r.serial, r.status) for r in (connection.receive(), connection.receive()))
            self.assertEqual(answers, [(100, rpc.OK), (101, rpc.OK)])
            self.virsh("destroy", guest.name)

    def test_never_reads(self):
        """Answers that nobody fetches do not pile up without end."""
        connection = self.connect().open()
        connection.socket.setblocking(False)
        deadline, sent = time.monotonic() + 20, 0
        data = rpc.frame(rpc.GET_TYPE, serial=5) * 100
        while time.monotonic() < deadline and sent < 40 << 20:
            try:
                sent += connection.socket.send(data)
            except BlockingIOError:
                break  # the daemon stopped reading: as it should
            except (BrokenPipeError, ConnectionResetError):
                break

    def test_200_clients(self):
        clients = [self.connect() for _ in range(200)]
        for client in clients:
            client.open()
        self.assertIn("Id", self.virsh("list", "--all"))
        for client in clients:
            self.assertEqual(client.call(rpc.GET_TYPE).status, rpc.OK)
        for client in clients:
            client.close()
        self.assertEqual(self.other.call(rpc.GET_TYPE).status, rpc.OK)

    def test_clients_come_and_go(self):
        def descriptors():
            return len(os.listdir(f"/proc/{self.daemon.process.pid}/fd"))

        before = descriptors()
        for i in range(300):
            with rpc.Connection(self.daemon.socket) as client:
                if i % 3:
                    client.post(rpc.AUTH_LIST)
        harness.wait_for(lambda: descriptors() <= before, "all their descriptors are closed")

    def test_noise(self):
        for seed in range(20):
            connection = self.connect()
            noise = bytes((seed * 31 + i * 7 + (i * i >> 3)) & 0xFF for i in range(5000))
            try:
                connection.send(noise)
            except rpc.Closed:
                pass

    def test_read_only_socket(self):
        guest = self.sector().define()
        virsh = self.virsh_ro
        self.assertIn(guest.name, virsh("list", "--all"))
        self.assertIn("shut off", virsh("dominfo", guest.name))
        self.assertIn(guest.name, virsh("dumpxml", guest.name))
        for command in (["start", guest.name], ["undefine", guest.name], ["autostart", guest.name],
                        ["define", self.root / "sector.xml"], ["create", self.root / "sector.xml"],
                        ["managedsave", guest.name], ["destroy", guest.name], ["shutdown", guest.name],
                        ["save", guest.name, self.root / "x.save"], ["restore", self.root / "x.save"],
                        ["dumpxml", guest.name, "--security-info"], ["desc", guest.name, "--config", "x"],
                        ["domrename", guest.name, "other"]):
            with self.subTest(command=command[0]):
                self.assertRegex(virsh.fails(*command), r"(?i)read.only|forbidden|denied|not allowed")
        self.assertEqual(guest.state(), "shut off")


class BadXML(harness.DaemonTest):
    def refuse(self, text, pattern=None):
        path = self.root / "bad.xml"
        path.write_text(text)
        said = self.virsh.fails("define", path)
        if pattern:
            self.assertRegex(said, pattern)
        self.virsh.fails("create", path)
        self.assertEqual(self.virsh("list", "--all", "--name"), "")
        self.assertIsNone(self.daemon.process.poll())
        return said

    def good(self):
        guest = self.sector()
        guest.prepare()
        return guest.xml()

    def test_not_well_formed(self):
        for text in ("", "x", "<domain", "<domain></doman>", "<network/>", "<domain type='qemu'/>"):
            with self.subTest(text=text):
                self.refuse(text)

    def test_unknown_is_refused_by_name(self):
        self.refuse(self.good().replace("<vcpu>", "<frobnicate level='9'/><vcpu>"), "frobnicate")
        self.refuse(self.good().replace("<vcpu>", "<vcpu flavour='x'>"), "flavour")
        self.refuse(self.good().replace("<devices>", "<devices><teleporter/>"), "teleporter")
        self.refuse(self.good().replace("bus='ide'", "bus='warp'"), "warp")
        self.refuse(self.good().replace("<acpi/>", "<acpi/><flux/>"), "flux")

    def test_contradictions(self):
        xml = self.good()
        disk = xml[xml.index("<disk"):xml.index("</disk>") + 7]
        self.refuse(xml.replace(disk, disk * 2), "hda")
        self.refuse(xml.replace("<vcpu>1<", "<vcpu>0<"))
        self.refuse(xml.replace("<vcpu>1<", "<vcpu current='5'>2<"))
        self.refuse(xml.replace("<memory unit='MiB'>16<", "<memory unit='MiB'>0<"))
        self.refuse(xml.replace("<memory unit='MiB'>16<", "<memory unit='parsec'>16<"), "parsec")
        self.refuse(xml.replace("<memory unit='MiB'>16<", "<memory unit='MiB'>-16<"))
        self.refuse(xml.replace("<memory unit='MiB'>16<", "<memory unit='EiB'>99999999999999999999<"))
        self.refuse(xml.replace(self.sector().uuid[:0] + "<uuid>", "<uuid>not-"), "(?i)uuid")

    def test_names(self):
        for name in ("a/b", "../escape", ".", "..", "", "a&#10;b", "a" * 300, "a&#9;b"):
            with self.subTest(name=name):
                self.refuse(self.good().replace("<name>sector<", f"<name>{name}<"))
        for name in ("Grün", "a b", "x-1.2_3", "a&amp;b", "日本語", "a" * 200):
            with self.subTest(name=name):
                path = self.root / "good.xml"
                path.write_text(self.good().replace("<name>sector<", f"<name>{name}<"))
                self.virsh("define", path)
                plain = name.replace("&amp;", "&")
                self.assertEqual(self.virsh("list", "--all", "--name"), plain)
                self.virsh("undefine", plain)

    def test_billion_laughs(self):
        entities = "".join(f"<!ENTITY l{i} '{('&l%d;' % (i - 1)) * 10}'>" for i in range(1, 12))
        before = self.daemon.status_value("VmRSS")
        self.refuse(f"<?xml version='1.0'?><!DOCTYPE d [<!ENTITY l0 'ha'>{entities}]>"
                    "<domain type='qemu'><name>&l11;</name></domain>")
        self.refuse("<?xml version='1.0'?><!DOCTYPE d [<!ENTITY f SYSTEM 'file:///etc/hostname'>]>"
                    + self.good().replace("<name>sector<", "<name>&f;<"))
        self.assertLess(self.daemon.status_value("VmRSS") - before, harness.MEMORY_SLACK)

    def test_deep_nesting(self):
        """10 MB of it is more than a call may carry; virsh says so. 3 MB is not."""
        for size in (3_000_000, 10_000_000):
            with self.subTest(size=size):
                depth = size // 7
                self.refuse("<domain type='qemu'><name>x</name><metadata>" + "<a>" * depth + "</a>" * depth
                            + "</metadata></domain>")
        self.check_alive()

    def test_duplicates(self):
        guest = self.sector().define()
        path = self.root / "twin.xml"
        path.write_text(guest.xml().replace(guest.uuid, "11111111-2222-4333-8444-555555555555"))
        self.assertRegex(self.virsh.fails("define", path), r"already exists")
        path.write_text(guest.xml().replace("<name>sector<", "<name>twin<"))
        self.assertRegex(self.virsh.fails("define", path), r"(?i)uuid")
        self.assertEqual(self.virsh("list", "--all", "--name"), guest.name)
        self.virsh("define", guest.write_xml())  # the same again is a new definition of it

    def test_what_is_missing(self):
        """Defined it may be, started it cannot be, and the error names what is missing."""
        guest = self.sector().define()
        guest.disk.unlink()
        self.assertIn(str(guest.disk), self.virsh.fails("start", guest.name))
        self.assertEqual(guest.state(), "shut off")
        guest.prepare()
        path = guest.write_xml()
        for old, new, named in (("<boot dev='hd'/>", "<kernel>/no/kernel</kernel>", "/no/kernel"),
                                (f"<emulator>{guest.emulator}<", "<emulator>/no/qemu<", "/no/qemu"),
                                ("<emulator>" + guest.emulator, "<emulator>/etc/passwd", "/etc/passwd")):
            with self.subTest(new=new):
                path.write_text(guest.xml().replace(old, new))
                done = self.virsh.run("define", path)
                said = done.stderr if done.returncode else self.virsh.fails("start", guest.name)
                self.assertIn(named, said)
                self.assertEqual(guest.state(), "shut off")
        self.virsh("define", guest.write_xml())
        self.virsh("start", guest.name)
        guest.wait_count(5)

    def test_memory_larger_than_the_host(self):
        guest = self.sector(memory=64 << 20).define()
        self.virsh.fails("start", guest.name)
        self.assertEqual(guest.state(), "shut off")
        self.assertEqual(harness.qemus_of(self.root), [])
        self.check_alive()


if __name__ == "__main__":
    unittest.main(verbosity=2)
