# SPDX-License-Identifier: LGPL-2.1-or-later
"""How files look and begin, and what may not stand in them."""

import concurrent.futures
import py_compile
import re
import shutil
import subprocess
import tempfile
import unittest

import tree

TEXT = {".c", ".h", ".S", ".py", ".md", ".x", ".sh", ".build", ".txt", ".8", ".1", ".5", ""}
WITHOUT_LICENCE = {".md", ".json", ".xml", ".args", ".txt", ".build"}

# Notes to oneself, paths of somebody's machine, words that say nothing or look down on who reads.
BANNED = [
    r"\b(TODO|FIXME|XXX|HACK|WIP)\b",
    r"(?:^|(?<=[\s\"'=(`]))/(work|root)/\w",
    r"\b(obviously|trivially|blazing(ly)?|leverag(e|es|ing)|utili[sz]e[sd]?|robustly|world-class)\b",
]


def text_files():
    for path in tree.all_files():
        if path.suffix in TEXT and "corpus" not in path.parts and "golden" not in path.parts and path.name != "LICENSE":
            yield path


def programs():
    """Everything with a line of purpose: sources and scripts."""
    for path in text_files():
        if path.suffix in WITHOUT_LICENCE:
            continue
        if path.suffix == "" and path.read_bytes()[:2] != b"#!":
            continue
        yield path


class Style(unittest.TestCase):
    @unittest.skipUnless(shutil.which("clang-format"), "clang-format is not installed")
    def test_clang_format(self):
        def format_(path):
            out = subprocess.run(["clang-format", "--style=file", str(path)], check=True, capture_output=True).stdout
            return path, out == path.read_bytes()

        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            bad = [tree.name(path) for path, good in pool.map(format_, tree.c_files()) if not good]
        self.assertEqual(bad, [], "clang-format -i these")

    def test_licence_line(self):
        for path in programs():
            with self.subTest(tree.name(path)):
                self.assertIn("SPDX-License-Identifier: LGPL-2.1-or-later", "\n".join(path.read_text().splitlines()[:3]))

    def test_purpose(self):
        """C files say what they are for, right below the licence."""
        for path in tree.c_files():
            lines = path.read_text().splitlines()
            with self.subTest(tree.name(path)):
                self.assertGreater(len(lines), 2)
                self.assertRegex(lines[1], r"^/\*")
                self.assertRegex(" ".join(lines[1:4]), r"\w+ \w+")

    def test_headers_once(self):
        for path in (p for p in tree.c_files() if p.suffix == ".h"):
            with self.subTest(tree.name(path)):
                self.assertIn("#pragma once", path.read_text())

    def test_banned_words(self):
        for path in text_files():
            if path.name == "test_style.py":
                continue
            text = path.read_text()
            for pattern in BANNED:
                for match in re.finditer(pattern, text, re.IGNORECASE if pattern.islower() else 0):
                    line = text.count("\n", 0, match.start()) + 1
                    with self.subTest(f"{tree.name(path)}:{line}"):
                        self.fail(match.group(0))

    def test_space(self):
        for path in text_files():
            text = path.read_text()
            with self.subTest(tree.name(path)):
                self.assertFalse(re.search(r"[ \t]+$", text, re.MULTILINE), "white space at the end of a line")
                self.assertTrue(text == "" or text.endswith("\n"), "no newline at the end")
                self.assertNotIn("\r", text)

    def test_python_compiles(self):
        with tempfile.TemporaryDirectory() as directory:
            for path in programs():
                if path.suffix == ".py" or b"python3" in path.read_bytes()[:60].split(b"\n")[0]:
                    with self.subTest(tree.name(path)):
                        py_compile.compile(str(path), cfile=directory + "/x.pyc", doraise=True)

    def test_decisions_are_listed(self):
        index = (tree.TREE / "docs/decisions/README.md").read_text()
        for path in (tree.TREE / "docs/decisions").glob("*.md"):
            if path.name != "README.md":
                with self.subTest(path.name):
                    self.assertIn(f"]({path.name})", index)

    def test_links(self):
        """A file that a document names with a link is there."""
        for path in (p for p in tree.all_files() if p.suffix == ".md"):
            for target in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", path.read_text()):
                with self.subTest(f"{tree.name(path)}: {target}"):
                    self.assertTrue((path.parent / target).exists())


if __name__ == "__main__":
    unittest.main()
