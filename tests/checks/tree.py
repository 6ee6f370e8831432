# SPDX-License-Identifier: LGPL-2.1-or-later
"""The tree's files, and what can be read off its C sources, for the checks and the crash tests."""

import pathlib
import re
import subprocess

TREE = pathlib.Path(__file__).resolve().parent.parent.parent
SKIPPED = {".git", ".cache", "__pycache__"}


def all_files():
    """What git tracks or would track; without git, everything but build directories."""
    try:
        out = subprocess.run(["git", "-C", str(TREE), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                             check=True, capture_output=True).stdout
        files = [TREE / name.decode() for name in out.split(b"\0") if name]
    except (OSError, subprocess.CalledProcessError):
        files = [p for p in TREE.rglob("*") if not SKIPPED & set(p.parts) and not p.relative_to(TREE).parts[0].startswith("build")]
    return sorted({p for p in files if p.is_file() and not p.is_symlink()})


def name(path):
    return str(path.relative_to(TREE))


def c_files():
    return [p for p in all_files() if p.suffix in (".c", ".h")]


def without_comments(text):
    """C source with comments blanked out, lines kept; strings stay."""
    def blank(match):
        found = match.group(0)
        return re.sub(r"[^\n]", " ", found) if found.startswith("/") else found
    return re.sub(r'"(?:\\.|[^"\\\n])*"|/\*.*?\*/|//[^\n]*', blank, text, flags=re.DOTALL)


def layers():
    """The folders of src/, lowest first, as src/meson.build has them."""
    match = re.search(r"foreach layer : \[(.*?)\]", (TREE / "src/meson.build").read_text(), re.DOTALL)
    return re.findall(r"'([\w-]+)'", match.group(1))


# ---- jobs and fault points ----

def job_tables():
    """{job name: [(step, has undo, is commit)]} of every struct job_type in src/, alone or in a larger structure."""
    tables, jobs, used = {}, {}, set()
    sources = [without_comments(p.read_text()) for p in sorted((TREE / "src").rglob("*.c")) if not p.name.startswith("test-")]
    for text in sources:
        for table, body in re.findall(r"struct job_step (\w+)\[\w*\]\s*=\s*\{(.*?)\n\};", text, re.DOTALL):
            steps = re.findall(r'\{\s*"([^"]+)"\s*,\s*\w+\s*,\s*(\w+)\s*\}', body)
            if len(steps) != body.count("{"):
                raise AssertionError(f"table {table}: {len(steps)} steps understood of {body.count('{')}")
            tables[table] = [(step, undo != "NULL") for step, undo in steps]
    for text in sources:
        numbers = {key: int(value) for key, value in re.findall(r"\b(\w*COMMIT\w*)\s*=\s*(\d+)", text)}
        for body in re.findall(r"^(?:static )?const struct \w+_type \w+\s*=(.*?);\n", text, re.DOTALL | re.MULTILINE):
            table = next((t for t in tables if re.search(rf"\b{t}\b", body)), None)
            if not table:
                continue
            job = re.search(r'"([^"]+)"', body).group(1)
            commit = numbers[re.search(r"\b\w*COMMIT\w*\b", body).group(0)]
            jobs[job] = [(step, undo, i == commit) for i, (step, undo) in enumerate(tables[table])]
            used.add(table)
    if used != set(tables):
        raise AssertionError(f"tables of no job: {', '.join(sorted(set(tables) - used))}")
    return jobs


def job_fault_points():
    """The engine's points of every job: JOB/STEP/MOMENT (job.h)."""
    points = []
    for job, steps in sorted(job_tables().items()):
        for step, undo, commit in steps:
            points += [f"{job}/{step}/begun", f"{job}/{step}/done"]
            points += [f"{job}/{step}/committed"] if commit else []
            points += [f"{job}/{step}/undo", f"{job}/{step}/undone"] if undo else []
    return points


def named_fault_points():
    """The points that the sources name themselves."""
    points = set()
    for path in (TREE / "src").rglob("*.c"):
        if path.name.startswith("test-") or path.parent.name in ("base", "job"):
            continue
        text = without_comments(path.read_text())
        calls = re.findall(r"\bfault_point\(([^)]*)\)", text)
        for argument in calls:
            literal = re.fullmatch(r'\s*"([^"]+)"\s*', argument)
            if not literal:
                raise AssertionError(f"{name(path)}: fault_point({argument}): only a literal name can be found by the tests")
            points.add(literal.group(1))
    return sorted(points)


def fault_points():
    return sorted(set(job_fault_points()) | set(named_fault_points()))
