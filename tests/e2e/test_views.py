#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What one sees of a guest and of the host: events, consoles, statistics, lists, XML; and how virsh hears "unsupported"."""

import re
import unittest

import harness
from terminal import Listener, Terminal


class Events(harness.DaemonTest):
    def test_lifecycle(self):
        guest, events = self.sector(), Listener(self)
        guest.define()
        events.lifecycle(guest.name, "Defined Added")
        self.virsh("start", guest.name)
        events.lifecycle(guest.name, "Started Booted")
        guest.wait_count(5)
        self.virsh("suspend", guest.name)
        events.lifecycle(guest.name, "Suspended Paused")
        self.virsh("resume", guest.name)
        events.lifecycle(guest.name, "Resumed Unpaused")
        self.virsh("managedsave", guest.name)
        events.lifecycle(guest.name, "Stopped Saved")
        self.virsh("start", guest.name)
        events.lifecycle(guest.name, "Started Restored")
        self.virsh("destroy", guest.name)
        events.lifecycle(guest.name, "Stopped Destroyed")
        self.virsh("undefine", guest.name)
        events.lifecycle(guest.name, "Undefined Removed")

    def test_shutdown_and_reboot(self):
        guest, events = self.linux(arguments="gw.mem=4").define(), Listener(self)
        self.virsh("start", guest.name)
        guest.wait_count()
        self.virsh("reset", guest.name)
        events.event("reboot", guest.name)
        harness.wait_for(lambda: guest.boots() == 2, "it boots again")
        guest.wait_count()
        self.virsh("shutdown", guest.name)
        events.lifecycle(guest.name, "Shutdown Finished after guest request", "Stopped Shutdown")


class Console(harness.DaemonTest):
    def test_console(self):
        guest = self.linux(arguments="gw.mem=4 gw.tick=100")
        guest.define(serial=f"<serial type='pty'><log file='{guest.console}' append='on'/><target port='0'/></serial>"
                     "<console type='pty'><target type='serial' port='0'/></console>")
        self.virsh("start", guest.name)
        guest.wait_count()
        self.assertRegex(self.virsh("ttyconsole", guest.name), r"^/dev/pts/\d+$")
        terminal = Terminal(self.virsh.command("console", guest.name))
        terminal.expect(rb"Escape character")
        terminal.expect(rb"T \d+ \d+ \d+")
        terminal.send(b"status\n")
        terminal.expect(rb"R status ok ticks=")
        # one user at a time, unless forced
        self.assertRegex(self.console_refused(guest), rb"(?i)active console session")
        second = Terminal(self.virsh.command("console", guest.name, "--force"))
        second.expect(rb"T \d+ \d+ \d+")
        terminal.end()
        second.send(b"check-memory\n")
        second.expect(rb"R check-memory ok")
        second.send(b"\x1d")
        self.assertEqual(second.finish(), 0)
        self.virsh("destroy", guest.name)

    def console_refused(self, guest):
        terminal = Terminal(self.virsh.command("console", guest.name))
        terminal.expect(rb"error:")
        seen = terminal.seen
        terminal.end()
        return seen


