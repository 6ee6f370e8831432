# SPDX-License-Identifier: LGPL-2.1-or-later
"""kill -9 of the daemon, and of QEMU, at every fault point of every job.

After the next start each VM is where it was or where it was going: it runs, or its image is whole; its definition is
there or not; no process, temporary file or journal is left. The tests are made from the sources (points.py): one
for each point the daemon dies at, one for each at which QEMU dies, and one for each undo at which the recovering daemon
dies a second time.

size: a case for each operation, with nothing between them.
"""

import os
import pathlib
import re
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
import harness  # noqa: E402
import leases  # noqa: E402
import points  # noqa: E402
import reverting  # noqa: E402
import snapshots  # noqa: E402

FORWARD = ("begun", "done")
BACKWARD = ("undo", "undone")
COMMITTED = "committed"


class Case:
    """One operation: how to get there, how to ask for it, and what must hold afterwards, done or not."""

    steps = None # only these, of an operation that has another case

    def __init__(self, test):
        self.test, self.virsh, self.root = test, test.virsh, test.root
        self.guest = test.sector()
        self.counted = 0
        test.leased = self.leased

    def leased(self):
        """The disks that running QEMUs hold leases of."""
        return [d for d in (self.root / "sector.img", *self.root.glob("lib/clones/*/*")) if d.exists()]

    def prepare(self):
        self.guest.define()

    def run_guest(self):
        self.virsh("start", self.guest.name)
        self.guest.wait_count(5)

    def command(self):
        raise NotImplementedError

    def check(self):
        """The daemon was restarted and is at rest; QEMU was not touched."""
        raise NotImplementedError

    def check_qemu_killed(self, step, job):
        """QEMU was killed at a point of `step`; the daemon went on."""
        raise NotImplementedError

    def check_as_before(self):
        """A helper was killed; nothing has changed."""
        self.test.assertTrue(self.is_running(), "it runs as before")
        self.goes_on()

    # what cases share

    def goes_on(self):
        """It counts, and has never lost or repeated a number."""
        self.guest.wait_count(self.guest.last() + 3)
        self.guest.check_sequence()

    def boots(self):
        self.guest.console.unlink(missing_ok=True)
        self.virsh("start", self.guest.name)
        self.guest.wait_count(5)
        self.guest.check_sequence()

    def is_running(self):
        state = self.guest.state()
        self.test.assertIn(state, ("running", "shut off"), "nothing between")
        return state == "running"


class Start(Case):
    def command(self):
        return ["start", self.guest.name]

    def check(self):
        if self.is_running():
            self.goes_on()
            self.virsh("destroy", self.guest.name)
        self.boots()

    def check_qemu_killed(self, step, job):
        if not self.is_running():
            self.boots()

    def check_as_before(self):
        self.test.assertFalse(self.is_running(), "it is off as before")


class Save(Case):
    def prepare(self):
        super().prepare()
        self.run_guest()
        self.image = self.root / "images/vm.save"
        self.image.parent.mkdir()

    def command(self):
        return ["save", self.guest.name, self.image]

    def come_back(self):
        self.virsh("restore", self.image)

    def check(self):
        self.test.assertIn(os.listdir(self.image.parent), ([], [self.image.name]), "nothing half beside the image")
        if self.is_running():
            self.test.assertFalse(self.image.exists(), "running, and an image too")
            self.goes_on()
            self.virsh(*self.command())
        self.test.assertTrue(self.image.exists(), "neither running nor saved")
        saved = self.guest.wait_still()
        self.come_back()
        self.guest.wait_count(saved)
        self.goes_on()

    def check_qemu_killed(self, step, job):
        self.test.assertFalse(self.is_running())
        self.test.assertIn(os.listdir(self.image.parent), ([], [self.image.name]))
        if self.image.exists():
            saved = self.guest.wait_still()
            self.come_back()
            self.guest.wait_count(saved)
            self.goes_on()
        else:
            before_commit = [s.name for s in job.steps[:job.commit + 1]]
            self.test.assertIn(step, before_commit, "published, and gone again")


