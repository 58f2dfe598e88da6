"""A member of a group, as a process that can be killed. Prints each new assignment; leaves at the end of its input.

usage: member.py BOOTSTRAP CLIENT STRATEGY TOPIC GROUP SESSION_MS [INSTANCE]
"""

import asyncio
import json
import sys
import threading

import aiokafka
import confluent_kafka
import kafka
from aiokafka.coordinator.assignors import range as aio_range
from aiokafka.coordinator.assignors import roundrobin as aio_roundrobin
from aiokafka.coordinator.assignors.sticky import sticky_assignor as aio_sticky
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from kafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor

STRATEGIES = {
    "kafka-python": {
        "range": RangePartitionAssignor,
        "roundrobin": RoundRobinPartitionAssignor,
        "sticky": StickyPartitionAssignor,
        "cooperative-sticky": CooperativeStickyAssignor,
    },
    "aiokafka": {
        "range": aio_range.RangePartitionAssignor,
        "roundrobin": aio_roundrobin.RoundRobinPartitionAssignor,
        "sticky": aio_sticky.StickyPartitionAssignor,
    },
}


class Report:
    """Prints what changes."""

    def __init__(self):
        self.last = None

    def assigned(self, partitions):
        now = sorted(one.partition for one in partitions)
        if now != self.last:
            self.last = now
            print(json.dumps(now), flush=True)


def left():
    """Set when nobody wants this member any longer."""
    event = threading.Event()

    def wait():
        sys.stdin.read()
        event.set()

    threading.Thread(target=wait, daemon=True).start()
    return event


def confluent(bootstrap, strategy, topic, group, session, instance, leave):
    options = {
        "bootstrap.servers": bootstrap,
        "group.id": group,
        "partition.assignment.strategy": strategy,
        "session.timeout.ms": session,
        "heartbeat.interval.ms": session // 10,
        "auto.offset.reset": "earliest",
    }
    if instance:
        options["group.instance.id"] = instance
    consumer, report = confluent_kafka.Consumer(options), Report()
    consumer.subscribe([topic])
    while not leave.is_set():
        got = consumer.poll(0.1)
        if got is not None and got.error():
            sys.exit(got.error().name())
        report.assigned(consumer.assignment())
    consumer.close()


def kafka_python(bootstrap, strategy, topic, group, session, instance, leave):
    consumer = kafka.KafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=group,
        group_instance_id=instance,
        partition_assignment_strategy=[STRATEGIES["kafka-python"][strategy]],
        session_timeout_ms=session,
        heartbeat_interval_ms=session // 10,
    )
    report = Report()
    while not leave.is_set():
        # This client loses a join, and stops its heartbeats, if a poll ends while it joins because of new metadata. It first
        # asks for that about 100 ms after it began: no poll may end then.
        consumer.poll(timeout_ms=700)
        report.assigned(consumer.assignment())
    consumer.close()


async def aio(bootstrap, strategy, topic, group, session, instance, leave):
    consumer = aiokafka.AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=group,
        group_instance_id=instance,
        partition_assignment_strategy=[STRATEGIES["aiokafka"][strategy]],
        session_timeout_ms=session,
        heartbeat_interval_ms=session // 10,
    )
    report = Report()
    async with consumer:
        while not leave.is_set():
            await consumer.getmany(timeout_ms=100)
            report.assigned(consumer.assignment())


def main(bootstrap, client, strategy, topic, group, session, instance=None):
    arguments = (bootstrap, strategy, topic, group, int(session), instance, left())
    if client == "aiokafka":
        asyncio.run(aio(*arguments))
    else:
        {"confluent-kafka": confluent, "kafka-python": kafka_python}[client](*arguments)


main(*sys.argv[1:])
