# SPDX-License-Identifier: LGPL-2.1-or-later
"""How long nothing was heard of a guest: on its console, and by somebody who talks to it over the network.

    silence.py ADDRESS      what Talk runs: sends a number by TCP and one by UDP to the guest's echo (port 7) every 5 ms

It says "connected" when it is, and then answers each line on its standard input with one of JSON and begins to measure anew.
"""

import contextlib
import json
import os
import select
import socket
import struct
import subprocess
import sys
import threading
import time

PORT = 7
INTERVAL = 0.005


class Watch(threading.Thread):
    """Looks at the console every half millisecond; `longest` is the longest silence while it looked."""

    def __init__(self, console):
        super().__init__(daemon=True)
        self.console, self.going, self.longest = console, True, 0.0
        self.start()

    def run(self):
        size, last = os.stat(self.console).st_size, time.monotonic()
        while self.going:
            time.sleep(0.0005)
            now, new = time.monotonic(), os.stat(self.console).st_size
            if new != size:
                self.longest, size, last = max(self.longest, now - last), new, now

    def end(self):
        time.sleep(0.3)
        self.going = False
        self.join()
        return self.longest


class Talk:
    """A TCP connection to a guest that stays open, and datagrams; `inside` is where from."""

    def __init__(self, inside, address):
        self.process = subprocess.Popen(inside.enter([sys.executable, os.path.abspath(__file__), address]), text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def connect(self):
        said = self.process.stdout.readline()
        if said != "connected\n":
            raise AssertionError(f"no connection to the guest: {said}")
        return self

    def report(self):
        """What was since the last report: {"tcp": s, "udp": s, "tcp_back": n, "udp_back": n, "error": text or None}.

        The first two are the longest silences. Everything sent by TCP must come back, in order; an error is for good.
        """
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def end(self):
        self.process.communicate()


class Line:
    """One of the two ways."""

    def __init__(self, kind, address):
        self.stream, self.socket = kind == socket.SOCK_STREAM, socket.socket(socket.AF_INET, kind)
        self.socket.settimeout(5)
        self.socket.connect((address, PORT))
        if self.stream:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.sent, self.next, self.received, self.error = 0, 0, b"", None
        self.begin()

    def begin(self):
        self.longest, self.heard, self.back = 0.0, time.monotonic(), 0

    def send(self):
        number = struct.pack(">Q", self.sent)
        try:
            if self.socket.send(number) != len(number):
                self.error = "the connection takes no more"
            self.sent += 1
        except OSError as e:
            # A datagram may be refused for a while.
            self.error = str(e) if self.stream else None

    def hear(self):
        try:
            data = self.socket.recv(65536)
        except BlockingIOError:
            return
        except OSError as e:
            self.error = str(e) if self.stream else None
            return
        if not data and self.stream:
            self.error = "the guest closed the connection"
            return
        self.look()
        self.heard = time.monotonic()
        self.back += 1
        if self.stream:
            self.check(data)

    def check(self, data):
        self.received += data
        whole = len(self.received) // 8 * 8
        numbers = [n for n, in struct.iter_unpack(">Q", self.received[:whole])]
        self.received = self.received[whole:]
        if numbers != list(range(self.next, self.next + len(numbers))):
            self.error = f"expected {self.next}, and heard {numbers[:5]}"
        self.next += len(numbers)

    def look(self):
        self.longest = max(self.longest, time.monotonic() - self.heard)


def connected(address):
    """Both lines, when the guest answers."""
    deadline = time.monotonic() + 120
    while True:
        with contextlib.suppress(OSError):
            return Line(socket.SOCK_STREAM, address), Line(socket.SOCK_DGRAM, address)
        if time.monotonic() > deadline:
            sys.exit("silence.py: the guest does not answer")
        time.sleep(0.02)


def main():
    tcp, udp = lines = connected(sys.argv[1])
    print("connected", flush=True)
    due = time.monotonic()
    while True:
        wanted = [sys.stdin, *(line.socket for line in lines if not line.error)]
        ready, _, _ = select.select(wanted, [], [], max(0, due - time.monotonic()))
        for line in lines:
            if line.socket in ready:
                line.hear()
        if time.monotonic() >= due:
            due = max(due + INTERVAL, time.monotonic())
            for line in lines:
                if not line.error:
                    line.send()
        if sys.stdin in ready:
            if not os.read(0, 1):
                return
            for line in lines:
                line.look()
            print(json.dumps({"tcp": tcp.longest, "udp": udp.longest, "tcp_back": tcp.back, "udp_back": udp.back,
                              "error": tcp.error}), flush=True)
            for line in lines:
                line.begin()


if __name__ == "__main__":
    main()
