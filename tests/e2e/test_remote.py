#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clients of other hosts: stock virsh over TCP and TLS."""

import contextlib
import os
import shutil
import socket
import ssl
import tempfile
import unittest

import harness
from harness import Virsh, wait_for
from pki import Pki
from terminal import Listener


def free_port():
    """A port of the loopback address that nobody has; the kernel does not give it out again soon."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Remote(harness.DaemonTest):
    autostart = False

    def listen(self, *lines):
        self.port = free_port()
        (self.root / "etc/godwit.conf").write_text("\n".join([f'tcp_port = "{self.port}"', f'tls_port = "{self.port}"',
                                                               'listen_addr = "127.0.0.1"', *lines, ""]))

    def refused(self, message):
        """The daemon does not start, and says why."""
        self.daemon.spawn()
        status = self.daemon.process.wait(30 * harness.SLOW)
        self.daemon.process = None
        self.assertNotEqual(status, 0)
        self.assertIn(message, self.daemon.stderr())


class Tcp(Remote):
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


@unittest.skipUnless(shutil.which("certtool"), "no certtool (gnutls-bin)")
class Tls(Remote):
    @classmethod
    def setUpClass(cls):
        directory = tempfile.mkdtemp(prefix="gw-pki-", dir=os.environ.get("GODWIT_TEST_DIR"))
        cls.addClassCleanup(shutil.rmtree, directory)
        cls.pki = Pki(directory)

    def serve(self, *lines, server="server"):
        self.listen("listen_tls = 1", *self.pki.server_lines(server), *lines)
        self.daemon.start()

    def far(self, client="client", host="127.0.0.1", more=""):
        return Virsh(f"qemu+tls://{host}:{self.port}/system?pkipath={self.pki.client_directory(client)}{more}")

    def is_let_in(self, client):
        """By a client that, unlike virsh, does not look at its own certificate first."""
        directory = self.pki.client_directory(client)
        context = ssl.create_default_context(cafile=directory / "cacert.pem")
        if (directory / "clientcert.pem").exists():
            context.load_cert_chain(directory / "clientcert.pem", directory / "clientkey.pem")
        with contextlib.suppress(ssl.SSLError, ConnectionError), socket.create_connection(("127.0.0.1", self.port)) as s:
            with context.wrap_socket(s, server_hostname="127.0.0.1") as t:
                return t.recv(1) == b"\1"
        return False

    def check_refused(self, client, *why):
        """It gets nowhere, and the daemon has said why."""
        self.assertFalse(self.is_let_in(client))
        for text in why:
            wait_for(lambda: text in self.daemon.stderr(), f"the daemon says {text!r}", 10)

    def test_virsh(self):
        self.serve()
        self.virsh = self.far()
        guest, events = self.sector(), Listener(self)
        guest.define()
        self.virsh("start", guest.name)
        guest.wait_count(2)
        events.lifecycle(guest.name, "Defined Added", "Started Booted")
        # more than one record, both ways
        self.virsh("desc", guest.name, "--config", "x" * 100000)
        self.assertEqual(len(self.virsh("desc", guest.name, "--config")), 100000)
        self.virsh("destroy", guest.name)
        self.assertNotIn("turned away", self.daemon.stderr())

    def test_strangers(self):
        self.serve()
        self.assertTrue(self.is_let_in("client"))
        self.check_refused("stranger", "turned away: TLS: CN=stranger", "The certificate issuer is unknown")
        self.check_refused("expired", "turned away: TLS: CN=expired")
        self.check_refused("nobody", "turned away: TLS: it has no certificate")
        self.check_refused("server", "turned away: TLS: CN=127.0.0.1")
        self.assertEqual(self.far()("list", "--name"), "")

    def test_allowed(self):
        self.serve('tls_allowed_dn_list = ["CN=somebody", "CN=cli*"]  # patterns')
        self.assertEqual(self.far()("list", "--name"), "")
        self.check_refused("other", '"CN=other" is not in tls_allowed_dn_list')

    def test_no_verify(self):
        self.serve("tls_no_verify_certificate = 1")
        self.assertIn("no certificate is asked for", self.daemon.stderr())
        self.assertTrue(self.is_let_in("stranger"))
        self.assertTrue(self.is_let_in("nobody"))

    def test_revoked(self):
        self.serve(f'crl_file = "{self.pki.revoke("other")}"')
        self.assertEqual(self.far()("list", "--name"), "")
        self.check_refused("other", "turned away: TLS: CN=other", "revoked")

    def test_own_certificate(self):
        """One that every client would refuse keeps the daemon from starting, unless that is wanted."""
        for server, why in (("expired", "it has expired"), ("client", "it is not for a TLS server"),
                            ("stranger", "it is not signed by")):
            with self.subTest(server):
                self.listen("listen_tls = 1", *self.pki.server_lines(server))
                self.refused(why)
        self.serve("tls_no_sanity_certificate = 1", server="expired")
        self.daemon.stop()
        self.listen("listen_tls = 1", *self.pki.server_lines("absent"))
        self.refused("absent.cert.pem: No such file or directory")

    def test_slow(self):
        """Whoever connects and says nothing keeps nobody waiting, and is turned away in the end."""
        self.serve()
        with socket.create_connection(("127.0.0.1", self.port)) as s:
            self.assertEqual(self.far()("list", "--name"), "")
            s.settimeout(30 * harness.SLOW)
            self.assertEqual(s.recv(1), b"")
        self.assertIn("turned away: TLS: no handshake in", self.daemon.stderr())

    def test_rubbish(self):
        self.serve()
        with socket.create_connection(("127.0.0.1", self.port)) as s:
            s.sendall(b"GET / HTTP/1.0\r\n\r\n" * 10)
            s.settimeout(30 * harness.SLOW)
            with contextlib.suppress(ConnectionError):
                while s.recv(4096):
                    pass
        wait_for(lambda: "turned away: TLS" in self.daemon.stderr(), "it is turned away")
        self.assertEqual(self.far()("list", "--name"), "")

    def test_many_in_handshake(self):
        """Handshakes count as clients, so that silence costs no more than that."""
        self.serve("max_clients = 4")
        silent = [socket.create_connection(("127.0.0.1", self.port)) for _ in range(5)]
        wait_for(lambda: "no more are let in" in self.daemon.stderr(), "it is full")
        for s in silent:
            s.close()
        wait_for(lambda: self.far().run("list").returncode == 0, "there is room again")


if __name__ == "__main__":
    harness.main()
