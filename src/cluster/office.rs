//! The controller's task: the one place where decisions become entries.
//!
//! Whoever asks while an entry is on its way waits and shares the next: one entry is in flight at a time, so each is
//! decided upon applied state, and one that is lost leaves nothing to repair. Should it turn up late after all, it
//! names a predecessor that is no longer the last, and has no effect.

use super::controller::{Command, Inputs, Policy};
use super::forward::Answered;
use super::image::Image;
use super::machine::{APPLIED, Images};
use super::round::{Dropped, Round};
use crate::seam::Clock;
use crate::types::{BrokerId, ErrorCode, Uuid};
use bytes::Bytes;
use raft::{ProposeError, Quorum, Status};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tokio::sync::{mpsc, oneshot, watch};

/// Commands that may wait for a round.
const QUEUE: usize = 1024;

/// Who decides here, and by what.
pub struct Seat {
    /// This node.
    pub node: BrokerId,
    pub policy: Policy,
    pub clock: Clock,
    /// Makes ids that were never used before.
    pub fresh_id: Box<dyn FnMut() -> Uuid + Send>,
}

type Jobs = mpsc::Receiver<Box<dyn Job>>;

/// A command with whoever waits for its answer.
pub(super) trait Job: Send {
    /// Decides upon `image`; the answer is kept for [`Job::finish`]. A panic is that answer's error: the controller goes on.
    fn decide(&mut self, image: &Image, inputs: &mut Inputs<'_>) -> Vec<super::Change>;
    /// Tells the answer if what was decided took effect, which the image of that index shows, else `outcome`'s error.
    fn finish(self: Box<Self>, outcome: Result<u64, ErrorCode>);
}

struct Waiting<C: Command> {
    command: C,
    answer: Result<C::Answer, ErrorCode>,
    asker: oneshot::Sender<Answered<C::Answer>>,
}

/// Where the answer to a command will come.
pub(super) type Reply<C> = oneshot::Receiver<Answered<<C as Command>::Answer>>;

pub(super) fn job<C: Command>(command: C) -> (Box<dyn Job>, Reply<C>) {
    let (asker, answer) = oneshot::channel();
    (Box::new(Waiting { command, answer: Err(ErrorCode::NotController), asker }), answer)
}

impl<C: Command> Job for Waiting<C> {
    fn decide(&mut self, image: &Image, inputs: &mut Inputs<'_>) -> Vec<super::Change> {
        // Deciding changes nothing but the inputs' counters, so that what is left after a panic is whole.
        let decided = catch_unwind(AssertUnwindSafe(|| self.command.decide(image, inputs)));
        let (changes, answer) = match decided.unwrap_or(Err(ErrorCode::UnknownServerError)) {
            Ok((changes, answer)) => (changes, Ok(answer)),
            Err(code) => (Vec::new(), Err(code)),
        };
        self.answer = answer;
        changes
    }

    fn finish(self: Box<Self>, outcome: Result<u64, ErrorCode>) {
        let Waiting { answer, asker, .. } = *self;
        // Whoever asked may have gone: then nobody needs to be told.
        let _ = asker.send(outcome.and_then(|index| Ok((index, answer?))));
    }
}

/// The task's state. It owns no metadata: each round begins from the newest image.
struct Office {
    seat: Seat,
    quorum: Quorum,
    images: Images,
    status: watch::Receiver<Status>,
    waiting: VecDeque<Box<dyn Job>>,
    /// The term that this node has announced itself in.
    announced: Option<u64>,
    /// It is not known what became of the last entry: a majority may be out of reach.
    is_in_doubt: bool,
}

/// Starts the task on the current runtime; it ends when the last sender is gone.
pub(super) fn open(seat: Seat, quorum: Quorum, images: Images) -> mpsc::Sender<Box<dyn Job>> {
    let (sender, jobs) = mpsc::channel(QUEUE);
    let status = quorum.status();
    let waiting = VecDeque::new();
    let office = Office { seat, quorum, images, status, waiting, announced: None, is_in_doubt: false };
    tokio::spawn(office.run(jobs));
    sender
}

impl Office {
    async fn run(mut self, mut jobs: Jobs) {
        let mut arrived = Vec::new();
        while self.something_to_do(&mut jobs, &mut arrived).await {
            self.waiting.extend(arrived.drain(..));
            self.round().await;
        }
    }

