//! Groups: from ten versions of each request to one command of the coordinator, and back.

mod admin;
mod coordinator;
mod membership;
mod offsets;

use super::Reply;
use super::context::Context;
use crate::coordinator::group::groups::Groups;
use crate::types::ErrorCode;
use bytes::Bytes;
use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;
use std::sync::Arc;

/// Asks the coordinator: the request takes its place in the order at once, its answer may come later.
async fn ask<A, T, F>(cx: &Context, question: impl FnOnce(Arc<Groups>) -> F, answer: A) -> Reply<T>
where
    F: Future + Send + 'static,
    F::Output: Send,
    A: FnOnce(F::Output) -> T + Send + 'static,
    T: Send + 'static,
{
    let asked = question(cx.node.groups.clone());
    Reply::of(async move { answer(asked.await) }).await
}

fn text(text: impl Into<String>) -> StrBytes {
    StrBytes::from_string(text.into())
}

fn string(text: &StrBytes) -> String {
    text.to_string()
}

/// A copy that does not keep the request's frame alive for as long as the group does.
fn copied(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

fn code<T>(outcome: &Result<T, ErrorCode>) -> i16 {
    outcome.as_ref().err().map_or(0, |error| error.code())
}

fn code_of(error: Option<ErrorCode>) -> i16 {
    error.map_or(0, |error| error.code())
}

fn name_of(topic: &TopicName) -> String {
    topic.to_string()
}
