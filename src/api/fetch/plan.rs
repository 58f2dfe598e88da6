//! What a fetch reads: partition after partition, until its bytes are used up.

use super::session::{self, PartitionKey, TopicKey, Wanted};
use super::watch::Watch;
use crate::api::context::Context;
use crate::api::leaders::Leaders;
use crate::cluster::Image;
use crate::partition::bell::Bell;
use crate::partition::progress::{Interest, Listening, Marks};
use crate::partition::replica::{Fetched, FollowerRead, Found, Isolation, Read, Replica};
use crate::types::{BrokerId, ErrorCode, Offset};
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
    Consumer {
        isolation: Isolation,
        /// It knows that it may have come to a follower (KIP-392).
        may_follow: bool,
    },
    Follower {
        id: BrokerId,
        broker_epoch: i64,
    },
}

impl Reader {
    pub fn is_consumer(&self) -> bool {
        matches!(self, Reader::Consumer { .. })
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
    /// The rack to read in, where consumers are sent to replicas that are near them.
    rack: Option<Arc<str>>,
    /// Bytes of records so far.
    bytes: usize,
    /// Bytes that are there for the reader as far as it wants them, whether or not they make whole batches.
    readable: usize,
    /// Parts that are urgent.
    urgent: usize,
    leaders: Leaders,
    parts: Vec<Part>,
}

/// What there is of one partition.
struct Part {
    key: PartitionKey,
    reply: PartitionReply,
    bytes: usize,
    readable: usize,
    /// The reader must hear of it; or the next segment holds more, which waiting would not put into this answer.
    urgent: bool,
    /// Where it was read, and under which marks; `None` with an error.
    seen: Option<(Arc<Replica>, Marks)>,
}

impl Plan {
    pub fn new(budget: Budget, rack: Option<Arc<str>>) -> Plan {
        let leaders = Leaders::default();
        Plan { budget, rack, bytes: 0, readable: 0, urgent: 0, leaders, parts: vec![] }
    }

    /// Whether to answer at once: enough records, or something that the client must hear of.
    pub fn is_enough(&self, min_bytes: usize) -> bool {
        self.readable >= min_bytes || self.urgent > 0
    }

    /// Reads one more partition.
    pub fn read(&mut self, cx: &Context, image: &Image, key: &PartitionKey, wanted: Wanted, reader: Reader) {
        let part = self.look(cx, image, key, wanted, reader);
        self.count(&part);
        self.parts.push(part);
    }

    /// Reads the nth partition anew.
    pub fn read_again(&mut self, cx: &Context, image: &Image, nth: usize, wanted: Wanted, reader: Reader) {
        let Part { key, bytes, readable, urgent, .. } = &self.parts[nth];
        let key = key.clone();
        self.bytes -= bytes;
        self.readable -= readable;
        self.urgent -= usize::from(*urgent);
        let part = self.look(cx, image, &key, wanted, reader);
        self.count(&part);
        self.parts[nth] = part;
    }

    /// Has the nth partition answered at once if that is to be heard of its watermark.
    pub fn hasten(&mut self, nth: usize, is_news: impl Fn(Offset) -> bool) {
        let part = &mut self.parts[nth];
        if !part.urgent && is_news(part.reply.high_watermark) {
            part.urgent = true;
            self.urgent += 1;
        }
    }

    /// Has `bell` rung when there is something new of the nth partition.
    pub fn listen(&self, nth: usize, interest: Interest, bell: &Arc<Bell>) -> Option<Listening> {
        let (replica, seen) = self.parts[nth].seen.as_ref()?;
        Some(replica.progress().listen(seen, interest, bell, nth))
    }

    /// Has `watch` know what was found of the nth partition, which is its `number`.
    pub fn attend(&self, nth: usize, watch: &mut Watch, number: usize, interest: Interest) {
        let Part { seen, bytes, urgent, .. } = &self.parts[nth];
        if let Some((replica, marks)) = seen {
            watch.attend(number, replica, marks, interest, *bytes == 0 && !urgent);
        }
    }

    /// The nth partition was read for a follower whose sessions, if it has any, do not know of it. This may be a request that it
    /// has given up, from a position of long ago: whoever watches is to look again.
    pub fn disturb(&self, nth: usize) {
        if let Some((replica, _)) = &self.parts[nth].seen {
            replica.progress().note();
        }
    }

    fn count(&mut self, part: &Part) {
        self.bytes += part.bytes;
        self.readable += part.readable;
        self.urgent += usize::from(part.urgent);
    }

