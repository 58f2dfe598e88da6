//! Who leads instead, for clients that came to the wrong broker (KIP-951).

use super::context::Context;
use super::fetch::session::TopicKey;
use crate::cluster::Image;
use crate::types::{BrokerId, LeaderEpoch};
use crate::wire::fetch_response::Endpoint;
use kafka_protocol::protocol::StrBytes;

/// The leaders that one answer names.
#[derive(Debug, Default)]
pub(super) struct Leaders {
    /// Where they are reached, each once.
    pub endpoints: Vec<Endpoint>,
}

impl Leaders {
    /// Who leads a partition; `None` if nobody does, or nobody whom the client can reach by the listener that it came by.
    pub fn hint(
        &mut self,
        cx: &Context,
        image: &Image,
        key: &TopicKey,
        partition: i32,
    ) -> Option<(BrokerId, LeaderEpoch)> {
        let partition = cx.topic(image, key).ok()?.partition(partition)?;
        let leader = image.brokers.get(partition.leader?)?;
        let listener = leader.listener(&cx.peer.listener)?;
        if self.endpoints.iter().all(|known| known.node != leader.id) {
            self.endpoints.push(Endpoint {
                node: leader.id,
                host: StrBytes::from_string(listener.host.clone()),
                port: listener.port.into(),
                rack: leader.rack.clone().map(StrBytes::from_string),
            });
        }
        Some((leader.id, partition.leader_epoch))
    }
}
