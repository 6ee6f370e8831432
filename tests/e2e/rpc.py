# SPDX-License-Identifier: LGPL-2.1-or-later
"""The remote protocol by hand: for saying what stock clients never say, and for measuring without their start-up."""

import socket
import struct

PROGRAM, VERSION = 0x20008086, 1
KEEPALIVE = 0x6B656570
CALL, REPLY, MESSAGE, STREAM = 0, 1, 2, 3
OK, ERROR, CONTINUE = 0, 1, 2

# procedures
OPEN, CLOSE, GET_TYPE, LIST_DEFINED, LOOKUP_BY_NAME, DEFINE_XML = 1, 2, 3, 21, 23, 11
SET_JOB_SPEED, GET_URI, AUTH_LIST, SUPPORTS_FEATURE, GET_STATE, LIST_ALL_DOMAINS = 239, 110, 66, 60, 212, 273


def string(text):
    data = text.encode() if isinstance(text, str) else text
    return struct.pack(">I", len(data)) + data + bytes(-len(data) % 4)


def optional(text):
    return struct.pack(">I", 0) if text is None else struct.pack(">I", 1) + string(text)


def frame(procedure, payload=b"", serial=0, kind=CALL, status=OK, program=PROGRAM, version=VERSION):
    body = struct.pack(">IIiiIi", program, version, procedure, kind, serial, status) + payload
    return struct.pack(">I", len(body) + 4) + body


class Reply:
    def __init__(self, body):
        (self.program, self.version, self.procedure, self.kind, self.serial,
         self.status) = struct.unpack(">IIiiIi", body[:24])
        self.payload = body[24:]

    @property
    def error(self):
        """(code, message) of an error reply."""
        code, _, present = struct.unpack(">iiI", self.payload[:12])
        if not present:
            return code, ""
        length, = struct.unpack(">I", self.payload[12:16])
        return code, self.payload[16:16 + length].decode()


class Closed(Exception):
    """The daemon closed the connection."""


class Connection:
    def __init__(self, path, timeout=30):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        self.socket.connect(str(path))
        self.serial = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed from error

    def read(self, count):
        data = b""
        while len(data) < count:
            try:
                piece = self.socket.recv(count - len(data))
            except ConnectionResetError as error:
                raise Closed from error
            if not piece:
                raise Closed
            data += piece
        return data

    def receive(self):
        """The next frame that is not a keep-alive or an event."""
        while True:
            length, = struct.unpack(">I", self.read(4))
            reply = Reply(self.read(length - 4))
            if reply.program != KEEPALIVE and reply.kind != MESSAGE:
                return reply

    def post(self, procedure, payload=b"", **options):
        """Send a call without waiting; its serial."""
        self.serial += 1
        self.send(frame(procedure, payload, serial=self.serial, **options))
        return self.serial

    def call(self, procedure, payload=b"", **options):
        serial = self.post(procedure, payload, **options)
        while True:
            reply = self.receive()
            if reply.serial == serial:
                return reply

    def open(self, name="qemu:///system", flags=0):
        self.call(AUTH_LIST)
        reply = self.call(OPEN, optional(name) + struct.pack(">I", flags))
        if reply.status != OK:
            raise AssertionError(f"open: {reply.error}")
        return self

    def lookup(self, name):
        """The domain's handle, encoded."""
        reply = self.call(LOOKUP_BY_NAME, string(name))
        if reply.status != OK:
            raise AssertionError(f"lookup: {reply.error}")
        return reply.payload

    def state(self, handle):
        reply = self.call(GET_STATE, handle + struct.pack(">I", 0))
        if reply.status != OK:
            raise AssertionError(f"state: {reply.error}")
        return struct.unpack(">ii", reply.payload)
