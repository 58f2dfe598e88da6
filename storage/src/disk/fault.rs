//! A disk in memory that loses power, tears writes, fills up and fails on purpose, the same way for the same seed.
//!
//! It keeps the promises of [`super`] and no more: after [`FaultDisk::crash`] what was synced is there, of the rest
//! any part may be, torn at blocks of 512 B to 4 KiB. Handles and locks from before are dead.

mod contents;
mod names;
mod rng;

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::sync::Mutex;

use super::error::at_path;
use super::{Disk, Entry, File, Open};
use contents::Contents;
use names::{FileRef, Names};

pub use rng::Rng;
pub use rustix::io::Errno;

/// A kind of call that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Open,
    Read,
    Write,
    SetLen,
    Sync,
    List,
    CreateDir,
    Rename,
    Remove,
    SyncDir,
    Lock,
}

/// Which of the matching calls fail, counted from when the fault is injected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The n-th alone; the first is 1.
    Nth(u64),
    /// The n-th and all after it.
    From(u64),
    /// Each with probability 1/n.
    OneIn(u32),
}

/// Calls of kind `op` at or below `under` that fail with `errno`. A failing write writes some prefix first; a failing
/// sync gives up what was not yet on the medium, and later syncs of that file, or directory, succeed without it.
#[derive(Clone, Debug)]
pub struct Fault {
    pub op: Op,
    pub under: PathBuf,
    pub when: When,
    pub errno: Errno,
}

/// The disk; clones are the same disk. A file's path, for faults, is the one it was opened by.
#[derive(Clone)]
pub struct FaultDisk {
    state: Arc<Mutex<State>>,
}

struct State {
    rng: Rng,
    names: Names,
    faults: Vec<(Fault, u64)>,
    locks: BTreeSet<PathBuf>,
    /// Bytes in files that have a name, and how many there may be.
    used: u64,
    capacity: u64,
    open: usize,
    max_open: usize,
    /// Changing calls so far, and how many succeed before the power goes.
    changes: u64,
    power_until: u64,
    /// Crashes so far: tells handles of an earlier life.
    life: u64,
}

impl fmt::Debug for FaultDisk {
    /// Without its contents.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultDisk").finish_non_exhaustive()
    }
}

impl FaultDisk {
    /// An empty disk without faults; `seed` decides what crashes and random faults do.
    pub fn new(seed: u64) -> FaultDisk {
        let state = State {
            rng: Rng::new(seed),
            names: Names::default(),
            faults: Vec::new(),
            locks: BTreeSet::new(),
            used: 0,
            capacity: u64::MAX,
            open: 0,
            max_open: usize::MAX,
            changes: 0,
            power_until: u64::MAX,
            life: 0,
        };
        FaultDisk { state: Arc::new(Mutex::new(state)) }
    }

    /// Loses power and comes back: faults and limits stay, handles and locks die, the unsynced may vanish or tear.
    pub fn crash(&self) {
        let State { names, rng, locks, used, open, power_until, life, .. } = &mut *self.state.lock();
        names.crash(rng);
        locks.clear();
        (*used, *open, *power_until) = (names.bytes(), 0, u64::MAX);
        *life += 1;
    }

    /// Lets the next `changes` changing calls pass; then all calls fail, until [`FaultDisk::crash`].
    pub fn power_off_after(&self, changes: u64) {
        let mut state = self.state.lock();
        state.power_until = state.changes.saturating_add(changes);
    }

    /// Changing calls so far: all but opening what exists, reading and listing.
    pub fn changes(&self) -> u64 {
        self.state.lock().changes
    }

    pub fn inject(&self, fault: Fault) {
        self.state.lock().faults.push((fault, 0));
    }

    /// Takes away all faults and limits.
    pub fn heal(&self) {
        let mut state = self.state.lock();
        state.faults.clear();
        (state.capacity, state.max_open) = (u64::MAX, usize::MAX);
    }

    /// From now on files hold at most `bytes` together; what goes beyond fails with ENOSPC, a write after its prefix that fits.
    pub fn set_capacity(&self, bytes: u64) {
        self.state.lock().capacity = bytes;
    }

    /// Bytes in all files that have a name.
    pub fn used(&self) -> u64 {
        self.state.lock().used
    }

