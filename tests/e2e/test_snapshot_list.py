#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What stock virsh shows of snapshots and changes of their metadata. They are redefined: nothing was ever frozen."""

import json
import os
import re
import unittest
import unittest.mock

import harness

# a -- b -- d    e, all by name; b has two children
#   \- c
TREE = {
    "a": (None, "shutoff", "<memory snapshot='no'/><disks><disk name='vda' snapshot='internal'/></disks>"),
    "b": ("a", "running", "<memory snapshot='external' file='/s/b.mem'/><disks><disk name='vda' snapshot='external'>"
          "<driver type='qcow2'/><source file='/s/a.b'/></disk></disks>"),
    "c": ("a", "disk-snapshot", "<disks><disk name='vda' snapshot='external'><source file='/s/a.c'/></disk></disks>"),
    "d": ("b", "paused", "<memory snapshot='internal'/><disks><disk name='vda' snapshot='internal'/></disks>"),
    "e": (None, "shutoff", "<memory snapshot='no'/>"),
}


class SnapshotList(harness.DaemonTest):
    def setUp(self):
        super().setUp()
        self.disk = self.root / "disk.raw"
        self.disk.write_bytes(bytes(1 << 20))
        self.guest = self.sector()
        self.guest.define(extra_devices=f"<disk type='file'><driver name='qemu' type='raw'/>"
                                        f"<source file='{self.disk}'/><target dev='vda'/></disk>")

    def document(self, name, parent, state, rest, domain=None, extra=""):
        parent = f"<parent><name>{parent}</name></parent>" if parent else ""
        domain = domain or self.virsh("dumpxml", self.guest.name)
        path = self.root / "snapshot.xml"
        path.write_text(f"<domainsnapshot><name>{name}</name><state>{state}</state>{parent}"
                        f"<creationTime>1700000000</creationTime>{rest}{domain}{extra}</domainsnapshot>")
        return path

    def redefine(self, name, *flags, **options):
        return self.virsh("snapshot-create", self.guest.name, self.document(name, *TREE[name], **options),
                          "--redefine", *flags)

    def make_tree(self):
        for name in TREE:
            self.redefine(name, *(["--current"] if name == "d" else []))

    def names(self, *flags):
        return self.virsh("snapshot-list", self.guest.name, "--name", *flags).split()

    def ask(self, verb, *args):
        return self.virsh(f"snapshot-{verb}", self.guest.name, *args)

    def refused(self, verb, *args):
        return self.virsh.fails(f"snapshot-{verb}", self.guest.name, *args)


