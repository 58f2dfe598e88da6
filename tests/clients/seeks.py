"""Offsets by time, and reading from there, as each client does it.

usage: seeks.py BOOTSTRAP
"""

import asyncio
import random
import shutil
import sys

import aiokafka
import confluent_kafka
import kafka
from confluent_kafka.admin import AdminClient, OffsetSpec
from clients import PATIENCE, Confluent, Kcat, Record, create, same

TOPIC = "seeks"
COUNT = 2000
FIRST = 1_700_000_000_000
STEP = 1000
# Time from the first record on, and the offset of the first record that is not older.
CASES = [
    (-5000, 0),
    (0, 0),
    (1, 1),
    (STEP, 1),
    (700 * STEP - 1, 700),
    (700 * STEP, 700),
    (1234 * STEP + 1, 1235),
    ((COUNT - 1) * STEP, COUNT - 1),
    (COUNT * STEP, None),
]


def confluent(bootstrap):
    consumer = confluent_kafka.Consumer({"bootstrap.servers": bootstrap, "group.id": "unused"})
    for time, expected in CASES:
        asked = [confluent_kafka.TopicPartition(TOPIC, 0, FIRST + time)]
        [found] = consumer.offsets_for_times(asked, PATIENCE)
        wanted = confluent_kafka.OFFSET_END if expected is None else expected
        same(found.offset, wanted, f"confluent-kafka: offset {time} ms after the first")
        if expected is not None:
            consumer.assign([found])
            same(consumer.poll(PATIENCE).offset(), expected, "confluent-kafka: first record read")
    partition = confluent_kafka.TopicPartition(TOPIC, 0)
    same(consumer.get_watermark_offsets(partition, PATIENCE), (0, COUNT), "watermarks")
    consumer.close()
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for spec, expected in [
        (OffsetSpec.earliest(), 0),
        (OffsetSpec.latest(), COUNT),
        (OffsetSpec.max_timestamp(), COUNT - 1),
    ]:
        [found] = admin.list_offsets({partition: spec}).values()
        same(found.result(PATIENCE).offset, expected, f"confluent-kafka: {spec}")


def kafka_python(bootstrap):
    consumer = kafka.KafkaConsumer(bootstrap_servers=bootstrap)
    partition = kafka.TopicPartition(TOPIC, 0)
    consumer.assign([partition])
    for time, expected in CASES:
        found = consumer.offsets_for_times({partition: FIRST + time})[partition]
        same(found and found.offset, expected, f"kafka-python: offset {time} ms after the first")
        if expected is not None:
            consumer.seek(partition, expected)
            same(next(consumer).offset, expected, "kafka-python: first record read")
    same(consumer.beginning_offsets([partition]), {partition: 0}, "kafka-python: beginning")
    same(consumer.end_offsets([partition]), {partition: COUNT}, "kafka-python: end")
    consumer.close()


async def aio(bootstrap):
    partition = aiokafka.TopicPartition(TOPIC, 0)
    async with aiokafka.AIOKafkaConsumer(bootstrap_servers=bootstrap) as consumer:
        consumer.assign([partition])
        for time, expected in CASES:
            found = (await consumer.offsets_for_times({partition: FIRST + time}))[partition]
            same(found and found.offset, expected, f"aiokafka: offset {time} ms after the first")
            if expected is not None:
                consumer.seek(partition, expected)
                same((await consumer.getone()).offset, expected, "aiokafka: first record read")


def kcat(bootstrap):
    options = ["-C", "-q", "-e", "-c", "1", "-f", "%o", "-b", bootstrap, "-t", TOPIC, "-p", "0"]
    for time, expected in CASES:
        found = Kcat.run(options + ["-o", f"s@{FIRST + time}"], b"").decode()
        same(found, "" if expected is None else str(expected), f"kcat: offset {time} ms after the first")


def main(bootstrap):
    # Several segments with full indexes, so that the search has something to search.
    create(bootstrap, TOPIC, 1, index_interval_bytes=100, segment_bytes=1 << 20, retention_ms=-1)
    source = random.Random(1)
    for start, codec in [(0, "none"), (COUNT // 2, "lz4")]:
        times = range(start, start + COUNT // 2)
        records = [Record(0, None, source.randbytes(1000), (), FIRST + at * STEP) for at in times]
        Confluent().write(bootstrap, TOPIC, records, codec)
    confluent(bootstrap)
    kafka_python(bootstrap)
    asyncio.run(aio(bootstrap))
    if shutil.which("kcat"):
        kcat(bootstrap)
    print("ok")


main(*sys.argv[1:])
