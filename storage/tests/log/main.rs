//! The partition log, through what it offers to the layers above.

mod append;
mod fixture;
