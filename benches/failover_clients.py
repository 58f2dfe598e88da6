"""What feels the mishaps: producers and a consumer group. Each notes its gaps, and what it was promised."""

import collections
import logging
import pathlib
import subprocess
import sys
import threading
import time

import confluent_kafka
from confluent_kafka import ElectionType, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from failover_nodes import NODES, PATIENCE, until

QUIET = logging.getLogger("librdkafka")
QUIET.addHandler(logging.NullHandler())
QUIET.propagate = False
IDEMPOTENT = {"enable.idempotence": True, "linger.ms": 0}
SURVIVE = pathlib.Path(__file__).parents[1] / "tests" / "clients" / "survive.py"


def settings(bootstrap, more=None):
    # By default clients wait for a silent broker for 30 to 60 s.
    own = {"bootstrap.servers": bootstrap, "socket.timeout.ms": 1500, "reconnect.backoff.max.ms": 200}
    return own | (more or {})


def create(bootstrap, topic, partitions):
    admin = AdminClient(settings(bootstrap), logger=QUIET)
    admin.create_topics([NewTopic(topic, partitions, len(NODES))])[topic].result(PATIENCE)


def elect_preferred(bootstrap):
    """Gives leaderships back to those that led in the beginning; that they lead already is an error to some brokers."""
    admin = AdminClient(settings(bootstrap), logger=QUIET)
    try:
        admin.elect_leaders(ElectionType.PREFERRED).result(PATIENCE)
    except confluent_kafka.KafkaException as error:
        print(f"electing preferred leaders: {error}", file=sys.stderr)


class Gaps:
    """The longest time between two events of each kind."""

    def __init__(self):
        self.last, self.longest = {}, {}

    def note(self, kind):
        now = time.monotonic()
        self.longest[kind] = max(self.longest.get(kind, 0), now - self.last.get(kind, now))
        self.last[kind] = now

    def forget(self):
        self.longest = {}

    def ms(self, kinds):
        """None if nothing is of these kinds."""
        found = [self.longest[kind] for kind in kinds if kind in self.longest]
        return round(1000 * max(found)) if found else None


class Producer(threading.Thread):
    """Sends a record a millisecond until it is told to stop, numbered on from `first`, in turn to all partitions."""

    def __init__(self, bootstrap, topic, partitions, first):
        super().__init__(daemon=True)
        self.bootstrap, self.topic, self.partitions, self.first, self.next = bootstrap, topic, partitions, first, first
        self.acknowledged, self.failed, self.gaps, self.times = {}, [], Gaps(), []
        self.ended = threading.Event()

    def run(self):
        producer = confluent_kafka.Producer(settings(self.bootstrap, IDEMPOTENT), logger=QUIET)
        while not self.ended.is_set():
            number, self.next = self.next, self.next + 1
            producer.produce(
                self.topic,
                b"%d" % number,
                partition=number % self.partitions,
                on_delivery=lambda error, got, number=number: self.told(number, error, got),
            )
            producer.poll(0)
            time.sleep(0.001)
        producer.flush(PATIENCE)
        # A gap may have no end.
        for partition in list(self.gaps.last):
            self.gaps.note(partition)

    def told(self, number, error, got):
        if error is not None:
            self.failed.append(str(error))
            return
        self.acknowledged[number] = (got.partition(), got.offset())
        self.gaps.note(got.partition())
        self.times.append(self.gaps.last[got.partition()])

    def is_heard(self):
        return len(self.gaps.last) == self.partitions

    def forget(self):
        self.gaps.forget()

    def end(self):
        self.ended.set()
        self.join(2 * PATIENCE)

    def verdict(self, found):
        sent = range(self.first, self.next)
        return {
            "acknowledged": len(self.acknowledged),
            "read": sum(number in found.places for number in sent),
            "lost": sum(place not in found.places.get(number, ()) for number, place in self.acknowledged.items()),
            "doubled": sum(len(found.places.get(number, ())) > 1 for number in sent),
            "out of order": sum(number in found.disordered for number in sent),
        }


