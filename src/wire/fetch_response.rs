//! Fetch responses, versions 4 to 18, written by hand so that records stay where they are.

use bytes::{BufMut, BytesMut};
use kafka_protocol::protocol::StrBytes;

use super::codec::put_response_header;
use super::outgoing::{Chunk, Chunks};
use crate::types::{BrokerId, LeaderEpoch, Offset, Uuid};

/// One Fetch response.
#[derive(Debug, Default)]
pub struct FetchReply {
    pub throttle_time_ms: i32,
    /// Kafka's code; not sent before version 7.
    pub error: i16,
    pub session_id: i32,
    pub topics: Vec<TopicReply>,
    /// Where the leaders named in `current_leader` are reached (KIP-951, version 16).
    pub endpoints: Vec<Endpoint>,
}

/// The partitions of one topic.
#[derive(Debug, Default)]
pub struct TopicReply {
    /// Sent up to version 12.
    pub name: StrBytes,
    /// Sent from version 13.
    pub id: Uuid,
    pub partitions: Vec<PartitionReply>,
}

/// One partition's part: [`PartitionReply::default`] is the empty answer of an unknown partition.
#[derive(Debug)]
pub struct PartitionReply {
    pub index: i32,
    /// Kafka's code.
    pub error: i16,
    pub high_watermark: Offset,
    pub last_stable_offset: Offset,
    pub log_start_offset: Offset,
    /// Where the follower's log leaves the leader's (KIP-595, version 12): epoch and its end offset.
    pub diverging_epoch: Option<(LeaderEpoch, Offset)>,
    /// Version 12.
    pub current_leader: Option<(BrokerId, LeaderEpoch)>,
    /// Version 12: end offset and epoch.
    pub snapshot_id: Option<(Offset, LeaderEpoch)>,
    /// Producer id and first offset of each aborted transaction; null unless read_committed.
    pub aborted: Option<Vec<(i64, Offset)>>,
    /// -1 for the leader.
    pub preferred_read_replica: BrokerId,
    pub records: Vec<Chunk>,
}

/// A broker's address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    pub node: BrokerId,
    pub host: StrBytes,
    pub port: i32,
    pub rack: Option<StrBytes>,
}

impl Default for PartitionReply {
    fn default() -> PartitionReply {
        PartitionReply {
            index: 0,
            error: 0,
            high_watermark: -1,
            last_stable_offset: -1,
            log_start_offset: -1,
            diverging_epoch: None,
            current_leader: None,
            snapshot_id: None,
            aborted: None,
            preferred_read_replica: -1,
            records: Vec::new(),
        }
    }
}

impl FetchReply {
    /// Encodes the whole response frame, for `version` 4 to 18. What a version cannot say is left out.
    pub fn encode(self, correlation_id: i32, version: i16) -> Chunks {
        let partitions: usize = self.topics.iter().map(|t| t.partitions.len()).sum();
        let mut out = Writer::new(version, 64 + 64 * self.topics.len() + 80 * partitions);
        let flexible = out.flexible();
        put_response_header(&mut out.buf, 0, correlation_id, flexible);
        out.buf.put_i32(self.throttle_time_ms);
        if version >= 7 {
            out.buf.put_i16(self.error);
            out.buf.put_i32(self.session_id);
        }
        out.array_len(self.topics.len());
        for topic in self.topics {
            out.topic(topic);
        }
        out.endpoints(&self.endpoints);
        out.finish()
    }
}

/// The bytes between the records, and where the records go.
struct Writer {
    version: i16,
    buf: BytesMut,
    /// Records, each before the byte of `buf` at this position.
    records: Vec<(usize, Vec<Chunk>)>,
}

impl Writer {
    fn new(version: i16, capacity: usize) -> Writer {
        Writer { version, buf: BytesMut::with_capacity(capacity), records: Vec::new() }
    }

    fn flexible(&self) -> bool {
        self.version >= 12
    }

    fn topic(&mut self, topic: TopicReply) {
        if self.version >= 13 {
            self.buf.put_slice(topic.id.as_bytes());
        } else {
            self.string(&topic.name);
        }
        self.array_len(topic.partitions.len());
        for partition in topic.partitions {
            self.partition(partition);
        }
        self.no_tags();
    }

    fn partition(&mut self, partition: PartitionReply) {
        self.buf.put_i32(partition.index);
        self.buf.put_i16(partition.error);
        self.buf.put_i64(partition.high_watermark);
        self.buf.put_i64(partition.last_stable_offset);
        if self.version >= 5 {
            self.buf.put_i64(partition.log_start_offset);
        }
        self.aborted(partition.aborted.as_deref());
        if self.version >= 11 {
            self.buf.put_i32(partition.preferred_read_replica);
        }
        self.records(partition.records);
        if self.flexible() {
            self.partition_tags(partition.diverging_epoch, partition.current_leader, partition.snapshot_id);
        }
    }