class SaveOver(Save):
    """Under the name an older image has: that one, or the new one, is always whole."""

    def prepare(self):
        super().prepare()
        self.virsh("save", self.guest.name, self.image)
        self.virsh("restore", self.image)
        self.goes_on()

    def check(self):
        self.test.assertEqual(os.listdir(self.image.parent), [self.image.name])
        running = self.is_running()
        if running:
            self.goes_on()
            self.virsh("destroy", self.guest.name)
        self.guest.console.rename(self.root / "earlier.console")
        self.come_back()
        self.guest.wait_count()
        numbers = self.guest.numbers()
        self.guest.check_sequence(numbers[0])

    def check_qemu_killed(self, step, job):
        self.check()


class ManagedSave(Save):
    def prepare(self):
        Case.prepare(self)
        self.run_guest()
        self.image = self.test.managed_save_path(self.guest)

    def command(self):
        return ["managedsave", self.guest.name]

    def come_back(self):
        self.virsh("start", self.guest.name)


class StartManaged(ManagedSave):
    def images(self):
        """What there is of images; what a running guest needed first is remembered beside them."""
        return [name for name in os.listdir(self.image.parent) if not name.endswith(".save.hot")]

    def prepare(self):
        super().prepare()
        self.virsh("managedsave", self.guest.name)
        self.saved = self.guest.wait_still()

    def command(self):
        return ["start", self.guest.name]

    def check(self):
        if self.is_running():
            self.test.assertFalse(self.image.exists(), "running, and an image too")
        else:
            self.test.assertTrue(self.image.exists(), "neither running nor saved")
            self.test.assertEqual(self.guest.wait_still(), self.saved, "the guest ran on, and its image is there too")
            self.virsh("start", self.guest.name)
        self.guest.wait_count(self.saved)
        self.goes_on()
        harness.wait_for(lambda: self.images() == [], "the image goes with its last page")

    def check_qemu_killed(self, step, job):
        if not self.is_running():
            self.test.assertIn(self.images(), ([], [self.image.name]))
        if self.is_running():
            self.goes_on()
        elif self.image.exists():
            self.test.assertEqual(self.guest.wait_still(), self.saved, "the guest ran on, and its image is there too")
            self.come_back()
            self.goes_on()
        else:
            self.test.assertGreater(self.guest.wait_still(), self.saved, "its image is gone, and it never ran")


class Restore(Save):
    def prepare(self):
        super().prepare()
        self.virsh("save", self.guest.name, self.image)
        self.saved = self.guest.wait_still()
        self.whole = self.image.read_bytes()

    def command(self):
        return ["restore", self.image]

    def check(self):
        self.test.assertEqual(self.image.read_bytes(), self.whole, "restoring leaves the image as it is")
        if self.is_running():
            self.guest.wait_count(self.saved)
            self.goes_on()
        else:
            if self.guest.wait_still() != self.saved:
                self.guest.console.rename(self.root / "earlier.console")
            self.come_back()
            self.guest.wait_count(self.saved)
            self.guest.check_sequence(self.guest.numbers()[0])

    def check_qemu_killed(self, step, job):
        self.check()


