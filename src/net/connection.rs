//! One client: a single task that reads, handles and answers.
//!
//! ```text
//!   socket ── Reader ── frame ── Service ── Outgoing ── Replies ── socket
//!                                   │ Later: parked, in order, while the next frame is read
//!                                   └ still awaiting: no frame is read, what was parked goes out
//! ```
//! Nothing is spawned and nothing is shared: a request that is answered at once costs one read, one write and one wake-up.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use thiserror::Error;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, Sleep, sleep_until};
use tracing::debug;

use super::budget::Charge;
use super::hang_up::HangUp;
use super::reader::{ReadError, Reader};
use super::registry::{Phase, Place};
use super::replies::Replies;
use super::server::{Service, Shared};
use crate::seam::net::{self, Output, ReadHalf, TcpStream};
use crate::wire::header::{HeaderError, PEER_KEYS};
use crate::wire::{Frame, Outgoing, Peer};

/// Longer than anybody waits; keeps sums of instants in range.
const FOREVER: Duration = Duration::from_secs(3600 * 24 * 365);

/// Why a connection ends.
#[derive(Debug, Error)]
enum End {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("cannot send: {0}")]
    Send(io::Error),
    #[error(transparent)]
    Header(#[from] HeaderError),
    #[error("{0}")]
    Service(&'static str),
    #[error("no whole request within connections.max.idle.ms")]
    Idle,
    #[error("replies not taken within connections.max.idle.ms")]
    Stalled,
    #[error("the server stops")]
    Stopped,
}

impl End {
    /// Whether an operator should hear of it.
    fn is_fault(&self) -> bool {
        match self {
            End::Read(ReadError::Eof | ReadError::Io(_)) | End::Idle | End::Stopped => false,
            // A client that went away, unless it is a file that ended too early.
            End::Send(e) => e.kind() == io::ErrorKind::UnexpectedEof,
            End::Read(_) | End::Header(_) | End::Service(_) | End::Stalled => true,
        }
    }
}

/// Serves one client until either side ends it. Dropping `place` at the end makes room for another.
pub(super) async fn run<S: Service>(
    mut stream: TcpStream,
    peer: Arc<Peer>,
    place: Place,
    reader: Reader,
    service: S,
    shared: Arc<Shared>,
) {
    let mut connection = Connection {
        replies: Replies::default(),
        patience: Patience::new(shared.settings.max_idle),
        hang_up: HangUp::default(),
        place,
        peer: peer.clone(),
        shared: shared.clone(),
    };
    let end = connection.serve(&mut stream, reader, service).await;
    match end {
        end if end.is_fault() => {
            shared.quiet.warn(format_args!("closing {} ({}): {end}", peer.remote, peer.listener));
        }
        end => debug!("closing {} ({}): {end}", peer.remote, peer.listener),
    }
}

struct Connection {
    replies: Replies,
    patience: Patience,
    hang_up: HangUp,
    place: Place,
    peer: Arc<Peer>,
    shared: Arc<Shared>,
}

impl Connection {
    async fn serve<S: Service>(&mut self, stream: &mut TcpStream, mut reader: Reader, service: S) -> End {
        let (mut input, output) = stream.split();
        let output = net::output(&output);
        loop {
            if let Err(end) = self.one_request(&mut reader, &mut input, output, &service).await {
                return end;
            }
        }
    }

    async fn one_request<S: Service>(
        &mut self,
        reader: &mut Reader,
        input: &mut ReadHalf<'_>,
        output: Output<'_>,
        service: &S,
    ) -> Result<(), End> {
        // Endless requests of one client, each answered at once, must not keep a thread to themselves.
        consume_budget().await;
        // Charged until the handler is done. What clients park holds no request bytes; what nodes park holds the charge.
        let (bytes, charge) = self.next_frame(reader, input, output).await?;
        let (mut frame, mut charge) = (Frame::read(bytes)?, Some(charge));
        if PEER_KEYS.contains(&frame.header.api_key) {
            frame.hold = charge.take().and_then(Charge::hold);
        }
        self.patience.renew();
        let outgoing = self.handled(pin!(service.call(self.peer.clone(), frame)), output).await?;
        match outgoing {
            Outgoing::Now(reply) => self.replies.push(reply),
            Outgoing::Later(reply) => self.replies.park(reply),
            Outgoing::Nothing => {}
            Outgoing::Close(reason) => return Err(self.close(reason, output).await),
        }
        Ok(())
    }

    /// The next frame, while replies go out. One that is already here goes first, so that many small replies leave together.
    async fn next_frame(
        &mut self,
        reader: &mut Reader,
        input: &mut ReadHalf<'_>,
        output: Output<'_>,
    ) -> Result<(bytes::Bytes, Charge), End> {
        if !self.replies.worth_a_write()
            && !self.replies.full()
            && let Some(frame) = reader.buffered()?
        {
            return Ok((frame, Charge::default()));
        }
        let shared = self.shared.clone();
        let mut next = pin!(reader.next(input, &shared.budgets));
        poll_fn(|cx| {
            let phase = self.place.control.poll_phase(cx);
            if phase == Phase::Closing || self.send(cx, output)? && phase == Phase::Draining {
                return Poll::Ready(Err(End::Stopped));
            }
            if self.replies.full() {
                if self.hang_up.poll(cx, output).is_ready() {
                    return Poll::Ready(Err(End::Read(ReadError::Eof)));
                }
            } else if phase == Phase::Serving
                && let Poll::Ready(frame) = next.as_mut().poll(cx)
            {
                return Poll::Ready(Ok(frame?));
            }
            self.patience.poll(cx, &self.replies).map(Err)
        })
        .await
    }

    /// The outcome of a handler. Earlier replies go out while it awaits; one that is done at once does not wait for them.
    async fn handled(
        &mut self,
        mut handler: Pin<&mut impl Future<Output = Outgoing>>,
        output: Output<'_>,
    ) -> Result<Outgoing, End> {
        poll_fn(|cx| {
            if let Poll::Ready(outgoing) = handler.as_mut().poll(cx) {
                return Poll::Ready(Ok(outgoing));
            }
            if self.place.control.poll_phase(cx) == Phase::Closing {
                return Poll::Ready(Err(End::Stopped));
            }
            self.send(cx, output)?;
            Poll::Pending
        })
        .await
    }

    /// Sends what may leave; whether all has left.
    fn send(&mut self, cx: &mut Context<'_>, output: Output<'_>) -> Result<bool, End> {
        let sent = self.replies.poll(cx, output).map_err(End::Send);
        if self.replies.take_progress() {
            self.patience.renew();
        }
        match sent {
            Poll::Ready(done) => done.map(|()| true),
            Poll::Pending => Ok(false),
        }
    }

    /// Ends as the service asks, after one attempt to send what was answered before.
    async fn close(&mut self, reason: &'static str, output: Output<'_>) -> End {
        poll_fn(|cx| Poll::Ready(self.send(cx, output))).await.err().unwrap_or(End::Service(reason))
    }
}

/// Notices a client that neither completes a request nor takes its replies. Looks at the clock once per request, and at its timer only when that
/// runs out.
struct Patience {
    timer: Pin<Box<Sleep>>,
    since: Instant,
    limit: Duration,
}

impl Patience {
    fn new(limit: Duration) -> Patience {
        let (since, limit) = (Instant::now(), limit.min(FOREVER));
        Patience { timer: Box::pin(sleep_until(since + limit)), since, limit }
    }

    fn renew(&mut self) {
        self.since = Instant::now();
    }

    /// Ready once it has run out. As in Kafka a client that only waits for a parked reply is idle too: it may have vanished
    /// without a word.
    fn poll(&mut self, cx: &mut Context<'_>, replies: &Replies) -> Poll<End> {
        while self.timer.as_mut().poll(cx).is_ready() {
            if self.since.elapsed() >= self.limit {
                return Poll::Ready(if replies.blocked() { End::Stalled } else { End::Idle });
            }
            self.timer.as_mut().reset(self.since + self.limit);
        }
        Poll::Pending
    }
}
