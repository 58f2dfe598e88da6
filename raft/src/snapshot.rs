//! Snapshots of the machine on disk: one file, whole or not there.
//!
//! ```text
//! "DSNP" (4) | version (2) | meta length (4) | meta | crc32c of all before (4) | data | crc32c of data (4) | data length (8)
//! ```
//!
//! It is written under another name, synced, renamed, and the directory synced, before it counts; then older ones go.

use std::io::{self, IoSlice, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use parking_lot::Mutex;
use storage::disk::{Disk, File, FileSlice, Open};

use crate::codec::{Coded, decode, malformed};
use crate::types::SnapshotMeta;

const MAGIC: &[u8; 4] = b"DSNP";
const VERSION: u16 = 1;
const HEADER: usize = 10;
const TRAILER: u64 = 12;
const SUFFIX: &str = ".snapshot";
const UNFINISHED: &str = ".snapshot.tmp";
/// Bytes written or checked at a time.
const CHUNK: usize = 64 << 10;

/// A machine's state, in a file or as it came from a peer.
#[derive(Clone, Debug)]
pub(crate) enum Data {
    Stored(FileSlice),
    Received(Bytes),
}

impl Data {
    pub fn read(&self) -> io::Result<Bytes> {
        match self {
            Data::Stored(slice) => slice.read().map(Bytes::from),
            Data::Received(bytes) => Ok(bytes.clone()),
        }
    }
}

/// A snapshot that is durable.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub meta: SnapshotMeta,
    pub data: FileSlice,
}

/// The snapshots of one directory.
#[derive(Debug)]
pub(crate) struct Snapshots {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// Never held while the disk is at work: the raft task asks for it.
    newest: Mutex<Option<Stored>>,
    /// Held while one is written: the newest counts, whoever begins first.
    writing: Mutex<()>,
}

impl Snapshots {
    /// Finds and checks the newest snapshot in a directory that exists, and clears away what a crash left. Blocks on
    /// the disk.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path) -> io::Result<Snapshots> {
        let mut names: Vec<String> = disk.list(dir)?.into_iter().map(|entry| entry.name).collect();
        names.sort_unstable();
        let newest = names.iter().rev().find(|name| name.ends_with(SUFFIX));
        let stored = newest.map(|name| load(&*disk, &dir.join(name))).transpose()?;
        let snapshots =
            Snapshots { disk, dir: dir.into(), newest: Mutex::new(stored), writing: Mutex::new(()) };
        snapshots.remove_but(newest)?;
        Ok(snapshots)
    }

    /// The newest one.
    pub fn newest(&self) -> Option<Stored> {
        self.newest.lock().clone()
    }

    /// Writes what `fill` gives and makes it durable. If there is a newer snapshot by now, that one is kept and
    /// returned. Blocks on the disk.
    pub fn write(
        &self,
        meta: SnapshotMeta,
        fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<Stored> {
        let _alone = self.writing.lock();
        if let Some(there) = self.newest().filter(|there| there.meta.last_log_id >= meta.last_log_id) {
            return Ok(there);
        }
        let name = name(&meta);
        let (temporary, lasting) = (self.dir.join(format!("{name}{UNFINISHED}")), format!("{name}{SUFFIX}"));
        let data = store(self.disk.open(&temporary, Open::Create)?, &meta, fill)?;
        self.disk.rename(&temporary, &self.dir.join(&lasting))?;
        self.disk.sync_dir(&self.dir)?;
        let stored = Stored { meta, data };
        *self.newest.lock() = Some(stored.clone());
        self.remove_but(Some(&lasting))?;
        Ok(stored)
    }

    fn remove_but(&self, kept: Option<&String>) -> io::Result<()> {
        for entry in self.disk.list(&self.dir)? {
            let ours = entry.name.ends_with(SUFFIX) || entry.name.ends_with(UNFINISHED);
            if ours && Some(&entry.name) != kept {
                self.disk.remove(&self.dir.join(&entry.name))?;
            }
        }
        Ok(())
    }
}

