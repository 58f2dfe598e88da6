//! Names of partition directories.
//!
//! ```text
//!   orders-3                                             a partition
//!   orders-3.5f0c…(32 hex digits)-delete                 renamed away, to be removed in the background
//!   orders-3.5f0c…-future, orders-3.5f0c…-stray          being moved here; not known to the cluster
//! ```

use std::fmt;

use uuid::Uuid;

/// Longest name of a directory entry, in bytes.
const MAX_NAME: usize = 255;
/// Longest name of a topic, in bytes.
const MAX_TOPIC: usize = 249;

/// A partition by its topic's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionName {
    pub topic: String,
    pub partition: i32,
}

impl fmt::Display for PartitionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// What a partition directory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DirKind {
    Current,
    /// To be removed.
    Delete,
    /// A copy that is catching up, to take the place of one in another log directory.
    Future,
    /// Not known to the cluster; kept for the operator.
    Stray,
}

impl DirKind {
    const SUFFIXED: [DirKind; 3] = [DirKind::Delete, DirKind::Future, DirKind::Stray];

    fn suffix(self) -> &'static str {
        match self {
            DirKind::Current => "",
            DirKind::Delete => "-delete",
            DirKind::Future => "-future",
            DirKind::Stray => "-stray",
        }
    }
}

impl PartitionName {
    /// The name of a directory of another kind than current; `unique` tells several of one partition apart. A long
    /// topic is cut to fit, as Kafka does.
    pub fn suffixed(&self, kind: DirKind, unique: Uuid) -> String {
        let tail = format!("-{}.{}{}", self.partition, unique.simple(), kind.suffix());
        let topic = &self.topic[..self.topic.floor_char_boundary(MAX_NAME - tail.len())];
        format!("{topic}{tail}")
    }

    /// `None` if `name` is no partition directory's.
    pub fn parse(name: &str) -> Option<(PartitionName, DirKind)> {
        let suffixed = |kind: &DirKind| Some((name.strip_suffix(kind.suffix())?, *kind));
        let (name, kind) = match DirKind::SUFFIXED.iter().find_map(suffixed) {
            Some((name, kind)) => (unique_removed(name)?, kind),
            None => (name, DirKind::Current),
        };
        let (topic, number) = name.rsplit_once('-')?;
        let partition: i32 = number.parse().ok()?;
        let canonical = partition >= 0 && number == partition.to_string();
        (canonical && is_topic(topic)).then(|| (PartitionName { topic: topic.to_owned(), partition }, kind))
    }
}

fn unique_removed(name: &str) -> Option<&str> {
    let (name, unique) = name.rsplit_once('.')?;
    Uuid::try_parse(unique).ok().filter(|_| unique.len() == 32).map(|_| name)
}

fn is_topic(name: &str) -> bool {
    let legal = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    legal && (1..=MAX_TOPIC).contains(&name.len()) && name != "." && name != ".."
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIQUE: &str = "5f0c27f2d0b84cf39e5b0ea6d6bd6dd5";

    fn name(topic: &str, partition: i32) -> PartitionName {
        PartitionName { topic: topic.to_owned(), partition }
    }

    #[test]
    fn parses_each_kind() {
        let current = [
            ("orders-3", "orders", 3),
            ("a-b.c-0-17", "a-b.c-0", 17),
            ("x-delete-0", "x-delete", 0),
            ("a--1", "a-", 1),
        ];
        for (text, topic, partition) in current {
            assert_eq!(
                PartitionName::parse(text),
                Some((name(topic, partition), DirKind::Current)),
                "{text}"
            );
        }
        for kind in DirKind::SUFFIXED {
            let text = format!("a.b-3.{UNIQUE}{}", kind.suffix());
            assert_eq!(PartitionName::parse(&text), Some((name("a.b", 3), kind)), "{text}");
            assert_eq!(name("a.b", 3).suffixed(kind, Uuid::try_parse(UNIQUE).unwrap()), text);
        }
    }

    #[test]
    fn refuses_what_is_no_partition() {
        let bad =
            ["", "orders", "-3", "orders-", "orders-03", "orders-+3", "or ders-3", "..-0", "lost+found"];
        let more = ["orders-3-delete", "orders-3.xyz-delete", "orders-2147483648", "orders-3.5f0c-stray"];
        for text in bad.iter().chain(&more) {
            assert_eq!(PartitionName::parse(text), None, "{text}");
        }
    }

    #[test]
    fn long_names_are_cut_to_fit() {
        let long = name(&"t".repeat(249), 1_000_000);
        let cut = long.suffixed(DirKind::Delete, Uuid::nil());
        assert_eq!(cut.len(), 255);
        assert_eq!(PartitionName::parse(&cut).unwrap().0.partition, 1_000_000);
    }
}
