//! Records as Apache Kafka's classes wrote them (`tests/data/group/Records.java`).

use crate::coordinator::group::hash;
use crate::coordinator::group::records::{Event, GroupMetadata, MemberMetadata, OffsetCommit, OffsetKey};
use crate::coordinator::group::subscription;
use crate::coordinator::machine::{Record, Replayed};
use crate::types::{Uuid, Wall};
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::HashMap;

fn golden() -> HashMap<String, Record> {
    let text = include_str!("../../../../tests/data/group/records.txt");
    let record = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let value = (words[2] != "-").then(|| hex(words[2]));
        (words[0].to_owned(), Record { key: hex(words[1]), value })
    };
    text.lines().map(record).collect()
}

fn hex(text: &str) -> Bytes {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

fn decode(record: &Record) -> Option<Event> {
    Event::decode(Replayed::Record { producer_id: -1, record: record.clone() })
}

fn offset(version: i16) -> Event {
    let value = OffsetCommit {
        offset: 1_234_567_890_123,
        leader_epoch: if version >= 3 { 5 } else { -1 },
        metadata: "mëta".to_owned(),
        committed_at: Wall(1_700_000_000_000),
        expires_at: (version == 1).then_some(Wall(1_700_000_086_400)),
        topic_id: Uuid::nil(),
    };
    let key = OffsetKey { group: "grüppe".to_owned(), topic: "topic-1".to_owned(), partition: 7 };
    Event::Offset { key, value: Some(value) }
}

fn group(version: i16) -> Event {
    let member = MemberMetadata {
        member: "m-1".to_owned(),
        instance: (version >= 3).then(|| "i".to_owned()),
        client_id: "c".to_owned(),
        client_host: "/10.0.0.1".to_owned(),
        rebalance_timeout_ms: if version >= 1 { 60_000 } else { 10_000 },
        session_timeout_ms: 10_000,
        subscription: Bytes::from_static(&[0, 1, 2]),
        assignment: Bytes::from_static(&[3]),
    };
    let other = MemberMetadata {
        member: "m-2".to_owned(),
        instance: None,
        client_id: String::new(),
        client_host: "/::1".to_owned(),
        rebalance_timeout_ms: if version >= 1 { 1 } else { 2 },
        session_timeout_ms: 2,
        subscription: Bytes::new(),
        assignment: Bytes::new(),
    };
    let value = GroupMetadata {
        protocol_type: "consumer".to_owned(),
        generation: 3,
        protocol: Some("range".to_owned()),
        leader: Some("m-1".to_owned()),
        since: (version >= 2).then_some(Wall(1_700_000_000_123)),
        members: vec![member, other],
    };
    Event::Group { group: "grüppe".to_owned(), value: Some(value) }
}

#[test]
fn every_version_of_kafka_is_read() {
    let golden = golden();
    for version in 0..=4 {
        assert_eq!(decode(&golden[&format!("offset-v{version}")]), Some(offset(version)));
        assert_eq!(decode(&golden[&format!("group-v{version}")]), Some(group(version)));
    }
    assert!(matches!(decode(&golden["offset-key-v0"]), Some(Event::Offset { value: Some(_), .. })));
    assert_eq!(decode(&golden["consumer-group"]), None, "another kind of group is left alone");
}

#[test]
fn what_is_written_is_what_kafka_writes() {
    let golden = golden();
    for name in
        ["offset-v1", "offset-v4", "group-v3", "offset-topic-id", "offset-gone", "group-empty", "group-gone"]
    {
        let event = decode(&golden[name]).unwrap();
        assert_eq!(event.encode(), golden[name], "{name}: {event:?}");
    }
}

#[test]
fn a_group_lives_where_kafka_puts_it() {
    assert_eq!(hash::partition_of("", 50), 0);
    assert_eq!(hash::partition_of("console-consumer-12345", 50), 6);
    assert_eq!(hash::partition_of("polygenelubricants", 50), 0, "the hash of this one is i32::MIN");
    assert_eq!(hash::partition_of("grüppe", 50), 12);
    assert_eq!(hash::partition_of("🦀", 50), 2, "two UTF-16 units");
}

#[test]
fn topics_are_found_in_a_subscription_and_nothing_else_is() {
    let found = subscription::topics(&Bytes::from_static(b"\0\x01\0\0\0\x02\0\x01a\0\x02bc\xff\xff\xff\xff"));
    assert_eq!(found, Some(vec!["a".to_owned(), "bc".to_owned()]));
    assert_eq!(subscription::topics(&Bytes::from_static(b"\0\0\x7f\xff\xff\xff")), None);
    assert_eq!(subscription::topics(&Bytes::new()), None);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_without_harm(key in prop::collection::vec(any::<u8>(), 0..40), value in prop::collection::vec(any::<u8>(), 0..80)) {
        let record = |key: Vec<u8>| Record { key: key.into(), value: Some(value.clone().into()) };
        decode(&record(key.clone()));
        let group_key = b"\0\x02\0\x01g".to_vec();
        decode(&record(group_key));
        decode(&record(b"\0\x01\0\x01g\0\x01t\0\0\0\0".to_vec()));
    }

    #[test]
    fn a_damaged_record_is_read_without_harm(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        for record in golden().values() {
            let Some(value) = &record.value else { continue };
            let mut value = value.to_vec();
            let place = at.index(value.len());
            value[place] = byte;
            decode(&Record { value: Some(value.clone().into()), ..record.clone() });
            value.truncate(cut.index(value.len()));
            decode(&Record { value: Some(value.into()), ..record.clone() });
        }
    }
}
