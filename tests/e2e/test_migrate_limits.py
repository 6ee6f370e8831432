#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What may be set for a VM that will move: longest downtime, speed, the compression's cache."""

import json
import re
import unittest

import harness

UNLIMITED = 8796093022207  # MiB/s; libvirt's word for it


class Limits(harness.DaemonTest):
    def setUp(self):
        super().setUp()
        self.guest = self.sector().define()

    def number(self, *command):
        return int(re.search(r"\d+", self.virsh(*command)).group())

    def parameter(self, name):
        """What QEMU has."""
        return json.loads(self.virsh("qemu-monitor-command", self.guest.name,
                                     '{"execute":"query-migrate-parameters"}'))["return"][name]

    def test_of_a_running_vm(self):
        name = self.guest.name
        self.virsh("start", name)
        with self.subTest("downtime"):
            self.assertEqual(self.number("migrate-getmaxdowntime", name), 300)
            self.virsh("migrate-setmaxdowntime", name, 50)
            self.assertEqual(self.number("migrate-getmaxdowntime", name), 50)
            self.assertEqual(self.parameter("downtime-limit"), 50)
            self.assertIn("downtime must be at most 2000000", self.virsh.fails("migrate-setmaxdowntime", name, 2000001))
        with self.subTest("speed"):
            self.assertEqual(self.number("migrate-getspeed", name), UNLIMITED)
            self.virsh("migrate-setspeed", name, 12)
            self.assertEqual(self.number("migrate-getspeed", name), 12)
            self.assertEqual(self.parameter("max-bandwidth"), 12 << 20)
        with self.subTest("speed of post-copy"):
            self.assertEqual(self.number("migrate-getspeed", name, "--postcopy"), 0)
            self.virsh("migrate-setspeed", name, 7, "--postcopy")
            self.assertEqual(self.number("migrate-getspeed", name, "--postcopy"), 7)
            self.assertEqual(self.number("migrate-getspeed", name), 12)
        with self.subTest("cache"):
            self.virsh("migrate-compcache", name, "--size", 128 << 20)
            self.assertEqual(self.parameter("xbzrle-cache-size"), 128 << 20)
            self.assertIn("128", self.virsh("migrate-compcache", name))
        with self.subTest("post-copy without a migration"):
            self.assertIn("Requested operation is not valid", self.virsh.fails("migrate-postcopy", name))
            self.assertIn("Requested operation is not valid", self.virsh.fails("domjobabort", name, "--postcopy"))

    def test_of_one_that_is_off(self):
        name = self.guest.name
        self.virsh("migrate-setspeed", name, 33)
        self.assertEqual(self.number("migrate-getspeed", name), 33)
        for command in (["migrate-setmaxdowntime", name, 1], ["migrate-getmaxdowntime", name],
                        ["migrate-setspeed", name, 1, "--postcopy"], ["migrate-compcache", name]):
            with self.subTest(" ".join(map(str, command))):
                self.assertIn("is not running", self.virsh.fails(*command))


class LimitsByGodwit(Limits):
    """The same by our own command, which takes the same words."""

    def setUp(self):
        super().setUp()
        self.virsh = harness.Godwit(self.daemon)


if __name__ == "__main__":
    unittest.main()
