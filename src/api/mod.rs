//! What clients can ask: one trait, one list.
//!
//! Dispatch, the version check, ApiVersions, the table in the README and the tests over every version all walk
//! [`ROUTES`], so that what is advertised and what is handled cannot disagree.

mod auto_create;
mod brokers;
mod configs;
pub mod context;
mod controllers;
mod describe;
mod elections;
mod epochs;
mod events;
pub mod fetch;
mod groups;
mod leaders;
mod list_offsets;
mod log_dirs;
mod merged;
mod metadata;
mod operations;
mod produce;
pub mod producer_ids;
mod producers;
mod quorum;
mod reassignments;
mod records;
mod reply;
mod routes;
mod topics;
mod versions;
mod voters;

pub use context::{Context, Node};
pub use controllers::{CONTROLLER_ROUTES, Desk, serve_controller};
pub use events::{role_changed, topics_changed};
pub use reply::Reply;
pub use routes::{ROUTES, serve};

use crate::types::ErrorCode;
use crate::wire::codec;
use crate::wire::outgoing::Outgoing;
use bytes::Bytes;
use context::Envelope;
use futures_util::future::BoxFuture;
use kafka_protocol::protocol::Request;
use std::future::Future;

/// One request kind and what is done with it.
///
/// A handler authorises, converts, calls one owner and converts back. It reaches a topic only through
/// [`Context::topic`]: resolving is authorising, so neither can be forgotten.
pub trait Api: Request + Send + 'static
where
    Self::Response: Send + Default,
{
    /// Versions this broker handles; checked at compile time to lie within what the codec decodes.
    const SPOKEN: (i16, i16) = (Self::VERSIONS.min, Self::VERSIONS.max);
    /// The minimum told to clients. Only Produce tells less than it speaks (KAFKA-18659).
    const ADVERTISED_MIN: i16 = Self::SPOKEN.0;

    /// Takes the request's effect; what is left to wait for afterwards is in the [`Reply`].
    fn handle(self, cx: Context) -> impl Future<Output = Reply<Self::Response>> + Send;

    /// The whole answer to a request that could not be handled at all; where a version has no room for it, it is empty.
    fn refuse(_code: ErrorCode) -> Self::Response {
        Self::Response::default()
    }
}

/// One line of the API table.
pub struct Route {
    pub key: i16,
    pub name: &'static str,
    pub min: i16,
    pub max: i16,
    pub advertised_min: i16,
    run: fn(Context, Bytes) -> BoxFuture<'static, Outgoing>,
    refuse: fn(Envelope, ErrorCode) -> Outgoing,
}

impl Route {
    const fn of<A: Api>(name: &'static str) -> Route
    where
        A::Response: Send + Default,
    {
        const {
            assert!(
                A::SPOKEN.0 >= A::VERSIONS.min && A::SPOKEN.1 <= A::VERSIONS.max,
                "the codec cannot decode this"
            );
        }
        Route {
            key: A::KEY,
            name,
            min: A::SPOKEN.0,
            max: A::SPOKEN.1,
            advertised_min: A::ADVERTISED_MIN,
            run: |cx, body| Box::pin(run::<A>(cx, body)),
            refuse: |envelope, code| reply::refusal(envelope, &A::refuse(code)),
        }
    }

    pub fn speaks(&self, version: i16) -> bool {
        (self.min..=self.max).contains(&version)
    }
}

/// Decodes and handles one request.
async fn run<A: Api>(cx: Context, body: Bytes) -> Outgoing
where
    A::Response: Send + Default,
{
    let (envelope, remote) = (cx.envelope(), cx.peer.remote);
    match codec::decode::<A>(body, cx.version()) {
        Ok(request) => request.handle(cx).await.outgoing(envelope),
        Err(error) => {
            tracing::debug!(%error, client = %remote, "closing a connection");
            Outgoing::Close("a request body could not be decoded")
        }
    }
}
