# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the end-to-end tests stand on: a godwitd of their own, stock virsh, and the test guests.

Every test has its own directory for everything, and everything started carries that directory in its environment
(GODWIT_TEST_ROOT), so that what a failed test left running is found and ended, and nothing else. No test waits for a
time to pass: wait_for() waits for a condition and fails with a name when it does not come true.

With GODWIT_TEST_AGAINST=libvirt the tests run against a private libvirtd instead: so the tests themselves are tested, as far
as the two have the same files.

Environment: GODWIT_BUILD (default build/ in the tree), GODWIT_QEMU, GODWIT_VIRSH, GODWIT_TEST_DIR (where
the directories are made), GODWIT_TEST_KEEP=1 (do not remove them), GODWIT_TEST_SLOW=N (deadlines times N).
"""

import contextlib
import importlib.machinery
import importlib.util
import os
import pathlib
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import unittest
import uuid

TREE = pathlib.Path(__file__).resolve().parent.parent.parent
BIOS = pathlib.Path("/usr/share/seabios/bios-256k.bin")
BUILD = pathlib.Path(os.environ.get("GODWIT_BUILD") or TREE / "build").absolute()
GODWITD = BUILD / "godwitd"
QEMU = os.environ.get("GODWIT_QEMU") or "/usr/bin/qemu-system-x86_64"
VIRSH = os.environ.get("GODWIT_VIRSH") or "virsh"
SLOW = float(os.environ.get("GODWIT_TEST_SLOW") or 1)
IS_ROOT = os.geteuid() == 0
# What a daemon's memory may grow by, in KiB; the sanitizers keep what was freed.
MEMORY_SLACK = (1024 if os.environ.get("GODWIT_SANITIZED") else 64) << 10


def load_program(path):
    """Import a script without .py in its name."""
    loader = importlib.machinery.SourceFileLoader(path.name.replace("-", "_").replace(".", "_"), str(path))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    module = importlib.util.module_from_spec(spec)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


def guest_files(**options):
    """The directory of the test guests, built when they are not there yet."""
    return load_program(TREE / "tests/guest/build").build(**options)


def wait_for(condition, what, timeout=60):
    """The first true value of condition(); fails naming `what` when there is none in time."""
    deadline = time.monotonic() + timeout * SLOW
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"did not happen in {timeout * SLOW:.0f} s: {what}")
        time.sleep(0.01)


def flip(path, offset):
    """Alter one bit of a file, and alter it back the second time."""
    with open(path, "r+b") as f:
        f.seek(offset)
        byte = f.read(1)[0]
        f.seek(offset)
        f.write(bytes([byte ^ 0x10]))


# ---- processes ----

def processes_of(root):
    """{pid: command line} of everything started for the test in `root`, zombies left out."""
    mark, found = f"GODWIT_TEST_ROOT={root}".encode(), {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            environment = pathlib.Path("/proc", entry, "environ").read_bytes().split(b"\0")
            if mark in environment:
                command = pathlib.Path("/proc", entry, "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if command:
                    found[int(entry)] = command
    return found


def processes_of_references(root):
    """The pids of libvirt's that run below `root`: its QEMUs do not carry the test's mark, but see a directory there as libvirt's own."""
    root, found = pathlib.Path(root).resolve(), []
    volume = next(parent for parent in root.parents if parent.is_mount())
    mount = re.compile(rf" /{re.escape(str(root.relative_to(volume)))}/(\S+/)?run /run/libvirt ")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if mount.search(pathlib.Path(f"/proc/{pid}/mountinfo").read_text()):
                found.append(int(pid))
    return found


def qemus_of(root):
    return sorted(pid for pid, command in processes_of(root).items() if "-name guest=" in command or
                  ("qemu" in command.split(" ")[0] and "-qmp" in command or "-mon" in command))


def is_alive(pid):
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        # A dead first thread is not the end: until the last has gone, files are open and locks are held.
        return state not in "ZX" or len(os.listdir(f"/proc/{pid}/task")) > 1
    except OSError:
        return False


def kill_and_wait(pid, number=signal.SIGKILL):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
    wait_for(lambda: not is_alive(pid), f"process {pid} ends after signal {number}")


def end_everything(root):
    for _ in range(50):
        pids = [*processes_of(root), *processes_of_references(root)]
        if not pids:
            return
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


# ---- the daemon ----

