//! The way to other brokers, by their ids.

use super::line::Line;
use super::link::{Link, Unreachable};
use crate::cluster::Metadata;
use crate::config::HostPort;
use crate::types::BrokerId;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// A connection to each broker that is asked for something, by the listener for brokers. One that has moved is found at its
/// new address.
pub struct Brokers {
    metadata: Metadata,
    listener: String,
    links: Mutex<HashMap<BrokerId, (HostPort, Arc<Link>)>>,
}

impl Brokers {
    /// `listener` is `inter.broker.listener.name`.
    pub fn new(metadata: Metadata, listener: String) -> Brokers {
        Brokers { metadata, listener, links: Mutex::default() }
    }

    /// Sends a request to a broker, and returns the body of its answer. Both have flexible headers.
    pub async fn call(
        &self,
        to: BrokerId,
        key: i16,
        version: i16,
        body: &[u8],
        limit: Duration,
    ) -> Result<Bytes, Unreachable> {
        let link = self.link(to).ok_or_else(|| Unreachable {
            address: format!("broker {to}"),
            why: "it is not registered with a listener for brokers".into(),
            unsent: true,
        })?;
        link.call(key, version, body, limit).await
    }

    /// A connection that is nobody else's, for requests that wait at the other broker.
    pub fn own_line(&self, to: BrokerId) -> Option<Line> {
        self.address(to).map(Line::new)
    }

    fn address(&self, to: BrokerId) -> Option<HostPort> {
        let image = self.metadata.image();
        let broker = image.brokers.get(to)?;
        let listener = broker.listener(&self.listener).or(broker.listeners.first())?;
        Some(HostPort { host: listener.host.clone(), port: listener.port })
    }

    fn link(&self, to: BrokerId) -> Option<Arc<Link>> {
        let at = self.address(to)?;
        let mut links = self.links.lock();
        let (known, link) = links.entry(to).or_insert_with(|| (at.clone(), Arc::new(Link::new(at.clone()))));
        if *known != at {
            (*known, *link) = (at.clone(), Arc::new(Link::new(at)));
        }
        Some(link.clone())
    }
}