    /// Waits for commands or another state of the quorum; false if there will be neither.
    async fn something_to_do(&mut self, jobs: &mut Jobs, arrived: &mut Vec<Box<dyn Job>>) -> bool {
        if !self.waiting.is_empty() {
            return true;
        }
        tokio::select! {
            count = jobs.recv_many(arrived, QUEUE) => count > 0,
            changed = self.status.changed() => changed.is_ok(),
        }
    }

    /// Decides what waits, as far as one entry holds it, has it committed, and answers.
    async fn round(&mut self) {
        let Some(term) = self.term().await else {
            self.waiting.drain(..).for_each(|job| job.finish(Err(ErrorCode::NotController)));
            return;
        };
        let mut round = Round::upon(self.images.images.load_full(), term);
        if self.announced != Some(term) {
            round.announce(self.seat.node);
        }
        let decided = self.decide_waiting(&mut round);
        let outcome = commit(&self.quorum, round).await;
        if outcome.is_ok() {
            self.announced = Some(term);
        }
        self.is_in_doubt = outcome == Err(ErrorCode::RequestTimedOut);
        decided.into_iter().for_each(|job| job.finish(outcome));
    }

    /// One that does not fit behind others waits for an entry of its own; only what does not fit there is refused.
    fn decide_waiting(&mut self, round: &mut Round) -> Vec<Box<dyn Job>> {
        let mut decided = Vec::new();
        while !round.is_full()
            && let Some(mut job) = self.waiting.pop_front()
        {
            match round.decide(&mut self.seat, |image, inputs| job.decide(image, inputs)) {
                Ok(()) => decided.push(job),
                Err(Dropped::TooLarge(_)) if !decided.is_empty() => {
                    self.waiting.push_front(job);
                    break;
                }
                Err(error) => {
                    tracing::error!("a decision was dropped: {error}");
                    job.finish(Err(refusal(&error)));
                }
            }
        }
        decided
    }

    /// The term in which this node may decide. A leader that has yet to catch up is waited for. While in doubt a majority must
    /// answer first: what was decided without it would only add to what may or may not take effect.
    async fn term(&mut self) -> Option<u64> {
        let settled = |status: &Status| !status.is_leader() || status.leader_ready;
        let leads = self.status.wait_for(settled).await.ok().map(|status| (status.leader_ready, status.term));
        let term = leads.and_then(|(is_ready, term)| is_ready.then_some(term))?;
        if self.is_in_doubt {
            self.quorum.confirm(term).await.ok()?;
        }
        Some(term)
    }
}

fn refusal(dropped: &Dropped) -> ErrorCode {
    match dropped {
        Dropped::Inconsistent(_) => ErrorCode::UnknownServerError,
        Dropped::TooLarge(_) => ErrorCode::PolicyViolation,
    }
}

/// The index of the image that shows what the round decided. NOT_CONTROLLER if it has no effect, now or later;
/// REQUEST_TIMED_OUT if that is not known.
async fn commit(quorum: &Quorum, round: Round) -> Result<u64, ErrorCode> {
    let (seen, term) = (round.seen(), round.term());
    let Some(entry) = round.into_entry() else {
        // Upon an image that another leader has outdated it would be no answer, though it changes nothing.
        return quorum.confirm(term).await.map(|()| seen).map_err(|_| ErrorCode::NotController);
    };
    match quorum.propose(Bytes::from(entry.encode())).await {
        Ok(committed) if committed.answer == APPLIED => Ok(committed.at.index),
        Ok(_) => Err(ErrorCode::NotController),
        Err(error @ (ProposeError::NotLeader { .. } | ProposeError::TooLarge(_))) => {
            tracing::info!("metadata entry not committed: {error}");
            Err(ErrorCode::NotController)
        }
        Err(error @ (ProposeError::Unknown | ProposeError::Stopped)) => {
            tracing::info!("metadata entry not known to be committed: {error}");
            Err(ErrorCode::RequestTimedOut)
        }
    }
}
