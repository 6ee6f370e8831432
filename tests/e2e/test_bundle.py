#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A saved VM goes to another host and back, whole or not at all. Two daemons with their own directories are the hosts."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

import harness

sys.path.insert(0, str(harness.TREE / "tests/crash"))

import points  # noqa: E402

GODWIT = harness.BUILD / "godwit"
OVMF = pathlib.Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
# What a death at each of them leaves: whether the VM is defined, and whether it has its state.
POINTS = {"import/verified": (False, False), "import/published": (False, False), "import/defined": (True, False),
          "import/saved": (True, True)}


class Host:
    """A daemon, stock virsh and the godwit command."""

    def __init__(self, root, test_root):
        self.daemon = harness.Daemon(root, test_root=test_root)
        self.virsh = harness.Virsh(self.daemon.uri())
        self.disks = self.daemon.root / "disks"

    def start(self):
        self.disks.mkdir()
        self.daemon.start()

    def command(self, *args):
        return [str(GODWIT), "--root", str(self.daemon.root), *map(str, args)]

    def run(self, *args, stdin=b"", **environment):
        """The finished command."""
        return subprocess.run(self.command(*args), input=stdin, capture_output=True, timeout=60 * harness.SLOW,
                              env={**os.environ, **environment})

    def __call__(self, *args, **options):
        done = self.run(*args, **options)
        if done.returncode != 0:
            raise AssertionError(f"godwit {args}: status {done.returncode}: {done.stderr.decode()}")
        return done.stdout

    def fails(self, *args, status=1, **options):
        done = self.run(*args, **options)
        if done.returncode != status:
            raise AssertionError(f"godwit {args}: status {done.returncode}, not {status}: {done.stderr.decode()}")
        return done.stderr.decode()

    def save_path(self, name):
        return self.daemon.managed_saves / f"{name}.save"

    def names(self):
        return self.virsh("list", "--all", "--name").split()

    def left_behind(self):
        return [str(p) for d in (self.daemon.managed_saves, self.disks, self.daemon.root / "lib/nvram") for p in d.iterdir()]

    def clear(self):
        """As it was before it had any VM."""
        for name in self.names():
            if self.virsh("domstate", name) == "running":
                self.virsh("destroy", name)
            self.virsh("undefine", name, "--managed-save", "--nvram")
        for directory in (self.daemon.managed_saves, self.disks):
            for path in directory.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()


