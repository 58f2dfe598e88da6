"""Records of 1 MiB, records that are too large, and a topic of 200 partitions, with each client.

usage: sizes.py BOOTSTRAP
"""

import random
import sys

import kafka.errors
import aiokafka.errors
from clients import AioKafka, Confluent, Kcat, KafkaPython, Record, check, clients, create, ends, same

MIB = 1 << 20
WIDE = 200
REFUSED = (SystemExit, kafka.errors.MessageSizeTooLargeError, aiokafka.errors.MessageSizeTooLargeError)


def large(bootstrap):
    create(bootstrap, "large", 2, max_message_bytes=2 * MIB)
    source, written = random.Random(1), []
    writers = [client for client in clients() if not isinstance(client, Kcat)]
    for writer in writers:
        for codec in ["none", "zstd"]:
            key = f"{writer.name} {codec}".encode()
            new = [Record(at % 2, key, source.randbytes(MIB)) for at in range(3)]
            writer.write(bootstrap, "large", new, codec)
            written += new
    expected = sorted((one.partition, one.key, one.value) for one in written)
    for reader in writers:
        found = reader.read(bootstrap, "large", ends(bootstrap, "large"))
        found = sorted((one.partition, one.key, one.value) for one in found)
        check(found == expected, f"{reader.name} reads other large records than were written")


def too_large(bootstrap):
    create(bootstrap, "small", 1)
    for writer in [Confluent(), KafkaPython(), AioKafka()]:
        try:
            writer.write(bootstrap, "small", [Record(0, None, bytes(MIB + 1000))], "none")
        except REFUSED as refused:
            reason = str(refused)
        else:
            reason = "nothing"
        known = "MSG_SIZE_TOO_LARGE" in reason or "MessageSizeTooLargeError" in reason
        check(known, f"{writer.name} is told {reason!r} of a record that is too large")
        writer.write(bootstrap, "small", [Record(0, None, bytes(MIB // 2))], "none")
    same(ends(bootstrap, "small"), {0: 3}, "records within the limit")


def wide(bootstrap):
    create(bootstrap, "wide", WIDE)
    written = []
    for writer in [Confluent(), KafkaPython(), AioKafka()]:
        new = [Record(at % WIDE, b"%s %d" % (writer.name.encode(), at), b"v") for at in range(2 * WIDE)]
        writer.write(bootstrap, "wide", new, "none")
        written += new
    bounds = ends(bootstrap, "wide")
    same(bounds, {one: 6 for one in range(WIDE)}, "ends of the wide topic")
    expected = sorted((one.partition, one.key) for one in written)
    for reader in clients():
        found = sorted((one.partition, one.key) for one in reader.read(bootstrap, "wide", bounds))
        check(found == expected, f"{reader.name} reads other records of the wide topic than were written")


def main(bootstrap):
    large(bootstrap)
    too_large(bootstrap)
    wide(bootstrap)
    print("ok")


main(*sys.argv[1:])
