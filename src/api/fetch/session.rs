//! Fetch sessions (KIP-227): what a reader asked for is remembered, so that it only sends and gets changes.

use super::watch::{Follower, Watch};
use crate::types::{ErrorCode, LeaderEpoch, Mono, Offset, Uuid};
use indexmap::IndexMap;
use kafka_protocol::messages::TopicName;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A session unused for this long gives way to a new one when all slots are taken.
const EVICTABLE_AFTER: Duration = Duration::from_secs(120);
/// A follower's session unused for this long belongs to nobody: a live follower asks more often, and gets another.
const ABANDONED_AFTER: Duration = Duration::from_secs(10);
/// What all sessions together may remember, some 150 bytes each. Whoever finds no room is served without a session.
const MOST_PARTITIONS: usize = 250_000;
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
    /// Where a follower's own log starts.
    pub log_start: Offset,
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

/// The partitions of one reader, in the order it named them.
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
    share: Share,
    /// Of a follower's.
    watch: Option<Watch>,
}

/// A partition to be read.
#[derive(Clone, Debug)]
pub struct Asking {
    /// Its place in the session, or in the request if there is none.
    pub number: usize,
    pub key: PartitionKey,
    pub wanted: Wanted,
}

/// The part that one session has of what all may remember.
#[derive(Debug)]
struct Share {
    all: Arc<AtomicUsize>,
    own: usize,
}

/// What a request asks of its session. Names are copies: a session must not keep the request's frame.
pub struct Asked {
    pub session_id: i32,
    pub epoch: i32,
    /// Whether the request names topics by id.
    pub by_id: bool,
    /// Who asks, if its session is to tell of what has changed without a look at all of it.
    pub follower: Option<Follower>,
    pub wanted: Vec<Asking>,
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

/// All sessions of this broker, at most `slots`, with at most [`MOST_PARTITIONS`].
#[derive(Debug)]
pub struct Sessions {
    slots: usize,
    most_partitions: usize,
    /// Partitions that all sessions remember.
    partitions: Arc<AtomicUsize>,
    inner: Mutex<HashMap<i32, Arc<Mutex<Session>>>>,
}

impl Sessions {
    pub fn new(slots: usize) -> Sessions {
        Sessions {
            slots,
            most_partitions: MOST_PARTITIONS,
            partitions: Arc::default(),
            inner: Mutex::default(),
        }
    }

    /// Finds, makes or ends the session of a request. `fresh_id` makes a random positive number.
    pub fn resolve(
        &self,
        asked: &Asked,
        fresh_id: impl FnOnce() -> i32,
        now: Mono,
    ) -> Result<Mode, ErrorCode> {
        match asked.epoch {
            FINAL_EPOCH | INITIAL_EPOCH => {
                self.end(asked.session_id);
                let session =
                    (asked.epoch == INITIAL_EPOCH).then(|| self.make(asked, fresh_id(), now)).flatten();
                Ok(session.map_or(Mode::Full, Mode::New))
            }
            _ => self.resume(asked, now),
        }
    }

    fn resume(&self, asked: &Asked, now: Mono) -> Result<Mode, ErrorCode> {
        let known = self.inner.lock().get(&asked.session_id).cloned();
        let session = known.ok_or(ErrorCode::FetchSessionIdNotFound)?;
        let emptied = session.lock().update(asked, self.room(), now);
        if matches!(emptied, Ok(true) | Err(ErrorCode::FetchSessionIdNotFound)) {
            self.end(asked.session_id);
        }
        Ok(if emptied? { Mode::Full } else { Mode::Incremental(session) })
    }

    fn end(&self, id: i32) {
        let ended = self.inner.lock().remove(&id);
        ended.iter().for_each(|session| session.lock().end());
    }

    /// Ends what earlier processes of a follower left behind, and what it gave up before it heard of it.
    fn end_abandoned(&self, follower: Follower, now: Mono) {
        let is_abandoned = |_: &i32, session: &mut Arc<Mutex<Session>>| {
            let session = session.lock();
            let of = session.watch.as_ref().map(Watch::follower).filter(|of| of.id == follower.id);
            of.is_some_and(|of| of.broker_epoch < follower.broker_epoch)
                || of.is_some() && now.since(session.used) >= ABANDONED_AFTER
        };
        let abandoned: Vec<_> = self.inner.lock().extract_if(is_abandoned).collect();
        abandoned.iter().for_each(|(_, session)| session.lock().end());
    }

