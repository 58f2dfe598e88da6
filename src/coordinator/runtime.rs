//! Which shards of a coordinator this broker has, and the way in for callers.

use super::log::ShardLog;
use super::machine::Machine;
use super::shard::{Answer, First, Make, Shard};
use crate::seam::Clock;
use crate::types::{ErrorCode, LeaderEpoch};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// All shards of one kind of coordinator on this broker: one per log partition that it leads.
pub struct Coordinator<M: Machine> {
    shards: Mutex<HashMap<i32, Arc<Shard<M>>>>,
    machine: Make<M>,
    first: First<M>,
    clock: Clock,
    /// How long a reply may wait for its log end to be committed.
    commit_timeout: Duration,
    /// A shard came, or ended its loading.
    settled: Arc<Notify>,
}

impl<M: Machine> Coordinator<M> {
    /// `machine` makes an empty one for each shard; `first` is what each is told when it has loaded, and once more.
    pub fn new(
        machine: impl Fn() -> M + Send + Sync + 'static,
        first: impl Fn() -> M::Command + Send + Sync + 'static,
        clock: Clock,
        commit_timeout: Duration,
    ) -> Self {
        let (machine, first) = (Arc::new(machine), Arc::new(first));
        let (shards, settled) = (Mutex::default(), Arc::default());
        Coordinator { shards, machine, first, clock, commit_timeout, settled }
    }

    /// This broker leads `partition` from `epoch` on: loads it in the background. Needs a tokio runtime around it.
    /// Does nothing if the shard is here under this or a later epoch.
    pub fn elected(&self, partition: i32, epoch: LeaderEpoch, log: Arc<dyn ShardLog>) {
        let shard = {
            let mut shards = self.shards.lock();
            if shards.get(&partition).is_some_and(|shard| shard.epoch >= epoch) {
                return;
            }
            let made_of = (self.machine.clone(), self.first.clone());
            let shard = Arc::new(Shard::new(partition, epoch, log, self.clock, made_of));
            if let Some(before) = shards.insert(partition, shard.clone()) {
                before.close();
            }
            shard
        };
        tokio::spawn(shard.run(self.settled.clone()));
    }

    /// This broker does not lead `partition` any more, as of `epoch`: fails what waits, forgets the state.
    pub fn resigned(&self, partition: i32, epoch: LeaderEpoch) {
        let mut shards = self.shards.lock();
        if shards.get(&partition).is_some_and(|shard| shard.epoch <= epoch)
            && let Some(shard) = shards.remove(&partition)
        {
            shard.close();
        }
    }

    /// Fails what waits and forgets all shards.
    pub fn close(&self) {
        self.shards.lock().drain().for_each(|(_, shard)| shard.close());
    }

    /// Waits until this broker has loaded the shard of `partition`, or has failed to, at most for `patience`.
    pub async fn settled(&self, partition: i32, patience: Duration) {
        let settled = async {
            loop {
                let next = self.settled.notified();
                if self.shard(partition).is_some_and(|shard| shard.is_settled()) {
                    return;
                }
                next.await;
            }
        };
        // Whoever has waited long enough finds out what the matter is by asking.
        let _ = tokio::time::timeout(patience, settled).await;
    }

    /// Has the shard of `partition` decide, and waits until the decision is committed. A caller may give up at any
    /// time by dropping the future; the decision stands.
    pub async fn ask(&self, partition: i32, command: M::Command) -> Result<M::Reply, ErrorCode> {
        let shard = self.shard(partition).ok_or(ErrorCode::NotCoordinator)?;
        self.answer(&shard, shard.submit(command)?).await
    }

    /// Asks every shard; those that are lost, or cannot be loaded, are left out.
    pub async fn ask_all(&self, command: impl Fn() -> M::Command) -> Result<Vec<M::Reply>, ErrorCode> {
        let shards: Vec<_> = self.shards.lock().values().cloned().collect();
        let mut replies = Vec::with_capacity(shards.len());
        for shard in shards {
            let reply = match shard.submit(command()) {
                Ok(answer) => self.answer(&shard, answer).await,
                Err(error) => Err(error),
            };
            match reply {
                Ok(reply) => replies.push(reply),
                Err(ErrorCode::NotCoordinator) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(replies)
    }

    /// Hands `command` to every shard, those that still load included, which take it when they are done.
    pub fn tell_all(&self, command: impl Fn() -> M::Command) {
        let shards: Vec<_> = self.shards.lock().values().cloned().collect();
        shards.iter().for_each(|shard| shard.tell(command()));
    }

    fn shard(&self, partition: i32) -> Option<Arc<Shard<M>>> {
        self.shards.lock().get(&partition).cloned()
    }

    async fn answer(&self, shard: &Shard<M>, answer: Answer<M::Reply>) -> Result<M::Reply, ErrorCode> {
        let (reply, end) = answer.await.map_err(|_| ErrorCode::NotCoordinator)??;
        let committed = shard.log.committed(end, shard.epoch);
        match tokio::time::timeout(self.commit_timeout, committed).await {
            Ok(Ok(())) => Ok(reply),
            Ok(Err(error)) => Err(coordinator_error(error)),
            Err(_) => Err(ErrorCode::CoordinatorNotAvailable),
        }
    }
}

/// What a client of a coordinator is told when its log says `error`.
pub fn coordinator_error(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::UnknownTopicOrPartition
        | ErrorCode::NotEnoughReplicas
        | ErrorCode::NotEnoughReplicasAfterAppend
        | ErrorCode::RequestTimedOut => ErrorCode::CoordinatorNotAvailable,
        ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch | ErrorCode::KafkaStorageError => {
            ErrorCode::NotCoordinator
        }
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge | ErrorCode::InvalidFetchSize => {
            ErrorCode::UnknownServerError
        }
        other => other,
    }
}
