#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clients of other hosts: stock virsh over TCP."""

import socket

import harness
from harness import Virsh
from terminal import Listener


def free_port():
    """A port of the loopback address that nobody has; the kernel does not give it out again soon."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Tcp(harness.DaemonTest):
    autostart = False

    def listen(self, *lines):
        self.port = free_port()
        (self.root / "etc/godwit.conf").write_text("\n".join([f'tcp_port = "{self.port}"', 'listen_addr = "127.0.0.1"', *lines, ""]))

    def refused(self, message):
        """The daemon does not start, and says why."""
        self.daemon.spawn()
        status = self.daemon.process.wait(30 * harness.SLOW)
        self.daemon.process = None
        self.assertNotEqual(status, 0)
        self.assertIn(message, self.daemon.stderr())

    def test_virsh(self):
        self.listen("listen_tcp = 1", 'auth_tcp = "none"')
        self.daemon.start()
        self.assertIn(f"TCP port {self.port}: unencrypted", self.daemon.stderr())
        self.virsh = Virsh(f"qemu+tcp://127.0.0.1:{self.port}/system")
        guest, events = self.sector(), Listener(self)
        guest.define()
        self.assertEqual(self.virsh("list", "--all", "--name"), guest.name)
        self.virsh("start", guest.name)
        guest.wait_count(2)
        events.lifecycle(guest.name, "Defined Added", "Started Booted")
        self.assertEqual(Virsh(self.daemon.uri())("domstate", guest.name), "running")
        self.virsh("destroy", guest.name)
        events.lifecycle(guest.name, "Stopped Destroyed")

    def test_not_asked_for(self):
        self.listen()
        self.daemon.start()
        said = Virsh(f"qemu+tcp://127.0.0.1:{self.port}/system").fails("list")
        self.assertIn("Connection refused", said)

    def test_only_without_login(self):
        self.listen("listen_tcp = 1")
        self.refused('it needs auth_tcp = "none" beside it')
        self.listen("listen_tcp = 1", 'auth_tcp = "sasl"')
        self.refused('auth_tcp = "sasl" is not supported')

    def test_port_taken(self):
        self.listen("listen_tcp = 1", 'auth_tcp = "none"')
        with socket.socket() as s:
            s.bind(("127.0.0.1", self.port))
            s.listen()
            self.refused("Address already in use")


if __name__ == "__main__":
    harness.main()
