#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The agent in a guest: what virsh asks of it, one that does not answer, and one that means harm."""

import json
import re
import unittest

import harness

AGENT = "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"


class AgentTest(harness.DaemonTest):
    def guest_with_agent(self, mode="ok", name="guest", vcpus=1, **options):
        guest = self.linux(name, arguments=f"gw.mem=4 gw.agent={mode}", **options).define(extra_devices=AGENT, vcpus=vcpus)
        self.virsh("start", name)
        harness.wait_for(lambda: b"GW agent=" in guest.console_bytes(), "the agent is there")
        harness.wait_for(lambda: "guest_agent.0' state='connected'" in self.virsh("dumpxml", name), "QEMU knows of it")
        return guest

    def disk_counter(self, guest):
        return int(guest.ask("check-disk")[1]["disk"])

    def is_frozen(self, guest):
        said = re.findall(rb"^GW (frozen|thawed) ", guest.console_bytes(), re.M)
        return bool(said) and said[-1] == b"frozen"

    def status(self, guest):
        return self.root / "run/vm" / guest.uuid / "status.json"


class Agent(AgentTest):
    def test_orders(self):
        """One guest for all that a good agent can do."""
        guest = self.guest_with_agent()
        name = guest.name
        self.assertIn("Froze 1 filesystem(s)", self.virsh("domfsfreeze", name))
        self.assertTrue(self.is_frozen(guest))
        before = self.disk_counter(guest)
        guest.wait_count(guest.last() + 20)
        self.assertEqual(self.disk_counter(guest), before, "nothing is written")
        self.assertIn("frozen", self.virsh("qemu-agent-command", name, '{"execute": "guest-fsfreeze-status"}'))
        self.assertIn("guest agent command failed: unable to execute QEMU agent command 'guest-fsfreeze-freeze': Command "
                      "guest-fsfreeze-freeze has been disabled", self.virsh.fails("domfsfreeze", name))
        self.assertIn("Thawed 1 filesystem(s)", self.virsh("domfsthaw", name))
        harness.wait_for(lambda: self.disk_counter(guest) > before, "it writes again")
        self.virsh("domfsfreeze", name, "--mountpoint", "/disk0")
        self.assertIn("specifying mountpoints is not supported", self.virsh.fails("domfsthaw", name, "--mountpoint", "/disk0"))
        self.virsh("domfsthaw", name)

        self.virsh("domfstrim", name)
        self.assertRegex(self.virsh("domfsinfo", name), r"/disk0\s+vda\s+ring\s+vda")
        self.assertRegex(self.virsh("domtime", name), r"Time: \d{10}")
        self.virsh("domtime", name, "--sync")
        self.assertIn(b"GW set-time=0\r", guest.console_bytes())
        self.virsh("domtime", name, "--time", "1700000000")
        self.assertIn(b"GW set-time=1700000000000000000\r", guest.console_bytes())
        self.assertEqual(self.virsh("domhostname", name, "--source", "agent"), "counting-guest")
        self.assertRegex(self.virsh("domifaddr", name, "--source", "agent"), r"eth0\s+52:54:00:12:34:56\s+ipv4\s+10.0.2.15/24")
        self.assertEqual(self.virsh("vcpucount", name, "--guest"), "1")
        self.virsh("set-user-password", name, "root", "secret")
        info = dict(line.split(": ", 1) if ": " in line else line.split(":", 1)
                    for line in self.virsh("guestinfo", name).splitlines())
        info = {key.strip(): value.strip() for key, value in info.items()}
        self.assertEqual(info["hostname"], "counting-guest")
        self.assertEqual(info["os.id"], "counting")
        self.assertEqual(info["fs.0.disk.0.alias"], "vda")
        self.assertIn("guest-get-timezone", self.virsh.fails("guestinfo", name, "--timezone"))
        self.assertEqual(json.loads(self.virsh("qemu-agent-command", name, '{"execute": "guest-ping"}')), {"return": {}})
        self.assertIn("has no \"execute\"", self.virsh.fails("qemu-agent-command", name, "{}"))
        self.assertIn("JSON", self.virsh.fails("qemu-agent-command", name, "guest-ping"))
        self.compare(name)
        for command in (["domfsfreeze"], ["domfsthaw"], ["domtime"], ["domfsinfo"], ["domhostname", "--source", "agent"],
                        ["domifaddr", "--source", "agent"]):
            self.assertIn("read only", self.virsh_ro.fails(command[0], name, *command[1:]))
        self.check_alive()

    def compare(self, name):
        """Our own command says what virsh says."""
        godwit = harness.Godwit(self.daemon)
        ping = '{"execute": "guest-ping"}'
        for command in (["domfsinfo", name], ["guestinfo", name, "--os"], ["domfstrim", name],
                        ["domtime", name, "--time", "1700000000"], ["domtime", name, "--sync"],
                        ["qemu-agent-command", name, ping], ["qemu-agent-command", name, "--block", ping],
                        ["domhostname", name, "--source", "agent"], ["domifaddr", name, "--source", "agent"],
                        ["domifaddr", name, "eth0", "--full", "--source", "agent"], ["domifaddr", name, "eth1", "--source", "agent"],
                        ["set-user-password", name, "root", "secret", "--encrypted"], ["guest-agent-timeout", name, "--timeout", "-1"]):
            self.assertEqual(godwit(*command), self.virsh(*command))
        self.assertEqual(json.loads(godwit("domhostname", name, "--source", "agent", "--json")), {"hostname": "counting-guest"})
        self.assertEqual(json.loads(godwit("domifaddr", name, "--source", "agent", "--json")),
                         [{"name": "eth0", "mac": "52:54:00:12:34:56",
                           "addresses": [{"type": "ipv4", "address": "10.0.2.15", "prefix": 24}]}])
        self.assertIn("Unknown data source 'dhcp'", godwit.fails("domifaddr", name, "--source", "dhcp"))
        self.assertIn("DHCP leases", godwit.fails("domifaddr", name))
        self.assertIn("is no timeout", godwit.fails("guest-agent-timeout", name, "--timeout", "-3"))
        self.assertEqual(godwit("domfsfreeze", name, "/disk0"), "Froze 1 filesystem(s)")
        self.assertEqual(godwit("domfsthaw", name), "Thawed 1 filesystem(s)")
        self.assertRegex(godwit("domtime", name, "--pretty"), r"^Time: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d$")
        self.assertEqual(json.loads(godwit("domfsinfo", name, "--json"))[0]["targets"], ["vda"])

    def test_vcpus(self):
        """The guest takes CPUs off line, and on again."""
        godwit = harness.Godwit(self.daemon)
        # On a busy machine the guest's kernel may give its other processors up while it boots.
        for attempt in range(3):
            guest = self.guest_with_agent(name=f"guest{attempt}", vcpus=3)
            if godwit("vcpucount", guest.name, "--guest") == "3":
                break
            self.virsh("destroy", guest.name)
        self.assertEqual(godwit("vcpucount", guest.name, "--guest"), "3", guest.console_bytes())
        for program, count in ((self.virsh, 1), (godwit, 3), (godwit, 2), (self.virsh, 3)):
            program("setvcpus", guest.name, count, "--guest")
            self.assertEqual(godwit("vcpucount", guest.name, "--guest"), str(count))
        self.assertIn("the guest has 3 vCPUs, not 4", godwit.fails("setvcpus", guest.name, 4, "--guest"))
        self.assertIn("plugging vCPUs", self.virsh.fails("setvcpus", guest.name, 2, "--live"))
        self.assertIn("not plugged", godwit.fails("setvcpus", guest.name, 2))
        self.assertIn("read only", self.virsh_ro.fails("setvcpus", guest.name, 2, "--guest"))
        guest.wait_count(guest.last() + 2)

    def test_end(self):
        """Shut down and boot anew by the agent, or by the power button when it fails."""
        guest = self.guest_with_agent()
        self.virsh("reboot", guest.name, "--mode", "agent")
        self.assertIn(b"GW agent-shutdown mode=reboot", guest.console_bytes())
        harness.wait_for(lambda: guest.console_bytes().count(b"GW agent=") == 2, "it boots anew")
        self.assertEqual(guest.state(), "running")
        guest.wait_count()
        guest.ask("agent-garbage")
        self.assertIn("Guest agent is not responding", self.virsh.fails("shutdown", guest.name, "--mode", "agent"))
        guest.ask("agent-ok")
        self.virsh("shutdown", guest.name, "--mode", "agent")
        guest.wait_state("shut off")
        self.assertEqual(guest.reason(), "shut off (shutdown)")
        self.assertIn(b"GW agent-shutdown mode=powerdown", guest.console_bytes())

        guest.console.unlink()
        self.virsh("start", guest.name)
        guest.wait_count()
        harness.wait_for(lambda: b"GW agent=" in guest.console_bytes(), "the agent is there")
        guest.ask("agent-garbage")
        self.virsh("shutdown", guest.name)
        guest.wait_state("shut off")
        self.assertIn(b"GW power-button", guest.console_bytes())

    def test_none(self):
        guest = self.sector().define()
        self.assertIn("domain is not running", self.virsh.fails("domfsfreeze", guest.name, "--mountpoint", "/"))
        self.virsh("start", guest.name)
        for command in (["domfsfreeze"], ["domfsthaw"], ["domtime"], ["domfsinfo"], ["guestinfo"], ["shutdown", "--mode", "agent"]):
            self.assertIn("QEMU guest agent is not configured", self.virsh.fails(command[0], guest.name, *command[1:]))
        self.virsh("destroy", guest.name)
        self.virsh("define", guest.write_xml(extra_devices=AGENT))
        self.virsh("start", guest.name)
        self.assertIn("Guest agent is not responding: QEMU guest agent is not connected",
                      self.virsh.fails("domfsfreeze", guest.name))
        self.virsh("suspend", guest.name)
        self.assertIn("is paused", self.virsh.fails("domfsfreeze", guest.name))

    def test_bad(self):
        """One that does not answer, and one that says what it likes."""
        guest = self.guest_with_agent()
        other = self.sector().define()
        ping = ["qemu-agent-command", guest.name, '{"execute": "guest-ping"}']
        guest.ask("agent-stale")
        for _ in range(3):
            self.assertEqual(json.loads(self.virsh(*ping)), {"return": {}})
        guest.ask("agent-garbage")
        self.assertIn("something that is not JSON", self.virsh.fails(*ping))
        guest.ask("agent-endless")
        before = self.daemon.status_value("VmRSS")
        self.assertIn("longer than 4 MiB", self.virsh.fails(*ping, "--block"))
        self.assertLess(self.daemon.status_value("VmRSS"), before + harness.MEMORY_SLACK)
        guest.ask("agent-mute")
        self.assertIn("guest agent command timed out", self.virsh.fails(*ping, "--timeout", "1"))
        self.virsh("guest-agent-timeout", guest.name, "--timeout", "1")
        self.assertIn("guest agent command timed out", self.virsh.fails("domtime", guest.name))
        self.assertIn("less than the minimum", self.virsh.fails("guest-agent-timeout", guest.name, "--timeout", "-3"))
        guest.ask("agent-silent")
        self.assertIn("Guest agent is not responding", self.virsh.fails("domtime", guest.name))
        guest.ask("agent-noise")
        stuck = self.virsh.start(*ping, "--timeout", "1")
        self.virsh("start", other.name)
        self.assertIn("Guest agent is not responding", stuck.communicate()[1])
        guest.ask("agent-mute")
        harness.wait_for(lambda: "timed out" in self.virsh.run(*ping, "--timeout", "1").stderr, "it has calmed down")
        heard = guest.console_bytes().count(b"GW agent-mute")
        stuck = self.virsh.start(*ping, "--block")
        harness.wait_for(lambda: guest.console_bytes().count(b"GW agent-mute") > heard, "the guest has heard it")
        self.virsh("destroy", guest.name)
        self.assertIn("Guest agent is not responding", stuck.communicate()[1])
        self.check_alive()

    def test_restart(self):
        """A guest frozen for a job is thawed by the next daemon, one frozen by hand is not."""
        guest = self.guest_with_agent()
        self.virsh("domfsfreeze", guest.name)
        self.daemon.restart(kill=True)
        self.assertIn("frozen", self.virsh("qemu-agent-command", guest.name, '{"execute": "guest-fsfreeze-status"}'))
        self.assertTrue(self.is_frozen(guest))
        self.daemon.kill()
        status = json.loads(self.status(guest).read_text())
        self.assertFalse(status["frozen"])
        status["frozen"] = True
        self.status(guest).write_text(json.dumps(status))
        guest.ask("agent-garbage")
        self.daemon.start()
        harness.wait_for(lambda: "is to thaw its filesystems" in self.daemon.stderr(), "it was tried")
        self.assertTrue(self.is_frozen(guest))
        self.assertTrue(json.loads(self.status(guest).read_text())["frozen"])
        # It is tried again until the agent says that it is thawed.
        guest.ask("agent-ok")
        harness.wait_for(lambda: not self.is_frozen(guest), "it is thawed")
        harness.wait_for(lambda: not json.loads(self.status(guest).read_text())["frozen"], "and that is written down")
        guest.check()


if __name__ == "__main__":
    unittest.main(verbosity=2)
