//! Log directories: formatting, refusals that change nothing, partitions, and going offline.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use storage::checkpoint::{MetaProperties, OffsetFile, Offsets};
use storage::dirs::{DirHandle, DirKind, DirsError, LogDirs, OnFailure};
use storage::disk::fault::{Errno, Fault, FaultDisk, Op, When};
use storage::disk::{Disk, Open, Verdict};
use uuid::Uuid;

fn open_on(
    disk: &FaultDisk,
    paths: &[&str],
    node_id: i32,
    on_failure: OnFailure,
) -> Result<LogDirs, DirsError> {
    let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    // Ids that are never minted twice, however often the directories are opened.
    let minted = disk.list(Path::new("/")).unwrap_or_default().len() as u128 * 100;
    let mut ids = (minted + 1..).map(Uuid::from_u128);
    LogDirs::open(&disk, &paths, node_id, &mut || ids.next().unwrap(), on_failure)
}

fn open(disk: &FaultDisk, paths: &[&str], node_id: i32) -> Result<LogDirs, DirsError> {
    open_on(disk, paths, node_id, Arc::new(|_: &DirHandle| {}))
}

fn meta(disk: &FaultDisk, path: &str) -> MetaProperties {
    MetaProperties::read(disk, Path::new(path)).unwrap().unwrap()
}

fn broken(op: Op, under: &str, errno: Errno) -> Fault {
    Fault { op, under: under.into(), when: When::From(1), errno }
}

#[test]
fn formats_empty_directories_and_keeps_their_identity() {
    for seed in 0..100 {
        let disk = FaultDisk::new(seed);
        let ids: Vec<Uuid> =
            open(&disk, &["/x/a", "/b"], 1).unwrap().all().iter().map(|dir| dir.id()).collect();
        assert_ne!(ids[0], ids[1]);
        disk.crash();
        let again = open(&disk, &["/x/a", "/b"], 1).unwrap();
        assert_eq!(again.all().iter().map(|dir| dir.id()).collect::<Vec<_>>(), ids);
        assert_eq!(again.by_id(ids[1]).unwrap().path(), Path::new("/b"));
        assert_eq!(again.cluster_id(), None);
        again.set_cluster_id("c1").unwrap();
        disk.crash();
        assert_eq!(meta(&disk, "/b").cluster_id.as_deref(), Some("c1"));
        let more = open(&disk, &["/x/a", "/b", "/new"], 1).unwrap();
        assert_eq!(
            meta(&disk, "/new").cluster_id.as_deref(),
            Some("c1"),
            "a new directory joins the others' cluster"
        );
        assert!(matches!(more.set_cluster_id("c2"), Err(DirsError::ClusterId { .. })));
    }
}

#[test]
fn locks() {
    let disk = FaultDisk::new(1);
    let first = open(&disk, &["/a"], 1).unwrap();
    let error = open(&disk, &["/a"], 1).unwrap_err();
    assert_eq!(error.to_string(), "/a: another process is using this log directory");
    drop(first);
    open(&disk, &["/a"], 1).unwrap();
    assert!(matches!(open(&disk, &["/a", "/a"], 1), Err(DirsError::Twice(_))));
}

