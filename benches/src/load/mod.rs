//! What loads a broker, itself almost free of cost.

pub mod batch;
pub mod closed;
pub mod consume;
pub mod group;
pub mod many;
pub mod open;
pub mod topics;
pub mod wire;