class Clone(Restore):
    """All of it is there, or none: definition, disk and QEMU. What it was made of stays as it is."""

    def __init__(self, test):
        super().__init__(test)
        self.virsh = harness.Godwit(test.daemon)
        self.clone = test.sector("clone")

    def command(self):
        return ["clone", self.image, "--name", "clone"]

    def check(self):
        self.test.assertEqual(self.image.read_bytes(), self.whole)
        clones = os.listdir(self.root / "lib/clones")
        definitions = sorted(os.listdir(self.root / "etc/domains"))
        if "clone" not in self.virsh("list", "--all", "--name").split():
            self.test.assertEqual((clones, definitions), ([], ["sector.xml"]), "nothing is left behind")
            self.clone.console.unlink(missing_ok=True)
            self.virsh(*self.command())
            clones = os.listdir(self.root / "lib/clones")
        self.test.assertEqual(clones, [self.virsh("domuuid", "clone")])
        if self.clone.state() == "running":
            # It goes on where the other one was; what it says it says on a console of its own.
            self.clone.wait_count(self.saved)
            numbers = self.clone.numbers()
            self.test.assertLess(self.saved - 3, numbers[0])
            self.clone.check_sequence(numbers[0])
            self.virsh("destroy", "clone")
        self.virsh("undefine", "clone")
        self.test.assertEqual(os.listdir(self.root / "lib/clones"), [])

    def check_as_before(self):
        self.test.assertNotIn("clone", self.virsh("list", "--all", "--name").split())


class Define(Case):
    def prepare(self):
        self.guest.prepare()
        self.guest.write_xml()

    def command(self):
        return ["define", self.root / "sector.xml"]

    def check(self):
        if not self.virsh("list", "--all", "--name"):
            self.test.assertEqual(os.listdir(self.root / "etc/domains"), [])
            self.virsh(*self.command())
        self.test.assertEqual(os.listdir(self.root / "etc/domains"), ["sector.xml"])
        self.boots()


class Redefine(Define):
    def prepare(self):
        super().prepare()
        self.virsh("define", self.root / "sector.xml")
        self.before = self.virsh("dumpxml", self.guest.name)
        self.guest.memory = 20
        self.guest.write_xml()

    def check(self):
        after = self.virsh("dumpxml", self.guest.name)
        if after != self.before:
            self.test.assertIn(f">{20 * 1024}<", after)
        super().check()


class Undefine(ManagedSave):
    def prepare(self):
        super().prepare()
        self.virsh("managedsave", self.guest.name)
        self.saved = self.guest.wait_still()

    def command(self):
        return ["undefine", self.guest.name, "--managed-save"]

    def check(self):
        if self.virsh("list", "--all", "--name"):
            self.test.assertEqual(os.listdir(self.image.parent), [self.image.name], "defined, so nothing is gone")
            self.virsh("start", self.guest.name)
            self.guest.wait_count(self.saved)
            self.goes_on()
        else:
            for directory in ("etc/domains", "etc/autostart", "lib/save"):
                self.test.assertEqual(os.listdir(self.root / directory), [], directory)
            self.virsh("define", self.root / "sector.xml")
            self.boots()


class AttachDisk(Case):
    """Also the persistent definition. Afterwards the disk is there, with its lease, or not there, and its lease is free."""

    def prepare(self):
        self.data = self.root / "data.img"
        self.data.write_bytes(bytes(1 << 20))
        self.guest.define(extra_devices="<controller type='scsi' model='virtio-scsi'/>")
        self.run_guest()

    def command(self):
        return ["attach-disk", self.guest.name, self.data, "sdb", "--persistent"]

    def in_qemu(self):
        answer = self.virsh("qemu-monitor-command", self.guest.name, '{"execute": "query-named-block-nodes"}')
        return str(self.data) in answer

    def is_there(self):
        """In the XML, in QEMU and with a lease, or in none of them."""
        qemus = harness.qemus_of(self.root)
        there = str(self.data) in self.virsh("dumpxml", self.guest.name)
        self.test.assertEqual(self.in_qemu(), there, "QEMU has it and the XML has not, or the other way round")
        self.test.assertEqual(leases.holders(self.data), qemus if there else [])
        defined = str(self.data) in self.virsh("dumpxml", self.guest.name, "--inactive")
        self.test.assertEqual(defined, there, "both definitions, or none")
        return there

    def check(self):
        self.goes_on()
        if not self.is_there():
            self.virsh("attach-disk", self.guest.name, self.data, "sdb", "--persistent")
        self.test.assertTrue(self.is_there())
        self.virsh("detach-disk", self.guest.name, "sdb", "--persistent")
        self.test.assertFalse(self.is_there())
        self.goes_on()

    def check_qemu_killed(self, step, job):
        self.test.assertFalse(self.is_running())
        self.test.assertTrue(leases.is_free(self.data))
        self.boots()
        self.check()

    def check_as_before(self):
        self.test.assertFalse(self.is_there())
        self.goes_on()


