//! The members of a group, and what is counted over them, so that no join has to look at all others.

use super::Member;
use super::member::TEXT_COPIES;
use crate::coordinator::group::command::Join;
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap, btree_map};
use std::ops::Deref;

/// What is counted of a member changes here alone; its tickets and timers may change anywhere.
#[derive(Debug, Default)]
pub struct Members {
    by_id: BTreeMap<String, Member>,
    /// How many members support a protocol.
    supporters: HashMap<String, usize>,
    held: usize,
}

impl Deref for Members {
    type Target = BTreeMap<String, Member>;

    fn deref(&self) -> &Self::Target {
        &self.by_id
    }
}

impl Members {
    /// About the bytes that all of them take.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    pub(super) fn assignments_held(&self) -> usize {
        self.values().map(|member| member.assignment.len()).sum()
    }

    pub(super) fn all_support(&self, protocol: &str) -> bool {
        self.supporters.get(protocol).copied().unwrap_or_default() == self.len()
    }

    pub(super) fn insert(&mut self, id: String, member: Member) {
        self.remove(&id);
        self.held += weight(&id, &member);
        for name in member.protocol_names() {
            *self.supporters.entry(name.to_owned()).or_default() += 1;
        }
        self.by_id.insert(id, member);
    }

    pub(super) fn remove(&mut self, id: &str) -> Option<Member> {
        let member = self.by_id.remove(id)?;
        self.held -= weight(id, &member);
        for name in member.protocol_names() {
            let Some(count) = self.supporters.get_mut(name) else { continue };
            *count -= 1;
            if *count == 0 {
                self.supporters.remove(name);
            }
        }
        Some(member)
    }

    pub(super) fn retain(&mut self, stays: impl Fn(&Member) -> bool) {
        let gone: Vec<String> =
            self.iter().filter(|(_, member)| !stays(member)).map(|(id, _)| id.clone()).collect();
        gone.iter().for_each(|id| drop(self.remove(id)));
    }

    /// A member joins again, with what it says now.
    pub(super) fn update(&mut self, join: &Join) {
        if let Some(mut member) = self.remove(&join.member) {
            member.update(join);
            self.insert(join.member.clone(), member);
        }
    }

    pub(super) fn withdraw_assignments(&mut self) {
        self.held -= self.assignments_held();
        self.values_mut().for_each(|member| member.assignment = Bytes::new());
    }

    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut Member> {
        self.by_id.get_mut(id)
    }

    pub(super) fn iter_mut(&mut self) -> btree_map::IterMut<'_, String, Member> {
        self.by_id.iter_mut()
    }

    pub(super) fn values_mut(&mut self) -> btree_map::ValuesMut<'_, String, Member> {
        self.by_id.values_mut()
    }

    pub(super) fn into_map(self) -> BTreeMap<String, Member> {
        self.by_id
    }

    /// Whether the counts are those of the members.
    #[cfg(test)]
    pub fn are_counted(&self) -> bool {
        let mut again = Members::default();
        self.iter().for_each(|(id, member)| again.insert(id.clone(), member.clone()));
        again.supporters == self.supporters && again.held == self.held
    }
}

fn weight(id: &str, member: &Member) -> usize {
    TEXT_COPIES * id.len() + member.weight() + member.assignment.len()
}
