# SPDX-License-Identifier: LGPL-2.1-or-later
"""Hosts that share leases, all on this machine: each with a sanlock daemon and namespaces of its own.

    host = SanlockHost(root / "a", "hosta", 1).start()
    host.format_lockspace("ls", root / "leases"), host.add_lockspace("ls", root / "leases")
    daemon = harness.Daemon(root, prefix=host.enter())

A path means the same file in all of them. Nothing waits for ever: an answer that does not come fails with
subprocess.TimeoutExpired.
"""

import contextlib
import dataclasses
import hashlib
import os
import pathlib
import re
import signal
import subprocess
import time

import harness
import hosts

PROGRAM = harness.TREE / "tests/reference/start-sanlock"
CACHE = pathlib.Path(os.environ.get("GODWIT_CACHE") or harness.TREE / ".cache") / "sanlock"
MIB = 1 << 20
LOCKSPACE = "__LIBVIRT__DISKS__"
CONFIG = """lock_manager = "sanlock"
auto_disk_leases = 1
disk_lease_dir = "{leases}"
host_id = {number}
io_timeout = 1
hostname = "{name}"
"""


def need_sanlock(test):
    """Skip `test` where no sanlock of our own can run."""
    if not harness.IS_ROOT:
        test.skipTest("hosts with sanlock need root")
    if subprocess.run(["unshare", "--mount", "--net", "--uts", "true"], capture_output=True).returncode != 0:
        test.skipTest("no mount, network and host name namespaces here")


@dataclasses.dataclass
class Lockspace:
    name: str
    host_id: int
    path: str
    offset: int
    flags: str  # "ADD" while it is being joined, "REM" while it is being left


@dataclasses.dataclass
class Resource:
    lockspace: str
    name: str
    path: str
    offset: int
    version: int  # 0 of a shared one
    shared: bool
    pid: int
    flags: str  # "ADD" while it is being taken, "REM" while it is being given back, "ORPHAN"


class Unreadable(ValueError):
    pass


class Status:
    """What a daemon says of itself: its lockspaces by name, its resources, the registered processes by pid."""

    def __init__(self, text):
        self.text, self.lockspaces, self.resources, self.clients = text, {}, [], {}
        for line in text.splitlines():
            kind, _, rest = line.partition(" ")
            if kind == "s":
                name, host_id, path, offset, flags = re.fullmatch(r"([^:]+):(\d+):(.+):(\d+)(?: (.*))?", rest).groups()
                self.lockspaces[name] = Lockspace(name, int(host_id), unescape(path), int(offset), flags or "")
            elif kind == "r":
                match = re.fullmatch(r"([^:]+):([^:]+):(.+?):(\d+):(SH|\d+) p (-?\d+) ?(.*)", rest)
                if not match:
                    raise Unreadable(f"a resource of sanlock's that cannot be read: {line}")
                lockspace, name, path, offset, version, pid, flags = match.groups()
                self.resources.append(Resource(lockspace, name, unescape(path), int(offset),
                                               0 if version == "SH" else int(version), version == "SH", int(pid), flags))
            elif kind == "p" and not rest.startswith("-1"):
                pid, _, name = rest.partition(" ")
                self.clients[int(pid)] = name

    def holders(self, lockspace, name):
        """The pids that have the lease."""
        return sorted(r.pid for r in self.resources if (r.lockspace, r.name, r.flags) == (lockspace, name, ""))


def escape(path):
    return str(path).replace("\\", "\\\\").replace(":", "\\:")


def unescape(path):
    return re.sub(r"\\(.)", r"\1", path)