class DetachDisk(AttachDisk):
    def prepare(self):
        super().prepare()
        self.virsh("attach-disk", self.guest.name, self.data, "sdb", "--persistent")

    def command(self):
        return ["detach-disk", self.guest.name, "sdb", "--persistent"]

    def is_there(self):
        there = str(self.data) in self.virsh("dumpxml", self.guest.name)
        # The guest has let go, so it goes, but whoever asked was told of a failure: a definition is as it was, or as asked.
        if str(self.data) in self.virsh("dumpxml", self.guest.name, "--inactive") and not there:
            self.virsh("detach-disk", self.guest.name, "sdb", "--config")
        return super().is_there()


class SnapshotRevert(Case):
    """The guest of now goes on, or the one of then; disk, definitions and metadata say the same of which it is."""

    state, running = "running", True

    def prepare(self):
        super().prepare()
        self.run_guest()
        self.image, self.top = self.root / "first.memory", self.root / "sector.first"
        snapshots = reverting.Snapshots(self.test, guest=self.guest)
        snapshots.take("first", self.state)
        self.saved = self.guest.wait_still()
        self.guest.console.unlink(missing_ok=True)
        self.virsh("start", self.guest.name)
        self.guest.wait_count(5)

    def command(self):
        return ["snapshot-revert", self.guest.name, "first"]

    def leased(self):
        return [self.disk()] if self.is_running() else []

    def disk(self, *flags):
        return pathlib.Path(re.search(r"<source file='([^']+)'", self.virsh("dumpxml", self.guest.name, *flags))[1])

    def overlays(self):
        return sorted(self.root.glob("sector.[0-9]*"))

    def is_back(self):
        """Is it the guest of then? Everything must say the same."""
        disk = self.disk()
        self.test.assertEqual(self.disk("--inactive"), disk, "both definitions")
        back = disk != self.top
        self.test.assertEqual(self.overlays(), [disk] if back else [], "no overlay too many")
        self.test.assertEqual(self.top.exists(), not back, "what nobody needs is gone")
        said = str(disk) in self.virsh("snapshot-dumpxml", self.guest.name, "first").partition("<revertDisks>")[2]
        self.test.assertEqual(said, back, "the metadata")
        self.test.assertEqual(self.virsh("snapshot-current", self.guest.name, "--name"), "first")
        self.test.assertEqual([n for n in os.listdir(self.root / "run/vm") if n != self.guest.uuid], [])
        return back

    def check_back(self):
        self.test.assertEqual(self.is_running(), self.running)
        if not self.running:
            self.boots()
            return
        harness.wait_for(lambda: self.guest.numbers()[-1] > self.saved + 3, "it counts from the snapshot on")
        numbers = self.guest.numbers()
        cut = next((i for i, n in enumerate(numbers) if n > self.saved - 3 and (i == 0 or n != numbers[i - 1] + 1)), None)
        if cut is None: # the present had just come to the number with which the guest of then goes on
            self.test.assertEqual(numbers, list(range(1, len(numbers) + 1)))
            return
        self.test.assertEqual(numbers[:cut], list(range(1, cut + 1)), "the present, until it was left")
        self.test.assertEqual(numbers[cut:], list(range(numbers[cut], numbers[cut] + len(numbers) - cut)), "the guest of then")
        self.test.assertLess(abs(numbers[cut] - self.saved), 3)

    def check(self):
        if not self.is_back():
            self.test.assertTrue(self.is_running(), "the present is not lost")
            self.goes_on()
            self.virsh(*self.command())
            self.test.assertTrue(self.is_back())
        self.check_back()

    def check_qemu_killed(self, step, job):
        back = self.is_back()
        if not self.is_running():
            self.boots()
            return
        self.test.assertTrue(back and self.running, "only the parked one was killed, which nobody needed")
        self.check_back()


