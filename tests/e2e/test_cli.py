#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The godwit command: virsh's commands, options and output; and what it has beyond: JSON, progress, exit statuses."""

import fcntl
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest

from harness import BUILD, GODWITD, SLOW, TREE, VIRSH, DaemonTest, Virsh, end_everything, is_alive, wait_for

GODWIT = BUILD / "godwit"
AGAINST_LIBVIRT = os.environ.get("GODWIT_TEST_AGAINST") == "libvirt"

# Options of virsh that godwit does not have, and why. Whatever is not listed here must be there.
POOLS = "godwitd keeps no storage pools"
DESCRIPTORS = "no descriptors are passed over the connection"
NETWORK = "network disks are not supported"
OMITTED = {
    "create": {"pass-fds": DESCRIPTORS},
    "start": {"pass-fds": DESCRIPTORS},
    "qemu-monitor-command": {"pass-fds": DESCRIPTORS},
    "undefine": {"storage": POOLS, "remove-all-storage": POOLS, "delete-storage-volume-snapshots": POOLS,
                 "wipe-storage": POOLS},
    "attach-disk": {**dict.fromkeys(("source-protocol", "source-host-name", "source-host-transport", "source-host-socket"), NETWORK),
                    **dict.fromkeys(("iothread", "throttle-groups"), "not supported in the XML"),
                    "rawio": "there are no capabilities to give", "address": "attach-device takes addresses",
                    "multifunction": "attach-device takes addresses"},
    "pool-list": {"type": POOLS, "details": POOLS},
    "net-list": {"title": "godwitd keeps no networks"},
    "nodedev-list": dict.fromkeys(("tree", "cap", "inactive", "all", "persistent", "transient"),
                                  "godwitd keeps no devices of the host"),
    "snapshot-list": dict.fromkeys(("parent", "roots", "leaves", "no-leaves", "metadata", "no-metadata", "inactive", "active",
                                    "disk-only", "internal", "external", "tree", "from", "current", "descendants", "name",
                                    "topological"), "the whole tree is drawn"),
    "blockjob": {"raw": "--json has the figures"},
    "setvcpus": dict.fromkeys(("maximum", "config", "hotpluggable"), "vCPUs are not plugged"),
    "dommemstat": dict.fromkeys(("period", "config", "live", "current"), "the balloon's period is set in the XML"),
}
# Numbers that may be negative, which the usage line calls a text.
SIGNED = {("guest-agent-timeout", "timeout")}
# Options that virsh does not have.
ADDED = {"start": {"verbose", "force", "eager"}, "restore": {"verbose", "force", "eager"},
         "snapshot-delete": {"verbose"}, "help": {"complete"}}


class Godwit(Virsh):
    """The godwit command against one daemon."""

    def __init__(self, daemon, read_only=False):
        super().__init__(daemon.uri())
        self.options = ["-r"] if read_only else []
        if AGAINST_LIBVIRT:
            self.options += ["-c", daemon.uri()]
        else:
            self.options += ["--root", str(daemon.root)]

    def command(self, *args):
        return [str(GODWIT), *self.options, *map(str, args)]

    def json(self, *args):
        return json.loads(self(*args, "--json"))


def run_plain(*command, **options):
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          timeout=60 * SLOW, **options)


def synopsis(text):
    """{option: (takes, needed, by position)} and the order of those by position, of a command's help."""
    line = re.search(r"^ +SYNOPSIS\n +(.*)$", text, re.M).group(1)
    options, order = {}, []
    for m in re.finditer(r"\[--([\w-]+)(?: <(\w+)>)?\]|(\[)?<([\w-]+)>\]?(\.\.\.)?|--([\w-]+) <(\w+)>", line):
        if m.group(1):
            options[m.group(1)] = (m.group(2) or "flag", False, False)
        elif m.group(4):
            options[m.group(4)] = ("rest" if m.group(5) else "word", not m.group(3), True)
            order.append(m.group(4))
        else:
            options[m.group(6)] = (m.group(7), True, False)
    return options, order


