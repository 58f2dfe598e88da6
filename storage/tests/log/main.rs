//! The partition log, through what it offers to the layers above.

mod append;
mod fixture;
mod flush;
mod lookup;
mod model;
mod recover;
mod retain;
mod transactions;
mod truncate;