class SnapshotRevertOff(SnapshotRevert):
    """To a snapshot of a VM that was off."""

    state, running = "shutoff", False

    def run_guest(self):
        pass


class Snapshot(Case):
    """Memory and disks: the whole snapshot, or none and the old images. What the guest wrote is there either way."""

    def prepare(self):
        self.data = self.root / "data.qcow2"
        harness.subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", self.data, "1M"], check=True)
        self.guest.define(extra_devices=f"""<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
            <source file='{self.data}'/><target dev='vda' bus='virtio'/></disk>""")
        self.run_guest()
        self.taken = 0

    def leased(self):
        """Of the first disk, one image or the other."""
        source = re.search(r"<source file='([^']+sector[^']+)'", self.virsh("dumpxml", self.guest.name))
        return [pathlib.Path(source[1])] if self.is_running() else []

    def memory(self):
        return self.root / f"s{self.taken}.mem"

    def command(self):
        return ["snapshot-create-as", self.guest.name, f"s{self.taken}", "--memspec", f"file={self.memory()},snapshot=external"]

    def overlays(self, name):
        return [self.root / f"sector.{name}", self.root / f"data.{name}"]

    def is_there(self):
        """Metadata, image, files, both definitions and QEMU say the same."""
        there = "s0" in self.virsh("snapshot-list", self.guest.name, "--name").split()
        self.test.assertEqual(self.memory().exists(), there)
        nodes = ""
        if self.guest.state() == "running":
            nodes = self.virsh("qemu-monitor-command", self.guest.name, '{"execute": "query-block"}')
        for path in self.overlays("s0"):
            self.test.assertEqual(path.exists(), there, path)
            for flags in [], ["--inactive"]:
                self.test.assertEqual(f"<source file='{path}'" in self.virsh("dumpxml", self.guest.name, *flags), there, path)
            if nodes:
                self.test.assertEqual(str(path) in nodes, there, path)
        self.test.check_no_partial(self.root)
        self.test.assertFalse((self.root / "run/vm" / self.guest.uuid / "gate").exists(), "the gate is gone")
        return there

    def check(self):
        self.test.assertTrue(self.is_running())
        self.goes_on()
        if not self.is_there():
            self.virsh(*self.command())
        self.test.assertTrue(self.is_there())
        self.goes_on()
        # And it is one: what was saved can be loaded.
        self.virsh("destroy", self.guest.name)
        for path in self.overlays("s0"):
            harness.subprocess.run(["qemu-img", "check", "-q", path], check=True)
        harness.Godwit(self.test.daemon)("restore", self.memory(), "--force") # it writes to what the snapshot froze
        last = self.guest.last()
        harness.wait_for(lambda: self.guest.last() != last, "the guest of the snapshot runs")

    def check_qemu_killed(self, step, job):
        self.test.assertFalse(self.is_running())
        self.is_there()
        self.boots()

    def check_as_before(self):
        self.test.assertFalse(self.is_there())
        self.goes_on()


