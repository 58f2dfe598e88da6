//! A machine to watch, and quorums of one to start and stop.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use raft::{Alone, At, Frozen, Lane, Machine, Quorum, RestoreError, Settings, StartError, Status};
use storage::disk::Disk;

type Lines = Vec<(At, Vec<u8>)>;

/// Remembers all commands with their places; answers with how many there were.
#[derive(Clone, Default)]
pub struct Diary {
    pub lines: Arc<Mutex<Lines>>,
}

impl Diary {
    pub fn commands(&self) -> Vec<Vec<u8>> {
        self.lines.lock().unwrap().iter().map(|(_, command)| command.clone()).collect()
    }
}

impl Machine for Diary {
    fn apply(&mut self, at: At, command: &[u8]) -> Bytes {
        assert_ne!(command, b"panic", "asked to panic");
        let mut lines = self.lines.lock().unwrap();
        lines.push((at, command.to_vec()));
        Bytes::from(lines.len().to_string())
    }

    fn freeze(&self) -> Frozen {
        let lines = self.lines.lock().unwrap().clone();
        Box::new(move |out| {
            for (at, command) in lines {
                out.write_all(&at.term.to_be_bytes())?;
                out.write_all(&at.index.to_be_bytes())?;
                out.write_all(&(command.len() as u32).to_be_bytes())?;
                out.write_all(&command)?;
            }
            Ok(())
        })
    }

    fn restore(&mut self, _at: At, mut bytes: &[u8]) -> Result<(), RestoreError> {
        let mut lines = Vec::new();
        while !bytes.is_empty() {
            let (head, rest) = bytes.split_at_checked(20).ok_or_else(|| RestoreError("cut short".into()))?;
            let number = |at: usize| u64::from_be_bytes(head[at..at + 8].try_into().unwrap());
            let len = u32::from_be_bytes(head[16..].try_into().unwrap()) as usize;
            lines.push((At { term: number(0), index: number(8) }, rest[..len].to_vec()));
            bytes = &rest[len..];
        }
        *self.lines.lock().unwrap() = lines;
        Ok(())
    }
}

pub fn settings(lane: Lane) -> Settings {
    Settings { lane, ..Settings::new(1, PathBuf::from("/meta")) }
}

pub fn sole() -> BTreeMap<u64, String> {
    BTreeMap::from([(1, String::new())])
}

pub async fn start(settings: Settings, disk: Arc<dyn Disk>, diary: &Diary) -> Result<Quorum, StartError> {
    Quorum::start(settings, disk, Box::new(diary.clone()), Alone).await
}

/// Starts a sole voter, for the first time or again, and waits until it leads.
pub async fn lead(settings: Settings, disk: Arc<dyn Disk>, diary: &Diary) -> Quorum {
    let quorum = start(settings, disk, diary).await.unwrap();
    if quorum.is_empty() {
        quorum.initialize(sole()).await.unwrap();
    }
    until(&quorum, |status| status.leader_ready).await;
    quorum
}

pub async fn until(quorum: &Quorum, wanted: impl FnMut(&Status) -> bool) -> Status {
    quorum.status().wait_for(wanted).await.expect("the keeper outlives its quorum").clone()
}

pub async fn propose(quorum: &Quorum, command: &str) -> raft::Committed {
    quorum.propose(Bytes::copy_from_slice(command.as_bytes())).await.unwrap()
}