class Table(unittest.TestCase):
    """Without any daemon."""

    def commands(self):
        return run_plain(GODWIT, "help", "--complete").stdout.split()

    def test_help(self):
        overview = run_plain(GODWIT, "help").stdout
        self.assertIn("Put down and pick up", overview)
        for command in self.commands():
            self.assertRegex(overview, rf"(?m)^  {command} ")
            done = run_plain(GODWIT, "help", command)
            self.assertEqual(done.returncode, 0, command)
            self.assertEqual(run_plain(GODWIT, command, "--help").stdout.strip(), done.stdout.strip())
        self.assertLess(max(map(len, overview.splitlines())), 81)
        self.assertIn("managedsave", run_plain(GODWIT, "help", "saving").stdout)

    def test_nothing_to_do(self):
        done = run_plain(GODWIT)
        self.assertEqual(done.returncode, 2)
        self.assertIn("COMMAND", done.stderr)

    def test_mistyped(self):
        for words, hint in ((["lsit"], "'list'"), (["managedsav", "x"], "'managedsave'"), (["state"], "'domstate'"),
                            (["start"], "<domain>"), (["list", "--foo"], "godwit help list"),
                            (["list", "x"], "'x'"), (["--foo", "list"], "--foo"), (["shutdown", "a", "mode"], "acpi"),
                            (["save", "a"], "<file>"), (["event"], "--list"),
                            (["domxml-to-native", "qemu-argv"], "--xml"), (["list 'x"], "quotation")):
            done = run_plain(GODWIT, "--root", "/nonexistent", *words)
            self.assertEqual(done.returncode, 2, words)
            self.assertIn(hint, done.stderr)
            self.assertRegex(done.stderr, r"\Aerror: .*\n\Z")

    def test_options_are_virshs(self):
        if not shutil.which(VIRSH):
            self.skipTest("virsh is not installed")
        shared = 0
        for command in self.commands():
            theirs = run_plain(VIRSH, "help", command)
            if command == "help" or theirs.returncode != 0:
                continue
            shared += 1
            their_options, their_order = synopsis(theirs.stdout)
            our_options, our_order = synopsis(run_plain(GODWIT, "help", command).stdout)
            our_options.pop("json", None)
            for name in OMITTED.get(command, {}):
                if name in their_options:
                    self.assertNotIn(name, our_options, f"{command} --{name} is not omitted any more")
                    del their_options[name]
            for name in ADDED.get(command, ()):
                self.assertNotIn(name, their_options, f"virsh has {command} --{name}, too")
                del our_options[name]
            # an older virsh has fewer
            for name in their_options:
                if (command, name) in SIGNED:
                    our_options[name] = ("number", *our_options[name][1:])
                self.assertEqual(our_options.get(name), their_options[name], f"{command} {name}")
            self.assertEqual([n for n in our_order if n in their_options], their_order, command)
        self.assertGreater(shared, 60)

    def test_words_by_position_as_older_virsh(self):
        """Options that are no longer shown by position still are taken so."""
        done = run_plain(GODWIT, "--root", "/nonexistent", "freecell", "0")
        self.assertEqual(done.returncode, 4, done.stderr)

    def test_no_daemon(self):
        for words, hint in ((["--root", "/nonexistent"], "godwitd --root /nonexistent"),
                            (["--socket", "/nonexistent/sock"], "/nonexistent/sock"),
                            (["-c", "qemu:///system?socket=/nonexistent/s"], "/nonexistent/s")):
            done = run_plain(GODWIT, *words, "list")
            self.assertEqual(done.returncode, 4)
            self.assertRegex(done.stderr, r"\Aerror: no daemon answers at .*\n\Z")
            self.assertIn(hint, done.stderr)
        self.assertEqual(run_plain(GODWIT, "-c", "qemu+ssh://host/system", "list").returncode, 2)

    def test_not_a_daemon(self):
        directory = tempfile.mkdtemp(prefix="gw-")
        self.addCleanup(shutil.rmtree, directory)
        path = f"{directory}/sock"
        server = subprocess.Popen([sys.executable, "-c", "import socket, sys\n"
                                   "s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen()\n"
                                   "print(flush=True); c = s.accept()[0]; c.recv(9); c.sendall(b'HTTP/1.0 400\\r\\n')\n"
                                   "c.recv(9)", path], stdout=subprocess.PIPE)
        self.addCleanup(server.wait)
        self.addCleanup(server.stdout.close)
        self.addCleanup(server.kill)
        server.stdout.readline()
        done = run_plain(GODWIT, "--socket", path, "list")
        self.assertEqual(done.returncode, 4)
        self.assertIn("error: ", done.stderr)


