//! The live handle: the newest image, and the way to change it.

use super::Image;
use super::controller::Command;
use super::forward::{self, Answered, Unsent, Way};
use super::machine::Images;
use super::office::{self, Job, Seat};
use crate::types::ErrorCode;
use bytes::Bytes;
use raft::{Quorum, State, Status};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

/// How long a command is tried for, with the waiting for a leader.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(10);
/// Between two attempts, unless the quorum changes first.
const PAUSE: Duration = Duration::from_millis(50);

/// What every layer above holds of the cluster's metadata. Cloning is cheap; any thread and runtime may call.
#[derive(Clone)]
pub struct Metadata {
    images: Images,
    jobs: mpsc::Sender<Box<dyn Job>>,
    status: watch::Receiver<Status>,
    way: Arc<dyn Way>,
}

impl Metadata {
    /// Seats a controller at `quorum`, whose machine publishes `images`. Its task runs on the current runtime, which
    /// should be the quorum's own, away from data I/O. Other nodes that lead are asked by `way`.
    pub fn start(quorum: Quorum, images: Images, seat: Seat, way: Arc<dyn Way>) -> Metadata {
        let status = quorum.status();
        Metadata { jobs: office::open(seat, quorum, images.clone()), images, status, way }
    }

    /// The newest image. Hold it for one decision, so that the decision sees one state.
    pub fn image(&self) -> Arc<Image> {
        self.images.images.load_full()
    }

    /// Told of each new image; intermediate ones may be skipped.
    pub fn watch(&self) -> watch::Receiver<Arc<Image>> {
        self.images.newest.clone()
    }

    /// What this node knows of its quorum.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// The line to stop with, once the log holds something that this release cannot apply. No image follows.
    pub fn failure(&self) -> watch::Receiver<Option<String>> {
        self.images.failure.clone()
    }

    /// Has the controller, wherever it is, decide `command`. Answered once it is committed and this node's image shows
    /// it. NOT_CONTROLLER if nobody could decide in time, REQUEST_TIMED_OUT if it may take effect all the same.
    pub async fn submit<C: Command>(&self, command: C) -> Result<C::Answer, ErrorCode> {
        let deadline = Instant::now() + PATIENCE;
        let (index, answer) = self.decided(command, deadline).await?;
        self.shown(index, deadline).await.map(|()| answer)
    }

    /// Has this node decide, if it leads; once, and nobody else if it does not.
    pub async fn submit_here<C: Command>(&self, command: C) -> Result<C::Answer, ErrorCode> {
        let is_leader = self.status.borrow().is_leader();
        match is_leader {
            true => self.decide_here(command).await.map(|(_, answer)| answer),
            false => Err(ErrorCode::NotController),
        }
    }

    /// The same for a node that stops: it need not see what becomes of it.
    pub async fn tell<C: Command>(&self, command: C) -> Result<C::Answer, ErrorCode> {
        let (_, answer) = self.decided(command, Instant::now() + PATIENCE).await?;
        Ok(answer)
    }

    async fn decided<C: Command>(&self, command: C, deadline: Instant) -> Answered<C::Answer> {
        let request = forward::request(&command);
        loop {
            match self.attempt(&command, &request).await {
                Err(ErrorCode::NotController) if self.may_recover(deadline) => self.pause(deadline).await,
                answered => return answered,
            }
        }
    }

    /// Has the controller decide what another node sent. Returns the answer to send back.
    pub async fn answer(&self, request: Bytes) -> Bytes {
        let (job, reply) = match forward::receive(request) {
            Ok(received) => received,
            Err(refusal) => return refusal,
        };
        // Without a majority nothing is decided: the asker gives up then too, and so must this.
        let answered = async {
            // A job that is dropped says so by its reply.
            let _gone = self.jobs.send(job).await;
            reply.await
        };
        timeout(ATTEMPT, answered)
            .await
            .unwrap_or_else(|_| forward::answer::<()>(Err(ErrorCode::RequestTimedOut)))
    }

    async fn attempt<C: Command>(&self, command: &C, request: &Bytes) -> Answered<C::Answer> {
        let status = self.status.borrow().clone();
        match status.leader {
            None => Err(ErrorCode::NotController),
            Some(leader) if leader == status.node_id => self.decide_here(command.clone()).await,
            Some(leader) => {
                let address = status.leader_address().cloned().unwrap_or_default();
                self.decide_there(leader, address, request.clone()).await
            }
        }
    }

    async fn decide_there<A: DeserializeOwned>(
        &self,
        leader: u64,
        address: String,
        request: Bytes,
    ) -> Answered<A> {
        match self.way.ask(leader, address, request, ATTEMPT).await {
            Ok(Some(answer)) => forward::answered(&answer),
            Ok(None) => Err(ErrorCode::RequestTimedOut),
            Err(Unsent) => Err(ErrorCode::NotController),
        }
    }

    async fn decide_here<C: Command>(&self, command: C) -> Answered<C::Answer> {
        let (job, answer) = office::job(command);
        let answered = async {
            self.jobs.send(job).await.map_err(|_| ErrorCode::NotController)?;
            answer.await.map_err(|_| ErrorCode::NotController)?
        };
        timeout(ATTEMPT, answered).await.unwrap_or(Err(ErrorCode::RequestTimedOut))
    }

    fn may_recover(&self, deadline: Instant) -> bool {
        self.status.borrow().state == State::Running && Instant::now() < deadline
    }

    /// Until there may be another answer.
    async fn pause(&self, deadline: Instant) {
        let mut status = self.status.clone();
        status.mark_unchanged();
        let until = deadline.min(Instant::now() + PAUSE);
        if timeout_at(until, status.changed()).await.is_ok_and(|changed| changed.is_err()) {
            // There will be no news.
            sleep_until(until).await;
        }
    }

    async fn shown(&self, index: u64, deadline: Instant) -> Result<(), ErrorCode> {
        let mut newest = self.images.newest.clone();
        let shown = newest.wait_for(|image| image.applied.index >= index);
        match timeout_at(deadline, shown).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(ErrorCode::RequestTimedOut),
        }
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
        let (_tell, status) = watch::channel(Status { leader: Some(0), ..Status::default() });
        let metadata = Metadata { images, jobs, status, way: Arc::new(forward::Alone) };
        for _ in 0..3 {
            let refused = metadata.submit(UnregisterBroker { id: 1 }).await;
            assert_eq!(refused, Err(ErrorCode::RequestTimedOut));
        }
    }
}
