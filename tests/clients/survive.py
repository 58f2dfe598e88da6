"""Produces idempotently with acks=all, whatever happens to the broker, until FOLDER/stop exists; then checks what is there.

FOLDER/CLIENT holds how many records are acknowledged in the partition that has the fewest. Record n goes to partition
n % PARTITIONS, as text. Who writes a name to FOLDER/phase is told the longest gap of the time from then to the next name.

usage: survive.py BOOTSTRAP CLIENT FOLDER
"""

import asyncio
import collections
import json
import os
import pathlib
import subprocess
import sys
import threading
import time

import aiokafka
import confluent_kafka
import kafka
from clients import PATIENCE, Confluent, check, create, ends

PARTITIONS = 3
# Seconds between records: a steady flow that leaves something in flight at any moment.
PAUSE = 0.0005
CODEC = "lz4"
# Whoever does not answer for so long is taken for dead. By default clients wait 30 to 60 s for a broker that is only silent, and
# whether others lead long since is of no use to them.
SILENCE_MS = 2000


class Book:
    """What was acknowledged and where, and what was refused."""

    def __init__(self, client, folder):
        self.folder, self.count = pathlib.Path(folder), self.folder_file(folder, client)
        self.acked, self.failed, self.sent = {}, [], 0
        # By partition: how many records were acknowledged, and when the last.
        self.done, self.last = [0] * PARTITIONS, {}
        # By phase: the longest time between two acknowledgements of a partition.
        self.phase, self.gaps = "", {}

    @staticmethod
    def folder_file(folder, client):
        return pathlib.Path(folder) / client

    def goes_on(self):
        """Counts a record to be sent, unless it is time to end. Now and then tells how far things are."""
        if self.sent % 50 == 0:
            phase = self.folder / "phase"
            self.phase = phase.read_text() if phase.exists() else ""
            fresh = self.count.with_suffix(".new")
            fresh.write_text(str(min(self.done)))
            fresh.rename(self.count)
            if (self.folder / "stop").exists():
                return False
        self.sent += 1
        return True

    def told(self, number, partition, offset, error):
        if error is None:
            self.acked[number] = (partition, offset)
            now = time.monotonic()
            gap = now - self.last.get(partition, now)
            self.last[partition], self.gaps[self.phase] = now, max(gap, self.gaps.get(self.phase, 0))
            self.done[partition] += 1
        else:
            self.failed.append((number, error))


def confluent(bootstrap, topic, book):
    producer = confluent_kafka.Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "compression.type": CODEC,
            "linger.ms": 2,
            "reconnect.backoff.max.ms": 200,
            "socket.timeout.ms": SILENCE_MS,
        }
    )
    while book.goes_on():
        number = book.sent - 1

        def told(error, got, number=number):
            book.told(number, got.partition(), got.offset(), error)

        producer.produce(topic, b"%d" % number, partition=number % PARTITIONS, on_delivery=told)
        producer.poll(0)
        time.sleep(PAUSE)
    producer.flush(PATIENCE)


def kafka_python(bootstrap, topic, book):
    producer = kafka.KafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        enable_idempotence=True,
        compression_type=CODEC,
        linger_ms=2,
        reconnect_backoff_max_ms=200,
        request_timeout_ms=SILENCE_MS,
    )
    while book.goes_on():
        number = book.sent - 1
        sent = producer.send(topic, b"%d" % number, partition=number % PARTITIONS)
        sent.add_callback(lambda got, number=number: book.told(number, got.partition, got.offset, None))
        sent.add_errback(lambda error, number=number: book.told(number, None, None, error))
        time.sleep(PAUSE)
    producer.close(PATIENCE)


def aio(bootstrap, topic, book):
    asyncio.run(aio_all(bootstrap, topic, book))


async def aio_all(bootstrap, topic, book):
    producer = aiokafka.AIOKafkaProducer(
        bootstrap_servers=bootstrap, enable_idempotence=True, compression_type=CODEC, linger_ms=2
    )

    def told(number, done):
        error = done.exception()
        got = None if error else done.result()
        book.told(number, got and got.partition, got and got.offset, error)

    async with producer:
        sent = collections.deque()
        while book.goes_on():
            number = book.sent - 1
            one = await producer.send(topic, b"%d" % number, partition=number % PARTITIONS)
            one.add_done_callback(lambda done, number=number: told(number, done))
            sent.append(one)
            await asyncio.sleep(PAUSE)
        await asyncio.wait(sent, timeout=PATIENCE)


