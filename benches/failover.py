"""What clients feel of three nodes when one goes: Drave, then Apache Kafka, through the same mishaps.

DRAVE is the binary, KAFKA_HOME an unpacked Apache Kafka. FILE gets what was acknowledged around a leader's death, bucket by
bucket, which `drave-bench report` draws. Needs confluent-kafka (librdkafka).

One idempotent producer sends a record a millisecond in turn to PARTITIONS partitions (three replicas, acks=all); a gap is the
time between two acknowledgements of one partition. In the end everything is read back and compared with what was acknowledged.
"""

import argparse
import collections
import json
import logging
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import confluent_kafka
from confluent_kafka.admin import AdminClient, NewTopic

TOPIC, PARTITIONS, NODES = "failover", 6, (1, 2, 3)
PORT = 19700
# Seconds. Kafka's patience with a silent node is 9 s.
STANDS_STILL, STAYS_AWAY, PATIENCE = 15, 12, 120
# What --trace writes: the mishap, a bucket in ms, and the seconds before and after.
TRACED, BUCKET_MS, BEFORE, AFTER = "a leader killed", 100, 2, 14
BOOTSTRAP = ",".join(f"localhost:{PORT + node}" for node in NODES)
CLIENT = {"bootstrap.servers": BOOTSTRAP, "socket.timeout.ms": 1500, "reconnect.backoff.max.ms": 200}
QUIET = logging.getLogger("librdkafka")
QUIET.addHandler(logging.NullHandler())
QUIET.propagate = False


class Cluster:
    """Three processes of this machine, each broker and controller."""

    def __init__(self, folder, program):
        self.folder, self.program, self.running = folder, program, {}

    def properties(self, node):
        voters = ",".join(f"{other}@localhost:{PORT + 10 + other}" for other in NODES)
        keys = {
            "process.roles": "broker,controller",
            "node.id": node,
            "controller.quorum.voters": voters,
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://localhost:{PORT + node},CONTROLLER://localhost:{PORT + 10 + node}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": self.folder / f"node{node}",
            "default.replication.factor": 3,
            "min.insync.replicas": 2,
        }
        path = self.folder / f"node{node}.properties"
        path.write_text("".join(f"{key}={value}\n" for key, value in keys.items()))
        return path

    def start(self, node):
        log = open(self.folder / f"node{node}.log", "ab")
        command = [*self.program, str(self.properties(node))]
        self.running[node] = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "KAFKA_HEAP_OPTS": "-Xmx1g -Xms1g"})

    def signal(self, node, which):
        self.running[node].send_signal(which)

    def end(self, node, how):
        self.signal(node, how)
        self.running[node].wait(PATIENCE)

    def stop(self):
        for process in self.running.values():
            process.kill()
            process.wait()


def metadata():
    return AdminClient(CLIENT, logger=QUIET).list_topics(TOPIC, timeout=PATIENCE)


def until(what, condition):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            if condition():
                return
        except confluent_kafka.KafkaException:
            pass
        time.sleep(0.02)
    sys.exit(f"not within {PATIENCE} s: {what}")


def in_sync():
    partitions = metadata().topics[TOPIC].partitions.values()
    return len(partitions) == PARTITIONS and all(len(one.isrs) == len(NODES) for one in partitions)


