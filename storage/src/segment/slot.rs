//! An index of a segment, wherever it is now: in memory while the segment grows, in its file afterwards.

use std::io;
use std::sync::Arc;

use crate::disk::{File, Open};
use crate::index::{self, Entry, Index, IndexError};
use crate::log::Offset;
use crate::sync::RwLock;

use super::directory::{Directory, if_exists};
use super::names::file_name;

#[derive(Debug)]
pub(crate) struct IndexSlot<E> {
    name: String,
    base: Offset,
    memory: RwLock<Option<Index<E>>>,
}

impl<E: Entry> IndexSlot<E> {
    /// The index in its file, which may be missing.
    pub fn in_file(base: Offset, kind: &str) -> IndexSlot<E> {
        IndexSlot { name: file_name(base, kind), base, memory: RwLock::new(None) }
    }

    /// Begins with an empty index, which replaces the file when it is written.
    pub fn start(&self, max_bytes: usize) {
        *self.memory.write() = Some(Index::new(self.base, max_bytes));
    }

    /// Takes the file into memory to append to it. A missing file is an empty index.
    pub fn load(&self, dir: &Directory, max_bytes: usize) -> Result<(), IndexError> {
        let index = match if_exists(dir.open_file(&self.name, Open::Read))? {
            Some(file) => Index::load(&*file, self.base, max_bytes)?,
            None => Index::new(self.base, max_bytes),
        };
        *self.memory.write() = Some(index);
        Ok(())
    }

    /// What `ask` says of the index in memory; `None` if it is not there.
    pub fn in_memory<T>(&self, ask: impl FnOnce(&Index<E>) -> T) -> Option<T> {
        self.memory.read().as_ref().map(ask)
    }

    /// The last entry whose key is at most `key`.
    pub fn lookup(&self, dir: &Directory, key: i64) -> Result<Option<E>, IndexError> {
        self.last_where(dir, |entry| entry.key() <= key)
    }

    /// The last entry of those, all at the front, that `within` accepts.
    pub fn last_where(&self, dir: &Directory, within: impl Fn(&E) -> bool) -> Result<Option<E>, IndexError> {
        if let Some(found) = self.in_memory(|index| index.last_where(&within)) {
            return Ok(found);
        }
        match if_exists(dir.open_file(&self.name, Open::Read))? {
            Some(file) => index::find_where(&*file, self.base, within),
            None => Ok(None),
        }
    }

    pub fn entries(&self, dir: &Directory) -> Result<Vec<E>, IndexError> {
        if let Some(entries) = self.in_memory(Index::entries) {
            return Ok(entries);
        }
        match if_exists(dir.open_file(&self.name, Open::Read))? {
            Some(file) => index::read_all(&*file, self.base),
            None => Ok(Vec::new()),
        }
    }

    /// Writes what the file lacks; the file, to be synced. With `even_empty` the file is made in any case.
    pub fn write(&self, dir: &Directory, even_empty: bool) -> io::Result<Option<Arc<dyn File>>> {
        let memory = self.memory.read();
        let Some(index) = memory.as_ref() else { return Ok(None) };
        let how = if index.is_empty() && !even_empty { Open::Write } else { Open::Create };
        let file = if_exists(dir.open_file(&self.name, how))?;
        if let Some(file) = &file {
            index.flush(&**file)?;
        }
        Ok(file)
    }

    /// Leaves the index to its file, which has been written.
    pub fn release(&self) {
        *self.memory.write() = None;
    }
}
