#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""QEMUs that misbehave (tests/fake-qemu): the operation fails in words, the VM ends in a known state, and nobody else notices."""

import json
import os
import unittest

import harness

FAKE = harness.TREE / "tests/fake-qemu/fake-qemu"


class FakeGuest(harness.Guest):
    """A domain whose QEMU is the fake one. `rules` tells it how to behave (see there)."""

    def __init__(self, *args, **options):
        super().__init__(*args, emulator=FAKE, memory=16, **options)

    def prepare(self):
        pass

    def os_xml(self):
        return f"<os><type arch='x86_64' machine='{self.machine}'>hvm</type></os>"

    def devices_xml(self):
        return ""


class Misbehaviour(harness.DaemonTest):
    autostart = False

    def setUp(self):
        super().setUp()
        self.control, self.log = self.root / "rules", self.root / "fake.log"
        self.daemon.start(FAKE_QEMU_CONTROL=str(self.control), FAKE_QEMU_LOG=str(self.log))
        self.guest = FakeGuest(self.root, self.virsh).define()
        self.image = self.root / "image"

    def rules(self, *lines):
        self.control.write_text("".join(line + "\n" for line in lines))

    def commands(self):
        """What the QEMUs of VMs were told, oldest first."""
        records = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [r["execute"] for r in records if r.get("part") == "vm"]

    def off_and_startable(self):
        self.guest.wait_state("shut off")
        harness.wait_for(lambda: not harness.qemus_of(self.root), "no QEMU is left")
        self.rules()
        self.virsh("start", self.guest.name)
        self.assertEqual(self.guest.state(), "running")
        self.virsh("destroy", self.guest.name)

    # start

    def test_whole_life(self):
        self.virsh("start", self.guest.name)
        self.virsh("save", self.guest.name, self.image)
        self.assertEqual(self.guest.reason(), "shut off (saved)")
        self.virsh("restore", self.image)
        self.assertEqual(self.guest.reason(), "running (restored)")
        self.virsh("shutdown", self.guest.name)
        self.guest.wait_state("shut off")
        self.assertEqual(self.guest.reason(), "shut off (shutdown)")

    def test_exits_at_start(self):
        self.rules("start exit 1 fake: nothing works today")
        self.assertIn("fake: nothing works today", self.virsh.fails("start", self.guest.name))
        self.off_and_startable()

    def test_bad_words_during_start(self):
        for rule in ("greeting garbage", "greeting close", "greeting half", "greeting huge", "greeting kill",
                     "qmp_capabilities error no", "qmp_capabilities garbage", "qmp_capabilities close",
                     "cont garbage", "cont half", "cont close", "cont kill", "cont error no",
                     "cont raw {\"return\": {}, \"id\": 4711}\\n[]", "query-chardev lie {\"surprise\": [null]}"):
            with self.subTest(rule):
                self.rules(rule)
                done = self.virsh.run("start", self.guest.name)
                if done.returncode == 0: # a lie that does no harm
                    self.virsh("destroy", self.guest.name)
                else:
                    self.assertTrue(done.stderr.strip())
                self.check_alive()
                self.off_and_startable()

    def test_dies_just_after_the_start(self):
        self.rules("cont kill-after")
        self.virsh.run("start", self.guest.name)
        self.off_and_startable()

    # a monitor that is silent

    def test_never_answers(self):
        other = FakeGuest(self.root, self.virsh, name="other").define()
        self.virsh("start", self.guest.name)
        self.virsh("start", other.name)
        self.rules("stop silent")
        stuck = self.virsh.start("suspend", self.guest.name)
        self.addCleanup(stuck.communicate)
        self.addCleanup(stuck.kill)
        harness.wait_for(lambda: "stop" in self.commands(), "QEMU was told to stop")
        self.rules()
        self.virsh("suspend", other.name)
        self.assertEqual(other.state(), "paused")
        self.assertIn(self.guest.name, self.virsh("list"))
        self.virsh("destroy", self.guest.name)
        self.assertNotEqual(stuck.wait(30), 0)
        self.virsh("destroy", other.name)
        self.off_and_startable()

    def test_many_events(self):
        self.rules("query-balloon flood 20000", "stop flood 20000")
        self.virsh("start", self.guest.name)
        before = self.daemon.status_value("VmRSS")
        self.virsh("suspend", self.guest.name)
        self.virsh("dominfo", self.guest.name)
        self.assertEqual(self.guest.state(), "paused")
        # the address sanitizer keeps what was freed
        slack = harness.MEMORY_SLACK if os.environ.get("GODWIT_SANITIZED") else 8192
        self.assertLess(self.daemon.status_value("VmRSS") - before, slack, "KiB more after 20000 events")
        self.virsh("destroy", self.guest.name)

    # while it runs

    def test_lost_while_running(self):
        for rule in ("stop garbage", "stop close", "stop half", "stop kill", "stop huge"):
            with self.subTest(rule):
                self.rules()
                self.virsh("start", self.guest.name)
                self.rules(rule)
                self.virsh.fails("suspend", self.guest.name)
                self.check_alive()
                self.virsh.run("destroy", self.guest.name)
                self.off_and_startable()

    def test_refusal_leaves_it_running(self):
        self.virsh("start", self.guest.name)
        self.rules("stop error the brake is broken")
        self.assertIn("the brake is broken", self.virsh.fails("suspend", self.guest.name))
        self.assertEqual(self.guest.state(), "running")
        self.virsh("destroy", self.guest.name)

    def test_memory_given_back_unheard(self):
        """While no daemon listened."""
        self.virsh("start", self.guest.name)
        self.assertIn("actual 16384", self.virsh("dommemstat", self.guest.name))
        self.daemon.stop()
        self.rules('query-balloon lie {"actual": 8388608}')
        self.daemon.start()
        self.assertIn("actual 8192", self.virsh("dommemstat", self.guest.name))
        self.virsh("destroy", self.guest.name)

    # save and restore

    def test_save_fails(self):
        self.virsh("start", self.guest.name)
        for rule, words in (("migrate fail no room", "no room"), ("migrate fail-late no place", "no place"),
                            ("migrate error not now", "not now"), ("migrate truncate", "middle"), ("getfd error none left", "none left"),
                            ("stop error cannot", "cannot")):
            with self.subTest(rule):
                self.rules(rule)
                self.assertIn(words, self.virsh.fails("save", self.guest.name, self.image))
                self.assertEqual(self.guest.state(), "running")
                self.assertFalse(self.image.exists())
                self.check_no_partial(self.root)
        self.rules()
        self.virsh("save", self.guest.name, self.image)

    def test_dies_in_a_save(self):
        for rule in ("stop kill", "getfd kill", "migrate kill", "migrate kill-after", "migrate garbage"):
            with self.subTest(rule):
                self.rules()
                self.virsh("start", self.guest.name)
                self.rules(rule)
                done = self.virsh.run("save", self.guest.name, self.image)
                self.check_no_partial(self.root)
                if done.returncode == 0: # its state was out already
                    self.image.unlink()
                self.assertFalse(self.image.exists())
                self.virsh.run("destroy", self.guest.name)
                self.off_and_startable()

    def test_load_fails(self):
        self.virsh("start", self.guest.name)
        self.virsh("save", self.guest.name, self.image)
        for rule in ("migrate-incoming fail not my state", "migrate-incoming error no", "migrate-incoming kill",
                     "migrate-incoming close", "cont error no", "add-fd error no"):
            with self.subTest(rule):
                self.rules(rule)
                self.assertTrue(self.virsh.fails("restore", self.image))
                self.guest.wait_state("shut off")
                self.assertTrue(self.image.exists())
        self.rules()
        self.virsh("restore", self.image)
        self.assertEqual(self.guest.state(), "running")
        self.virsh("destroy", self.guest.name)


if __name__ == "__main__":
    harness.main()