class Bundle(unittest.TestCase):
    """The first host has `linux` and `sector`, saved; the second has nothing when a test begins."""

    @classmethod
    def setUpClass(cls):
        cls.root = pathlib.Path(tempfile.mkdtemp(prefix="gw-", dir=os.environ.get("GODWIT_TEST_DIR")))
        cls.addClassCleanup(cls.clean_up)
        cls.first, cls.second = (Host(cls.root / name, cls.root) for name in "ab")
        for host in (cls.first, cls.second):
            host.start()
        cls.linux = harness.LinuxGuest(cls.root, cls.first.virsh, "linux")
        cls.sector = harness.BootSector(cls.root, cls.first.virsh, "sector")
        for guest in (cls.linux, cls.sector):
            guest.disk = cls.first.disks / f"{guest.name}.img"
            guest.define()
            cls.first.virsh("start", guest.name)
        cls.linux.wait_count(5)
        cls.sector.wait_count(10)
        for guest in (cls.linux, cls.sector):
            cls.first.virsh("managedsave", guest.name)
        cls.saved = {guest.name: guest.wait_still() for guest in (cls.linux, cls.sector)}
        cls.bundle = cls.root / "sector.godwit"
        cls.first("image", "export", "sector", cls.bundle, "--disks")

    @classmethod
    def clean_up(cls):
        for host in (cls.first, cls.second):
            host.daemon.kill()
        harness.end_everything(cls.root)
        if not os.environ.get("GODWIT_TEST_KEEP"):
            shutil.rmtree(cls.root, ignore_errors=True)

    def setUp(self):
        self.addCleanup(self.second.clear)

    def import_sector(self, **options):
        return self.second("image", "import", self.bundle, "--disk-dir", self.second.disks, **options)

    def position(self):
        return self.second("image", "import", "--partial", "sector").decode().strip()

    def check_nothing_visible(self):
        self.assertEqual(self.second.names(), [])
        self.assertFalse(self.second.save_path("sector").exists())
        self.assertEqual([p for p in self.second.disks.iterdir() if not p.name.startswith(".")], [])

    def check_sector_is_here(self):
        """Everything came, nothing is left behind, and it goes on where it was."""
        self.assertEqual(sorted(self.second.left_behind()),
                         sorted(map(str, (self.second.save_path("sector"), self.second.disks / "sector.img"))))
        before, after = (host.disks / "sector.img" for host in (self.first, self.second))
        self.assertEqual(after.read_bytes(), before.read_bytes())
        self.assertEqual(after.stat().st_mtime_ns, before.stat().st_mtime_ns, "as old as it was")
        self.second.virsh("start", "sector")
        self.assertEqual(self.second.virsh("domstate", "sector", "--reason"), "running (restored)")
        self.sector.wait_count(self.sector.last())
        self.second.virsh("destroy", "sector")
        self.sector.wait_still()

    # ---- the way it is meant ----

    def test_through_a_pipe(self):
        with subprocess.Popen(self.first.command("image", "export", "linux", "-", "--disks"), stdout=subprocess.PIPE) as export:
            done = subprocess.run(self.second.command("image", "import", "-", "--disk-dir", self.second.disks),
                                  stdin=export.stdout, capture_output=True, text=True, timeout=60 * harness.SLOW)
        self.assertEqual((export.returncode, done.returncode), (0, 0), done.stderr)
        self.assertIn("godwit start linux", done.stdout)
        self.assertIn(str(self.second.disks / "linux.img"), self.second.virsh("dumpxml", "linux"))
        self.assertIn(str(self.second.disks / "linux.img"), self.second.virsh("managedsave-dumpxml", "linux"))
        self.second.virsh("start", "linux")
        self.linux.wait_count(self.saved["linux"])
        self.linux.check()
        self.assertEqual(self.linux.boots(), 1)

    @unittest.skipUnless(OVMF.exists(), "no UEFI firmware here")
    def test_firmware_variables(self):
        """They go where this host keeps them, and the VM knows."""
        guest = harness.BootSector(self.root, self.first.virsh, "uefi", machine="q35", memory=64)
        guest.os_xml = lambda: "<os firmware='efi'><type arch='x86_64' machine='q35'>hvm</type></os>"
        guest.define()
        self.first.virsh("start", "uefi")
        self.first.virsh("managedsave", "uefi")
        before, after = (host.daemon.root / "lib/nvram/uefi_VARS.fd" for host in (self.first, self.second))
        self.second("image", "import", "-", stdin=self.first("image", "export", "uefi", "-"))
        self.assertEqual(after.read_bytes(), before.read_bytes())
        self.assertIn(str(after), self.second.virsh("dumpxml", "uefi"))
        before.write_bytes(bytes(len(after.read_bytes())))
        self.second.virsh("start", "uefi")
        self.assertEqual(self.second.virsh("domstate", "uefi", "--reason"), "running (restored)")
        self.assertIn(str(after), self.second.virsh("dumpxml", "uefi"))

    def test_tar_reads_it(self):
        names = subprocess.run(["tar", "tf", self.bundle], capture_output=True, text=True, check=True).stdout.split()
        self.assertEqual(names, ["manifest.json", "domain.xml", "state.save", "disks/hda.img", "SUMS.xxh128"])
        out = self.root / "unpacked"
        out.mkdir()
        subprocess.run(["tar", "xf", self.bundle, "-C", out], check=True)
        state, disk = self.first.save_path("sector"), self.first.disks / "sector.img"
        self.assertEqual((out / "state.save").read_bytes(), state.read_bytes())
        self.assertEqual((out / "disks/hda.img").read_bytes(), disk.read_bytes())
        self.assertLess((out / "state.save").stat().st_blocks, state.stat().st_size // 512, "with its holes")

    def test_file(self):
        self.import_sector()
        self.check_sector_is_here()

    def test_saved_file(self):
        """A file that a VM was saved to, without its disks, which both hosts see."""
        image = self.root / "sector.image"
        shutil.copy(self.first.save_path("sector"), image)
        self.second("image", "import", "-", stdin=self.first("image", "export", image, "-"))
        self.second.virsh("start", "sector")
        self.sector.wait_count(self.sector.last())

    def test_copied_managed_save(self):
        """Without any bundle: the same definition, shared disks, and NAME.save copied."""
        self.second.virsh("define", self.sector.write_xml())
        shutil.copy(self.first.save_path("sector"), self.second.save_path("sector"))
        self.second.virsh("start", "sector")
        self.assertEqual(self.second.virsh("domstate", "sector", "--reason"), "running (restored)")
        self.sector.wait_count(self.sector.last())

    def test_defined_already(self):
        stream = self.first("image", "export", "sector", "-")
        self.second.virsh("define", self.sector.write_xml())
        self.second("image", "import", "-", stdin=stream)
        self.assertTrue(self.second.save_path("sector").exists(), "the same definition gets its state")
        self.assertIn("has a managed save", self.second.fails("image", "import", "-", stdin=stream))
        self.second.virsh("managedsave-remove", "sector")
        self.second.virsh("define", self.sector.write_xml(extra="<title>other</title>"))
        self.assertIn("otherwise", self.second.fails("image", "import", "-", stdin=stream))
        self.assertFalse(self.second.save_path("sector").exists())

    # ---- cuts ----

    def test_cut_stream(self):
        stream = self.bundle.read_bytes()
        options = ("--disk-dir", self.second.disks)
        self.assertEqual(self.position(), "0")
        for part in (len(stream) // 3, len(stream) - 2000):
            message = self.second.fails("image", "import", "-", *options, "--resume", stdin=stream[:part])
            self.assertRegex(message, r"is cut: .*bytes are here: --resume goes on")
            self.check_nothing_visible()
        position = self.position()
        self.assertRegex(position, r"^[0-9a-f]{32}:[1-9][0-9]+$")
        self.assertIn("--resume goes on", self.second.fails("image", "import", "-", *options, stdin=stream))
        rest = self.first("image", "export", "sector", "-", "--disks", "--resume-from", position)
        self.assertLess(len(rest), len(stream) // 2)
        self.second("image", "import", "-", *options, "--resume", stdin=rest)
        self.check_sector_is_here()

    def test_cut_and_changed(self):
        """What came in part of a VM that is another one now is not gone on with."""
        self.second.fails("image", "import", "-", "--disk-dir", self.second.disks, stdin=self.bundle.read_bytes()[:200000])
        position = self.position()
        without_disks = self.first("image", "export", "sector", "-")
        self.assertIn("another bundle", self.second.fails("image", "import", "-", "--resume", stdin=without_disks))
        self.assertIn("saved anew", self.first.fails("image", "export", "sector", "-", "--resume-from", position))
        self.second("image", "import", "--discard-partial", "sector")
        self.assertEqual(self.second.left_behind(), [])
        self.assertIn("no import", self.second.fails("image", "import", "--discard-partial", "sector", status=3))

    def test_killed(self):
        """kill -9 at each point of the end, and another try."""
        self.assertEqual(sorted(POINTS), points.of("cli"))
        for point, (defined, saved) in POINTS.items():
            with self.subTest(point):
                done = self.second.run("image", "import", self.bundle, "--disk-dir", self.second.disks, GODWIT_FAULT=point)
                self.assertEqual(done.returncode, -signal.SIGKILL)
                self.assertEqual((self.second.names(), self.second.save_path("sector").exists()),
                                 (["sector"] if defined else [], saved))
                if saved:
                    self.assertEqual(self.position(), "0")
                else:
                    self.import_rest()
                self.check_sector_is_here()
                self.second.clear()

    def test_written_before_the_end(self):
        """An import that died at its very end does not put a state beside a disk that was written since."""
        self.second.run("image", "import", self.bundle, "--disk-dir", self.second.disks, GODWIT_FAULT="import/defined")
        os.utime(self.second.disks / "sector.img")
        message = self.second.fails("image", "import", self.bundle, "--resume")
        self.assertRegex(message, r"sector\.img was written since it came: .*--discard-partial sector")
        self.assertFalse(self.second.save_path("sector").exists())
        self.second("image", "import", "--discard-partial", "sector")
        self.assertTrue((self.second.disks / "sector.img").exists())

    def import_rest(self):
        position = self.position()
        rest = self.first("image", "export", "sector", "-", "--disks", "--resume-from", position)
        self.assertLess(len(rest), 10000, "nothing comes twice")
        self.second("image", "import", "-", "--resume", stdin=rest)

    def test_killed_while_it_comes(self):
        stream = self.bundle.read_bytes()
        process = subprocess.Popen(self.second.command("image", "import", "-", "--disk-dir", self.second.disks),
                                   stdin=subprocess.PIPE)
        process.stdin.write(stream[:len(stream) // 2])
        process.stdin.flush()
        process.kill()
        process.wait()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        self.check_nothing_visible()
        self.second("image", "import", self.bundle, "--disk-dir", self.second.disks, "--resume")
        self.check_sector_is_here()

    def test_file_cut(self):
        target, partial = self.root / "again.godwit", self.root / "again.godwit.partial"
        whole = self.bundle.read_bytes()
        partial.write_bytes(whole[:100000])
        self.assertIn("--resume", self.first.fails("image", "export", "sector", target, "--disks"))
        self.first("image", "export", "sector", target, "--disks", "--resume")
        self.assertEqual(target.read_bytes(), whole)
        self.assertFalse(partial.exists())
        target.unlink()
        partial.write_bytes(whole[:50000] + b"?" + whole[50001:100000])
        self.assertIn("byte 50000", self.first.fails("image", "export", "sector", target, "--disks", "--resume"))
        self.assertFalse(target.exists())

    # ---- what is refused ----

    def test_flipped_byte(self):
        whole = bytearray(self.bundle.read_bytes())
        state = whole.index(b"LibvirtQemudSave")
        disk = whole.rindex(self.sector.disk.read_bytes()[:64])
        for at, named in ((whole.index(b'"members"') + 2, "damaged: its manifest"), (state - 4000, "definition of sector"),
                          (state + 1000, "damaged: the contents of state.save"), (disk + 400, "damaged: the contents of disks/hda.img"),
                          (len(whole) - 1200, "damaged: the padding of SUMS.xxh128")):
            with self.subTest(at=at):
                whole[at] ^= 1
                message = self.second.fails("image", "import", "-", "--disk-dir", self.second.disks, stdin=bytes(whole))
                whole[at] ^= 1
                self.assertRegex(message, named)
                self.check_nothing_visible()
                self.second.run("image", "import", "--discard-partial", "sector")
                self.assertEqual(self.second.left_behind(), [])

    def test_start_while_it_is_read(self):
        """The disks are held: the VM does not start, and keeps its managed save."""
        export = subprocess.Popen(self.first.command("image", "export", "sector", "-", "--disks"), stdout=subprocess.PIPE)
        self.addCleanup(lambda: (export.kill(), export.wait(), export.stdout.close()))
        self.assertEqual(export.stdout.read(13), b"manifest.json")
        self.assertIn("lock", self.first.virsh.fails("start", "sector"))
        self.sector.wait_state("shut off")
        rest = b"manifest.json" + export.stdout.read()
        self.assertEqual(export.wait(), 0)
        self.assertEqual(rest, self.bundle.read_bytes())
        self.assertTrue(self.first.save_path("sector").exists())

    def test_not_to_be_exported(self):
        self.second.virsh("define", self.sector.write_xml())
        self.assertIn("godwit managedsave", self.second.fails("image", "export", "sector", "-", status=5))
        self.second.virsh("start", "sector")
        self.assertIn("is running", self.second.fails("image", "export", "sector", "-", status=5))
        image = self.root / "running.image"
        shutil.copy(self.first.save_path("sector"), image)
        self.assertIn("a VM writes it", self.first.fails("image", "export", image, "-", "--disks", status=5))
        self.second.virsh("destroy", "sector")
        self.assertIn("is there already", self.first.fails("image", "export", "sector", self.bundle))
        self.first.fails("image", "export", "nothing", "-", status=3)
        self.first.fails("image", "export", "sector", "-", "--resume-from", "12", status=2)
        self.first.fails("image", "import", status=2)
        self.first.fails("-r", "image", "export", "sector", "-", status=7)
        self.first.fails("-r", "image", "import", self.bundle, status=7)

    def test_disks_a_bundle_cannot_carry(self):
        disk, base = self.first.disks / "over.qcow2", self.first.disks / "sector.img"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", disk], check=True)
        xml = self.first("managedsave-dumpxml", "sector").decode()
        image, edited = self.root / "over.image", self.root / "over.xml"
        shutil.copy(self.first.save_path("sector"), image)
        edited.write_text(xml.replace(str(base), str(disk)).replace("type='raw'/>", "type='qcow2'/>"))
        self.first("save-image-define", image, edited)
        message = self.first.fails("image", "export", image, "-", "--disks", status=6)
        self.assertRegex(message, r"disk hda: .*backing file.*'blockpull sector hda'")

    def test_chain_by_definition(self):
        """What the header does not say, as its user has written another chain."""
        guest = harness.BootSector(self.root, self.second.virsh, "over")
        guest.disk, base = self.second.disks / "over.qcow2", self.second.disks / "base.img"
        shutil.copy(guest.files / "bootsector.img", base)
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", guest.disk, "1M"], check=True)
        below = f"<backingStore type='file'><format type='raw'/><source file='{base}'/><backingStore/></backingStore>"
        path = self.root / "over.xml"
        path.write_text(guest.xml().replace(f"<source file='{guest.disk}'/>", f"<source file='{guest.disk}'/>{below}")
                        .replace("type='raw'/>", "type='qcow2'/>", 1))
        for command in (("define", path), ("start", "over", "--paused"), ("managedsave", "over")):
            self.second.virsh(*command)
        message = self.second.fails("image", "export", "over", "-", "--disks", status=6)
        self.assertRegex(message, r"disk hda: .*backing file.*'blockpull over hda'")

    def test_machines_a_bundle_cannot_carry(self):
        xml = self.sector.xml()
        block = xml.replace("type='file' device='disk'", "type='block' device='disk'").replace("<source file='", "<source dev='", 1)
        tpm = self.sector.xml(extra_devices="<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>")
        for changed, named in ((block, "disk hda is the block device"), (tpm, "has a TPM")):
            with self.subTest(named):
                self.assertNotEqual(changed, xml)
                path = self.root / "changed.xml"
                path.write_text(changed)
                self.second.virsh("define", path)
                shutil.copy(self.first.save_path("sector"), self.second.save_path("sector"))
                self.assertIn(named, self.second.fails("image", "export", "sector", "-", "--disks", status=6))
                self.second.clear()

    def test_where_something_is(self):
        (self.second.disks / "sector.img").write_text("something")
        message = self.second.fails("image", "import", self.bundle, "--disk-dir", self.second.disks)
        self.assertIn("is there already", message)
        self.assertEqual((self.second.disks / "sector.img").read_text(), "something")
        self.assertIn("is no bundle", self.second.fails("image", "import", self.first.save_path("sector")))


if __name__ == "__main__":
    unittest.main(verbosity=2)