def java(bootstrap, topic, book):
    """Kafka's own producer, which says on a line each what was acknowledged. It numbers its records itself."""
    tool = pathlib.Path(os.environ["DRAVE_KAFKA_HOME"]) / "bin" / "kafka-verifiable-producer.sh"
    keys = {
        "enable.idempotence": "true",
        # The tool has none by itself.
        "retries": 2**31 - 1,
        "compression.type": CODEC,
        "request.timeout.ms": SILENCE_MS,
        # Another partition's turn comes after so many bytes.
        "batch.size": 256,
    }
    config = book.folder / "java.properties"
    config.write_text("".join(f"{key}={value}\n" for key, value in keys.items()))
    command = [tool, "--bootstrap-server", bootstrap, "--topic", topic, "--acks", "-1", "--throughput", "500"]
    environment = {**os.environ, "KAFKA_HEAP_OPTS": "-Xmx128m"}
    with subprocess.Popen(
        [*command, "--command-config", config], stdout=subprocess.PIPE, text=True, env=environment
    ) as producer:
        for line in producer.stdout:
            said = json.loads(line)
            if said["name"] == "producer_send_success":
                book.told(int(said["value"]), said["partition"], said["offset"], None)
            elif said["name"] == "producer_send_error":
                book.told(int(said["value"]), None, None, said["message"])
            if not book.goes_on():
                producer.terminate()
    book.sent = len(book.acked) + len(book.failed)


class Follower(threading.Thread):
    """A group's only member, which commits what it has read."""

    def __init__(self, bootstrap, topic):
        super().__init__(daemon=True)
        self.topic, self.ended = topic, threading.Event()
        # All numbers it read; by partition how far it was told that it has committed; how often it was given partitions.
        self.seen, self.committed, self.given = set(), {}, 0
        self.config = {
            "bootstrap.servers": bootstrap,
            "group.id": f"follows {topic}",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "reconnect.backoff.max.ms": 200,
            "socket.timeout.ms": SILENCE_MS,
        }

    def run(self):
        consumer = confluent_kafka.Consumer(self.config)
        consumer.subscribe([self.topic], on_assign=lambda *_: self.was_given())
        while not self.ended.is_set():
            got = [one for one in consumer.consume(200, 0.2) if one.error() is None]
            self.seen.update(int(one.value()) for one in got)
            if got:
                self.commit(consumer)
        consumer.close()

    def was_given(self):
        self.given += 1

    def commit(self, consumer):
        try:
            done = consumer.commit(asynchronous=False)
        except confluent_kafka.KafkaException:
            # Nothing is known of it; the next says more.
            return
        # Those of which nothing new was read have no offset.
        told = (one for one in done if one.error is None and one.offset >= 0)
        self.committed.update((one.partition, one.offset) for one in told)

    def lost(self):
        """In how many partitions less is committed than was acknowledged. More may be, to which no answer came."""
        consumer = confluent_kafka.Consumer(self.config)
        asked = [confluent_kafka.TopicPartition(self.topic, one) for one in self.committed]
        found = {one.partition: one.offset for one in consumer.committed(asked, PATIENCE)}
        consumer.close()
        return sum(found[partition] < offset for partition, offset in self.committed.items())


def verdict(book, found, follower):
    """Compares what was acknowledged with what is there."""
    numbers = [int(one.value) for one in found]
    place = {int(one.value): (one.partition, one.offset) for one in found}
    disordered = 0
    for partition in range(PARTITIONS):
        own = [int(one.value) for one in found if one.partition == partition]
        disordered += sum(later < earlier for earlier, later in zip(own, own[1:]))
    return {
        "refused": len(book.failed),
        "unanswered": book.sent - len(book.acked) - len(book.failed),
        "lost": len(book.acked.keys() - place.keys()),
        "moved": sum(place.get(number, at) != at for number, at in book.acked.items()),
        "doubled": len(numbers) - len(place),
        "out of order": disordered,
        "never sent": len(place.keys() - range(book.sent)),
        "not followed": len(place.keys() - follower.seen),
        "commits lost": follower.lost(),
        "rebalances": follower.given - 1,
    }


def main(bootstrap, client, folder):
    topic, book = f"survive-{client}", Book(client, folder)
    create(bootstrap, topic, PARTITIONS)
    follower = Follower(bootstrap, topic)
    follower.start()
    clients = {"confluent-kafka": confluent, "kafka-python": kafka_python, "aiokafka": aio, "java": java}
    clients[client](bootstrap, topic, book)
    found = Confluent().read(bootstrap, topic, ends(bootstrap, topic))
    end = time.monotonic() + PATIENCE
    while len(follower.seen) < len(found) and time.monotonic() < end:
        time.sleep(0.05)
    follower.ended.set()
    follower.join(PATIENCE)
    result = verdict(book, found, follower)
    gap = max(book.gaps.values(), default=0)
    print(f"{client}: acknowledged {len(book.acked)}, read {len(found)}, longest gap {gap * 1000:.0f} ms, {result}")
    if follower.is_alive():
        print(f"{client}: the consumer does not close")
    for phase, gap in book.gaps.items():
        print(f"{client}: {phase}: {gap * 1000:.0f} ms")
    check(not any(result.values()), f"{result}, refused: {book.failed[:3]}")
    check(len(book.acked) > 0, "nothing was acknowledged")
    check(len(follower.committed) == PARTITIONS, f"committed only in {follower.committed}")
    print("ok")


main(*sys.argv[1:])
