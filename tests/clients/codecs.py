"""What any client writes with any codec, every client reads: keys, values, headers, timestamps, in order.

usage: codecs.py BOOTSTRAP
"""

import sys
import time

from clients import CODECS, Kcat, Record, check, clients, create, ends, same

PARTITIONS = 3
# Records of one writer and codec.
COUNT = 30
# What a topic may make of the writer's codec.
STORED = ["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"]


def records(writer, codec, now):
    """Runs that compress, bytes that do not, emptiness and absence."""
    plain = isinstance(writer, Kcat)
    headers = (("writer", writer.name.encode()), ("codec", codec.encode()), ("codec", b"again"))
    made = []
    for at in range(COUNT):
        key = f"{writer.name} {codec} {at}".encode()
        value = b"abc" * at + (b"end" if plain else bytes(range(at)))
        if at == COUNT - 1 and not plain:
            value = None
        timestamp = None if plain else now - 1_000_000 + at
        made.append(Record(0 if plain else at % PARTITIONS, key, value, headers, timestamp))
    return made


def expect(written, found, reader, now):
    """The same records, each partition's in the order in which its writer sent them."""
    by_key = {}
    for one in found:
        check(one.key not in by_key, f"{reader.name} read twice: {one}")
        by_key[one.key] = one
    for one in written:
        check(one.key in by_key, f"{reader.name} did not read {one}")
        got = by_key[one.key]
        check(abs(got.timestamp - now) < 3_000_000, f"{reader.name} reads the time {got.timestamp}")
        wanted = one._replace(offset=got.offset, timestamp=one.timestamp or got.timestamp)
        if isinstance(reader, Kcat):
            # Its JSON is text: bytes that are none do not survive it.
            wanted, got = (each._replace(value=None) for each in (wanted, got))
        same(got, wanted, f"read by {reader.name}")
    same(len(found), len(written), f"records read by {reader.name}")
    in_order(written, by_key)


def in_order(written, by_key):
    last = {}
    for one in written:
        stream = one.key.rsplit(b" ", 1)[0], one.partition
        offset = by_key[one.key].offset
        check(offset > last.get(stream, -1), f"{one.key} stands at {offset}, before its predecessor")
        last[stream] = offset


def main(bootstrap):
    now = int(time.time() * 1000)
    for stored in STORED:
        topic = f"stored-as-{stored}"
        create(bootstrap, topic, PARTITIONS, compression_type=stored)
        written = []
        for writer in clients():
            # The first topic sees every codec of every client; the others only change what they are given.
            for codec in CODECS if stored == "producer" else ["none", "lz4"]:
                new = records(writer, codec, now)
                writer.write(bootstrap, topic, new, codec)
                written += new
        bounds = ends(bootstrap, topic)
        same(sum(bounds.values()), len(written), f"records in {topic}")
        for reader in clients():
            expect(written, reader.read(bootstrap, topic, bounds), reader, now)
    print("ok")


main(*sys.argv[1:])
