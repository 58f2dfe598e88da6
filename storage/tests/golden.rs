//! What Apache Kafka wrote is read, and where the bytes are determined we write the same (see golden/README.md).

use std::path::PathBuf;

use bytes::Bytes;
use storage::batch::{
    BatchBuilder, EndTxn, Header, Outcome, Prepared, ProducerFields, RawBatch, Record, batches, records,
};
use storage::compress::{Codec, Compression};
use storage::disk::{Disk, Open, RealDisk};
use storage::epochs::EpochCache;
use storage::index::{AbortedTxn, Entry, Index, OffsetEntry, TimeEntry, find};
use storage::producers::Producers;
use storage::time::Wall;
use storage::validate::{Rules, validate};

const TIME: i64 = 1_700_000_000_000;
const LIMIT: usize = 1 << 20;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn read(name: &str) -> Bytes {
    std::fs::read(path(name)).expect("a golden file").into()
}

type Expected = (i64, Option<&'static [u8]>, Option<Vec<u8>>, Vec<Header<'static>>);

fn expected() -> Vec<Expected> {
    vec![
        (0, Some(b"k0"), Some(b"v0".to_vec()), vec![]),
        (5, None, Some(b"no key".to_vec()), vec![]),
        (-7, Some(b"tombstone"), None, vec![]),
        (
            3,
            Some(b"k3"),
            Some(b"with headers".to_vec()),
            vec![(b"h1", Some(b"x")), (b"h2", None), (b"", Some(b""))],
        ),
        (1000, Some(b""), Some(b"0123456789".repeat(10_000)), vec![]),
    ]
}

fn assert_record(record: &Record<'_>, offset: i64, expected: &Expected) {
    let (time, key, value, headers) = expected;
    assert_eq!((record.offset, record.timestamp), (offset, TIME + time));
    assert_eq!((record.key, record.value), (*key, value.as_deref()));
    assert_eq!(record.headers.collect::<Vec<_>>(), *headers);
}

#[test]
fn batches_of_every_codec_are_read() {
    let files = [
        ("none", Codec::None, 0),
        ("gzip", Codec::Gzip, 0),
        ("snappy", Codec::Snappy, 0),
        ("lz4", Codec::Lz4, 0),
        ("zstd", Codec::Zstd, 0),
        ("idempotent", Codec::None, 1000),
        ("transactional", Codec::Zstd, 1000),
    ];
    for (name, codec, base) in files {
        let batch = RawBatch::first(&read(&format!("batches/{name}.bin"))).expect(name);
        batch.check_crc().expect(name);
        assert_eq!(
            (batch.header.attributes.codec(), batch.header.base_offset),
            (Some(codec), base),
            "{name}"
        );
        let open = records(&batch, LIMIT).expect(name);
        assert_eq!(open.iter().count() as i32, batch.header.count, "{name}");
        for (nth, (record, expected)) in open.iter().zip(expected()).enumerate() {
            assert_record(&record.expect(name), base + nth as i64, &expected);
        }
    }
}

fn build(compression: Compression, fields: ProducerFields) -> BatchBuilder {
    let mut builder = BatchBuilder::new(compression).producer(fields);
    for (time, key, value, headers) in expected().into_iter().take(4) {
        builder.push(TIME + time, key, value.as_deref(), &headers);
    }
    builder
}

const FIELDS: ProducerFields = ProducerFields { id: 4711, epoch: 3, base_sequence: 42 };

fn assert_bytes(mut batch: Prepared, base_offset: i64, epoch: i32, name: &str) {
    batch.assign(base_offset, epoch);
    assert_eq!(batch.to_bytes(), read(&format!("batches/{name}.bin")), "{name}");
}

#[test]
fn uncompressed_batches_are_written_alike() {
    let plain = build(Compression::NONE, ProducerFields::NONE).finish().expect("a batch");
    assert_bytes(plain, 0, -1, "none");
    let idempotent = build(Compression::NONE, FIELDS).finish().expect("a batch");
    assert_bytes(idempotent, 1000, 7, "idempotent");
}

#[test]
fn markers_are_written_and_read_alike() {
    for (name, offset, outcome, coordinator_epoch) in
        [("commit", 1004, Outcome::Commit, 12), ("abort", 1005, Outcome::Abort, 13)]
    {
        let marker = EndTxn { outcome, coordinator_epoch };
        assert_bytes(marker.batch(4711, 3, TIME).expect("a batch"), offset, 7, name);
        let batch = RawBatch::first(&read(&format!("batches/{name}.bin"))).expect(name);
        let open = records(&batch, LIMIT).expect(name);
        let record = open.iter().next().expect("a record").expect("readable");
        assert_eq!(EndTxn::parse(&record), Some(marker));
    }
}

#[test]
fn what_the_java_client_makes_is_valid() {
    for name in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let bytes = read(&format!("batches/{name}.bin"));
        let prepared = validate(&bytes, &Rules::default(), Wall(TIME)).expect(name);
        assert_eq!(prepared.to_bytes(), bytes, "{name} passes unchanged");
    }
}

