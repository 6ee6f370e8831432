# SPDX-License-Identifier: LGPL-2.1-or-later
"""What tests of lazy restore share: a guest booted and saved once for all of them, and a brake on what comes in unasked.

Each test begins with a new daemon, the image, and the disk as it was when the image was written. With hold() nothing comes in but
what the guest asks for, until release().
"""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import harness

MEMORY, AREA = 256, 64


class LazyTest(unittest.TestCase):
    config = ""

    @classmethod
    def setUpClass(cls):
        cls.root = pathlib.Path(tempfile.mkdtemp(prefix="gw-", dir=os.environ.get("GODWIT_TEST_DIR")))
        cls.root.chmod(0o755)
        cls.addClassCleanup(cls.remove_all)
        cls.template, cls.image, cls.brake = cls.root / "template.save", cls.root / "vm.save", cls.root / "brake"
        daemon = harness.Daemon(cls.root).start()
        guest = cls.new_guest(daemon).define()
        guest.virsh("start", guest.name)
        guest.wait_count(20)
        guest.virsh("save", guest.name, cls.template, "--image-format", "raw")
        cls.definition = guest.virsh("dumpxml", guest.name, "--inactive")
        daemon.stop()
        shutil.copy2(guest.disk, cls.root / "disk.before")

    @classmethod
    def new_guest(cls, daemon):
        guest = harness.LinuxGuest(cls.root, harness.Virsh(daemon.uri()), memory=MEMORY,
                                   arguments=f"gw.mem={AREA} gw.rate=2 gw.incompressible=1")
        guest.uuid = "6a0d2f6e-4a4c-4d8e-9f14-2c1c7b5ad001"
        return guest

    @classmethod
    def remove_all(cls):
        harness.end_everything(cls.root)
        if not os.environ.get("GODWIT_TEST_KEEP"):
            shutil.rmtree(cls.root, ignore_errors=True)

    def setUp(self):
        self.addCleanup(self.clean_up)
        self.daemon = harness.Daemon(self.root, self.config or "# none\n")
        self.guest = self.new_guest(self.daemon)
        self.virsh = self.guest.virsh
        shutil.copy2(self.root / "disk.before", self.guest.disk)
        shutil.copy2(self.template, self.image)
        self.guest.console.unlink(missing_ok=True)
        self.release()

    def clean_up(self):
        self.daemon.kill()
        harness.end_everything(self.root)
        for left in (self.root / "lib/save").iterdir():
            left.unlink()

    # the daemon and its command

    def start_daemon(self, hold=False, **environment):
        if hold:
            self.hold()
        self.daemon.start(GODWIT_FAULT=f"io-filling=hold:{self.brake}", **environment)

    def hold(self):
        self.brake.touch()

    def release(self):
        self.brake.unlink(missing_ok=True)

    def godwit(self, *args):
        """The finished process of our own command."""
        return subprocess.run([str(harness.BUILD / "godwit"), "-c", self.daemon.uri(), *map(str, args)], text=True,
                              capture_output=True, timeout=120 * harness.SLOW, stdin=subprocess.DEVNULL)

    def info(self):
        return json.loads(self.godwit("dominfo", self.guest.name, "--json").stdout)

    def is_coming_in(self):
        return "memory_in" in self.info()

    def wait_all_in(self):
        harness.wait_for(lambda: not self.is_coming_in(), "all memory is in")

    def helper(self):
        """The pid of the helper that serves pages."""
        pids = [pid for pid, command in harness.processes_of(self.root).items() if "godwit-io" in command.split(" ")[0]]
        self.assertEqual(len(pids), 1, "one helper is at work")
        return pids[0]

    # the guest

    def answers(self, beyond=None):
        """It counts on."""
        self.guest.wait_count(self.guest.last() + 3 if beyond is None else beyond)

    def check_guest(self):
        """All of its memory is what it was, or became since; no number was lost or said twice."""
        for command in ("check-memory", "check-disk", "status"):
            good, values = self.guest.ask(command)
            self.assertTrue(good, f"{command}: {values}")
        numbers = self.guest.numbers()
        self.guest.check_sequence(numbers[0])

    def start_held_from_managed_save(self):
        """It runs from its managed save, of which no more is read than it asks for."""
        self.start_daemon()
        self.virsh("restore", self.image)
        self.wait_all_in()
        self.virsh("managedsave", self.guest.name)
        saved = self.guest.last()
        self.hold()
        self.virsh("start", self.guest.name)
        self.answers(saved + 3)
        self.assertTrue(self.used().exists(), "pages are still read from it")

    def used(self):
        return self.root / "lib/save" / f"{self.guest.name}.save.used"
