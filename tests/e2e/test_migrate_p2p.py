#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Migration that the source's daemon carries out by itself, as a client of the destination's."""

import contextlib
import os
import shutil
import socket
import struct
import tempfile
import threading
import unittest

import harness
import daemons
from pki import Pki


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class PeerTest(daemons.MigrateTest):
    def running(self, **options):
        guest = self.sector(**options).define()
        self.virsh("start", guest.name)
        guest.wait_count(10)
        return guest

    def p2p(self, guest, *flags, uri=None):
        return self.here.virsh("migrate", "--p2p", "--unsafe", guest.name, uri or self.there.uri(), *flags)

    def refused(self, guest, *flags, uri=None):
        return self.here.virsh.fails("migrate", "--p2p", "--unsafe", guest.name, uri or self.there.uri(), *flags)

    def stays(self, guest):
        """As if nothing had been asked."""
        self.assertEqual(self.here.virsh("domstate", guest.name), "running")
        guest.wait_count(guest.last())
        self.assertEqual(self.there.qemus(), [])
        self.assertEqual(self.there.left(), [])


class Peer(PeerTest):
    def test_live(self):
        guest = self.running()
        self.p2p(guest, "--live")
        self.goes_on(self.there, guest)
        self.assert_gone(self.here, guest, defined=True)

    def test_persistent_and_undefined(self):
        guest = self.running()
        self.p2p(guest, "--live", "--persistent", "--undefinesource", "--dname", "other")
        self.assertEqual(self.there.names("--persistent", "--all"), ["other"])
        self.assertEqual(self.here.names("--all"), [])
        self.assertEqual(self.there.virsh("domstate", "other"), "running")

    def test_paused(self):
        guest = self.running()
        self.virsh("suspend", guest.name)
        still = guest.wait_still()
        self.p2p(guest, "--live")
        self.assertEqual(self.there.virsh("domstate", guest.name), "paused")
        self.assertEqual(guest.wait_still(), still)

    def test_offline(self):
        guest = self.sector().define()
        self.p2p(guest, "--offline", "--persistent", "--undefinesource")
        self.assertEqual(self.there.names("--all"), [guest.name])
        self.assertEqual(self.here.names("--all"), [])

    def test_tunnelled(self):
        guest = self.running()
        self.p2p(guest, "--live", "--tunnelled")
        self.goes_on(self.there, guest)
        self.assert_gone(self.here, guest, defined=True)

    def test_refused_there(self):
        """What the destination says arrives, as its own words."""
        guest = self.running()
        path = self.root / "taken.xml"
        path.write_text(guest.xml().replace(guest.uuid, "7d3b5d5c-6c6f-4a45-b7c4-2f5a3e1d0c9b"))
        self.there.virsh("define", path)
        self.assertIn("already exists with uuid 7d3b5d5c", self.refused(guest, "--live"))
        self.stays(guest)

    def test_not_there(self):
        guest = self.running()
        self.there.daemon.stop()
        self.assertIn("connect: No such file or directory", self.refused(guest, "--live"))
        self.assertIn("URI 'xen+tcp://h/system'", self.refused(guest, "--live", uri="xen+tcp://h/system"))
        self.there.daemon.start()
        self.stays(guest)

    def test_itself(self):
        guest = self.running()
        self.assertRegex(self.refused(guest, "--live", uri=self.here.uri()), "is already active|to the same host")
        self.stays(guest)


class Network(PeerTest):
    """Over what daemons of different hosts have between them."""

    def listen(self, *lines):
        self.port = free_port()
        self.there.configure("\n".join(['listen_addr = "127.0.0.1"', f'tcp_port = "{self.port}"', f'tls_port = "{self.port}"', *lines, ""]))
        self.there.daemon.restart()

    def test_tcp(self):
        self.listen("listen_tcp = 1", 'auth_tcp = "none"')
        guest = self.running()
        self.p2p(guest, "--live", "--tunnelled", uri=f"qemu+tcp://127.0.0.1:{self.port}/system")
        self.goes_on(self.there, guest)

    @unittest.skipUnless(shutil.which("certtool"), "no certtool (gnutls-bin)")
    def test_tls(self):
        with contextlib.ExitStack() as stack:
            pki = Pki(stack.enter_context(tempfile.TemporaryDirectory(prefix="gw-pki-", dir=os.environ.get("GODWIT_TEST_DIR"))))
            self.listen("listen_tls = 1", *pki.server_lines("server"))
            guest = self.running()
            uri = f"qemu+tls://127.0.0.1:{self.port}/system?pkipath="
            self.assertIn("it says \"Certificate is bad\"", self.refused(guest, "--live", uri=f"{uri}{pki.client_directory('nobody')}"))
            self.stays(guest)
            self.p2p(guest, "--live", "--tunnelled", uri=f"{uri}{pki.client_directory('client')}")
            self.goes_on(self.there, guest)


NC = """#!/usr/bin/env python3
import os, select, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[-1])
while True:
    for ready in select.select([0, s], [], [])[0]:
        data = os.read(0, 65536) if ready == 0 else s.recv(65536)
        if not data:
            sys.exit()
        s.sendall(data) if ready == 0 else os.write(1, data)
"""


