//! The follower's side of a fetch session (KIP-227): only what changed is asked for again.

use crate::types::TopicPartition;
use crate::wire::replica_fetch::Wanted;
use std::collections::BTreeMap;

/// Everything is asked for, and a session is wanted.
const INITIAL_EPOCH: i32 = 0;

/// What the leader remembers.
#[derive(Debug, Default)]
pub(super) struct Session {
    id: i32,
    epoch: i32,
    known: BTreeMap<TopicPartition, Wanted>,
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
    /// Asks for `wanted`, and nothing else.
    pub fn next(&mut self, wanted: BTreeMap<TopicPartition, Wanted>) -> Next {
        let known = std::mem::replace(&mut self.known, wanted);
        let is_full = self.epoch == INITIAL_EPOCH;
        let is_new = |at: &TopicPartition, wanted: &Wanted| is_full || known.get(at) != Some(wanted);
        let changed = self.known.iter().filter(|(at, wanted)| is_new(at, wanted));
        let changed = changed.map(|(at, wanted)| (*at, *wanted)).collect();
        let gone = known.keys().filter(|at| !is_full && !self.known.contains_key(at));
        Next { id: self.id, epoch: self.epoch, changed, forgotten: gone.copied().collect() }
    }

    /// The leader answered; without a session (0) everything is asked for each time.
    pub fn answered(&mut self, id: i32) {
        self.id = id;
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

    fn next(session: &mut Session, offsets: &[(i32, Offset)]) -> (i32, i32, Vec<i32>, Vec<i32>) {
        let next = session.next(offsets.iter().map(|(p, offset)| (at(*p), wanted(*offset))).collect());
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
        session.answered(0);
        assert_eq!(next(&mut session, &[(0, 5)]), (0, 0, vec![0], vec![]));
    }
}
