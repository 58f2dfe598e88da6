//! From a handler's answer to what leaves the connection.

use super::context::Envelope;
use crate::wire::codec;
use crate::wire::outgoing::{Chunks, Outgoing};
use futures_util::future::{BoxFuture, FutureExt};
use kafka_protocol::protocol::{Encodable, HeaderVersion, Message, StrBytes};
use std::future::Future;

/// A handler's answer.
pub enum Reply<T> {
    Now(T),
    /// The effect is done; this is the wait for its acknowledgement.
    Later(BoxFuture<'static, T>),
    /// Already encoded, or to be: a Fetch with its file ranges.
    Encoded(Outgoing),
    /// The client expects none.
    Nothing,
    Close(&'static str),
}

impl<T: Send + 'static> Reply<T> {
    /// Runs `work` up to its first wait, so that its effect keeps its place in the order; what is left is awaited later.
    pub async fn of(work: impl Future<Output = T> + Send + 'static) -> Reply<T> {
        let mut work = work.boxed();
        match std::future::poll_fn(|cx| std::task::Poll::Ready(work.poll_unpin(cx))).await {
            std::task::Poll::Ready(answer) => Reply::Now(answer),
            std::task::Poll::Pending => Reply::Later(work),
        }
    }
}

impl<T> Reply<T>
where
    T: Message + Encodable + HeaderVersion + Send + 'static,
{
    pub(super) fn outgoing(self, envelope: Envelope) -> Outgoing {
        match self {
            Reply::Now(answer) => encode(envelope, &answer),
            Reply::Later(answer) => {
                Outgoing::Later(answer.map(move |answer| frame(envelope, &answer)).boxed())
            }
            Reply::Encoded(outgoing) => outgoing,
            Reply::Nothing => Outgoing::Nothing,
            Reply::Close(why) => Outgoing::Close(why),
        }
    }
}

/// Why something was refused, as long as a string of every version can be: the text may quote what the client sent.
pub(super) fn why(mut message: String) -> Option<StrBytes> {
    message.truncate(message.floor_char_boundary(i16::MAX as usize));
    Some(StrBytes::from_string(message))
}

/// Encodes an answer that is ready.
pub(super) fn encode<T: Message + Encodable + HeaderVersion>(envelope: Envelope, answer: &T) -> Outgoing {
    match codec::encode_response(envelope.correlation_id, envelope.version, answer) {
        Ok(chunks) => Outgoing::Now(chunks),
        Err(error) => {
            tracing::error!(%error, "an answer does not fit its version: this is a bug, please report it");
            Outgoing::Close("an answer could not be encoded")
        }
    }
}

/// Encodes a refusal; an empty answer where the version has no room for an error of the whole.
pub(super) fn refusal<T>(envelope: Envelope, answer: &T) -> Outgoing
where
    T: Message + Encodable + HeaderVersion + Default,
{
    let Envelope { correlation_id, version } = envelope;
    match codec::encode_response(correlation_id, version, answer) {
        Ok(chunks) => Outgoing::Now(chunks),
        Err(_) => encode(envelope, &T::default()),
    }
}

/// The frame of an answer that was waited for; empty where it cannot be encoded, which ends the connection.
fn frame<T: Message + Encodable + HeaderVersion>(envelope: Envelope, answer: &T) -> Chunks {
    match encode(envelope, answer) {
        Outgoing::Now(chunks) => chunks,
        _ => Chunks::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_ends_where_strings_end() {
        let whole = "x".repeat(i16::MAX as usize);
        assert_eq!(why(whole.clone()).unwrap().as_str(), whole);
        assert_eq!(why(whole.clone() + "y").unwrap().as_str(), whole);
        let cut = why(whole[1..].to_owned() + "é").unwrap();
        assert_eq!(cut.as_str(), &whole[1..], "no half of a character is left");
    }
}
