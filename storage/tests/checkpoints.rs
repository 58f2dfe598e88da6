//! The small files: Kafka's bytes, refusals that name file and line, and no state but old or new wherever the power goes.

use std::collections::BTreeSet;
use std::io::IoSlice;
use std::path::Path;

use storage::checkpoint::{
    CheckpointError, CleanShutdown, MetaProperties, OffsetFile, Offsets, read_epochs, read_topic_id,
    write_epochs, write_topic_id,
};
use storage::dirs::PartitionName;
use storage::disk::fault::{Errno, Fault, FaultDisk, Op, When};
use storage::disk::{Disk, Open, create_dir_durably};
use storage::epochs::EpochEntry;
use storage::kafka_uuid;

const DIR: &str = "/d";

fn dir() -> &'static Path {
    Path::new(DIR)
}

fn disk(seed: u64) -> FaultDisk {
    let disk = FaultDisk::new(seed);
    create_dir_durably(&disk, dir()).unwrap();
    disk
}

fn put(disk: &FaultDisk, name: &str, text: &str) {
    let file = disk.open(&dir().join(name), Open::Create).unwrap();
    file.set_len(0).unwrap();
    file.write_at(&[IoSlice::new(text.as_bytes())], 0).unwrap();
}

fn text(disk: &FaultDisk, name: &str) -> String {
    let file = disk.open(&dir().join(name), Open::Read).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    String::from_utf8(bytes).unwrap()
}

fn offsets(entries: &[(&str, i32, i64)]) -> Offsets {
    let entry = |(topic, partition, offset): &(&str, i32, i64)| {
        (PartitionName { topic: (*topic).to_owned(), partition: *partition }, *offset)
    };
    entries.iter().map(entry).collect()
}

#[test]
fn offsets_are_written_as_kafka_writes_them() {
    let (disk, file) = (disk(1), OffsetFile::HighWatermark);
    assert_eq!(file.read(&disk, dir()).unwrap(), Offsets::new());
    let some = offsets(&[("t", 0, 100), ("t", 1, 0), ("a.b-c", 7, i64::MAX)]);
    file.write(&disk, dir(), &some).unwrap();
    assert_eq!(
        text(&disk, "replication-offset-checkpoint"),
        "0\n3\na.b-c 7 9223372036854775807\nt 0 100\nt 1 0\n"
    );
    assert_eq!(file.read(&disk, dir()).unwrap(), some);
    put(&disk, file.name(), "");
    assert_eq!(file.read(&disk, dir()).unwrap(), Offsets::new());
    let names = [OffsetFile::RecoveryPoint, OffsetFile::LogStart, OffsetFile::Cleaner].map(OffsetFile::name);
    let kafka =
        ["recovery-point-offset-checkpoint", "log-start-offset-checkpoint", "cleaner-offset-checkpoint"];
    assert_eq!(names, kafka);
}

#[test]
fn malformed_offsets_are_refused_by_line() {
    let cases = [
        ("1\n0\n", 1, "version"),
        ("0\n", 2, "count"),
        ("0\nx\n", 2, "count"),
        ("0\n-1\n", 2, "count"),
        ("0\n2\nt 0 1\n", 2, "2 entries announced, 1 there"),
        ("0\n1\nt 0 1\nt 1 1\n", 2, "1 entries announced, 2 there"),
        ("0\n1\nt 0\n", 3, "3 fields"),
        ("0\n1\nt 0 1 2\n", 3, "3 fields"),
        ("0\n2\nt 0 1\nt 1 -1\n", 4, "offset -1 is negative"),
        ("0\n1\nt 0 9223372036854775808\n", 3, "offset"),
        ("0\n1\nt x 1\n", 3, "partition"),
        ("0\n2\nt 0 1\nt 0 1\n", 4, "t-0 appears twice"),
        ("\0\0\0\0\0", 1, "version"),
    ];
    for (content, line, what) in cases {
        let disk = disk(1);
        put(&disk, OffsetFile::LogStart.name(), content);
        let error = OffsetFile::LogStart.read(&disk, dir()).unwrap_err().to_string();
        let place = format!("/d/log-start-offset-checkpoint, line {line}: ");
        assert!(error.starts_with(&place) && error.contains(what), "{content:?}: {error}");
    }
}

#[test]
fn epochs() {
    let disk = disk(1);
    assert_eq!(read_epochs(&disk, dir()).unwrap(), []);
    let entries = [(0, 0), (3, 17)].map(|(epoch, start_offset)| EpochEntry { epoch, start_offset });
    write_epochs(&disk, dir(), &entries).unwrap();
    assert_eq!(text(&disk, "leader-epoch-checkpoint"), "0\n2\n0 0\n3 17\n");
    assert_eq!(read_epochs(&disk, dir()).unwrap(), entries);
    put(&disk, "leader-epoch-checkpoint", "0\n1\n3\n");
    assert!(read_epochs(&disk, dir()).unwrap_err().to_string().contains("line 3"));
}

