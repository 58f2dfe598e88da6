//! Member ids given out with `MemberIdRequired` and not used yet.

use super::member::{MEMBER_BYTES, TEXT_COPIES};
use crate::types::Mono;
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Until when each may be used.
    deadlines: BTreeMap<String, Mono>,
    held: usize,
}

impl Pending {
    pub(super) fn held(&self) -> usize {
        self.held
    }

    pub(super) fn len(&self) -> usize {
        self.deadlines.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.deadlines.is_empty()
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.deadlines.contains_key(id)
    }

    pub(super) fn deadlines(&self) -> impl Iterator<Item = Mono> {
        self.deadlines.values().copied()
    }

    pub(super) fn insert(&mut self, id: String, deadline: Mono) {
        self.remove(&id);
        self.held += weight(&id);
        self.deadlines.insert(id, deadline);
    }

    pub(super) fn remove(&mut self, id: &str) {
        if self.deadlines.remove(id).is_some() {
            self.held -= weight(id);
        }
    }

    /// Forgets those whose time is over; whether there were any.
    pub(super) fn expire(&mut self, now: Mono) -> bool {
        let before = self.len();
        self.deadlines.retain(|_, deadline| *deadline > now);
        self.held = self.deadlines.keys().map(|id| weight(id)).sum();
        self.len() < before
    }
}

fn weight(id: &str) -> usize {
    MEMBER_BYTES + TEXT_COPIES * id.len()
}
