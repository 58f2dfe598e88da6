//! A partition's log: segments on disk, one writer, any number of readers.
//!
//! ```text
//!                 LogWriter (one owner)                 LogReader (clones, any thread)
//!                     │ write, then publish                 │ load
//!                     ▼                                     ▼
//!   segments ──► Arc<LogView>: log start, log end, segments, bytes of the last one
//! ```
//! A view is published only after the bytes that it covers are written, and bytes once covered never change: a cut
//! segment is closed and appends go to a new file; a removed one is renamed and unlinked later. So a reader needs no lock.

mod active;
mod append;
mod config;
mod error;
mod flush;
mod lookup;
mod reader;
mod recover;
mod removed;
mod retain;
mod roll;
mod truncate;
mod view;
mod writer;

use std::sync::Arc;

use crate::disk::Disk;
use crate::files::FileCache;

pub use append::{Append, Appended};
pub use config::LogConfig;
pub use error::{AppendError, LogError, ReadError};
pub use flush::{Synced, Unsynced};
pub use lookup::TimestampedOffset;
pub use reader::{LogReader, Read, Stop};
pub use recover::Start;
pub use retain::Retained;
pub use view::LogView;
pub use writer::LogWriter;

/// Position of a record in its log.
pub type Offset = i64;

/// What the logs of a broker share.
#[derive(Clone, Debug)]
pub struct LogEnv {
    pub disk: Arc<dyn Disk>,
    pub files: Arc<FileCache>,
}
