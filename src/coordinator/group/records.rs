//! What `__consumer_offsets` holds, byte for byte as Kafka writes it.
//!
//! A key and a value each begin with a version (i16); the key's version is also the record's type:
//!
//! | key | record | value versions read | written |
//! |---|---|---|---|
//! | 0, 1 | an offset of (group, topic, partition) | 0-4 | 4, or 1 if it carries its own expiry |
//! | 2 | a classic group's members and generation | 0-4 | 3 |
//! | 3 … | consumer, share and streams groups | - | - |

use crate::coordinator::codec::{self, Reader, Write};
use crate::coordinator::machine::{Record, Replayed};
use crate::types::{Uuid, Wall};
use bytes::{BufMut, Bytes, BytesMut};

const OFFSET_KEY: i16 = 1;
const GROUP_KEY: i16 = 2;
const NO_PRODUCER: i64 = -1;
/// Lengths of texts are an i16 in the forms that are written.
pub const TEXT_MAX_BYTES: usize = i16::MAX as usize;

/// A change of a shard's durable state; a missing value removes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Group {
        group: String,
        value: Option<GroupMetadata>,
    },
    Offset {
        key: OffsetKey,
        value: Option<OffsetCommit>,
    },
    /// An offset that counts only if its producer's transaction commits.
    PendingOffset {
        producer_id: i64,
        key: OffsetKey,
        value: OffsetCommit,
    },
    TransactionEnded {
        producer_id: i64,
        committed: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OffsetKey {
    pub group: String,
    pub topic: String,
    pub partition: i32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetCommit {
    pub offset: i64,
    /// -1 if the client did not say.
    pub leader_epoch: i32,
    pub metadata: String,
    pub committed_at: Wall,
    /// Set by clients of old that chose a retention themselves.
    pub expires_at: Option<Wall>,
    /// Zero if unknown.
    pub topic_id: Uuid,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupMetadata {
    /// Empty if none.
    pub protocol_type: String,
    pub generation: i32,
    pub protocol: Option<String>,
    pub leader: Option<String>,
    /// When the group entered its state.
    pub since: Option<Wall>,
    pub members: Vec<MemberMetadata>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberMetadata {
    pub member: String,
    pub instance: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    /// The metadata under the group's protocol.
    pub subscription: Bytes,
    pub assignment: Bytes,
}

impl Event {
    /// A record as the log keeps it; the end of a transaction is a marker, which is not written from here.
    pub fn encode(&self) -> Record {
        match self {
            Event::Group { group, value } => {
                Record { key: group_key(group), value: value.as_ref().map(GroupMetadata::encode) }
            }
            Event::Offset { key, value } => {
                Record { key: key.encode(), value: value.as_ref().map(OffsetCommit::encode) }
            }
            Event::PendingOffset { key, value, .. } => {
                Record { key: key.encode(), value: Some(value.encode()) }
            }
            Event::TransactionEnded { .. } => Record { key: Bytes::new(), value: None },
        }
    }

    /// `None` if this release does not know the record's type, or its bytes are not what the type says.
    pub fn decode(replayed: Replayed) -> Option<Event> {
        let (producer_id, record) = match replayed {
            Replayed::Record { producer_id, record } => (producer_id, record),
            Replayed::Marker { producer_id, committed } => {
                return Some(Event::TransactionEnded { producer_id, committed });
            }
        };
        let mut key = Reader::new(record.key);
        match key.i16()? {
            0 | OFFSET_KEY => Event::offset(OffsetKey::decode(&mut key)?, record.value, producer_id),
            GROUP_KEY => {
                let group = key.string()?;
                let value =
                    record.value.map(|value| GroupMetadata::decode(value).ok_or(())).transpose().ok()?;
                Some(Event::Group { group, value })
            }
            _ => None,
        }
    }

    fn offset(key: OffsetKey, value: Option<Bytes>, producer_id: i64) -> Option<Event> {
        let Some(value) = value else { return Some(Event::Offset { key, value: None }) };
        let value = OffsetCommit::decode(value)?;
        Some(match producer_id {
            NO_PRODUCER => Event::Offset { key, value: Some(value) },
            producer_id => Event::PendingOffset { producer_id, key, value },
        })
    }
}

fn group_key(group: &str) -> Bytes {
    let mut out = BytesMut::with_capacity(4 + group.len());
    out.put_i16(GROUP_KEY);
    out.string(group);
    out.freeze()
}

impl OffsetKey {
    fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(10 + self.group.len() + self.topic.len());
        out.put_i16(OFFSET_KEY);
        out.string(&self.group);
        out.string(&self.topic);
        out.put_i32(self.partition);
        out.freeze()
    }

    fn decode(key: &mut Reader) -> Option<Self> {
        Some(OffsetKey { group: key.string()?, topic: key.string()?, partition: key.i32()? })
    }
}

impl OffsetCommit {
    fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(48 + self.metadata.len());
        match self.expires_at {
            Some(at) => self.encode_with_expiry(at, &mut out),
            None => self.encode_flexible(&mut out),
        }
        out.freeze()
    }

    /// Version 1, the only one with an expiry; it has no leader epoch.
    fn encode_with_expiry(&self, expires_at: Wall, out: &mut BytesMut) {
        out.put_i16(1);
        out.put_i64(self.offset);
        out.string(&self.metadata);
        out.put_i64(self.committed_at.0);
        out.put_i64(expires_at.0);
    }

    fn encode_flexible(&self, out: &mut BytesMut) {
        out.put_i16(4);
        out.put_i64(self.offset);
        out.put_i32(self.leader_epoch);
        out.varint(self.metadata.len() as u32 + 1);
        out.put_slice(self.metadata.as_bytes());
        out.put_i64(self.committed_at.0);
        if self.topic_id.is_nil() {
            return out.varint(0);
        }
        out.varint(1);
        out.varint(0);
        out.varint(16);
        out.put_slice(self.topic_id.as_bytes());
    }

    fn decode(value: Bytes) -> Option<Self> {
        let mut value = Reader::new(value);
        let version = value.i16().filter(|version| (0..=4).contains(version))?;
        value.flexible = version >= 4;
        let offset = value.i64()?;
        let leader_epoch = if version >= 3 { value.i32()? } else { -1 };
        let metadata = value.string()?;
        let committed_at = Wall(value.i64()?);
        let expires_at =
            if version == 1 { Some(value.i64()?).filter(|&at| at != -1).map(Wall) } else { None };
        let mut topic_id = Uuid::nil();
        value.tags(|tag, bytes| {
            if tag == 0 {
                topic_id = codec::uuid(bytes).unwrap_or_default();
            }
        })?;
        Some(OffsetCommit { offset, leader_epoch, metadata, committed_at, expires_at, topic_id })
    }
}

impl GroupMetadata {
    fn encode(&self) -> Bytes {
        let mut out =
            BytesMut::with_capacity(64 + self.members.iter().map(MemberMetadata::size).sum::<usize>());
        out.put_i16(3);
        out.string(&self.protocol_type);
        out.put_i32(self.generation);
        out.nullable_string(self.protocol.as_deref());
        out.nullable_string(self.leader.as_deref());
        out.put_i64(self.since.map_or(-1, |since| since.0));
        out.put_i32(self.members.len() as i32);
        self.members.iter().for_each(|member| member.encode(&mut out));
        out.freeze()
    }

    fn decode(value: Bytes) -> Option<Self> {
        let mut value = Reader::new(value);
        let version = value.i16().filter(|version| (0..=4).contains(version))?;
        value.flexible = version >= 4;
        let mut group = GroupMetadata {
            protocol_type: value.string()?,
            generation: value.i32()?,
            protocol: value.nullable_string()?,
            leader: value.nullable_string()?,
            since: if version >= 2 {
                Some(value.i64()?).filter(|&since| since != -1).map(Wall)
            } else {
                None
            },
            members: Vec::new(),
        };
        for _ in 0..value.array()? {
            group.members.push(MemberMetadata::decode(&mut value, version)?);
        }
        value.tags(|_, _| {})?;
        Some(group)
    }
}

impl MemberMetadata {
    fn size(&self) -> usize {
        let texts = self.member.len() + self.client_id.len() + self.client_host.len();
        64 + texts + self.subscription.len() + self.assignment.len()
    }

    fn encode(&self, out: &mut BytesMut) {
        out.string(&self.member);
        out.nullable_string(self.instance.as_deref());
        out.string(&self.client_id);
        out.string(&self.client_host);
        out.put_i32(self.rebalance_timeout_ms);
        out.put_i32(self.session_timeout_ms);
        out.byte_array(&self.subscription);
        out.byte_array(&self.assignment);
    }

    /// Members of old have no rebalance time-out of their own: it is their session's.
    fn decode(value: &mut Reader, version: i16) -> Option<Self> {
        let member = value.string()?;
        let instance = if version >= 3 { value.nullable_string()? } else { None };
        let client_id = value.string()?;
        let client_host = value.string()?;
        let rebalance_timeout_ms = if version >= 1 { value.i32()? } else { -1 };
        let session_timeout_ms = value.i32()?;
        let member = MemberMetadata {
            member,
            instance,
            client_id,
            client_host,
            rebalance_timeout_ms: if rebalance_timeout_ms == -1 {
                session_timeout_ms
            } else {
                rebalance_timeout_ms
            },
            session_timeout_ms,
            subscription: value.bytes()?,
            assignment: value.bytes()?,
        };
        value.tags(|_, _| {})?;
        Some(member)
    }
}