class Daemon:
    """godwitd --root DIR in the foreground.

    `prefix` is put before its command line, to run it elsewhere, as in a host of lease_hosts.py; it must end in an exec,
    so that `process` is the daemon itself.
    """

    def __init__(self, root, config="", program=GODWITD, prefix=(), test_root=None):
        self.root = pathlib.Path(root)
        self.program = pathlib.Path(program)
        self.prefix = list(map(str, prefix))
        self.process = None
        self.stderr_path = self.root / "godwitd.stderr"
        # The second daemon of a test is ended with all that the test has started.
        self.environment = {"GODWIT_TEST_ROOT": str(test_root or root)}
        (self.root / "etc").mkdir(parents=True, exist_ok=True)
        if config:
            (self.root / "etc/godwit.conf").write_text(config)

    @property
    def socket(self):
        return self.root / "run/godwit-sock"

    @property
    def managed_saves(self):
        return self.root / "lib/save"

    def uri(self, read_only=False):
        return f"qemu+unix:///system?socket={self.socket}{'-ro' if read_only else ''}"

    def spawn(self, **environment):
        """Start it without waiting."""
        complete = {**os.environ, **self.environment, **environment}
        complete.pop("NOTIFY_SOCKET", None)
        with open(self.stderr_path, "ab") as err:
            self.process = subprocess.Popen([*self.prefix, str(self.program), "--root", str(self.root)], env=complete,
                                            stdin=subprocess.DEVNULL, stdout=err, stderr=err)

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"godwitd ended with {self.process.returncode}:\n{self.stderr()}")
        with socket.socket(socket.AF_UNIX) as s:
            try:
                s.connect(str(self.socket))
            except OSError:
                return False
        return True

    def start(self, **environment):
        self.spawn(**environment)
        wait_for(self.answers, "godwitd accepts connections", 30)
        return self

    def stop(self, timeout=30):
        """End it politely; its exit status."""
        if self.process is None:
            return None
        self.process.terminate()
        status = self.process.wait(timeout * SLOW)
        self.process = None
        return status

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def restart(self, kill=False, **environment):
        if kill:
            self.kill()
        else:
            self.stop()
        return self.start(**environment)

    def stderr(self):
        return self.stderr_path.read_text(errors="replace") if self.stderr_path.exists() else ""

    def status_value(self, key):
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"^{key}:\s+(\d+)", text, re.M).group(1))


class Reference(Daemon):
    """A private libvirtd 11.3 (tests/reference/start-libvirt), for what is compared with it. Root only.

    With `lockd` virtlockd locks its disks, configured by the lines in `lockd_config`, which may be none.
    """

    def __init__(self, root, config="", lockd=False, lockd_config="", prefix=()):
        super().__init__(root, program=TREE / "tests/reference/start-libvirt", prefix=prefix)
        self.environment = {"REFERENCE_QEMU_CONF": config}
        if lockd:
            self.environment.update(REFERENCE_LOCKD="1", REFERENCE_LOCKD_CONF=lockd_config)
        self.cache = pathlib.Path(os.environ.get("GODWIT_CACHE") or TREE / ".cache") / "libvirt-11.3"

    @property
    def socket(self):
        return self.root / "run/libvirt-sock"

    @property
    def managed_saves(self):
        return self.root / "lib/qemu/save"

    def spawn(self, **environment):
        complete = {**os.environ, "GODWIT_TEST_ROOT": str(self.root), **self.environment, **environment}
        with open(self.stderr_path, "wb") as err:
            self.process = subprocess.Popen([*self.prefix, str(self.program), str(self.cache), str(self.root)], env=complete,
                                            stdin=subprocess.DEVNULL, stdout=err, stderr=err)

    def qemus(self):
        return [pid for pid in processes_of_references(self.root) if "qemu" in pathlib.Path(f"/proc/{pid}/comm").read_text()]

    def end(self):
        """With its QEMUs."""
        self.kill()
        end_everything(self.root)

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"libvirtd ended with {self.process.returncode}:\n{self.stderr()}")
        return "ready qemu" in self.stderr()


def need_reference(test):
    """Skip `test` where no libvirtd of our own can run."""
    if not IS_ROOT:
        test.skipTest("the reference libvirtd needs root")
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0:
        test.skipTest("no mount namespaces here")


def unshare(*namespaces):
    """The command that runs another in its own namespaces ("--net"), with root's power over them; None where that is refused."""
    command = ["unshare", *namespaces, *([] if IS_ROOT else ["--map-root-user"])]
    return command if subprocess.run([*command, "true"], capture_output=True).returncode == 0 else None