/// Sorts by what it covers.
fn name(meta: &SnapshotMeta) -> String {
    let (index, term) = meta.last_log_id.map_or((0, 0), |id| (id.index, id.leader_id.term));
    format!("{index:020}-{term:020}")
}

fn header(meta: &SnapshotMeta) -> Vec<u8> {
    let mut body = Vec::new();
    meta.put(&mut body);
    let mut out = Vec::with_capacity(HEADER + body.len() + 4);
    out.put_slice(MAGIC);
    out.put_u16(VERSION);
    Bytes::from(body).put(&mut out);
    out.put_u32(crc32c::crc32c(&out));
    out
}

fn store(
    file: Arc<dyn File>,
    meta: &SnapshotMeta,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<FileSlice> {
    file.set_len(0)?;
    let header = header(meta);
    file.write_at(&[IoSlice::new(&header)], 0)?;
    let start = header.len() as u64;
    let mut sink = io::BufWriter::with_capacity(CHUNK, Sink { file: &*file, at: start, crc: 0 });
    fill(&mut sink)?;
    let Sink { at, crc, .. } = sink.into_inner().map_err(io::IntoInnerError::into_error)?;
    let len = at - start;
    file.write_at(&[IoSlice::new(&crc.to_be_bytes()), IoSlice::new(&len.to_be_bytes())], at)?;
    file.sync()?;
    Ok(FileSlice { file, at: start, len: len as usize })
}

/// Appends to a file and sums up what was written.
struct Sink<'a> {
    file: &'a dyn File,
    at: u64,
    crc: u32,
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_at(&[IoSlice::new(bytes)], self.at)?;
        self.at += bytes.len() as u64;
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn load(disk: &dyn Disk, path: &Path) -> io::Result<Stored> {
    let open = || -> io::Result<Stored> {
        let file = disk.open(path, Open::Read)?;
        let (meta, start) = load_meta(&*file)?;
        let len = check_data(&*file, start)?;
        Ok(Stored { meta, data: FileSlice { file, at: start, len: len as usize } })
    };
    open().map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))
}

fn load_meta(file: &dyn File) -> io::Result<(SnapshotMeta, u64)> {
    let mut head = [0; HEADER];
    file.read_exact_at(&mut head, 0)?;
    let (mut rest, total) = (&head[4..], file.len()?);
    let version = rest.get_u16();
    if &head[..4] != MAGIC {
        return Err(malformed("not a snapshot"));
    }
    if version != VERSION {
        return Err(malformed(format!("snapshot version {version} was written by a newer release")));
    }
    let end = HEADER as u64 + u64::from(rest.get_u32());
    if end + 4 > total {
        return Err(malformed("the snapshot is cut short"));
    }
    let mut bytes = vec![0; end as usize + 4];
    file.read_exact_at(&mut bytes, 0)?;
    let crc = bytes.split_off(end as usize);
    if crc != crc32c::crc32c(&bytes).to_be_bytes() {
        return Err(malformed("the snapshot's header is damaged"));
    }
    Ok((decode(Bytes::from(bytes).slice(HEADER..))?, end + 4))
}

/// Checks the data that starts at `start`; returns its length.
fn check_data(file: &dyn File, start: u64) -> io::Result<u64> {
    let end = file.len()?.checked_sub(TRAILER).filter(|end| *end >= start);
    let end = end.ok_or_else(|| malformed("the snapshot is cut short"))?;
    let (mut crc, mut at, mut chunk) = (0, start, vec![0; CHUNK]);
    while at < end {
        let part = &mut chunk[..CHUNK.min((end - at) as usize)];
        file.read_exact_at(part, at)?;
        crc = crc32c::crc32c_append(crc, part);
        at += part.len() as u64;
    }
    let mut trailer = [0; TRAILER as usize];
    file.read_exact_at(&mut trailer, end)?;
    let mut rest = &trailer[..];
    if (rest.get_u32(), rest.get_u64()) != (crc, end - start) {
        return Err(malformed("the snapshot's data is damaged"));
    }
    Ok(end - start)
}
