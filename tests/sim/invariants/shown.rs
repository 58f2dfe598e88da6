//! What a consumer was shown was committed: nobody is ever shown anything else in its place, and it is there in the end.

use super::acknowledged::Log;
use crate::history::Name;
use std::collections::BTreeMap;

#[derive(Default)]
pub struct Shown {
    records: BTreeMap<Name, Log>,
}

impl Shown {
    pub fn shown(&mut self, name: Name, offset: i64, value: Option<u64>) -> Option<String> {
        let log = self.records.entry(name.clone()).or_default();
        let other = log.insert(offset, value).filter(|other| *other != value)?;
        Some(format!("{name:?}: {other:?} was shown at {offset}, and later {value:?}"))
    }

    /// What was shown before and is not there any more.
    pub fn not_in(&self, last: &Shown) -> Vec<String> {
        let all = self.records.iter().flat_map(|(name, log)| log.keys().map(move |offset| (name, offset)));
        let there = |(name, offset): &(&Name, &i64)| {
            last.records.get(*name).is_some_and(|log| log.contains_key(*offset))
        };
        let gone = all.filter(|one| !there(one));
        gone.map(|(name, offset)| format!("{name:?}: what was shown at {offset} is gone")).collect()
    }

    pub fn end(&self, name: &Name) -> i64 {
        self.records.get(name).and_then(|log| log.last_key_value()).map_or(0, |(last, _)| last + 1)
    }

    pub fn records(&self) -> &BTreeMap<Name, Log> {
        &self.records
    }

    pub fn count(&self) -> usize {
        self.records.values().map(BTreeMap::len).sum()
    }
}
