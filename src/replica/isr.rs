//! What leaders here want of the controller: gathered, proposed together, and asked again until its fate is known.

use crate::partition::replica::Replica;
use crate::partition::restless::By;
use crate::partition::state::IsrChange;
use crate::partition::table::Table;
use crate::seam::Clock;
use crate::types::{ErrorCode, PartitionEpoch, TopicPartition};
use futures_util::FutureExt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior};

/// Before something is asked again.
const RETRY: Duration = Duration::from_millis(50);

/// The partitions of this broker may be so long in following the image that an answer is part of. They are slow only where many
/// logs are opened: meanwhile it is asked again, and other changes have their turn.
const FOLLOWING: Duration = Duration::from_secs(5);

/// What the controller says of each change, in the order in which they were asked for.
pub type Answers = Vec<Result<PartitionEpoch, ErrorCode>>;

/// Answers, and the index of an image that knows of them. With the ISR min.insync.replicas may have changed, which decides
/// what is acknowledged: they count once the partitions are as that image says.
#[derive(Clone, Debug)]
pub struct Answered {
    pub answers: Answers,
    pub as_of: u64,
}

/// The controller, as far as ISRs go.
pub trait AlterIsr: Send + 'static {
    /// An error of the whole leaves open what became of it.
    fn alter(
        &self,
        changes: Vec<(TopicPartition, IsrChange)>,
    ) -> impl Future<Output = Result<Answered, ErrorCode>> + Send;
}

/// Takes what a leader wants.
#[derive(Clone, Debug)]
pub struct Proposals(mpsc::UnboundedSender<Proposal>);

/// Where it arrives.
#[derive(Debug)]
pub struct Inbox(mpsc::UnboundedReceiver<Proposal>);

#[derive(Debug)]
struct Proposal {
    replica: Arc<Replica>,
    change: IsrChange,
}

impl Proposals {
    pub fn channel() -> (Proposals, Inbox) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Proposals(sender), Inbox(receiver))
    }

    pub fn propose(&self, replica: Arc<Replica>, change: IsrChange) {
        // Nobody listens only while the broker stops.
        let _ = self.0.send(Proposal { replica, change });
    }
}

/// Watches over the ISRs of the partitions led here.
pub struct IsrKeeper<A> {
    controller: A,
    inbox: Inbox,
    table: Arc<Table>,
    clock: Clock,
    lag_max: Duration,
    open: Vec<Proposal>,
}

impl<A: AlterIsr> IsrKeeper<A> {
    /// `lag_max` is `replica.lag.time.max.ms`.
    pub fn new(controller: A, inbox: Inbox, table: Arc<Table>, clock: Clock, lag_max: Duration) -> Self {
        IsrKeeper { controller, inbox, table, clock, lag_max, open: vec![] }
    }

    /// Works until nobody can want anything any more.
    pub async fn run(mut self) {
        let mut ticks = tokio::time::interval((self.lag_max / 2).max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.gather(&mut ticks).await {
            self.propose().await;
        }
    }

    /// Waits for something to propose; for a moment, if it is asked again. False at the end.
    async fn gather(&mut self, ticks: &mut Interval) -> bool {
        if !self.open.is_empty() {
            tokio::time::sleep(RETRY).await;
        }
        loop {
            if ticks.tick().now_or_never().is_some() {
                self.look_for_lag();
            }
            while let Ok(proposal) = self.inbox.0.try_recv() {
                self.open.push(proposal);
            }
            if !self.open.is_empty() {
                return true;
            }
            tokio::select! {
                proposal = self.inbox.0.recv() => match proposal {
                    Some(proposal) => self.open.push(proposal),
                    None => return false,
                },
                _ = ticks.tick() => self.look_for_lag(),
            }
        }
    }

    fn look_for_lag(&mut self) {
        let now = self.clock.mono();
        for replica in self.table.attend(By::IsrKeeper) {
            if let Some(change) = replica.isr_tick(now, self.lag_max) {
                self.open.push(Proposal { replica, change });
            }
        }
    }

    async fn ask(&self, changes: Vec<(TopicPartition, IsrChange)>) -> Result<Answers, ErrorCode> {
        let Answered { answers, as_of } = self.controller.alter(changes).await?;
        let followed = tokio::time::timeout(FOLLOWING, self.table.caught_up(as_of)).await;
        followed.map(|()| answers).map_err(|_| ErrorCode::RequestTimedOut)
    }

    async fn propose(&mut self) {
        let mut open = std::mem::take(&mut self.open);
        open.retain(|proposal| proposal.replica.is_isr_pending(&proposal.change));
        if open.is_empty() {
            return;
        }
        let changes = open.iter().map(|proposal| (proposal.replica.id(), proposal.change.clone())).collect();
        let answers = self.ask(changes).await;
        let lost = *answers.as_ref().err().unwrap_or(&ErrorCode::UnknownServerError);
        let answers = answers.unwrap_or_default().into_iter().chain(std::iter::repeat(Err(lost)));
        for (Proposal { replica, change }, answer) in open.into_iter().zip(answers) {
            tracing::debug!(partition = %replica.name(), ?change, ?answer, "an ISR change was answered");
            if let Some(change) = replica.isr_answered(&change, answer) {
                self.open.push(Proposal { replica, change });
            }
        }
    }
}
