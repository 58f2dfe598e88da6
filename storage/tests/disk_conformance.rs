//! What every disk must do: the same cases on the real disk and on the one that fails on purpose.

use std::io::{ErrorKind, IoSlice};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Advice, fadvise, statfs};
use storage::disk::fault::{Errno, FaultDisk};
use storage::disk::{Disk, File, Open, RealDisk, os_code};

type Case = fn(&dyn Disk, &Path);

const CASES: &[(&str, Case)] = &[
    ("open modes", open_modes),
    ("positional reads and writes", positional),
    ("many parts", many_parts),
    ("length", length),
    ("map", map),
    ("list", list),
    ("has a directory", has_dir),
    ("rename", rename),
    ("remove", remove),
    ("removed but open", removed_but_open),
    ("sync", sync),
    ("in memory", in_memory),
    ("lock", lock),
    ("errors name the path", errors_name_the_path),
];

#[test]
fn real_disk() {
    for (name, case) in CASES {
        let dir = tempfile::tempdir().unwrap();
        println!("{name}");
        case(&RealDisk, dir.path());
    }
}

/// A file system that is memory itself has nothing else, and forgets nothing.
#[test]
fn what_memory_has_forgotten_is_loaded() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = put(&RealDisk, &dir.path().join("a"), &vec![7; 3 << 20]);
    file.sync().unwrap();
    fadvise(file.fd().unwrap(), 0, None, Advice::DontNeed).unwrap();
    let is_forgotten = !file.is_cached(1 << 20, 1 << 20);
    let loaded = file.load(1 << 20, 1 << 20);
    assert!(loaded.is_some_and(|loaded| loaded == vec![7; 1 << 20]) || file.is_cached(1 << 20, 1 << 20));
    assert!(is_forgotten || !is_on_a_device(dir.path()), "nothing is forgotten");
}

fn is_on_a_device(dir: &Path) -> bool {
    const TMPFS: i64 = 0x0102_1994;
    statfs(dir).unwrap().f_type as i64 != TMPFS
}

#[test]
fn fault_disk() {
    for (name, case) in CASES {
        let disk = FaultDisk::new(1);
        disk.create_dir(Path::new("/data")).unwrap();
        println!("{name}");
        case(&disk, Path::new("/data"));
    }
}

fn kind<T>(result: std::io::Result<T>) -> ErrorKind {
    result.err().expect("an error").kind()
}

fn put(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Arc<dyn File> {
    let file = disk.open(path, Open::Create).unwrap();
    file.write_at(&[IoSlice::new(bytes)], 0).unwrap();
    file
}

fn bytes(file: &dyn File) -> Vec<u8> {
    let mut all = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut all, 0).unwrap();
    all
}

fn names(disk: &dyn Disk, dir: &Path) -> Vec<(String, bool, u64)> {
    let mut names: Vec<_> = disk.list(dir).unwrap().into_iter().map(|e| (e.name, e.is_dir, e.len)).collect();
    names.sort();
    names
}

fn has_dir(disk: &dyn Disk, dir: &Path) {
    let made = dir.join("made");
    assert!(disk.has_dir(dir) && !disk.has_dir(&made));
    disk.create_dir(&made).unwrap();
    put(disk, &dir.join("file"), b"abc");
    assert!(disk.has_dir(&made) && !disk.has_dir(&dir.join("file")));
    disk.remove(&made).unwrap();
    assert!(!disk.has_dir(&made));
}

