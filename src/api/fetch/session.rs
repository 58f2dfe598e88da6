//! Fetch sessions (KIP-227): what a consumer asked for is remembered, so that it only sends and gets changes.

use crate::types::{ErrorCode, LeaderEpoch, Mono, Offset, Uuid};
use indexmap::IndexMap;
use kafka_protocol::messages::TopicName;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// A session unused for this long gives way to a new one when all slots are taken.
const EVICTABLE_AFTER: Duration = Duration::from_secs(120);
/// Session epoch of a request that asks for everything and wants a session.
const INITIAL_EPOCH: i32 = 0;
/// Session epoch of a request that asks for everything and wants no session, or ends the one it names.
const FINAL_EPOCH: i32 = -1;

/// A topic as the client named it: by id from version 13 on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TopicKey {
    Name(TopicName),
    Id(Uuid),
}

/// One partition as the client named it.
pub type PartitionKey = (TopicKey, i32);

/// From where, and how much, a client wants of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub fetch_offset: Offset,
    /// Bytes.
    pub max_bytes: i32,
    /// The leader epoch the client knows, or -1.
    pub current_leader_epoch: LeaderEpoch,
    /// The epoch of the last record it has, or -1; asks for truncation advice (KIP-595).
    pub last_fetched_epoch: LeaderEpoch,
}

impl From<Wanted> for crate::partition::replica::Wanted {
    fn from(wanted: Wanted) -> Self {
        Self {
            offset: wanted.fetch_offset,
            current_epoch: wanted.current_leader_epoch,
            last_epoch: wanted.last_fetched_epoch,
        }
    }
}

/// What a session's client was told last of one partition; `None` where it was told nothing yet, or an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    pub high_watermark: Offset,
    pub log_start: Offset,
}

#[derive(Debug)]
struct Remembered {
    wanted: Wanted,
    told: Option<Told>,
}

/// The partitions of one consumer, in the order it named them.
#[derive(Debug)]
pub struct Session {
    id: i32,
    /// The epoch that the next request must carry.
    next_epoch: i32,
    by_id: bool,
    partitions: IndexMap<PartitionKey, Remembered>,
    /// Where the next reading begins, so that a full reply does not starve those behind.
    start: usize,
    used: Mono,
}

/// What a request asks of its session.
pub struct Asked {
    pub session_id: i32,
    pub epoch: i32,
    /// Whether the request names topics by id.
    pub by_id: bool,
    pub wanted: Vec<(PartitionKey, Wanted)>,
    pub forgotten: Vec<PartitionKey>,
}

/// How a request is to be answered.
pub enum Mode {
    /// Everything asked for, without a session.
    Full,
    /// Everything asked for, and a session was made for what follows.
    New(Arc<Mutex<Session>>),
    /// Only what changed since the last reply.
    Incremental(Arc<Mutex<Session>>),
}

/// All sessions of this broker, at most `slots`.
#[derive(Debug)]
pub struct Sessions {
    slots: usize,
    inner: Mutex<HashMap<i32, Arc<Mutex<Session>>>>,
}

impl Sessions {
    pub fn new(slots: usize) -> Sessions {
        Sessions { slots, inner: Mutex::default() }
    }

    /// Finds, makes or ends the session of a request. `fresh_id` is a random positive number.
    pub fn resolve(&self, asked: &Asked, fresh_id: i32, now: Mono) -> Result<Mode, ErrorCode> {
        match asked.epoch {
            FINAL_EPOCH | INITIAL_EPOCH => {
                self.inner.lock().remove(&asked.session_id);
                let session =
                    (asked.epoch == INITIAL_EPOCH).then(|| self.make(asked, fresh_id, now)).flatten();
                Ok(session.map_or(Mode::Full, Mode::New))
            }
            _ => self.resume(asked, now),
        }
    }

    fn resume(&self, asked: &Asked, now: Mono) -> Result<Mode, ErrorCode> {
        let known = self.inner.lock().get(&asked.session_id).cloned();
        let session = known.ok_or(ErrorCode::FetchSessionIdNotFound)?;
        let emptied = session.lock().update(asked, now)?;
        if emptied {
            self.inner.lock().remove(&asked.session_id);
            return Ok(Mode::Full);
        }
        Ok(Mode::Incremental(session))
    }

    fn make(&self, asked: &Asked, fresh_id: i32, now: Mono) -> Option<Arc<Mutex<Session>>> {
        let mut sessions = self.inner.lock();
        if asked.wanted.is_empty() || sessions.contains_key(&fresh_id) || !self.make_room(&mut sessions, now)
        {
            return None;
        }
        let session = Arc::new(Mutex::new(Session::new(fresh_id, asked, now)));
        sessions.insert(fresh_id, session.clone());
        Some(session)
    }

    /// True if there is a free slot, perhaps that of the session unused for longest.
    fn make_room(&self, sessions: &mut HashMap<i32, Arc<Mutex<Session>>>, now: Mono) -> bool {
        if sessions.len() < self.slots {
            return true;
        }
        let oldest = sessions.iter().map(|(id, session)| (session.lock().used, *id)).min();
        match oldest {
            Some((used, id)) if now.since(used) >= EVICTABLE_AFTER => sessions.remove(&id).is_some(),
            _ => false,
        }
    }
}

impl Session {
    fn new(id: i32, asked: &Asked, now: Mono) -> Session {
        let partitions =
            asked.wanted.iter().map(|(key, wanted)| (owned(key), Remembered { wanted: *wanted, told: None }));
        Session {
            id,
            next_epoch: 1,
            by_id: asked.by_id,
            partitions: partitions.collect(),
            start: 0,
            used: now,
        }
    }