class DeleteSnapshot(Case):
    """The middle one of three, of a VM that runs. Who is left, and the VM, read what they read before."""
    deleted = ("s1",)

    def prepare(self):
        self.disk = snapshots.Disk(self.test, self.guest)
        for i in range(3):
            self.disk.write(i, i + 1)
            self.disk.take(f"s{i}", f"s{i - 1}" if i else None)
        self.come_up()
        self.present = self.disk.write(3, 7)

    def come_up(self):
        self.run_guest()

    def command(self):
        return ["snapshot-delete", self.guest.name, self.deleted[0]]

    def is_begun(self, name):
        """From then on it can only be deleted."""
        return "snapshotDeleteInProgress" in self.virsh("snapshot-dumpxml", self.guest.name, name)

    def check(self):
        self.disk.refresh()
        left = [name for name in self.deleted if name in self.disk.seen]
        begun = [name for name in left if self.is_begun(name)]
        for name in begun:
            del self.disk.seen[name]
        self.disk.check_contents(self.present)
        if left:
            self.virsh(*self.command())
        self.disk.check(self.present)
        self.test.assertFalse(set(self.deleted) & set(self.disk.seen))
        if self.is_running():
            self.goes_on()
            self.virsh("destroy", self.guest.name)
        self.disk.delete(*self.disk.seen)
        self.disk.check(self.present)
        self.test.assertEqual(os.listdir(self.root / "lib/snapshot"), [])
        self.boots()

    def check_qemu_killed(self, step, job):
        self.check()


class DeleteSnapshotsOff(DeleteSnapshot):
    """The current one and its parent, with a branch that stands on what is merged, of a VM that is off."""
    deleted = ("s1", "s2")

    def come_up(self):
        self.disk.revert("s0")
        self.disk.write(5)
        self.disk.take("s3", "s0")
        self.disk.write(6)
        self.disk.revert("s2")

    def command(self):
        return ["snapshot-delete", self.guest.name, "s1", "--children"]


class SnapshotRevertVariables(SnapshotRevert):
    """The same with --reset-nvram: the firmware's variables are those of now, or made anew, and there is nothing beside them."""

    steps = ("keep-nvram", "prepare", "spawn", "record", "tidy") # the others have their own case

    def prepare(self):
        self.guest.put_variables()
        super().prepare()
        self.write_variables()

    def write_variables(self):
        with open(self.guest.variables, "r+b") as f:
            f.write(b"present!")

    def command(self):
        return [*super().command(), "--reset-nvram"]

    def is_back(self):
        back = super().is_back()
        self.test.assertEqual(list(self.root.glob("sector.vars*")), [self.guest.variables])
        word = self.guest.variables.read_bytes()[:8]
        self.test.assertEqual(word, b"template" if back else b"present!")
        return back


class SnapshotRevertStored(Case):
    """What is inside an image comes back, to a guest that boots, or all is as before. The present is not kept longer than it is needed."""

    words = ["--running"]
    steps = ("keep-present", "apply-stored", "record", "forget-present") # the others have their own case

    def prepare(self):
        self.data = self.root / "data.qcow2"
        harness.subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", self.data, "1M"], check=True)
        self.guest.define(extra_devices=f"""<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
            <source file='{self.data}'/><target dev='vda' bus='virtio'/></disk>""")
        self.write("then")
        self.virsh("snapshot-create-as", self.guest.name, "first", "--diskspec", "hda,snapshot=no")
        self.write("now")
        self.run_guest()

    def write(self, word):
        raw = self.root / "data.raw"
        raw.write_bytes(word.encode().ljust(1 << 20, b"\0"))
        harness.subprocess.run(["qemu-img", "convert", "-n", "-f", "raw", "-O", "qcow2", raw, self.data], check=True)

    def read(self):
        raw = self.root / "data.raw"
        harness.subprocess.run(["qemu-img", "convert", "-U", "-O", "raw", self.data, raw], check=True)
        return raw.read_bytes().rstrip(b"\0").decode()

    def command(self):
        return ["snapshot-revert", self.guest.name, "first", *self.words]

    def check_kept(self):
        text = harness.subprocess.run(["qemu-img", "snapshot", "-U", "-l", self.data], capture_output=True, text=True, check=True).stdout
        self.test.assertIn("first", text)
        self.test.assertNotIn("godwit-present", text)

    def check(self):
        if self.read() == "now":
            self.test.assertTrue(self.is_running())
            self.goes_on()
            self.virsh(*self.command())
        self.check_kept()
        self.test.assertEqual(self.read(), "then")
        self.test.assertEqual(self.is_running(), bool(self.words))
        if self.is_running():
            self.virsh("destroy", self.guest.name)
        self.boots()

    def check_qemu_killed(self, step, job):
        # The present may still be kept: the next revert drops it.
        self.test.assertIn(self.read(), ("now", "then"))
        if not self.is_running():
            self.boots()


