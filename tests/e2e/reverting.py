# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests of going back to snapshots share: a guest with snapshots, and what must hold after each return."""

import os
import pathlib
import re
import subprocess
import time

import harness


def overlay(path, base, base_format="raw"):
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", base_format, "-b", base, path], check=True)


class Snapshots:
    """A counting guest whose snapshots are made by hand: a save's image, an overlay, and their description."""

    def __init__(self, test, guest=None, **options):
        self.test, self.virsh, self.root = test, test.virsh, test.root
        self.guest = guest or harness.LinuxGuest(self.root, self.virsh, **options)
        self.name = self.guest.name
        self.mark, self.taken = 0, {}

    def boot(self):
        self.guest.define()
        self.virsh("start", self.name)
        self.guest.wait_count(10)

    def define_on(self, disk, disk_format="qcow2"):
        """The VM boots from another disk the next time."""
        xml = self.virsh("dumpxml", self.name, "--inactive", "--security-info")
        xml = re.sub(r"<driver name='qemu' type='\w+'", f"<driver name='qemu' type='{disk_format}'", xml, count=1)
        xml = re.sub(r"<source file='[^']+'", f"<source file='{disk}'", xml, count=1)
        path = self.root / "changed.xml"
        path.write_text(xml)
        self.virsh("define", path)

    def take(self, name, state="running"):
        """Save the guest, and describe that as a snapshot; the VM is off, and boots from an overlay. What it said last."""
        image, top = self.root / f"{name}.memory", self.root / f"{self.name}.{name}"
        frozen = self.disk()
        if state != "shutoff":
            self.virsh("save", self.name, image, *(["--paused"] if state == "paused" else []))
            xml = self.virsh("save-image-dumpxml", image, "--security-info")
        else:
            xml = self.virsh("dumpxml", self.name, "--inactive", "--security-info")
        overlay(top, frozen, self.format_of(xml))
        self.describe(name, state, xml, top, image)
        self.define_on(top)
        self.taken[name] = self.guest.wait_still() if state != "shutoff" else 0
        return self.taken[name]

    def describe(self, name, state, xml, top, image):
        memory = "<memory snapshot='no'/>" if state == "shutoff" else f"<memory snapshot='external' file='{image}'/>"
        current = self.virsh.run("snapshot-current", self.name, "--name").stdout.strip()
        parent = f"<parent><name>{current}</name></parent>" if current else ""
        target = re.search(r"<target dev='(\w+)'", xml)[1]
        path = self.root / f"{name}.xml"
        path.write_text(f"""<domainsnapshot><name>{name}</name><state>{state}</state>{parent}
          <creationTime>{int(time.time())}</creationTime>{memory}
          <disks><disk name='{target}' snapshot='external' type='file'><driver type='qcow2'/><source file='{top}'/></disk></disks>
          {xml}</domainsnapshot>""")
        self.virsh("snapshot-create", self.name, path, "--redefine", "--current")

    @staticmethod
    def format_of(xml):
        return re.search(r"<driver name='qemu' type='(\w+)'", xml)[1]

    def disk(self):
        return pathlib.Path(re.search(r"<source file='([^']+)'", self.virsh("dumpxml", self.name))[1])

    def boot_present(self):
        """The guest of now, which must not be lost."""
        self.mark = len(self.guest.console_bytes())
        self.virsh("start", self.name)
        self.wait_ready()

    def wait_ready(self):
        harness.wait_for(lambda: len(self.numbers()) > 5, "it counts")

    def leave_behind(self, name):
        """Let the present count beyond the snapshot, so that it does not end where the guest of then goes on."""
        harness.wait_for(lambda: not self.guest.state() == "running" or self.guest.last() > self.taken.get(name, 0) + 3,
                         f"it counts beyond {name}")

    def revert(self, name, *flags):
        self.leave_behind(name)
        self.mark = len(self.guest.console_bytes())
        self.virsh("snapshot-revert", self.name, name, *flags)

    def numbers(self):
        """What the guest has said since the mark, its first line perhaps cut off. After a boot, since that."""
        text = self.guest.console_bytes()[self.mark:]
        return [int(m[0]) for m in harness.TICK.findall(text[max(text.rfind(b"GW boot id="), 0):])]

    def runs(self):
        """The numbers since the mark, cut where one does not follow the other."""
        runs = []
        for number in self.numbers():
            if runs and number == runs[-1][-1] + 1:
                runs[-1].append(number)
            else:
                runs.append([number])
        return runs

    def is_good(self):
        for command in ("check-memory", "check-disk", "status"):
            good, values = self.guest.ask(command)
            self.test.assertTrue(good, f"{command} says {values}")

    def check_back(self, first, parked=True):
        """It goes on from `first` without a gap; memory and disk are good. `parked`: another one had to be left for it."""
        harness.wait_for(lambda: self.runs() and abs(self.runs()[-1][0] - first) < 3 and len(self.runs()[-1]) > 5,
                         f"it counts from {first} on")
        self.is_good()
        self.test.assertLessEqual(len(self.runs()), 2 if parked else 1, f"{[run[:2] for run in self.runs()]}")
        self.mark = len(self.guest.console_bytes())

    def check_present(self):
        """Nothing has happened: it counts on."""
        said = len(self.numbers())
        harness.wait_for(lambda: len(self.numbers()) > said + 5, "it counts on")
        self.is_good()
        self.test.assertEqual(len(self.runs()), 1, "no number is lost, or twice")

    def check_files(self):
        for path in self.root.glob(f"{self.name}.*"):
            if path.is_file() and path.read_bytes()[:4] == b"QFI\xfb":
                subprocess.run(["qemu-img", "check", "-q", "-U", path], check=True)

    def left_over(self):
        """Names in run/vm that are no VM's."""
        return [name for name in os.listdir(self.root / "run/vm") if name != self.guest.uuid]
