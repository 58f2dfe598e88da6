"""Groups with members that join, leave and die; eager, cooperative, static, and of several clients.

usage: groups.py BOOTSTRAP
"""

import json
import pathlib
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from clients import check, create, same, until

PARTITIONS = 6
ALL = list(range(PARTITIONS))
TOPIC = "shared"
# Milliseconds after which a dead member is missed; long where it must not be.
SHORT, LONG = 3000, 60_000
# Python starts slowly on a busy machine.
AT_ONCE = 3

EAGER = [
    ("confluent-kafka", "range"),
    ("confluent-kafka", "roundrobin"),
    ("kafka-python", "range"),
    ("kafka-python", "sticky"),
    ("aiokafka", "roundrobin"),
    ("aiokafka", "sticky"),
]
COOPERATIVE = [("confluent-kafka", "cooperative-sticky"), ("kafka-python", "cooperative-sticky")]
STATIC = ["confluent-kafka", "kafka-python", "aiokafka"]


class Member:
    """A process that is in a group."""

    def __init__(self, bootstrap, client, strategy, group, session=SHORT, instance=None):
        program = str(pathlib.Path(__file__).with_name("member.py"))
        arguments = [bootstrap, client, strategy, TOPIC, group, str(session)]
        arguments += [instance] if instance else []
        self.name, self.history = f"{client} in {group}", []
        self.process = subprocess.Popen(
            [sys.executable, "-B", program] + arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.errors = []
        self.threads = [threading.Thread(target=one) for one in (self.follow, self.collect)]
        for one in self.threads:
            one.start()

    def follow(self):
        for line in self.process.stdout:
            self.history.append(json.loads(line))

    def collect(self):
        self.errors += self.process.stderr.read().decode().splitlines()

    def has(self):
        ended = self.process.poll()
        check(ended is None, f"{self.name} ended: {ended} {self.errors[-5:]}")
        return self.history[-1] if self.history else []

    def leave(self):
        self.process.stdin.close()
        same(self.process.wait(60), 0, f"end of {self.name}, which said {self.errors[-5:]}")

    def kill(self):
        self.process.kill()
        self.process.wait()


def shared_by(*members):
    """Whether the members have everything between them, evenly."""
    parts = [one.has() for one in members]
    even = {len(one) for one in parts} == {PARTITIONS // len(members)}
    return even and sorted(sum(parts, [])) == ALL


def settle(*members):
    until(f"{[one.name for one in members]} share all partitions", lambda: shared_by(*members))


def come_and_go(bootstrap, clients, strategy, group):
    """One, two, one dies, two again, one leaves. Returns what the first was given over time."""
    members = []
    try:
        members.append(first := Member(bootstrap, clients[0], strategy, group))
        settle(first)
        members.append(killed := Member(bootstrap, clients[1], strategy, group))
        settle(first, killed)
        killed.kill()
        settle(first)
        members.append(polite := Member(bootstrap, clients[1], strategy, group))
        settle(first, polite)
        polite.leave()
        settle(first)
        first.leave()
        return first.history
    finally:
        for one in members:
            one.kill()


def eager(bootstrap, client, strategy):
    come_and_go(bootstrap, [client, client], strategy, f"{client}-{strategy}")


def cooperative(bootstrap, client, strategy):
    history = come_and_go(bootstrap, [client, client], strategy, f"{client}-{strategy}")
    history = [one for at, one in enumerate(history) if at > 0 or one]
    # It never gives up what it keeps.
    check(all(len(one) >= PARTITIONS // 2 for one in history), f"{client}: not cooperative: {history}")


def mixed(bootstrap, first, second):
    come_and_go(bootstrap, [first, second], "range", f"mixed-{first}-{second}")


def static(bootstrap, client):
    """A static member that dies and returns in time gets its own, and nobody else notices."""
    group, members = f"static-{client}", []
    try:
        for instance in ["a", "b"]:
            members.append(Member(bootstrap, client, "range", group, LONG, instance))
        settle(*members)
        stays, dies = members
        own, before = dies.has(), list(stays.history)
        dies.kill()
        members.append(returned := Member(bootstrap, client, "range", group, LONG, "b"))
        until("the static member's return", lambda: returned.has() == own)
        same(stays.history, before, f"{client}: what the other static member was given")
    finally:
        for one in members:
            one.kill()


def fenced(bootstrap):
    """Of two with one instance id, the older is told."""
    members = []
    try:
        members.append(older := Member(bootstrap, "confluent-kafka", "range", "fenced", LONG, "a"))
        settle(older)
        members.append(newer := Member(bootstrap, "confluent-kafka", "range", "fenced", LONG, "a"))
        settle(newer)
        until("the older ends", lambda: older.process.poll() is not None)
        older.threads[1].join()
        check("_FENCED" in str(older.errors) or "_FATAL" in str(older.errors), f"why: {older.errors}")
    finally:
        for one in members:
            one.kill()


def main(bootstrap):
    create(bootstrap, TOPIC, PARTITIONS)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        runs = [pool.submit(eager, bootstrap, *one) for one in EAGER]
        runs += [pool.submit(cooperative, bootstrap, *one) for one in COOPERATIVE]
        runs += [pool.submit(static, bootstrap, one) for one in STATIC]
        runs += [pool.submit(mixed, bootstrap, "confluent-kafka", "kafka-python")]
        runs += [pool.submit(mixed, bootstrap, "aiokafka", "confluent-kafka")]
        runs += [pool.submit(fenced, bootstrap)]
        for run in runs:
            run.result()
    print("ok")


main(*sys.argv[1:])