class Views(SnapshotList):
    def test_lists(self):
        self.assertEqual(self.names(), [])
        self.assertIn("has no current snapshot", self.refused("current"))
        self.make_tree()
        for flags, expected in {"": "abcde", "--roots": "ae", "--leaves": "cde", "--no-leaves": "ab",
                                "--metadata": "abcde", "--no-metadata": "", "--inactive": "ae", "--active": "bd",
                                "--disk-only": "c", "--inactive --disk-only": "ace", "--internal": "ade",
                                "--external": "bc", "--external --internal": "abcde", "--from a": "bc",
                                "--from a --descendants": "bcd", "--from a --descendants --leaves": "cd",
                                "--from b": "d", "--from d": "", "--roots --leaves": "e"}.items():
            with self.subTest(flags=flags):
                self.assertEqual(self.names(*flags.split()), list(expected))
        self.assertEqual(sorted(self.names("--topological")), list("abcde"))
        self.assertLess(self.names("--topological").index("b"), self.names("--topological").index("d"))
        tree = [line.rstrip() for line in self.ask("list", "--tree").split("\n") if line.strip(" |")]
        self.assertEqual(tree, ["a", "  +- b", "  |   +- d", "  +- c", "e"])
        self.assertIn("shutoff", self.ask("list", "--parent"))

    def test_one(self):
        self.make_tree()
        info = dict(re.findall(r"^(\w+(?: metadata)?):\s+(\S+)$", self.ask("info", "b"), re.MULTILINE))
        self.assertEqual(info, {"Name": "b", "Domain": self.guest.name, "Current": "no", "State": "running",
                                "Location": "external", "Parent": "a", "Children": "1", "Descendants": "1",
                                "Metadata": "yes"})
        self.assertIn("<name>d</name>", self.ask("current"))
        self.assertEqual(self.ask("current", "--name").strip(), "d")
        self.ask("current", "--snapshotname", "b")
        self.assertEqual(self.ask("current", "--name").strip(), "b")
        self.assertEqual(self.ask("parent", "d").strip(), "b")
        self.assertIn("has no parent", self.refused("parent", "a"))
        xml = self.ask("dumpxml", "b")
        for part in ["<memory snapshot='external' file='/s/b.mem'/>",
                     "<disk name='vda' snapshot='external' type='file'>", "<driver type='qcow2'/>",
                     f"<source file='{self.disk}'/>", "<creationTime>1700000000</creationTime>"]:
            self.assertIn(part, xml)
        self.assertNotIn("<active>", xml)
        self.assertIn("<disk name='hda' snapshot='internal'/>", self.ask("dumpxml", "e"), "all of its disks")
        self.assertEqual(self.virsh("list", "--all", "--with-snapshot", "--name").strip(), self.guest.name)
        self.assertEqual(self.virsh("list", "--all", "--without-snapshot", "--name").strip(), "")

    def test_edit(self):
        self.make_tree()
        editor = self.root / "editor"
        editor.write_text("#!/bin/sh\nsed -i 's|<name>b</name>|<name>b</name><description>new words</description>|;"
                          "s|<description>old.*||' \"$1\"\n")
        editor.chmod(0o755)
        with unittest.mock.patch.dict(os.environ, EDITOR=str(editor)):
            self.ask("edit", "b")
        self.assertIn("<description>new words</description>", self.ask("dumpxml", "b"))
        self.assertEqual(self.names("--from", "b"), ["d"], "its children are still its own")
        self.assertEqual(self.ask("current", "--name").strip(), "d")


