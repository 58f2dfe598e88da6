//! The partition log, through what it offers to the layers above.

mod append;
mod fixture;
mod flush;
mod kafka;
mod lookup;
mod model;
mod race;
mod recover;
mod retain;
mod transactions;
mod truncate;
