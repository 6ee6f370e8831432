# SPDX-License-Identifier: LGPL-2.1-or-later
"""Leases of lockd as the kernel sees them, and a lock of our own to be in the way."""

import contextlib
import fcntl
import os
import re
import struct

LOCK = re.compile(r"^lock:\s+\d+: (\w+)\s+ADVISORY\s+(\w+) \S+ \S+ (\d+) (\d+)$", re.M)


def holders(path, byte=0):
    """The pids of all processes with an open-file-description lock on this byte of the file, sorted."""
    wanted, found = os.stat(path), set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            for fd in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    st = os.stat(f"/proc/{pid}/fd/{fd}")
                    if (st.st_dev, st.st_ino) != (wanted.st_dev, wanted.st_ino):
                        continue
                    with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii") as f:
                        locks = LOCK.findall(f.read())
                    if any(kind == "OFDLCK" and int(first) == int(last) == byte for kind, _, first, last in locks):
                        found.add(int(pid))
    return sorted(found)


def lock(file, kind=fcntl.F_WRLCK, command=fcntl.F_OFD_SETLK):
    """Lock byte 0 of an open file; OSError when somebody else has."""
    fcntl.fcntl(file, command, struct.pack("hhqqi4x", kind, os.SEEK_SET, 0, 1, 0))


def is_free(path):
    with open(path, "r+b") as file:
        try:
            lock(file)
        except OSError:
            return False
        return True
