//! Whole clusters, simulated: real nodes on machines that lose power, a network that holds and breaks connections, disks
//! that are slow and fail; all of it decided by a seed.
//!
//! `docs/simulation.md` says how to run it. Each seed is told in a process of its own, so that nothing of one reaches
//! another, and a seed does the same each time.

mod client;
mod disk;
mod history;
mod invariants;
mod lines;
mod machine;
mod nemesis;
mod net;
mod random;
mod seeds;
mod setup;
mod story;
mod trace;
mod world;