#[test]
fn topic_id() {
    let (disk, id) = (disk(1), kafka_uuid::decode("WqtpGH07THOz47b24DNDFQ").unwrap());
    assert_eq!(read_topic_id(&disk, dir()).unwrap(), None);
    write_topic_id(&disk, dir(), id).unwrap();
    assert_eq!(text(&disk, "partition.metadata"), "version: 0\ntopic_id: WqtpGH07THOz47b24DNDFQ");
    assert_eq!(read_topic_id(&disk, dir()).unwrap(), Some(id));
    for bad in
        ["", "version: 0", "topic_id: WqtpGH07THOz47b24DNDFQ", "version: 0\ntopic_id: W", "version: 1\n", "x"]
    {
        put(&disk, "partition.metadata", bad);
        assert!(matches!(read_topic_id(&disk, dir()), Err(CheckpointError::Malformed { .. })), "{bad:?}");
    }
}

#[test]
fn meta_properties() {
    let disk = disk(1);
    assert_eq!(MetaProperties::read(&disk, dir()).unwrap(), None);
    let kafka = "#\n#Sun Nov 22 21:01:31 UTC 2026\nnode.id=1\ndirectory.id=dDjXQ22Blu1v6_kD7I5ykg\nversion=1\ncluster.id=QntV4OAeQUaaGbquqOS0_Q\n";
    put(&disk, "meta.properties", kafka);
    let meta = MetaProperties::read(&disk, dir()).unwrap().unwrap();
    let (directory_id, cluster_id) =
        (kafka_uuid::decode("dDjXQ22Blu1v6_kD7I5ykg"), Some("QntV4OAeQUaaGbquqOS0_Q".to_owned()));
    assert_eq!(meta, MetaProperties { node_id: 1, directory_id, cluster_id });
    let odd = MetaProperties { node_id: 7, directory_id: None, cluster_id: Some(r"a:b=c\d #!".to_owned()) };
    for meta in [meta, odd] {
        meta.write(&disk, dir()).unwrap();
        assert_eq!(MetaProperties::read(&disk, dir()).unwrap(), Some(meta));
    }
    for bad in [
        "",
        "node.id=1",
        "version=0\nnode.id=1",
        "version=1\n",
        "version=1\nnode.id=-1",
        "version=1\nnode.id=1\ndirectory.id=x",
    ] {
        put(&disk, "meta.properties", bad);
        assert!(
            matches!(MetaProperties::read(&disk, dir()), Err(CheckpointError::Malformed { .. })),
            "{bad:?}"
        );
    }
}

#[test]
fn clean_shutdown_is_taken_once_and_for_good() {
    for seed in 0..100 {
        let disk = disk(seed);
        CleanShutdown { broker_epoch: 11 }.write(&disk, dir()).unwrap();
        assert_eq!(text(&disk, ".kafka_cleanshutdown"), r#"{"version":0,"brokerEpoch":11}"#);
        disk.crash();
        assert_eq!(CleanShutdown::take(&disk, dir()).unwrap(), Some(CleanShutdown { broker_epoch: 11 }));
        disk.crash();
        assert_eq!(CleanShutdown::take(&disk, dir()).unwrap(), None);
    }
    for bad in [
        "",
        "{",
        "{}",
        r#"{"version":1,"brokerEpoch":1}"#,
        r#"{"version":0}"#,
        r#"{"version":0,"brokerEpoch":"#,
    ] {
        let disk = disk(1);
        put(&disk, ".kafka_cleanshutdown", bad);
        assert_eq!(CleanShutdown::take(&disk, dir()).unwrap(), None, "{bad:?}");
    }
}

#[test]
fn a_file_without_end_is_not_read() {
    let disk = disk(1);
    disk.open(&dir().join("leader-epoch-checkpoint"), Open::Create).unwrap().set_len(65 << 20).unwrap();
    assert!(matches!(read_epochs(&disk, dir()), Err(CheckpointError::TooLong { .. })));
}

/// Every point at which the power can go while a file is replaced, and every call that can fail.
#[test]
fn replacing_leaves_the_old_or_the_new() {
    let (file, old, new) =
        (OffsetFile::RecoveryPoint, offsets(&[("t", 0, 1)]), offsets(&[("t", 0, 2), ("t", 1, 2)]));
    let mut seen = BTreeSet::new();
    for (seed, changes) in (0..50).flat_map(|seed| (0..8).map(move |changes| (seed, changes))) {
        let disk = disk(seed);
        file.write(&disk, dir(), &old).unwrap();
        disk.power_off_after(changes);
        let done = file.write(&disk, dir(), &new).is_ok();
        disk.crash();
        let found = file.read(&disk, dir()).unwrap();
        assert!(found == new || (found == old && !done), "seed {seed}, power off after {changes} changes");
        seen.insert((done, found == new));
    }
    assert_eq!(seen.len(), 3, "not done and old, not done and yet new, done and new");
}

#[test]
fn a_failed_replacement_keeps_the_old_and_frees_its_bytes() {
    let (file, old, new) = (OffsetFile::RecoveryPoint, offsets(&[("t", 0, 1)]), offsets(&[("t", 0, 2)]));
    for op in [Op::Open, Op::SetLen, Op::Write, Op::Sync, Op::Rename] {
        let disk = disk(1);
        file.write(&disk, dir(), &old).unwrap();
        let used = disk.used();
        disk.inject(Fault { op, under: DIR.into(), when: When::Nth(1), errno: Errno::IO });
        assert!(file.write(&disk, dir(), &new).is_err(), "{op:?}");
        assert_eq!((file.read(&disk, dir()).unwrap(), disk.used()), (old.clone(), used), "{op:?}");
        file.write(&disk, dir(), &new).unwrap();
    }
}