class SnapshotRevertStoredOff(SnapshotRevertStored):
    """The same, to a VM that is off."""

    words, steps = [], None


CASES = {"start": [Start], "save": [Save, SaveOver, ManagedSave], "start-managed": [StartManaged], "restore": [Restore], "clone": [Clone],
         "undefine": [Undefine], "define": [Define, Redefine],
         "snapshot-revert": [SnapshotRevert, SnapshotRevertVariables, SnapshotRevertStored], "snapshot-revert-stored-off": [SnapshotRevertStoredOff],
         "snapshot-revert-off": [SnapshotRevertOff],
         "attach-disk": [AttachDisk], "detach-disk": [DetachDisk],
         "snapshot-create": [Snapshot],
         "snapshot-delete": [DeleteSnapshot, DeleteSnapshotsOff],
         # The daemon dies long after the call was answered, when the guest obeys: test_define.py has its own test of these.
         "shutdown": [],
         # Two daemons: test_migrate.py has its own test of these.
         "migrate-out": [], "migrate-in": [],
         # No job with a journal: tests/e2e/test_block_job.py.
         "block-job": []}
# Who dies is a helper, or the child that is to become QEMU, not the daemon; its death is an ordinary error.
HELPER_POINTS = {"io-streamed": Save, "io-committed": Save, "lease-taken": Start, "lease-added": AttachDisk}


class Crash(harness.DaemonTest):
    autostart = False
    config = 'lock_manager = "lockd"\n'

    def begin(self, make, point):
        """Bring about everything before the operation, then a daemon that will die at `point`."""
        self.daemon.start()
        case = make(self)
        case.prepare()
        self.daemon.restart(GODWIT_FAULT=point)
        return case

    def wait_until_killed(self, point, client=None):
        said = f"{client.stdout}{client.stderr}" if client else ""
        try:
            status = self.daemon.process.wait(60 * harness.SLOW)
        except harness.subprocess.TimeoutExpired:
            self.fail(f"it did not die at {point}; the client said: {said}")
        self.assertEqual(status, -signal.SIGKILL, f"it was to die at {point}:\n{self.daemon.stderr()[-1500:]}")
        self.daemon.process = None

    def wait_at_rest(self):
        """What recovery had to do is done."""
        harness.wait_for(lambda: os.listdir(self.root / "lib/journal") == [], "no job is left")
        harness.wait_for(lambda: not [c for c in harness.processes_of(self.root).values() if "godwit-io" in c],
                         "no helper is left")
        active = self.virsh("list", "--name").split()
        harness.wait_for(lambda: len(harness.qemus_of(self.root)) == len(active), f"as many QEMUs as running VMs: {active}, "
                         f"{harness.processes_of(self.root)}", 20)
        disks = self.leased()
        if disks:
            self.assertEqual(sorted(pid for disk in disks for pid in leases.holders(disk)), harness.qemus_of(self.root),
                             "each QEMU, and nobody else, holds its lease")

    def daemon_dies(self, make, point):
        case = self.begin(make, point)
        client = case.virsh.run(*case.command())
        self.wait_until_killed(point, client)
        self.assertNotEqual(client.returncode, 0)
        self.daemon.start()
        self.wait_at_rest()
        case.check()
        self.wait_at_rest()

    def recovery_dies(self, make, first, second):
        """The daemon dies at `first`, the one that comes to undo it at `second`."""
        case = self.begin(make, first)
        case.virsh.run(*case.command())
        self.wait_until_killed(first)
        self.daemon.spawn(GODWIT_FAULT=second)
        self.wait_until_killed(second)
        self.daemon.start()
        self.wait_at_rest()
        case.check()

    def qemu_dies(self, make, job, step, point):
        case = self.begin(make, point + "=stop")
        client = case.virsh.start(*case.command())
        daemon = self.daemon.process.pid
        harness.wait_for(lambda: stopped(daemon), f"the daemon stops at {point}")
        for qemu in harness.qemus_of(self.root):
            harness.kill_and_wait(qemu)
        os.kill(daemon, signal.SIGCONT)
        client.communicate(timeout=60 * harness.SLOW)
        self.check_alive()
        self.wait_at_rest()
        self.daemon.restart()
        case.check_qemu_killed(step, job)
        self.check_alive()

    def helper_dies(self, make, point):
        """Helpers inherit the daemon's environment; the daemon itself does not come to a point of this name."""
        case = self.begin(make, point)
        client = case.virsh.run(*case.command())
        self.assertNotEqual(client.returncode, 0)
        self.check_alive()
        self.wait_at_rest()
        case.check_as_before()
        self.daemon.restart()
        case.check()


