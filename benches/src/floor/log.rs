//! Files that batches are appended to.

use super::{Options, replicate};
use anyhow::Result;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Offset of a batch's length, of what its CRC covers, and of its number of records.
const LENGTH: usize = 8;
const CRC: usize = 17;
const CRC_FROM: usize = 21;
const COUNT: usize = 57;

pub struct Logs {
    options: Options,
    open: Mutex<HashMap<Box<[u8]>, Arc<Log>>>,
}

/// One file, which one kind of batch is appended to.
pub struct Log {
    pub file: File,
    end: Mutex<u64>,
    /// Bytes and records of each batch.
    pub one: (u64, u64),
    /// Bytes that are there.
    pub appended: watch::Sender<u64>,
    /// Bytes that each of those that must have them has.
    pub kept: Vec<watch::Sender<u64>>,
    /// What brings them there. They hold the log, and with it the file.
    keepers: Mutex<JoinSet<Result<()>>>,
}

impl Logs {
    pub fn new(options: Options) -> Logs {
        Logs { options, open: Mutex::default() }
    }

    pub fn get(&self, name: &[u8]) -> Option<Arc<Log>> {
        self.open.lock().get(name).cloned()
    }

    /// Lets go of all logs. A follower's go when their leader's streams end, and it has forgotten them too.
    pub fn forget(&self) {
        for (_, log) in self.open.lock().drain() {
            log.keepers.lock().abort_all();
        }
    }

    /// The log of this name, which `first` is about to be appended to.
    pub fn create(&self, name: &[u8], first: &[u8]) -> Result<Arc<Log>> {
        let mut open = self.open.lock();
        if let Some(log) = open.get(name) {
            return Ok(log.clone());
        }
        let number =
            |at: usize| u64::from(u32::from_be_bytes(first[at..at + 4].try_into().expect("four bytes")));
        let one = if first.len() > COUNT { (number(LENGTH) + 12, number(COUNT)) } else { (1, 1) };
        let keepers = self.options.follower.len() + usize::from(self.options.sync);
        let path = self.options.dir.join(open.len().to_string());
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
        // Without a name it goes when it is forgotten.
        std::fs::remove_file(path)?;
        let log = Arc::new(Log {
            file,
            end: Mutex::new(0),
            one,
            appended: watch::Sender::new(0),
            kept: (0..keepers).map(|_| watch::Sender::new(0)).collect(),
            keepers: Mutex::default(),
        });
        for (nth, follower) in self.options.follower.iter().enumerate() {
            let lead = replicate::lead(log.clone(), nth, follower.clone(), name.to_vec());
            log.keepers.lock().spawn(lead);
        }
        if self.options.sync {
            log.keepers.lock().spawn(replicate::sync(log.clone(), keepers - 1));
        }
        open.insert(name.into(), log.clone());
        Ok(log)
    }
}

impl Log {
    /// Appends `bytes` and answers where they end.
    pub fn append(&self, bytes: &[u8]) -> Result<u64> {
        let mut end = self.end.lock();
        self.file.write_all_at(bytes, *end)?;
        *end += bytes.len() as u64;
        if !self.kept.is_empty() {
            self.appended.send_replace(*end);
        }
        Ok(*end)
    }

    pub fn end(&self) -> u64 {
        *self.end.lock()
    }
}

pub fn has_sound_crc(batch: &[u8]) -> bool {
    crc32c::crc32c(&batch[CRC_FROM..]).to_be_bytes() == batch[CRC..CRC_FROM]
}
