//! Notices that a client has gone while nothing is read from it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

use crate::seam::net::{Output, has_hung_up};

/// The end of what a client sends is seen by reading up to it. Where that may not be done it is looked for this often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct HangUp {
    timer: Option<Pin<Box<Sleep>>>,
}

impl HangUp {
    /// Ready once the client has closed its side. To be polled for as long as nothing is read.
    pub fn poll(&mut self, cx: &mut Context<'_>, socket: Output<'_>) -> Poll<()> {
        loop {
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(LOOK_EVERY)));
            ready!(timer.as_mut().poll(cx));
            self.timer = None;
            if has_hung_up(socket) {
                return Poll::Ready(());
            }
        }
    }
}
