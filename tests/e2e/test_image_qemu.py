# SPDX-License-Identifier: LGPL-2.1-or-later
"""Images by the real godwit-io and the real QEMU: what one wrote, the other reads; memory and devices come back unchanged."""

import os
import pathlib
import random
import shutil
import struct
import subprocess
import tempfile
import unittest

import image_io
from image_io import DONE, LOAD, SAVE, STREAMED, VERIFY, Failed, Qemu, Transfer

TREE = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("GODWIT_BUILD") or TREE / "build").absolute()
PROGRAM = BUILD / "godwit-io"
QEMU = os.environ.get("GODWIT_QEMU") or "qemu-system-x86_64"
SIZE_MIB = 24
XML = "<domain type='qemu'><name>guest7</name></domain>"
HEADER_SIZE = 92


def has_mapped_ram():
    """QEMU 9.0 and later."""
    words = subprocess.run([QEMU, "--version"], stdout=subprocess.PIPE, check=True).stdout.split()
    return int(words[3].split(b".")[0]) >= 9


def devices(stream):
    """What follows the end of memory: EOS, footer of the last section."""
    return stream[stream.rindex(struct.pack(">QB", 0x10, 0x7e)) + 13:]


class ImageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # Not /tmp: it may be memory, and direct I/O is to be tried.
        cls.directory = tempfile.mkdtemp(prefix="godwit-image-", dir=os.environ.get("GODWIT_TEST_DIR") or "/var/tmp")
        cls.addClassCleanup(shutil.rmtree, cls.directory)
        cls.contents = os.path.join(cls.directory, "contents")
        numbers = random.Random(7)
        with open(cls.contents, "wb") as f:
            for _ in range(SIZE_MIB << 8):
                # Zero pages in runs and alone, compressible and incompressible ones.
                kind = numbers.randrange(8)
                if kind == 0:
                    f.seek(4096 * numbers.choice((1, 1, 4, 40)), os.SEEK_CUR)
                elif kind < 4:
                    f.write(bytes([kind]) * 4096)
                else:
                    f.write(numbers.randbytes(4096))
            f.truncate(SIZE_MIB << 20)

    def qemu(self, **options):
        q = Qemu(self.directory, program=QEMU, size_mib=SIZE_MIB, **options)
        self.addCleanup(q.close)
        return q

    def path(self, name):
        path = os.path.join(self.directory, f"{self._testMethodName}-{name}")
        self.addCleanup(lambda: os.path.exists(path) and os.unlink(path))
        return path

    def save(self, qemu, path, image_format, **options):
        ours, theirs = image_io.stream_pair()
        t = Transfer(PROGRAM, SAVE, path, ours, image_format, XML, "<cookie/>", True, **options)
        self.addCleanup(t.close)
        qemu.use_stream("migrate", theirs)
        t.wait(STREAMED)
        self.assertEqual(qemu.migrated()["status"], "completed")
        t.commit()

    def load(self, path, **options):
        """A QEMU that took the image as a stream from godwit-io."""
        q = self.qemu(incoming=True)
        ours, theirs = image_io.stream_pair()
        t = Transfer(PROGRAM, LOAD, path, ours, **options)
        self.addCleanup(t.close)
        q.use_stream("migrate-incoming", theirs)
        t.wait(DONE)
        self.assertEqual(q.migrated()["status"], "completed")
        return q

    def saved(self, image_format, **options):
        """An image and the memory that is in it."""
        q = self.qemu(memory=self.contents)
        path = self.path(f"{image_format}.save")
        self.save(q, path, image_format, **options)
        memory = q.memory(self.directory, SIZE_MIB)
        q.close()
        return path, memory

    def plain_stream(self, path):
        """What godwit-io makes of an image."""
        ours, theirs = image_io.stream_pair()
        t = Transfer(PROGRAM, LOAD, path, ours)
        self.addCleanup(t.close)
        with theirs.makefile("rb") as f:
            data = f.read()
        t.wait(DONE)
        theirs.close()
        return data

    def check_load(self, image_format, **options):
        path, memory = self.saved(image_format, **options)
        q = self.load(path, **options)
        self.assertTrue(q.memory(self.directory, SIZE_MIB) == memory, "memory differs")
        # Saved again it is the same: devices too.
        again = self.path("again.save")
        self.save(q, again, "raw")
        first, second = self.plain_stream(path), self.plain_stream(again)
        self.assertGreater(len(devices(first)), 10000)
        # Where memory is cut into sections depends on time; what follows its last one does not.
        self.assertTrue(devices(first) == devices(second), "the devices differ")

    def test_raw(self):
        self.check_load("raw")

    def test_zstd(self):
        self.check_load("zstd")

    def test_sparse(self):
        self.check_load("sparse")

    def test_through_the_page_cache(self):
        self.check_load("raw", direct=False)

    def test_zstd_is_what_the_zstd_program_reads(self):
        path, _ = self.saved("zstd")
        with open(path, "rb") as f:
            data_len = struct.unpack("=I", f.read(24)[20:])[0]
            f.seek(HEADER_SIZE + data_len)
            out = subprocess.run(["zstd", "-dc"], input=f.read(), stdout=subprocess.PIPE, check=True).stdout
        self.assertTrue(out == self.plain_stream(path))

    def by_qemu(self, path, *capabilities):
        """A QEMU that read the image itself."""
        with open(path, "rb") as f:
            data_len = struct.unpack("=I", f.read(24)[20:])[0]
        q = self.qemu(incoming=True)
        q.capabilities("mapped-ram", *capabilities)
        q.command("migrate-incoming", uri=f"file:{path},offset={HEADER_SIZE + data_len}")
        self.assertEqual(q.migrated()["status"], "completed")
        return q

    @unittest.skipUnless(has_mapped_ram(), "QEMU has no mapped-ram")
    def test_sparse_is_what_qemu_reads(self):
        path, memory = self.saved("sparse")
        for capabilities in ((), ("multifd",)):
            with self.subTest(capabilities=capabilities):
                q = self.by_qemu(path, *capabilities)
                self.assertTrue(q.memory(self.directory, SIZE_MIB) == memory, "memory differs")
                q.close()

    @unittest.skipUnless(has_mapped_ram(), "QEMU has no mapped-ram")
    def test_sparse_is_laid_out_as_by_qemu(self):
        """Every page stands where QEMU itself would have put it."""
        path, _ = self.saved("sparse")
        own = self.path("own.save")
        self.qemu_saves(own, os.path.getsize(path))
        with open(path, "rb") as a, open(own, "rb") as b:
            data_len = struct.unpack("=I", a.read(24)[20:])[0]
            a.seek(HEADER_SIZE + data_len)
            b.seek(HEADER_SIZE + data_len)
            ours, theirs = a.read(SIZE_MIB << 20), b.read(SIZE_MIB << 20)
        # The ids of sections are QEMU's to choose, and so are the bytes around them; those of memory are not.
        self.assertEqual(ours[:40], theirs[:40])
        self.assertTrue(ours[1 << 20:] == theirs[1 << 20:], "the pages differ")

    def qemu_saves(self, path, _):
        """As libvirt does it: its header, then QEMU's own mapped-ram; no trailer. Returns the memory."""
        xml = XML.encode() + b"\0" + b"<cookie/>\0"
        header = struct.pack("=16s5I56x", b"LibvirtQemudSave", 2, len(xml) + 65536, 1, 6, len(XML) + 1)
        with open(path, "wb") as f:
            f.write(header + xml + bytes(65536))
        q = self.qemu(memory=self.contents)
        q.capabilities("mapped-ram", "multifd")
        q.command("migrate", uri=f"file:{path},offset={len(header) + len(xml) + 65536}")
        self.assertEqual(q.migrated()["status"], "completed")
        memory = q.memory(self.directory, SIZE_MIB)
        q.close()
        return memory

    @unittest.skipUnless(has_mapped_ram(), "QEMU has no mapped-ram")
    def test_qemus_own_mapped_ram_loads(self):
        path = self.path("own.save")
        memory = self.qemu_saves(path, 0)
        q = self.load(path)
        self.assertTrue(q.memory(self.directory, SIZE_MIB) == memory, "memory differs")
        with self.subTest("truncated"):
            os.truncate(path, os.path.getsize(path) - 1)
            t = Transfer(PROGRAM, VERIFY, path)
            self.addCleanup(t.close)
            with self.assertRaisesRegex(Failed, "truncated"):
                t.wait(DONE)

    def test_damage_is_noticed_before_the_guest_could_run(self):
        path, _ = self.saved("sparse")
        with open(path, "r+b") as f:
            f.seek(16 << 20)
            byte = f.read(1)
            f.seek(-1, os.SEEK_CUR)
            f.write(bytes([byte[0] ^ 1]))
        q = self.qemu(incoming=True)
        ours, theirs = image_io.stream_pair()
        t = Transfer(PROGRAM, LOAD, path, ours)
        self.addCleanup(t.close)
        q.use_stream("migrate-incoming", theirs)
        with self.assertRaisesRegex(Failed, "is damaged: its contents at offset 16777216") as caught:
            t.wait(DONE)
        self.assertEqual(caught.exception.code, image_io.ERROR_DAMAGED)

    def test_a_full_disk_is_named(self):
        q = self.qemu(memory=self.contents)
        if not os.path.exists("/dev/full") or os.geteuid() != 0:
            self.skipTest("needs root to mount a small file system")
        mount = os.path.join(self.directory, "small")
        os.mkdir(mount)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", mount], check=False).returncode != 0:
            self.skipTest("cannot mount")
        self.addCleanup(subprocess.run, ["umount", mount], check=True)
        ours, theirs = image_io.stream_pair()
        t = Transfer(PROGRAM, SAVE, os.path.join(mount, "x.save"), ours, "raw", XML)
        self.addCleanup(t.close)
        q.use_stream("migrate", theirs)
        with self.assertRaisesRegex(Failed, r"^write .*/x.save: No space left on device$"):
            t.wait(STREAMED)
        # It may have sent its last byte before the disk was full.
        self.assertIn(q.migrated()["status"], ("failed", "completed"))


if __name__ == "__main__":
    unittest.main()
