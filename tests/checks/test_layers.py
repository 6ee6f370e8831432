# SPDX-License-Identifier: LGPL-2.1-or-later
"""The tree is the architecture: a folder includes only itself and those before it in src/meson.build."""

import collections
import re
import unittest

import tree

LAYERS = tree.layers()


def own_headers():
    return {path.name: path for path in (tree.TREE / "src").rglob("*.h")}


def includes(path):
    text = tree.without_comments(path.read_text())
    return re.findall(r'^[ \t]*#[ \t]*include[ \t]+"([^"]+)"', text, re.MULTILINE)


class Layers(unittest.TestCase):
    def test_every_folder_is_a_layer(self):
        folders = {path.name for path in (tree.TREE / "src").iterdir() if path.is_dir()}
        self.assertEqual(folders, set(LAYERS))

    def test_no_upward_include(self):
        headers = own_headers()
        for path in (p for p in tree.c_files() if p.is_relative_to(tree.TREE / "src")):
            for header in includes(path):
                if header not in headers:
                    continue
                with self.subTest(f"{tree.name(path)} includes {header}"):
                    self.assertLessEqual(LAYERS.index(headers[header].parent.name), LAYERS.index(path.parent.name))

    def test_unknown_includes(self):
        """In quotes only what is ours, or generated from protocol/."""
        known = set(own_headers()) | {"godwit.h", "guest.h", "images.h", "migration.h", "own.h"}
        for path in (p for p in tree.c_files() if p.is_relative_to(tree.TREE / "src")):
            with self.subTest(tree.name(path)):
                self.assertEqual([h for h in includes(path) if h not in known], [])

    def test_see_is_not_widened(self):
        """A folder's meson.build does not add to what it sees."""
        for path in (tree.TREE / "src").glob("*/meson.build"):
            with self.subTest(tree.name(path)):
                self.assertNotIn("-iquote", path.read_text())

    def test_unique_names(self):
        """Headers are included by their plain names, and messages name files by theirs."""
        seen = collections.defaultdict(list)
        for path in (p for p in tree.c_files() if p.is_relative_to(tree.TREE / "src")):
            seen[path.name].append(tree.name(path))
        self.assertEqual({name: paths for name, paths in seen.items() if len(paths) > 1}, {})


class Built(unittest.TestCase):
    """What stands in the tree is also built and run."""

    def test_sources_are_built(self):
        for path in (p for p in tree.all_files() if p.suffix == ".c" and p.is_relative_to(tree.TREE / "src")):
            with self.subTest(tree.name(path)):
                self.assertIn(f"'{path.name}'", (path.parent / "meson.build").read_text())

    def test_fuzz_targets_have_a_corpus(self):
        build = (tree.TREE / "tests/fuzz/meson.build").read_text()
        for path in (tree.TREE / "tests/fuzz").glob("fuzz-*.c"):
            target = path.stem.removeprefix("fuzz-")
            with self.subTest(target):
                self.assertIn(f"'{target}'", build)
                self.assertTrue(list((path.parent / "corpus" / target).iterdir()))


if __name__ == "__main__":
    unittest.main()
