# SPDX-License-Identifier: LGPL-2.1-or-later
"""godwit-io without a daemon: the protocol of src/state/io-protocol.h spoken from Python, and a bare QEMU at its other end.

Used by test_image_qemu.py and bench/save-throughput.
"""

import array
import json
import os
import socket
import struct
import subprocess
import time

START, PROGRESS, STREAMED, COMMIT, DONE, FAILED = range(1, 7)
MEMORY_BEGUN = 15
SAVE, LOAD, VERIFY = range(3)
FORMATS = {"raw": 0, "zstd": 5, "sparse": 6}
STREAM_BUFFER = 512 << 10
SO_SNDBUFFORCE = 32
# Codes of src/base/error.h that tests look at.
ERROR_SYSTEM, ERROR_DAMAGED = 2, 20


class Failed(Exception):
    """What FAILED says."""

    def __init__(self, code, errnum, message):
        super().__init__(message)
        self.code, self.errnum = code, errnum


def stream_pair():
    """A socket pair with buffers as in transfer.c: one end for QEMU, the other for godwit-io."""
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    for end in pair:
        try:
            end.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, STREAM_BUFFER)
        except PermissionError:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, STREAM_BUFFER)
    return pair


class Transfer:
    """One run of godwit-io."""

    def __init__(self, program, kind, path, stream=None, image_format="raw", xml="", cookie="", running=False,
                 direct=True, threads=2):
        self.progress = (0, 0, 0)
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.settimeout(300)
        self.process = subprocess.Popen([str(program), str(path)], stdin=theirs)
        theirs.close()
        text = b"\0".join(s.encode() for s in (str(path), xml, cookie)) + b"\0"
        memfd = os.memfd_create("text")
        os.write(memfd, text)
        image = os.open(path, os.O_RDWR | os.O_CREAT if kind == SAVE else os.O_RDONLY, 0o600)
        fds = [image, memfd] + ([stream.fileno()] if stream else [])
        packet = struct.pack("<BBBBIQ", START, kind, FORMATS[image_format], direct | running << 1, threads, len(text))
        self.control.sendmsg([packet], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])
        os.close(image)
        os.close(memfd)
        if stream:
            stream.close()

    def wait(self, wanted):
        """Messages until `wanted`; raises what FAILED says."""
        while True:
            packet = self.control.recv(4096)
            if not packet:
                raise Failed(0, 0, f"godwit-io ended with status {self.process.wait()}")
            if packet[0] == PROGRESS:
                self.progress = struct.unpack("<QQQ", packet[8:])
            elif packet[0] == FAILED:
                code, errnum = struct.unpack("<Ii", packet[4:12])
                self.process.wait()
                raise Failed(code, errnum, packet[12:].decode())
            elif packet[0] == wanted:
                if wanted == DONE:
                    self.process.wait()
                return
            elif packet[0] != MEMORY_BEGUN:
                raise AssertionError(f"message {packet[0]} instead of {wanted}")

    def commit(self):
        self.control.send(struct.pack("<B7xQ", COMMIT, 0))
        self.wait(DONE)

    def close(self):
        self.control.close()
        self.process.wait()


class Qemu:
    """A QEMU without a guest system: stopped, with memory of known contents."""

    def __init__(self, directory, memory=None, size_mib=64, incoming=False, program="qemu-system-x86_64"):
        path = os.path.join(directory, f"qmp-{id(self)}")
        argv = [program, "-nodefaults", "-no-user-config", "-S", "-display", "none", "-accel", "tcg", "-rtc", "clock=vm",
                "-m", str(size_mib),
                "-qmp", f"unix:{path},server=on,wait=off"]
        if memory:
            argv += ["-M", "q35,memory-backend=pc.ram", "-object",
                     f"memory-backend-file,id=pc.ram,mem-path={memory},share=off,size={size_mib}M"]
        else:
            argv += ["-M", "q35"]
        if incoming:
            argv += ["-incoming", "defer"]
        self.process = subprocess.Popen(argv)
        deadline = time.monotonic() + 120
        while True:
            self.socket = socket.socket(socket.AF_UNIX)
            try:
                self.socket.connect(path)
                break
            except OSError:
                self.socket.close()
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        self.file = self.socket.makefile("r")
        self.file.readline()
        self.command("qmp_capabilities")

    def command(self, name, fds=(), **arguments):
        data = json.dumps({"execute": name, "arguments": arguments}).encode()
        self.socket.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])
        while True:
            reply = json.loads(self.file.readline())
            if "error" in reply:
                raise RuntimeError(f"{name}: {reply['error']['desc']}")
            if "return" in reply:
                return reply["return"]

    def capabilities(self, *names):
        self.command("migrate-set-capabilities", capabilities=[{"capability": n, "state": True} for n in names])

    def use_stream(self, command, stream):
        """`migrate` or `migrate-incoming` on a descriptor, which is closed here."""
        if command == "migrate":
            self.command("migrate-set-parameters", **{"max-bandwidth": 1 << 60})
        self.command("getfd", fds=[stream.fileno()], fdname="stream")
        stream.close()
        self.command(command, uri="fd:stream")

    def migrated(self):
        """Waits for the end of a migration; its last word."""
        while True:
            info = self.command("query-migrate")
            if info.get("status") in ("completed", "failed", "cancelled"):
                return info
            time.sleep(0.002)

    def memory(self, directory, size_mib=64):
        path = os.path.join(directory, f"memory-{id(self)}")
        self.command("pmemsave", val=0, size=size_mib << 20, filename=path)
        with open(path, "rb") as f:
            data = f.read()
        os.unlink(path)
        return data

    def close(self):
        self.process.kill()
        self.process.wait()
        self.socket.close()
        self.file.close()
