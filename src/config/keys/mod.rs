//! THE table: every key that Kafka 4.3 knows, one row each.
//!
//! Names, types, defaults and bounds are Kafka's, so that its tools and files fit. Where a default differs on purpose
//! (`log.dir`, `listeners`, class names that mean nothing here) the comparison test lists it.

mod client_metrics;
mod group;
mod log;
mod noted;
mod server;
mod topic;

use std::collections::HashMap;
use std::sync::OnceLock;

use super::key::{Key, Scope};

/// Settings of a whole family are named by their prefix; none is acted on.
const NOTED_PREFIXES: &[&str] = &["listener.name.", "rlmm.config.", "rsm.config.", "config.providers."];

/// All keys of `scope`, those acted on first.
pub fn of(scope: Scope) -> impl Iterator<Item = &'static Key> {
    let parts: &[&[Key]] = match scope {
        Scope::Broker => &[server::KEYS, log::KEYS, noted::KEYS],
        Scope::Topic => &[topic::KEYS],
        Scope::Group => &[group::KEYS],
        Scope::ClientMetrics => &[client_metrics::KEYS],
    };
    parts.iter().copied().flatten()
}

/// The row of `name` in `scope`.
pub fn find(scope: Scope, name: &str) -> Option<&'static Key> {
    static INDEX: OnceLock<HashMap<(Scope, &'static str), &'static Key>> = OnceLock::new();
    let index = INDEX.get_or_init(|| {
        let scopes = [Scope::Broker, Scope::Topic, Scope::Group, Scope::ClientMetrics];
        scopes.into_iter().flat_map(|scope| of(scope).map(move |key| ((scope, key.name), key))).collect()
    });
    index.get(&(scope, name)).copied()
}

/// Whether Kafka knows broker settings that begin like `name`.
pub fn is_prefixed(name: &str) -> bool {
    NOTED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}