class Virsh:
    """Stock virsh against one socket. Calling it runs one command and checks that it succeeds."""

    def __init__(self, uri):
        self.uri = uri

    def command(self, *args):
        return [VIRSH, "-c", self.uri, *map(str, args)]

    def run(self, *args, timeout=120, **options):
        """The finished process, whatever its status."""
        environment = dict(os.environ, LC_ALL="C", VIRSH_HISTSIZE="0")
        return subprocess.run(self.command(*args), capture_output=True, text=True, timeout=timeout * SLOW,
                              env=environment, stdin=options.pop("stdin", subprocess.DEVNULL), **options)

    def __call__(self, *args, **options):
        done = self.run(*args, **options)
        if done.returncode != 0:
            raise AssertionError(f"virsh {' '.join(map(str, args))}: status {done.returncode}\n{done.stderr}{done.stdout}")
        return done.stdout.strip()

    def fails(self, *args, **options):
        """What virsh says on standard error; the command must fail and say something."""
        done = self.run(*args, **options)
        if done.returncode == 0:
            raise AssertionError(f"virsh {' '.join(map(str, args))} succeeded:\n{done.stdout}")
        if not done.stderr.strip():
            raise AssertionError(f"virsh {' '.join(map(str, args))} failed without a word")
        return done.stderr

    def start(self, *args, **options):
        return subprocess.Popen(self.command(*args), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, env=dict(os.environ, LC_ALL="C"), **options)


class Godwit(Virsh):
    """Our own command, called as virsh is."""

    def __init__(self, daemon):
        super().__init__(daemon.uri())
        self.root = daemon.root

    def command(self, *args):
        return [str(BUILD / "godwit"), "--root", str(self.root), *map(str, args)]


# ---- guests ----

# Whole lines only: the console may be read while QEMU is in the middle of one.
TICK = re.compile(rb"^T (\d+) (\d+) (\d+)\r?\n", re.M)
COUNT = re.compile(rb"^([0-9a-f]{8})\r?\n", re.M)
LINUX_ARGUMENTS = "console=ttyS0 quiet nokaslr mitigations=off tsc=reliable panic=0"
CHANNEL = "org.godwit.test.0"


class Guest:
    """One of the test guests: its files, its XML, its console and what can be asked of it."""

    def __init__(self, root, virsh, name="guest", machine="q35", emulator=None, memory=128):
        self.directory = pathlib.Path(root)
        self.virsh, self.name, self.machine = virsh, name, machine
        self.emulator, self.memory = emulator or QEMU, memory
        self.uuid = str(uuid.uuid4())
        self.console = self.directory / f"{name}.console"
        self.channel = self.directory / f"{name}.channel"
        self.disk = self.directory / f"{name}.img"
        self.files = guest_files()

    # what differs between the two guests

    def prepare(self):
        raise NotImplementedError

    def os_xml(self):
        raise NotImplementedError

    def devices_xml(self):
        raise NotImplementedError

    def numbers(self):
        raise NotImplementedError

    # XML

    def xml(self, domain_type="qemu", extra="", extra_devices="", serial=None, cpu="", vcpus=1):
        serial = serial or f"<serial type='file'><source path='{self.console}' append='on'/><target port='0'/></serial>"
        return f"""<domain type='{domain_type}'>
  <name>{self.name}</name>
  <uuid>{self.uuid}</uuid>
  <memory unit='MiB'>{self.memory}</memory>
  <vcpu>{vcpus}</vcpu>
  {self.os_xml()}
  <features><acpi/><apic/></features>
  {cpu}
  <clock offset='utc'/>
  <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>preserve</on_crash>
  {extra}
  <devices>
    <emulator>{self.emulator}</emulator>
    {self.devices_xml()}
    {serial}
    {extra_devices}
  </devices>
</domain>
"""

    def write_xml(self, **options):
        path = self.directory / f"{self.name}.xml"
        path.write_text(self.xml(**options))
        return path

    def define(self, **options):
        self.prepare()
        self.virsh("define", self.write_xml(**options))
        return self

    def create(self, *flags, **options):
        self.prepare()
        self.virsh("create", self.write_xml(**options), *flags)
        return self

    # state

    def state(self):
        return self.virsh("domstate", self.name)

    def reason(self):
        return self.virsh("domstate", self.name, "--reason")

    def wait_state(self, state, timeout=60):
        wait_for(lambda: self.state() == state, f"{self.name} is {state}", timeout)

    def console_bytes(self):
        try:
            return self.console.read_bytes()
        except FileNotFoundError:
            return b""

    def last(self):
        numbers = self.numbers()
        return numbers[-1] if numbers else 0

    def wait_count(self, beyond=0, timeout=90):
        """Wait until the guest has said a number greater than `beyond`; that number."""
        wait_for(lambda: self.last() > beyond, f"{self.name} counts beyond {beyond} "
                 f"(console ends {self.console_bytes()[-200:]!r})", timeout)
        return self.last()

    def wait_still(self):
        """The last number of a guest that must not be running: what is still in the pipe has come out."""
        last = self.last()
        deadline = time.monotonic() + 0.3
        while time.monotonic() < deadline:
            time.sleep(0.02)
            if self.last() != last:
                last, deadline = self.last(), time.monotonic() + 0.3
        return last

    def check_sequence(self, first=1):
        """The numbers on the console are first, first+1, ...: none lost, none twice. The last of them."""
        numbers = self.numbers()
        for i, n in enumerate(numbers):
            if n != first + i:
                raise AssertionError(f"{self.name} said {numbers[max(0, i - 3):i + 3]}, expected {first + i} at {i}")
        return numbers[-1] if numbers else 0