    /// Partitions that may still be remembered.
    fn room(&self) -> usize {
        self.most_partitions.saturating_sub(self.partitions.load(Ordering::Relaxed))
    }

    fn make(&self, asked: &Asked, fresh_id: i32, now: Mono) -> Option<Arc<Mutex<Session>>> {
        asked.follower.into_iter().for_each(|follower| self.end_abandoned(follower, now));
        let mut sessions = self.inner.lock();
        let wanted = asked.wanted.len();
        if wanted == 0 || sessions.contains_key(&fresh_id) || !self.make_room(&mut sessions, wanted, now) {
            return None;
        }
        let session = Session::new(fresh_id, asked, self.partitions.clone(), now);
        let session = Arc::new(Mutex::new(session));
        sessions.insert(fresh_id, session.clone());
        Some(session)
    }

    /// True if there is a free slot and room for `wanted` partitions, perhaps those of sessions unused for longest.
    fn make_room(&self, sessions: &mut HashMap<i32, Arc<Mutex<Session>>>, wanted: usize, now: Mono) -> bool {
        while sessions.len() >= self.slots || self.room() < wanted {
            let oldest = sessions.iter().map(|(id, session)| (session.lock().used, *id)).min();
            match oldest {
                Some((used, id)) if now.since(used) >= EVICTABLE_AFTER => {
                    sessions.remove(&id).iter().for_each(|session| session.lock().end());
                }
                _ => return false,
            }
        }
        true
    }
}

impl Share {
    fn hold(&mut self, partitions: usize) {
        self.all.fetch_add(partitions, Ordering::Relaxed);
        self.all.fetch_sub(self.own, Ordering::Relaxed);
        self.own = partitions;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.hold(0);
    }
}

impl Session {
    fn new(id: i32, asked: &Asked, all: Arc<AtomicUsize>, now: Mono) -> Session {
        let partitions = asked
            .wanted
            .iter()
            .map(|Asking { key, wanted, .. }| (key.clone(), Remembered { wanted: *wanted, told: None }));
        let partitions: IndexMap<_, _> = partitions.collect();
        let mut share = Share { all, own: 0 };
        share.hold(partitions.len());
        let watch = asked.follower.map(|follower| Watch::new(follower, partitions.len()));
        watch.iter().for_each(|watch| watch.fetched(now));
        Session { id, next_epoch: 1, by_id: asked.by_id, partitions, start: 0, used: now, share, watch }
    }

    pub fn id(&self) -> i32 {
        self.id
    }

