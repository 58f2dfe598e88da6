//! Changes and entries as bytes.
//!
//! ```text
//!  entry:   version u8 | term u64 | predecessor u64 | count u32 | changes …        numbers are big-endian
//!  change:  kind u16 | version u8 | length u32 | payload (postcard)
//! ```
//!
//! Kind and version are explicit, so that a node which does not know one stops instead of guessing.

use super::*;
use serde::de::DeserializeOwned;

const ENTRY_VERSION: u8 = 1;

/// Bytes that this release cannot read. A node that meets them in its log stops.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("cut short")]
    Truncated,
    #[error("longer than what it holds")]
    Excess,
    #[error("entry version {0} is not known to this release")]
    EntryVersion(u8),
    #[error("change kind {kind} version {version} is not known to this release")]
    UnknownKind { kind: u16, version: u8 },
    #[error("change kind {kind} version {version} does not hold what it must")]
    Payload { kind: u16, version: u8 },
}

/// The table of kinds: number, version, name. A line is never changed, only added.
macro_rules! kinds {
    ($($kind:literal, $version:literal, $name:ident;)*) => {
        impl Change {
            /// The number of each kind, and the newest version of it.
            #[cfg(test)]
            pub const KINDS: &[(u16, u8)] = &[$(($kind, $version)),*];

            /// Number and version of the kind, and the payload.
            fn parts(&self) -> (u16, u8, Vec<u8>) {
                match self {
                    Change::PartitionChanged(payload) if payload.partition.is_at_rest() => {
                        shortened(payload, PARTITION_AT_REST, NO_MOVES.len())
                    }
                    Change::PartitionChanged(payload) if payload.partition.blank.is_empty() => {
                        shortened(payload, PARTITION_MOVING, NO_BLANKS.len())
                    }
                    Change::BrokerRegistered(payload) if payload.failed.is_empty() => {
                        shortened(payload, BROKER_WHOLE, NO_FAILURES.len())
                    }
                    $(Change::$name(payload) => ($kind, $version, to_bytes(payload)),)*
                }
            }

            fn from_parts(kind: u16, version: u8, payload: &[u8]) -> Result<Change, DecodeError> {
                match (kind, version) {
                    PARTITION_AT_REST => {
                        from_bytes(&[payload, &NO_MOVES].concat()).map(Change::PartitionChanged)
                    }
                    PARTITION_MOVING => {
                        from_bytes(&[payload, &NO_BLANKS].concat()).map(Change::PartitionChanged)
                    }
                    BROKER_WHOLE => {
                        from_bytes(&[payload, &NO_FAILURES].concat()).map(Change::BrokerRegistered)
                    }
                    $(($kind, $version) => from_bytes(payload).map(Change::$name),)*
                    _ => return Err(DecodeError::UnknownKind { kind, version }),
                }
                .ok_or(DecodeError::Payload { kind, version })
            }
        }
    };
}

kinds! {
    1,  1, ClusterFormed;
    2,  1, ControllerElected;
    3,  2, BrokerRegistered;
    4,  1, BrokerFencingChanged;
    5,  1, BrokerUnregistered;
    6,  1, TopicCreated;
    7,  3, PartitionChanged;
    8,  1, TopicDeleted;
    9,  1, DeletionConfirmed;
    10, 1, ConfigSet;
    11, 1, ConfigRemoved;
    12, 1, ProducerIdsAllocated;
    13, 1, FeatureLevel;
}

/// Kind and version of a partition of which no replica moves, was moved or is blank: the lists that end version 3 are left off.
const PARTITION_AT_REST: (u16, u8) = (7, 1);
/// Those lists, empty.
const NO_MOVES: [u8; 4] = [0; 4];
/// The same where none is blank: the last list is left off.
const PARTITION_MOVING: (u16, u8) = (7, 2);
const NO_BLANKS: [u8; 1] = [0];
/// Kind and version of a broker of which no directory failed: the list that ends version 2 is left off.
const BROKER_WHOLE: (u16, u8) = (3, 1);
const NO_FAILURES: [u8; 1] = [0];

/// Without the last `empty` lists.
fn shortened<T: Serialize>(payload: &T, (kind, version): (u16, u8), empty: usize) -> (u16, u8, Vec<u8>) {
    let mut payload = to_bytes(payload);
    payload.truncate(payload.len() - empty);
    (kind, version, payload)
}

