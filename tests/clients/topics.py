"""A topic that is deleted and made again under the clients that use it.

usage: topics.py BOOTSTRAP
"""

import sys

import confluent_kafka
from clients import PATIENCE, Confluent, Record, check, clients, create, ends, same, until
from confluent_kafka.admin import AdminClient

TOPIC = "again"
ROUNDS = 3
COUNT = 100


def delete(bootstrap):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for gone in admin.delete_topics([TOPIC]).values():
        gone.result(PATIENCE)
    until("the topic is gone", lambda: TOPIC not in admin.list_topics(timeout=PATIENCE).topics)


def lasting(bootstrap):
    """A producer and a consumer that live longer than the topic."""
    common = {"bootstrap.servers": bootstrap, "topic.metadata.refresh.interval.ms": 200}
    producer = confluent_kafka.Producer(common | {"enable.idempotence": True})
    consumer = confluent_kafka.Consumer(
        common | {"group.id": "lasting", "auto.offset.reset": "earliest", "session.timeout.ms": 6000}
    )
    consumer.subscribe([TOPIC])
    return producer, consumer


def accepted(producer, value):
    """Sends until it is taken: what was sent to the deleted topic may be refused."""
    told = []

    def sent():
        told.clear()
        producer.produce(TOPIC, value, partition=0, on_delivery=lambda error, _: told.append(error))
        same(producer.flush(PATIENCE), 0, "records left unsent")
        return told == [None]

    until(f"the lasting producer is served again, not {told}", sent)


def seen(consumer, value):
    def polled():
        got = consumer.poll(0.1)
        return got is not None and got.error() is None and got.value() == value

    until(f"the lasting consumer reads {value}", polled)


def main(bootstrap):
    producer, consumer = lasting(bootstrap)
    for turn in range(ROUNDS):
        partitions = turn + 1
        create(bootstrap, TOPIC, partitions)
        value = b"round %d" % turn
        new = [Record(at % partitions, b"%d" % at, value) for at in range(COUNT)]
        Confluent().write(bootstrap, TOPIC, new, "lz4")
        bounds = ends(bootstrap, TOPIC)
        same(sum(bounds.values()), COUNT, "records in the new topic")
        same(len(bounds), partitions, "partitions of the new topic")
        for reader in clients():
            found = reader.read(bootstrap, TOPIC, bounds)
            check({one.value for one in found} == {value}, f"{reader.name} reads records of another topic")
        last = b"last of round %d" % turn
        accepted(producer, last)
        seen(consumer, last)
        delete(bootstrap)
    consumer.close()
    print("ok")


main(*sys.argv[1:])
