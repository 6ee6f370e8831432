# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon's fault points, read from its sources, so that a new one cannot be forgotten.

A job's points are "job/step/moment": the steps stand in tables of struct job_step, each used by one or more jobs, and the
moments in the job engine. Other points are called by their name.
"""

import dataclasses
import pathlib
import re

TREE = pathlib.Path(__file__).resolve().parent.parent.parent


@dataclasses.dataclass(frozen=True)
class Step:
    name: str
    has_undo: bool


@dataclasses.dataclass(frozen=True)
class Job:
    name: str
    steps: tuple
    commit: int  # index of the commit step


def read_sources():
    return {p: p.read_text() for p in sorted((TREE / "src").rglob("*.c")) if not p.name.startswith("test-")}


def read_constants(text):
    return {name: int(value) for name, value in re.findall(r"\b([A-Z_]+_COMMIT) = (\d+)", text)}


def read_jobs(text):
    tables = {}
    for table, body in re.findall(r"struct job_step (\w+)\[\] = \{\n(.*?)\n\};", text, re.S):
        rows = re.findall(r'\{"([\w-]+)",\s*\w+,\s*(\w+)\}', body)
        tables[table] = tuple(Step(name, undo != "NULL") for name, undo in rows)
    constants = read_constants(text)
    uses = re.findall(r'\.name = "([\w-]+)",\s*\.steps = (\w+),.*?\.commit = (\w+)', text, re.S)
    # the macro's form: NAME, verb, kind, steps, commit
    uses += re.findall(r'OPERATION\(\s*"([\w-]+)",\s*"[\w-]+",\s*\w+,\s*(\w+),\s*(\w+)', text)
    jobs = [Job(name, tables[steps], constants[commit]) for name, steps, commit in uses if steps in tables]
    unused = set(tables) - {steps for _, steps, _ in uses}
    if unused:
        raise AssertionError(f"tables of steps that belong to no job: {unused}")
    return jobs


def jobs():
    """{name: Job}"""
    return {job.name: job for path, text in read_sources().items() if "struct job_step " in text
            and path.name != "job.c" for job in read_jobs(text)}


def moments():
    """What the engine calls the moments of a step."""
    return re.findall(r'\bfault\(job, "(\w+)"\)', (TREE / "src/job/job.c").read_text())


def of(*folders):
    """Points in the sources of these folders that belong to no job."""
    return sorted(name for path, text in read_sources().items() if path.parent.name in folders
                  for name in re.findall(r'\bfault_point\("([^"]+)"\)', text))


def others():
    """Points of the daemon that belong to no job. The command has its own, which tests/e2e/test_bundle.py tries."""
    return of(*({path.parent.name for path in read_sources()} - {"base", "cli"}))