class Completion(unittest.TestCase):
    """What bash offers."""

    def complete(self, *words):
        script = f"""source {TREE}/completions/godwit.bash; compopt() {{ :; }}
            COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _godwit; printf '%s\\n' "${{COMPREPLY[@]}}\""""
        done = run_plain("bash", "-c", script, "bash", GODWIT, *words)
        self.assertEqual(done.stderr, "")
        return done.stdout.split()

    def test_commands_and_options(self):
        self.assertEqual(self.complete("managedsave-"), ["managedsave-remove", "managedsave-dumpxml",
                                                         "managedsave-define", "managedsave-edit"])
        self.assertEqual(self.complete("--root", "/nonexistent", "start", "--force-"), ["--force-boot"])
        self.assertEqual(self.complete("--re"), ["--readonly"])
        self.assertEqual(self.complete("help", "vncd"), ["vncdisplay"])
        self.assertIn("--json", self.complete("list", "--"))
        self.assertEqual(self.complete("--root", "/nonexistent", "start", "x"), [])
        self.assertEqual(self.complete("image", "conv"), ["convert"])
        self.assertEqual(self.complete("image", "convert", "--for"), ["--format"])
        self.assertEqual(self.complete("image", "convert", "--format", "z"), ["zstd"])
        self.assertEqual(self.complete("lease", "l"), ["list", "lost"])


XML = """<domain type='qemu'><name>{name}</name><title>A title</title><description>words about it</description>
<metadata><a:x xmlns:a='http://a.example/1' y='2'>t</a:x></metadata>
<memory unit='MiB'>{memory}</memory><vcpu>2</vcpu><os><type arch='x86_64' machine='q35'>hvm</type></os>
<features><acpi/></features>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{disk}'/><target dev='vda' bus='virtio'/></disk>
<disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk>
<interface type='user'><mac address='52:54:00:11:22:33'/><model type='virtio'/></interface>
<serial type='pty'/><console type='pty'/><graphics type='vnc' port='-1' autoport='yes'/><memballoon model='virtio'/>
</devices></domain>"""


class CommandTest(DaemonTest):
    """A daemon with one VM that runs and one that is off; the guest is only firmware."""

    def setUp(self):
        super().setUp()
        self.godwit = Godwit(self.daemon)
        self.write_xml("vm")
        self.write_xml("other")
        # libvirtd does not hand its environment to QEMU, so the harness would not find what is left
        if AGAINST_LIBVIRT:
            self.addCleanup(self.virsh.run, "destroy", "vm")

    def write_xml(self, name, memory=64):
        disk = self.root / f"{name}.img"
        with open(disk, "wb") as f:
            f.truncate(1 << 20)
        path = self.root / f"{name}.xml"
        path.write_text(XML.format(name=name, memory=memory, disk=disk))
        return path

    def define_both(self):
        for name in ("vm", "other"):
            self.godwit("define", self.root / f"{name}.xml")
        self.godwit("start", "vm")

    def check_fails(self, status, *words, says="", command=None):
        done = (command or self.godwit).run(*words)
        self.assertEqual(done.returncode, status, f"{words}: {done.stderr}{done.stdout}")
        self.assertRegex(done.stderr, r"\Aerror: [^\n]*\n\Z")
        self.assertIn(says, done.stderr)
        return done.stderr

    def run_in_terminal(self, *words, typed=(), environment=None, columns=100):
        """(status, output) on a terminal; `typed` is a list of (wait for this output, type that)."""
        pid, fd = pty.fork()
        if pid == 0:
            os.environ.update(environment or {}, TERM="xterm")
            os.execv(str(GODWIT), self.godwit.command(*words))
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 25, columns, 0, 0))
        output, typed = b"", list(typed)
        deadline = time.monotonic() + 60 * SLOW
        while time.monotonic() < deadline:
            if select.select([fd], [], [], 0.1)[0]:
                try:
                    data = os.read(fd, 65536)
                except OSError:
                    break
                if not data:
                    break
                output += data
            if typed and typed[0][0] in output:
                os.write(fd, typed.pop(0)[1])
        else:
            os.kill(pid, signal.SIGKILL)
        os.close(fd)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), output.decode(errors="replace")


