//! File names in a partition directory: twenty digits of an offset, and what the file is.

use crate::log::Offset;

pub(crate) const LOG: &str = "log";
pub(crate) const OFFSET_INDEX: &str = "index";
pub(crate) const TIME_INDEX: &str = "timeindex";
pub(crate) const TXN_INDEX: &str = "txnindex";
/// Producer state up to the offset of the name.
pub(crate) const SNAPSHOT: &str = "snapshot";
/// Behind the name of a file that is removed as soon as no reader can still want it.
pub(crate) const DELETED: &str = ".deleted";
/// Behind the name of a file that compaction is writing.
pub(crate) const CLEANED: &str = ".cleaned";
/// Behind the name of a file that compaction has finished and is putting in place of others.
pub(crate) const SWAP: &str = ".swap";

pub(crate) fn file_name(offset: Offset, kind: &str) -> String {
    format!("{offset:020}.{kind}")
}

/// Offset and kind of a name; `None` for files that are not named after an offset.
pub(crate) fn parse_name(name: &str) -> Option<(Offset, &str)> {
    let (digits, kind) = name.split_once('.')?;
    if digits.len() != 20 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((digits.parse().ok()?, kind))
}
