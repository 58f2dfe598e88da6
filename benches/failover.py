"""What clients feel of three nodes when some go: Drave, then Apache Kafka, through the same mishaps.

DRAVE is the binary, KAFKA_HOME an unpacked Apache Kafka. Needs confluent-kafka (librdkafka). As root, with iptables, each
node has a network of its own, from which it can be cut off; otherwise that is left out.

For each mishap one idempotent producer sends a record a millisecond in turn to PARTITIONS partitions (three replicas,
acks=all); a gap is the time between two acknowledgements of one partition. In the end everything is read back and compared
with what was acknowledged. With --clients other clients' producers go through some of the mishaps, too.

FILE gets what was acknowledged around a leader's death, bucket by bucket, which `drave-bench report` draws.
"""

import argparse
import collections
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from typing import Callable, NamedTuple

import failover_clients as clients
from failover_nodes import NODES, Cluster, place, run, until

TOPIC, PARTITIONS = "failover", 6
# Seconds. Kafka's patience with a silent node is 9 s.
STANDS_STILL, STAYS_AWAY = 15, 12
# What --trace writes: the mishap, a bucket in ms, and the seconds before and after.
TRACED, BUCKET_MS, BEFORE, AFTER = "a leader killed", 100, 2, 14
OTHERS = ["kafka-python", "aiokafka", "java"]


# Mishaps befall some nodes, end, and wait until all are in sync again: for how long is what they return.


def whole(cluster, topic):
    begun = time.monotonic()
    until("all in sync", lambda: cluster.is_whole(topic))
    return time.monotonic() - begun


def nothing(cluster, topic, nodes):
    time.sleep(5)
    return whole(cluster, topic)


def killed(cluster, topic, nodes, away=STAYS_AWAY):
    cluster.end(nodes, signal.SIGKILL)
    time.sleep(away)
    for node in nodes:
        cluster.start(node)
    return whole(cluster, topic)


def killed_at_once(cluster, topic, nodes):
    return killed(cluster, topic, nodes, away=0)


def stands_still(cluster, topic, nodes):
    cluster.signal(nodes, signal.SIGSTOP)
    time.sleep(STANDS_STILL)
    cluster.signal(nodes, signal.SIGCONT)
    return whole(cluster, topic)


def restarted(cluster, topic, nodes):
    longest = 0
    for node in nodes:
        cluster.end([node], signal.SIGTERM)
        cluster.start(node)
        longest = max(longest, whole(cluster, topic))
        time.sleep(1)
    return longest


def cut(ways):
    """A mishap that loses what goes these ways, each from and to one node (None: anyone)."""

    def act(cluster, topic, nodes):
        for source, target in ways(*nodes):
            cluster.place.lose(source, target)
        time.sleep(STANDS_STILL)
        cluster.place.heal()
        return whole(cluster, topic)

    return act


class Roles(NamedTuple):
    """Who is who before a mishap. The other nodes lead something, and do not lead the quorum."""

    controller: int
    others: list[int]
    coordinator: int | None


class Mishap(NamedTuple):
    what: str
    befalls: Callable[[Roles], list[int]]
    act: Callable
    cuts: bool = False
    with_group: bool = False
    # Whether other clients' producers go through it, too.
    for_all: bool = False


def a_leader(roles):
    return roles.others[:1]


def the_controller(roles):
    return [roles.controller]


MISHAPS = [
    Mishap("nothing", a_leader, nothing),
    Mishap(TRACED, a_leader, killed, for_all=True),
    Mishap("the controller killed", the_controller, killed),
    Mishap("a group's coordinator killed", lambda roles: [roles.coordinator], killed, with_group=True),
    Mishap("two killed, started at once", lambda roles: [roles.controller, roles.others[0]], killed_at_once),
    Mishap("all killed, started at once", lambda roles: list(NODES), killed_at_once),
    Mishap("a leader stands still", a_leader, stands_still),
    Mishap("the controller stands still", the_controller, stands_still),
    Mishap("a leader cut off", a_leader, cut(lambda one: [(one, None), (None, one)]), cuts=True),
    Mishap("a leader's packets lost", a_leader, cut(lambda one: [(one, None)]), cuts=True),
    Mishap("packets to a leader lost", a_leader, cut(lambda one: [(None, one)]), cuts=True),
    Mishap("two cut from each other", lambda roles: roles.others, cut(lambda one, two: [(one, two), (two, one)]), cuts=True),
    Mishap("each restarted in turn (SIGTERM)", lambda roles: list(NODES), restarted, for_all=True),
]


