#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Snapshots in random order, with daemons and QEMUs killed in between and in the middle.

The guest keeps one counter in memory and on each of two disks, so that it can say whether they are of one instant. After each step the guest is
asked, and the tree is compared with what it should be; at the end every snapshot that still stands is gone back to, and then all are
deleted, which must leave the disks the VM began with and no other file.

GODWIT_SEQUENCES=N does N sequences (default 1), GODWIT_SEED=S begins with that one; a failure names its seed.
"""

import json
import os
import random
import subprocess
import time

import harness

SEQUENCES = int(os.environ.get("GODWIT_SEQUENCES") or 1)
SEED = int(os.environ.get("GODWIT_SEED") or 1)
STEPS = 14
NAMES = [f"s{i}" for i in range(100)]


class TwoDisks(harness.LinuxGuest):
    def __init__(self, *args, **options):
        super().__init__(*args, arguments="gw.disk=/dev/vda,/dev/vdb gw.mem=16 gw.rate=4 gw.disk_ms=5", **options)
        self.images = [self.directory / f"{self.name}-{disk}.{kind}" for disk, kind in (("vda", "img"), ("vdb", "qcow2"))]

    def prepare(self):
        with open(self.images[0], "wb") as f:
            f.truncate(4 << 20)
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", self.images[1], "4M"], check=True)

    def disks_xml(self):
        return "".join(f"""<disk type='file' device='disk'><driver name='qemu' type='{kind}'/>
          <source file='{image}'/><target dev='{target}' bus='virtio'/></disk>"""
                       for image, kind, target in zip(self.images, ("raw", "qcow2"), ("vda", "vdb")))


class Snapshot:
    """What must hold of one: its parent, and between which two numbers of the guest it was taken (None: the VM was off)."""

    def __init__(self, parent, low=None, high=None):
        self.parent, self.low, self.high = parent, low, high


class Sequence:
    def __init__(self, test, seed):
        self.test, self.random = test, random.Random(seed)
        self.guest = TwoDisks(test.root, test.virsh)
        self.guest.define()
        self.virsh, self.name = test.virsh, self.guest.name
        self.snapshots, self.current, self.unused, self.log = {}, None, list(NAMES), []
        self.files = test.root / "files"
        self.files.mkdir()

    def is_running(self):
        return self.guest.state() == "running"

    # what is done

    def boot(self):
        self.virsh("start", self.name)
        boots = self.guest.boots()
        harness.wait_for(lambda: self.guest.boots() > boots or self.guest.last() > 0, "the guest boots")
        self.guest.wait_count()

    def create_command(self, name):
        disks = [word for disk in ("vda", "vdb") for word in
                 ("--diskspec", f"{disk},snapshot=external,file={self.files}/{name}.{disk}")]
        memory = ["--memspec", f"file={self.files}/{name}.memory,snapshot=external"] if self.is_running() else []
        return ["snapshot-create-as", self.name, name, *disks, *memory]

    def created(self, name, low):
        self.snapshots[name] = Snapshot(self.current, low, None if low is None else self.guest.last() + 1)
        self.current = name

    def create(self):
        name = self.unused.pop(0)
        low = self.guest.last() if self.is_running() else None
        self.virsh(*self.create_command(name))
        self.created(name, low)

    def revert(self):
        name = self.random.choice(sorted(self.snapshots))
        before = len(self.guest.console_bytes())
        self.virsh("snapshot-revert", self.name, name)
        self.current = name
        self.check_reverted(name, before)

    def check_reverted(self, name, before):
        snapshot = self.snapshots[name]
        self.test.assertEqual(self.is_running(), snapshot.low is not None, f"after a revert to {name}")
        if snapshot.low is None:
            return
        first = harness.wait_for(lambda: self.first_of_another(before, snapshot), "the guest goes on from the snapshot")
        self.test.assertTrue(snapshot.low <= first <= snapshot.high + 1,
                             f"{name} goes on at {first}, taken between {snapshot.low} and {snapshot.high}")

    def first_of_another(self, before, snapshot):
        """The first number behind `before` that does not follow the one before it; or, when the present had just come to there, one of the snapshot's."""
        numbers = [int(m[0]) for m in harness.TICK.findall(self.guest.console_bytes()[max(before - 200, 0):])]
        for last, number in zip(numbers, numbers[1:]):
            if number != last + 1:
                return number
        return next((n for n in numbers if len(numbers) > 200 and snapshot.low <= n <= snapshot.high + 1), None)

    def deleted(self, name):
        gone = self.snapshots.pop(name)
        for snapshot in self.snapshots.values():
            if snapshot.parent == name:
                snapshot.parent = gone.parent
        if self.current == name:
            self.current = gone.parent

    def delete(self):
        name = self.random.choice(sorted(self.snapshots))
        self.virsh("snapshot-delete", self.name, name)
        self.deleted(name)

    def run_on(self):
        if self.is_running():
            self.guest.wait_count(self.guest.last() + self.random.randrange(5, 40))
        else:
            self.boot()

    def kill_daemon(self):
        self.test.daemon.restart(kill=True)

    def kill_qemu(self):
        for pid in harness.qemus_of(self.test.root):
            harness.kill_and_wait(pid)
        self.guest.wait_state("shut off")

    def shut_down(self):
        self.virsh("destroy", self.name)

    def interrupted(self):
        """The daemon is killed while it takes or deletes one: it is there or not, and the tree is what it then is."""
        name, takes = self.unused.pop(0), self.random.random() < 0.5 or not self.snapshots
        low = self.guest.last() if self.is_running() else None
        if not takes:
            name = self.random.choice(sorted(self.snapshots))
        command = self.create_command(name) if takes else ["snapshot-delete", self.name, name]
        client = self.virsh.start(*command)
        time.sleep(self.random.random() * 0.3) # not waiting for anything: any moment will do
        self.test.daemon.restart(kill=True)
        client.communicate()
        harness.wait_for(lambda: "None" in self.virsh.run("domjobinfo", self.name).stdout or not self.is_running(), "no job is left")
        there = name in self.names()
        if takes and there:
            self.created(name, low)
        elif not takes and not there:
            self.deleted(name)

    # what must hold

    def names(self):
        return set(self.virsh("snapshot-list", self.name, "--name").split())

    def check_tree(self):
        lines = self.virsh("snapshot-list", self.name, "--parent").splitlines()[2:]
        found = {}
        for line in lines:
            words = line.split()
            found[words[0]] = words[-1] if words[-1] in NAMES and len(words) > 5 else None
        self.test.assertEqual(found, {name: s.parent for name, s in self.snapshots.items()})
        done = self.virsh.run("snapshot-current", self.name, "--name")
        self.test.assertEqual(done.stdout.strip() or None, self.current)

    def check_guest(self):
        if not self.is_running():
            return
        good, values = self.guest.ask("check")
        self.test.assertTrue(good, f"memory and disks: {values}")

    def check_images(self):
        """Only of images that no QEMU has open."""
        for image in [self.guest.images[1], *self.files.glob("*.vd?")]:
            done = subprocess.run(["qemu-img", "check", "--output=json", image], capture_output=True, text=True, check=False)
            self.test.assertEqual(done.returncode, 0, f"{image}: {done.stdout} {done.stderr}")

    def step(self):
        choices = [self.create] * 4 + [self.run_on] * 3 + [self.kill_daemon, self.kill_qemu, self.shut_down, self.interrupted]
        if self.snapshots:
            choices += [self.revert] * 4 + [self.delete] * 3
        action = self.random.choice(choices)
        if action in (self.kill_qemu, self.shut_down) and not self.is_running():
            action = self.run_on
        self.log.append(action.__name__)
        action()
        self.check_tree()
        self.check_guest()
        if not self.is_running():
            self.check_images()

    def finish(self):
        for name in sorted(self.snapshots):
            self.log.append(f"revert to {name}")
            before = len(self.guest.console_bytes())
            self.virsh("snapshot-revert", self.name, name)
            self.current = name
            self.check_reverted(name, before)
            self.check_tree()
            self.check_guest()
        while self.snapshots:
            self.log.append("delete at the end")
            self.delete()
            self.check_tree()
            self.check_guest()
        if self.is_running():
            self.shut_down()
        self.test.assertEqual(sorted(p.name for p in self.files.iterdir()), [], "no file is left")
        self.check_images()
        self.boot()
        self.check_guest()


class RandomTest(harness.DaemonTest):
    def test_sequences(self):
        for seed in range(SEED, SEED + SEQUENCES):
            with self.subTest(seed=seed):
                sequence = Sequence(self, seed)
                try:
                    sequence.boot()
                    for _ in range(STEPS):
                        sequence.step()
                    sequence.finish()
                except BaseException:
                    print(json.dumps({"seed": seed, "steps": sequence.log}), flush=True)
                    raise
                self.clean_up()
                self.setUp()


if __name__ == "__main__":
    harness.main()
