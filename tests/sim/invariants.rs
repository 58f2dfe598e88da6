//! What must hold, whatever happens.

pub mod acknowledged;
pub mod committed;
pub mod images;
pub mod leaders;
pub mod logs;
pub mod progress;
pub mod shown;
pub mod watermark;