const SEGMENTS: [i64; 2] = [0, 121];

fn segment(base: i64, suffix: &str) -> String {
    format!("partition/{base:020}.{suffix}")
}

/// All batches of the partition, with their position in their segment.
fn log() -> Vec<(i64, u32, RawBatch)> {
    let mut log = Vec::new();
    for base in SEGMENTS {
        let mut position = 0;
        for batch in batches(&read(&segment(base, "log"))) {
            let batch = batch.expect("a batch");
            batch.check_crc().expect("its CRC");
            position += batch.bytes.len();
            log.push((base, (position - batch.bytes.len()) as u32, batch));
        }
    }
    log
}

fn marker(batch: &RawBatch) -> Option<EndTxn> {
    let open = records(batch, LIMIT).expect("records");
    let record = open.iter().next()?.expect("a record");
    if batch.header.attributes.is_control() { EndTxn::parse(&record) } else { None }
}

#[test]
fn a_partition_reads_to_its_end() {
    let log = log();
    let mut next = 0;
    for (_, _, batch) in &log {
        assert_eq!(batch.header.base_offset, next);
        next = batch.header.next_offset();
        let open = records(batch, LIMIT).expect("records");
        assert!(open.iter().all(|record| record.is_ok()));
    }
    assert_eq!((log.len(), next), (19, 131));
}

#[test]
fn replaying_the_log_yields_the_same_snapshots_and_aborted_transactions() {
    let mut producers = Producers::default();
    let mut aborted = Vec::new();
    for (base, _, batch) in log() {
        if batch.header.base_offset == 121 {
            assert_eq!(base, 121);
            assert_eq!(producers.encode_snapshot(), read(&segment(121, "snapshot")));
        }
        let txn = producers.apply(&batch.header, marker(&batch));
        txn.inspect(|txn| txn.put(0, &mut aborted));
    }
    assert_eq!(aborted, read(&segment(121, "txnindex")));
    assert_eq!(producers.encode_snapshot(), read(&segment(131, "snapshot")));
    assert_eq!((producers.end(), producers.first_undecided()), (131, Some(129)));
}

#[test]
fn a_snapshot_is_read_back() {
    let bytes = read(&segment(131, "snapshot"));
    let producers = Producers::decode_snapshot(&bytes, 131).expect("a snapshot");
    assert_eq!((producers.len(), producers.first_undecided()), (7, Some(129)));
    assert_eq!(producers.encode_snapshot(), bytes);
}

#[test]
fn indexes_point_at_batches() {
    let log = log();
    for base in SEGMENTS {
        let file = RealDisk.open(&path(&segment(base, "index")), Open::Read).expect("the index");
        let index = Index::<OffsetEntry>::load(&*file, base, 10 << 20).expect("sound");
        for entry in index.entries() {
            let at = log.iter().find(|(b, position, _)| (*b, *position) == (base, entry.position));
            assert_eq!(at.map(|(_, _, batch)| batch.header.last_offset()), Some(entry.offset));
            assert_eq!(find::<OffsetEntry>(&*file, base, entry.offset).expect("readable"), Some(entry));
        }
    }
}

#[test]
fn the_time_index_names_the_first_batch_with_a_timestamp() {
    let log = log();
    for (base, count) in [(0, 1), (121, 2)] {
        let file = RealDisk.open(&path(&segment(base, "timeindex")), Open::Read).expect("the index");
        let entries = Index::<TimeEntry>::load(&*file, base, 10 << 20).expect("sound").entries();
        assert_eq!(entries.len(), count);
        for entry in entries {
            let in_segment = log.iter().filter(|(b, _, _)| *b == base).map(|(_, _, batch)| &batch.header);
            let first = in_segment.clone().find(|header| header.max_timestamp >= entry.timestamp);
            let first = first.map(|header| (header.max_timestamp, header.last_offset()));
            assert_eq!(first, Some((entry.timestamp, entry.offset)));
        }
    }
}

#[test]
fn the_transaction_index_loads() {
    let file = RealDisk.open(&path(&segment(121, "txnindex")), Open::Read).expect("the index");
    let entries = Index::<AbortedTxn>::load(&*file, 121, 10 << 20).expect("sound").entries();
    let spans: Vec<_> =
        entries.iter().map(|txn| (txn.producer_id, txn.first_offset, txn.last_offset)).collect();
    assert_eq!(spans, [(5, 115, 121), (6, 123, 128)]);
}

#[test]
fn the_epoch_of_the_log_is_that_of_its_checkpoint() {
    let mut cache = EpochCache::default();
    for (_, _, batch) in log() {
        cache.assign(batch.header.partition_leader_epoch, batch.header.base_offset);
    }
    let lines: Vec<_> = cache.entries().iter().map(|e| format!("{} {}", e.epoch, e.start_offset)).collect();
    let checkpoint = format!("0\n{}\n{}\n", lines.len(), lines.join("\n"));
    assert_eq!(checkpoint.as_bytes(), read("partition/leader-epoch-checkpoint"));
}
