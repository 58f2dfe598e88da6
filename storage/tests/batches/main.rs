//! Batches: their records, codecs and what a leader checks.

mod common;
mod records;
mod validate;
