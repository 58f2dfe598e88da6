"""Three nodes of this machine, each broker and controller: how they are run and cut off, and what they say of themselves."""

import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time

NODES = (1, 2, 3)
PORT = 19700
# Seconds that anything may take.
PATIENCE = 120


class Unready(Exception):
    """A node does not know yet, or does not say."""


def until(what, condition):
    """Waits until the condition holds; returns what it gave."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            if found := condition():
                return found
        except (Unready, OSError, struct.error):
            pass
        time.sleep(0.02)
    raise TimeoutError(f"not within {PATIENCE} s: {what}")


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class Loopback:
    """All nodes on one interface: who sends to whom cannot be told apart, so that nothing can be cut."""

    can_cut = False

    def host(self, node):
        return "localhost"

    def within(self, node):
        return []

    def remove(self):
        pass


class Namespaces:
    """Each node has a network of its own, 198.18.NODE.0/24 (RFC 2544: for benchmarks).

    Between these and that of the clients (0) a router forwards packets, in a fifth network, or loses them. All that is set
    up lies in these networks and goes with them; in the machine's own there is a link and a route more meanwhile.

        clients 198.18.0.2 ──┐
         node 1 198.18.1.2 ──┤
         node 2 198.18.2.2 ──┼── router: 198.18.*.1, iptables -A FORWARD -s … -d … -j DROP
         node 3 198.18.3.2 ──┘
    """

    can_cut = True
    LINK, CLIENTS, ROUTER = "failover", 0, "failover-router"

    def __init__(self):
        self.remove()
        try:
            for name in [self.ROUTER, *map(self.name, NODES)]:
                run("ip", "netns", "add", name)
            for end in (self.CLIENTS, *NODES):
                self.connect(end)
            run(*self.enter(self.ROUTER), "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
            self.heal()
        except BaseException:
            self.remove()
            raise

    def name(self, node):
        return f"failover-{node}"

    def enter(self, name):
        return ["nsenter", f"--net=/run/netns/{name}"]

    def host(self, node):
        return f"198.18.{node}.2"

    def within(self, node):
        return [] if node == self.CLIENTS else self.enter(self.name(node))

    def connect(self, end):
        here, there, far = self.within(end), self.enter(self.ROUTER), f"to-{end}"
        run(*here, "ip", "link", "add", self.LINK, "type", "veth", "peer", "name", far, "netns", self.ROUTER)
        run(*here, "ip", "addr", "add", f"{self.host(end)}/24", "dev", self.LINK)
        run(*there, "ip", "addr", "add", f"198.18.{end}.1/24", "dev", far)
        run(*there, "ip", "link", "set", far, "up")
        run(*here, "ip", "link", "set", "lo", "up")
        run(*here, "ip", "link", "set", self.LINK, "up")
        run(*here, "ip", "route", "add", "198.18.0.0/16", "via", f"198.18.{end}.1")

    def lose(self, source, target):
        """Packets from `source` (None: anyone) to `target` (likewise) get lost."""
        ends = [("-s", source), ("-d", target)]
        chosen = [word for option, node in ends if node is not None for word in (option, self.host(node))]
        run(*self.enter(self.ROUTER), "iptables", "-w", "-A", "FORWARD", *chosen, "-j", "DROP")

    def heal(self):
        run(*self.enter(self.ROUTER), "iptables", "-w", "-F", "FORWARD")

    def remove(self):
        """Also what a run left behind that was killed. What is not there cannot be deleted, which is fine."""
        subprocess.run(["ip", "link", "delete", self.LINK], capture_output=True)
        for name in [self.ROUTER, *map(self.name, NODES)]:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)


def place():
    """Where nodes run: apart if that can be had."""
    if os.geteuid() != 0 or not all(map(shutil.which, ["ip", "nsenter", "iptables"])):
        print("what is cut off is left out: that takes root, ip, nsenter and iptables", file=sys.stderr)
        return Loopback()
    try:
        return Namespaces()
    except subprocess.CalledProcessError as error:
        print(f"what is cut off is left out: {error.cmd}: {error.stderr.strip()}", file=sys.stderr)
        return Loopback()


class Cluster:
    """How a node is started is `program`, which gets the path of its configuration."""

    def __init__(self, folder, place):
        self.folder, self.place, self.program, self.running = folder, place, [], {}
        self.bootstrap = ",".join(f"{place.host(node)}:{PORT + node}" for node in NODES)

    def properties(self, node):
        host = self.place.host
        voters = ",".join(f"{other}@{host(other)}:{PORT + 10 + other}" for other in NODES)
        keys = {
            "process.roles": "broker,controller",
            "node.id": node,
            "controller.quorum.voters": voters,
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{host(node)}:{PORT + node},CONTROLLER://{host(node)}:{PORT + 10 + node}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": self.folder / f"node{node}",
            "default.replication.factor": 3,
            "min.insync.replicas": 2,
        }
        path = self.folder / f"node{node}.properties"
        path.write_text("".join(f"{key}={value}\n" for key, value in keys.items()))
        return path

    def start(self, node):
        command = [*self.place.within(node), *self.program, str(self.properties(node))]
        environment = {**os.environ, "KAFKA_HEAP_OPTS": "-Xmx1g -Xms1g"}
        with open(self.folder / f"node{node}.log", "ab") as log:
            self.running[node] = subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    def signal(self, nodes, which):
        for node in nodes:
            self.running[node].send_signal(which)

    def end(self, nodes, how):
        self.signal(nodes, how)
        for node in nodes:
            self.running[node].wait(PATIENCE)

    def stop(self):
        self.end(self.running, signal.SIGKILL)

    def ask(self, node, api, version, body):
        """Sends one request on a connection of its own; what stands in the answer after its number."""
        head = struct.pack(">hhih", api, version, 0, -1)
        with socket.create_connection((self.place.host(node), PORT + node), timeout=1) as stream:
            stream.sendall(struct.pack(">i", len(head + body)) + head + body)
            with stream.makefile("rb") as answer:
                (length,) = struct.unpack(">i", answer.read(4))
                return Answer(answer.read(length)[4:])

    def metadata(self, node, topics):
        """The brokers, and the topics as errors and partitions."""
        answer = self.ask(node, METADATA, 4, struct.pack(">i", len(topics)) + b"".join(map(text, topics)) + b"\0")
        answer.numbers("i")
        brokers = answer.array(lambda: (*answer.numbers("i"), answer.text(), answer.numbers("i"), answer.text()))
        answer.text(), answer.numbers("i")
        return [broker[0] for broker in brokers], answer.array(answer.topic)

    def is_up(self):
        """Whether there is a controller, and each node knows all."""
        return self.controller() and all(len(self.metadata(node, [])[0]) == len(NODES) for node in NODES)

    def partitions(self, node, topic):
        """What a node knows of a topic: for each partition who leads it, and who is in sync."""
        _, [(error, found)] = self.metadata(node, [topic])
        if error or not found:
            raise Unready(f"{topic}: error {error}")
        return found

    def is_whole(self, topic):
        """Whether all replicas are in sync and all nodes know: one that has just come back may know of old times only."""
        known = [self.partitions(node, topic).values() for node in NODES]
        return all(len(in_sync) == len(NODES) for one in known for _, in_sync in one)

    def led(self, topic):
        """The partitions that each node leads."""
        found = {node: [] for node in NODES}
        for partition, (leader, _) in self.partitions(NODES[0], topic).items():
            if leader not in found:
                raise Unready(f"{topic}: {partition} has no leader")
            found[leader].append(partition)
        return found

    def controller(self):
        """Who leads the metadata quorum. What Kafka's brokers call the controller in metadata is any of them."""
        name = b"__cluster_metadata"
        topic = bytes([len(name) + 1]) + name + b"\2" + struct.pack(">i", 0) + b"\0\0"
        answer = self.ask(NODES[0], DESCRIBE_QUORUM, 0, b"\0" + b"\2" + topic + b"\0")
        # Tags of the header, error, topics, the length of the name, the name; partitions, index, error.
        _, error, _, _ = answer.numbers("bhbb")
        if error:
            raise Unready(f"the quorum: error {error}")
        answer.at += len(name)
        _, _, _, leader = answer.numbers("bihi")
        if leader not in NODES:
            raise Unready("the quorum has no leader")
        return leader

    def coordinator(self, group):
        answer = self.ask(NODES[0], FIND_COORDINATOR, 1, text(group) + b"\0")
        _, error = answer.numbers("ih")
        answer.text()
        if error:
            raise Unready(f"the coordinator of {group}: error {error}")
        return answer.numbers("i")[0]


METADATA, FIND_COORDINATOR, DESCRIBE_QUORUM = 3, 10, 55


def text(value):
    return struct.pack(">h", len(value)) + value.encode()


class Answer:
    """Takes one field after the other."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def numbers(self, form):
        found = struct.unpack_from(f">{form}", self.data, self.at)
        self.at += struct.calcsize(f">{form}")
        return found

    def text(self):
        (length,) = self.numbers("h")
        self.at += max(length, 0)
        return self.data[self.at - max(length, 0) : self.at].decode()

    def array(self, one):
        return [one() for _ in range(self.numbers("i")[0])]

    def topic(self):
        (error,) = self.numbers("h")
        self.text(), self.numbers("b")
        return error, dict(self.array(self.partition))

    def partition(self):
        _, index, leader = self.numbers("hii")
        _, in_sync = self.array(lambda: self.numbers("i")), self.array(lambda: self.numbers("i"))
        return index, (leader, in_sync)