    /// From now on opening fails with EMFILE while `files` are open, and so does listing or syncing a directory.
    pub fn set_max_open(&self, files: usize) {
        self.state.lock().max_open = files;
    }

    /// Runs a call on a path: faults first, then `body`; errors name the path.
    fn call<T>(
        &self,
        op: Op,
        path: &Path,
        body: impl FnOnce(&mut State) -> Result<T, Errno>,
    ) -> io::Result<T> {
        let mut state = self.state.lock();
        state.enter(op, path).and_then(|()| body(&mut state)).map_err(|errno| at_path(path, errno))
    }
}

impl State {
    /// Whether this call gets as far as the disk.
    fn enter(&mut self, op: Op, path: &Path) -> Result<(), Errno> {
        if self.changes >= self.power_until {
            return Err(Errno::IO);
        }
        if matches!(op, Op::List | Op::SyncDir) && self.open >= self.max_open {
            return Err(Errno::MFILE);
        }
        if !matches!(op, Op::Open | Op::Read | Op::List) {
            self.changes += 1;
        }
        let State { faults, rng, .. } = self;
        let mut result = Ok(());
        for (fault, calls) in
            faults.iter_mut().filter(|(fault, _)| fault.op == op && path.starts_with(&fault.under))
        {
            if fault.strikes(calls, rng) {
                result = Err(fault.errno);
            }
        }
        result
    }

    fn open(&mut self, path: &Path, how: Open) -> Result<FileRef, Errno> {
        if self.open >= self.max_open {
            return Err(Errno::MFILE);
        }
        match (how, self.names.file(path)) {
            (Open::CreateNew, Ok(_) | Err(Errno::ISDIR)) => Err(Errno::EXIST),
            (Open::CreateNew | Open::Create, Err(Errno::NOENT)) => {
                self.changes += 1;
                self.names.create_file(path)
            }
            (_, found) => found,
        }
    }

    /// Up to `len`, how long the file can become.
    fn room(&self, contents: &Contents, len: u64) -> u64 {
        let free = if contents.unlinked { u64::MAX } else { self.capacity.saturating_sub(self.used) };
        len.min((contents.live.len() as u64).saturating_add(free))
    }

    /// Changes a file's contents and keeps count of its bytes.
    fn change(&mut self, contents: &mut Contents, change: impl FnOnce(&mut Contents)) {
        let old = contents.live.len() as u64;
        change(contents);
        if !contents.unlinked {
            self.used = self.used - old + contents.live.len() as u64;
        }
    }

    fn unlinked(&mut self, files: impl IntoIterator<Item = FileRef>) {
        for file in files {
            let mut file = file.lock();
            file.unlinked = true;
            self.used -= file.live.len() as u64;
        }
    }
}

impl Fault {
    fn strikes(&self, calls: &mut u64, rng: &mut Rng) -> bool {
        *calls += 1;
        match self.when {
            When::Nth(n) => *calls == n,
            When::From(n) => *calls >= n,
            When::OneIn(n) => rng.one_in(n),
        }
    }
}