class Found:
    """Everything that a topic holds: where each number is, and which come after a larger one."""

    def __init__(self, bootstrap, topic, partitions):
        self.places, self.disordered = collections.defaultdict(list), set()
        last, wanted = {}, [TopicPartition(topic, one, 0) for one in range(partitions)]
        consumer = confluent_kafka.Consumer(settings(bootstrap, {"group.id": "unused"}), logger=QUIET)
        left = sum(consumer.get_watermark_offsets(one, PATIENCE)[1] for one in wanted)
        consumer.assign(wanted)
        end = time.monotonic() + PATIENCE
        while left > 0 and time.monotonic() < end:
            for got in consumer.consume(10_000, 0.5):
                if got.error() is None:
                    left -= 1
                    number, partition = int(got.value()), got.partition()
                    self.places[number].append((partition, got.offset()))
                    if number < last.get(partition, number):
                        self.disordered.add(number)
                    last[partition] = number
        consumer.close()


class Group(threading.Thread):
    """A group's only member, which commits what it has read ten times a second."""

    def __init__(self, bootstrap, topic, name):
        super().__init__(daemon=True)
        self.reading, self.committing, self.committed, self.lost = Gaps(), Gaps(), {}, None
        own = {"group.id": name, "auto.offset.reset": "latest", "enable.auto.commit": False, "on_commit": self.told}
        self.consumer = confluent_kafka.Consumer(settings(bootstrap, own), logger=QUIET)
        self.consumer.subscribe([topic])
        self.ended = threading.Event()

    def run(self):
        due = 0
        while not self.ended.is_set():
            got = [one.partition() for one in self.consumer.consume(200, 0.02) if one.error() is None]
            for partition in got:
                self.reading.note(partition)
            if got and time.monotonic() > due:
                self.consumer.commit(asynchronous=True)
                due = time.monotonic() + 0.1
        promised = dict(self.committed)
        said = self.consumer.committed([TopicPartition(*one) for one in promised], PATIENCE)
        self.lost = sum(one.offset < promised[one.topic, one.partition] for one in said)
        self.consumer.close()

    def told(self, error, offsets):
        if error is None and not any(one.error for one in offsets):
            self.committing.note("")
            self.committed.update({(one.topic, one.partition): one.offset for one in offsets if one.offset >= 0})

    def is_heard(self):
        return bool(self.committed)

    def forget(self):
        self.reading.forget()
        self.committing.forget()

    def end(self):
        self.ended.set()
        self.join(2 * PATIENCE)

    def verdict(self):
        reading = self.reading.ms(self.reading.longest)
        return {"reading, ms": reading, "committing, ms": self.committing.ms([""]), "commits lost": self.lost}


class Other:
    """Another client's producer, which tests/clients/survive.py runs and judges."""

    def __init__(self, bootstrap, client, folder):
        self.client, self.folder, self.topic, self.phases = client, folder, f"survive-{client}", []
        folder.mkdir()
        command = [sys.executable, SURVIVE, bootstrap, client, folder]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def acknowledged(self):
        """In the partition with the fewest."""
        if self.process.poll() is not None:
            raise TimeoutError(f"{self.client} has ended: {self.process.stdout.read()}")
        count = self.folder / self.client
        return int(count.read_text()) if count.exists() else 0

    def goes_on(self):
        least = self.acknowledged() + 200
        until(f"{self.client} is acknowledged", lambda: self.acknowledged() >= least)

    def enter(self, phase):
        fresh = self.folder / "phase.new"
        fresh.write_text(phase)
        fresh.rename(self.folder / "phase")
        self.phases.append(phase)
        # It looks every 50 records.
        self.goes_on()

    def end(self):
        """The longest gap of each phase, ms."""
        (self.folder / "stop").touch()
        said, _ = self.process.communicate(timeout=2 * PATIENCE)
        print(said, file=sys.stderr, end="")
        starts = {phase: f"{self.client}: {phase}: " for phase in self.phases}
        lines = said.splitlines()
        found = {phase: line for phase, start in starts.items() for line in lines if line.startswith(start)}
        return {phase: int(line.split()[-2]) for phase, line in found.items()}

    def kill(self):
        self.process.kill()
        self.process.wait()
