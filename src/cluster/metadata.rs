//! The live handle: the newest image, and the way to change it.

use super::Image;
use super::controller::Command;
use super::office::{self, Job};
use crate::types::ErrorCode;
use arc_swap::ArcSwap;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// What every layer above holds of the cluster's metadata. Cloning is cheap; any thread and runtime may call.
#[derive(Clone)]
pub struct Metadata {
    images: Arc<ArcSwap<Image>>,
    newest: watch::Receiver<Arc<Image>>,
    jobs: mpsc::Sender<Box<dyn Job>>,
}

impl Metadata {
    /// The newest image. Hold it for one decision, so that the decision sees one state.
    pub fn image(&self) -> Arc<Image> {
        self.images.load_full()
    }

    /// Told of each new image; intermediate ones may be skipped.
    pub fn watch(&self) -> watch::Receiver<Arc<Image>> {
        self.newest.clone()
    }

    /// Has the controller decide `command`. Answered once it is committed and this node's image shows it;
    /// NOT_CONTROLLER if this node does not lead, or lost its lead meanwhile (the command may then still take effect).
    pub async fn submit<C: Command>(&self, command: C) -> Result<C::Answer, ErrorCode> {
        let (job, answer) = office::job(command);
        self.jobs.send(job).await.map_err(|_| ErrorCode::NotController)?;
        answer.await.map_err(|_| ErrorCode::NotController)?
    }
}
