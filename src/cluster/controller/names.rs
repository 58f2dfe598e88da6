//! What a topic may be called.

use crate::cluster::image::Topics;

/// Longest name: a directory of 255 bytes must hold it, a dash and a partition's number.
const LONGEST: usize = 249;

/// Topics of Kafka's that nobody can make here: the metadata is a log of its own, and a directory of that name would mark
/// a whole Kafka node at the next start; transactions and share groups are not coordinated, so nothing may lie where
/// their state will.
const RESERVED: [&str; 3] = ["__cluster_metadata", "__transaction_state", "__share_group_state"];

/// Whether a topic of this name cannot be made, although the name is sound.
pub fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}

/// Why no topic can have this name.
pub fn name_fault(name: &str) -> Option<String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match name {
        "" => Some("A topic's name cannot be empty.".into()),
        "." | ".." => Some(format!("A topic cannot be called '{name}'.")),
        _ if name.len() > LONGEST => Some(format!(
            "A topic's name has at most {LONGEST} characters, this one {}.",
            name.chars().count()
        )),
        _ if !name.chars().all(legal) => Some(format!(
            "Topic name '{name}' has other characters than ASCII letters, digits, '.', '_' and '-'."
        )),
        _ => None,
    }
}

/// An existing topic whose name differs from `name` only by '.' for '_' or the reverse.
pub(super) fn collision(name: &str, topics: &Topics) -> Option<String> {
    // Names that collide agree up to the first of the two characters.
    let common = &name[..name.find(['.', '_'])?];
    topics
        .from_name(common)
        .map(|topic| &topic.name)
        .take_while(|other| other.starts_with(common))
        .find(|other| *other != name && same_metric(other, name))
        .cloned()
}

fn same_metric(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).all(|(a, b)| a == b || (is_joint(a) && is_joint(b)))
}

fn is_joint(byte: u8) -> bool {
    matches!(byte, b'.' | b'_')
}
