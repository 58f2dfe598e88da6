//! The live handle: the newest image, and the way to change it.

use super::Image;
use super::controller::Command;
use super::machine::Images;
use super::office::{self, Job, Seat};
use crate::types::ErrorCode;
use raft::Quorum;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// What every layer above holds of the cluster's metadata. Cloning is cheap; any thread and runtime may call.
#[derive(Clone)]
pub struct Metadata {
    images: Images,
    jobs: mpsc::Sender<Box<dyn Job>>,
}

impl Metadata {
    /// Seats a controller at `quorum`, whose machine publishes `images`. Its task runs on the current runtime, which
    /// should be the quorum's own, away from data I/O.
    pub fn start(quorum: Quorum, images: Images, seat: Seat) -> Metadata {
        Metadata { jobs: office::open(seat, quorum, images.clone()), images }
    }

    /// The newest image. Hold it for one decision, so that the decision sees one state.
    pub fn image(&self) -> Arc<Image> {
        self.images.images.load_full()
    }

    /// Told of each new image; intermediate ones may be skipped.
    pub fn watch(&self) -> watch::Receiver<Arc<Image>> {
        self.images.newest.clone()
    }

    /// The line to stop with, once the log holds something that this release cannot apply. No image follows.
    pub fn failure(&self) -> watch::Receiver<Option<String>> {
        self.images.failure.clone()
    }

    /// Has the controller decide `command`. Answered once it is committed and this node's image shows it;
    /// NOT_CONTROLLER if this node does not lead, or lost its lead meanwhile (the command may then still take effect).
    pub async fn submit<C: Command>(&self, command: C) -> Result<C::Answer, ErrorCode> {
        let (job, answer) = office::job(command);
        self.jobs.send(job).await.map_err(|_| ErrorCode::NotController)?;
        answer.await.map_err(|_| ErrorCode::NotController)?
    }
}
