//! A bounded set of open files, opened on demand: a broker has more files than descriptors.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::disk::{Disk, File, Open, out_of_descriptors};
use crate::sync::Mutex;

/// Open files by path, the least recently used closed first. A file in someone's hands stays valid when it leaves
/// the cache: it closes with its last `Arc`. Whoever removes or renames a path calls [`FileCache::forget`] after it.
#[derive(Debug)]
pub struct FileCache {
    disk: Arc<dyn Disk>,
    /// Files.
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    files: HashMap<PathBuf, Slot>,
    /// Last use → path; the oldest use comes first.
    uses: BTreeMap<u64, PathBuf>,
    clock: u64,
    /// Counts `forget`: a file opened before one and not yet put in must not be put in after it.
    forgets: u64,
}

#[derive(Debug)]
struct Slot {
    file: Arc<dyn File>,
    writable: bool,
    used: u64,
}

impl FileCache {
    /// A cache of at most `capacity` files (at least one) over `disk`.
    pub fn new(disk: Arc<dyn Disk>, capacity: usize) -> FileCache {
        FileCache { disk, capacity: capacity.max(1), state: Mutex::default() }
    }

    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// The file at `path`, opened as `how` if it is not open yet (a file open for writing also serves readers).
    /// Out of descriptors, it closes idle files and tries again.
    pub fn get(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>> {
        let forgets = {
            let mut state = self.state.lock();
            if let Some(file) = state.find(path, how) {
                return Ok(file);
            }
            state.forgets
        };
        let file = self.making_room(|| self.disk.open(path, how))?;
        let slot = Slot { file: file.clone(), writable: how != Open::Read, used: 0 };
        let mut state = self.state.lock();
        if state.forgets == forgets {
            state.put(path, slot, self.capacity);
        }
        Ok(file)
    }

    /// Drops `path`, and if it is a directory all files below it.
    pub fn forget(&self, path: &Path) {
        let mut state = self.state.lock();
        state.forgets += 1;
        state.files.retain(|at, _| !at.starts_with(path));
        state.uses.retain(|_, at| !at.starts_with(path));
    }

    /// Files held open by the cache.
    pub fn open_files(&self) -> usize {
        self.state.lock().files.len()
    }

    /// Does `call`, which opens something; out of descriptors, closes idle files and does it again.
    pub fn making_room<T>(&self, call: impl Fn() -> io::Result<T>) -> io::Result<T> {
        loop {
            match call() {
                Err(e) if out_of_descriptors(&e) && self.state.lock().close_idle() => continue,
                other => return other,
            }
        }
    }
}

/// Raises this process's soft limit of open files to the hard one; how many it may open now. For the edge, at the start.
pub fn raise_fd_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let in_force = setrlimit(Resource::Nofile, raised).map_or(limit, |()| raised);
    in_force.current.unwrap_or(u64::MAX)
}

impl State {
    fn find(&mut self, path: &Path, how: Open) -> Option<Arc<dyn File>> {
        let slot = self.files.get_mut(path)?;
        if how == Open::CreateNew || (how != Open::Read && !slot.writable) {
            return None;
        }
        self.clock += 1;
        let name = self.uses.remove(&slot.used)?;
        slot.used = self.clock;
        self.uses.insert(self.clock, name);
        Some(slot.file.clone())
    }

    fn put(&mut self, path: &Path, slot: Slot, capacity: usize) {
        self.clock += 1;
        let used = self.clock;
        self.uses.insert(used, path.to_owned());
        if let Some(old) = self.files.insert(path.to_owned(), Slot { used, ..slot }) {
            self.uses.remove(&old.used);
        }
        while self.files.len() > capacity {
            self.close_oldest();
        }
    }

    fn close_oldest(&mut self) {
        if let Some((_, path)) = self.uses.pop_first() {
            self.files.remove(&path);
        }
    }

    /// Closes the least recently used files that nobody else holds, some at a time; false if there was none.
    fn close_idle(&mut self) -> bool {
        const AT_ONCE: usize = 16;
        let idle =
            |path: &&PathBuf| self.files.get(*path).is_some_and(|slot| Arc::strong_count(&slot.file) == 1);
        let idle: Vec<PathBuf> = self.uses.values().filter(idle).take(AT_ONCE).cloned().collect();
        for path in &idle {
            if let Some(slot) = self.files.remove(path) {
                self.uses.remove(&slot.used);
            }
        }
        !idle.is_empty()
    }
}
