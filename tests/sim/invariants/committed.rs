//! Committed offsets never go back.

/// An offset is certain to be committed once that was acknowledged, or it was found to be. A commit more may have been
/// begun.
pub fn check(group: &str, certain: i64, found: i64) -> Option<String> {
    let right = (certain..=certain + 1).contains(&found);
    (!right).then(|| format!("{group}: committed {certain}, found {found}"))
}
