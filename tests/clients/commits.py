"""What a group has committed, it goes on from: with another client, and after a restart of the broker.

usage: commits.py BOOTSTRAP write|check
"""

import asyncio
import sys

import aiokafka
import confluent_kafka
import kafka
from clients import PATIENCE, Confluent, Record, check, create, same

TOPIC = "committed"
COUNT = 100
NOTE = "a note"


def confluent(bootstrap, group):
    """Reads 10 records and commits; returns the offsets read."""
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([TOPIC])
    found = [one.offset() for one in consumer.consume(10, PATIENCE)]
    after = confluent_kafka.TopicPartition(TOPIC, 0, found[-1] + 1, NOTE)
    consumer.commit(offsets=[after], asynchronous=False)
    [kept] = consumer.committed([confluent_kafka.TopicPartition(TOPIC, 0)], PATIENCE)
    same((kept.offset, kept.metadata), (after.offset, NOTE), "confluent-kafka: committed")
    consumer.close()
    return found


def kafka_python(bootstrap, group):
    consumer = kafka.KafkaConsumer(
        TOPIC,
        bootstrap_servers=bootstrap,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    found = [next(consumer).offset for _ in range(10)]
    partition = kafka.TopicPartition(TOPIC, 0)
    consumer.commit({partition: kafka.OffsetAndMetadata(found[-1] + 1, NOTE, -1)})
    kept = consumer.committed(partition, metadata=True)
    same((kept.offset, kept.metadata), (found[-1] + 1, NOTE), "kafka-python: committed")
    consumer.close()
    return found


def aio(bootstrap, group):
    return asyncio.run(aio_all(bootstrap, group))


async def aio_all(bootstrap, group):
    consumer = aiokafka.AIOKafkaConsumer(
        TOPIC,
        bootstrap_servers=bootstrap,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    async with consumer:
        found = [(await consumer.getone()).offset for _ in range(10)]
        partition = aiokafka.TopicPartition(TOPIC, 0)
        await consumer.commit({partition: found[-1] + 1})
        same(await consumer.committed(partition), found[-1] + 1, "aiokafka: committed")
    return found


READERS = [confluent, kafka_python, aio]


def turn(bootstrap, start):
    """Every client reads the next ten, in a group of its own and in one that all use in turn."""
    for reader in READERS:
        same(reader(bootstrap, reader.__name__), list(range(start, start + 10)), reader.__name__)
    for at, reader in enumerate(READERS):
        first = 3 * start + 10 * at
        same(reader(bootstrap, "in turn"), list(range(first, first + 10)), f"{reader.__name__} in turn")


def main(bootstrap, step):
    check(step in ("write", "check"), f"no such step: {step}")
    if step == "write":
        create(bootstrap, TOPIC, 1)
        Confluent().write(bootstrap, TOPIC, [Record(0, None, b"%d" % at) for at in range(COUNT)], "none")
        turn(bootstrap, 0)
        turn(bootstrap, 10)
    else:
        turn(bootstrap, 20)
    print("ok")


main(*sys.argv[1:])
