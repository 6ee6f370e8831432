#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A save while it runs: what domjobinfo says, what else is allowed, and taking it back."""

import os
import re
import shutil
import signal
import unittest

import harness

MEMORY = 64  # MiB of incompressible memory


class Job(harness.DaemonTest):
    autostart = False

    def setUp(self):
        super().setUp()
        # While this file is there no save comes to its end: it is met half-way, however fast the machine is.
        self.brake = self.root / "brake"
        self.daemon.start(GODWIT_FAULT=f"io-saving=hold:{self.brake}")
        self.guest = self.linux(memory=MEMORY + 128, arguments=f"gw.mem={MEMORY} gw.incompressible=1").define()
        self.virsh("start", self.guest.name)
        self.guest.wait_count(timeout=120)
        self.image = self.root / "vm.save"

    def job(self):
        """{field: value} of domjobinfo; empty when there is no job."""
        done = self.virsh.run("domjobinfo", self.guest.name)
        return dict(re.findall(r"^([A-Za-z ]+):\s+(.*?)\s*$", done.stdout, re.M)) if done.returncode == 0 else {}

    def begin(self, *command):
        """Start a command and wait until its job moves memory; it does not end before release()."""
        self.brake.touch()
        process = self.virsh.start(*command)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)

        def moving():
            self.assertIsNone(process.poll(), "it was over before it could be looked at")
            values = self.job()
            return values if values.get("Memory processed", "0") not in ("0", "0.000 B") else None

        return process, harness.wait_for(moving, "the job moves memory")

    def release(self):
        self.brake.unlink()

    def begin_and_abort(self, *command):
        process, _ = self.begin(*command)
        self.virsh("domjobabort", self.guest.name)
        self.assertNotEqual(process.wait(60), 0)
        self.assertRegex(process.stderr.read(), r"(?i)abort|cancel")
        self.release()

    def goes_on(self):
        self.guest.wait_count(self.guest.last() + 5)
        self.guest.check()

    def test_running_job(self):
        """One long test: booting and filling the memory is what takes time."""
        with self.subTest("figures while it runs"):
            process, values = self.begin("save", self.guest.name, self.image)
            self.assertEqual(values["Operation"], "Save")
            self.assertRegex(values["Time elapsed"], r"^[1-9]\d* +ms$")
            self.assertRegex(values["Memory total"], r"^\d+\.\d+ [MG]iB$")
            self.release()
            self.assertEqual(process.wait(60), 0, process.stderr.read())
            self.assertRegex(self.virsh("domjobinfo", self.guest.name, "--completed", "--keep-completed"),
                             r"(?s)Completed.*Save.*Memory total")
            self.virsh("restore", self.image)
            self.goes_on()
            self.image.unlink()
        with self.subTest("one job at a time, queries do not wait"):
            process, _ = self.begin("save", self.guest.name, self.image)
            self.assertRegex(self.virsh.fails("managedsave", self.guest.name), r"(?i)save|lock|running")
            self.assertRegex(self.virsh("domstate", self.guest.name), r"paused|running|shut off")
            self.release()
            self.assertEqual(process.wait(60), 0, process.stderr.read())
            self.virsh("restore", self.image)
            self.image.unlink()
        with self.subTest("abort of a save"):
            self.begin_and_abort("save", self.guest.name, self.image)
            self.assertFalse(self.image.exists(), "no file is left")
            self.check_no_partial(self.root)
            self.assertEqual(self.guest.state(), "running")
            self.goes_on()
        with self.subTest("abort of a managed save of a paused guest"):
            self.virsh("suspend", self.guest.name)
            self.begin_and_abort("managedsave", self.guest.name)
            self.assertEqual(self.guest.state(), "paused", "as it was")
            self.assertFalse(self.managed_save_path(self.guest).exists())
            self.virsh("resume", self.guest.name)
            self.goes_on()
            self.assertRegex(self.virsh("domjobinfo", self.guest.name), r"Job type:\s+None")
        with self.subTest("the client goes away"):
            process, _ = self.begin("save", self.guest.name, self.image)
            process.kill()
            process.wait()
            self.release()
            harness.wait_for(lambda: not self.job().get("Operation"), "the job ends")
            if self.guest.state() == "shut off":
                self.virsh("restore", self.image)
            self.goes_on()
        with self.subTest("destroy during a save"):
            self.virsh("save", self.guest.name, self.image)
            shutil.copy2(self.guest.disk, self.root / "disk.saved")
            other = self.root / "other.save"
            self.virsh("restore", self.image)
            process, _ = self.begin("save", self.guest.name, other)
            self.virsh("destroy", self.guest.name)
            self.assertNotEqual(process.wait(60), 0)
            self.guest.wait_state("shut off")
            self.assertFalse(other.exists())
            self.release()
        with self.subTest("QEMU dies during a save"):
            shutil.copy2(self.root / "disk.saved", self.guest.disk) # it ran since, and memory has to fit its disk
            self.virsh("restore", self.image)
            process, _ = self.begin("save", self.guest.name, other)
            qemu, = harness.qemus_of(self.root)
            os.kill(qemu, signal.SIGKILL)
            self.assertNotEqual(process.wait(60), 0)
            self.guest.wait_state("shut off")
            self.assertFalse(other.exists())
            self.check_no_partial(self.root)
            self.check_alive()


if __name__ == "__main__":
    unittest.main(verbosity=2)
