#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Images of a disk are merged while the guest writes to it."""

import contextlib
import json
import os
import re
import signal
import subprocess
import unittest
import xml.etree.ElementTree as ET

import harness
import leases

MIB = 1 << 20
SIZE = 48 * MIB


def tool(*args):
    return subprocess.run(list(map(str, args)), check=True, capture_output=True, text=True).stdout


def check_image(path):
    """qemu-img's verdict: nothing is wrong; clusters that nobody uses (3), as a killed QEMU leaves them, do no harm."""
    done = subprocess.run(["qemu-img", "check", path], capture_output=True, text=True)
    if done.returncode not in (0, 3):
        raise AssertionError(f"qemu-img check {path}: {done.stdout}{done.stderr}")


class Chain(harness.LinuxGuest):
    """A guest whose disk is base <- middle <- top, each with 8 MiB of its own."""

    names = ("base", "middle", "top")
    relative = explicit = False

    @property
    def images(self):
        return [self.directory / f"{self.name}.{n}" for n in self.names]

    def prepare(self):
        below = None
        for i, image in enumerate(self.images):
            backing = ["-b", below.name if self.relative else below, "-F", "qcow2"] if below else []
            tool("qemu-img", "create", "-q", "-f", "qcow2", *backing, image, *([] if below else [SIZE]))
            tool("qemu-io", "-c", f"write -q -P {i + 1} {8 * (i + 1)}M 8M", image)
            below = image

    def disks_xml(self):
        stores, layers = "", [*reversed(self.images[:-1])] if self.explicit else []
        for i, image in enumerate(layers):
            stores += f"<backingStore type='file'><format type='qcow2'/><source file='{image}'/>"
        if layers:
            stores += "<backingStore/>" + "</backingStore>" * len(layers)
        return f"""<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
      <source file='{self.images[-1]}'/>{stores}<target dev='vda' bus='virtio'/></disk>"""


class Jobs(harness.DaemonTest):
    def guest(self, relative=False, explicit=False, start=True):
        guest = Chain(self.root, self.virsh, arguments="gw.mem=4")
        guest.relative, guest.explicit = relative, explicit
        guest.define()
        if start:
            self.virsh("start", guest.name)
            guest.wait_count(3)
        return guest

    def chain(self, guest, *flags):
        """The files of vda from the top down, as the XML has them."""
        disk = ET.fromstring(self.virsh("dumpxml", guest.name, *flags)).find("devices/disk")
        found = [disk.find("source").get("file")]
        store = disk.find("backingStore")
        while store is not None and store.find("source") is not None:
            found.append(store.find("source").get("file"))
            store = store.find("backingStore")
        return [os.path.basename(f).rpartition(".")[2] for f in found]

    def qmp(self, guest, command, **arguments):
        asked = json.dumps({"execute": command, "arguments": arguments})
        return json.loads(self.virsh("qemu-monitor-command", guest.name, asked))["return"]

    def check_agreed(self, guest, *names):
        """XML, headers and QEMU's nodes are of these images alone, and the guest has lost nothing."""
        self.assertEqual(self.chain(guest), list(names))
        headers = json.loads(tool("qemu-img", "info", "-U", "--backing-chain", "--output=json", guest.directory / f"guest.{names[0]}"))
        self.assertEqual([os.path.basename(h["filename"]).rpartition(".")[2] for h in headers], list(names))
        nodes = {n["node-name"] for n in self.qmp(guest, "query-named-block-nodes", flat=True)}
        self.assertEqual(len(nodes), 2 * len(names), nodes)
        self.assertEqual(self.qmp(guest, "query-jobs"), [])
        guest.wait_count(guest.last() + 2)
        guest.check()

    def job_info(self, guest):
        done = self.virsh.run("blockjob", guest.name, "vda", "--info")
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stderr + done.stdout  # progress is on the one, the limit on the other

    def wait_no_job(self, guest):
        harness.wait_for(lambda: "No current block job" in self.job_info(guest), "the block job is over")

    def check_data(self, guest, image):
        """What each image had of its own is to be read through this one, nobody having it open."""
        for i in range(3):
            tool("qemu-io", "-r", "-c", f"read -q -P {i + 1} {8 * (i + 1)}M 8M", image)
        for path in guest.images:
            if path.exists():
                check_image(path)

    def check_boots(self, guest, image):
        """What is defined is whole, and the guest comes up from it."""
        self.check_data(guest, image)
        before = guest.boots()
        self.virsh("start", guest.name)
        harness.wait_for(lambda: guest.boots() > before, "the guest boots")
        guest.wait_count(3)
        self.assertTrue(guest.ask("check-disk")[0])
        self.virsh("destroy", guest.name)


