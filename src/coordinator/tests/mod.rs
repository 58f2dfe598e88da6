//! The runtime, driven by callers and by time.

mod runtime;