fn open_modes(disk: &dyn Disk, dir: &Path) {
    let path = dir.join("f");
    assert_eq!(kind(disk.open(&path, Open::Read)), ErrorKind::NotFound);
    assert_eq!(kind(disk.open(&path, Open::Write)), ErrorKind::NotFound);
    assert_eq!(kind(disk.open(&dir.join("no/f"), Open::Create)), ErrorKind::NotFound);
    put(disk, &path, b"abc");
    assert_eq!(kind(disk.open(&path, Open::CreateNew)), ErrorKind::AlreadyExists);
    assert_eq!(kind(disk.open(&dir.join("f/g"), Open::Create)), ErrorKind::NotADirectory);
    assert_eq!(kind(disk.open(dir, Open::Write)), ErrorKind::IsADirectory);
    assert_eq!(bytes(&*disk.open(&path, Open::Create).unwrap()), b"abc");
    assert!(disk.open(&dir.join("new"), Open::CreateNew).unwrap().is_empty().unwrap());
    let reader = disk.open(&path, Open::Read).unwrap();
    let refused = reader.write_at(&[IoSlice::new(b"x")], 0).unwrap_err();
    assert_eq!(os_code(&refused), Some(Errno::BADF.raw_os_error()));
}

fn positional(disk: &dyn Disk, dir: &Path) {
    let file = put(disk, &dir.join("f"), b"0123456789");
    file.write_at(&[IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"c")], 3).unwrap();
    assert_eq!(bytes(&*file), b"012abc6789");
    file.write_at(&[IoSlice::new(b"xyz")], 9).unwrap();
    file.write_at(&[IoSlice::new(b"end")], 14).unwrap();
    assert_eq!(bytes(&*file), b"012abc678xyz\0\0end");
    let mut buf = [0; 8];
    assert_eq!(file.read_at(&mut buf, 14).unwrap(), 3);
    assert_eq!(&buf[..3], b"end");
    assert_eq!(file.read_at(&mut buf, 17).unwrap(), 0);
    assert_eq!(file.read_at(&mut buf, 1 << 40).unwrap(), 0);
    assert_eq!(kind(file.read_exact_at(&mut buf, 14)), ErrorKind::UnexpectedEof);
    file.write_at(&[], 99).unwrap();
    assert_eq!(file.len().unwrap(), 17);
}

fn many_parts(disk: &dyn Disk, dir: &Path) {
    let parts: Vec<Vec<u8>> = (0..2500_usize).map(|i| vec![i as u8; i % 7]).collect();
    let slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
    let file = put(disk, &dir.join("f"), b"head");
    file.write_at(&slices, 4).unwrap();
    assert_eq!(bytes(&*file), [b"head".to_vec(), parts.concat()].concat());
}

fn length(disk: &dyn Disk, dir: &Path) {
    let file = put(disk, &dir.join("f"), b"abcdef");
    file.set_len(4).unwrap();
    file.set_len(6).unwrap();
    assert_eq!(bytes(&*file), b"abcd\0\0");
}

fn map(disk: &dyn Disk, dir: &Path) {
    let file = put(disk, &dir.join("f"), b"abcdef");
    let view = file.map(4).unwrap();
    drop(file);
    assert_eq!((*view).as_ref(), b"abcd");
    let file = disk.open(&dir.join("f"), Open::Read).unwrap();
    assert_eq!((*file.map(0).unwrap()).as_ref(), b"");
    assert_eq!(file.map(7).err().unwrap().kind(), ErrorKind::UnexpectedEof);
}

fn list(disk: &dyn Disk, dir: &Path) {
    assert_eq!(names(disk, dir), []);
    disk.create_dir(&dir.join("a/b")).unwrap();
    disk.create_dir(&dir.join("a")).unwrap();
    put(disk, &dir.join("f"), b"abc");
    assert_eq!(names(disk, dir), [("a".into(), true, 0), ("f".into(), false, 3)]);
    assert_eq!(kind(disk.list(&dir.join("none"))), ErrorKind::NotFound);
    assert_eq!(kind(disk.list(&dir.join("f"))), ErrorKind::NotADirectory);
}

