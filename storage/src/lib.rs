//! Bytes on disk: partition logs in Apache Kafka's format, and the small files beside them.
//!
//! Everything here is synchronous, takes time as an argument, and reaches the disk only through [`disk::Disk`],
//! so that the same code runs on a real file system and on one that crashes, tears and fills up on purpose.
//! What a record means (a group's commit, a metadata change) is not known here.

pub mod batch;
pub mod checkpoint;
pub mod compress;
pub mod dirs;
pub mod disk;
pub mod epochs;
pub mod files;
pub mod index;
pub mod kafka_uuid;
pub mod log;
pub mod producers;
mod segment;
pub mod sync;
pub mod time;
pub mod validate;
