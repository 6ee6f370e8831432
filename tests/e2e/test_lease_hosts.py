#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The hosts with sanlock that other tests stand on behave as hosts do. Root only.

GODWIT_TEST_LONG=1 adds what waits for a host to be given up, minutes.
"""

import os
import pathlib
import shutil
import tempfile
import time
import unittest

import harness
import lease_hosts


class LeaseHosts(unittest.TestCase):
    def setUp(self):
        lease_hosts.need_sanlock(self)
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="gw-", dir=os.environ.get("GODWIT_TEST_DIR")))
        self.addCleanup(self.clean_up)
        self.leases = self.root / "leases"
        self.first = lease_hosts.SanlockHost(self.root / "a", "first", 1, options="-g 3")
        self.second = lease_hosts.SanlockHost(self.root / "b", "second", 2, options="-g 3")

    def clean_up(self):
        for host in (self.first, self.second):
            host.crash()
        harness.end_everything(self.root)
        if not os.environ.get("GODWIT_TEST_KEEP"):
            shutil.rmtree(self.root, ignore_errors=True)

    def join(self, *hosts):
        """Start them and let them join the lockspace, with a resource in it."""
        for host in hosts:
            host.start()
        hosts[0].format_lockspace("ls", self.leases)
        hosts[0].format_resource("ls", "disk", self.leases, lease_hosts.MIB)
        for host in hosts:
            host.add_lockspace("ls", self.leases)

    def hold(self, host):
        process = host.hold("ls", "disk", self.leases, lease_hosts.MIB)
        self.addCleanup(lambda: (process.kill(), process.wait()))
        harness.wait_for(lambda: process.pid in host.status().holders("ls", "disk") or process.poll() is not None,
                         f"{host.name} takes the lease or does not", 200)
        return process

    def test_exclusion(self):
        self.join(self.first, self.second)
        mine = self.hold(self.first)
        self.assertIsNone(mine.poll())
        self.assertEqual(self.hold(self.second).wait(30), 1)
        mine.kill()
        mine.wait()
        harness.wait_for(lambda: not self.first.status().resources, "the lease is free when its holder has died")
        theirs = self.hold(self.second)
        self.assertIsNone(theirs.poll())
        self.second.stop()
        self.assertNotEqual(theirs.wait(30), 0)
        self.assertIsNone(self.hold(self.first).poll(), "free when its host has been shut down")

    def test_storage_fails(self):
        self.join(self.first)
        mine = self.hold(self.first)
        self.first.fail_storage()
        self.assertNotEqual(mine.wait(60), 0)
        self.assertIn("renewal error", self.first.log())
        harness.wait_for(lambda: not self.first.status().lockspaces, "the lockspace is given up")

    def test_godwitd_inside(self):
        self.first.start()
        daemon = harness.Daemon(self.root, prefix=self.first.enter())
        self.addCleanup(daemon.kill)
        daemon.start()
        for namespace in ("mnt", "net", "uts"):
            self.assertEqual(*(os.readlink(f"/proc/{pid}/ns/{namespace}") for pid in (daemon.process.pid, self.first.process.pid)))
        self.assertIn("godwitd", pathlib.Path(f"/proc/{daemon.process.pid}/comm").read_text())
        self.assertEqual(daemon.stop(), 0)

    @unittest.skipUnless(os.environ.get("GODWIT_TEST_LONG"), "takes minutes: GODWIT_TEST_LONG=1")
    def test_dead_host(self):
        """The lease of a host that crashed is held until its watchdog would have fired."""
        self.join(self.first, self.second)
        mine = self.hold(self.first)
        self.assertEqual(self.hold(self.second).wait(30), 1)
        killed = time.monotonic()
        self.first.kill()
        # Refused at first; once renewals are overdue a request waits for the end of it.
        harness.wait_for(lambda: self.hold(self.second).poll() is None, "the lease of a dead host is free", 200)
        self.assertGreater(time.monotonic() - killed, 60)
        self.assertIsNone(mine.poll(), "nobody kills what held it")
        self.first.restart()
        self.assertEqual(self.first.status().lockspaces, {})


if __name__ == "__main__":
    unittest.main(verbosity=2)
