//! What a controller answers by its own listener: the APIs that administrators' tools use with `--bootstrap-controller`.
//! A node that is a controller only has no other.

use super::context::{Envelope, Node};
use super::{Api, reply, versions};
use crate::cluster::Metadata;
use crate::config::BrokerConfig;
use crate::peer::{Address, QuorumAdmin};
use crate::types::ErrorCode;
use crate::wire::codec;
use crate::wire::frame::Frame;
use crate::wire::outgoing::Outgoing;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use kafka_protocol::messages::*;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

/// What a controller answers with.
#[derive(Clone)]
pub struct Desk {
    pub config: Arc<BrokerConfig>,
    pub metadata: Metadata,
    pub quorum: QuorumAdmin,
}

/// One request kind that controllers answer too, in the versions that brokers speak.
pub(super) trait ControllerApi: Api
where
    Self::Response: Send + Default,
{
    fn answer(self, desk: &Desk, version: i16) -> impl Future<Output = Self::Response> + Send;

    /// The whole answer to a version that is not spoken.
    fn unspoken() -> Self::Response {
        Self::refuse(ErrorCode::UnsupportedVersion)
    }
}

/// One line of the controllers' table.
pub struct ControllerRoute {
    pub key: i16,
    pub min: i16,
    pub max: i16,
    run: fn(Desk, Envelope, Bytes) -> BoxFuture<'static, Outgoing>,
    unspoken: fn(Envelope) -> Outgoing,
}

impl ControllerRoute {
    const fn of<A: ControllerApi>() -> ControllerRoute
    where
        A::Response: Send + Default,
    {
        ControllerRoute {
            key: A::KEY,
            min: A::SPOKEN.0,
            max: A::SPOKEN.1,
            run: |desk, envelope, body| Box::pin(run::<A>(desk, envelope, body)),
            unspoken: |envelope| reply::refusal(envelope, &A::unspoken()),
        }
    }
}

/// Every API that controllers tell of, by key.
pub static CONTROLLER_ROUTES: &[ControllerRoute] = &[
    ControllerRoute::of::<ApiVersionsRequest>(),
    ControllerRoute::of::<DescribeQuorumRequest>(),
    ControllerRoute::of::<DescribeClusterRequest>(),
    ControllerRoute::of::<UnregisterBrokerRequest>(),
    ControllerRoute::of::<AddRaftVoterRequest>(),
    ControllerRoute::of::<RemoveRaftVoterRequest>(),
];

/// Serves one request on a controllers' listener.
pub async fn serve_controller(desk: Desk, frame: Frame) -> Outgoing {
    let Frame { header, body, .. } = frame;
    let envelope = Envelope { correlation_id: header.correlation_id, version: header.version };
    let Some(route) = CONTROLLER_ROUTES.iter().find(|route| route.key == header.api_key) else {
        return Outgoing::Close("the API is not served by controllers");
    };
    if (route.min..=route.max).contains(&header.version) {
        return (route.run)(desk, envelope, body).await;
    }
    let version = match route.key {
        key if key == ApiKey::ApiVersions as i16 => versions::FALLBACK,
        _ => header.version.clamp(route.min, route.max),
    };
    (route.unspoken)(Envelope { version, ..envelope })
}

async fn run<A: ControllerApi>(desk: Desk, envelope: Envelope, body: Bytes) -> Outgoing
where
    A::Response: Send + Default,
{
    match codec::decode::<A>(body, envelope.version) {
        Ok(request) => reply::encode(envelope, &request.answer(&desk, envelope.version).await),
        Err(error) => {
            tracing::debug!(%error, "closing a connection to the controller");
            Outgoing::Close("a request body could not be decoded")
        }
    }
}

impl Node {
    /// The part of this node that controllers answer with too.
    pub(super) fn desk(&self) -> Desk {
        Desk { config: self.config.clone(), metadata: self.metadata.clone(), quorum: self.quorum.clone() }
    }
}

impl Desk {
    /// The listener by which controllers are reached.
    pub(super) fn controller_listener(&self) -> &str {
        self.config.controller_listener_names.first().unwrap_or(&self.config.inter_broker_listener_name)
    }

    /// All controllers that follow the quorum, by their ids, and the id of the one that leads.
    pub(super) fn controllers(&self) -> (BTreeMap<i32, Address>, i32) {
        let status = self.metadata.status().borrow().clone();
        let address = |member: &u64| status.address(*member).and_then(|known| Address::parse(known));
        // Of two directories of a node the one without a vote is the newer.
        let members = status.voters.keys().chain(status.learners.keys());
        let controllers = members.filter_map(address).filter(|address| address.is_controller);
        let leader = status.leader.as_ref().and_then(address).map_or(-1, |leader| leader.node);
        (controllers.map(|address| (address.node, address)).collect(), leader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::header::PEER_KEYS;

    #[test]
    fn controllers_tell_of_nothing_private() {
        assert!(CONTROLLER_ROUTES.is_sorted_by(|a, b| a.key < b.key));
        assert!(CONTROLLER_ROUTES.iter().all(|route| !PEER_KEYS.contains(&route.key)));
    }
}