class Metadata(SnapshotList):
    def test_delete(self):
        self.make_tree()
        self.ask("delete", "b", "--metadata")
        self.assertEqual(self.names("--from", "a"), ["c", "d"])
        self.assertEqual(self.ask("current", "--name").strip(), "d")
        self.ask("delete", "d", "--metadata")
        self.assertEqual(self.ask("current", "--name").strip(), "a")
        self.redefine("b")
        self.redefine("d", "--current")
        self.ask("delete", "a", "--metadata", "--children-only")
        self.assertEqual(self.names(), ["a", "e"])
        self.assertEqual(self.ask("current", "--name").strip(), "a")
        self.redefine("b")
        self.ask("delete", "a", "--metadata", "--children")
        self.assertEqual(self.names(), ["e"])
        self.assertIn("has no current snapshot", self.refused("current"))

    def test_refused(self):
        self.make_tree()
        self.assertIn("no domain snapshot with matching name 'x'", self.refused("dumpxml", "x"))
        self.assertIn("no domain snapshot with matching name 'x'", self.refused("delete", "x", "--metadata"))

        def fails(*args, **options):
            return self.refused("create", self.document(*args, **options), "--redefine")

        self.assertIn("parent x for snapshot f not found", fails("f", "x", "shutoff", ""))
        self.assertIn("would create cycle", fails("a", "d", "shutoff", TREE["a"][2]))
        self.assertIn("as its own parent", fails("a", "a", "shutoff", TREE["a"][2]))
        self.assertIn("must not hold '/'", fails("../f", None, "shutoff", ""))
        self.assertIn("cannot change between online and offline", fails("a", None, "running", ""))
        self.assertIn("cannot change between disk only and full system", fails("c", "a", "shutoff", ""))
        self.assertIn("must use uuid", fails("f", None, "shutoff", "", "<domain><uuid>"
                                             "c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid></domain>"))
        self.assertIn("no disk named 'vdz'", fails("f", None, "shutoff", "<disks><disk name='vdz'/></disks>"))
        self.assertIn("element <unknown> in <domainsnapshot>", fails("f", None, "shutoff", "", extra="<unknown/>"))
        self.assertIn("memory state cannot be saved with offline",
                      fails("f", None, "shutoff", "<memory snapshot='internal'/>"))
        self.assertIn("is not supported", fails("f", None, "unheard-of", ""))
        self.assertEqual(self.names(), list("abcde"), "nothing came of it")

    def test_kept(self):
        """Over a restart, by another name, and what libvirt wrote is read."""
        self.make_tree()
        before = self.ask("dumpxml", "b")
        self.daemon.restart()
        self.assertEqual(self.ask("dumpxml", "b"), before)
        self.assertEqual(self.ask("current", "--name").strip(), "d")
        self.assertIn("snapshots", self.virsh.fails("undefine", self.guest.name))
        self.virsh("domrename", self.guest.name, "other")
        self.guest.name = "other"
        self.daemon.restart(kill=True)
        self.assertEqual(self.names(), list("abcde"))
        self.assertIn("<name>other</name>", self.ask("dumpxml", "b"))
        directory = self.root / "lib" / "snapshot" / "other"
        self.assertEqual(self.mode_of(directory / "a.xml"), 0o600)
        wrote = (harness.TREE / "tests/fuzz/corpus/snapshot-xml/libvirt-11.3").read_text()
        wrote = wrote.replace("c7a5fdbd-edaf-9455-926a-d65c16db1809", self.guest.uuid)
        (directory / "f.xml").write_text(wrote.replace("<name>one<", "<name>f<").replace("<active>1<", "<active>0<"))
        (directory / "g.xml").write_text("<domainsnapshot>")
        self.daemon.restart()
        self.assertEqual(self.names(), list("abcdef"))
        ours = re.sub(r"<name>other<", "<name>r<", self.ask("dumpxml", "f")).replace('"', "'")
        theirs = re.sub(r"  <active>.*\n|(?s:<!--.*-->\s*)", "", wrote).replace("<name>one<", "<name>f<")
        for part in ["disks", "revertDisks", "cookie", "devices"]:
            self.assertEqual(*(text[text.index(f"<{part}>"):text.index(f"</{part}>")] for text in (ours, theirs)))
        self.assertIn("snapshot 'g' of domain 'other' cannot be read",
                      self.virsh.fails("undefine", "other", "--snapshots-metadata"))
        self.ask("delete", "g", "--metadata")
        self.virsh("undefine", "other", "--snapshots-metadata")
        self.assertFalse(directory.exists())

    def test_own_words(self):
        godwit = harness.Godwit(self.daemon)
        self.assertEqual(godwit("snapshot", "list", self.guest.name).count("\n"), 1, "a header and nothing below")
        self.make_tree()
        memory = self.root / "b.mem"
        memory.write_bytes(bytes(1 << 20))
        self.ask("delete", "b", "--metadata", "--children")
        self.virsh("snapshot-create", self.guest.name, "--redefine", self.document(
            "b", "a", "running", TREE["b"][2].replace("/s/b.mem", str(memory))))
        rows = [re.split(r"\s{2,}", line.strip()) for line in godwit("snapshot", "list", self.guest.name).split("\n")]
        years = rows[2][1]
        self.assertEqual(rows[0][:5], ["Snapshot", "Age", "State", "Memory", "Disks"])
        self.assertRegex(years, r"^\d+ years$")
        self.assertEqual(rows[2:], [["a *", years, "shutoff", "-", "internal"],
                                    ["|- b", years, "running", "1.0 MiB", "1.0 MiB"],
                                    ["`- c", years, "disk-snapshot", "-", "1.0 MiB"],
                                    ["e", years, "shutoff", "-", "internal"]])
        listed = {row["name"]: row for row in json.loads(godwit("snapshot-list", self.guest.name, "--json"))}
        self.assertEqual((listed["b"]["memory_bytes"], listed["b"]["parent"], listed["a"]["current"]),
                         (1 << 20, "a", True))
        memory.unlink()
        self.assertIn("missing", godwit("snapshot-list", self.guest.name))
        godwit("snapshot", "delete", self.guest.name, "a", "--metadata", "--children")
        self.assertEqual(self.names(), ["e"])

    def test_transient(self):
        self.virsh("start", self.guest.name)
        self.redefine("e")
        self.virsh("undefine", self.guest.name)
        self.assertEqual(self.names(), ["e"])
        self.daemon.restart(kill=True)
        self.assertEqual(self.names(), ["e"])
        self.virsh("destroy", self.guest.name)
        self.assertFalse((self.root / "lib" / "snapshot" / self.guest.name).exists())


if __name__ == "__main__":
    harness.main()
