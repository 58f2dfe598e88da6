//! What the failing disk keeps, loses and reports. What it never loses must hold for every seed; what it may lose must
//! be seen lost for some and kept for others, or tests that stand on it would prove nothing.

use std::collections::BTreeSet;
use std::io::{ErrorKind, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use storage::disk::fault::{Errno, Fault, FaultDisk, Op, Rng, When};
use storage::disk::{Disk, File, Open, os_code};

const SEEDS: u64 = 500;

fn path(name: &str) -> PathBuf {
    Path::new("/d").join(name)
}

/// A disk with the durable, empty directory `/d`.
fn disk(seed: u64) -> FaultDisk {
    let disk = FaultDisk::new(seed);
    disk.create_dir(Path::new("/d")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk
}

/// A durable name for an empty file.
fn file(disk: &FaultDisk, name: &str) -> Arc<dyn File> {
    let file = disk.open(&path(name), Open::CreateNew).unwrap();
    disk.sync_dir(Path::new("/d")).unwrap();
    file
}

fn write(file: &dyn File, at: u64, bytes: &[u8]) {
    file.write_at(&[IoSlice::new(bytes)], at).unwrap();
}

fn read(disk: &FaultDisk, name: &str) -> Option<Vec<u8>> {
    let file = disk.open(&path(name), Open::Read).ok()?;
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    Some(bytes)
}

fn fault(op: Op, under: &str, when: When, errno: Errno) -> Fault {
    Fault { op, under: under.into(), when, errno }
}

fn code<T>(result: std::io::Result<T>) -> Option<i32> {
    os_code(&result.err().expect("an error"))
}

#[test]
fn synced_bytes_survive_every_crash() {
    for seed in 0..SEEDS {
        let (disk, mut rng) = (disk(seed), Rng::new(seed));
        let f = file(&disk, "f");
        let mut synced = Vec::new();
        for _ in 0..rng.below(20) {
            let (at, byte) = (rng.below(20_000), rng.next_u64() as u8);
            match rng.below(5) {
                0 => f.set_len(at as u64).unwrap(),
                1 => {
                    f.sync().unwrap();
                    synced = read(&disk, "f").unwrap();
                }
                _ => write(&*f, at as u64, &vec![byte; rng.below(9000)]),
            }
        }
        f.sync().unwrap();
        synced.clone_from(&read(&disk, "f").unwrap());
        write(&*f, synced.len() as u64, b"behind the synced end");
        disk.crash();
        assert_eq!(read(&disk, "f").unwrap()[..synced.len()], synced, "seed {seed}");
    }
}

/// Appends 20 unsynced blocks of ones and tells how a crash left them.
fn crashed_append(seed: u64) -> Vec<u8> {
    let disk = disk(seed);
    let f = file(&disk, "f");
    (0..20).for_each(|i| write(&*f, i * 1000, &[1; 1000]));
    disk.crash();
    read(&disk, "f").unwrap()
}

#[test]
fn unsynced_bytes_vanish_stay_tear_and_leave_holes() {
    let mut seen = BTreeSet::new();
    for bytes in (0..SEEDS).map(crashed_append) {
        assert!(bytes.len() <= 20_000);
        seen.insert(match (bytes.len(), bytes.iter().position(|b| *b == 0)) {
            (0, _) => "vanished",
            (20_000, None) => "whole",
            (len, None) if len % 1000 == 0 => "a prefix",
            (_, None) => "torn",
            (_, Some(zero)) if bytes[zero..].contains(&1) => "a hole before later bytes",
            _ => "zeros at the end",
        });
    }
    let all = ["vanished", "whole", "a prefix", "torn", "a hole before later bytes", "zeros at the end"];
    assert_eq!(seen, BTreeSet::from(all));
}

#[test]
fn the_same_seed_crashes_alike() {
    assert!((0..50).all(|seed| crashed_append(seed) == crashed_append(seed)));
    assert!((0..50).any(|seed| crashed_append(seed) != crashed_append(seed + 1)));
}

#[test]
fn a_sector_holds_the_state_of_one_moment() {
    for seed in 0..SEEDS {
        let disk = disk(seed);
        let f = file(&disk, "f");
        (1..=100).for_each(|i| write(&*f, (i as u64 - 1) * 5, &[i; 5]));
        disk.crash();
        let bytes = read(&disk, "f").unwrap();
        let written = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        assert!(
            bytes[written..].iter().all(|b| *b == 0),
            "seed {seed}: a later write without an earlier one"
        );
    }
}

#[test]
fn a_cut_that_is_lost_brings_the_old_bytes_back_whole() {
    let mut seen = BTreeSet::new();
    for seed in 0..SEEDS {
        let disk = disk(seed);
        let f = file(&disk, "f");
        write(&*f, 0, &[1; 8192]);
        f.sync().unwrap();
        f.set_len(4096).unwrap();
        write(&*f, 4096, &[2; 4096]);
        disk.crash();
        let tail = read(&disk, "f").unwrap().split_off(4096);
        assert!(!(tail.contains(&1) && tail.contains(&2)), "seed {seed}");
        seen.insert((tail.contains(&1), tail.contains(&2)));
    }
    assert_eq!(seen.len(), 3, "old, new, and neither");
}

#[test]
fn synced_names_survive_and_others_may_not() {
    let mut seen = BTreeSet::new();
    for seed in 0..SEEDS {
        let disk = disk(seed);
        (0..3).for_each(|i| drop(file(&disk, &format!("old{i}"))));
        disk.open(&path("created"), Open::CreateNew).unwrap();
        disk.rename(&path("old0"), &path("renamed")).unwrap();
        disk.remove(&path("old1")).unwrap();
        disk.crash();
        let has = |name| disk.list(Path::new("/d")).unwrap().iter().any(|entry| entry.name == name);
        assert!(has("old2"));
        assert_ne!(has("old0"), has("renamed"), "seed {seed}: a rename is all or nothing");
        seen.insert((has("created"), has("renamed"), !has("old1")));
    }
    let prefixes = [(false, false, false), (true, false, false), (true, true, false), (true, true, true)];
    assert_eq!(seen, BTreeSet::from(prefixes));
}

#[test]
fn a_name_is_lost_with_its_directory_unless_each_is_synced() {
    let (mut kept, mut lost) = (0, 0);
    for seed in 0..SEEDS {
        let disk = FaultDisk::new(seed);
        disk.create_dir(Path::new("/a/b")).unwrap();
        let f = disk.open(Path::new("/a/b/f"), Open::CreateNew).unwrap();
        write(&*f, 0, b"x");
        f.sync().unwrap();
        disk.sync_dir(Path::new("/a/b")).unwrap();
        if seed % 2 == 0 {
            disk.sync_dir(Path::new("/a")).unwrap();
            disk.sync_dir(Path::new("/")).unwrap();
        }
        disk.crash();
        let there = disk.open(Path::new("/a/b/f"), Open::Read).is_ok_and(|f| f.len().unwrap() == 1);
        assert!(there || seed % 2 == 1);
        (kept, lost) = (kept + there as u32, lost + !there as u32);
    }
    assert!(kept > SEEDS as u32 / 2 && lost > 0, "{kept} {lost}");
}

#[test]
fn replacing_by_rename_is_atomic() {
    let mut seen = BTreeSet::new();
    for seed in 0..SEEDS {
        let disk = disk(seed);
        let f = file(&disk, "f");
        write(&*f, 0, b"old");
        f.sync().unwrap();
        let tmp = disk.open(&path("f.tmp"), Open::CreateNew).unwrap();
        write(&*tmp, 0, b"new");
        tmp.sync().unwrap();
        disk.rename(&path("f.tmp"), &path("f")).unwrap();
        disk.crash();
        seen.insert(read(&disk, "f").unwrap());
    }
    assert_eq!(seen, BTreeSet::from([b"old".to_vec(), b"new".to_vec()]));
}

#[test]
fn a_failed_sync_gives_bytes_up_for_good() {
    let mut lost = 0;
    for seed in 0..SEEDS {
        let disk = disk(seed);
        let f = file(&disk, "f");
        disk.inject(fault(Op::Sync, "/d/f", When::Nth(1), Errno::IO));
        write(&*f, 0, &[1; 4096]);
        assert_eq!(code(f.sync()), Some(Errno::IO.raw_os_error()));
        assert_eq!(read(&disk, "f").unwrap(), [1; 4096], "readers still see it");
        write(&*f, 4096, &[2; 4096]);
        f.sync().unwrap();
        disk.crash();
        let bytes = read(&disk, "f").unwrap();
        assert_eq!(bytes[4096..], [2; 4096]);
        lost += bytes[..4096].contains(&0) as u64;
    }
    assert!(lost > SEEDS / 4 && lost < SEEDS, "{lost}");
}

#[test]
fn a_failed_sync_of_a_directory_gives_names_up_for_good() {
    let (mut lost, mut kept) = (0, 0);
    for seed in 0..SEEDS {
        let disk = disk(seed);
        disk.open(&path("f"), Open::CreateNew).unwrap();
        disk.inject(fault(Op::SyncDir, "/d", When::Nth(1), Errno::IO));
        assert_eq!(code(disk.sync_dir(Path::new("/d"))), Some(Errno::IO.raw_os_error()));
        assert!(read(&disk, "f").is_some(), "readers still see it");
        file(&disk, "g");
        disk.crash();
        assert!(read(&disk, "g").is_some());
        let survived = read(&disk, "f").is_some() as u64;
        (kept, lost) = (kept + survived, lost + 1 - survived);
    }
    assert!(lost > SEEDS / 4 && kept > SEEDS / 4, "{lost} {kept}");
}

#[test]
fn faults_strike_the_calls_they_name() {
    let disk = disk(1);
    let (a, b) = (file(&disk, "a"), file(&disk, "b"));
    disk.inject(fault(Op::Write, "/d/a", When::Nth(2), Errno::IO));
    disk.inject(fault(Op::Read, "/d", When::From(2), Errno::IO));
    write(&*a, 0, b"one");
    write(&*b, 0, b"one");
    assert_eq!(code(a.write_at(&[IoSlice::new(b"two")], 3)), Some(Errno::IO.raw_os_error()));
    write(&*a, 3, b"two");
    assert!(a.len().is_ok());
    assert!(a.len().is_err() && b.len().is_err());
    disk.heal();
    assert_eq!(read(&disk, "a").unwrap(), b"onetwo");
    disk.inject(fault(Op::Sync, "/", When::OneIn(3), Errno::IO));
    let failed = (0..900).filter(|_| a.sync().is_err()).count();
    assert!((200..400).contains(&failed), "{failed}");
}

#[test]
fn a_full_disk_takes_the_prefix_that_fits() {
    let disk = disk(1);
    let (a, b) = (file(&disk, "a"), file(&disk, "b"));
    disk.set_capacity(10);
    write(&*a, 0, &[1; 6]);
    assert_eq!(
        code(b.write_at(&[IoSlice::new(&[2; 3]), IoSlice::new(&[3; 3])], 0)),
        Some(Errno::NOSPC.raw_os_error())
    );
    assert_eq!(read(&disk, "b").unwrap(), [2, 2, 2, 3]);
    write(&*a, 0, &[4; 6]);
    assert_eq!(b.set_len(5).unwrap_err().kind(), ErrorKind::StorageFull);
    disk.remove(&path("a")).unwrap();
    assert_eq!(disk.used(), 4);
    write(&*b, 4, &[5; 6]);
    b.set_len(2).unwrap();
    assert_eq!(disk.used(), 2);
}

#[test]
fn descriptors_run_out() {
    let disk = disk(1);
    let a = file(&disk, "a");
    disk.set_max_open(1);
    assert_eq!(code(disk.open(&path("a"), Open::Read)), Some(Errno::MFILE.raw_os_error()));
    drop(a);
    disk.open(&path("a"), Open::Read).unwrap();
}

#[test]
fn handles_and_locks_die_with_the_power() {
    let disk = disk(1);
    let f = file(&disk, "f");
    let held = disk.lock(&path(".lock")).unwrap();
    disk.power_off_after(1);
    write(&*f, 0, b"last");
    assert!(f.sync().is_err() && disk.list(Path::new("/d")).is_err() && f.len().is_err());
    disk.crash();
    assert!(f.len().is_err() && f.sync().is_err());
    let again = disk.lock(&path(".lock")).unwrap();
    drop((held, f));
    assert!(disk.lock(&path(".lock")).is_err(), "an old guard must not release a new lock");
    drop(again);
    assert!(disk.lock(&path(".lock")).is_ok());
}

#[test]
fn many_unsynced_writes_cost_little() {
    let disk = disk(7);
    let f = file(&disk, "f");
    (0..16_384).for_each(|i| write(&*f, i * 100, &[1; 100]));
    disk.crash();
    assert!(read(&disk, "f").unwrap().len() <= 1_638_400);
}
