//! Decisions that share an entry: each sees what those before it in the round decided.

use super::controller::Inputs;
use super::image::{Image, Inconsistent};
use super::office::Seat;
use super::{Change, Entry};
use crate::cluster::change::ControllerElected;
use crate::types::BrokerId;
use std::sync::Arc;
use thiserror::Error;

/// Bytes of changes after which a round takes no more commands, so that an entry stays far below the quorum's limit.
const FULL: usize = 1 << 20;
/// Bytes of changes that an entry can hold at all, with room for what stands around them.
const LIMIT: usize = raft::MAX_COMMAND - FULL;

/// Why a decision is not part of its round.
#[derive(Debug, PartialEq, Error)]
pub(super) enum Dropped {
    #[error(transparent)]
    Inconsistent(#[from] Inconsistent),
    #[error("an entry cannot hold {0} bytes of changes")]
    TooLarge(usize),
}

pub(super) struct Round {
    scratch: Image,
    entry: Entry,
    /// Of the changes, encoded.
    bytes: usize,
}

impl Round {
    /// Begins from an applied image; everything before `term` must be in it.
    pub fn upon(image: Arc<Image>, term: u64) -> Round {
        let scratch = Image::clone(&image);
        let entry = Entry { term, predecessor: scratch.last_entry, changes: Vec::new() };
        Round { scratch, entry, bytes: 0 }
    }

    /// Says that `node` decides from now on.
    pub fn announce(&mut self, node: BrokerId) {
        self.scratch.controller = Some(node);
        self.entry.changes.push(Change::ControllerElected(ControllerElected { node }));
    }

    /// Adds what `decide` finds for the image as this round leaves it so far. A decision that contradicts that image
    /// would stop every node: it is dropped, and so is one that the entry has no room for.
    pub fn decide(
        &mut self,
        seat: &mut Seat,
        decide: impl FnOnce(&Image, &mut Inputs<'_>) -> Vec<Change>,
    ) -> Result<(), Dropped> {
        let mut inputs = Inputs {
            now: seat.clock.now(),
            index: self.entry.predecessor + 1,
            seed: (seat.fresh_id)().as_u64_pair().1,
            fresh_id: &mut *seat.fresh_id,
            policy: &seat.policy,
        };
        let changes = decide(&self.scratch, &mut inputs);
        let bytes = self.bytes + changes.iter().map(Change::encoded_len).sum::<usize>();
        if bytes > LIMIT {
            return Err(Dropped::TooLarge(bytes));
        }
        let mut next = self.scratch.clone();
        next.apply_all(&changes)?;
        self.scratch = next;
        self.bytes = bytes;
        self.entry.changes.extend(changes);
        Ok(())
    }

    /// The index of the image that it stands upon.
    pub fn seen(&self) -> u64 {
        self.scratch.applied.index
    }

    /// In which it decides.
    pub fn term(&self) -> u64 {
        self.entry.term
    }

    pub fn is_full(&self) -> bool {
        self.bytes >= FULL
    }

    /// What to commit; `None` if nothing changed.
    pub fn into_entry(self) -> Option<Entry> {
        (!self.entry.changes.is_empty()).then_some(self.entry)
    }
}

#[cfg(test)]
mod tests {
    use super::super::controller::{Command, CreateTopics, NewTopic, Policy, RegisterBroker, UnfenceBroker};
    use super::*;
    use crate::cluster::image::Position;
    use crate::config::BrokerConfig;
    use crate::seam::Clock;
    use crate::types::Uuid;

    fn seat() -> Seat {
        let policy = Policy { config: BrokerConfig::default(), max_partitions_per_request: 10_000 };
        Seat { node: 1, policy, clock: Clock::start(), fresh_id: Box::new(Uuid::new_v4) }
    }

    fn decide<C: Command>(round: &mut Round, command: C) {
        let decided =
            round.decide(&mut seat(), |image, inputs| command.decide(image, inputs).expect("taken").0);
        assert_eq!(decided, Ok(()));
    }

    fn topic(name: &str, partitions: i32) -> CreateTopics {
        let topic = NewTopic { name: name.into(), partitions, replication_factor: 1, ..NewTopic::default() };
        CreateTopics { topics: vec![topic], validate_only: false }
    }

    fn register() -> RegisterBroker {
        RegisterBroker {
            id: 1,
            incarnation: Uuid::from_u128(1),
            listeners: Vec::new(),
            rack: None,
            directories: vec![Uuid::from_u128(2)],
            features: Vec::new(),
            boot_id: String::new(),
            clean_start: true,
        }
    }

    fn apply(image: &mut Image, index: u64, entry: Entry) -> bool {
        image.apply_entry(Position { index, term: entry.term }, &entry).expect("consistent").is_ok()
    }

    #[test]
    fn each_decision_sees_those_before_it_in_the_round() {
        let mut round = Round::upon(Arc::default(), 3);
        round.announce(1);
        decide(&mut round, register());
        decide(&mut round, UnfenceBroker { id: 1, epoch: 1 });
        decide(&mut round, topic("t", 2));
        decide(&mut round, topic("t", 2));
        let mut image = Image::default();
        assert!(apply(&mut image, 9, round.into_entry().expect("changes")));
        assert_eq!((image.controller, image.topics.partition_count(), image.last_entry), (Some(1), 2, 9));
    }

    #[test]
    fn a_lost_entry_that_turns_up_late_has_no_effect() {
        let (mut image, mut round) = (Image::default(), Round::upon(Arc::default(), 1));
        decide(&mut round, register());
        decide(&mut round, UnfenceBroker { id: 1, epoch: 1 });
        assert!(apply(&mut image, 1, round.into_entry().expect("changes")));
        let [mut lost, mut next] = [(); 2].map(|()| Round::upon(Arc::new(image.clone()), 1));
        decide(&mut lost, topic("lost", 1));
        decide(&mut next, topic("next", 1));
        assert!(apply(&mut image, 2, next.into_entry().expect("changes")));
        assert!(!apply(&mut image, 3, lost.into_entry().expect("changes")));
        assert!(image.topics.by_name("lost").is_none() && image.topics.by_name("next").is_some());
        assert_eq!((image.last_entry, image.applied.index), (2, 3));
    }

    #[test]
    fn a_round_is_bounded() {
        let mut round = Round::upon(Arc::default(), 1);
        decide(&mut round, register());
        decide(&mut round, UnfenceBroker { id: 1, epoch: 1 });
        let mut topics = 0;
        while !round.is_full() {
            decide(&mut round, topic(&format!("t{topics}"), 1000));
            topics += 1;
        }
        assert!((10..40).contains(&topics), "{topics} topics of 1000 partitions");
    }

    #[test]
    fn a_decision_that_contradicts_the_image_is_dropped() {
        let mut round = Round::upon(Arc::default(), 1);
        let gone = crate::cluster::change::BrokerUnregistered { broker: 5 };
        let dropped = round.decide(&mut seat(), |_, _| vec![Change::BrokerUnregistered(gone)]);
        assert!(matches!(dropped, Err(Dropped::Inconsistent(_))));
        assert_eq!(round.into_entry(), None);
    }
}