    fn aborted(&mut self, aborted: Option<&[(i64, Offset)]>) {
        let Some(aborted) = aborted else {
            return self.null_array();
        };
        self.array_len(aborted.len());
        for (producer_id, first_offset) in aborted {
            self.buf.put_i64(*producer_id);
            self.buf.put_i64(*first_offset);
            self.no_tags();
        }
    }

    fn records(&mut self, records: Vec<Chunk>) {
        let len: usize = records.iter().map(Chunk::len).sum();
        if self.flexible() {
            put_varint(&mut self.buf, len as u32 + 1);
        } else {
            self.buf.put_i32(len as i32);
        }
        if len > 0 {
            self.records.push((self.buf.len(), records));
        }
    }

    /// Count of the fields that are set, then tag, size and value of each; a value ends in its own empty tag section.
    fn partition_tags(
        &mut self,
        diverging: Option<(LeaderEpoch, Offset)>,
        leader: Option<(BrokerId, LeaderEpoch)>,
        snapshot: Option<(Offset, LeaderEpoch)>,
    ) {
        let buf = &mut self.buf;
        let set = [diverging.is_some(), leader.is_some(), snapshot.is_some()];
        buf.put_u8(set.into_iter().map(u8::from).sum());
        if let Some((epoch, end)) = diverging {
            buf.put_slice(&[0, 13]);
            buf.put_i32(epoch);
            buf.put_i64(end);
            buf.put_u8(0);
        }
        if let Some((id, epoch)) = leader {
            buf.put_slice(&[1, 9]);
            buf.put_i32(id);
            buf.put_i32(epoch);
            buf.put_u8(0);
        }
        if let Some((end, epoch)) = snapshot {
            buf.put_slice(&[2, 13]);
            buf.put_i64(end);
            buf.put_i32(epoch);
            buf.put_u8(0);
        }
    }

    fn endpoints(&mut self, endpoints: &[Endpoint]) {
        if self.version < 16 || endpoints.is_empty() {
            return self.no_tags();
        }
        let mut field = Writer::new(self.version, 64 * endpoints.len());
        field.array_len(endpoints.len());
        for endpoint in endpoints {
            field.endpoint(endpoint);
        }
        self.buf.put_slice(&[1, 0]);
        put_varint(&mut self.buf, field.buf.len() as u32);
        self.buf.put_slice(&field.buf);
    }

    fn endpoint(&mut self, endpoint: &Endpoint) {
        self.buf.put_i32(endpoint.node);
        self.string(&endpoint.host);
        self.buf.put_i32(endpoint.port);
        match &endpoint.rack {
            Some(rack) => self.string(rack),
            None => self.buf.put_u8(0),
        }
        self.no_tags();
    }

    fn string(&mut self, text: &str) {
        if self.flexible() {
            put_varint(&mut self.buf, text.len() as u32 + 1);
        } else {
            self.buf.put_i16(text.len() as i16);
        }
        self.buf.put_slice(text.as_bytes());
    }

    fn array_len(&mut self, len: usize) {
        if self.flexible() {
            put_varint(&mut self.buf, len as u32 + 1);
        } else {
            self.buf.put_i32(len as i32);
        }
    }

    fn null_array(&mut self) {
        if self.flexible() {
            self.buf.put_u8(0);
        } else {
            self.buf.put_i32(-1);
        }
    }

    fn no_tags(&mut self) {
        if self.flexible() {
            self.buf.put_u8(0);
        }
    }

    /// Puts the length in front and the records in their places.
    fn finish(mut self) -> Chunks {
        let records: usize = self.records.iter().flat_map(|(_, chunks)| chunks).map(Chunk::len).sum();
        let len = (self.buf.len() - 4 + records) as u32;
        self.buf[..4].copy_from_slice(&len.to_be_bytes());
        let mut rest = self.buf.freeze();
        let mut chunks = Vec::with_capacity(2 * self.records.len() + 1);
        let mut done = 0;
        for (position, records) in self.records {
            chunks.push(Chunk::Bytes(rest.split_to(position - done)));
            chunks.extend(records);
            done = position;
        }
        if !rest.is_empty() {
            chunks.push(Chunk::Bytes(rest));
        }
        Chunks(chunks)
    }
}

fn put_varint(buf: &mut BytesMut, mut value: u32) {
    while value >= 0x80 {
        buf.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    buf.put_u8(value as u8);
}
