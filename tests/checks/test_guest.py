# SPDX-License-Identifier: LGPL-2.1-or-later
"""tests/guest/build fetches the kernel without a word on its standard output, where scripts/demo reads the directory."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import tree

PROGRAM = tree.TREE / "tests/guest/build"

FAKES = {
    "apt-cache": "echo '  Depends: linux-image-6.1.0-9-cloud-amd64'",
    "apt-get": "echo 'Get:1 http://mirror.example.org/debian'; : >linux-image-6.1.0-9-cloud-amd64_6.1_amd64.deb",
    "dpkg-deb": 'cd "$(mktemp -d)" && mkdir boot && : >boot/vmlinuz-6.1 && tar -c boot; rm -r "$PWD"',
}


class Fetch(unittest.TestCase):
    def test_fetch_is_silent(self):
        with tempfile.TemporaryDirectory() as directory:
            for name, text in FAKES.items():
                fake = pathlib.Path(directory, name)
                fake.write_text(f"#!/bin/sh\n{text}\n")
                fake.chmod(0o755)
            environment = {**os.environ, "PATH": f"{directory}:{os.environ['PATH']}", "GODWIT_CACHE": directory}
            code = f"import runpy; build = runpy.run_path({str(PROGRAM)!r}); build['fetch_kernel'](build['CLOUD'])"
            done = subprocess.run([sys.executable, "-B", "-c", code], check=True, capture_output=True, text=True,
                                  env=environment)
            self.assertTrue(pathlib.Path(directory, "kernel/boot/vmlinuz-6.1").exists())
        self.assertEqual(done.stdout, "")
        self.assertIn("Get:1", done.stderr)


if __name__ == "__main__":
    unittest.main()
