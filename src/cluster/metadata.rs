//! The live handle: the newest image, and the way to change it.

use super::Image;
use super::controller::Command;
use super::machine::Images;
use super::office::{self, Job, Seat};
use crate::types::ErrorCode;
use raft::Quorum;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// How long a command may take: as long as clients wait for a reply, unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(30);

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
    /// NOT_CONTROLLER if this node does not lead, or lost its lead meanwhile; REQUEST_TIMED_OUT if its disk or the other
    /// voters are too slow. In both cases the command may still take effect.
    pub async fn submit<C: Command>(&self, command: C) -> Result<C::Answer, ErrorCode> {
        let (job, answer) = office::job(command);
        let answered = async {
            self.jobs.send(job).await.map_err(|_| ErrorCode::NotController)?;
            answer.await.map_err(|_| ErrorCode::NotController)?
        };
        tokio::time::timeout(PATIENCE, answered).await.unwrap_or(Err(ErrorCode::RequestTimedOut))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::MetadataMachine;
    use crate::cluster::controller::UnregisterBroker;

    #[tokio::test(start_paused = true)]
    async fn a_controller_that_is_stuck_is_not_waited_for_without_end() {
        let (_machine, images) = MetadataMachine::new();
        let (jobs, _stuck) = mpsc::channel(1);
        let metadata = Metadata { images, jobs };
        for _ in 0..3 {
            let refused = metadata.submit(UnregisterBroker { id: 1 }).await;
            assert_eq!(refused, Err(ErrorCode::RequestTimedOut));
        }
    }
}