class Stock(Jobs):
    def test_commit_of_an_inner_image(self):
        guest = self.guest()
        said = self.virsh("blockcommit", guest.name, "vda", "--top", guest.images[1], "--base", guest.images[0],
                          "--wait", "--verbose")
        self.assertIn("Commit complete", said)
        self.check_agreed(guest, "top", "base")
        self.assertTrue(guest.images[1].exists())
        self.virsh("destroy", guest.name)
        self.check_boots(guest, guest.images[2])

    def test_commit_of_the_active_image(self):
        """The definition follows, the file goes, both events are told."""
        guest = self.guest()
        with self.virsh.start("event", guest.name, "--all", "--loop") as events, contextlib.ExitStack() as stack:
            stack.callback(events.kill)
            harness.wait_for(lambda: self.virsh("list"), "a moment passes")
            said = self.virsh("blockcommit", guest.name, "vda", "--active", "--pivot", "--wait", "--verbose", "--delete")
            self.assertIn("Successfully pivoted", said)
            self.check_agreed(guest, "base")
            self.assertEqual(self.chain(guest, "--inactive"), ["base"])
            events.send_signal(signal.SIGINT)
            told = events.communicate(timeout=20)[0]
        self.assertRegex(told, r"event 'block-job-2' for domain 'guest': Active Block Commit for vda ready")
        self.assertRegex(told, r"event 'block-job-2' for domain 'guest': Active Block Commit for vda completed")
        self.assertRegex(told, r"event 'block-job' for domain 'guest': Active Block Commit for .*guest.base completed")
        self.assertEqual([p.exists() for p in guest.images], [True, False, False])
        self.virsh("destroy", guest.name)
        self.check_boots(guest, guest.images[0])

    def test_pull(self):
        """To a base, then all of it."""
        guest = self.guest()
        self.assertIn("Pull complete", self.virsh("blockpull", guest.name, "vda", "--base", guest.images[0], "--wait", "--verbose"))
        self.check_agreed(guest, "top", "base")
        self.virsh("blockpull", guest.name, "vda", "--wait")
        self.check_agreed(guest, "top")
        self.virsh("destroy", guest.name)
        self.check_boots(guest, guest.images[2])

    def test_a_definition_that_says_its_chain(self):
        guest = self.guest(explicit=True)
        self.virsh("blockcommit", guest.name, "vda", "--top", guest.images[1], "--shallow", "--wait", "--delete")
        self.assertEqual(self.chain(guest, "--inactive"), ["top", "base"])
        self.virsh("destroy", guest.name)
        self.check_boots(guest, guest.images[2])

    def test_relative_names(self):
        guest = self.guest(relative=True)
        self.virsh("blockcommit", guest.name, "vda", "--top", guest.images[1], "--keep-relative", "--wait")
        self.check_agreed(guest, "top", "base")
        header = json.loads(tool("qemu-img", "info", "-U", "--output=json", guest.images[2]))
        self.assertEqual(header["backing-filename"], "guest.base")

    def test_refusals(self):
        """Nothing has changed after any of them."""
        guest = self.guest()
        before = self.virsh("dumpxml", guest.name), self.qmp(guest, "query-named-block-nodes", flat=True)[0]["node-name"]
        top, middle, base = reversed(guest.images)
        for args, text in (
                (["blockcommit", "vdx"], "disk 'vdx' not found in domain 'guest'"),
                (["blockcommit", "vda"], "commit of 'vda' active layer requires active flag"),
                (["blockcommit", "vda", "--top", middle, "--active"], "is not active"),
                (["blockcommit", "vda", "--top", "/elsewhere"], "could not find image '/elsewhere' in chain for 'vda'"),
                (["blockcommit", "vda", "--top", middle, "--base", top], "is not below top"),
                (["blockcommit", "vda", "--top", middle, "--base", middle], "is not below top"),
                (["blockcommit", "vda", "--top", base], "has no backing file"),
                (["blockcommit", "vda", "--active", "--shallow", "--base", base], "is not immediately below"),
                (["blockcommit", "vda", "--top", middle, "--keep-relative"], "can't keep relative backing relationship"),
                (["blockpull", "vda", "--base", "/elsewhere"], "could not find image '/elsewhere' in chain for 'vda'"),
                (["blockpull", "vda", "--base", middle], "has no images to pull"),
                (["blockjob", "vda", "--abort"], "does not have an active block job"),
                (["blockcopy", "vda", self.root / "copy"], "")):
            said = self.virsh.fails(args[0], guest.name, *args[1:])
            self.assertIn(text, said, args)
        self.assertEqual((self.virsh("dumpxml", guest.name),
                          self.qmp(guest, "query-named-block-nodes", flat=True)[0]["node-name"]), before)
        self.virsh("destroy", guest.name)
        self.assertIn("domain is not running", self.virsh.fails("blockcommit", guest.name, "vda", "--active"))

    def test_abort_speed_and_info(self):
        """What is slow can be watched, made faster, and given up; meanwhile there is no other, no save, and no snapshot."""
        guest = self.guest()
        self.virsh("blockcommit", guest.name, "vda", "--active", "--bandwidth", 1)
        self.assertRegex(self.job_info(guest), r"Active Block Commit: \[ *\d+(\.\d+)? %\]\s+Bandwidth limit: 1048576 bytes/s")
        self.assertIn("already in active block job", self.virsh.fails("blockpull", guest.name, "vda"))
        self.assertIn("already in active block job", self.virsh.fails("save", guest.name, self.root / "saved"))
        self.assertIn("already in active block job", self.virsh.fails("snapshot-create-as", guest.name, "s", "--disk-only"))
        self.assertIn("not ready for pivot", self.virsh.fails("blockjob", guest.name, "vda", "--pivot"))
        self.virsh("blockjob", guest.name, "vda", "--bandwidth", 2)
        self.assertIn("Bandwidth limit: 2097152", self.job_info(guest))
        self.virsh("blockjob", guest.name, "vda", "--abort")
        self.check_agreed(guest, "top", "middle", "base")
        self.virsh("blockcommit", guest.name, "vda", "--active", "--wait")
        self.virsh("blockjob", guest.name, "vda", "--abort")
        self.check_agreed(guest, "top", "middle", "base")
        self.virsh("destroy", guest.name)
        self.check_boots(guest, guest.images[2])

    def test_size(self):
        guest = self.guest()
        self.virsh("blockresize", guest.name, "vda", "64M")
        self.assertRegex(self.virsh("domblkinfo", guest.name, "vda"), r"Capacity:\s+67108864")
        image = self.root / "saved"
        self.virsh("save", guest.name, image)
        self.virsh("restore", "--paused", image)
        self.virsh("blockresize", guest.name, "vda", f"{80 * MIB}b")
        self.assertRegex(self.virsh("domblkinfo", guest.name, "vda"), rf"Capacity:\s+{80 * MIB}")
        self.virsh("resume", guest.name)
        guest.wait_count(guest.last() + 2)
        guest.check()
        self.assertIn("supported only with 'raw' local block-based disks", self.virsh.fails("blockresize", guest.name, "vda", "--capacity"))

    @unittest.skipUnless(harness.IS_ROOT, "making a device needs root")
    def test_size_of_a_device(self):
        """It has been enlarged by others; the guest hears of it when it is said."""
        backing = self.root / "device.img"
        backing.write_bytes(b"")
        os.truncate(backing, 16 * MIB)
        done = subprocess.run(["losetup", "--find", "--show", backing], capture_output=True, text=True)
        if done.returncode != 0:
            self.skipTest(f"no loop devices here: {done.stderr}")
        device = done.stdout.strip()
        self.addCleanup(subprocess.run, ["losetup", "--detach", device], check=True)
        guest = self.sector()
        guest.define(extra_devices=f"""<disk type='block' device='disk'><driver name='qemu' type='raw'/>
            <source dev='{device}'/><target dev='vdb' bus='virtio'/></disk>""")
        self.virsh("start", guest.name)
        godwit = harness.Godwit(self.daemon)

        def sizes():
            return {b["inserted"]["file"]: b["inserted"]["image"]["virtual-size"] for b in self.qmp(guest, "query-block")}

        before = sizes()
        os.truncate(backing, 24 * MIB)
        subprocess.run(["losetup", "--set-capacity", device], check=True)
        self.assertEqual(sizes(), before)
        self.assertIn("whoever has made it can change its size", self.virsh.fails("blockresize", guest.name, "vdb", "24M"))
        self.virsh("blockresize", guest.name, "vdb", "--capacity")
        self.assertEqual(sizes(), {**before, device: 24 * MIB})
        os.truncate(backing, 32 * MIB)
        subprocess.run(["losetup", "--set-capacity", device], check=True)
        godwit("blockresize", guest.name, "vdb", "--capacity")
        self.assertEqual(sizes(), {**before, device: 32 * MIB})
        self.assertIn("exclu", godwit.fails("blockresize", guest.name, "vdb", "1M", "--capacity"))
        self.assertIn("size", godwit.fails("blockresize", guest.name, "vdb"))

    def test_ground_of_a_snapshot(self):
        """Nothing goes into an image that a snapshot is of, nor out of it."""
        guest = self.guest()
        middle, top = guest.images[1:]
        domain = guest.xml().replace(str(top), str(middle))
        path = self.root / "snapshot.xml"
        path.write_text(f"""<domainsnapshot><name>s1</name><state>disk-snapshot</state><creationTime>1</creationTime>
            <memory snapshot='no'/><disks><disk name='vda' snapshot='external' type='file'><driver type='qcow2'/>
            <source file='{top}'/></disk></disks>{domain}</domainsnapshot>""")
        self.virsh("snapshot-create", guest.name, path, "--redefine")
        for args in (["blockcommit", "vda", "--active", "--shallow"], ["blockcommit", "vda", "--active"],
                     ["blockcommit", "vda", "--top", middle], ["blockpull", "vda"]):
            said = self.virsh.fails(args[0], guest.name, *args[1:])
            self.assertIn("is needed by snapshot 's1' of domain 'guest'; use snapshot-delete", said, args)
        self.virsh("snapshot-delete", guest.name, "s1", "--metadata")
        self.virsh("blockcommit", guest.name, "vda", "--top", middle, "--wait")
        self.check_agreed(guest, "top", "base")

    def test_own_command(self):
        guest = self.guest()
        godwit = harness.Godwit(self.daemon)
        godwit("blockcommit", guest.name, "vda", "--top", guest.images[1], "--wait")
        self.assertEqual(json.loads(godwit("blockjob", guest.name, "vda", "--json"))["type"], "none")
        godwit("blockcommit", guest.name, "vda", "--active", "--pivot")
        self.check_agreed(guest, "base")
        godwit("blockresize", guest.name, "vda", "1G")
        self.assertEqual(self.qmp(guest, "query-block")[0]["inserted"]["image"]["virtual-size"], 1 << 30)
        self.assertIn("has no images to pull", godwit.fails("blockpull", guest.name, "vda"))

    def test_own_command_waits_not_for_ever(self):
        """A job so slow that it does not end by itself is canceled at the timeout; with --async nobody waits for that."""
        guest = self.guest()
        godwit = harness.Godwit(self.daemon)
        slow = ["--bandwidth", "65536", "--bytes", "--timeout", "1"]
        for command in (["blockpull"], ["blockcommit", "--top", guest.images[1]], ["blockcommit", "--pivot"], ["blockpull", "--async"]):
            done = godwit.run(command[0], guest.name, "vda", *command[1:], *slow)
            self.assertEqual(done.returncode, 8, done.stderr)
            self.assertIn("the job was not done after 1 s, and is canceled", done.stderr)
            self.wait_no_job(guest)
            self.check_agreed(guest, "top", "middle", "base")
        self.assertIn("it needs --wait or --timeout", godwit.fails("blockpull", guest.name, "vda", "--async"))
        self.assertIn("at least one second", godwit.fails("blockpull", guest.name, "vda", "--timeout", "0"))
        godwit("blockcommit", guest.name, "vda", "--top", guest.images[1], "--timeout", "600")
        self.check_agreed(guest, "top", "base")