class Output(CommandTest):
    """Byte for byte what virsh prints."""

    ALIKE = """
        list | list --all | list --inactive | list --all --name | list --all --uuid | list --all --id
        list --all --title | list --all --managed-save | list --all --name --uuid | list --all --id --name
        list --state-running | list --state-shutoff --all | list --autostart --all | list --no-autostart --all
        list --transient | list --persistent --all | list --with-managed-save --all | list --table --all
        -q list --all | -q list --all --title
        domstate vm | domstate vm --reason | domstate other --reason | -q domstate vm
        domid vm | domid other | domuuid vm | domname 1
        dumpxml vm | dumpxml vm --inactive | dumpxml other | dumpxml vm --xpath //vcpu
        dumpxml vm --xpath //disk/target --wrap | dumpxml vm --xpath //nothing
        domcontrol vm | domblklist vm | domblklist vm --details | domblklist other --inactive
        domblkinfo vm vda | domblkinfo vm vda --human | domblkinfo vm --all | domblkinfo vm --all --human
        domblkerror vm | domiflist other
        domif-getlink vm 52:54:00:11:22:33 | domdisplay vm | domdisplay vm --all | domdisplay vm vnc | vncdisplay vm
        desc vm | desc vm --title | desc other --config | metadata vm http://a.example/1
        vcpucount vm | vcpucount other | vcpucount vm --live | vcpucount vm --maximum | vcpucount vm --current
        domjobinfo vm | domjobinfo other | nodeinfo | nodecpumap | nodecpumap --pretty | maxvcpus | hostname
        capabilities --xpath //host/uuid | domcapabilities | domcapabilities --xpath //machine | event --list
        nodememstats --cell 99 | nodecpustats --cpu 99 | list ; domstate vm | secret-list | domstats other --state | domstats vm --state
        """

    ALIKE_GODWITD = "net-list | net-list --all | pool-list | pool-list --all | nwfilter-list | net-list --name"

    def both(self, line):
        words = line.split()
        if ";" in words:
            words = [line]
        return self.virsh.run(*words), self.godwit.run(*words)

    def test_same_as_virsh(self):
        self.define_both()
        self.godwit("autostart", "other")
        lines = [line.strip() for part in self.ALIKE.splitlines() for line in part.split("|") if line.strip()]
        if not AGAINST_LIBVIRT:
            lines += [line.strip() for line in self.ALIKE_GODWITD.split("|")]
        for line in lines:
            with self.subTest(line):
                theirs, ours = self.both(line)
                self.assertEqual(ours.stdout, theirs.stdout)
                self.assertEqual(ours.returncode == 0, theirs.returncode == 0, ours.stderr)

    def test_what_changes_is_told_alike(self):
        xml = self.root / "vm.xml"
        story = f"""define {xml} | start vm | suspend vm | resume vm | reset vm | autostart vm | autostart vm --disable
            desc vm --title other | metadata vm http://a.example/1 --remove --config | inject-nmi vm | destroy vm
            domrename vm vm2 | domrename vm2 vm | managedsave-remove vm | undefine vm
            create {xml} --paused | destroy vm --graceful"""
        for line in (part.strip() for part in story.replace("\n", "|").split("|")):
            theirs = self.virsh.run(*line.split())
            self.undo(line)
            with self.subTest(line):
                ours = self.godwit.run(*line.split())
                self.assertEqual(ours.stdout, theirs.stdout, ours.stderr)
                self.assertEqual(ours.returncode == 0, theirs.returncode == 0, ours.stderr)

    def undo(self, line):
        """Back to before `line`, so that it can be done again."""
        verb = line.split()[0]
        back = {"define": "undefine vm", "start": "destroy vm", "suspend": "resume vm", "resume": "suspend vm", "destroy": "start vm",
                "undefine": f"define {self.root / 'vm.xml'}", "create": "destroy vm"}.get(verb)
        if line == "destroy vm --graceful":
            back = f"create {self.root / 'vm.xml'} --paused"
        if verb == "domrename":
            back = " ".join(["domrename", *reversed(line.split()[1:])])
        if back:
            self.virsh(*back.split())

    def test_events(self):
        self.define_both()
        paths, listeners = [self.root / "theirs", self.root / "ours"], []
        for path, client in zip(paths, (self.virsh, self.godwit)):
            with open(path, "w") as out:
                listeners.append(subprocess.Popen(["stdbuf", "-oL", *client.command("event", "--all", "--loop")],
                                                  stdin=subprocess.DEVNULL, stdout=out))
            self.addCleanup(listeners[-1].wait)
            self.addCleanup(listeners[-1].kill)

        def both_listen():
            self.godwit("desc", "vm", "--config", "another one")
            return all(path.stat().st_size > 0 for path in paths)

        wait_for(both_listen, "both are told of events")
        self.godwit("suspend", "vm")
        self.godwit("resume", "vm")
        self.godwit("destroy", "vm")
        wait_for(lambda: all("Stopped Destroyed" in path.read_text() for path in paths), "both hear of the end")
        theirs, ours = ([line for line in path.read_text().splitlines() if "metadata" not in line] for path in paths)
        self.assertEqual(ours, theirs)
        self.assertEqual(re.findall(r"metadata.*", paths[1].read_text())[0], re.findall(r"metadata.*", paths[0].read_text())[0])
        for listener in listeners:
            listener.send_signal(signal.SIGINT)
        wait_for(lambda: all("event loop interrupted" in path.read_text() for path in paths), "both end by Ctrl-C")


