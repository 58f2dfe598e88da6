//! The replicas on this broker: one decides ([`state`]), one shows ([`progress`]).

pub mod progress;
pub mod state;