def threads(pid):
    try:
        return len(os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return 0


class SanlockHost(hosts.Inside):
    """One host. `root` is its own directory; what runs in it carries the test's directory, `test_root`, as all does."""

    def __init__(self, root, name, host_id, options="", test_root=None):
        self.root, self.name, self.host_id = pathlib.Path(root), name, host_id
        self.options, self.test_root = options, test_root or pathlib.Path(root).parent
        self.process = self.daemon = None
        self.said = self.root / "host.stdout"
        self.root.mkdir(parents=True, exist_ok=True)

    # the host

    def _spawn(self, command):
        environment = dict(os.environ, GODWIT_TEST_ROOT=str(self.test_root), SANLOCK_OPTIONS=self.options)
        with open(self.said, "ab") as out:
            return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def _arguments(self):
        return [str(CACHE), str(self.root), self.name]

    def start(self):
        self.said.unlink(missing_ok=True)
        self.heal_storage()
        self.process = self._spawn([str(PROGRAM), *self._arguments()])
        harness.wait_for(self._ready, f"{self.name} is up", 120)
        return self

    def _ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"{self.name} ended with {self.process.returncode}:\n{self.said.read_text()}{self.log()}")
        return f"ready {self.name}" in self.said.read_text()

    def stop(self, timeout=60):
        """Shut the host down in good order: lockspaces are left, leases released, what held them killed."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(timeout * harness.SLOW)
            except subprocess.TimeoutExpired:
                self.crash()
                raise
            self._forget()

    def crash(self):
        """End the host and its daemon as a power failure would; what else runs in it is left to the test's end."""
        if self.process is not None:
            self.kill()
            self.process.kill()
            self.process.wait()
            self._forget()

    def _forget(self):
        if self.daemon is not None:
            self.daemon.wait(10)
        self.process = self.daemon = None

    # its daemon

    def pid(self):
        """Of the sanlock daemon; None when there is none."""
        try:
            pid = int((self.root / "run/sanlock.pid").read_text())
            running = pathlib.Path(f"/proc/{pid}/comm").read_text() == "sanlock\n"
        except (OSError, ValueError):
            return None
        return pid if running and harness.is_alive(pid) else None

    def kill(self):
        """SIGKILL to the daemon."""
        pid = self.pid()
        if pid is not None:
            harness.kill_and_wait(pid, signal.SIGKILL)
            # Dead is its first thread; the last one to end gives up its files, and the lock which the next daemon wants.
            harness.wait_for(lambda: threads(pid) <= 1, f"the threads of {pid} end")

    def restart(self):
        """Kill the daemon if there is one and start the next. It knows nothing of the former's lockspaces."""
        self.kill()
        if self.daemon is not None:
            self.daemon.wait(10)
        self.daemon = self._spawn(self.enter([PROGRAM, "--daemon", *self._arguments()]))
        harness.wait_for(lambda: self.run("sanlock", "client", "status", timeout=10).returncode == 0, f"{self.name} answers again")

    def log(self):
        path = self.root / "sanlock.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def fail_storage(self, hang=False):
        """From now on its transfers fail with EIO, or never end."""
        (self.root / "storage-fails").write_text("hang" if hang else "fail")

    def heal_storage(self):
        with contextlib.suppress(FileNotFoundError):
            (self.root / "storage-fails").unlink()

    # requests to its daemon

    def client(self, *arguments, timeout=60):
        """`sanlock client ARGUMENTS`; what it says. AssertionError when it fails."""
        done = self.run("sanlock", "client", *arguments, timeout=timeout)
        if done.returncode != 0:
            raise AssertionError(f"{self.name}: sanlock client {' '.join(map(str, arguments))}: "
                                 f"status {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def status(self):
        """The daemon writes a lease down while another of its threads may be at work on it: what cannot be read is asked for again."""
        for _ in range(10):
            try:
                return Status(self.client("status", timeout=10))
            except Unreadable as e:
                unread = e
                time.sleep(0.1)
        raise unread

    def host_status(self, lockspace):
        """{host id: seconds of its own clock at its last renewal, 0 of one that has left}, as this daemon saw it."""
        lines = self.client("host_status", "-s", lockspace, timeout=10)
        return {int(i): int(t) for i, t in re.findall(r"^(\d+) timestamp (\d+)$", lines, re.M)}

    def format_lockspace(self, name, path, offset=0, io_timeout=1):
        """Write an empty lockspace, 1 MiB, into the file, which is made. The io timeout, in seconds, is kept in it."""
        with open(path, "ab") as f:
            f.truncate(max(f.tell(), offset + MIB))
        self.client("init", "-s", f"{name}:0:{escape(path)}:{offset}", "-o", io_timeout, "-Z", "512", "-A", "1M")

    def format_resource(self, lockspace, name, path, offset):
        """Write a free lease, 1 MiB, into the file, which is made. Offsets are multiples of 1 MiB."""
        with open(path, "ab") as f:
            f.truncate(max(f.tell(), offset + MIB))
        self.client("init", "-r", f"{lockspace}:{name}:{escape(path)}:{offset}", "-Z", "512", "-A", "1M")

    def add_lockspace(self, name, path, offset=0, io_timeout=1, timeout=300):
        self.client("add_lockspace", "-s", f"{name}:{self.host_id}:{escape(path)}:{offset}", "-o", io_timeout, timeout=timeout)

    def rem_lockspace(self, name, timeout=60):
        """Leave it; what holds leases of it is killed. Returns when it is left."""
        space = self.status().lockspaces[name]
        self.client("rem_lockspace", "-s", f"{name}:{space.host_id}:{escape(space.path)}:{space.offset}", timeout=timeout)

    def hold(self, lockspace, name, path, offset, *argv):
        """A process that runs `argv` once it has the lease; it ends with an error when the lease is held."""
        resource = f"{lockspace}:{name}:{escape(path)}:{offset}"
        return self._spawn(self.enter(["sanlock", "client", "command", "-r", resource, "-c", *(argv or ("/bin/sleep", "1000"))]))


class SanlockTest(harness.DaemonTest):
    """self.daemon runs on host h1 (self.here); self.other on host h2 (self.there), started by the tests that need it."""

    autostart = False

    def setUp(self):
        need_sanlock(self)
        super().setUp()
        self.leases = self.root / "leases"
        self.leases.mkdir()
        self.here = SanlockHost(self.root / "a", "h1", 1, options="-g 5", test_root=self.root)
        self.there = SanlockHost(self.root / "b", "h2", 2, options="-g 5", test_root=self.root)
        self.addCleanup(self.end_hosts)
        self.here.start()
        self.start_daemon(self.daemon, self.here)

    def end_hosts(self):
        self.daemon.kill()
        for host in (self.here, self.there):
            host.crash()

    def start_daemon(self, daemon, host, **environment):
        (daemon.root / "etc/godwit.conf").write_text(CONFIG.format(leases=self.leases, number=host.host_id, name=host.name))
        daemon.prefix = host.enter()
        daemon.start(**environment)

    def second(self):
        """The other host, its daemon, and a virsh for it."""
        self.there.start()
        self.other = harness.Daemon(self.root / "h2", test_root=self.root)
        self.addCleanup(self.other.kill)
        self.start_daemon(self.other, self.there)
        self.other_virsh = harness.Virsh(self.other.uri())

    def both(self, guest, **options):
        guest.define(**options)
        self.other_virsh("define", self.root / f"{guest.name}.xml")
        return guest

    def qemu(self):
        pids = harness.qemus_of(self.root)
        self.assertEqual(len(pids), 1)
        return pids[0]

    def resource(self, guest):
        return hashlib.md5(str(guest.disk).encode()).hexdigest()

    def holders(self, host, guest):
        return host.status().holders(LOCKSPACE, self.resource(guest))

    def guest_that(self, action):
        """A running guest whose <on_lockfailure> is `action`."""
        guest = self.sector(f"on-{action or 'default'}")
        guest.define(extra=f"<on_lockfailure>{action}</on_lockfailure>" if action else "")
        self.virsh("start", guest.name)
        guest.wait_count(5)
        return guest
