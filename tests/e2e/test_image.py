#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""`godwit image`: saved files told, verified and converted, without a daemon; and a guest goes on from what came out."""

import json
import os
import struct
import subprocess
import unittest

import harness

GODWIT = harness.BUILD / "godwit"
FORMATS = ("raw", "zstd", "sparse")


def image(*words, **options):
    return subprocess.run([GODWIT, "image", *map(str, words)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=120, check=False, **options)


class Image(harness.DaemonTest):
    def setUp(self):
        super().setUp()
        self.guest = self.sector().define()
        self.virsh("start", self.guest.name)
        self.guest.wait_count(10)
        self.saved = self.root / "saved"
        self.virsh("save", self.guest.name, self.saved, "--image-format", "raw")
        self.count = self.guest.wait_still()

    def image(self, *words):
        run = image(*words)
        self.assertEqual(run.returncode, 0, run.stderr)
        return run.stdout

    def fails(self, status, *words):
        run = image(*words)
        self.assertEqual(run.returncode, status, run.stdout)
        self.assertRegex(run.stderr, r"\Aerror: [^\n]+\n\Z")
        return run.stderr

    def info(self, path):
        return json.loads(self.image("info", path, "--json"))

    def foreign(self, image_format="raw"):
        """As libvirt would have written it: no mark, no trailer."""
        source, path = self.root / "own", self.root / f"foreign-{image_format}"
        self.image("convert", self.saved, source, "--format", image_format)
        data = bytearray(source.read_bytes())
        del data[int.from_bytes(data[40:48], "little"):]
        data[36:92] = bytes(56)
        path.write_bytes(data)
        source.unlink()
        return path

    def test_converted_there_and_back_the_guest_goes_on(self):
        previous = self.saved
        for image_format in ("sparse", "zstd", "raw", "zstd", "sparse", "raw"):
            path = self.root / f"{previous.name}-{image_format}"
            said = self.image("convert", previous, path, "--format", image_format)
            self.assertRegex(said, rf"\A{path}: written in format {image_format}, [0-9.]+ .iB on disk \(before: .*\)\n\n\Z")
            self.assertIn("whole", self.image("verify", path))
            told = self.info(path)
            self.assertEqual((told["format"], told["vm"], told["complete"], told["lazy_restore"]),
                             (image_format, self.guest.name, True, True))
            previous = path
        self.virsh("restore", previous)
        self.guest.wait_count(self.count + 10)
        self.guest.check_sequence()

    def test_each_format_is_restored_from_libvirts_raw_one(self):
        count, source = self.count, self.foreign()
        for image_format in FORMATS:
            with self.subTest(format=image_format):
                path = self.root / image_format
                self.image("convert", source, path, "--format", image_format)
                self.assertEqual(self.info(path)["checksum_bytes"], 65536)
                self.virsh("restore", path)
                self.guest.wait_count(count + 5)
                self.virsh("destroy", self.guest.name)

    def test_info(self):
        told = self.info(self.saved)
        self.assertEqual({key: told[key] for key in ("written_by", "version", "other_byte_order", "format", "complete", "vm",
                                                     "was_running", "memory", "checksums", "checksum_bytes")},
                         {"written_by": "godwit", "version": 2, "other_byte_order": False, "format": "raw", "complete": True,
                          "vm": self.guest.name, "was_running": True, "memory": self.guest.memory << 20, "checksums": True,
                          "checksum_bytes": 65536})
        self.assertEqual(told["uuid"], self.virsh("domuuid", self.guest.name).strip())
        self.assertEqual(told["file_size"], self.saved.stat().st_size)
        self.assertEqual(told["allocated"], self.saved.stat().st_blocks * 512)
        self.assertNotIn("problem", told)
        text = self.image("info", self.saved)
        for line in (r"Written by: +godwit", r"Checksums: +of every 64 KiB", r"Lazy restore: +yes", r"Complete: +yes"):
            self.assertRegex(text, rf"(?m)^{line}$")

    def test_what_is_not_as_it_should_be_is_called_so(self):
        data = self.saved.read_bytes()
        trailer = int.from_bytes(data[40:48], "little")
        cases = {"truncated": data[:-1], "incomplete": b"LibvirtQemudPart" + data[16:],
                 "header or domain XML": data[:100] + b"?" + data[101:],
                 "checksums at its end": data[:trailer + 90] + bytes([data[trailer + 90] ^ 1]) + data[trailer + 91:]}
        for words, contents in cases.items():
            with self.subTest(words):
                path = self.root / "odd"
                path.write_bytes(contents)
                self.assertIn(words, self.info(path)["problem"])
                self.assertIn(words, self.fails(1, "verify", path))
                self.assertIn(words, self.fails(1, "convert", path, self.root / "target"))
                self.assertFalse((self.root / "target").exists())
        (self.root / "odd").write_bytes(b"\x7fELF" + bytes(200))
        for verb in ("info", "verify"):
            self.assertIn("is no save image", self.fails(1, verb, self.root / "odd"))
        self.assertIn("No such file", self.fails(1, "info", self.root / "none"))

    def test_libvirts(self):
        for image_format in FORMATS:
            with self.subTest(format=image_format):
                path = self.foreign(image_format)
                told = self.info(path)
                self.assertEqual((told["written_by"], told["checksums"], told["lazy_restore"]),
                                 ("libvirt", False, image_format != "zstd"))
                self.assertIn("no checksums", self.image("verify", path))
                os.truncate(path, path.stat().st_size - 5000)
                self.fails(1, "verify", path)

    def test_a_host_of_the_other_byte_order(self):
        path = self.foreign()
        data = bytearray(path.read_bytes())
        data[16:36] = struct.pack(">5I", *struct.unpack("<5I", data[16:36]))
        path.write_bytes(data)
        told = self.info(path)
        self.assertEqual((told["other_byte_order"], told["version"], told["vm"]), (True, 2, self.guest.name))
        self.assertIn("by a host of the other byte order", self.image("info", path))

    def test_damage_is_found_and_no_target_is_left(self):
        harness.flip(self.saved, self.saved.stat().st_size // 2)
        self.assertRegex(self.fails(1, "verify", self.saved), r"is damaged: its contents at offset \d+")
        self.assertIn("is damaged", self.fails(1, "convert", self.saved, self.root / "target", "--format", "zstd"))
        self.check_no_partial(self.root)
        self.assertFalse((self.root / "target").exists())
        self.assertIsNone(self.info(self.saved).get("problem"), "only reading all of it shows this")

    def test_nothing_is_overwritten(self):
        target = self.root / "target"
        target.write_text("precious")
        self.assertIn("is there already", self.fails(1, "convert", self.saved, target))
        self.assertEqual(target.read_text(), "precious")
        self.assertIn("not one of raw, zstd and sparse", self.fails(2, "convert", self.saved, self.root / "x", "--format", "gzip"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
