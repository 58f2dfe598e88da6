//! The replies of one connection: parked until they may leave, then sent, always in the order of their requests.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;

use super::send::{cold, replace, send_some};
use crate::seam;
use crate::seam::net::Output;
use crate::wire::{Chunk, Chunks};

/// No further request is read while this many replies have not begun to leave.
const MAX_WAITING: usize = 256;
/// No further request is read while more than this is unsent, bytes.
const MAX_UNSENT: usize = 1 << 20;
/// So many chunks are worth a write before the next request that is already here is handled.
const WORTH_A_WRITE: usize = 32;
/// After so many bytes other connections get their turn.
const TURN: usize = 1 << 20;

/// What one connection still has to answer.
#[derive(Default)]
pub(super) struct Replies {
    /// In order; the front is the only one that is polled.
    waiting: VecDeque<Parked>,
    /// Chunks of the replies before those.
    sending: VecDeque<Chunk>,
    /// Brings into memory what is sent next, perhaps into some of its own.
    loading: Option<JoinHandle<Option<Bytes>>>,
    /// Bytes of the replies that are ready.
    unsent: usize,
    progress: bool,
}

enum Parked {
    Ready(Chunks),
    Later(BoxFuture<'static, Chunks>),
}

impl Replies {
    pub fn push(&mut self, reply: Chunks) {
        self.unsent += reply.len();
        if self.waiting.is_empty() {
            self.send(reply);
        } else {
            self.waiting.push_back(Parked::Ready(reply));
        }
    }

    pub fn park(&mut self, reply: BoxFuture<'static, Chunks>) {
        self.waiting.push_back(Parked::Later(reply));
    }

    /// Whether reading must stop until the client has taken more.
    pub fn full(&self) -> bool {
        self.waiting.len() >= MAX_WAITING || self.unsent > MAX_UNSENT
    }

    pub fn worth_a_write(&self) -> bool {
        self.sending.len() >= WORTH_A_WRITE || self.unsent > MAX_UNSENT
    }

    /// Whether the client is what the next step waits for.
    pub fn blocked(&self) -> bool {
        !self.sending.is_empty()
    }

    /// Whether anything was sent since the last call.
    pub fn take_progress(&mut self) -> bool {
        std::mem::take(&mut self.progress)
    }

    /// Sends what may leave, as far as the socket takes it; ready once all has left.
    pub fn poll(&mut self, cx: &mut Context<'_>, socket: Output<'_>) -> Poll<io::Result<()>> {
        let mut turn = 0;
        loop {
            self.settle(cx)?;
            if self.sending.is_empty() {
                return if self.waiting.is_empty() { Poll::Ready(Ok(())) } else { Poll::Pending };
            }
            if turn > TURN {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            ready!(self.poll_load(cx));
            match send_some(socket, &mut self.sending) {
                Ok(sent) => {
                    turn += sent;
                    self.progress = true;
                    self.unsent -= sent;
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => ready!(socket.poll_write_ready(cx))?,
                Err(e) => return Poll::Ready(Err(e)),
            }
        }
    }

    /// Ready once what is sent next is in memory, or was, a moment ago.
    fn poll_load(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.loading.is_none() {
            let Some(cold) = cold(&self.sending) else { return Poll::Ready(()) };
            self.loading = Some(seam::blocking(move || cold.file.load(cold.at, cold.len)));
        }
        if let Some(loading) = &mut self.loading {
            // It only fails if the process is ending.
            let loaded = ready!(Pin::new(loading).poll(cx));
            loaded.ok().flatten().into_iter().for_each(|loaded| replace(&mut self.sending, loaded));
        }
        self.loading = None;
        Poll::Ready(())
    }

    /// Moves replies that may leave from `waiting` to `sending`. An error if one will never be there: what follows it
    /// would be taken for it.
    fn settle(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while let Some(front) = self.waiting.front_mut() {
            let reply = match front {
                Parked::Ready(reply) => std::mem::take(reply),
                Parked::Later(reply) => match reply.as_mut().poll(cx) {
                    Poll::Pending => return Ok(()),
                    Poll::Ready(reply) if reply.is_empty() => {
                        return Err(io::Error::other("a reply was lost"));
                    }
                    Poll::Ready(reply) => {
                        self.unsent += reply.len();
                        reply
                    }
                },
            };
            self.waiting.pop_front();
            self.send(reply);
        }
        Ok(())
    }

    fn send(&mut self, reply: Chunks) {
        self.sending.extend(reply.0.into_iter().filter(|chunk| !chunk.is_empty()));
    }
}