#[test]
fn refusals_change_nothing() {
    let disk = FaultDisk::new(1);
    disk.create_dir(Path::new("/kafka/__cluster_metadata-0")).unwrap();
    disk.create_dir(Path::new("/used/t-0")).unwrap();
    drop(open(&disk, &["/mine"], 1).unwrap());
    open(&disk, &["/theirs"], 1).unwrap().set_cluster_id("c2").unwrap();
    drop(open(&disk, &["/other"], 2).unwrap());
    open(&disk, &["/ours"], 1).unwrap().set_cluster_id("c1").unwrap();
    copy_meta(&disk, "/mine", "/copy");
    let cases: [(&[&str], &str); 5] = [
        (&["/new", "/kafka"], "/kafka: holds a whole Apache Kafka node"),
        (&["/mine", "/used"], "/used: holds partitions but no meta.properties"),
        (&["/mine", "/other"], "/other: formatted for node.id 2, configured is node.id 1"),
        (&["/ours", "/theirs"], "/theirs: belongs to cluster c2, not to cluster c1"),
        (&["/mine", "/copy"], "/mine and /copy: both have directory.id"),
    ];
    for (paths, message) in cases {
        let (bytes, mine) = (disk.used(), meta(&disk, "/mine"));
        let error = open(&disk, paths, 1).unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
        assert_eq!((disk.used(), meta(&disk, "/mine")), (bytes, mine), "{message}");
    }
    assert!(disk.list(Path::new("/new")).is_err());
    assert_eq!(disk.list(Path::new("/kafka")).unwrap().len(), 1, "not even a lock file");
}

fn copy_meta(disk: &FaultDisk, from: &str, to: &str) {
    disk.create_dir(Path::new(to)).unwrap();
    meta(disk, from).write(disk, Path::new(to)).unwrap();
}

#[test]
fn a_directory_of_older_kafka_gets_an_id() {
    let disk = FaultDisk::new(1);
    disk.create_dir(Path::new("/a")).unwrap();
    let old = MetaProperties { node_id: 1, directory_id: None, cluster_id: Some("c".to_owned()) };
    old.write(&disk, Path::new("/a")).unwrap();
    let dirs = open(&disk, &["/a"], 1).unwrap();
    assert_eq!(meta(&disk, "/a"), MetaProperties { directory_id: Some(dirs.all()[0].id()), ..old });
}

#[test]
fn lists_partitions_of_every_kind() {
    let disk = FaultDisk::new(1);
    let dirs = open(&disk, &["/a"], 1).unwrap();
    let unique = "5f0c27f2d0b84cf39e5b0ea6d6bd6dd5";
    let delete = format!("t-1.{unique}-delete");
    for name in ["t-0", delete.as_str(), "lost+found"] {
        disk.create_dir(&Path::new("/a").join(name)).unwrap();
    }
    disk.open(Path::new("/a/u-0"), Open::Create).unwrap();
    let mut found = dirs.all()[0].partitions().unwrap();
    found.sort_by_key(|dir| dir.path.clone());
    let found: Vec<_> = found.iter().map(|dir| (dir.partition.to_string(), dir.kind)).collect();
    assert_eq!(found, [("t-0".to_owned(), DirKind::Current), ("t-1".to_owned(), DirKind::Delete)]);
}

#[test]
fn clean_shutdown_and_boot() {
    let disk = FaultDisk::new(1);
    let dir = open(&disk, &["/a"], 1).unwrap().all()[0].clone();
    assert_eq!(dir.take_clean_shutdown().unwrap(), None);
    dir.mark_clean_shutdown(7).unwrap();
    drop(dir);
    let dir = open(&disk, &["/a"], 1).unwrap().all()[0].clone();
    assert_eq!(dir.take_clean_shutdown().unwrap().map(|mark| mark.broker_epoch), Some(7));
    assert_eq!(dir.take_clean_shutdown().unwrap(), None);
}

#[test]
fn a_boot_counts_once_it_is_noted() {
    let disk = FaultDisk::new(1);
    let dir = open(&disk, &["/a"], 1).unwrap().all()[0].clone();
    assert!(!dir.was_in_boot("boot 1").unwrap());
    assert!(!dir.was_in_boot("boot 1").unwrap(), "to ask is not to note");
    dir.note_boot("boot 1").unwrap();
    assert!(dir.was_in_boot("boot 1").unwrap());
    assert!(!dir.was_in_boot("boot 2").unwrap());
    dir.fail(&io::Error::other("broken"));
    assert!(dir.note_boot("boot 1").is_err());
    drop(dir);
    let dir = open(&disk, &["/a"], 1).unwrap().all()[0].clone();
    assert!(!dir.was_in_boot("boot 1").unwrap(), "what failed in this boot is not trusted");
    dir.note_boot("").unwrap();
    assert!(!dir.was_in_boot("").unwrap(), "a boot without a name is like no other");
}

