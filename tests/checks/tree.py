# SPDX-License-Identifier: LGPL-2.1-or-later
"""The tree's files, and what can be read off its C sources, for the checks."""

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