impl Disk for FaultDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>> {
        let (contents, life) = self.call(Op::Open, path, |state| {
            let contents = state.open(path, how)?;
            state.open += 1;
            Ok((contents, state.life))
        })?;
        let writable = how != Open::Read;
        Ok(Arc::new(Handle { disk: self.clone(), contents, path: path.to_owned(), writable, life }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.call(Op::List, dir, |state| {
            let mut names = state.names.list(dir)?;
            // No order that anyone could rely on, and none that a look at the disk would change.
            names.sort_by_key(|(name, _)| crc32c::crc32c(name.as_bytes()));
            let entry = |(name, len): (String, Option<u64>)| Entry {
                name,
                is_dir: len.is_none(),
                len: len.unwrap_or(0),
            };
            Ok(names.into_iter().map(entry).collect())
        })
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.call(Op::CreateDir, dir, |state| state.names.create_dir(dir))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(Op::Rename, from, |state| {
            let replaced = state.names.rename(from, to)?;
            state.unlinked(replaced);
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.call(Op::Remove, path, |state| {
            let files = state.names.remove(path)?;
            state.unlinked(files);
            Ok(())
        })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        let is_on = state.changes < state.power_until;
        let synced = state.enter(Op::SyncDir, dir).and_then(|()| state.names.sync_dir(dir));
        let State { names, rng, .. } = &mut *state;
        synced.map_err(|errno| {
            if is_on && errno != Errno::MFILE {
                names.fail_sync_dir(dir, rng);
            }
            at_path(dir, errno)
        })
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let life = self.call(Op::Lock, path, |state| {
            state.open(path, Open::Create)?;
            if state.locks.insert(path.to_owned()) { Ok(state.life) } else { Err(Errno::WOULDBLOCK) }
        })?;
        Ok(Box::new(Held { disk: self.clone(), path: path.to_owned(), life }))
    }
}

/// A lock that is taken.
struct Held {
    disk: FaultDisk,
    path: PathBuf,
    life: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.disk.state.lock();
        if state.life == self.life {
            state.locks.remove(&self.path);
        }
    }
}

/// An open file.
struct Handle {
    disk: FaultDisk,
    contents: FileRef,
    path: PathBuf,
    writable: bool,
    life: u64,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut state = self.disk.state.lock();
        if state.life == self.life {
            state.open -= 1;
        }
    }
}

impl Handle {
    /// Runs a call whose injected fault is `body`'s to act upon.
    fn struck<T>(
        &self,
        op: Op,
        body: impl FnOnce(&mut State, Result<(), Errno>) -> Result<T, Errno>,
    ) -> io::Result<T> {
        let mut state = self.disk.state.lock();
        let dead = state.life != self.life || state.changes >= state.power_until;
        let writes = matches!(op, Op::Write | Op::SetLen);
        let result = match () {
            () if dead => Err(Errno::IO),
            () if writes && !self.writable => Err(Errno::BADF),
            () => {
                let fault = state.enter(op, &self.path);
                body(&mut state, fault)
            }
        };
        result.map_err(|errno| at_path(&self.path, errno))
    }

    fn call<T>(&self, op: Op, body: impl FnOnce(&mut State) -> Result<T, Errno>) -> io::Result<T> {
        self.struck(op, |state, fault| fault.and_then(|()| body(state)))
    }
}

impl File for Handle {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        self.call(Op::Read, |_| {
            let contents = self.contents.lock();
            let from = contents.live.len().min(at as usize);
            let len = buf.len().min(contents.live.len() - from);
            buf[..len].copy_from_slice(&contents.live[from..from + len]);
            Ok(len)
        })
    }

    fn write_at(&self, parts: &[IoSlice<'_>], at: u64) -> io::Result<()> {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        self.struck(Op::Write, |state, fault| {
            let mut contents = self.contents.lock();
            let wanted = if fault.is_ok() { len } else { state.rng.below(len + 1) };
            let fits = state.room(&contents, at + wanted as u64).saturating_sub(at) as usize;
            state.change(&mut contents, |contents| put(contents, parts, at as usize, fits));
            fault.and(if fits < wanted { Err(Errno::NOSPC) } else { Ok(()) })
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.call(Op::Read, |_| Ok(self.contents.lock().live.len() as u64))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.call(Op::SetLen, |state| {
            let mut contents = self.contents.lock();
            if state.room(&contents, len) < len {
                return Err(Errno::NOSPC);
            }
            state.change(&mut contents, |contents| contents.set_len(len as usize));
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.struck(Op::Sync, |state, fault| {
            let mut contents = self.contents.lock();
            match fault {
                Ok(()) => contents.sync(),
                Err(_) => contents.fail_sync(&mut state.rng),
            }
            fault
        })
    }

    fn map(&self, len: usize) -> io::Result<Box<dyn AsRef<[u8]> + Send + Sync>> {
        let mut bytes = vec![0; len];
        self.read_exact_at(&mut bytes, 0).map_err(|e| at_path(&self.path, e))?;
        Ok(Box::new(bytes))
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// Writes the first `len` bytes of `parts`.
fn put(contents: &mut Contents, parts: &[IoSlice<'_>], mut at: usize, mut len: usize) {
    for part in parts {
        let fits = &part[..part.len().min(len)];
        if !fits.is_empty() {
            contents.write(at, fits);
        }
        (at, len) = (at + fits.len(), len - fits.len());
    }
}