#[test]
fn breaks_once_and_tells_why() {
    let disk = FaultDisk::new(1);
    let told = Arc::new(AtomicUsize::new(0));
    let tell = told.clone();
    let on_failure = Arc::new(move |dir: &DirHandle| {
        assert!(!dir.is_online());
        tell.fetch_add(1, Ordering::Relaxed);
    });
    let dirs = open_on(&disk, &["/a", "/b"], 1, on_failure).unwrap();
    let [a, b] = [0, 1].map(|i| dirs.all()[i].clone());
    disk.set_max_open(0);
    assert!(a.write_offsets(OffsetFile::LogStart, &Offsets::new()).is_err());
    assert!(a.is_online(), "no descriptors is no disk failure");
    disk.heal();
    assert_eq!(a.judge(&io::ErrorKind::UnexpectedEof.into()), Verdict::Other);
    disk.set_capacity(disk.used());
    assert!(a.write_offsets(OffsetFile::LogStart, &Offsets::new()).is_err());
    disk.heal();
    assert!(
        a.failure().unwrap().contains("/a/log-start-offset-checkpoint.tmp: No space left"),
        "{:?}",
        a.failure()
    );
    let refused = a.write_offsets(OffsetFile::LogStart, &Offsets::new()).unwrap_err().to_string();
    assert!(refused.starts_with("log directory is offline: /a/log-start"), "{refused}");
    a.fail(&io::Error::other("again"));
    assert_eq!((told.load(Ordering::Relaxed), b.is_online()), (1, true));
    disk.inject(broken(Op::Read, "/b", Errno::IO));
    b.write_offsets(OffsetFile::LogStart, &Offsets::new()).unwrap();
    assert!(b.read_offsets(OffsetFile::LogStart).is_err());
    assert!(!b.is_online());
}

#[test]
fn starts_without_a_broken_directory_but_not_without_any() {
    let disk = FaultDisk::new(1);
    drop(open(&disk, &["/a", "/b"], 1).unwrap());
    disk.inject(broken(Op::Lock, "/b", Errno::ROFS));
    let dirs = open(&disk, &["/a", "/b"], 1).unwrap();
    assert_eq!((dirs.all().len(), dirs.broken_at_start().len()), (1, 1));
    drop(dirs);
    disk.inject(broken(Op::Read, "/a", Errno::IO));
    let error = open(&disk, &["/a", "/b"], 1).unwrap_err().to_string();
    assert!(error.starts_with("no log directory is usable: /a/meta.properties: "), "{error}");
    disk.heal();
    disk.set_max_open(0);
    assert!(
        matches!(open(&disk, &["/a", "/b"], 1), Err(DirsError::Io(_))),
        "no descriptors is no disk failure"
    );
}

#[test]
fn a_torn_identity_is_never_seen() {
    for (seed, changes) in (0..30).flat_map(|seed| (0..12).map(move |changes| (seed, changes))) {
        let disk = FaultDisk::new(seed);
        disk.power_off_after(changes);
        let _ = open(&disk, &["/a"], 1);
        disk.crash();
        open(&disk, &["/a"], 1).unwrap_or_else(|e| panic!("seed {seed}, {changes} changes: {e}"));
    }
}

#[test]
fn malformed_identity_stops_the_start() {
    let disk = FaultDisk::new(1);
    disk.create_dir(Path::new("/a")).unwrap();
    let file = disk.open(Path::new("/a/meta.properties"), Open::Create).unwrap();
    file.write_at(&[IoSlice::new(b"version=1\nnode.id=one\n")], 0).unwrap();
    let error = open(&disk, &["/a"], 1).unwrap_err().to_string();
    assert_eq!(error, "/a/meta.properties, line 2: node.id \"one\" is not a number in range");
}
