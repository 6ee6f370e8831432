#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The hosts that migration's tests stand on behave as hosts do."""

import os
import subprocess
import sys
import time
import unittest

import harness
import hosts
import silence


class Hosts(hosts.HostsTest):
    def greets(self, inside, target):
        """The process that asked for a greeting there."""
        script = "import socket, sys; s = socket.create_connection((sys.argv[1], 4711), 1); print(s.recv(100).decode())"
        return inside.run(sys.executable, "-c", script, target)

    def test_apart_and_joined(self):
        for namespace in ("mnt", "net", "uts"):
            seen = {os.readlink(f"/proc/{pid}/ns/{namespace}")
                    for pid in ("self", self.here.daemon.process.pid, self.there.daemon.process.pid)}
            self.assertEqual(len(seen), 3, namespace)
        for host, other in ((self.here, self.there), (self.there, self.here)):
            self.assertEqual(host.virsh("hostname"), host.name)
            self.assertEqual(host.run("uname", "-n").stdout.strip(), host.name)
            self.assertEqual(host.run("getent", "hosts", other.name).stdout.split(), [other.address, other.name])
            self.assertEqual(host.links(), sorted(["lo", "uplink", hosts.BRIDGE]))
            # its own, and a shared one
            (host.local / "mine").write_text(host.name)
            self.assertEqual(host.run("cat", self.network.local / "mine").stdout, host.name)
            self.assertEqual(host.run("cat", self.network.names).stdout, self.network.names.read_text())
        self.assertNotEqual(self.here.virsh("capabilities"), self.there.virsh("capabilities"))

    def test_cut(self):
        listener = ("import socket; s = socket.create_server(('', 4711)); print('on', flush=True)\n"
                    "while True: s.accept()[0].sendall(b'hello')")
        server = subprocess.Popen(self.there.enter([sys.executable, "-c", listener]), stdout=subprocess.PIPE)
        self.addCleanup(lambda: (server.kill(), server.communicate()))
        self.assertEqual(server.stdout.readline(), b"on\n")
        first = self.greets(self.here, "beta")
        self.assertEqual(first.stdout, "hello\n", first.stderr)
        self.there.cut()
        self.assertNotEqual(self.greets(self.here, "beta").returncode, 0)
        self.there.mend()
        harness.wait_for(lambda: self.greets(self.here, "beta").stdout == "hello\n", "the network is back")

    def test_guest(self):
        """On either host the client has its connection, and notices when the guest stands still."""
        guest = self.linux(arguments="gw.mem=4").define()
        self.there.virsh("define", self.root / "guest.xml")
        for host in (self.here, self.there):
            guest.at(host).virsh("start", guest.name)
            self.assertEqual(len(host.qemus()), 1)
            self.assertEqual(len(harness.qemus_of(self.root)), 1)
            self.assertEqual(len(host.taps()), 1)
            guest.wait_count()
            talk = silence.Talk(self.client(), hosts.GUEST_ADDRESS).connect()
            guest.wait_count(guest.last() + 50)
            before = talk.report()
            self.assertIsNone(before["error"])
            self.assertGreater(min(before["tcp_back"], before["udp_back"]), 10)
            guest.virsh("suspend", guest.name)
            still = time.monotonic()
            harness.wait_for(lambda: time.monotonic() - still > 0.4, "a while passes")
            guest.virsh("resume", guest.name)
            guest.wait_count(guest.last() + 50)
            after = talk.report()
            self.assertIsNone(after["error"])
            self.assertGreater(min(after["tcp"], after["udp"]), 0.4)
            guest.check()
            guest.virsh("destroy", guest.name)
            self.assertEqual(host.taps(), [])
            talk.end()

    def client(self):
        self.only = getattr(self, "only", None) or self.network.client()
        return self.only


if __name__ == "__main__":
    unittest.main(verbosity=2)
