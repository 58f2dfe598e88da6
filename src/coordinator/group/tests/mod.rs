//! Scenarios as text, properties by chance, and Kafka's own bytes.

mod driver;
mod golden;
mod runner;
mod scenarios;
mod soak;
mod transactions;
