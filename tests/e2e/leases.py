# SPDX-License-Identifier: LGPL-2.1-or-later
"""Leases of lockd as the kernel sees them, and a lock of our own to be in the way."""

import contextlib
import fcntl
import os
import re
import struct

import rpc

RACES = 20 if os.environ.get("GODWIT_SANITIZED") else 200
CREATE, DESTROY = 9, 12
RESOURCE_BUSY = 87  # libvirt/virterror.h

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


def race(test, daemons, name, check_won, check_ended):
    """Both daemons start the VM at the same time, again and again, now this one asked first, now that: exactly one does.

    check_won and check_ended get the index of the winner: when it runs, and when it has been destroyed.
    """
    hosts = [rpc.Connection(d.socket, 120).open() for d in daemons]
    for host in hosts:
        test.addCleanup(host.close)
    handles = [host.lookup(name) for host in hosts]
    for i in range(RACES):
        for k in (0, 1) if i % 2 else (1, 0):
            hosts[k].post(CREATE, handles[k])
        replies = [host.receive() for host in hosts]
        won = [k for k, reply in enumerate(replies) if reply.status == rpc.OK]
        test.assertEqual(len(won), 1, f"race {i}: {[r.error for r in replies if r.status != rpc.OK]}")
        code, said = replies[1 - won[0]].error
        test.assertEqual(code, RESOURCE_BUSY, said)
        check_won(won[0])
        test.assertEqual(hosts[won[0]].call(DESTROY, handles[won[0]]).status, rpc.OK)
        check_ended(won[0])
