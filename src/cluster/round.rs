//! Decisions that share an entry: each sees what those before it in the round decided.

use super::controller::Inputs;
use super::image::{Image, Inconsistent};
use super::office::Seat;
use super::{Change, Entry};
use crate::cluster::change::ControllerElected;
use crate::types::BrokerId;
use std::sync::Arc;

/// Changes after which a round takes no more commands, so that an entry stays small.
const FULL: usize = 10_000;

pub(super) struct Round {
    scratch: Image,
    entry: Entry,
}

impl Round {
    /// Begins from an applied image; everything before `term` must be in it.
    pub fn upon(image: Arc<Image>, term: u64) -> Round {
        let scratch = Image::clone(&image);
        let entry = Entry { term, predecessor: scratch.last_entry, changes: Vec::new() };
        Round { scratch, entry }
    }

    /// Says that `node` decides from now on.
    pub fn announce(&mut self, node: BrokerId) {
        self.scratch.controller = Some(node);
        self.entry.changes.push(Change::ControllerElected(ControllerElected { node }));
    }

    /// Adds what `decide` finds for the image as this round leaves it so far. A decision that contradicts that image
    /// would stop every node: it is dropped.
    pub fn decide(
        &mut self,
        seat: &mut Seat,
        decide: impl FnOnce(&Image, &mut Inputs<'_>) -> Vec<Change>,
    ) -> Result<(), Inconsistent> {
        let mut inputs = Inputs {
            now: seat.clock.now(),
            index: self.entry.predecessor + 1,
            seed: (seat.fresh_id)().as_u64_pair().1,
            fresh_id: &mut *seat.fresh_id,
            policy: &seat.policy,
        };
        let changes = decide(&self.scratch, &mut inputs);
        let mut next = self.scratch.clone();
        next.apply_all(&changes)?;
        self.scratch = next;
        self.entry.changes.extend(changes);
        Ok(())
    }

    pub fn is_full(&self) -> bool {
        self.entry.changes.len() >= FULL
    }

    /// What to commit; `None` if nothing changed.
    pub fn into_entry(self) -> Option<Entry> {
        (!self.entry.changes.is_empty()).then_some(self.entry)
    }
}