class Figures(harness.DaemonTest):
    def test_statistics(self):
        guest = self.linux(network=True).define()
        self.virsh("start", guest.name)
        guest.wait_count()
        self.assertRegex(self.virsh("domblklist", guest.name), rf"vda\s+{re.escape(str(guest.disk))}")
        self.assertRegex(self.virsh("domblkinfo", guest.name, "vda"), r"Capacity:\s+4194304")
        self.assertRegex(self.virsh("domblkstat", guest.name, "vda"), r"vda wr_req [1-9]\d*")
        self.assertRegex(self.virsh("domiflist", guest.name), r"user\s+.*virtio\s+52:54:00")
        self.assertRegex(self.virsh("dommemstat", guest.name), r"actual 131072")
        self.assertRegex(self.virsh("vcpuinfo", guest.name), r"VCPU:\s+0\n(.*\n)*State:\s+running")
        stats = self.virsh("domstats", guest.name)
        for wanted in ("state.state=1", "vcpu.current=1", "balloon.current=131072", "block.count=1",
                       "block.0.name=vda", "net.count=1"):
            self.assertIn(wanted, stats)
        self.assertRegex(stats, r"cpu\.time=[1-9]")
        self.assertRegex(stats, r"block\.0\.wr\.reqs=[1-9]")
        self.assertIn('"status": "running"', self.virsh("qemu-monitor-command", guest.name, "--pretty",
                                                         '{"execute":"query-status"}'))
        self.assertIn("VM status: running", self.virsh("qemu-monitor-command", guest.name, "--hmp", "info status"))

    def test_live_xml(self):
        guest = self.linux(network=True).define()
        offline = self.virsh("dumpxml", guest.name)
        self.assertRegex(offline, r"machine='pc-q35-\d+\.\d+'")
        self.assertNotIn("<alias", offline)
        self.assertRegex(offline, r"<address type='pci'")
        self.virsh("start", guest.name, "--paused")
        live = self.virsh("dumpxml", guest.name)
        self.assertRegex(live, r"<domain type='qemu' id='\d+'>")
        self.assertIn("<alias name='virtio-disk0'/>", live)
        self.assertIn("<alias name='net0'/>", live)
        self.assertEqual(self.virsh("dumpxml", guest.name, "--inactive"), offline)
        self.assertNotIn("<alias", self.virsh("dumpxml", guest.name, "--migratable"))
        # what it shows can be defined again, and is the same
        path = self.root / "again.xml"
        path.write_text(offline)
        self.virsh("destroy", guest.name)
        self.virsh("define", path)
        self.assertEqual(self.virsh("dumpxml", guest.name), offline)

    def test_title_description_metadata_rename(self):
        guest = self.sector().define(extra="<metadata><a:b xmlns:a='http://x/y'>kept</a:b></metadata>")
        self.virsh("desc", guest.name, "--title", "A title", "--config")
        self.virsh("desc", guest.name, "Some words", "--config")
        self.assertEqual(self.virsh("desc", guest.name, "--title"), "A title")
        self.assertEqual(self.virsh("desc", guest.name), "Some words")
        self.assertIn("kept", self.virsh("metadata", guest.name, "http://x/y"))
        self.assertIn("A title", self.virsh("list", "--all", "--title"))
        self.virsh("domrename", guest.name, "renamed")
        self.assertEqual(self.virsh("list", "--all", "--name"), "renamed")
        self.assertEqual(self.virsh("domuuid", "renamed"), guest.uuid)
        self.daemon.restart()
        self.assertEqual(self.virsh("list", "--all", "--name"), "renamed")
        self.assertIn("kept", self.virsh("dumpxml", "renamed"))

    def test_host(self):
        self.assertIn("QEMU", self.virsh("version"))
        self.assertRegex(self.virsh("nodeinfo"), r"CPU\(s\):\s+[1-9]")
        self.assertIn("<arch>x86_64</arch>", self.virsh("capabilities"))
        self.assertRegex(self.virsh("domcapabilities"), r"<machine>pc-.*</machine>")
        self.assertTrue(self.virsh("hostname"))

    def test_empty_lists(self):
        for command in (["net-list", "--all"], ["pool-list", "--all"], ["iface-list", "--all"], ["secret-list"], ["nwfilter-list"]):
            with self.subTest(command=command[0]):
                self.assertRegex(self.virsh(*command), r"(?s)-----$")
        self.assertEqual(self.virsh("nodedev-list"), "")

    def test_unsupported(self):
        """Refused in a way the client library understands; the connection stays usable."""
        guest = self.sector().define()
        for command in (["snapshot-create", guest.name], ["net-start", "default"], ["pool-define-as", "p", "dir", "--target", "/tmp"],
                        ["migrate", guest.name, self.virsh.uri], ["checkpoint-create", guest.name],
                        ["domfsfreeze", guest.name], ["attach-disk", guest.name, "/x", "vdz"]):
            with self.subTest(command=command[0]):
                self.virsh.fails(*command)
        self.check_alive()

    def test_create_paused_and_autodestroy(self):
        guest = self.sector().create("--paused")
        self.assertEqual(guest.state(), "paused")
        self.assertEqual(guest.last(), 0)
        self.virsh("resume", guest.name)
        guest.wait_count(5)
        self.virsh("destroy", guest.name)

    def test_error_of_qemu_is_shown(self):
        """The last lines of QEMU's standard error are in the message, and in the log of the VM."""
        guest = self.sector()
        guest.define(serial="<serial type='file'><source path='/no/such/directory/console'/></serial>")
        self.assertIn("/no/such/directory/console", self.virsh.fails("start", guest.name))
        self.assertEqual(guest.state(), "shut off")


if __name__ == "__main__":
    unittest.main(verbosity=2)