def stopped(pid):
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def add(target, name, body):
    name = "test_" + "".join(c if c.isalnum() else "_" for c in name)
    assert not hasattr(target, name), name
    setattr(target, name, body)


def job_tests(target, job, make):
    for index, step in enumerate(job.steps):
        if make.steps and step.name not in make.steps:
            continue
        for moment in FORWARD + ((COMMITTED,) if index == job.commit else ()):
            if moment == "done" and index == job.commit:
                continue  # it is called "committed" there
            point = f"{job.name}/{step.name}/{moment}"
            add(target, f"{make.__name__}/{point}", lambda self, p=point: self.daemon_dies(make, p))
            if make is Undefine:
                continue  # there is no QEMU
            add(target, f"qemu/{make.__name__}/{point}", lambda self, p=point, s=step.name: self.qemu_dies(make, job, s, p))
        if step.has_undo and index <= job.commit:
            for moment in BACKWARD:
                first, second = f"{job.name}/{step.name}/begun", f"{job.name}/{step.name}/{moment}"
                add(target, f"{make.__name__}/{second}", lambda self, f=first, s=second: self.recovery_dies(make, f, s))


def operation_of(point):
    """The operation in which it is met; of a helper's, the first that its case stands for."""
    if point in HELPER_POINTS:
        return next(operation for operation, makes in CASES.items() if HELPER_POINTS[point] in makes)
    return point.split("/")[0]


def check_complete():
    """Every job, moment and point of the sources has its case."""
    jobs, moments = points.jobs(), points.moments()
    assert jobs, "no jobs found in the sources"
    unknown = set(moments) - set(FORWARD) - set(BACKWARD) - {COMMITTED}
    assert not unknown, f"moments nobody tests: {unknown}"
    operations = set(jobs) | {operation_of(p) for p in points.others()}
    assert operations <= set(CASES), f"no case for {operations - set(CASES)}"
    here = pathlib.Path(__file__).resolve().parent
    tested = "".join(p.read_text() for p in here.glob("test_*.py"))
    for case in CASES.values():
        for make in case:
            assert f"crash.{make.__name__})" in tested or f"crash.{make.__name__}," in tested, f"no file tests {make.__name__}"


def tests_of(*cases):
    """A test case with the points of these operations."""
    check_complete()
    target = type("Crash", (Crash,), {})
    for operation, makes in CASES.items():
        for make in makes:
            if make not in cases:
                continue
            if operation in points.jobs():
                job_tests(target, points.jobs()[operation], make)
            for point in points.others():
                if operation_of(point) != operation:
                    continue
                if point not in HELPER_POINTS:
                    add(target, f"{make.__name__}/{point}", lambda self, p=point, m=make: self.daemon_dies(m, p))
                elif HELPER_POINTS[point] is make:
                    add(target, point, lambda self, p=point, m=make: self.helper_dies(m, p))
    return target
