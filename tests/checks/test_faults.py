# SPDX-License-Identifier: LGPL-2.1-or-later
"""The lists of fault points that the crash tests take from the source (tests/crash/points.py) miss none."""

import re
import sys
import unittest

import tree

sys.path.insert(0, str(tree.TREE / "tests/crash"))

import points  # noqa: E402


def daemon_sources():
    """Comments blanked out, by name; without the engine and the tests."""
    return {tree.name(path): tree.without_comments(path.read_text()) for path in sorted((tree.TREE / "src").rglob("*.c"))
            if path.parent.name not in ("base", "job", "cli") and not path.name.startswith("test-")}


class Faults(unittest.TestCase):
    def test_tables_are_understood(self):
        """Every table of steps belongs to a job, and every line of it was read."""
        jobs, lengths = points.jobs(), []
        for name, text in daemon_sources().items():
            for table, body in re.findall(r"struct job_step (\w+)\[\w*\]\s*=\s*\{(.*?)\n\};", text, re.DOTALL):
                with self.subTest(f"{name}: {table}"):
                    lengths.append(body.count("{"))
                    self.assertIn(body.count("{"), [len(job.steps) for job in jobs.values()])
        self.assertGreaterEqual(len(jobs), len(lengths))
        self.assertGreater(len(lengths), 0)

    def test_jobs(self):
        for job in points.jobs().values():
            with self.subTest(job.name):
                self.assertLess(job.commit, len(job.steps))
                self.assertEqual(len({step.name for step in job.steps}), len(job.steps), "two steps of one name")

    def test_names(self):
        for name in [*points.others(), *points.jobs(), *(step.name for job in points.jobs().values() for step in job.steps)]:
            with self.subTest(name):
                self.assertRegex(name, r"^[a-z0-9-]+(/[a-z0-9-]+)*$")

    def test_named_points(self):
        """Each is a literal and stands once: a second place of the same name would never be tried."""
        found = []
        for name, text in daemon_sources().items():
            for argument in re.findall(r"\bfault_point\(([^)]*)\)", text):
                with self.subTest(f"{name}: {argument}"):
                    self.assertRegex(argument, r'^"[^"]+"$')
                found.append(argument.strip('"'))
        self.assertEqual(sorted(found), points.others())

    def test_moments(self):
        self.assertEqual(sorted(points.moments()), ["begun", "committed", "done", "undo", "undone"])


if __name__ == "__main__":
    unittest.main()
