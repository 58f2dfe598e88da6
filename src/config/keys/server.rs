//! Broker keys that are acted on, those named `log.` aside.

use crate::config::key::{Key, flag, int, list, long, short, text};

pub(super) const KEYS: &[Key] = &[
    int("node.id").default("1").at_least(0).doc("Number of this node in the cluster."),
    int("broker.id").default("-1").doc("Older name of node.id; where both are set they must agree."),
    list("process.roles")
        .default("broker,controller")
        .one_of(&["broker", "controller"])
        .doc("What this node is: a broker, a controller, or both; both if not set."),
    text("broker.rack").doc("Where this broker stands; clients see it in metadata."),
    long("leader.replication.throttled.rate")
        .default("9223372036854775807")
        .at_least(0)
        .per_broker()
        .internal()
        .doc("Bytes a second that this broker sends to followers of throttled replicas; who is in sync does not wait."),
    long("follower.replication.throttled.rate")
        .default("9223372036854775807")
        .at_least(0)
        .per_broker()
        .internal()
        .doc("Bytes a second that this broker fetches of throttled replicas; those in sync do not wait."),
    text("replica.selector.class").doc(
        "Where consumers are sent: LeaderSelector, or RackAwareReplicaSelector for one in sync in their rack.",
    ),
    list("listeners")
        .default("PLAINTEXT://localhost:9092")
        .doc("Addresses to listen on, as NAME://host:port; an empty host means all interfaces."),
    list("advertised.listeners")
        .doc("Addresses that clients are told to use; the listeners themselves if not set."),
    text("listener.security.protocol.map")
        .default("SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT")
        .doc("What each listener name speaks; only PLAINTEXT is served."),
    list("controller.listener.names")
        .default("")
        .doc("Listeners that belong to the controller and are not shown to clients."),
    text("inter.broker.listener.name").doc("Listener by which brokers reach each other."),
    text("security.inter.broker.protocol")
        .default("PLAINTEXT")
        .one_of(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"])
        .doc("What brokers speak among themselves; only PLAINTEXT is served."),
    list("controller.quorum.voters")
        .default("")
        .doc("Controllers that order the metadata, as id@host:port; this node alone if not set."),
    list("controller.quorum.bootstrap.servers")
        .default("")
        .doc("Addresses at which a node without listed voters finds the controllers."),
    int("broker.heartbeat.interval.ms")
        .default("250")
        .doc("How often a broker tells the controller that it lives."),
    int("broker.session.timeout.ms")
        .default("1500")
        .doc("A broker that was silent for so long leads nothing any more; one whose process died is noticed at once."),
    list("log.dir")
        .default("drave-data")
        .doc("Data directory, used if log.dirs is not set; relative paths start at the working directory."),
    list("log.dirs").doc("Data directories; a new partition goes to the one with the fewest."),
    text("metadata.log.dir").doc("Directory of the metadata log; the first data directory if not set."),
    int("num.partitions").default("1").at_least(1).doc("Partitions of a topic made without a count."),
    int("default.replication.factor").default("1").doc("Replicas of a topic made without a factor."),
    int("min.insync.replicas")
        .default("1")
        .at_least(1)
        .cluster_wide()
        .doc("In-sync replicas that a write with acks=all needs; read when the cluster is formed, dynamic from then on."),
    flag("auto.leader.rebalance.enable")
        .default("true")
        .doc("Whether preferred leaders lead again once they are in sync."),
    long("leader.imbalance.check.interval.seconds")
        .default("300")
        .at_least(1)
        .doc("Time between two looks for leaderships to give back."),
    flag("unclean.leader.election.enable")
        .default("false")
        .cluster_wide()
        .doc("Whether a replica that may miss acknowledged records leads where none else can."),
    flag("auto.create.topics.enable").default("true").doc("Whether asking for a missing topic makes it."),
    flag("delete.topic.enable").default("true").doc("Whether topics may be deleted."),
    int("message.max.bytes")
        .default("1048588")
        .at_least(0)
        .cluster_wide()
        .doc("Largest record batch accepted, after compression."),
    int("socket.request.max.bytes")
        .default("104857600")
        .at_least(1)
        .doc("Largest request accepted; a longer one closes its connection."),
    int("socket.send.buffer.bytes")
        .default("-1")
        .doc("Send buffer of a client connection; -1 leaves it to the kernel, which adapts it."),
    int("socket.receive.buffer.bytes")
        .default("-1")
        .doc("Receive buffer of a client connection; -1 leaves it to the kernel, which adapts it."),
    int("socket.listen.backlog.size")
        .default("1024")
        .at_least(1)
        .doc("Connections that may wait to be accepted."),
    long("connections.max.idle.ms")
        .default("600000")
        .doc("A connection without requests for this long is closed."),
    int("max.connections").default("2147483647").at_least(0).doc("Connections open at a time."),
    int("max.connections.per.ip")
        .default("2147483647")
        .at_least(0)
        .doc("Connections open at a time from one address."),
    text("max.connections.per.ip.overrides")
        .default("")
        .doc("Other limits for single addresses or host names, as host:count,…."),
    long("queued.max.request.bytes")
        .default("-1")
        .doc("Bytes of requests held in memory at a time; -1 chooses a bound from the memory at hand."),
    int("num.recovery.threads.per.data.dir")
        .default("2")
        .at_least(1)
        .doc("Threads per data directory that open and recover logs at the start."),
    int("max.incremental.fetch.session.cache.slots")
        .default("1000")
        .at_least(0)
        .doc("Fetch sessions kept at a time."),
    int("fetch.max.bytes")
        .default("57671680")
        .at_least(1_024)
        .doc("Most bytes that one fetch answer carries, one first batch aside."),
    int("max.request.partition.size.limit")
        .default("2000")
        .at_least(1)
        .doc("Most partitions that one DescribeTopicPartitions answer lists."),
    text("compression.type")
        .default("producer")
        .one_of(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"])
        .cluster_wide()
        .doc("Codec in which batches are stored; producer keeps them as they came."),
    int("compression.gzip.level")
        .default("-1")
        .gzip_level()
        .cluster_wide()
        .doc("Level used where the broker compresses with gzip; -1 is its default."),
    int("compression.lz4.level")
        .default("9")
        .between(1, 17)
        .cluster_wide()
        .doc("Level used where the broker compresses with lz4."),
    int("compression.zstd.level")
        .default("3")
        .between(-131_072, 22)
        .cluster_wide()
        .doc("Level used where the broker compresses with zstd."),
    int("producer.id.expiration.ms")
        .default("86400000")
        .at_least(1)
        .cluster_wide()
        .doc("A producer silent for this long is forgotten by its partitions."),
    long("replica.high.watermark.checkpoint.interval.ms")
        .default("5000")
        .doc("How often high watermarks are written to disk."),
    int("num.replica.fetchers")
        .default("1")
        .at_least(1)
        .doc("Connections over which a follower fetches from one leader."),
    long("replica.lag.time.max.ms")
        .default("1500")
        .doc("A follower behind for this long leaves the in-sync replicas; writes with acks=all wait for it no longer."),
    int("replica.fetch.max.bytes")
        .default("1048576")
        .at_least(0)
        .doc("Most bytes that a follower fetches of one partition at a time; a larger first batch is fetched whole."),
    int("replica.fetch.min.bytes").default("1").doc("A follower's fetch waits for so many bytes."),
    int("replica.fetch.wait.max.ms").default("500").doc("A follower's fetch waits for no longer."),
    int("replica.fetch.response.max.bytes")
        .default("10485760")
        .at_least(0)
        .doc("Most bytes that one answer to a follower holds."),
    int("replica.fetch.backoff.ms")
        .default("1000")
        .at_least(0)
        .doc("Longest pause before a partition that could not be fetched is tried again."),
    int("offsets.topic.num.partitions")
        .default("50")
        .at_least(1)
        .doc("Partitions of __consumer_offsets; fixed once it exists."),
    short("offsets.topic.replication.factor")
        .default("3")
        .at_least(1)
        .doc("Replicas of __consumer_offsets; if not set, no more than there are brokers."),
    int("offsets.topic.segment.bytes")
        .default("104857600")
        .at_least(1)
        .doc("Segment size of __consumer_offsets."),
    int("offset.metadata.max.bytes")
        .default("4096")
        .doc("Longest text that a client may store with an offset."),
    int("offsets.commit.timeout.ms")
        .default("5000")
        .at_least(1)
        .doc("Longest wait for a commit to be replicated."),
    int("offsets.retention.minutes")
        .default("10080")
        .at_least(1)
        .doc("How long offsets outlive their group."),
    long("offsets.retention.check.interval.ms")
        .default("600000")
        .at_least(1)
        .doc("How often outdated offsets are looked for."),
    int("group.initial.rebalance.delay.ms")
        .default("3000")
        .doc("How long the first rebalance of an empty group waits for more members."),
    int("group.min.session.timeout.ms")
        .default("6000")
        .doc("Shortest session timeout that a member may ask for."),
    int("group.max.session.timeout.ms")
        .default("1800000")
        .doc("Longest session timeout that a member may ask for."),
    int("group.max.size").default("2147483647").at_least(1).doc("Members that one group may have."),
    list("group.coordinator.rebalance.protocols")
        .default("classic")
        .one_of(&["consumer", "classic", "share", "streams"])
        .doc("Group protocols served; only classic is acted on."),
];
