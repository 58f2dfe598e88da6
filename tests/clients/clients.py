"""One small face over four clients: write records, read a topic."""

import asyncio
import json
import shutil
import subprocess
import sys
import time
from typing import NamedTuple

import aiokafka
import confluent_kafka
import kafka
from confluent_kafka.admin import AdminClient, NewTopic

# Seconds that any wait may take, on a machine that does much else.
PATIENCE = 60
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
LARGE = 8 << 20


class Record(NamedTuple):
    partition: int
    key: bytes | None
    value: bytes | None
    headers: tuple = ()
    timestamp: int | None = None
    offset: int | None = None


def check(holds, what):
    """Ends the program unless the condition holds."""
    if not holds:
        sys.exit(f"wrong: {what}")


def same(found, expected, what):
    check(found == expected, f"{what}: {found!r} instead of {expected!r}")


def until(what, condition):
    """Waits until the condition gives something true, which it returns."""
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        check(time.monotonic() < end, f"not within {PATIENCE} s: {what}")
        time.sleep(0.02)
    return found


def create(bootstrap, topic, partitions, **configs):
    """Creates a topic with the broker's own replication factor; configs in Kafka's names with `_` for `.`."""
    configs = {key.replace("_", "."): str(value) for key, value in configs.items()}
    admin = AdminClient({"bootstrap.servers": bootstrap})
    wanted = NewTopic(topic, partitions, -1, config=configs)
    for made in admin.create_topics([wanted]).values():
        made.result(PATIENCE)


def ends(bootstrap, topic):
    """The log end offset of each partition."""
    consumer = kafka.KafkaConsumer(bootstrap_servers=bootstrap)
    partitions = until(f"metadata of {topic}", lambda: consumer.partitions_for_topic(topic))
    found = consumer.end_offsets([kafka.TopicPartition(topic, one) for one in partitions])
    consumer.close()
    return {one.partition: offset for one, offset in found.items()}


class Confluent:
    name = "confluent-kafka"

    def write(self, bootstrap, topic, records, codec):
        failed = []
        producer = confluent_kafka.Producer(
            {
                "bootstrap.servers": bootstrap,
                "compression.type": codec,
                "message.max.bytes": LARGE,
                "linger.ms": 5,
            }
        )
        for one in records:
            producer.produce(
                topic,
                partition=one.partition,
                key=one.key,
                value=one.value,
                headers=list(one.headers),
                timestamp=one.timestamp or 0,
                on_delivery=lambda error, _: error and failed.append(error),
            )
        same(producer.flush(PATIENCE), 0, f"{self.name} left records unsent")
        check(not failed, f"{self.name} could not write: {failed[:3]}")

    def read(self, bootstrap, topic, ends):
        consumer = confluent_kafka.Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "unused",
                "enable.auto.commit": False,
                "check.crcs": True,
                "fetch.message.max.bytes": LARGE,
            }
        )
        consumer.assign([confluent_kafka.TopicPartition(topic, one, 0) for one in ends])
        count, found, end = sum(ends.values()), [], time.monotonic() + PATIENCE
        while len(found) < count and time.monotonic() < end:
            for one in consumer.consume(min(500, count - len(found)), 0.5):
                check(one.error() is None, f"{self.name} could not read: {one.error()}")
                found.append(self.record(one))
        consumer.close()
        return found

    @staticmethod
    def record(one):
        headers = tuple(one.headers() or ())
        _, timestamp = one.timestamp()
        return Record(one.partition(), one.key(), one.value(), headers, timestamp, one.offset())


