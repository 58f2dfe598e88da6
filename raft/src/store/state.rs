//! What the log says, in memory.

use std::collections::BTreeMap;
use std::io;

use super::record::{Head, Record};
use crate::codec::{malformed, weight};
use crate::types::{Entry, LogId, Vote};

/// The fold of all records. Writing and recovery go through the same [`State::apply`].
#[derive(Debug, Default, PartialEq)]
pub(crate) struct State {
    pub vote: Option<Vote>,
    pub committed: Option<LogId>,
    pub purged: Option<LogId>,
    pub entries: BTreeMap<u64, Entry>,
    /// Bytes of `entries`, roughly.
    pub weight: u64,
}

impl State {
    pub fn apply(&mut self, record: Record) {
        match record {
            Record::Head(head) => self.take_over(head),
            Record::Vote(vote) => self.vote = Some(vote),
            Record::Entry(entry) => self.append(entry),
            Record::Truncate(after) => self.truncate(after.map_or(0, |id| id.index + 1)),
            Record::Purge(upto) => self.purge(upto),
            Record::Committed(upto) => self.committed = Some(upto),
        }
    }

    pub fn last(&self) -> Option<LogId> {
        self.entries.last_key_value().map(|(_, entry)| entry.log_id).or(self.purged)
    }

    /// The log must hold all entries since the last purged one.
    pub fn check_whole(&self) -> io::Result<()> {
        let wanted = self.purged.map_or(0, |id| id.index + 1);
        let mut indexes = self.entries.keys().copied();
        match (wanted..).zip(indexes.by_ref()).find(|(wanted, got)| wanted != got) {
            None => Ok(()),
            Some((wanted, got)) => {
                Err(malformed(format!("entry {wanted} is missing, the next one there is {got}")))
            }
        }
    }

    /// The largest index to purge so that the entries behind it weigh no more than `limit`.
    pub fn purge_point(&self, limit: u64) -> Option<u64> {
        let mut rest = self.weight;
        let mut point = None;
        for (index, entry) in &self.entries {
            if rest <= limit {
                break;
            }
            rest -= weight(entry);
            point = Some(*index);
        }
        point
    }

    fn take_over(&mut self, head: Head) {
        self.vote = head.vote;
        self.committed = head.committed;
        if let Some(upto) = head.purged {
            self.purge(upto);
        }
    }

    fn append(&mut self, entry: Entry) {
        self.weight += weight(&entry);
        if let Some(old) = self.entries.insert(entry.log_id.index, entry) {
            self.weight -= weight(&old);
        }
    }

    fn truncate(&mut self, from: u64) {
        let cut = self.entries.split_off(&from);
        self.weight -= cut.values().map(weight).sum::<u64>();
    }

    fn purge(&mut self, upto: LogId) {
        let kept = self.entries.split_off(&(upto.index + 1));
        self.weight -= self.entries.values().map(weight).sum::<u64>();
        self.entries = kept;
        self.purged = self.purged.max(Some(upto));
    }
}