impl Change {
    /// Adds this change to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let (kind, version, payload) = self.parts();
        out.extend(kind.to_be_bytes());
        out.push(version);
        out.extend((payload.len() as u32).to_be_bytes());
        out.extend(payload);
    }

    /// Bytes that [`Change::encode`] adds.
    pub fn encoded_len(&self) -> usize {
        let mut bytes = Vec::new();
        self.encode(&mut bytes);
        bytes.len()
    }

    /// Takes one change off the front of `bytes`.
    pub fn decode(bytes: &mut &[u8]) -> Result<Change, DecodeError> {
        let kind = u16::from_be_bytes(take(bytes)?);
        let [version] = take(bytes)?;
        let length = u32::from_be_bytes(take(bytes)?);
        let (payload, rest) = bytes.split_at_checked(length as usize).ok_or(DecodeError::Truncated)?;
        *bytes = rest;
        Change::from_parts(kind, version, payload)
    }
}

impl Entry {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![ENTRY_VERSION];
        out.extend(self.term.to_be_bytes());
        out.extend(self.predecessor.to_be_bytes());
        out.extend((self.changes.len() as u32).to_be_bytes());
        self.changes.iter().for_each(|change| change.encode(&mut out));
        out
    }

    pub fn decode(mut bytes: &[u8]) -> Result<Entry, DecodeError> {
        let [version] = take(&mut bytes)?;
        if version != ENTRY_VERSION {
            return Err(DecodeError::EntryVersion(version));
        }
        let term = u64::from_be_bytes(take(&mut bytes)?);
        let predecessor = u64::from_be_bytes(take(&mut bytes)?);
        let count = u32::from_be_bytes(take(&mut bytes)?);
        let changes = (0..count).map(|_| Change::decode(&mut bytes)).collect::<Result<_, _>>()?;
        if !bytes.is_empty() {
            return Err(DecodeError::Excess);
        }
        Ok(Entry { term, predecessor, changes })
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], DecodeError> {
    let (head, rest) = bytes.split_first_chunk().ok_or(DecodeError::Truncated)?;
    *bytes = rest;
    Ok(*head)
}

fn to_bytes<T: Serialize>(payload: &T) -> Vec<u8> {
    // Payloads are plain structs of numbers, strings and lists: postcard has no error for these, and memory is a Vec.
    postcard::to_stdvec(payload).expect("a payload of plain data is encodable")
}

/// The payload, if `bytes` hold one and nothing else.
fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let (payload, rest) = postcard::take_from_bytes(bytes).ok()?;
    rest.is_empty().then_some(payload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn confirmed() -> Change {
        Change::DeletionConfirmed(DeletionConfirmed { id: Uuid::from_u128(9), broker: 4 })
    }

    fn encoded(change: &Change) -> Vec<u8> {
        let mut bytes = Vec::new();
        change.encode(&mut bytes);
        bytes
    }

    #[test]
    fn an_unknown_kind_or_version_is_named() {
        let mut bytes = encoded(&confirmed());
        bytes[2] = 9;
        let unknown = DecodeError::UnknownKind { kind: 9, version: 9 };
        assert_eq!(Change::decode(&mut bytes.as_slice()), Err(unknown.clone()));
        assert_eq!(unknown.to_string(), "change kind 9 version 9 is not known to this release");
        bytes[..2].copy_from_slice(&[0x12, 0x34]);
        let unknown = DecodeError::UnknownKind { kind: 0x1234, version: 9 };
        assert_eq!(Change::decode(&mut bytes.as_slice()), Err(unknown));
    }

    #[test]
    fn a_payload_with_more_or_less_than_its_kind_is_refused() {
        let bytes = encoded(&confirmed());
        for payload in [&bytes[7..bytes.len() - 1], &[&bytes[7..], &[0]].concat()] {
            let length = (payload.len() as u32).to_be_bytes();
            let wrong = [&bytes[..3], &length, payload].concat();
            let refused = DecodeError::Payload { kind: 9, version: 1 };
            assert_eq!(Change::decode(&mut wrong.as_slice()), Err(refused));
        }
    }

    #[test]
    fn an_entry_cut_anywhere_is_refused() {
        let bytes = Entry { term: 1, predecessor: 2, changes: vec![confirmed(), confirmed()] }.encode();
        assert!(Entry::decode(&bytes).is_ok());
        for len in 0..bytes.len() {
            assert_eq!(Entry::decode(&bytes[..len]), Err(DecodeError::Truncated), "{len}");
        }
        assert_eq!(Entry::decode(&[bytes, vec![0]].concat()), Err(DecodeError::Excess));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn any_bytes_are_read_or_refused(kind in 0..20u16, version in 0..3u8, payload: Vec<u8>) {
            let length = (payload.len() as u32).to_be_bytes();
            let bytes = [&kind.to_be_bytes()[..], &[version], &length, &payload].concat();
            if let Ok(change) = Change::decode(&mut bytes.as_slice()) {
                prop_assert_eq!(Change::decode(&mut encoded(&change).as_slice()), Ok(change));
            }
            let _ = Entry::decode(&payload);
        }
    }
}