class KafkaPython:
    name = "kafka-python"

    def write(self, bootstrap, topic, records, codec):
        producer = kafka.KafkaProducer(
            bootstrap_servers=bootstrap,
            compression_type=None if codec == "none" else codec,
            acks="all",
            max_request_size=LARGE,
            linger_ms=5,
        )
        sent = [
            producer.send(
                topic,
                partition=one.partition,
                key=one.key,
                value=one.value,
                headers=list(one.headers),
                timestamp_ms=one.timestamp,
            )
            for one in records
        ]
        for one in sent:
            one.get(PATIENCE)
        producer.close()

    def read(self, bootstrap, topic, ends):
        consumer = kafka.KafkaConsumer(
            bootstrap_servers=bootstrap, max_partition_fetch_bytes=LARGE, check_crcs=True
        )
        partitions = [kafka.TopicPartition(topic, one) for one in ends]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        count, found, end = sum(ends.values()), [], time.monotonic() + PATIENCE
        while len(found) < count and time.monotonic() < end:
            for batch in consumer.poll(timeout_ms=500).values():
                found.extend(map(self.record, batch))
        consumer.close()
        return found

    @staticmethod
    def record(one):
        return Record(
            one.partition, one.key, one.value, tuple(one.headers), one.timestamp, one.offset
        )


class AioKafka:
    name = "aiokafka"

    def write(self, bootstrap, topic, records, codec):
        asyncio.run(self.write_all(bootstrap, topic, records, codec))

    def read(self, bootstrap, topic, ends):
        return asyncio.run(self.read_all(bootstrap, topic, ends))

    async def write_all(self, bootstrap, topic, records, codec):
        producer = aiokafka.AIOKafkaProducer(
            bootstrap_servers=bootstrap,
            compression_type=None if codec == "none" else codec,
            enable_idempotence=True,
            max_request_size=LARGE,
            linger_ms=5,
        )
        async with producer:
            sent = [
                await producer.send(
                    topic,
                    partition=one.partition,
                    key=one.key,
                    value=one.value,
                    headers=list(one.headers),
                    timestamp_ms=one.timestamp,
                )
                for one in records
            ]
            await asyncio.wait_for(asyncio.gather(*sent), PATIENCE)

    async def read_all(self, bootstrap, topic, ends):
        consumer = aiokafka.AIOKafkaConsumer(
            bootstrap_servers=bootstrap, max_partition_fetch_bytes=LARGE, auto_offset_reset="earliest"
        )
        count, found, end = sum(ends.values()), [], time.monotonic() + PATIENCE
        async with consumer:
            consumer.assign([aiokafka.TopicPartition(topic, one) for one in ends])
            while len(found) < count and time.monotonic() < end:
                for batch in (await consumer.getmany(timeout_ms=500)).values():
                    found.extend(map(KafkaPython.record, batch))
        return found


class Kcat:
    """The command: one partition and set of headers in a run, no timestamps, no null values."""

    name = "kcat"

    def write(self, bootstrap, topic, records, codec):
        partition = str(records[0].partition)
        options = ["-P", "-b", bootstrap, "-t", topic, "-p", partition, "-z", codec, "-K", "\t"]
        options += [f"-H{key}={value.decode()}" for key, value in records[0].headers]
        self.run(options, b"".join(one.key + b"\t" + one.value + b"\n" for one in records))

    def read(self, bootstrap, topic, ends):
        options = ["-C", "-q", "-J", "-e", "-o", "beginning", "-b", bootstrap, "-t", topic]
        # It knows the end by an empty answer.
        options += ["-X", "check.crcs=true", "-X", "fetch.wait.max.ms=10"]
        lines = self.run(options, b"").splitlines()
        return [self.record(json.loads(line)) for line in lines]

    @staticmethod
    def record(one):
        names, values = one.get("headers", [])[::2], one.get("headers", [])[1::2]
        headers = tuple((name, value.encode()) for name, value in zip(names, values))
        key, value = (text if text is None else text.encode() for text in (one["key"], one["payload"]))
        return Record(one["partition"], key, value, headers, one["ts"], one["offset"])

    @staticmethod
    def run(arguments, stdin):
        done = subprocess.run(["kcat"] + arguments, input=stdin, capture_output=True, timeout=PATIENCE)
        check(done.returncode == 0, f"kcat {arguments}: {done.stderr.decode()}")
        return done.stdout


def clients():
    """All that this machine has."""
    found = [Confluent(), KafkaPython(), AioKafka()]
    if shutil.which("kcat"):
        found.append(Kcat())
    else:
        print("skipped: kcat is not installed")
    return found
