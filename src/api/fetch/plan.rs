//! What a fetch reads: partition after partition, until its bytes are used up.

use super::session::{self, PartitionKey, TopicKey, Wanted};
use crate::api::context::Context;
use crate::api::leaders::Leaders;
use crate::cluster::Image;
use crate::partition::replica::{Fetched, FollowerRead, Found, Isolation, Read, Replica};
use crate::types::{BrokerId, ErrorCode};
use crate::wire::fetch_response::{Endpoint, PartitionReply, TopicReply};
use crate::wire::outgoing::Chunk;
use std::sync::Arc;
use storage::log::Stop;

/// From here on a client that came to the wrong broker, or with an old epoch, is told who leads (KIP-951).
const TELLS_LEADER: i16 = 16;

/// Bytes of records that a reply may still hold. The first batch is returned whatever its size (KIP-74).
pub(super) struct Budget {
    pub bytes: usize,
}

/// Who fetches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    Consumer(Isolation),
    Follower { id: BrokerId, broker_epoch: i64 },
}

impl Reader {
    pub fn is_consumer(&self) -> bool {
        matches!(self, Reader::Consumer(_))
    }
}

/// What an answer tells of a partition, for its session.
pub(super) struct Told {
    /// `None` with an error.
    pub marks: Option<session::Told>,
    pub has_records: bool,
}

pub(super) struct Plan {
    budget: Budget,
    /// Bytes of records so far.
    bytes: usize,
    /// Bytes that are there for the reader as far as it wants them, whether or not they make whole batches.
    readable: usize,
    /// Somewhere the next segment holds more: waiting would not put it into this answer.
    goes_on: bool,
    failed: bool,
    leaders: Leaders,
    partitions: Vec<(PartitionKey, PartitionReply)>,
}

impl Plan {
    pub fn new(budget: Budget) -> Plan {
        let leaders = Leaders::default();
        Plan { budget, bytes: 0, readable: 0, goes_on: false, failed: false, leaders, partitions: vec![] }
    }

    /// Whether to answer at once: enough records, or something that the client must hear of.
    pub fn is_enough(&self, min_bytes: usize) -> bool {
        self.readable >= min_bytes || self.failed || self.goes_on || self.partitions.is_empty()
    }

    /// Reads one partition into the plan.
    pub fn read(&mut self, cx: &Context, image: &Image, key: &PartitionKey, wanted: Wanted, reader: Reader) {
        let max_bytes =
            (wanted.max_bytes.max(0) as usize).min(self.budget.bytes - self.bytes.min(self.budget.bytes));
        let mut cut_at = 0;
        let replica = cx.topic(image, &key.0).and_then(|topic| cx.replica(topic, key.1));
        let at_least_one = self.bytes == 0;
        let found = replica.clone().and_then(|replica| match reader {
            Reader::Consumer(isolation) => {
                replica.read(Read { wanted: wanted.into(), max_bytes, at_least_one, isolation })
            }
            Reader::Follower { id: from, broker_epoch } => {
                let (wanted, log_start) = (wanted.into(), wanted.log_start);
                let read = FollowerRead { from, broker_epoch, wanted, log_start, max_bytes, at_least_one };
                read_as_follower(cx, replica, read)
            }
        });
        let reply = match found {
            Ok(found) => {
                self.failed |= found.diverging_epoch.is_some();
                self.goes_on |= found.stop == Stop::Segment;
                if found.stop == Stop::Bytes {
                    cut_at = max_bytes;
                }
                PartitionReply {
                    index: key.1,
                    high_watermark: found.high_watermark,
                    last_stable_offset: found.last_stable,
                    log_start_offset: found.log_start,
                    diverging_epoch: found.diverging_epoch,
                    aborted: found.aborted,
                    records: found.slices.into_iter().map(Chunk::File).collect(),
                    ..PartitionReply::default()
                }
            }
            Err(code) => {
                self.failed = true;
                let log_start_offset = replica.ok().filter(|_| tells_start(reader, code));
                let log_start_offset = log_start_offset.map_or(-1, |replica| replica.marks().log_start);
                let current_leader = match tells_leader(cx.version(), code) {
                    true => self.leaders.hint(cx, image, &key.0, key.1),
                    false => None,
                };
                PartitionReply {
                    index: key.1,
                    error: code.code(),
                    log_start_offset,
                    current_leader,
                    ..PartitionReply::default()
                }
            }
        };
        let bytes = reply.records.iter().map(Chunk::len).sum::<usize>();
        self.bytes += bytes;
        self.readable += bytes.max(cut_at);
        self.partitions.push((key.clone(), reply));
    }

    /// Where the leaders that the reply names are reached.
    pub fn endpoints(&mut self) -> Vec<Endpoint> {
        std::mem::take(&mut self.leaders.endpoints)
    }

    /// The reply's topics, of those partitions that `is_told` lets through.
    pub fn topics(self, is_told: impl Fn(&PartitionKey, Told) -> bool) -> Vec<TopicReply> {
        let mut topics: Vec<TopicReply> = vec![];
        let mut last: Option<TopicKey> = None;
        for (key, reply) in self.partitions {
            if !is_told(&key, told(&reply)) {
                continue;
            }
            if last.as_ref() != Some(&key.0) {
                topics.push(topic(&key.0));
                last = Some(key.0);
            }
            if let Some(topic) = topics.last_mut() {
                topic.partitions.push(reply);
            }
        }
        topics
    }
}

/// What a follower's position leads to goes to the controller. A position is a promise: nobody makes one for a broker on a
/// listener that brokers do not use.
fn read_as_follower(cx: &Context, replica: Arc<Replica>, read: FollowerRead) -> Result<Found, ErrorCode> {
    if !cx.is_among_brokers() {
        return Err(ErrorCode::TopicAuthorizationFailed);
    }
    let Fetched { found, wants } = replica.read_as_follower(read, cx.now().mono);
    if let Some(change) = wants {
        cx.node.isr.propose(replica, change);
    }
    found
}

/// A follower that is behind the log start goes on from there.
fn tells_start(reader: Reader, code: ErrorCode) -> bool {
    !reader.is_consumer() && code == ErrorCode::OffsetOutOfRange
}

fn tells_leader(version: i16, code: ErrorCode) -> bool {
    version >= TELLS_LEADER && matches!(code, ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch)
}

fn topic(key: &TopicKey) -> TopicReply {
    match key {
        TopicKey::Name(name) => TopicReply { name: name.0.clone(), ..TopicReply::default() },
        TopicKey::Id(id) => TopicReply { id: *id, ..TopicReply::default() },
    }
}

fn told(reply: &PartitionReply) -> Told {
    let marks = session::Told { high_watermark: reply.high_watermark, log_start: reply.log_start_offset };
    let sound = reply.error == 0 && reply.diverging_epoch.is_none();
    Told { marks: sound.then_some(marks), has_records: !reply.records.is_empty() }
}