class Ssh(PeerTest):
    """By an ssh that runs here what it should run there."""

    def setUp(self):
        super().setUp()
        self.bin = self.root / "bin"
        self.bin.mkdir()
        self.program("nc", NC)
        self.program("virt-ssh-helper", f'#!/bin/sh\necho "$@" >{self.root}/helped\nexec nc {self.there.daemon.socket}\n')
        self.ssh = self.program("ssh", f'#!/bin/sh\necho "$@" >{self.root}/asked\nfor last; do :; done\n'
                                f'PATH={self.bin}:$PATH exec sh -c "$last"\n')

    def program(self, name, text):
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def asked(self):
        return (self.root / "asked").read_text()

    def test_socket(self):
        guest = self.running()
        self.p2p(guest, "--live", "--tunnelled",
                 uri=f"qemu+ssh://me@far:2222/system?socket={self.there.daemon.socket}&command={self.ssh}&keyfile=/k&no_verify=1")
        self.assertRegex(self.asked(), "-T -e none -o BatchMode=yes -o StrictHostKeyChecking=no -p 2222 -l me -i /k -- far sh -c")
        self.goes_on(self.there, guest)
        harness.wait_for(lambda: not any(str(self.bin) in c for c in harness.processes_of(self.root).values()), "nothing of ssh is left")

    def test_helper(self):
        guest = self.running()
        self.p2p(guest, "--live", uri=f"qemu+ssh://far/system?command={self.ssh}")
        self.assertEqual((self.root / "helped").read_text(), "qemu:///system\n")
        self.goes_on(self.there, guest)

    def test_refused(self):
        self.program("ssh", '#!/bin/sh\necho "me@far: Permission denied (publickey)." >&2\nexit 255\n')
        guest = self.running()
        self.assertIn("far: ssh: me@far: Permission denied (publickey).",
                      self.refused(guest, "--live", uri=f"qemu+ssh://me@far/system?command={self.ssh}"))
        self.assertIn("/nowhere/ssh", self.refused(guest, "--live", uri="qemu+ssh://far/system?command=/nowhere/ssh"))
        self.stays(guest)


# Procedures of libvirt's protocol.
OPEN, FEATURE, PREPARE, PREPARE_TUNNEL, FINISH = 1, 60, 303, 304, 306


class Cutter:
    """A socket before a daemon's, that ends both sides when a call, or the reply to it, comes by; neither gets it."""

    def __init__(self, path, target, procedure, kind):
        self.target, self.wanted = str(target), (procedure, kind)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self.cut = threading.Event()
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self.target)
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=self.forward, args=ends, daemon=True).start()

    def forward(self, source, target):
        with contextlib.suppress(OSError):
            while True:
                head = self.read(source, 28)
                length, _, _, procedure, kind = struct.unpack(">5I", head[:20])
                rest = self.read(source, length - 28)
                if (procedure, kind) == self.wanted:
                    self.cut.set()
                    break
                target.sendall(head + rest)
        for s in (source, target):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def read(source, length):
        data = source.recv(length, socket.MSG_WAITALL) if length else b""
        if len(data) != length:
            raise OSError("it ended")
        return data


class Lost(PeerTest):
    """The connection between the daemons breaks at a call or at the reply to it."""

    CALL, REPLY, STREAM = 0, 1, 3

    def lose(self, procedure, kind, *flags):
        guest = self.running()
        path = self.root / "cut"
        cutter = Cutter(path, self.there.daemon.socket, procedure, kind)
        self.addCleanup(cutter.listener.close)
        said = self.refused(guest, "--live", *flags, uri=f"qemu+unix:///system?socket={path}")
        self.assertTrue(cutter.cut.is_set())
        self.assertRegex(said, f"{path}: (closed the connection|send: Broken pipe|receive: Connection reset)")
        return guest

    def stays_whenever(self, guest):
        harness.wait_for(lambda: self.there.left() == [] and not self.there.qemus(), "nothing is left there")
        self.assertEqual(self.here.virsh("domstate", guest.name), "running")
        guest.wait_count(guest.last())
        harness.wait_for(lambda: "None" in self.here.virsh("domjobinfo", guest.name), "there is no job any more")

    def test_open(self):
        for kind in (self.CALL, self.REPLY):
            with self.subTest(kind):
                self.stays_whenever(self.lose(OPEN, kind))
                self.reset()

    def test_feature(self):
        self.stays_whenever(self.lose(FEATURE, self.CALL))

    def test_prepare(self):
        for kind in (self.CALL, self.REPLY):
            with self.subTest(kind):
                self.stays_whenever(self.lose(PREPARE, kind))
                self.reset()

    def test_tunnel(self):
        self.stays_whenever(self.lose(PREPARE_TUNNEL, self.STREAM, "--tunnelled"))

    def test_finish(self):
        """Whichever side has the guest then: one has, and says so."""
        for kind in (self.CALL, self.REPLY):
            with self.subTest(kind):
                guest = self.lose(FINISH, kind)
                harness.wait_for(lambda: len(self.here.qemus()) + len(self.there.qemus()) == 1, "one QEMU is left")
                host = self.here if self.here.qemus() else self.there
                harness.wait_for(lambda: host.virsh("domstate", guest.name) == "running", "and runs the guest")
                self.goes_on(host, guest)
                self.reset()

    def reset(self):
        """For another guest of the same name."""
        (self.root / "cut").unlink()
        for host in (self.here, self.there):
            for name in host.names():
                host.virsh("destroy", name)
            for name in host.names("--all"):
                host.virsh("undefine", name)
        (self.root / "sector.console").unlink()


if __name__ == "__main__":
    harness.main()