class LinuxGuest(Guest):
    """The counting Linux guest (tests/guest/README.md)."""

    kernel, initrd, usb = "vmlinuz", "initrd.img", "none"

    def __init__(self, *args, arguments="", network=False, **options):
        super().__init__(*args, **options)
        self.arguments, self.network = arguments, network

    def prepare(self):
        if not self.disk.exists():
            with open(self.disk, "wb") as f:
                f.truncate(4 << 20)

    def os_xml(self):
        return f"""<os><type arch='x86_64' machine='{self.machine}'>hvm</type>
    <kernel>{self.files}/{self.kernel}</kernel><initrd>{self.files}/{self.initrd}</initrd>
    <cmdline>{LINUX_ARGUMENTS} {self.arguments}</cmdline></os>"""

    def disks_xml(self):
        return f"""<disk type='file' device='disk'><driver name='qemu' type='raw'/>
      <source file='{self.disk}'/><target dev='vda' bus='virtio'/></disk>"""

    def devices_xml(self):
        interface = "<interface type='user'><model type='virtio'/></interface>" if self.network else ""
        return f"""{self.disks_xml()}
    <channel type='unix'><source mode='bind' path='{self.channel}'/><target type='virtio' name='{CHANNEL}'/></channel>
    <controller type='usb' model='{self.usb}'/>
    {interface}
    <memballoon model='virtio'/>"""

    def ticks(self):
        """[(number, monotonic, wall)] since the guest's last boot, microseconds."""
        text = self.console_bytes()
        boot = text.rfind(b"GW boot id=")
        return [tuple(map(int, m)) for m in TICK.findall(text[max(boot, 0):])]

    def numbers(self):
        return [t[0] for t in self.ticks()]

    def boots(self):
        return self.console_bytes().count(b"GW boot id=")

    def channel_path(self):
        """Where its channel is for us; `channel` is where it is for QEMU."""
        return self.channel

    def ask(self, command, timeout=60):
        """(good, {key: value}) of a command on the guest's channel."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(timeout * SLOW)
            s.connect(str(self.channel_path()))
            s.sendall(command.encode() + b"\n")
            answer = b""
            while not answer.endswith(b"\n"):
                piece = s.recv(4096)
                if not piece:
                    raise AssertionError(f"{self.name}: the channel closed after {answer!r}")
                answer += piece
        words = answer.decode().split("\n")[-2].split()
        if words[:2] != ["R", command]:
            raise AssertionError(f"{self.name} answered {answer!r} to {command}")
        return words[2] == "ok", dict(w.split("=", 1) for w in words[3:])

    def check(self):
        """Memory intact, disk and memory of the same instant, no clock ran backwards."""
        for command in ("check-memory", "check-disk", "status"):
            good, values = self.ask(command)
            if not good:
                raise AssertionError(f"{self.name}: {command} says {values}")
        self.check_sequence()
        ticks = self.ticks()
        for before, after in zip(ticks, ticks[1:]):
            if after[1] < before[1] or after[2] < before[2]:
                raise AssertionError(f"{self.name}: a clock ran backwards: {before} {after}")


class BootSector(Guest):
    """The counting boot sector: there in half a second, 16 MiB, hears nothing."""

    variables = None # put_variables(): its BIOS is in flash memory, as UEFI is, and these beside it

    def __init__(self, *args, machine="pc", memory=16, **options):
        super().__init__(*args, machine=machine, memory=memory, **options)

    def prepare(self):
        if not self.disk.exists():
            shutil.copy(self.files / "bootsector.img", self.disk)

    def put_variables(self):
        """No firmware ever writes to them; what QEMU has of them it had from the template."""
        self.variables = self.directory / f"{self.name}.vars"
        self.template.write_bytes(b"template".ljust(64 << 10, b"."))

    @property
    def template(self):
        return self.directory / f"{self.name}.template"

    def os_xml(self):
        flash = (f"<loader readonly='yes' type='pflash'>{BIOS}</loader><nvram template='{self.template}'>{self.variables}</nvram>"
                 if self.variables else "")
        return f"<os><type arch='x86_64' machine='{self.machine}'>hvm</type>{flash}<boot dev='hd'/></os>"

    def devices_xml(self):
        bus, target = ("ide", "hda") if self.machine.startswith("pc") and "q35" not in self.machine else ("sata", "sda")
        return f"""<disk type='file' device='disk'><driver name='qemu' type='raw'/>
      <source file='{self.disk}'/><target dev='{target}' bus='{bus}'/></disk>
    <controller type='usb' model='none'/><memballoon model='none'/>"""

    def numbers(self):
        """What it said since its last boot."""
        text = self.console_bytes()
        start = text.rfind(b"00000001\n")
        return [int(m, 16) for m in COUNT.findall(text[max(start, 0):])]


# ---- test cases ----

class DaemonTest(unittest.TestCase):
    """A test with a daemon of its own, running when the test begins."""

    config = ""
    autostart = True

    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="gw-", dir=os.environ.get("GODWIT_TEST_DIR")))
        self.root.chmod(0o755)
        self.addCleanup(self.clean_up)
        against_libvirt = os.environ.get("GODWIT_TEST_AGAINST") == "libvirt"
        self.daemon = Reference(self.root, self.config) if against_libvirt else Daemon(self.root, self.config)
        self.virsh = Virsh(self.daemon.uri())
        self.virsh_ro = Virsh(self.daemon.uri(read_only=True))
        if self.autostart:
            self.daemon.start()

    def clean_up(self):
        if self.daemon.process is not None and self.daemon.process.poll() is not None:
            print(f"{self.id()}: godwitd ended with {self.daemon.process.returncode}", file=sys.stderr)
        self.daemon.kill()
        end_everything(self.root)
        if self.has_failed():
            print(f"---- godwitd of {self.id()} ----\n{self.daemon.stderr()[-3000:]}----", file=sys.stderr)
        if not os.environ.get("GODWIT_TEST_KEEP"):
            shutil.rmtree(self.root, ignore_errors=True)

    def has_failed(self):
        return any(error for _, error in getattr(self._outcome, "errors", [])) or \
            any(t is self for t, _ in getattr(self._outcome.result, "failures", [])) or \
            any(t is self for t, _ in getattr(self._outcome.result, "errors", []))

    def linux(self, name="guest", **options):
        return LinuxGuest(self.root, self.virsh, name, **options)

    def sector(self, name="sector", **options):
        return BootSector(self.root, self.virsh, name, **options)

    def managed_save_path(self, guest):
        return self.daemon.managed_saves / f"{guest.name}.save"

    def check_alive(self):
        """The daemon is the same process as at the start, and answers."""
        self.assertIsNone(self.daemon.process.poll(), "godwitd died")
        self.virsh("list", "--all")

    def check_no_partial(self, *directories):
        """No temporary or half file in these directories, nor in the daemon's own."""
        for directory in (*directories, self.root / "lib/save", self.root / "etc/domains"):
            if not directory.exists():
                continue
            names = [n for n in os.listdir(directory) if re.search(r"\.(tmp|part|partial|new)\b|^\.|~$", n)]
            self.assertEqual(names, [], f"left behind in {directory}")

    def mode_of(self, path):
        return stat.S_IMODE(os.stat(path).st_mode)


def main():
    unittest.main(verbosity=2)