class Producer(threading.Thread):
    """Sends until it is told to stop; keeps what was acknowledged where, and the longest gap of each partition."""

    def __init__(self):
        super().__init__(daemon=True)
        self.acknowledged, self.failed, self.ended = {}, [], threading.Event()
        self.last, self.gaps, self.times = {}, collections.Counter(), []

    def run(self):
        producer = confluent_kafka.Producer({**CLIENT, "enable.idempotence": True, "linger.ms": 0}, logger=QUIET)
        number = 0
        while not self.ended.is_set():
            producer.produce(
                TOPIC,
                b"%d" % number,
                partition=number % PARTITIONS,
                on_delivery=lambda error, got, number=number: self.told(number, error, got),
            )
            producer.poll(0)
            number += 1
            time.sleep(0.001)
        producer.flush(PATIENCE)

    def told(self, number, error, got):
        if error is not None:
            self.failed.append(str(error))
            return
        now, partition = time.monotonic(), got.partition()
        self.acknowledged[number] = (partition, got.offset())
        self.gaps[partition] = max(self.gaps[partition], now - self.last.get(partition, now))
        self.last[partition] = now
        self.times.append(now)

    def trace(self, zero):
        """Seconds before or after `zero` at which a bucket begins, and how many were acknowledged in it."""
        counted = collections.Counter(int((one - zero) * 1000 // BUCKET_MS) for one in self.times)
        buckets = range(-BEFORE * 1000 // BUCKET_MS, AFTER * 1000 // BUCKET_MS)
        return [(bucket * BUCKET_MS / 1000, counted[bucket]) for bucket in buckets]

    def gap(self, partitions):
        return round(1000 * max((self.gaps[partition] for partition in partitions), default=0))


def killed(cluster, node):
    cluster.end(node, signal.SIGKILL)
    time.sleep(STAYS_AWAY)
    cluster.start(node)


def stood_still(cluster, node):
    cluster.signal(node, signal.SIGSTOP)
    time.sleep(STANDS_STILL)
    cluster.signal(node, signal.SIGCONT)


def restarted(cluster, node):
    cluster.end(node, signal.SIGTERM)
    cluster.start(node)


MISHAPS = [
    ("nothing", lambda cluster, node: time.sleep(5), False),
    ("a leader killed", killed, False),
    ("the controller killed", killed, True),
    ("a leader stands still", stood_still, False),
    ("the controller stands still", stood_still, True),
    ("a leader restarted", restarted, False),
]


def choose(wants_controller):
    """A node that leads something, and what."""
    seen = metadata()
    leads = collections.defaultdict(list)
    for partition in seen.topics[TOPIC].partitions.values():
        leads[partition.leader].append(partition.id)
    others = [node for node in leads if node != seen.controller_id]
    node = seen.controller_id if wants_controller or not others else others[0]
    return node, leads[node]


def lost_and_found(producer):
    """Reads everything; how many acknowledged records are not where they were said to be, and how many are there twice."""
    consumer = confluent_kafka.Consumer({**CLIENT, "group.id": "failover", "enable.auto.commit": False}, logger=QUIET)
    ends = {one: consumer.get_watermark_offsets(confluent_kafka.TopicPartition(TOPIC, one), PATIENCE)[1] for one in range(PARTITIONS)}
    consumer.assign([confluent_kafka.TopicPartition(TOPIC, one, 0) for one in range(PARTITIONS)])
    found, numbers, end = {}, collections.Counter(), time.monotonic() + PATIENCE
    while sum(numbers.values()) < sum(ends.values()) and time.monotonic() < end:
        for got in consumer.consume(10_000, 0.5):
            if got.error() is None:
                numbers[int(got.value())] += 1
                found[int(got.value())] = (got.partition(), got.offset())
    consumer.close()
    lost = sum(found.get(number) != place for number, place in producer.acknowledged.items())
    return lost, sum(count > 1 for count in numbers.values())


def measure(name, program, folder):
    print(f"{name}: starting three nodes", file=sys.stderr)
    cluster = Cluster(folder, program)
    try:
        for node in NODES:
            cluster.start(node)
        admin = AdminClient(CLIENT, logger=QUIET)
        until("three nodes", lambda: len(admin.list_topics(timeout=2).brokers) == len(NODES))
        admin.create_topics([NewTopic(TOPIC, PARTITIONS, len(NODES))])[TOPIC].result(PATIENCE)
        until("all in sync", in_sync)
        producer, rows, begun = Producer(), {}, {}
        producer.start()
        for what, mishap, wants_controller in MISHAPS:
            until("an acknowledgement of each partition", lambda: len(producer.last) == PARTITIONS)
            time.sleep(2)
            print(f"{name}: {what}", file=sys.stderr)
            node, led = choose(wants_controller)
            producer.gaps.clear()
            begun[what] = time.monotonic()
            mishap(cluster, node)
            back = time.monotonic()
            until("all in sync", in_sync)
            back = time.monotonic() - back
            time.sleep(2)
            others = [one for one in range(PARTITIONS) if one not in led]
            rows[what] = {"led": producer.gap(led), "others": producer.gap(others), "in sync": round(back, 1)}
        producer.ended.set()
        producer.join(PATIENCE)
        lost, doubled = lost_and_found(producer)
        total = {"acknowledged": len(producer.acknowledged), "failed": len(producer.failed), "lost": lost, "doubled": doubled}
        return {"gaps, ms": rows, "records": total, "trace": producer.trace(begun[TRACED])}
    finally:
        cluster.stop()


def kafka_program(home, folder):
    """Formats the directories; returns how to start a node."""
    tool = home / "bin" / "kafka-storage.sh"
    cluster_id = subprocess.run([tool, "random-uuid"], check=True, capture_output=True, text=True).stdout.split()[-1]
    for node in NODES:
        path = Cluster(folder, []).properties(node)
        subprocess.run([tool, "format", "-t", cluster_id, "-c", path], check=True, capture_output=True)
    return [str(home / "bin" / "kafka-server-start.sh")]


def table(results):
    print("| longest gap, ms: on what the node led / elsewhere; all in sync after, s | " + " | ".join(results) + " |")
    print("|---|" + "---|" * len(results))
    for what, _, _ in MISHAPS:
        cells = (result["gaps, ms"][what] for result in results.values())
        print(f"| {what} | " + " | ".join(f"{one['led']} / {one['others']}; {one['in sync']}" for one in cells) + " |")
    for name, result in results.items():
        print(f"{name}: {json.dumps(result['records'])}")


def write_trace(results, file):
    systems = {name: result["trace"] for name, result in results.items()}
    file.write_text(json.dumps({"mishap": TRACED, "bucket_ms": BUCKET_MS, "systems": systems}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("drave", metavar="DRAVE")
    parser.add_argument("kafka", metavar="KAFKA_HOME", nargs="?", type=pathlib.Path)
    parser.add_argument("--trace", metavar="FILE", type=pathlib.Path)
    given = parser.parse_args()
    results = {}
    programs = {"Drave": lambda folder: [given.drave]}
    if given.kafka:
        programs["Apache Kafka"] = lambda folder: kafka_program(given.kafka, folder)
    for name, program in programs.items():
        folder = pathlib.Path(tempfile.mkdtemp(prefix="failover-"))
        results[name] = measure(name, program(folder), folder)
        shutil.rmtree(folder)
    if given.trace:
        write_trace(results, given.trace)
    table(results)


main()