fn rename(disk: &dyn Disk, dir: &Path) {
    let (a, b) = (dir.join("a"), dir.join("b"));
    put(disk, &a, b"new");
    put(disk, &b, b"old");
    disk.rename(&a, &b).unwrap();
    assert_eq!(bytes(&*disk.open(&b, Open::Read).unwrap()), b"new");
    assert_eq!(kind(disk.rename(&a, &b)), ErrorKind::NotFound);
    disk.create_dir(&dir.join("t-0")).unwrap();
    put(disk, &dir.join("t-0/log"), b"log");
    disk.rename(&dir.join("t-0"), &dir.join("t-0-delete")).unwrap();
    assert_eq!(names(disk, dir), [("b".into(), false, 3), ("t-0-delete".into(), true, 0)]);
    assert_eq!(names(disk, &dir.join("t-0-delete")), [("log".into(), false, 3)]);
    disk.create_dir(&dir.join("other")).unwrap();
    assert_eq!(kind(disk.rename(&dir.join("other"), &dir.join("t-0-delete"))), ErrorKind::DirectoryNotEmpty);
    disk.rename(&dir.join("t-0-delete/log"), &dir.join("other/log")).unwrap();
    assert_eq!(names(disk, &dir.join("other")), [("log".into(), false, 3)]);
}

fn remove(disk: &dyn Disk, dir: &Path) {
    put(disk, &dir.join("f"), b"x");
    disk.remove(&dir.join("f")).unwrap();
    assert_eq!(kind(disk.remove(&dir.join("f"))), ErrorKind::NotFound);
    disk.create_dir(&dir.join("d/e")).unwrap();
    put(disk, &dir.join("d/e/f"), b"x");
    disk.remove(&dir.join("d")).unwrap();
    assert_eq!(names(disk, dir), []);
}

fn removed_but_open(disk: &dyn Disk, dir: &Path) {
    let path = dir.join("f");
    let old = put(disk, &path, b"old");
    disk.remove(&path).unwrap();
    disk.sync_dir(dir).unwrap();
    let new = put(disk, &path, b"new");
    old.write_at(&[IoSlice::new(b"er")], 3).unwrap();
    assert_eq!((bytes(&*old), bytes(&*new)), (b"older".to_vec(), b"new".to_vec()));
}

fn sync(disk: &dyn Disk, dir: &Path) {
    put(disk, &dir.join("f"), b"x").sync().unwrap();
    disk.sync_dir(dir).unwrap();
    assert_eq!(kind(disk.sync_dir(&dir.join("none"))), ErrorKind::NotFound);
}

fn in_memory(disk: &dyn Disk, dir: &Path) {
    let file = put(disk, &dir.join("a"), b"abc");
    assert!(file.is_cached(0, 3) && file.is_cached(3, 0));
    file.load(0, 3);
    // Beyond the end nothing is there to be waited for.
    file.load(2, 1 << 20);
    assert!(file.is_cached(2, 1 << 20));
    assert_eq!(bytes(&*file), b"abc");
}

fn lock(disk: &dyn Disk, dir: &Path) {
    let path = dir.join(".lock");
    let held = disk.lock(&path).unwrap();
    assert_eq!(disk.lock(&path).err().unwrap().kind(), ErrorKind::WouldBlock);
    drop(held);
    drop(disk.lock(&path).unwrap());
    assert_eq!(names(disk, dir), [(".lock".into(), false, 0)]);
}

fn errors_name_the_path(disk: &dyn Disk, dir: &Path) {
    let path = dir.join("absent");
    let named = |error: std::io::Error| assert!(error.to_string().contains("absent"), "{error}");
    named(disk.open(&path, Open::Read).unwrap_err());
    named(disk.list(&path).unwrap_err());
    named(disk.remove(&path).unwrap_err());
    named(disk.rename(&path, dir).unwrap_err());
    named(disk.sync_dir(&path).unwrap_err());
    named(disk.create_dir(&put_file(disk, &path)).unwrap_err());
}

/// A file at `path`, and a path below it that can never be.
fn put_file(disk: &dyn Disk, path: &Path) -> std::path::PathBuf {
    put(disk, path, b"x");
    path.join("below")
}
