//! Commands between nodes: what a node that does not decide sends to the one that does.
//!
//! ```text
//!  request:  kind u16 | version u8 | command (postcard)                           numbers are big-endian
//!  answer:   postcard of: the index of the image that shows it, and the answer; or an error code
//! ```

use super::controller::*;
use super::office::{self, Job};
use crate::types::{ErrorCode, error_code};
use bytes::{Buf, Bytes};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// An answer, and the index of the first image that shows what it tells of.
pub(super) type Answered<A> = Result<(u64, A), ErrorCode>;

/// Carries requests to the node that leads the quorum.
pub trait Way: Send + Sync + 'static {
    /// Brings `request` to the member `leader` of the quorum, whose address is `address`. `None` if no answer came within
    /// `limit`: whether it took effect is then not known. [`Unsent`] if it cannot have.
    fn ask(
        &self,
        leader: u64,
        address: String,
        request: Bytes,
        limit: Duration,
    ) -> BoxFuture<'static, Result<Option<Bytes>, Unsent>>;
}

/// The request did not leave this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsent;

/// For a quorum of one: this node decides, or nobody does.
#[derive(Clone, Copy, Debug)]
pub struct Alone;

impl Way for Alone {
    fn ask(
        &self,
        _: u64,
        _: String,
        _: Bytes,
        _: Duration,
    ) -> BoxFuture<'static, Result<Option<Bytes>, Unsent>> {
        async { Err(Unsent) }.boxed()
    }
}

/// What a command is called between nodes.
pub trait Numbered {
    const KIND: u16;
    const VERSION: u8;
}

/// A command that came in, and where its answer will come.
type Received = (Box<dyn Job>, BoxFuture<'static, Bytes>);

/// The table of commands: number, version, name. A line is never changed, only added.
macro_rules! commands {
    ($($kind:literal, $version:literal, $name:ident;)*) => {
        $(impl Numbered for $name {
            const KIND: u16 = $kind;
            const VERSION: u8 = $version;
        })*

        fn take_any(kind: u16, version: u8, body: &[u8]) -> Option<Received> {
            match (kind, version) {
                $(($kind, $version) => take::<$name>(body),)*
                _ => None,
            }
        }
    };
}

commands! {
    1,  1, FormCluster;
    2,  1, RegisterBroker;
    3,  1, UnfenceBroker;
    4,  1, FenceBroker;
    5,  1, UnregisterBroker;
    6,  1, CreateTopics;
    7,  1, CreatePartitions;
    8,  1, DeleteTopics;
    9,  1, ConfirmDeletions;
    10, 1, AlterConfigs;
    11, 1, ReplaceConfigs;
    12, 1, AllocateProducerIds;
    13, 1, AlterPartition;
    14, 1, BeginShutdown;
    15, 1, DirectoriesFailed;
    16, 1, ElectLeaders;
    17, 1, RebalanceLeaders;
    18, 1, AlterReassignments;
    19, 1, ConfirmReleases;
}

/// The bytes of a command.
pub(super) fn request<C: Command>(command: &C) -> Bytes {
    let mut out = C::KIND.to_be_bytes().to_vec();
    out.push(C::VERSION);
    out.extend(encoded(command));
    out.into()
}

/// Reads a command; the answer to one that is not known, or does not hold what it must, is given at once.
pub(super) fn receive(mut request: Bytes) -> Result<Received, Bytes> {
    let head = request.try_get_u16().and_then(|kind| Ok((kind, request.try_get_u8()?)));
    let received = head.ok().and_then(|(kind, version)| take_any(kind, version, &request));
    received.ok_or_else(|| answer::<()>(Err(ErrorCode::UnsupportedVersion)))
}

fn take<C: Command>(body: &[u8]) -> Option<Received> {
    let command: C = postcard::from_bytes(body).ok()?;
    let (job, reply) = office::job(command);
    let answered = async { answer(reply.await.unwrap_or(Err(ErrorCode::NotController))) };
    Some((job, answered.boxed()))
}

/// The bytes of an answer.
pub(super) fn answer<A: serde::Serialize>(answered: Answered<A>) -> Bytes {
    encoded(&answered.map_err(|code| code.code())).into()
}

/// Reads an answer.
pub(super) fn answered<A: DeserializeOwned>(answer: &[u8]) -> Answered<A> {
    let read: Result<(u64, A), i16> =
        postcard::from_bytes(answer).map_err(|_| ErrorCode::UnknownServerError)?;
    read.map_err(error_code::of)
}

fn encoded<T: serde::Serialize>(value: &T) -> Vec<u8> {
    // Only maps of unknown length and the like cannot be encoded; no command has any.
    postcard::to_stdvec(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_refused() {
        let refused = |request: &'static [u8]| {
            let refusal = receive(Bytes::from_static(request)).err().expect("refused");
            answered::<()>(&refusal)
        };
        let unknown = Err(ErrorCode::UnsupportedVersion);
        for request in [&b""[..], b"\0", b"\0\x01", b"\0\x63\x01", b"\0\x01\x09", b"\0\x02\x01\xff"] {
            assert_eq!(refused(request), unknown, "{request:?}");
        }
    }

    #[tokio::test]
    async fn an_answer_comes_back_as_it_was_given() {
        let asked = UnregisterBroker { id: 7 };
        let Ok((job, reply)) = receive(request(&asked)) else { panic!("a command was not taken") };
        job.finish(Err(ErrorCode::BrokerIdNotRegistered));
        assert_eq!(answered::<()>(&reply.await), Err(ErrorCode::BrokerIdNotRegistered));
        let told: Answered<String> = Ok((5, "five".into()));
        assert_eq!(answered::<String>(&answer(told.clone())), told);
        assert_eq!(answered::<String>(b"\x07"), Err(ErrorCode::UnknownServerError));
    }
}
