#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A VM moves to another host, asked for in each of the ways virsh has. The guest is the boot sector: it never loses a number.

GODWIT_MIGRATIONS=N moves it N times to and fro (3 times by default).
"""

import os
import re
import unittest
import xml.etree.ElementTree as ET

import migrating

ROUNDS = int(os.environ.get("GODWIT_MIGRATIONS") or 3)


class Ways(migrating.MigrateTest):
    config = 'lock_manager = "lockd"\n'

    def test_live(self):
        """What was defined stays defined and off; what has come is there until it ends."""
        guest = self.move(self.run_guest(self.sector()))
        self.check_runs(guest)
        self.check_persistent(guest, False)
        self.check_off(self.here)
        guest.virsh("destroy", guest.name)
        self.check_gone(self.there)
        guest.at(self.here).virsh("start", guest.name)
        self.check_persistent(guest, True)

    def test_to_stay(self):
        guest = self.move(self.run_guest(self.sector()), "--persistent", "--undefinesource")
        self.check_runs(guest)
        self.check_persistent(guest, True)
        self.check_gone(self.here)
        # what is defined there is what was defined here
        guest.virsh("destroy", guest.name)
        self.check_off(self.there)
        guest.virsh("undefine", guest.name)
        self.check_gone(self.there)

    def test_transient(self):
        guest = self.move(self.run_guest(self.sector(), transient=True))
        self.check_runs(guest)
        self.check_persistent(guest, False)
        self.check_gone(self.here)
        self.move(guest, "--persistent")
        self.check_runs(guest)
        self.check_persistent(guest, True)
        self.check_gone(self.there)

    def test_defined_there(self):
        """A definition that is there stays, with or without --persistent."""
        guest = self.run_guest(self.sector())
        self.there.virsh("define", self.root / "sector.xml")
        self.move(guest)
        self.check_runs(guest)
        self.check_persistent(guest, True)
        self.check_off(self.here)
        self.move(guest, "--persistent")
        self.check_runs(guest)
        self.check_off(self.there)

    def test_not_live(self):
        """It stands still while its memory is copied, and runs there."""
        guest = self.move(self.run_guest(self.sector()), live=False)
        self.check_runs(guest)

    def test_suspended(self):
        """--suspend: it stands still there until it is told to go on; so does one that stood still before."""
        guest = self.move(self.run_guest(self.sector()), "--suspend")
        for live in (True, False):
            self.qemu_of(guest)
            self.assertEqual(guest.state(), "paused")
            still = guest.wait_still()
            self.move(guest, live=live)
            self.assertEqual(guest.state(), "paused")
            self.assertEqual(guest.wait_still(), still)
        guest.virsh("resume", guest.name)
        self.check_runs(guest)

    def test_another_name(self):
        guest = self.run_guest(self.sector())
        guest.virsh(*self.command(guest, "--live", "--persistent", "--dname", "renamed"))
        self.check_off(self.here)
        self.assertFalse(self.is_listed(self.there, guest.name))
        guest.at(self.there).name = "renamed"
        self.check_runs(guest)
        self.check_persistent(guest, True)
        self.assertEqual(guest.virsh("domuuid", "renamed"), guest.uuid)

    def test_other_xml(self):
        """--xml is what runs there, --persistent-xml what is defined there."""
        guest = self.run_guest(self.sector())
        texts = {}
        for option, flags, title in (("--xml", ("--migratable",), "that runs"), ("--persistent-xml", ("--inactive",), "that is defined")):
            tree = ET.fromstring(guest.virsh("dumpxml", guest.name, *flags))
            ET.SubElement(tree, "title").text = title
            texts[option] = self.root / f"{option}.xml"
            texts[option].write_text(ET.tostring(tree, encoding="unicode"))
        self.move(guest, "--persistent", *(word for pair in texts.items() for word in pair))
        self.check_runs(guest)
        self.assertIn("<title>that runs</title>", guest.virsh("dumpxml", guest.name))
        self.assertIn("<title>that is defined</title>", guest.virsh("dumpxml", guest.name, "--inactive"))
        self.assertNotIn("<title>", self.here.virsh("dumpxml", guest.name))

    def test_offline(self):
        guest = self.sector().define()
        self.assertIn("PERSIST_DEST", guest.virsh.fails(*self.command(guest, "--offline")))
        self.check_gone(self.there)
        guest.virsh(*self.command(guest, "--offline", "--persistent"))
        self.check_off(self.here)
        self.check_off(self.there)
        said = [re.sub(r" id='\d+'", "", host.virsh("dumpxml", guest.name)) for host in (self.here, self.there)]
        self.assertEqual(*said)
        self.there.virsh("undefine", guest.name)
        guest.virsh(*self.command(guest, "--offline", "--persistent", "--undefinesource"))
        self.check_gone(self.here)
        guest.at(self.there).virsh("start", guest.name)
        guest.wait_count(5)
        self.check_runs(guest)

    def test_figures(self):
        """What it took is known on both sides afterwards."""
        guest = self.move(self.run_guest(self.sector()))
        for host in (self.here, self.there):
            said = host.virsh("domjobinfo", guest.name, "--completed")
            self.assertRegex(said, r"Job type: +Completed")
            self.assertRegex(said, r"Operation: +" + ("Outgoing" if host is self.here else "Incoming") + " migration")
            self.assertRegex(said, r"Total downtime: +\d+ +ms")
            self.assertRegex(said, r"Memory total: +1[6-9]\.\d+ MiB|Memory total: +2\d\.\d+ MiB")
            self.assertRegex(said, r"Memory processed: +[1-9]")
            self.assertRegex(said, r"Memory remaining: +0\.000 B")
            self.assertRegex(said, r"Downtime w/o network: +\d+ +ms")

    def test_to_and_fro(self):
        guest = self.run_guest(self.sector())
        for _ in range(ROUNDS):
            self.move(guest, "--persistent", "--undefinesource")
            self.check_runs(guest)
            self.check_gone(self.other(guest.host))


class DaemonToDaemon(migrating.MigrateTest):
    """--p2p: virsh talks to the source alone."""

    config = 'lock_manager = "lockd"\nlisten_tcp = 1\nauth_tcp = "none"\n'

    def move_to(self, guest, uri, *options):
        target = self.other(guest.host)
        guest.virsh("migrate", "--unsafe", guest.name, uri.format(name=target.name, address=target.address, socket=target.daemon.socket),
                    "--live", "--p2p", *options)
        guest.at(target)
        self.check_runs(guest)

    def test_ways_to_reach_it(self):
        guest = self.run_guest(self.sector())
        for uri in ("qemu+unix:///system?socket={socket}", "qemu+tcp://{name}/system", "qemu+tcp://{address}/system"):
            with self.subTest(uri):
                self.move_to(guest, uri, "--persistent", "--undefinesource")
                self.check_gone(self.other(guest.host))

    def test_defined(self):
        guest = self.run_guest(self.sector())
        self.move_to(guest, "qemu+tcp://{name}/system")
        self.check_off(self.here)
        self.check_persistent(guest, False)
        self.move_to(guest, "qemu+tcp://{name}/system")
        self.check_gone(self.there)
        self.check_persistent(guest, True)

    def test_tunnelled(self):
        """Through the connection of the two daemons: no other port is needed."""
        guest = self.run_guest(self.sector())
        for _ in range(2):
            self.move_to(guest, "qemu+tcp://{name}/system", "--tunnelled", "--persistent", "--undefinesource")
            self.check_gone(self.other(guest.host))

    def test_offline(self):
        guest = self.sector().define()
        guest.virsh("migrate", guest.name, "qemu+tcp://beta/system", "--p2p", "--offline", "--persistent", "--undefinesource")
        self.check_gone(self.here)
        self.check_off(self.there)

    def test_nobody_there(self):
        """Said, and nothing has happened."""
        guest = self.run_guest(self.sector())
        for uri, said in (("qemu+tcp://beta:1/system", "beta"), ("qemu+tcp://gamma.invalid/system", "gamma.invalid"),
                          ("qemu+unix:///system?socket=/nowhere", "/nowhere"), ("qemu+carrier-pigeon://beta/system", "carrier-pigeon")):
            with self.subTest(uri):
                self.assertIn(said, guest.virsh.fails("migrate", guest.name, uri, "--live", "--p2p", "--unsafe"))
                self.check_stayed(guest)
        self.assertIn("same host", guest.virsh.fails("migrate", guest.name, "qemu+tcp://alpha/system", "--live", "--p2p", "--unsafe"))
        self.check_stayed(guest)


class Options(migrating.MigrateTest):
    """Those that change how memory goes over: it arrives, and the figures say that QEMU did it so."""

    def moved(self, *options):
        """What domjobinfo says of a migration with them."""
        source = self.guest.host
        self.move(self.guest, "--persistent", *options)
        self.check_runs(self.guest)
        return source.virsh("domjobinfo", self.guest.name, "--completed")

    def test_all(self):
        self.guest = self.run_guest(self.sector())
        for options in (("--bandwidth", 100), ("--auto-converge", "--auto-converge-initial", 30, "--auto-converge-increment", 5),
                        ("--parallel",), ("--parallel", "--parallel-connections", 3), ("--verbose",), ("--abort-on-error",),
                        ("--change-protection",), ("--compressed", "--parallel", "--comp-methods", "zstd", "--comp-zstd-level", 3),
                        ("--compressed", "--parallel", "--comp-methods", "zlib", "--comp-zlib-level", 1),
                        ("--migrateuri", f"tcp://{self.other(self.guest.host).address}:49200")):
            with self.subTest(options=options):
                if "--migrateuri" in options:
                    options = ("--migrateuri", f"tcp://{self.other(self.guest.host).address}:49200")
                self.assertIn("Completed", self.moved(*options))
        for options in (("--compressed",), ("--compressed", "--comp-methods", "xbzrle", "--comp-xbzrle-cache", 8 << 20)):
            with self.subTest(options=options):
                self.assertRegex(self.moved(*options), r"Compression cache: +" + ("8.000 MiB" if len(options) > 1 else r"\d"))

    def test_refused(self):
        """Said by name, and nothing has happened."""
        guest = self.run_guest(self.sector())
        for options, said in ((("--parallel-connections", 2), "parallel"), (("--compressed", "--comp-methods", "lzma"), "lzma"),
                              (("--tunnelled",), "peer2peer"), (("--migrateuri", "rdma://beta"), "rdma"),
                              (("--listen-address", "beta", "--tunnelled", "--p2p"), "listen")):
            with self.subTest(options=options):
                self.assertIn(said, self.refused(guest, *options).lower())
                self.check_stayed(guest)


if __name__ == "__main__":
    unittest.main(verbosity=2)
