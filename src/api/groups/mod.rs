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
use futures_util::future::maybe_done;
use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;
use std::sync::Arc;
use std::task;

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

/// Begins all of `asked`, in their order, before any is waited for: what one request asks of several groups takes its
/// place in the order at once.
async fn together<F: Future>(asked: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut begun: Vec<_> = asked.map(|one| Box::pin(maybe_done(one))).collect();
    let begin = |cx: &mut task::Context<'_>| {
        for one in &mut begun {
            // Each is looked at again below.
            let _ = one.as_mut().poll(cx);
        }
        task::Poll::Ready(())
    };
    std::future::poll_fn(begin).await;
    let mut answers = Vec::with_capacity(begun.len());
    for mut one in begun {
        one.as_mut().await;
        answers.extend(one.as_mut().take_output());
    }
    answers
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

#[cfg(test)]
mod tests {
    use super::together;
    use futures_util::FutureExt;
    use parking_lot::Mutex;
    use tokio::sync::Semaphore;

    #[tokio::test]
    async fn several_questions_begin_in_order_before_the_first_answer() {
        let (begun, gate) = (Mutex::new(vec![]), Semaphore::new(0));
        let ask = async |at: usize| {
            begun.lock().push(at);
            gate.acquire().await.map(|_| at)
        };
        let mut asking = Box::pin(together((0..300).map(ask)));
        assert!(asking.as_mut().now_or_never().is_none());
        let all: Vec<usize> = (0..300).collect();
        assert_eq!(*begun.lock(), all);
        gate.add_permits(1);
        assert_eq!(asking.await.into_iter().collect::<Result<Vec<_>, _>>().unwrap(), all);
    }
}
