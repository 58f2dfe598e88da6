//! What a request names more than once is meant, and answered, once: a small request must not cause a large answer.

use indexmap::IndexMap;
use std::collections::HashSet;
use std::hash::Hash;

/// Topics in the order of their first mention, each with its partitions likewise.
pub(super) type Merged<K, T> = IndexMap<K, IndexMap<i32, T>>;

/// Of a partition that is named twice the last mention counts.
pub(super) fn merged<K, T, P>(topics: impl IntoIterator<Item = (K, P)>) -> Merged<K, T>
where
    K: Hash + Eq,
    P: IntoIterator<Item = (i32, T)>,
{
    let mut merged = Merged::new();
    for (topic, partitions) in topics {
        merged.entry(topic).or_default().extend(partitions);
    }
    merged
}

/// The first of each `key`.
pub(super) fn first_of_each<T, K: Hash + Eq>(mut items: Vec<T>, key: impl Fn(&T) -> K) -> Vec<T> {
    let mut seen = HashSet::new();
    items.retain(|item| seen.insert(key(item)));
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_mention_gives_the_place_and_the_last_the_content() {
        let merged = merged([("b", vec![(1, 'x'), (0, 'y')]), ("a", vec![(0, 'z')]), ("b", vec![(1, 'w')])]);
        let flat: Vec<_> =
            merged.iter().flat_map(|(topic, all)| all.iter().map(move |(at, c)| (*topic, *at, *c))).collect();
        assert_eq!(flat, [("b", 1, 'w'), ("b", 0, 'y'), ("a", 0, 'z')]);
        assert_eq!(first_of_each(vec![(1, 'a'), (2, 'b'), (1, 'c')], |one| one.0), [(1, 'a'), (2, 'b')]);
    }
}