    pub fn id(&self) -> i32 {
        self.id
    }

    /// Takes over a request's changes. True if nothing is left to fetch.
    fn update(&mut self, asked: &Asked, now: Mono) -> Result<bool, ErrorCode> {
        if asked.epoch != self.next_epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if asked.by_id != self.by_id {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        self.next_epoch = if self.next_epoch == i32::MAX { 1 } else { self.next_epoch + 1 };
        self.used = now;
        for (key, wanted) in &asked.wanted {
            match self.partitions.get_mut(key) {
                Some(known) => known.wanted = *wanted,
                None => drop(self.partitions.insert(owned(key), Remembered { wanted: *wanted, told: None })),
            }
        }
        for key in &asked.forgotten {
            self.partitions.shift_remove(key);
        }
        Ok(self.partitions.is_empty())
    }

    /// All partitions, beginning where the last full reply left off.
    pub fn wanted(&self) -> Vec<(PartitionKey, Wanted)> {
        let count = self.partitions.len();
        let at = |i: usize| self.partitions.get_index((self.start + i) % count);
        (0..count).filter_map(at).map(|(key, known)| (key.clone(), known.wanted)).collect()
    }

    /// Notes what a reply tells of one partition; true if it belongs into an incremental reply.
    /// `has_records` moves the next reading's start behind it.
    pub fn tell(&mut self, key: &PartitionKey, told: Option<Told>, has_records: bool) -> bool {
        let Some((at, _, known)) = self.partitions.get_full_mut(key) else { return false };
        if has_records {
            self.start = at + 1;
        }
        let changed = has_records || told.is_none() || known.told != told;
        known.told = told;
        changed
    }
}

/// A copy that does not keep the request's frame alive.
fn owned(key: &PartitionKey) -> PartitionKey {
    match &key.0 {
        TopicKey::Name(name) => (TopicKey::Name(TopicName(name.0.to_string().into())), key.1),
        TopicKey::Id(_) => key.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(partition: i32) -> PartitionKey {
        (TopicKey::Id(Uuid::from_u128(7)), partition)
    }

    fn want(fetch_offset: Offset) -> Wanted {
        Wanted { fetch_offset, max_bytes: 1, current_leader_epoch: -1, last_fetched_epoch: -1 }
    }

    fn asked(session_id: i32, epoch: i32, partitions: &[i32]) -> Asked {
        let wanted = partitions.iter().map(|p| (key(*p), want(0))).collect();
        Asked { session_id, epoch, by_id: true, wanted, forgotten: vec![] }
    }

    fn at(seconds: u64) -> Mono {
        Mono(seconds * 1000)
    }

    fn open(sessions: &Sessions, id: i32, now: Mono) -> bool {
        matches!(sessions.resolve(&asked(0, 0, &[0, 1]), id, now), Ok(Mode::New(_)))
    }

    #[test]
    fn a_session_counts_its_epochs() {
        let sessions = Sessions::new(10);
        assert!(open(&sessions, 9, at(0)));
        assert!(matches!(sessions.resolve(&asked(9, 1, &[]), 1, at(1)), Ok(Mode::Incremental(_))));
        let again = sessions.resolve(&asked(9, 1, &[]), 1, at(1)).err();
        assert_eq!(again, Some(ErrorCode::InvalidFetchSessionEpoch));
        let unknown = sessions.resolve(&asked(8, 1, &[]), 1, at(1)).err();
        assert_eq!(unknown, Some(ErrorCode::FetchSessionIdNotFound));
    }

    #[test]
    fn a_final_epoch_ends_it() {
        let sessions = Sessions::new(10);
        open(&sessions, 9, at(0));
        assert!(matches!(sessions.resolve(&asked(9, -1, &[0]), 1, at(1)), Ok(Mode::Full)));
        assert!(sessions.resolve(&asked(9, 1, &[]), 1, at(1)).is_err());
    }

    #[test]
    fn forgetting_all_ends_it() {
        let sessions = Sessions::new(10);
        open(&sessions, 9, at(0));
        let all = Asked { forgotten: vec![key(0), key(1)], ..asked(9, 1, &[]) };
        assert!(matches!(sessions.resolve(&all, 1, at(1)), Ok(Mode::Full)));
        assert!(sessions.resolve(&asked(9, 2, &[]), 1, at(1)).is_err());
    }

    #[test]
    fn only_an_idle_session_gives_way() {
        let sessions = Sessions::new(1);
        assert!(open(&sessions, 1, at(0)));
        assert!(!open(&sessions, 2, at(119)));
        assert!(open(&sessions, 3, at(120)));
        assert!(sessions.resolve(&asked(1, 1, &[]), 9, at(120)).is_err());
    }

    #[test]
    fn what_was_told_is_not_told_again() {
        let mut session = Session::new(1, &asked(0, 0, &[0, 1]), at(0));
        let told = Some(Told { high_watermark: 5, log_start: 0 });
        assert!(session.tell(&key(0), told, false));
        assert!(!session.tell(&key(0), told, false));
        assert!(session.tell(&key(0), told, true));
        assert!(session.tell(&key(0), None, false));
        assert!(session.tell(&key(0), None, false), "an error is told each time");
    }

    #[test]
    fn reading_begins_behind_the_partition_that_filled_the_last_reply() {
        let mut session = Session::new(1, &asked(0, 0, &[0, 1, 2]), at(0));
        session.tell(&key(0), None, true);
        let order: Vec<i32> = session.wanted().iter().map(|((_, partition), _)| *partition).collect();
        assert_eq!(order, [1, 2, 0]);
    }
}
