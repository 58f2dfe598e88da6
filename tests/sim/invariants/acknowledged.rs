//! What was acknowledged is never lost, reordered, doubled or changed.

use crate::history::Name;
use std::collections::{BTreeMap, BTreeSet};

/// What a log holds, by offset.
pub type Log = BTreeMap<i64, Option<u64>>;

#[derive(Default)]
pub struct Acknowledged {
    minted: u64,
    /// What each producer sent, in its order.
    sent: BTreeMap<(Name, i64), Vec<u64>>,
    at: BTreeMap<Name, BTreeMap<i64, u64>>,
    given_up: BTreeSet<(Name, i64)>,
    /// Acknowledged, it was not told where.
    somewhere: BTreeMap<Name, BTreeSet<u64>>,
}

impl Acknowledged {
    pub fn fresh(&mut self, name: Name, producer: i64, count: usize) -> Vec<u64> {
        let values: Vec<u64> = (self.minted..).take(count).collect();
        self.minted += count as u64;
        self.sent.entry((name, producer)).or_default().extend(&values);
        values
    }

    pub fn acknowledged(&mut self, name: Name, offset: Option<i64>, values: &[u64]) -> Option<String> {
        let Some(offset) = offset else {
            self.somewhere.entry(name).or_default().extend(values);
            return None;
        };
        let known = self.at.entry(name.clone()).or_default();
        let mut violation = None;
        for (offset, value) in (offset..).zip(values) {
            if let Some(other) = known.insert(offset, *value).filter(|other| other != value) {
                violation = Some(format!("{name:?}: {other} and {value} were acknowledged at {offset}"));
            }
        }
        violation
    }

    pub fn end(&self, name: &Name) -> i64 {
        self.at.get(name).and_then(|at| at.last_key_value()).map_or(0, |(last, _)| last + 1)
    }

    pub fn count(&self) -> usize {
        let at = self.at.values().map(BTreeMap::len).sum::<usize>();
        at + self.somewhere.values().map(BTreeSet::len).sum::<usize>()
    }

    /// What is wrong with the logs as they are in the end.
    pub fn compare(&self, logs: &BTreeMap<Name, Log>) -> Vec<String> {
        let mut wrong = vec![];
        for (name, acknowledged) in &self.at {
            let log = logs.get(name);
            for (offset, value) in acknowledged {
                let found = log.and_then(|log| log.get(offset)).copied().flatten();
                if found != Some(*value) {
                    wrong.push(format!("{name:?}: {value} was acknowledged at {offset}, where {found:?} is"));
                }
            }
        }
        for (name, values) in &self.somewhere {
            let there: BTreeSet<u64> =
                logs.get(name).into_iter().flatten().filter_map(|(_, one)| *one).collect();
            let lost = values.difference(&there);
            wrong.extend(lost.map(|value| format!("{name:?}: {value} was acknowledged and is not there")));
        }
        wrong.extend(self.check_producers(logs));
        wrong
    }

    /// A producer does not know what became of what it sent last, and goes on as another.
    pub fn gave_up(&mut self, name: Name, producer: i64) {
        self.given_up.insert((name, producer));
    }

    /// Of what one producer sent a log holds a beginning, each value once and in its order. Of one that gave up a batch
    /// may be missing: to the first one that it sends a partition takes any sequence.
    fn check_producers(&self, logs: &BTreeMap<Name, Log>) -> Vec<String> {
        let owner: BTreeMap<u64, &(Name, i64)> = self
            .sent
            .iter()
            .flat_map(|(owner, values)| values.iter().map(move |value| (*value, owner)))
            .collect();
        let mut wrong = vec![];
        let mut held: BTreeMap<&(Name, i64), Vec<u64>> = BTreeMap::new();
        for (name, log) in logs {
            for (offset, value) in log {
                match value.and_then(|value| Some((value, *owner.get(&value)?))) {
                    Some((value, by)) if by.0 == *name => held.entry(by).or_default().push(value),
                    _ => wrong.push(format!("{name:?}: nobody sent {value:?}, which is at {offset}")),
                }
            }
        }
        for (by, values) in held {
            let sent = &self.sent[by];
            let is_right = match self.given_up.contains(by) {
                true => values.is_sorted_by(|one, next| one < next),
                false => sent.starts_with(&values),
            };
            if !is_right {
                let at = values.iter().zip(sent).position(|(held, sent)| held != sent);
                let (at, end) = (at.unwrap_or(sent.len()), values.len());
                let near =
                    |all: &[u64]| all.iter().skip(at.saturating_sub(2)).take(6).copied().collect::<Vec<_>>();
                wrong.push(format!(
                    "{by:?}: lost, doubled or out of order at {at} of {end}: sent {:?}, there is {:?}",
                    near(sent),
                    near(&values)
                ));
            }
        }
        wrong
    }
}
