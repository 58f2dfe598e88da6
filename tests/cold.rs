//! Records that are on a device and not in memory: their places are looked for on another thread, and found there likewise.

mod support;

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::*;
use rustix::fs::{Advice, fadvise};
use std::fs::File;
use std::io;
use std::path::Path;
use storage::batch::batches;
use storage::disk::{Disk, Open, RealDisk, without_waiting};
use support::broker::Broker;
use support::wire::{Wire, batch_of, text};

const TOPIC: &str = "old";
const BATCHES: i64 = 400;
const SEGMENT: &str = "00000000000000000000.log";
/// Of the records, all of which have the same.
const TIME: i64 = 1_000;

/// All records, several batches a time, from the batch of one offset to the next.
fn read_all(wire: &mut Wire) -> Vec<u8> {
    let (mut next, mut all) = (0, Vec::new());
    while next < BATCHES {
        let partition = FetchPartition::default().with_fetch_offset(next).with_partition_max_bytes(100_000);
        let asked = FetchTopic::default().with_topic(TopicName(text(TOPIC))).with_partitions(vec![partition]);
        let request = FetchRequest::default().with_max_bytes(i32::MAX).with_topics(vec![asked]);
        let answer = wire.call(12, &request);
        let found = &answer.responses[0].partitions[0];
        assert_eq!((found.error_code, found.high_watermark), (0, BATCHES));
        let records = found.records.clone().expect("records");
        let last = batches(&records).last().expect("a batch").expect("a sound batch");
        next = last.header.last_offset() + 1;
        all.extend(records);
    }
    all
}

fn offset_of(wire: &mut Wire, timestamp: i64) -> i64 {
    let partition = ListOffsetsPartition::default().with_timestamp(timestamp);
    let asked =
        ListOffsetsTopic::default().with_name(TopicName(text(TOPIC))).with_partitions(vec![partition]);
    let answer = wire.call(5, &ListOffsetsRequest::default().with_topics(vec![asked]));
    assert_eq!(answer.topics[0].partitions[0].error_code, 0);
    answer.topics[0].partitions[0].offset
}

/// Takes a partition out of memory; whether that could be done.
fn evict(partition: &Path) -> io::Result<bool> {
    for entry in std::fs::read_dir(partition)? {
        let file = File::open(entry?.path())?;
        file.sync_all()?;
        fadvise(&file, 0, None, Advice::DontNeed)?;
    }
    let file = RealDisk.open(&partition.join(SEGMENT), Open::Read)?;
    Ok(without_waiting(|| file.read_at(&mut [0], 4096)).is_none())
}

#[test]
fn what_is_not_in_memory_is_found_all_the_same() {
    let broker = Broker::start(&[("log.segment.bytes", "1048576"), ("log.index.interval.bytes", "4096")]);
    let mut wire = Wire::connect(&broker.address());
    wire.create_topic(TOPIC, 1);
    let batch = batch_of(&[7; 10_000]);
    (0..BATCHES).for_each(|offset| assert_eq!(wire.produce(TOPIC, 0, batch.clone()).unwrap(), offset));
    let warm = read_all(&mut wire);
    let partition = broker.data().join(format!("{TOPIC}-0"));
    if !evict(&partition).unwrap() {
        return eprintln!("skipped: this file system keeps everything in memory");
    }
    assert_eq!((offset_of(&mut wire, TIME), offset_of(&mut wire, TIME + 1)), (0, -1));
    evict(&partition).unwrap();
    assert!(read_all(&mut wire) == warm, "other bytes");
    assert!(!broker.log().contains("offline"), "{}", broker.log());
}
