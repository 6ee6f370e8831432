#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Snapshots inside qcow2 images, and those a storage program keeps: taken, gone back to, deleted, of a VM that runs and of one that is off."""

import json
import os
import re
import subprocess

import harness

# Keeps copies beside the files; fails where a file tells it to.
HOOK = """#!/bin/sh
action=$1 name=$3
echo "$action $name" >>{root}/told
shift 3
if [ $action = exists ]; then
	found=no
	for disk; do
		[ ! -e "${{disk#*=}}.$name" ] || found=yes
	done
	exec echo $found
fi
[ ! -e {root}/wait ] || cat {root}/wait
[ ! -e {root}/fail-$action-$name ] || {{ echo no room >&2; exit 1; }}
for disk; do
	path=${{disk#*=}}
	case $action in
	create) cp "$path" "$path.$name" ;;
	revert) cp "$path.$name" "$path" ;;
	delete) rm -f "$path.$name" ;;
	esac
done
"""


class Inside(harness.DaemonTest):
    autostart = False

    def setUp(self):
        super().setUp()
        hook = self.root / "hook"
        hook.write_text(HOOK.format(root=self.root))
        hook.chmod(0o755)
        (self.root / "etc/godwit.conf").write_text(f'snapshot_hook = "{hook}"\n')
        self.daemon.start()
        self.guest = self.linux(arguments="gw.mem=16 gw.rate=4 gw.disk_ms=5")
        self.name, self.image = self.guest.name, self.root / "vda.qcow2"
        self.guest.disks_xml = lambda: f"""<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
          <source file='{self.image}'/><target dev='vda' bus='virtio'/></disk>"""
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", self.image, "4M"], check=True)
        self.guest.define()

    def boot(self):
        self.virsh("start", self.name)
        self.guest.wait_count()

    def take(self, name, *words):
        """The highest number the guest can have said then."""
        self.virsh("snapshot-create-as", self.name, name, *words)
        return self.guest.last()

    def check(self):
        good, values = self.guest.ask("check")
        self.assertTrue(good, values)

    def check_back(self, before, taken):
        """It goes on from the snapshot."""
        first = harness.wait_for(lambda: self.jump(before), "the guest of the snapshot counts")
        self.assertLessEqual(first, taken + 1)
        self.check()

    def jump(self, before):
        numbers = [int(m[0]) for m in harness.TICK.findall(self.guest.console_bytes()[max(before - 100, 0):])]
        return next((b for a, b in zip(numbers, numbers[1:]) if b != a + 1), None)

    def tags(self, image=None):
        info = json.loads(subprocess.run(["qemu-img", "info", "-U", "--output=json", image or self.image], capture_output=True, check=True).stdout)
        return [s["name"] for s in info.get("snapshots", [])]

    def read(self):
        return self.image.read_bytes()

    def test_running(self):
        self.boot()
        one = self.take("one")
        self.assertEqual(self.guest.state(), "running")
        self.assertIn("internal", self.virsh("snapshot-info", self.name, "one"))
        self.guest.wait_count(one + 20)
        two = self.take("two")
        self.assertEqual(self.tags(), ["one", "two"])
        self.assertIn("exists", self.virsh.fails("snapshot-create-as", self.name, "one"))
        for name, taken in (("one", one), ("two", two), ("one", one)):
            # Beyond both, so that its number goes down.
            self.guest.wait_count(max(self.guest.last(), two) + 10)
            before = len(self.guest.console_bytes())
            self.virsh("snapshot-revert", self.name, name)
            self.check_back(before, taken)
        self.assertEqual(self.tags(), ["one", "two"], "the present is not kept any longer")
        self.virsh("snapshot-revert", self.name, "two", "--paused")
        self.assertEqual(self.guest.state(), "paused")
        self.virsh("blockresize", self.name, "vda", "5M")
        self.take("three")
        self.assertEqual(self.guest.state(), "paused")
        self.virsh("resume", self.name)
        self.check()
        self.virsh("snapshot-delete", self.name, "two")
        self.assertEqual(self.tags(), ["one", "three"])
        self.virsh("destroy", self.name)
        subprocess.run(["qemu-img", "check", "-q", self.image], check=True)
        before = len(self.guest.console_bytes())
        self.virsh("snapshot-revert", self.name, "one")
        harness.wait_for(lambda: len(self.guest.console_bytes()) > before + 100, "it runs again")
        self.check()
        self.virsh("snapshot-delete", self.name, "one", "--children")
        self.assertEqual(self.tags(), [])

    def test_present(self):
        """What cannot be loaded leaves the guest of now as it is, its disk as well."""
        self.boot()
        self.take("one")
        self.guest.wait_count(self.guest.last() + 20)
        self.virsh("destroy", self.name)
        subprocess.run(["qemu-img", "snapshot", "-d", "one", self.image], check=True)
        subprocess.run(["qemu-img", "snapshot", "-c", "one", self.image], check=True) # has no state of a guest
        self.boot()
        before = self.guest.last()
        self.assertIn("one", self.virsh.fails("snapshot-revert", self.name, "one"))
        self.assertEqual(self.guest.state(), "running")
        self.guest.wait_count(before + 10)
        self.guest.check_sequence(self.guest.numbers()[0])
        self.check()
        self.assertEqual(self.tags(), ["one"])

    def test_off(self):
        self.take("empty")
        self.boot()
        self.guest.wait_count(self.guest.last() + 10)
        self.virsh("destroy", self.name)
        self.take("used")
        self.assertEqual(self.tags(), ["empty", "used"])
        for name, used in (("empty", False), ("used", True)):
            self.virsh("snapshot-revert", self.name, name)
            self.assertEqual(self.guest.state(), "shut off")
            raw = self.root / "raw"
            subprocess.run(["qemu-img", "convert", "-O", "raw", self.image, raw], check=True)
            self.assertEqual(any(raw.read_bytes()), used, name)
        self.boot()
        self.virsh("snapshot-revert", self.name, "empty")
        self.assertEqual(self.guest.reason(), "shut off (from snapshot)")
        self.virsh("snapshot-revert", self.name, "empty", "--running")
        harness.wait_for(lambda: re.search(rb"base=0 errors=0", self.guest.console_bytes()), "it finds an empty disk")
        self.assertEqual(self.tags(), ["empty", "used"])
        self.virsh("snapshot-delete", self.name, "empty", "--children")
        self.assertEqual(self.tags(), [])

    def test_of_a_disk_that_is_gone(self):
        """It is deleted from the image nevertheless, once no QEMU may have that."""
        other = self.root / "vdb.qcow2"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", other, "1M"], check=True)
        self.virsh("attach-disk", self.name, other, "vdb", "--subdriver", "qcow2", "--config")
        self.take("both")
        self.assertEqual(self.tags(other), ["both"])
        self.virsh("detach-disk", self.name, "vdb", "--config")
        self.boot()
        self.assertIn(f"inside image {other} of disk vdb, which the running VM does not have: shut it down first",
                      self.virsh.fails("snapshot-delete", self.name, "both"))
        self.assertEqual((self.tags(), self.tags(other)), (["both"], ["both"]))
        self.virsh("destroy", self.name)
        self.virsh("snapshot-delete", self.name, "both")
        self.assertEqual((self.tags(), self.tags(other)), ([], []))

    def test_named_as_an_id(self):
        """An image numbers its snapshots: '2' is not the second one when it is called so."""
        contents = {}
        for number, name in enumerate(("2", "other"), 1):
            subprocess.run(["qemu-io", "-c", f"write -q -P {number} 0 64k", self.image], check=True)
            self.take(name)
            contents[name] = number
        self.virsh("snapshot-revert", self.name, "2")
        done = subprocess.run(["qemu-io", "-r", "-c", f"read -P {contents['2']} 0 64k", self.image], capture_output=True, text=True)
        self.assertNotIn("verification failed", done.stdout)
        self.boot()
        self.take("running")
        self.take("5")
        self.assertEqual(self.tags(), ["2", "other", "running", "5"])
        self.take("last")
        said = self.virsh.fails("snapshot-revert", self.name, "5")
        self.assertIn("the name '5' is the ID of another snapshot, 'last'", said)
        self.assertEqual(self.guest.state(), "running")
        self.guest.wait_count(self.guest.last() + 4)

    def test_not_ours(self):
        """An image has one of that name already, of which nothing is known here: it stays."""
        self.take("one", "--no-metadata")
        for start in (lambda: None, self.boot):
            start()
            message = self.virsh.fails("snapshot-create-as", self.name, "one")
            self.assertRegex(message, f"{self.image} has a snapshot 'one' inside already")
            self.assertEqual(self.tags(), ["one"])
        self.assertEqual(self.guest.state(), "running")
        self.take("two")
        self.assertEqual(self.tags(), ["one", "two"])

    def told(self):
        path = self.root / "told"
        text = path.read_text() if path.exists() else ""
        path.unlink(missing_ok=True)
        return text.splitlines()

    def test_manual(self):
        """By the program: one command there, and one back."""
        self.boot()
        taken = self.take("one", "--memspec", f"file={self.root}/one.memory,snapshot=external", "--diskspec", "vda,snapshot=manual")
        self.assertEqual((self.guest.state(), self.told()), ("running", ["exists one", "create one"]))
        self.guest.wait_count(taken + 20)
        before = len(self.guest.console_bytes())
        self.virsh("snapshot-revert", self.name, "one")
        self.check_back(before, taken)
        self.assertEqual(self.told(), ["create godwit-present", "revert one", "delete godwit-present"])
        fail = self.root / "fail-revert-one"
        fail.touch()
        last = self.guest.last()
        self.assertIn("no room", self.virsh.fails("snapshot-revert", self.name, "one"))
        self.assertEqual(self.told(), ["create godwit-present", "revert one", "revert godwit-present", "delete godwit-present"])
        self.guest.wait_count(last + 10)
        self.check()
        with self.subTest("not even the present can be brought back: the guest does not go on over the disks of then"):
            lost = self.root / "fail-revert-godwit-present"
            lost.touch()
            said = self.virsh.fails("snapshot-revert", self.name, "one")
            self.assertRegex(said, "no room.*kept as 'godwit-present'")
            self.assertEqual(self.told(), ["create godwit-present", "revert one", "revert godwit-present"])
            harness.wait_for(lambda: self.guest.state() == "shut off", "its QEMU ends")
            self.assertEqual(harness.qemus_of(self.root), [])
            kept = self.root / "vda.qcow2.godwit-present"
            kept.rename(self.image)
            lost.unlink()
            self.boot()
            self.check()
        self.virsh("snapshot-delete", self.name, "one")
        self.assertEqual(self.told(), ["delete one"])
        self.assertEqual(list(self.root.glob("*.godwit-present")) + list(self.root.glob("one.memory")), [])

    def test_hook_of_its_own(self):
        """One that is named for a snapshot is its program ever after: over restarts, renames, for going back and for deleting."""
        godwit = harness.Godwit(self.daemon)
        own = self.root / "own"
        own.write_text(HOOK.format(root=self.root).replace('echo "$action', 'echo "own $action'))
        own.chmod(0o777)
        self.assertIn("can be written by others", godwit.fails("snapshot", "save", self.name, "one", "--hook", own))
        own.chmod(0o644)
        self.assertIn("Permission denied", godwit.fails("snapshot", "save", self.name, "one", "--hook", own))
        self.assertIn("neither an absolute path", godwit.fails("snapshot", "save", self.name, "one", "--hook", ".hidden"))
        self.assertIn("No such file", godwit.fails("snapshot", "save", self.name, "one", "--hook", "nothing"))
        own.chmod(0o755)
        self.assertEqual(self.told(), [])
        self.boot()
        godwit("snapshot", "save", self.name, "one", "--hook", own)
        taken = self.guest.last()
        self.assertEqual((self.guest.state(), self.told()), ("running", ["own exists one", "own create one"]))
        self.assertIn("<disk name='vda' snapshot='manual'", self.virsh("snapshot-dumpxml", self.name, "one"))
        kept = self.root / "lib/snapshot" / self.name / "one.hook"
        self.assertEqual(json.loads(kept.read_text())["program"], str(own))
        self.daemon.restart()
        self.guest.wait_count(taken + 20)
        before = len(self.guest.console_bytes())
        godwit("snapshot", "rollback", self.name, "one")
        self.check_back(before, taken)
        self.assertEqual(self.told(), ["own create godwit-present", "own revert one", "own delete godwit-present"])
        self.virsh("destroy", self.name)
        with self.subTest("what the storage has is not taken by a snapshot that fails"):
            godwit("snapshot", "delete", self.name, "one", "--metadata")
            self.assertFalse(kept.exists())
            self.assertEqual(self.told(), [])
            image = self.root / "vda.qcow2.one"
            self.assertTrue(image.exists())
            self.assertIn("under the name 'one' already", godwit.fails("snapshot", "save", self.name, "one", "--hook", own))
            self.assertTrue(image.exists())
            self.assertEqual(self.told(), ["own exists one"])
        godwit("snapshot", "save", self.name, "two", "--hook", own)
        self.virsh("domrename", self.name, "other")
        self.told()
        own.rename(self.root / "gone")
        self.assertIn("No such file", self.virsh.fails("snapshot-delete", "other", "two"))
        (self.root / "gone").rename(own)
        self.virsh("snapshot-delete", "other", "two")
        self.assertEqual(self.told(), ["own delete two"])
        self.assertFalse((self.root / "lib/snapshot/other").exists())

    def test_transient_is_seen(self):
        """While its QEMU is parked there is still a paused guest to look at."""
        self.boot()
        self.take("one", "--memspec", f"file={self.root}/one.memory,snapshot=external", "--diskspec", "vda,snapshot=manual")
        number = self.virsh("domid", self.name)
        self.virsh("undefine", self.name, "--snapshots-metadata")
        self.told()
        wait = self.root / "wait"
        os.mkfifo(wait)
        client = self.virsh.start("snapshot-revert", self.name, "one")
        with open(wait, "w"):
            self.assertEqual(self.told(), ["create godwit-present"])
            self.assertEqual(self.virsh("domid", self.name), number)
            self.assertEqual(self.guest.reason(), "paused (from snapshot)")
            self.assertIn("Persistent:     no", self.virsh("dominfo", self.name))
            self.virsh("domstats", self.name)
            self.virsh("dumpxml", self.name)
            wait.unlink()
        self.assertEqual(client.wait(60), 0, client.communicate())
        client.communicate()
        self.check()


if __name__ == "__main__":
    harness.main()
