# SPDX-License-Identifier: LGPL-2.1-or-later
"""Certificates for tests: two authorities, of which the daemon trusts one, and who has which."""

import pathlib
import shutil
import subprocess

# name: (authority, what it is for, more lines of certtool's template)
WHO = {
    "server": ("ours", "server", 'ip_address = "127.0.0.1"\ndns_name = "localhost"'),
    "client": ("ours", "client", ""),
    "other": ("ours", "client", ""),
    "expired": ("ours", "both", 'activation_date = "2001-01-01"\nexpiration_date = "2002-01-01"'),
    "stranger": ("theirs", "both", ""),
}


class Pki:
    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        for authority in ("ours", "theirs"):
            self.make(authority, "ca\ncert_signing_key\ncrl_signing_key\nexpiration_days = 10", "--generate-self-signed")
        for name, (authority, purpose, more) in WHO.items():
            keys = [f"tls_www_{p}" for p in ("server", "client") if purpose in (p, "both")]
            days = "" if "expiration" in more else "expiration_days = 9"
            self.make(name, "\n".join(["signing_key", "encryption_key", *keys, more, days]), "--generate-certificate",
                      "--load-ca-certificate", self.certificate(authority), "--load-ca-privkey", self.key(authority))

    def certificate(self, name):
        return self.directory / f"{name}.cert.pem"

    def key(self, name):
        return self.directory / f"{name}.key.pem"

    def certtool(self, *args):
        done = subprocess.run(["certtool", *map(str, args)], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise AssertionError(f"certtool {args}: {done.stderr}")

    def make(self, name, template, *how):
        common_name = "127.0.0.1" if name == "server" else name
        path = self.directory / f"{name}.template"
        path.write_text(f'cn = "{common_name}"\n{template}\n')
        self.certtool("--generate-privkey", "--key-type", "rsa", "--bits", "2048", "--outfile", self.key(name))
        self.certtool(*how, "--load-privkey", self.key(name), "--template", path, "--outfile", self.certificate(name))

    def revoke(self, name):
        """A list of revoked certificates with this one in it."""
        path, template = self.directory / "crl.pem", self.directory / "crl.template"
        template.write_text("crl_next_update = 9\ncrl_number = 1\n")
        self.certtool("--generate-crl", "--load-ca-certificate", self.certificate("ours"), "--load-ca-privkey", self.key("ours"),
                      "--load-certificate", self.certificate(name), "--template", template, "--outfile", path)
        return path

    def server_lines(self, name):
        """Of the daemon's configuration: it is `name`."""
        return [f'ca_file = "{self.certificate("ours")}"', f'cert_file = "{self.certificate(name)}"',
                f'key_file = "{self.key(name)}"']

    def client_directory(self, name):
        """For pkipath: the client is `name`, or has no certificate when there is none of that name."""
        directory = self.directory / f"{name}.client"
        if not directory.exists():
            directory.mkdir()
            shutil.copy(self.certificate("ours"), directory / "cacert.pem")
            if self.certificate(name).exists():
                shutil.copy(self.certificate(name), directory / "clientcert.pem")
                shutil.copy(self.key(name), directory / "clientkey.pem")
        return directory
