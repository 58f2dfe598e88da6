//! Committed offsets never go back.

use std::collections::BTreeMap;

/// An offset is certain to be committed once that was acknowledged, or it was found to be. A commit more may have been
/// begun.
pub fn check(group: &str, certain: i64, found: i64) -> Option<String> {
    let right = (certain..=certain + 1).contains(&found);
    (!right).then(|| format!("{group}: committed {certain}, found {found}"))
}

/// What the members of groups committed, by group and partition.
#[derive(Default)]
pub struct Members(BTreeMap<(String, u8), Bounds>);

/// An offset below the one is there no more, none above the other was ever committed; -1 before the first.
struct Bounds {
    certain: i64,
    attempted: i64,
}

impl Members {
    fn of(&mut self, group: &str, partition: u8) -> &mut Bounds {
        self.0.entry((group.to_owned(), partition)).or_insert(Bounds { certain: -1, attempted: -1 })
    }

    pub fn attempted(&mut self, group: &str, partition: u8, offset: i64) {
        let bounds = self.of(group, partition);
        bounds.attempted = bounds.attempted.max(offset);
    }

    pub fn certain(&mut self, group: &str, partition: u8, offset: i64) {
        let bounds = self.of(group, partition);
        bounds.certain = bounds.certain.max(offset);
    }

    /// Who was given the partition found that offset.
    pub fn found(&mut self, group: &str, partition: u8, found: i64) -> Option<String> {
        let bounds = self.of(group, partition);
        let right = (bounds.certain..=bounds.attempted).contains(&found);
        let violation = (!right).then(|| {
            format!(
                "{group}: of {} to {} committed for {partition}, found {found}",
                bounds.certain, bounds.attempted
            )
        });
        bounds.certain = bounds.certain.max(found);
        violation
    }
}
