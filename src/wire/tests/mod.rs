//! Every API at every version, bytes of every kind.

mod apis;
mod dice;
mod fetch;
mod header;
mod hostile;
mod round_trip;
