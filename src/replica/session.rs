//! The follower's side of a fetch session (KIP-227): only what changed is asked for again.

use crate::types::TopicPartition;
use crate::wire::replica_fetch::Wanted;
use std::collections::{BTreeMap, BTreeSet};

/// Everything is asked for, and a session is wanted.
const INITIAL_EPOCH: i32 = 0;

/// What the leader is asked for, and knows of that.
#[derive(Debug, Default)]
pub(super) struct Session {
    id: i32,
    epoch: i32,
    /// The leader gave none when it was asked for one.
    is_refused: bool,
    asked: BTreeMap<TopicPartition, Wanted>,
    /// Of those, what the leader was not told yet.
    changed: BTreeSet<TopicPartition>,
    /// Asked for no more, and the leader was not told yet.
    forgotten: BTreeSet<TopicPartition>,
}

/// What is to be said of the session in the next request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Next {
    pub id: i32,
    pub epoch: i32,
    pub changed: Vec<(TopicPartition, Wanted)>,
    pub forgotten: Vec<TopicPartition>,
}

impl Session {
    /// From the next request on this is asked for.
    pub fn ask(&mut self, at: TopicPartition, wanted: Wanted) {
        if self.asked.insert(at, wanted) != Some(wanted) {
            self.changed.insert(at);
        }
        if self.forgotten.remove(&at) {
            self.changed.insert(at);
        }
    }

    /// From the next request on it is not asked for.
    pub fn leave(&mut self, at: TopicPartition) {
        if self.asked.remove(&at).is_some() {
            self.changed.remove(&at);
            self.forgotten.insert(at);
        }
    }

    /// What was asked for, or will be.
    pub fn asked(&self, at: &TopicPartition) -> Option<&Wanted> {
        self.asked.get(at)
    }

    pub fn asks_for_nothing(&self) -> bool {
        self.asked.is_empty()
    }

    /// Whether the next request asks for a session that the leader may give.
    pub fn begins(&self) -> bool {
        self.epoch == INITIAL_EPOCH && !self.is_refused
    }

    /// The leader is asked; what comes now is a change to that.
    pub fn next(&mut self) -> Next {
        let (changed, forgotten) = (std::mem::take(&mut self.changed), std::mem::take(&mut self.forgotten));
        let Session { id, epoch, ref asked, .. } = *self;
        let is_full = epoch == INITIAL_EPOCH;
        let of = |(at, wanted): (&TopicPartition, &Wanted)| (*at, *wanted);
        let changed = match is_full {
            true => asked.iter().map(of).collect(),
            false => changed.iter().filter_map(|at| asked.get_key_value(at)).map(of).collect(),
        };
        Next { id, epoch, changed, forgotten: forgotten.into_iter().filter(|_| !is_full).collect() }
    }

    /// The leader answered; without a session (0) everything is asked for each time.
    pub fn answered(&mut self, id: i32) {
        self.id = id;
        self.is_refused = id == 0;
        self.epoch = match self.epoch {
            _ if id == 0 => INITIAL_EPOCH,
            i32::MAX => 1,
            epoch => epoch + 1,
        };
    }

    /// The leader may remember something else. It is asked to forget that, and begin anew.
    pub fn reset(&mut self) {
        self.epoch = INITIAL_EPOCH;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Offset, Uuid};

    fn at(partition: i32) -> TopicPartition {
        TopicPartition { topic: Uuid::from_u128(7), partition }
    }

    fn wanted(offset: Offset) -> Wanted {
        Wanted { leader_epoch: 1, offset, last_epoch: 1, log_start: 0, max_bytes: 9 }
    }

    /// Asks for these, and nothing else.
    fn next(session: &mut Session, offsets: &[(i32, Offset)]) -> (i32, i32, Vec<i32>, Vec<i32>) {
        let asked: Vec<TopicPartition> = session.asked.keys().copied().collect();
        let is_left = |id: &TopicPartition| !offsets.iter().any(|(partition, _)| at(*partition) == *id);
        asked.into_iter().filter(is_left).for_each(|id| session.leave(id));
        offsets.iter().for_each(|(partition, offset)| session.ask(at(*partition), wanted(*offset)));
        let next = session.next();
        let changed = next.changed.iter().map(|(at, _)| at.partition).collect();
        (next.id, next.epoch, changed, next.forgotten.iter().map(|at| at.partition).collect())
    }

    #[test]
    fn only_changes_are_asked_for_again() {
        let mut session = Session::default();
        assert_eq!(next(&mut session, &[(0, 5), (1, 5)]), (0, 0, vec![0, 1], vec![]));
        session.answered(9);
        assert_eq!(next(&mut session, &[(0, 5), (1, 6), (2, 0)]), (9, 1, vec![1, 2], vec![]));
        session.answered(9);
        assert_eq!(next(&mut session, &[(1, 6)]), (9, 2, vec![], vec![0, 2]));
        session.reset();
        assert_eq!(
            next(&mut session, &[(1, 6)]),
            (9, 0, vec![1], vec![]),
            "the old one is named, to be ended"
        );
    }

    #[test]
    fn without_a_session_everything_is_asked_for() {
        let mut session = Session::default();
        next(&mut session, &[(0, 5)]);
        assert!(session.begins());
        session.answered(0);
        assert!(!session.begins(), "it waits for records as it would in one");
        assert_eq!(next(&mut session, &[(0, 5)]), (0, 0, vec![0], vec![]));
    }

    #[test]
    fn what_leaves_and_comes_back_is_asked_for_anew() {
        let mut session = Session::default();
        next(&mut session, &[(0, 5)]);
        session.answered(9);
        session.leave(at(0));
        session.ask(at(0), wanted(5));
        session.ask(at(1), wanted(5));
        session.leave(at(1));
        assert_eq!(next(&mut session, &[(0, 5)]), (9, 1, vec![0], vec![1]));
        session.leave(at(0));
        assert!(session.asks_for_nothing());
    }
}
