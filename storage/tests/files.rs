//! The cache of open files: bounded, never stale, and patient with a process out of descriptors.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use storage::disk::fault::{Errno, FaultDisk};
use storage::disk::{Disk, Open, os_code};
use storage::files::FileCache;

/// A disk with the files `/d/0` to `/d/9`, each holding its number.
fn disk() -> FaultDisk {
    let disk = FaultDisk::new(1);
    disk.create_dir(Path::new("/d")).unwrap();
    for i in 0..10 {
        let file = disk.open(&path(i), Open::CreateNew).unwrap();
        file.write_at(&[IoSlice::new(&[i])], 0).unwrap();
    }
    disk
}

fn path(i: u8) -> PathBuf {
    PathBuf::from(format!("/d/{i}"))
}

fn cache(disk: &FaultDisk, capacity: usize) -> FileCache {
    FileCache::new(Arc::new(disk.clone()), capacity)
}

fn first_byte(cache: &FileCache, i: u8) -> u8 {
    let mut byte = [0];
    cache.get(&path(i), Open::Read).unwrap().read_exact_at(&mut byte, 0).unwrap();
    byte[0]
}

#[test]
fn keeps_the_most_recently_used() {
    let disk = disk();
    let cache = cache(&disk, 3);
    let zero = cache.get(&path(0), Open::Read).unwrap();
    for i in [1, 2, 0, 3, 4, 0] {
        assert_eq!(first_byte(&cache, i), i);
    }
    assert_eq!(cache.open_files(), 3);
    assert!(Arc::ptr_eq(&zero, &cache.get(&path(0), Open::Read).unwrap()), "it was used throughout");
    let one = cache.get(&path(1), Open::Read).unwrap();
    (5..9).for_each(|i| assert_eq!(first_byte(&cache, i), i));
    assert!(!Arc::ptr_eq(&one, &cache.get(&path(1), Open::Read).unwrap()));
    assert_eq!(one.len().unwrap(), 1, "still valid in the hands that hold it");
}

#[test]
fn a_reader_shares_the_writers_file_but_not_the_other_way() {
    let disk = disk();
    let cache = cache(&disk, 3);
    let reader = cache.get(&path(0), Open::Read).unwrap();
    let writer = cache.get(&path(0), Open::Write).unwrap();
    assert!(!Arc::ptr_eq(&reader, &writer));
    writer.write_at(&[IoSlice::new(b"x")], 1).unwrap();
    assert!(Arc::ptr_eq(&writer, &cache.get(&path(0), Open::Read).unwrap()));
    assert!(Arc::ptr_eq(&writer, &cache.get(&path(0), Open::Create).unwrap()));
    assert!(cache.get(&path(0), Open::CreateNew).is_err(), "a cached file is no new one");
    assert_eq!(cache.open_files(), 1);
}

#[test]
fn forgets_what_was_renamed_or_removed() {
    let disk = disk();
    let cache = cache(&disk, 10);
    (0..5).for_each(|i| drop(cache.get(&path(i), Open::Read)));
    disk.remove(&path(0)).unwrap();
    cache.forget(&path(0));
    assert!(cache.get(&path(0), Open::Read).is_err());
    assert_eq!(cache.open_files(), 4);
    disk.rename(Path::new("/d"), Path::new("/d-delete")).unwrap();
    cache.forget(Path::new("/d"));
    assert_eq!(cache.open_files(), 0);
}

#[test]
fn out_of_descriptors_closes_idle_files_first() {
    let disk = disk();
    let cache = cache(&disk, 10);
    disk.set_max_open(3);
    let held = cache.get(&path(0), Open::Read).unwrap();
    (1..10).for_each(|i| assert_eq!(first_byte(&cache, i), i));
    assert!(Arc::ptr_eq(&held, &cache.get(&path(0), Open::Read).unwrap()));
    let more = [1, 2].map(|i| cache.get(&path(i), Open::Read).unwrap());
    let refused = cache.get(&path(3), Open::Read).unwrap_err();
    assert_eq!(os_code(&refused), Some(Errno::MFILE.raw_os_error()));
    drop((held, more));
    assert_eq!(first_byte(&cache, 3), 3);
}

#[test]
fn the_limit_of_descriptors_is_raised_once() {
    let limit = storage::files::raise_fd_limit();
    assert!(limit >= 64);
    assert_eq!(storage::files::raise_fd_limit(), limit);
}

#[test]
fn whoever_opens_something_else_gets_the_descriptors_of_idle_files() {
    let disk = disk();
    let cache = cache(&disk, 3);
    first_byte(&cache, 0);
    disk.set_max_open(1);
    let sync = || disk.sync_dir(Path::new("/d"));
    assert_eq!(os_code(&sync().unwrap_err()), Some(Errno::MFILE.raw_os_error()));
    cache.making_room(sync).unwrap();
    assert_eq!(cache.open_files(), 0);
}
