# SPDX-License-Identifier: LGPL-2.1-or-later
"""Hosts on one machine, between which guests move: each has namespaces, a bridge and a daemon of its own.

    alpha ---+
    beta  ---+--- switch (a bridge)      all in network namespaces; nothing of the machine's own network is touched
    client --+

Every host has a bridge of the same name, with a port to the switch and the host's address; a guest's NIC is another port of it, so
that a guest that has moved answers from another port of the switch. Names of hosts are known in all of them. A path means the same
file everywhere, except below Network.local: each host has that for itself, for the sockets of its QEMUs. What stands there is found
from outside at Host.local.

With root, or where an ordinary user may make user namespaces and open /dev/net/tun.
"""

import json
import os
import pathlib
import subprocess
import sys

import harness
import silence

BRIDGE = "gwbridge"
SUBNET = "10.77.0."
GUEST_ADDRESS = SUBNET + "100"
GUEST_ARGUMENTS = f"gw.address={GUEST_ADDRESS} gw.gateway=0.0.0.0"
MAC = "52:54:00:12:34:56"
# /sys shows the network of who mounted it.
KEEPER = """mount -t sysfs none /sys && python3 -c 'import socket, sys; socket.sethostname(sys.argv[1])' "$0" &&
mount --bind "$1" /etc/hosts && mount --bind "$2" "$3" && echo ready && exec cat"""


class Inside:
    """Namespaces that live as long as `process`."""

    process, user = None, ()

    def enter(self, argv=()):
        """`argv` to be run in them; by exec, so that the pid stays."""
        return ["nsenter", f"--target={self.process.pid}", *self.user, "--mount", "--net", "--uts", "--", *map(str, argv)]

    def run(self, *argv, timeout=60, **options):
        options.setdefault("stdin", None if "input" in options else subprocess.DEVNULL)
        return subprocess.run(self.enter(argv), capture_output=True, text=True, timeout=timeout * harness.SLOW, **options)

    def ip(self, *lines):
        """Each line is one command of ip(8); what the last one says, decoded."""
        done = self.run("ip", "-json", "-details", "-batch", "-", input="\n".join(lines) + "\n")
        if done.returncode != 0:
            raise AssertionError(f"ip: {lines}: {done.stderr}")
        return json.loads(done.stdout) if done.stdout.strip() else []

    def links(self):
        return sorted(link["ifname"] for link in self.ip("link show"))


