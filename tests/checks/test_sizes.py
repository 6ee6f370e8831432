# SPDX-License-Identifier: LGPL-2.1-or-later
"""Files and functions stay small enough to read (HACKING.md, "Sizes")."""

import re
import unittest

import tree

FILE_EXPLAIN, FILE_MAX, HEADER_EXPLAIN, FUNCTION_MAX = 800, 1200, 150, 100
HEAD_LINES = 20
CODE = {".c", ".h", ".py", ".S", ".x", ".sh"}


def explained(lines):
    return any(re.search(r"\bsize:\s+\S", line) for line in lines[:HEAD_LINES])


def functions(lines):
    """(name, lines) of each C function: clang-format puts its braces, and no others, at the beginning of a line."""
    start = None
    for i, line in enumerate(lines):
        if line == "{":
            start = i
        elif line == "}" and start is not None:
            head = " ".join(lines[max(0, start - 4):start])
            name = re.findall(r"(\w+)\s*\(", head)
            yield name[-1] if name else f"line {start}", i - start - 1
            start = None


def is_code(path):
    if path.suffix in CODE:
        return True
    return path.suffix == "" and path.read_bytes()[:2] == b"#!"


class Sizes(unittest.TestCase):
    def test_files(self):
        for path in filter(is_code, tree.all_files()):
            lines = path.read_text().splitlines()
            with self.subTest(tree.name(path)):
                self.assertLessEqual(len(lines), FILE_MAX, "lines")
                if len(lines) > FILE_EXPLAIN:
                    self.assertTrue(explained(lines), f"{len(lines)} lines, and no 'size:' in its head says why")

    def test_headers(self):
        for path in (p for p in tree.c_files() if p.suffix == ".h"):
            lines = path.read_text().splitlines()
            with self.subTest(tree.name(path)):
                if len(lines) > HEADER_EXPLAIN:
                    self.assertTrue(explained(lines), f"{len(lines)} lines, and no 'size:' in its head says why")

    def test_functions(self):
        for path in tree.c_files():
            for name, length in functions(path.read_text().splitlines()):
                if length > FUNCTION_MAX:
                    with self.subTest(f"{tree.name(path)}: {name}"):
                        self.fail(f"{length} lines")

    def test_measure(self):
        """The measuring itself."""
        lines = ["static int f(int a,", "\tint b)", "{", *["\tx();"] * 101, "}", "struct s {", "\tint a;", "};"]
        self.assertEqual(list(functions(lines)), [("f", 101)])
        self.assertTrue(explained(["/* size: one table */"]))
        self.assertFalse(explained(["x"] * 30 + ["size: late"]))


if __name__ == "__main__":
    unittest.main()
