//! Which partition of `__consumer_offsets` a group lives on.

/// Java's `String.hashCode` (over UTF-16) without its sign, modulo the number of partitions. The one hash that has no
/// positive counterpart counts as 0.
pub fn partition_of(group: &str, partitions: i32) -> i32 {
    let hash =
        group.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    hash.checked_abs().unwrap_or(0) % partitions.max(1)
}
