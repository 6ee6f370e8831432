#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Taps and bridges, with a daemon that has a network namespace of its own: nothing of the host's network is touched."""

import json
import os
import re
import select
import subprocess
import sys
import unittest

import harness

BRIDGE, HOST, GUEST = "gwbridge", "10.0.2.1", "10.0.2.15"
# Sends a line to the guest's port 7 and shows what comes back.
ECHO = """import socket, sys
with socket.create_connection((sys.argv[1], 7), float(sys.argv[2])) as s:
    s.sendall(b"are you there?")
    print(s.recv(100).decode())
"""


class NetworkTest(harness.DaemonTest):
    autostart = False

    def setUp(self):
        super().setUp()
        prefix = harness.unshare("--net", "--mount")
        if not prefix:
            self.skipTest("no network namespaces here")
        if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
            self.skipTest("no access to /dev/net/tun")
        self.outside = self.all_links([])
        self.addCleanup(lambda: self.assertEqual(self.all_links([]), self.outside, "outside of the namespace"))
        # It lives as long as this process, and what stands in it goes with it. /sys shows the network of who mounted it.
        keeper = subprocess.Popen([*prefix, "sh", "-c", "mount -t sysfs none /sys && echo ready && exec cat"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(keeper.communicate)
        if keeper.stdout.readline() != b"ready\n":
            self.skipTest(f"no /sys for a network namespace here: {keeper.stderr.read().decode().strip()}")
        user = [] if harness.IS_ROOT else ["--user", "--preserve-credentials"]
        self.inside = ["nsenter", f"--target={keeper.pid}", *user, "--net", "--mount", f"--wd={self.root}"]
        self.daemon.prefix = self.inside
        self.ip("link", "set", "lo", "up")
        self.ip("link", "add", BRIDGE, "type", "bridge")
        self.ip("address", "add", f"{HOST}/24", "dev", BRIDGE)
        self.ip("link", "set", BRIDGE, "up")
        self.daemon.start()

    # the namespace

    def ip(self, *args):
        done = subprocess.run([*self.inside, "ip", "-json", *args], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout) if done.stdout.strip() else []

    @staticmethod
    def all_links(inside):
        done = subprocess.run([*inside, "ip", "-json", "link"], check=True, capture_output=True)
        return sorted(link["ifname"] for link in json.loads(done.stdout))

    def links(self):
        return [name for name in self.all_links(self.inside) if name not in ("lo", BRIDGE)]

    def link(self, name):
        return self.ip("link", "show", "dev", name)[0]

    def answers(self, address=GUEST):
        done = subprocess.run([*self.inside, sys.executable, "-c", ECHO, address, "1"], capture_output=True, text=True)
        return done.stdout == "are you there?\n"

    # guests

    def interface(self, kind, source="", target="", more=""):
        return (f"<interface type='{kind}'><mac address='52:54:00:12:34:56'/>{source}{target}<model type='virtio'/>"
                f"{more}</interface>")

    def bridged(self, bridge=BRIDGE):
        return self.interface("bridge", f"<source bridge='{bridge}'/>")


class Bridge(NetworkTest):
    def test_guest_on_a_bridge(self):
        guest = self.linux(arguments="gw.mem=4").define(extra_devices=self.bridged())
        self.virsh("start", guest.name)
        (tap,) = self.links()
        link = self.link(tap)
        self.assertEqual(link["master"], BRIDGE)
        self.assertIn("UP", link["flags"])
        # not the guest's, and above any the bridge could take for its own
        self.assertEqual(link["address"], "fe:54:00:12:34:56")
        self.assertRegex(self.virsh("domiflist", guest.name), rf"{tap}\s+bridge\s+{BRIDGE}\s+virtio\s+52:54:00:12:34:56")
        self.assertIn(f"<target dev='{tap}'/>", self.virsh("dumpxml", guest.name))
        guest.wait_count()
        harness.wait_for(self.answers, "the guest answers across the bridge")
        self.assertRegex(self.virsh("domifstat", guest.name, tap), rf"{tap} rx_packets [1-9]")
        # QEMU has the tap, not the daemon
        self.daemon.restart(kill=True)
        self.assertEqual(self.links(), [tap])
        harness.wait_for(self.answers, "the guest answers under the next daemon")
        self.virsh("managedsave", guest.name)
        self.assertEqual(self.links(), [])
        self.virsh("start", guest.name)
        (tap,) = self.links()
        self.assertEqual(self.link(tap)["master"], BRIDGE)
        harness.wait_for(self.answers, "the guest answers when it is back")
        guest.check()
        self.virsh("destroy", guest.name)
        self.assertEqual(self.links(), [])

    def test_address_of_the_bridge(self):
        """It stays what it was, at every moment: who knows the host by it would not find it any more."""
        address = "fe:00:00:00:00:01"  # a tap is made with a random one, lower than this but in one of 64 cases
        self.ip("link", "add", "cable", "address", address, "type", "veth", "peer", "name", "plug")
        self.ip("link", "set", "cable", "master", BRIDGE)
        self.assertEqual(self.link(BRIDGE)["address"], address)
        guest = self.sector().define(extra_devices=self.bridged())
        monitor = subprocess.Popen([*self.inside, "ip", "-oneline", "monitor", "link"], stdout=subprocess.PIPE, text=True)

        def happens(name):
            self.ip("link", "add", name, "type", "bridge")
            self.ip("link", "delete", name)

        def listens():
            happens("first")
            return select.select([monitor.stdout], [], [], 0.1)[0]

        harness.wait_for(listens, "the monitor sees what happens")
        for _ in range(3):
            self.virsh("start", guest.name)
            self.virsh("destroy", guest.name)
        happens("last")
        seen = []
        for line in monitor.stdout:
            seen.append(line)
            if "Deleted" in line and "last" in line:
                break
        monitor.terminate()
        monitor.communicate()
        self.assertTrue(any("vnet" in line for line in seen), "the monitor saw the taps")
        shown = re.findall(rf"\d+: {BRIDGE}:.* link/ether (\S+)", "".join(seen))
        self.assertEqual(set(shown), {address})

    def test_clone(self):
        """A clone has its original's address in its memory: the cable is out, and is in when it boots."""
        guest = self.linux(arguments="gw.mem=4").define(extra_devices=self.bridged())
        self.virsh("start", guest.name)
        guest.wait_count()
        image = self.root / "vm.save"
        self.virsh("save", guest.name, image, "--image-format", "sparse")
        said = harness.Godwit(self.daemon)("clone", image, "--name", "clone")
        self.assertIn("cables are out (1)", said)
        clone = self.linux("clone")
        harness.wait_for(lambda: clone.ask("check-network") == (False, {"carrier": "0"}), "its cable is out")
        (tap,) = self.links()
        self.assertNotIn("52:54:00:12:34:56", self.virsh("domiflist", "clone"))
        self.assertFalse(self.answers())
        self.assertNotIn("<link", self.virsh("dumpxml", "clone", "--inactive"))
        self.assertRegex(self.virsh("domif-getlink", "clone", tap), "down")
        self.virsh("destroy", "clone")
        self.virsh("start", "clone")
        harness.wait_for(self.answers, "the guest answers with an address of its own")

    def test_no_such_bridge(self):
        guest = self.sector().define(extra_devices=self.bridged("elsewhere"))
        self.assertIn("bridge 'elsewhere' does not exist", self.virsh.fails("start", guest.name))
        self.assertEqual(guest.state(), "shut off")
        self.assertEqual(harness.qemus_of(self.root), [])
        self.assertEqual(self.links(), [])


class Tap(NetworkTest):
    def test_cable(self):
        """A tap that is on no bridge, with the guest's end of the cable out at first."""
        guest = self.linux(arguments="gw.mem=4")
        guest.define(extra_devices=self.interface("ethernet", target="<target dev='gwtap'/>", more="<link state='down'/>"))
        self.virsh("start", guest.name)
        self.assertEqual(self.links(), ["gwtap"])
        link = self.link("gwtap")
        self.assertNotIn("master", link)
        self.assertIn("UP", link["flags"])
        self.ip("address", "flush", "dev", BRIDGE)
        self.ip("address", "add", f"{HOST}/24", "dev", "gwtap")
        guest.wait_count()
        self.assertRegex(self.virsh("domif-getlink", guest.name, "gwtap"), "down")
        self.assertEqual(guest.ask("check-network"), (False, {"carrier": "0"}))
        # there is no virDomainUpdateDeviceFlags: QEMU is told by hand
        self.virsh("qemu-monitor-command", guest.name, "--hmp", "set_link net0 on")
        harness.wait_for(lambda: guest.ask("check-network")[0], "the guest sees the cable")
        harness.wait_for(self.answers, "the guest answers")
        self.virsh("destroy", guest.name)
        self.assertEqual(self.links(), [])

    def test_somebody_elses(self):
        """managed='no': the device is there before and after, as it was."""
        self.ip("tuntap", "add", "dev", "gwown", "mode", "tap", "vnet_hdr")
        before = self.link("gwown")
        guest = self.sector().define(
            extra_devices=self.interface("ethernet", target="<target dev='gwown' managed='no'/>"))
        self.virsh("start", guest.name)
        guest.wait_count(5)
        self.assertEqual(self.link("gwown")["address"], before["address"])
        self.assertNotIn("UP", self.link("gwown")["flags"])
        self.virsh("destroy", guest.name)
        self.assertEqual(self.links(), ["gwown"])

    def test_name_is_taken(self):
        self.ip("link", "add", "gwtaken", "type", "bridge")
        guest = self.sector().define(extra_devices=self.interface("ethernet", target="<target dev='gwtaken'/>"))
        self.assertIn("gwtaken", self.virsh.fails("start", guest.name))
        self.assertEqual(guest.state(), "shut off")
        self.assertEqual(self.links(), ["gwtaken"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
