# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every fault point is known: the lists the crash tests take from the source are complete and without doubles."""

import re
import unittest

import tree


class Faults(unittest.TestCase):
    def test_jobs_are_understood(self):
        """As many tables as the source has, each with one commit step."""
        definitions = 0
        for path in (tree.TREE / "src").rglob("*.c"):
            if not path.name.startswith("test-"):
                definitions += len(re.findall(r"\bstruct job_step \w+\[", tree.without_comments(path.read_text())))
        jobs = tree.job_tables()
        self.assertGreaterEqual(len(jobs), definitions)
        for job, steps in jobs.items():
            with self.subTest(job):
                self.assertEqual(sum(commit for *_, commit in steps), 1)
                self.assertEqual(len({step for step, *_ in steps}), len(steps), "two steps of one name")

    def test_names(self):
        for point in tree.fault_points():
            with self.subTest(point):
                self.assertRegex(point, r"^[a-z0-9-]+(/[a-z0-9-]+)*$")

    def test_named_points_stand_once(self):
        """A name that stands in two places would be tested in one of them."""
        found = []
        for path in (tree.TREE / "src").rglob("*.c"):
            if path.parent.name not in ("base", "job") and not path.name.startswith("test-"):
                found += re.findall(r'\bfault_point\("([^"]+)"\)', tree.without_comments(path.read_text()))
        self.assertEqual(sorted(found), sorted(set(found)))

    def test_crash_tests_know_them(self):
        """Named points must be spelled out by a crash test, jobs too; their steps come from the tables."""
        crash = "\n".join(path.read_text() for path in (tree.TREE / "tests/crash").glob("*.py"))
        if "fault_points" in crash:
            return  # takes the list from here
        for point in tree.named_fault_points() + [f"{job}/" for job in tree.job_tables()]:
            with self.subTest(point):
                self.assertIn(point, crash)


if __name__ == "__main__":
    unittest.main()
