# SPDX-License-Identifier: LGPL-2.1-or-later
"""scripts/install-packages finds the backports' source in whatever form apt's sources have."""

import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import tree

SCRIPT = tree.TREE / "scripts/install-packages"

DEB822 = """\
# the security archive is not what is looked for
Types: deb
URIs: http://security.example.org/
Suites: bookworm-security
Components: main

Types: deb deb-src
# a remark
URIs: http://mirror.example.org/debian
 http://second.example.org/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/k.gpg
"""


class Backports(unittest.TestCase):
    def source(self, **files):
        """What the script finds with these files (dots written as two underscores) under /etc/apt."""
        function = re.search(r"^backports_source\(\) \{.*?^\}", SCRIPT.read_text(), re.MULTILINE | re.DOTALL).group(0)
        with tempfile.TemporaryDirectory() as directory:
            for name, text in files.items():
                path = pathlib.Path(directory, name.replace("__", ".").replace("_d_", ".d/"))
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            done = subprocess.run(["sh", "-euc", f"apt={directory}\n{function}\nbackports_source"],
                                  check=True, capture_output=True, text=True)
        self.assertEqual(done.stderr, "")
        return done.stdout

    def test_deb822(self):
        self.assertEqual(self.source(sources__list_d_debian__sources=DEB822), """\
sources
Types: deb
Suites: bookworm-backports
Components: main
URIs: http://mirror.example.org/debian
 http://second.example.org/debian
Signed-By: /usr/share/keyrings/k.gpg
""")

    def test_disabled(self):
        self.assertEqual(self.source(sources__list_d_debian__sources=DEB822 + "Enabled: no\n"), "")

    def test_one_line(self):
        text = ("deb-src http://mirror.example.org/debian bookworm main\n"
                "# deb http://old.example.org/debian bookworm main\n"
                "deb http://mirror.example.org/debian bookworm-updates main\n"
                "deb [arch=amd64 signed-by=/k.gpg] http://mirror.example.org/debian bookworm main contrib\n")
        self.assertEqual(self.source(sources__list=text),
                         "list\ndeb [arch=amd64 signed-by=/k.gpg] http://mirror.example.org/debian bookworm-backports main\n")

    def test_none(self):
        self.assertEqual(self.source(sources__list="deb http://mirror.example.org/debian trixie main\n"), "")

    def test_no_address(self):
        """No archive's address is written down in it."""
        self.assertNotRegex(SCRIPT.read_text(), r"https?://")

    @unittest.skipUnless(shutil.which("dpkg-query"), "not Debian")
    def test_nothing_missing(self):
        """Where the tests run, nothing is missing: no root, no network, no word."""
        done = subprocess.run([str(SCRIPT)], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))


if __name__ == "__main__":
    unittest.main()