    fn look(
        &mut self,
        cx: &Context,
        image: &Image,
        key: &PartitionKey,
        wanted: Wanted,
        reader: Reader,
    ) -> Part {
        let max_bytes = (wanted.max_bytes.max(0) as usize).min(self.budget.bytes.saturating_sub(self.bytes));
        let replica = match cx.topic(image, &key.0).and_then(|topic| cx.replica(topic, key.1)) {
            Ok(replica) => replica,
            Err(code) => return self.failed(cx, image, key, code, None),
        };
        let nearer = self.rack.as_ref().and_then(|rack| nearer(cx, image, &replica, wanted, rack));
        let at_least_one = self.bytes == 0;
        let found = match reader {
            _ if nearer.is_some() => replica.read_elsewhere(wanted.into()),
            Reader::Consumer { isolation, may_follow } => {
                let wanted = wanted.into();
                replica.read(Read { wanted, max_bytes, at_least_one, isolation, may_follow })
            }
            Reader::Follower { id: from, broker_epoch } => {
                let (wanted, log_start) = (wanted.into(), wanted.log_start);
                let is_held_back = replica.is_throttled_leader()
                    && cx.node.replicas.throttles().leader.is_exhausted(cx.now().mono);
                let read = FollowerRead {
                    from,
                    broker_epoch,
                    wanted,
                    log_start,
                    max_bytes,
                    at_least_one,
                    is_held_back,
                };
                read_as_follower(cx, &replica, read)
            }
        };
        match found {
            Ok(found) => {
                let mut part = part_of(key, replica, found, max_bytes);
                part.urgent |= nearer.is_some();
                part.reply.preferred_read_replica = nearer.unwrap_or(-1);
                part
            }
            Err(code) => {
                let log_start = tells_start(reader, code).then(|| replica.marks().log_start);
                self.failed(cx, image, key, code, log_start)
            }
        }
    }

    fn failed(
        &mut self,
        cx: &Context,
        image: &Image,
        key: &PartitionKey,
        code: ErrorCode,
        log_start: Option<Offset>,
    ) -> Part {
        let current_leader = match tells_leader(cx.version(), code) {
            true => self.leaders.hint(cx, image, &key.0, key.1),
            false => None,
        };
        let reply = PartitionReply {
            index: key.1,
            error: code.code(),
            log_start_offset: log_start.unwrap_or(-1),
            current_leader,
            ..PartitionReply::default()
        };
        Part { key: key.clone(), reply, bytes: 0, readable: 0, urgent: true, seen: None }
    }

    /// Bytes of records of replicas that are throttled.
    pub fn throttled_bytes(&self) -> usize {
        let is_throttled = |part: &&Part| {
            part.bytes > 0 && part.seen.as_ref().is_some_and(|(replica, _)| replica.is_throttled_leader())
        };
        self.parts.iter().filter(is_throttled).map(|part| part.bytes).sum()
    }

    /// Where the leaders that the reply names are reached.
    pub fn endpoints(&mut self) -> Vec<Endpoint> {
        std::mem::take(&mut self.leaders.endpoints)
    }

    /// The reply's topics, of those partitions that `is_told` lets through.
    pub fn topics(self, is_told: impl Fn(&PartitionKey, Told) -> bool) -> Vec<TopicReply> {
        let mut topics: Vec<TopicReply> = vec![];
        let mut last: Option<TopicKey> = None;
        for Part { key, reply, .. } in self.parts {
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

fn part_of(key: &PartitionKey, replica: Arc<Replica>, found: Found, max_bytes: usize) -> Part {
    let urgent = found.diverging_epoch.is_some() || found.stop == Stop::Segment;
    let cut_at = if found.stop == Stop::Bytes { max_bytes } else { 0 };
    let reply = PartitionReply {
        index: key.1,
        high_watermark: found.high_watermark,
        last_stable_offset: found.last_stable,
        log_start_offset: found.log_start,
        diverging_epoch: found.diverging_epoch,
        aborted: found.aborted,
        records: found.slices.into_iter().map(Chunk::File).collect(),
        ..PartitionReply::default()
    };
    let bytes = reply.records.iter().map(Chunk::len).sum::<usize>();
    let seen = Some((replica, found.seen));
    Part { key: key.clone(), reply, bytes, readable: bytes.max(cut_at), urgent, seen }
}

/// What a follower's position leads to goes to the controller. A position is a promise: nobody makes one for a broker on a
/// listener that brokers do not use.
fn read_as_follower(cx: &Context, replica: &Arc<Replica>, read: FollowerRead) -> Result<Found, ErrorCode> {
    if !cx.is_among_brokers() {
        return Err(ErrorCode::TopicAuthorizationFailed);
    }
    let Fetched { found, wants } = replica.read_as_follower(read, cx.now().mono);
    if let Some(change) = wants {
        cx.node.isr.propose(replica.clone(), change);
    }
    found
}

/// The follower that a consumer in `rack` is to read from, if that is better than here.
fn nearer(cx: &Context, image: &Image, replica: &Replica, wanted: Wanted, rack: &str) -> Option<BrokerId> {
    let stands_near = |id| {
        let broker = image.brokers.get(id).filter(|broker| broker.is_active());
        broker.filter(|broker| broker.rack.as_deref() == Some(rack))
    };
    if stands_near(cx.node.id).is_some() {
        return None;
    }
    let is_reached = |id| stands_near(id).is_some_and(|broker| broker.listener(&cx.peer.listener).is_some());
    replica.nearer(wanted.fetch_offset, is_reached)
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
    let has_news = !reply.records.is_empty() || reply.preferred_read_replica >= 0;
    Told { marks: sound.then_some(marks), has_records: has_news }
}
