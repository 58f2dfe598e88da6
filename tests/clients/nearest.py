"""Reads a topic from its beginning as a consumer in a rack: bootstrap, topic, rack, id of the broker there.

Prints `ok` once the broker of that rack has been asked for records, and records produced from then on have come.
"""

import logging
import re
import sys
import time

from confluent_kafka import Consumer, Producer

bootstrap, topic, rack, near = sys.argv[1:]
asked = []


class Asked(logging.Handler):
    """Notes which broker is asked for records of the topic."""

    def emit(self, record):
        found = re.search(r"/(\d+): Fetch topic (\S+) \[", record.getMessage())
        if found and found.group(2) == topic:
            asked.append(found.group(1))


logger = logging.getLogger("nearest")
logger.setLevel(logging.DEBUG)
logger.addHandler(Asked())
consumer = Consumer(
    {
        "bootstrap.servers": bootstrap,
        "group.id": "nearest",
        "client.rack": rack,
        "auto.offset.reset": "earliest",
        "debug": "fetch",
    },
    logger=logger,
)
consumer.subscribe([topic])
producer = Producer({"bootstrap.servers": bootstrap, "acks": "all"})
seen, end = set(), time.monotonic() + 90


def read(until):
    while not until():
        assert time.monotonic() < end, f"read {sorted(seen)}, asked {asked[-20:]}"
        message = consumer.poll(0.1)
        if message is not None:
            assert message.error() is None, message.error()
            assert message.offset() not in seen, f"{message.offset()} came twice"
            seen.add(message.offset())


read(lambda: near in asked and len(seen) >= 5)
for number in range(20):
    mark = len(asked)
    produced = []
    producer.produce(topic, str(number), callback=lambda error, message: produced.append((error, message.offset())))
    producer.flush()
    assert produced[0][0] is None, produced
    read(lambda: produced[0][1] in seen)
    assert set(asked[mark:]) <= {near}, asked[mark:]
assert seen == set(range(len(seen))), sorted(seen)
consumer.close()
print("ok")
