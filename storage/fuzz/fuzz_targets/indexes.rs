//! Any bytes as an index file: what loads is found again by search, and is written back as it was.
#![no_main]

use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use storage::disk::fault::FaultDisk;
use storage::disk::{Disk, File, Open};
use storage::index::{AbortedTxn, Entry, Index, OffsetEntry, TimeEntry, find};

fn file(disk: &FaultDisk, name: &str) -> Arc<dyn File> {
    disk.open(Path::new(name), Open::Create).expect("a file")
}

fn look<E: Entry>(disk: &FaultDisk, read: &dyn File, bytes: &[u8], base: i64) {
    let _ = find::<E>(read, base, base);
    let Ok(index) = Index::<E>::load(read, base, 10 << 20) else { return };
    let entries = index.entries();
    let written = file(disk, std::any::type_name::<E>());
    let copy = Index::<E>::new(base, 10 << 20);
    for entry in &entries {
        assert!(copy.push(*entry));
        assert_eq!(find(read, base, entry.key()).expect("found"), Some(*entry));
    }
    copy.flush(&*written).expect("written");
    let mut back = vec![0; bytes.len()];
    written.read_exact_at(&mut back, 0).expect("as long");
    assert_eq!(back, bytes);
}

fuzz_target!(|input: (u32, &[u8])| {
    let (base, bytes) = (i64::from(input.0), input.1);
    let disk = FaultDisk::new(0);
    let read = file(&disk, "/read");
    read.write_at(&[IoSlice::new(bytes)], 0).expect("written");
    look::<OffsetEntry>(&disk, &*read, bytes, base);
    look::<TimeEntry>(&disk, &*read, bytes, base);
    look::<AbortedTxn>(&disk, &*read, bytes, base);
});