class Leases(Jobs):
    config = 'lock_manager = "lockd"\n'

    def test_lease_of_what_is_written_to(self):
        """The base is held while it is written to; after the pivot it is what is held."""
        guest = self.guest()
        qemu = harness.qemus_of(self.root)
        base, _, top = guest.images
        self.assertEqual([leases.holders(p) for p in guest.images], [[], [], qemu])
        self.virsh("blockcommit", guest.name, "vda", "--active", "--wait")
        self.assertEqual((leases.holders(base), leases.holders(top)), (qemu, qemu))
        self.virsh("blockjob", guest.name, "vda", "--abort")
        self.assertEqual((leases.holders(base), leases.holders(top)), ([], qemu))
        self.virsh("blockcommit", guest.name, "vda", "--active", "--pivot")
        self.assertEqual((leases.holders(base), leases.holders(top)), (qemu, []))
        self.check_agreed(guest, "base")

    def test_somebody_else_has_it(self):
        guest = self.guest()
        with open(guest.images[0], "r+b") as other:
            leases.lock(other)
            self.assertIn("is in use", self.virsh.fails("blockcommit", guest.name, "vda", "--active"))
        self.check_agreed(guest, "top", "middle", "base")


class Crashes(Jobs):
    def slow(self, guest, *args):
        self.virsh(*args, "--bandwidth", 1)
        self.assertIn("%]", self.job_info(guest))

    def test_daemon_restarted_during_a_job(self):
        guest = self.guest()
        self.slow(guest, "blockcommit", guest.name, "vda", "--active", "--delete")
        self.daemon.restart(kill=True)
        self.assertIn("Active Block Commit", self.job_info(guest))
        self.virsh("blockjob", guest.name, "vda", "--bandwidth", 1000)
        harness.wait_for(lambda: "100" in self.job_info(guest), "the job is ready")
        self.virsh("blockjob", guest.name, "vda", "--pivot")
        self.check_agreed(guest, "base")
        self.assertFalse(guest.images[1].exists() or guest.images[2].exists())

    def crash(self, point, *args):
        """The daemon dies there; the next one takes over what became of it."""
        self.daemon.restart(GODWIT_FAULT=point)
        self.virsh.run(*args)
        harness.wait_for(lambda: self.daemon.process.poll() is not None, f"the daemon dies at {point}")
        self.daemon.process = None
        self.daemon.start()

    def test_daemon_killed_at_the_end_of_one(self):
        for point in ("block-job/defining", "block-job/defined", "block-job/concluded", "block-job/recorded"):
            with self.subTest(point):
                guest = self.guest()
                self.virsh("blockcommit", guest.name, "vda", "--active", "--wait")
                self.crash(point, "blockjob", guest.name, "vda", "--pivot")
                self.wait_no_job(guest)
                self.check_agreed(guest, "base")
                self.assertEqual(self.chain(guest, "--inactive"), ["base"])
                self.virsh("destroy", guest.name)
                self.check_boots(guest, guest.images[0])
                self.virsh("undefine", guest.name)

    def test_daemon_killed_before_qemu_has_it(self):
        guest = self.guest()
        self.crash("block-job/begun", "blockcommit", guest.name, "vda", "--active")
        self.wait_no_job(guest)
        self.check_agreed(guest, "top", "middle", "base")

    def test_both_killed_at_the_end_of_one(self):
        """Whatever was written last is what the definition names."""
        for point, names in (("block-job/defining", "top"), ("block-job/defined", "base"), ("block-job/concluded", "base")):
            with self.subTest(point):
                guest = self.guest()
                self.virsh("blockcommit", guest.name, "vda", "--active", "--wait")
                self.daemon.restart(GODWIT_FAULT=point)
                self.virsh.run("blockjob", guest.name, "vda", "--pivot")
                harness.wait_for(lambda: self.daemon.process.poll() is not None, f"the daemon dies at {point}")
                harness.kill_and_wait(harness.qemus_of(self.root)[0])
                self.daemon.process = None
                self.daemon.start()
                guest.wait_state("shut off")
                self.assertEqual(self.chain(guest, "--inactive")[0], names)
                self.check_boots(guest, guest.directory / f"guest.{names}")
                self.virsh("undefine", guest.name)

    def test_status_that_cannot_be_written(self):
        """What the next daemon could not know does not happen, and what has happened is kept until it can."""
        guest = self.guest()
        status, = (self.root / "run").rglob("status.json")
        aside = status.with_name("aside")

        def block():
            status.rename(aside)
            status.mkdir()

        def unblock():
            status.rmdir()
            aside.rename(status)

        block()
        self.assertIn("status.json", self.virsh.fails("blockcommit", guest.name, "vda", "--active"))
        unblock()
        self.check_agreed(guest, "top", "middle", "base")
        self.virsh("blockcommit", guest.name, "vda", "--active", "--wait")
        block()
        pivot = self.virsh.start("blockjob", guest.name, "vda", "--pivot")
        harness.wait_for(lambda: "cannot be ended yet" in self.daemon.stderr(), "it waits for its status file")
        self.assertEqual([j["status"] for j in self.qmp(guest, "query-jobs")], ["concluded"])
        unblock()
        self.assertIn("status.json", "".join(pivot.communicate(timeout=60)))
        self.wait_no_job(guest)
        self.check_agreed(guest, "top", "middle", "base")
        self.assertEqual(self.chain(guest, "--inactive")[0], "top")

    def test_qemu_killed_during_one(self):
        for args in (["blockcommit", "vda", "--active"], ["blockpull", "vda"]):
            with self.subTest(args[0]):
                guest = self.guest()
                self.slow(guest, args[0], guest.name, *args[1:])
                harness.kill_and_wait(harness.qemus_of(self.root)[0])
                guest.wait_state("shut off")
                self.assertEqual(self.chain(guest, "--inactive")[0], "top")
                self.check_boots(guest, guest.images[2])
                self.virsh("undefine", guest.name)


if __name__ == "__main__":
    harness.main()