class Beyond(CommandTest):
    """What virsh does not have."""

    def test_json(self):
        self.define_both()
        vms = self.godwit.json("list", "--all")
        self.assertEqual([(v["name"], v["state"]) for v in vms], [("vm", "running"), ("other", "shut off")])
        self.assertEqual(vms[0]["uuid"], self.godwit("domuuid", "vm"))
        self.assertIsNone(vms[1]["id"])
        self.assertEqual(self.godwit.json("domstate", "vm"), {"name": "vm", "state": "running", "reason": "booted"})
        info = self.godwit.json("dominfo", "vm")
        self.assertEqual((info["vcpus"], info["max_memory_kib"], info["persistent"]), (2, 65536, True))
        self.assertEqual(self.godwit.json("desc", "vm"), {"description": "words about it"})
        self.assertEqual(self.godwit.json("domblklist", "vm")[1],
                         {"type": "file", "device": "cdrom", "target": "sda", "source": None})
        self.assertEqual(self.godwit.json("domjobinfo", "vm")["type"], "None")
        self.assertEqual(self.godwit.json("domstats", "vm", "--state")[0]["stats"]["state"]["state"], 1)

    def test_json_everywhere(self):
        """Every command that knows --json prints one JSON text and nothing else, and no other knows it."""
        self.define_both()
        words = {"domblkstat": ["vm", "vda"], "domblkinfo": ["vm", "vda"], "domif-getlink": ["vm", "52:54:00:11:22:33"],
                 "domifstat": None, "ttyconsole": ["vm"], "event": ["--list"], "qemu-monitor-event": None,
                 "qemu-monitor-command": ["vm", '{"execute":"query-name"}'], "cpu-models": ["x86_64"],
                 "domname": ["1"], "domstats": [], "blockjob": ["vm", "vda"]}
        # They ask a guest: test_agent.py.
        words.update(dict.fromkeys(("qemu-agent-command", "guestinfo", "domfsinfo", "domtime", "domhostname", "domifaddr")))
        words.update(dict.fromkeys(("image-info", "image-verify", "image-convert")))  # files: test_image.py
        words["migrate"] = None  # two hosts: test_migrate_check.py
        tried = 0
        for command in run_plain(GODWIT, "help", "--complete").stdout.split():
            text = run_plain(GODWIT, "help", command).stdout
            if "--json" not in text or words.get(command, 0) is None:
                continue
            with self.subTest(command):
                needs_vm = re.search(rf"SYNOPSIS\n    {command} <domain>", text)
                done = self.godwit.run(command, *words.get(command, ["vm"] if needs_vm else []), "--json")
                if done.returncode in (5, 6) and AGAINST_LIBVIRT:
                    continue  # without its other drivers and cgroups
                self.assertEqual(done.returncode, 0, done.stderr)
                json.loads(done.stdout)
                tried += 1
        self.assertGreater(tried, 30 if AGAINST_LIBVIRT else 38)

    def test_exit_statuses(self):
        self.define_both()
        self.check_fails(1, "define", self.root / "vm.img")
        self.check_fails(1, "define", "/nonexistent.xml", says="No such file")
        self.check_fails(3, "dominfo", "nobody", says="godwit list --all")
        self.check_fails(5, "suspend", "other", says="godwit start other")
        self.check_fails(5, "start", "vm")
        self.check_fails(2, "start", "vm", "--paused=1")
        self.check_fails(7, "suspend", "vm", command=Godwit(self.daemon, read_only=True), says="--readonly")
        self.check_fails(8, "event", "--event", "watchdog", "--timeout", "1")
        self.assertEqual(self.godwit("domstate", "vm"), "running")
        self.assertEqual(self.godwit.run("domstate vm; domstate nobody; domstate vm").returncode, 3)
        self.assertEqual(self.godwit.run("domstate vm; domstate nobody; domstate vm").stdout.count("running"), 1)

    def test_daemon_that_does_not_answer(self):
        self.daemon.process.send_signal(signal.SIGSTOP)
        self.check_fails(8, "--timeout", "1", "list", says="within 1 s")
        self.daemon.process.send_signal(signal.SIGCONT)
        self.assertEqual(self.godwit("--timeout", "30", "list", "--name"), "")

    @unittest.skipIf(AGAINST_LIBVIRT, "libvirt has another directory")
    def test_damaged_managed_save(self):
        self.define_both()
        self.godwit("managedsave", "vm")
        image = self.root / "lib/save/vm.save"
        os.truncate(image, image.stat().st_size // 2)
        self.assertIn("--force-boot", self.check_fails(1, "start", "vm"))
        self.assertTrue(image.exists())
        self.godwit("start", "vm", "--force-boot")
        self.assertEqual(self.godwit("domstate", "vm"), "running")

    def test_save_and_restore(self):
        self.define_both()
        image = self.root / "vm.save"
        done = self.godwit.run("save", "vm", image, "--verbose")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(done.stderr.endswith("Save: [100.00 %]"), done.stderr)
        self.assertEqual(self.godwit("domstate", "vm", "--reason"), "shut off (saved)")
        self.assertIn("<name>vm</name>", self.godwit("save-image-dumpxml", image))
        self.assertTrue(self.godwit.run("restore", image, "--paused", "--verbose").stderr.endswith("Restore: [100.00 %]"))
        self.assertEqual(self.godwit("domstate", "vm"), "paused")
        # a path is relative to where the command runs, not the daemon
        done = subprocess.run(self.godwit.command("save", "vm", "here.save", "--running"), cwd=self.root,
                              capture_output=True, text=True, timeout=60 * SLOW)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue((self.root / "here.save").exists())
        self.godwit("restore", self.root / "here.save")
        self.assertEqual(self.godwit("domstate", "vm"), "running")
        self.assertIn("Managedsave: [100.00 %]", self.godwit.run("managedsave", "vm", "--verbose").stderr)
        self.assertTrue(next(v for v in self.godwit.json("list", "--all") if v["name"] == "vm")["managed_save"])
        self.assertIn("Start: [100.00 %]", self.godwit.run("start", "vm", "--verbose").stderr)
        self.assertEqual(self.godwit("domstate", "vm"), "running")

    def test_progress_on_a_terminal(self):
        self.define_both()
        status, text = self.run_in_terminal("managedsave", "vm")
        self.assertEqual(status, 0, text)
        self.assertRegex(text, r"Managedsave vm \[#+\] 100 %")
        self.assertIn("Domain 'vm' state saved", text)
        percents = [int(p) for p in re.findall(r" (\d+) %", text)]
        self.assertEqual(percents, sorted(percents))
        status, text = self.run_in_terminal("-q", "start", "vm")
        self.assertEqual((status, text.strip()), (0, ""))

    def test_edit(self):
        self.define_both()
        edit = {"EDITOR": "sed -i s/words/sentences/", "VISUAL": ""}
        done = self.run_with(edit, "edit", "other")
        self.assertEqual((done.returncode, done.stdout.strip()), (0, "Domain 'other' XML configuration edited."), done.stderr)
        self.assertEqual(self.godwit("desc", "other"), "sentences about it")
        self.assertIn("not changed", self.run_with({"EDITOR": "true", "VISUAL": ""}, "edit", "other").stdout)
        done = self.run_with({"EDITOR": "sed -i s/domain/nonsense/", "VISUAL": ""}, "edit", "other")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("thrown away", done.stderr)
        done = self.run_with({"EDITOR": "false", "VISUAL": ""}, "edit", "other")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(self.godwit("desc", "other"), "sentences about it")
        self.godwit("managedsave", "vm")
        done = self.run_with({"VISUAL": "sed -i s/words/sentences/"}, "managedsave-edit", "vm")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("sentences about it", self.godwit("managedsave-dumpxml", "vm"))

    def run_with(self, environment, *words):
        return subprocess.run(self.godwit.command(*words), env=dict(os.environ, **environment), capture_output=True,
                              text=True, stdin=subprocess.DEVNULL, timeout=60 * SLOW)

    def test_stdin_as_file(self):
        with open(self.root / "vm.xml") as xml:
            self.godwit("define", "/dev/stdin", stdin=xml)
        with open(self.root / "other.xml") as xml:
            self.godwit("define", "-", stdin=xml)
        self.assertEqual(self.godwit("list", "--all", "--name").split(), ["other", "vm"])

    def test_monitor(self):
        self.define_both()
        self.assertEqual(json.loads(self.godwit("qemu-monitor-command", "vm", '{"execute":"query-name"}'))["return"],
                         {"name": "vm"})
        self.assertEqual(self.godwit("qemu-monitor-command", "vm", "--return-value", '{"execute":"query-name"}'),
                         '{"name":"vm"}')
        self.assertEqual(self.godwit("qemu-monitor-command", "vm", "--hmp", "info", "name"), "vm")


class Interrupt(CommandTest):
    """Ctrl-C on a terminal while a save is under way."""

    def test_ctrl_c_takes_a_save_back(self):
        guest = self.linux(memory=428, arguments="gw.mem=300 gw.incompressible=1").define()
        self.godwit("start", guest.name)
        guest.wait_count(timeout=120)
        image = self.root / "guest.save"
        # the figure after the dot or before it: something, but not all, is written
        status, text = self.run_in_terminal("save", guest.name, image, typed=[(b" of ", b"\x03")])
        self.assertEqual(status, 1, text)
        self.assertRegex(text, r"(?s)Save guest \[.*\nerror: save guest to [^\n]*(abort|cancel)")
        self.assertNotIn("100 %", text)
        self.assertFalse(image.exists())
        self.assertEqual(guest.state(), "running")
        guest.wait_count(guest.last() + 5)
        guest.check()


class Console(CommandTest):
    def test_console(self):
        guest = self.linux()
        guest.prepare()
        guest.define(serial="<serial type='pty'/><console type='pty'/>")
        status, text = self.run_in_terminal("start", "guest", "--console",
                                            typed=[(b"\nT 5", b"\x1d")])
        self.assertEqual(status, 0, text)
        self.assertIn("Connected to domain 'guest'", text)
        self.assertIn("Escape character is ^]", text)
        self.assertRegex(text, r"\nT 1 ")  # connected before the guest ran: nothing is missing
        self.assertEqual(self.godwit("domstate", "guest"), "running")


@unittest.skipIf(AGAINST_LIBVIRT, "godwitd is what is started")
class OnDemand(unittest.TestCase):
    """A user's own daemon is started by the first command, once."""

    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="gw-"))
        self.addCleanup(shutil.rmtree, self.root, ignore_errors=True)
        self.addCleanup(end_everything, self.root)
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("GODWIT_")}
        self.environment.update(GODWIT_TEST_ROOT=str(self.root), HOME=str(self.root / "home"),
                                XDG_RUNTIME_DIR=str(self.root / "run"), XDG_CONFIG_HOME=str(self.root / "config"),
                                XDG_STATE_HOME=str(self.root / "state"))
        for name in ("home", "run", "config", "state"):
            (self.root / name).mkdir(mode=0o700)

    def command(self, *words):
        return [str(GODWIT), "-c", "godwit:///session", *words]

    def run_godwit(self, *words):
        return run_plain(*self.command(*words), env=self.environment)

    def daemons(self):
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if pathlib.Path("/proc", pid, "exe").resolve() == GODWITD.resolve() and \
                        f"GODWIT_TEST_ROOT={self.root}".encode() in pathlib.Path("/proc", pid, "environ").read_bytes():
                    found.append(int(pid))
            except OSError:
                pass
        return [pid for pid in found if is_alive(pid)]

    def test_first_command_starts_it(self):
        done = self.run_godwit("list", "--all", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout), [])
        self.assertEqual(len(self.daemons()), 1)
        before = self.daemons()
        self.assertEqual(self.run_godwit("list").returncode, 0)
        self.assertEqual(self.daemons(), before)

    def test_many_at_once_start_one(self):
        commands = [subprocess.Popen(self.command("list"), env=self.environment, stdin=subprocess.DEVNULL,
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(8)]
        for command in commands:
            _, stderr = command.communicate(timeout=60 * SLOW)
            self.assertEqual(command.returncode, 0, stderr)
        self.assertEqual(len(self.daemons()), 1)

    def test_it_is_started_again_after_a_crash(self):
        self.assertEqual(self.run_godwit("list").returncode, 0)
        first = self.daemons()[0]
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: not is_alive(first), "the daemon is dead")
        self.assertEqual(self.run_godwit("list").returncode, 0)
        self.assertEqual(len(self.daemons()), 1)

    def test_why_it_does_not_start(self):
        (self.root / "config/godwit").mkdir()
        (self.root / "config/godwit/godwit.conf").write_text("nonsense = 1\n")
        done = self.run_godwit("list")
        self.assertEqual(done.returncode, 4)
        self.assertRegex(done.stderr, r"\Aerror: your own daemon ended while starting: [^\n]*nonsense[^\n]*\n\Z")
        self.assertEqual(self.daemons(), [])

    def test_read_only(self):
        done = run_plain(GODWIT, "-r", "-c", "godwit:///session", "list", env=self.environment)
        self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