    /// Takes over a request's changes. True if nothing is left to fetch. FETCH_SESSION_ID_NOT_FOUND if more is added than
    /// there is `room` for: the client then asks for everything anew.
    fn update(&mut self, asked: &Asked, room: usize, now: Mono) -> Result<bool, ErrorCode> {
        if asked.epoch != self.next_epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if asked.by_id != self.by_id {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        if self.watch.as_ref().is_some_and(|watch| !watch.belongs_to(asked.follower)) {
            return Err(ErrorCode::FetchSessionIdNotFound);
        }
        if asked.wanted.len() > room {
            let added = asked.wanted.iter().filter(|asking| !self.partitions.contains_key(&asking.key));
            if added.count() > room {
                return Err(ErrorCode::FetchSessionIdNotFound);
            }
        }
        self.next_epoch = if self.next_epoch == i32::MAX { 1 } else { self.next_epoch + 1 };
        self.used = now;
        for Asking { key, wanted, .. } in &asked.wanted {
            let entry = self.partitions.entry(key.clone());
            let number = entry.index();
            entry.or_insert(Remembered { wanted: *wanted, told: None }).wanted = *wanted;
            self.watch.iter_mut().for_each(|watch| watch.stir(number));
        }
        self.forget(&asked.forgotten);
        self.watch.iter().for_each(|watch| watch.fetched(now));
        self.share.hold(self.partitions.len());
        Ok(self.partitions.is_empty())
    }

    fn forget(&mut self, forgotten: &[PartitionKey]) {
        for key in forgotten {
            let Some((number, ..)) = self.partitions.swap_remove_full(key) else { continue };
            self.watch.iter_mut().for_each(|watch| watch.forget(number));
        }
    }

    /// The partitions to be read, beginning where the last full reply left off: all, unless it is known of which there may be
    /// news.
    pub fn wanted(&mut self) -> Vec<Asking> {
        let count = self.partitions.len();
        let start = if self.start < count { self.start } else { 0 };
        match &mut self.watch {
            Some(watch) => {
                watch.restless(start).filter_map(|number| asking(&self.partitions, number)).collect()
            }
            None => {
                (start..count).chain(0..start).filter_map(|number| asking(&self.partitions, number)).collect()
            }
        }
    }

    /// Of the partitions that [`Session::watch`] watches, those with news since the last call, or since `wanted`. `None` once
    /// it has ended.
    pub fn news(&mut self) -> Option<Vec<Asking>> {
        let changed = self.watch.as_mut()?.changed();
        Some(changed.into_iter().filter_map(|number| asking(&self.partitions, number)).collect())
    }

    /// It is in use no more, though a request of it may still be under way: that speaks for nothing any more.
    fn end(&mut self) {
        self.watch = None;
    }

    pub fn watch(&mut self) -> Option<&mut Watch> {
        self.watch.as_mut()
    }

    /// What watches the partition that was read as the one of this number; another request of the session may have dropped it
    /// meanwhile, and its number is another's then.
    pub fn watch_at(&mut self, number: usize, key: &PartitionKey) -> Option<&mut Watch> {
        let is_there = self.partitions.get_index(number).is_some_and(|(there, _)| there == key);
        self.watch.as_mut().filter(|_| is_there)
    }

    /// The watermark that its reader was told last.
    pub fn known_watermark(&self, key: &PartitionKey) -> Option<Offset> {
        self.partitions.get(key)?.told.map(|told| told.high_watermark)
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

fn asking(partitions: &IndexMap<PartitionKey, Remembered>, number: usize) -> Option<Asking> {
    let (key, known) = partitions.get_index(number)?;
    Some(Asking { number, key: key.clone(), wanted: known.wanted })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(partition: i32) -> PartitionKey {
        (TopicKey::Id(Uuid::from_u128(7)), partition)
    }

    fn want(fetch_offset: Offset) -> Wanted {
        Wanted { fetch_offset, max_bytes: 1, current_leader_epoch: -1, last_fetched_epoch: -1, log_start: -1 }
    }

    fn asked(session_id: i32, epoch: i32, partitions: &[i32]) -> Asked {
        let asking = |(number, p): (usize, &i32)| Asking { number, key: key(*p), wanted: want(0) };
        let wanted = partitions.iter().enumerate().map(asking).collect();
        Asked { session_id, epoch, by_id: true, follower: None, wanted, forgotten: vec![] }
    }

    fn at(seconds: u64) -> Mono {
        Mono(seconds * 1000)
    }

    fn open(sessions: &Sessions, id: i32, now: Mono) -> bool {
        matches!(sessions.resolve(&asked(0, 0, &[0, 1]), || id, now), Ok(Mode::New(_)))
    }

    #[test]
    fn a_session_counts_its_epochs() {
        let sessions = Sessions::new(10);
        assert!(open(&sessions, 9, at(0)));
        assert!(matches!(sessions.resolve(&asked(9, 1, &[]), || 1, at(1)), Ok(Mode::Incremental(_))));
        let again = sessions.resolve(&asked(9, 1, &[]), || 1, at(1)).err();
        assert_eq!(again, Some(ErrorCode::InvalidFetchSessionEpoch));
        let unknown = sessions.resolve(&asked(8, 1, &[]), || 1, at(1)).err();
        assert_eq!(unknown, Some(ErrorCode::FetchSessionIdNotFound));
    }

    #[test]
    fn a_final_epoch_ends_it() {
        let sessions = Sessions::new(10);
        open(&sessions, 9, at(0));
        assert!(matches!(sessions.resolve(&asked(9, -1, &[0]), || 1, at(1)), Ok(Mode::Full)));
        assert!(sessions.resolve(&asked(9, 1, &[]), || 1, at(1)).is_err());
    }

    #[test]
    fn forgetting_all_ends_it() {
        let sessions = Sessions::new(10);
        open(&sessions, 9, at(0));
        let all = Asked { forgotten: vec![key(0), key(1)], ..asked(9, 1, &[]) };
        assert!(matches!(sessions.resolve(&all, || 1, at(1)), Ok(Mode::Full)));
        assert!(sessions.resolve(&asked(9, 2, &[]), || 1, at(1)).is_err());
    }

    #[test]
    fn only_an_idle_session_gives_way() {
        let sessions = Sessions::new(1);
        assert!(open(&sessions, 1, at(0)));
        assert!(!open(&sessions, 2, at(119)));
        assert!(open(&sessions, 3, at(120)));
        assert!(sessions.resolve(&asked(1, 1, &[]), || 9, at(120)).is_err());
    }

    #[test]
    fn partitions_beyond_the_room_are_not_remembered() {
        let sessions = Sessions { most_partitions: 5, ..Sessions::new(10) };
        assert!(open(&sessions, 1, at(0)) && open(&sessions, 2, at(0)));
        assert!(!open(&sessions, 3, at(1)), "no room");
        let moved_and_more = sessions.resolve(&asked(1, 1, &[0, 1, 2]), || 9, at(1));
        assert!(matches!(moved_and_more, Ok(Mode::Incremental(_))));
        drop(moved_and_more);
        let outgrown = sessions.resolve(&asked(2, 1, &[0, 2]), || 9, at(1)).err();
        assert_eq!(outgrown, Some(ErrorCode::FetchSessionIdNotFound));
        assert!(open(&sessions, 4, at(2)), "what has ended has made room");
        assert!(open(&sessions, 5, at(122)) && sessions.room() > 0, "what is idle makes room");
    }

    #[test]
    fn what_was_told_is_not_told_again() {
        let mut session = Session::new(1, &asked(0, 0, &[0, 1]), Arc::default(), at(0));
        let told = Some(Told { high_watermark: 5, log_start: 0 });
        assert!(session.tell(&key(0), told, false));
        assert!(!session.tell(&key(0), told, false));
        assert!(session.tell(&key(0), told, true));
        assert!(session.tell(&key(0), None, false));
        assert!(session.tell(&key(0), None, false), "an error is told each time");
    }

    #[test]
    fn reading_begins_behind_the_partition_that_filled_the_last_reply() {
        let mut session = Session::new(1, &asked(0, 0, &[0, 1, 2]), Arc::default(), at(0));
        session.tell(&key(0), None, true);
        let order: Vec<i32> = session.wanted().iter().map(|asking| asking.key.1).collect();
        assert_eq!(order, [1, 2, 0]);
    }

    #[test]
    fn a_follower_s_session_is_its_own() {
        let of = |broker_epoch| Some(Follower { id: 2, broker_epoch });
        let sessions = Sessions::new(10);
        let first = Asked { follower: of(7), ..asked(0, 0, &[0, 1]) };
        assert!(matches!(sessions.resolve(&first, || 9, at(0)), Ok(Mode::New(_))));
        let next = |follower| sessions.resolve(&Asked { follower, ..asked(9, 1, &[]) }, || 1, at(1)).err();
        assert_eq!(next(of(8)), Some(ErrorCode::FetchSessionIdNotFound), "of its next process");
        let sessions = Sessions::new(10);
        assert!(sessions.resolve(&first, || 9, at(0)).is_ok());
        let next = sessions.resolve(&Asked { follower: of(7), ..asked(9, 1, &[]) }, || 1, at(1));
        assert!(matches!(next, Ok(Mode::Incremental(_))));
    }

    #[test]
    fn what_a_follower_left_behind_is_ended_and_watches_no_more() {
        let sessions = Sessions::new(10);
        let open = |id, follower, broker_epoch, now| {
            let follower = Some(Follower { id: follower, broker_epoch });
            match sessions.resolve(&Asked { follower, ..asked(0, 0, &[0]) }, || id, now) {
                Ok(Mode::New(session)) => session,
                _ => panic!("a session"),
            }
        };
        let watches = |session: &Arc<Mutex<Session>>| session.lock().watch().is_some();
        let (earlier, other) = (open(1, 2, 7, at(0)), open(2, 3, 7, at(0)));
        let given_up = open(3, 2, 8, at(1));
        assert_eq!([&earlier, &other, &given_up].map(watches), [false, true, true]);
        let last = open(4, 2, 8, at(11));
        assert_eq!([&other, &given_up, &last].map(watches), [true, false, true]);
        assert_eq!(sessions.inner.lock().len(), 2);
        let begin_anew = Asked { follower: Some(Follower { id: 2, broker_epoch: 8 }), ..asked(4, 0, &[0]) };
        assert!(sessions.resolve(&begin_anew, || 5, at(12)).is_ok());
        assert!(!watches(&last));
    }
}