def group_elsewhere(cluster, controller):
    """A group whose coordinator is not the controller, and who that is."""
    for number in range(100):
        group = f"group{number}"
        coordinator = until("a coordinator", lambda: cluster.coordinator(group))
        if coordinator != controller:
            return group, coordinator
    sys.exit("the controller coordinates all groups")


def befallen(cluster, topic, mishap):
    """Which nodes it befalls, what these lead, and the group that is coordinated there."""
    controller = until("a controller", cluster.controller)
    led = cluster.led(topic)
    group, coordinator = group_elsewhere(cluster, controller) if mishap.with_group else (None, None)
    roles = Roles(controller, [node for node in NODES if node != controller], coordinator)
    nodes = mishap.befalls(roles)
    return nodes, [partition for node in nodes for partition in led[node]], group


def spread(cluster, topic):
    """Every node leads as much as any other, and all are in sync."""
    whole(cluster, topic)
    clients.elect_preferred(cluster.bootstrap)
    until("leaders spread", lambda: len({len(led) for led in cluster.led(topic).values()}) == 1)


class Felt(NamedTuple):
    """What was measured of a mishap."""

    producer: clients.Producer
    led: list[int]
    begun: float
    in_sync: float
    group: dict

    def row(self, found):
        others = [one for one in range(PARTITIONS) if one not in self.led]
        gaps = {"led": self.producer.gaps.ms(self.led), "elsewhere": self.producer.gaps.ms(others)}
        return gaps | {"in sync": round(self.in_sync, 1)} | self.producer.verdict(found) | self.group

    def trace(self):
        """Seconds before or after it at which a bucket begins, and how many were acknowledged in it."""
        counted = collections.Counter(int((one - self.begun) * 1000 // BUCKET_MS) for one in self.producer.times)
        buckets = range(-BEFORE * 1000 // BUCKET_MS, AFTER * 1000 // BUCKET_MS)
        return [(bucket * BUCKET_MS / 1000, counted[bucket]) for bucket in buckets]


def feel(cluster, mishap, first):
    spread(cluster, TOPIC)
    nodes, led, group = befallen(cluster, TOPIC, mishap)
    all_clients = [clients.Producer(cluster.bootstrap, TOPIC, PARTITIONS, first)]
    if group:
        all_clients.append(clients.Group(cluster.bootstrap, TOPIC, group))
    for client in all_clients:
        client.start()
    until("all clients are heard", lambda: all(client.is_heard() for client in all_clients))
    time.sleep(BEFORE + 1)
    for client in all_clients:
        client.forget()
    begun = time.monotonic()
    in_sync = mishap.act(cluster, TOPIC, nodes)
    time.sleep(2)
    for client in all_clients:
        client.end()
    return Felt(all_clients[0], led, begun, in_sync, all_clients[1].verdict() if group else {})


def feel_otherwise(cluster, client, mishaps, folder):
    """The longest gaps of another client's producer."""
    other = clients.Other(cluster.bootstrap, client, folder / client)
    try:
        for mishap in mishaps:
            other.goes_on()
            spread(cluster, other.topic)
            nodes, _, _ = befallen(cluster, other.topic, mishap)
            other.enter(mishap.what)
            mishap.act(cluster, other.topic, nodes)
            other.goes_on()
            other.enter("between")
        return other.end()
    finally:
        other.kill()


def say(name, what):
    print(f"{time.strftime('%H:%M:%S')} {name}: {what}", file=sys.stderr)


def measure(name, cluster, chosen):
    """Rows of the mishaps, the trace, and the gaps of other clients; up to where the nodes no longer go on."""
    say(name, "three nodes start")
    others, felt = {}, {}
    for node in NODES:
        cluster.start(node)
    until("three nodes", cluster.is_up)
    clients.create(cluster.bootstrap, TOPIC, PARTITIONS)
    try:
        for mishap in chosen.mishaps:
            say(name, mishap.what)
            first = max((one.producer.next for one in felt.values()), default=0)
            felt[mishap.what] = feel(cluster, mishap, first)
        for client in chosen.clients:
            say(name, client)
            others[client] = feel_otherwise(cluster, client, [one for one in chosen.mishaps if one.for_all], cluster.folder)
    except (TimeoutError, subprocess.TimeoutExpired) as error:
        say(name, error)
    found = clients.Found(cluster.bootstrap, TOPIC, PARTITIONS)
    rows = {what: one.row(found) for what, one in felt.items()}
    return {"rows": rows, "others": others, "trace": felt[TRACED].trace() if TRACED in felt else None}


def kafka_program(home, cluster):
    """Formats the directories; returns how to start a node."""
    tool = home / "bin" / "kafka-storage.sh"
    cluster_id = run(tool, "random-uuid").split()[-1]
    for node in NODES:
        run(tool, "format", "-t", cluster_id, "-c", cluster.properties(node))
    return [str(home / "bin" / "kafka-server-start.sh")]


COLUMNS = ["led", "elsewhere", "in sync", "acknowledged", "read", "lost", "doubled", "out of order"]
HEADS = ["gap where it led, ms", "elsewhere, ms", "in sync after, s", *COLUMNS[3:]]
GROUP_COLUMNS = ["reading, ms", "committing, ms", "commits lost"]


def line(cells):
    shown = ("–" if cell is None else f"{cell:,}" if isinstance(cell, (int, float)) else cell for cell in cells)
    print("| " + " | ".join(shown) + " |")


def head(cells):
    line(cells)
    print("|---" * len(cells) + "|")


def tables(results, chosen):
    head(["mishap", "system", *HEADS])
    all_rows = [
        (mishap.what, name, result["rows"][mishap.what])
        for mishap in chosen.mishaps
        for name, result in results.items()
        if mishap.what in result["rows"]
    ]
    for what, name, row in all_rows:
        line([what, name, *(row[column] for column in COLUMNS)])
    groups = [one for one in all_rows if GROUP_COLUMNS[0] in one[2]]
    if groups:
        print()
        head(["mishap", "system", *(f"group: {column}" for column in GROUP_COLUMNS)])
        for what, name, row in groups:
            line([what, name, *(row[column] for column in GROUP_COLUMNS)])
    if chosen.clients:
        print()
        head(["longest gap, ms", "client", *results])
        for mishap in (one for one in chosen.mishaps if one.for_all):
            for client in chosen.clients:
                gaps = (result["others"].get(client, {}).get(mishap.what) for result in results.values())
                line([mishap.what, client, *gaps])


def write_trace(results, file):
    systems = {name: result["trace"] for name, result in results.items()}
    file.write_text(json.dumps({"mishap": TRACED, "bucket_ms": BUCKET_MS, "systems": systems}))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("drave", metavar="DRAVE")
    parser.add_argument("kafka", metavar="KAFKA_HOME", nargs="?", type=pathlib.Path)
    parser.add_argument("--trace", metavar="FILE", type=pathlib.Path)
    parser.add_argument("--only", metavar="NAME", action="append", help="how names of mishaps begin; again for more")
    parser.add_argument("--clients", nargs="*", choices=OTHERS, default=[], help="other clients' producers, if any")
    parser.add_argument("--keep", metavar="FOLDER", type=pathlib.Path, help="where the nodes' logs and data are, and stay")
    given = parser.parse_args()
    given.mishaps = [one for one in MISHAPS if not given.only or one.what.startswith(tuple(given.only))]
    for start in given.only or []:
        if not any(one.what.startswith(start) for one in MISHAPS):
            parser.error(f"no mishap begins with {start!r}; there are: " + "; ".join(one.what for one in MISHAPS))
    if given.trace and TRACED not in (one.what for one in given.mishaps):
        parser.error(f"the trace is of {TRACED!r}, which is not chosen")
    return given


def all_systems(given, where):
    systems = {"Drave": lambda cluster: [given.drave]}
    if given.kafka:
        os.environ["DRAVE_KAFKA_HOME"] = str(given.kafka)
        systems["Apache Kafka"] = lambda cluster: kafka_program(given.kafka, cluster)
    for name, program in systems.items():
        folder = pathlib.Path(tempfile.mkdtemp(prefix="failover-", dir=given.keep))
        say(name, folder)
        cluster = Cluster(folder, where)
        cluster.program = program(cluster)
        try:
            yield name, measure(name, cluster, given)
        finally:
            cluster.stop()
        if not given.keep:
            shutil.rmtree(folder)


def main():
    given = arguments()
    # As Ctrl-C does, so that nothing is left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    where = place()
    try:
        given.mishaps = [one for one in given.mishaps if where.can_cut or not one.cuts]
        results = dict(all_systems(given, where))
    finally:
        where.remove()
    tables(results, given)
    if given.trace:
        write_trace(results, given.trace)


main()