class Machine(Inside):
    """One with a network of its own. `within`: the one whose user namespace it shares."""

    def __init__(self, network, name, within=None):
        self.name, self.root = name, network.root / name
        self.local = self.root / "local"
        self.local.mkdir(parents=True)
        if not harness.IS_ROOT:
            self.user = ["--user", "--preserve-credentials"]
        namespaces = ["unshare", "--net", "--mount", "--uts"]
        if within:
            namespaces = within.enter(namespaces)
        elif not harness.IS_ROOT:
            namespaces.append("--map-root-user")
        arguments = [name, network.names, self.local, network.local]
        self.process = subprocess.Popen([*namespaces, "sh", "-c", KEEPER, *map(str, arguments)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if self.process.stdout.readline() != b"ready\n":
            raise OSError(self.process.communicate()[1].decode().strip())

    def end(self):
        self.process.communicate()


class Host(Machine):
    """One with an address, a bridge, and a daemon that is not started yet."""

    def __init__(self, network, name, number, config=""):
        super().__init__(network, name, network.switch)
        self.network, self.number, self.address = network, number, SUBNET + str(number)
        network.plug(self, self.address)
        own = (f'hostname = "{name}"\nhost_uuid = "00000000-0000-4000-8000-{number:012}"\n'
               f'migration_host = "{self.address}"\n')
        self.daemon = harness.Daemon(self.root / "d", own + config, prefix=self.enter(), test_root=network.root)
        self.use(self.daemon)

    def use(self, daemon):
        """Another daemon than its godwitd is meant from now on."""
        self.daemon, self.virsh = daemon, harness.Virsh(daemon.uri())

    def uri(self):
        return self.daemon.uri()

    def qemus(self):
        """The pids of those that run here."""
        mine = os.readlink(f"/proc/{self.process.pid}/ns/net")
        return [pid for pid in harness.qemus_of(self.network.root) if namespace_of(pid) == mine]

    def taps(self):
        return [name for name in self.links() if name not in ("lo", "uplink", BRIDGE)]

    def cut(self):
        """Nothing reaches it, and nothing of it anybody."""
        self.network.switch.ip(f"link set {self.name} down")

    def mend(self):
        self.network.switch.ip(f"link set {self.name} up")
        self.network.wait_joined(self)


def forwards(inside, port):
    link, = inside.ip(f"link show dev {port}")
    return link["operstate"] == "UP" and link["linkinfo"]["info_slave_data"]["state"] == "forwarding"


def namespace_of(pid):
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return None


class Network:
    """The switch; hosts and the client are added to it. OSError where such things cannot be made."""

    def __init__(self, root):
        if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
            raise OSError("no access to /dev/net/tun")
        self.root = pathlib.Path(root)
        self.names, self.local, self.machines = self.root / "hosts", self.root / "local", []
        self.local.mkdir()
        self.names.write_text("127.0.0.1 localhost\n")
        self.switch = self._add(Machine(self, "switch"))
        self.switch.ip("link add switch type bridge forward_delay 0", "link set switch up", "link set lo up")

    def _add(self, machine):
        self.machines.append(machine)
        return machine

    def plug(self, inside, address):
        """Join namespaces, which may also be a SanlockHost's, to the switch; their port is named as they are."""
        with open(self.names, "a") as names:
            names.write(f"{address} {inside.name}\n")
        # A bridge takes the lowest address of its ports. With one chosen by chance that might be a guest's port's, which is the same on the other host.
        mac = f"02:00:00:00:00:{int(address.rpartition('.')[2]):02x}"
        inside.ip("link set lo up", f"link add {BRIDGE} type bridge forward_delay 0", f"address add {address}/24 dev {BRIDGE}",
                  f"link set {BRIDGE} up", f"link add uplink address {mac} type veth peer name {inside.name} netns {self.switch.process.pid}",
                  f"link set uplink master {BRIDGE} up")
        self.switch.ip(f"link set {inside.name} master switch up")
        self.wait_joined(inside)

    def wait_joined(self, inside):
        """The kernel takes its time to see that a cable is in."""
        for end, port in ((inside, "uplink"), (self.switch, inside.name)):
            harness.wait_for(lambda: forwards(end, port), f"{port} forwards")

    def host(self, name, config=""):
        return self._add(Host(self, name, len(self.machines), config))

    def client(self):
        client = self._add(Machine(self, "client", self.switch))
        self.plug(client, SUBNET + "200")
        return client

    def end(self):
        for machine in reversed(self.machines):
            machine.end()


class Roaming:
    """A guest that is on one host or another; the files it has are shared."""

    def __init__(self, network, host, *args, **options):
        self.network = network
        self.at(host)
        super().__init__(network.root, host.virsh, *args, **options)
        self.channel = network.local / f"{self.name}.channel"

    def at(self, host):
        """It is there now."""
        self.host, self.virsh = host, host.virsh
        return self

    def channel_path(self):
        return self.host.local / self.channel.name


class RoamingSector(Roaming, harness.BootSector):
    pass


class RoamingLinux(Roaming, harness.LinuxGuest):
    """With its NIC on the bridge, where the client can talk to it."""

    def __init__(self, *args, arguments="", **options):
        super().__init__(*args, arguments=f"{GUEST_ARGUMENTS} {arguments}", **options)

    def devices_xml(self):
        return super().devices_xml() + (f"<interface type='bridge'><mac address='{MAC}'/><source bridge='{BRIDGE}'/>"
                                        "<model type='virtio'/></interface>")


class HostsTest(harness.DaemonTest):
    """Two hosts, self.here and self.there, with daemons that run when the test begins. self.daemon is the one here."""

    autostart = False
    config_here = config_there = ""

    def setUp(self):
        super().setUp()
        try:
            self.network = Network(self.root)
        except OSError as e:
            self.skipTest(f"no hosts of our own here: {e}")
        self.addCleanup(self.network.end)
        self.here = self.network.host("alpha", self.config + self.config_here)
        self.there = self.network.host("beta", self.config + self.config_there)
        self.daemon, self.virsh = self.here.daemon, self.here.virsh
        for host, other in ((self.here, self.there), (self.there, self.here)):
            harness.wait_for(lambda h=host, o=other: self.reaches(h, o), f"{host.name} reaches {other.name}")
            host.daemon.start()

    def reaches(self, host, other):
        """A bridge takes a moment to learn who is where. Nobody listens on port 9, which its host says."""
        said = host.run("bash", "-c", f": >/dev/tcp/{other.address}/9").stderr
        return "refused" in said

    def clean_up(self):
        there = getattr(self, "there", None)
        if there:
            there.daemon.kill()
            if self.has_failed():
                print(f"---- the other godwitd ----\n{there.daemon.stderr()[-3000:]}----", file=sys.stderr)
        super().clean_up()

    def sector(self, name="sector", **options):
        return RoamingSector(self.network, self.here, name, **options)

    def linux(self, name="guest", **options):
        return RoamingLinux(self.network, self.here, name, **options)

    def talk(self):
        """The client, who has a connection to the guest when this returns."""
        talk = silence.Talk(self.network.client(), GUEST_ADDRESS)
        self.addCleanup(talk.end)
        return talk.connect()
