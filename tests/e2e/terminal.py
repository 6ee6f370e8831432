# SPDX-License-Identifier: LGPL-2.1-or-later
"""Programs on a terminal, which write what they have when they have it; among them virsh, telling events."""

import contextlib
import os
import pty
import re
import select
import time

import harness


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, command):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvp(command[0], command)
        self.seen = b""

    def send(self, data):
        os.write(self.fd, data)

    def read(self, seconds):
        """Take what it writes within this time, if anything."""
        if select.select([self.fd], [], [], seconds)[0]:
            self.seen += os.read(self.fd, 65536)

    def expect(self, pattern, timeout=30, start=0):
        """Read until `pattern` has come, after the first `start` bytes; the match."""
        deadline = time.monotonic() + timeout * harness.SLOW
        while not (match := re.compile(pattern).search(self.seen, start)):
            if time.monotonic() > deadline:
                raise AssertionError(f"no {pattern!r} in {self.seen[start:][-500:]!r}")
            try:
                self.read(0.2)
            except OSError as error:
                raise AssertionError(f"it ended before {pattern!r}: {self.seen[-500:]!r}") from error
        return match

    def finish(self):
        """Read until it ends; its exit status."""
        while True:
            try:
                if not os.read(self.fd, 65536):
                    break
            except OSError:
                break
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.fd)
        self.fd = -1
        return status

    def end(self):
        """End it whatever it is doing, unless it has ended."""
        if self.fd < 0:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, 9)
        self.finish()


class Listener(Terminal):
    """`virsh event --all` of a test's daemon, registered when this returns."""

    PROBE = """<domain type='qemu'><name>listener-{0}</name><memory>1024</memory>
        <os><type arch='x86_64' machine='pc'>hvm</type></os><devices><emulator>{1}</emulator></devices></domain>"""

    def __init__(self, test):
        super().__init__(test.virsh.command("event", "--loop", "--all"))
        test.addCleanup(self.end)
        self.position = 0
        path, number = test.root / "listener.xml", 0
        # Registered when an event comes through: define domains until one does.
        while b"Defined" not in self.seen:
            if number == 100:
                raise AssertionError(f"it hears nothing: {self.seen!r}")
            number += 1
            path.write_text(self.PROBE.format(number, harness.QEMU))
            test.virsh("define", path)
            test.virsh("undefine", f"listener-{number}")
            self.read(0.1)

    def event(self, kind, name, text=""):
        """Wait for an event of this kind behind the last one waited for; `text` is a pattern for the rest of its line."""
        match = self.expect(rf"event '{kind}' for domain '{name}'(?:: )?{text}\r?\n".encode(), start=self.position)
        self.position = match.end()

    def lifecycle(self, name, *words):
        for word in words:
            self.event("lifecycle", name, word)
