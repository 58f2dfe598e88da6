//! The way into the group coordinator for request handlers.

use super::command::*;
use super::config::GroupConfig;
use super::hash;
use super::machine::{Command, GroupMachine, Reply};
use crate::cluster::image::Topics;
use crate::coordinator::log::ShardLog;
use crate::coordinator::runtime::Coordinator;
use crate::seam::Clock;
use crate::types::{ErrorCode, LeaderEpoch, Uuid};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

/// All groups whose partition of `__consumer_offsets` this broker leads.
///
/// Each method answers once the decision is committed. Join and sync wait for other members, up to the rebalance
/// time-out; their futures may be dropped when the client is gone.
pub struct Groups {
    shards: Coordinator<GroupMachine>,
    partitions: AtomicI32,
}

impl Groups {
    /// `topics` are those that there are now.
    pub fn new(
        config: GroupConfig,
        clock: Clock,
        topics: impl Fn() -> Topics + Send + std::marker::Sync + 'static,
    ) -> Self {
        let partitions = AtomicI32::new(config.partitions);
        let commit_timeout = config.commit_timeout;
        let config = Arc::new(config);
        let machine = move || GroupMachine::new(config.clone());
        let first = move || Command::TopicsAre(topics());
        let shards = Coordinator::new(machine, first, clock, commit_timeout);
        Groups { shards, partitions }
    }

    /// `__consumer_offsets` has `count` partitions, whatever the configuration would give a new one.
    pub fn set_partitions(&self, count: i32) {
        self.partitions.store(count, Ordering::Relaxed);
    }

    /// The partition of `__consumer_offsets` whose leader coordinates `group`.
    pub fn partition_of(&self, group: &str) -> i32 {
        hash::partition_of(group, self.partitions.load(Ordering::Relaxed))
    }

    /// See [`Coordinator::elected`].
    pub fn elected(&self, partition: i32, epoch: LeaderEpoch, log: Arc<dyn ShardLog>) {
        self.shards.elected(partition, epoch, log);
    }

    /// See [`Coordinator::resigned`].
    pub fn resigned(&self, partition: i32, epoch: LeaderEpoch) {
        self.shards.resigned(partition, epoch);
    }

    /// At shutdown: everyone who waits is told to look for another coordinator.
    pub fn close(&self) {
        self.shards.close();
    }

    /// See [`Coordinator::settled`].
    pub async fn settled(&self, group: &str, patience: Duration) {
        self.shards.settled(self.partition_of(group), patience).await;
    }

    pub async fn join(&self, join: Join) -> JoinReply {
        let prefix = join.instance.as_deref().unwrap_or(&join.client_id);
        let new_member = format!("{prefix}-{}", Uuid::new_v4());
        match self.named(&join.group.clone(), Command::Join(join, new_member)).await? {
            Reply::Join(reply) => reply,
            _ => Err(ErrorCode::UnknownServerError.into()),
        }
    }

    pub async fn sync(&self, sync: Sync) -> SyncReply {
        match self.named(&sync.group.clone(), Command::Sync(sync)).await? {
            Reply::Sync(reply) => reply,
            _ => Err(ErrorCode::UnknownServerError),
        }
    }

    /// While the group loads a member is told that all is well: it must not rejoin for that. Once loading has failed it is
    /// sent to look for another coordinator.
    pub async fn heartbeat(&self, heartbeat: Heartbeat) -> HeartbeatReply {
        match self.named(&heartbeat.group.clone(), Command::Heartbeat(heartbeat)).await {
            Ok(Reply::Heartbeat(reply)) => reply,
            Ok(_) => Err(ErrorCode::UnknownServerError),
            Err(ErrorCode::CoordinatorLoadInProgress) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub async fn leave(&self, leave: Leave) -> LeaveReply {
        match self.named(&leave.group.clone(), Command::Leave(leave)).await? {
            Reply::Leave(reply) => reply,
            _ => Err(ErrorCode::UnknownServerError),
        }
    }

    pub async fn commit(&self, commit: CommitOffsets) -> CommitReply {
        match self.ask(&commit.group.clone(), Command::CommitOffsets(commit)).await? {
            Reply::Outcomes(reply) => reply,
            _ => Err(ErrorCode::UnknownServerError),
        }
    }

    /// Old clients do not know `CoordinatorNotAvailable` here, so they are sent to look for the coordinator.
    pub async fn fetch(&self, fetch: FetchOffsets) -> FetchReply {
        match self.ask(&fetch.group.clone(), Command::FetchOffsets(fetch)).await {
            Ok(Reply::Fetch(reply)) => reply,
            Ok(_) => Err(ErrorCode::UnknownServerError),
            Err(ErrorCode::CoordinatorNotAvailable) => Err(ErrorCode::NotCoordinator),
            Err(error) => Err(error),
        }
    }

    pub async fn delete_offsets(&self, delete: DeleteOffsets) -> DeleteOffsetsReply {
        match self.named(&delete.group.clone(), Command::DeleteOffsets(delete)).await? {
            Reply::Outcomes(reply) => reply,
            _ => Err(ErrorCode::UnknownServerError),
        }
    }

    pub async fn describe(&self, describe: DescribeGroup) -> DescribeReply {
        match self.ask(&describe.group.clone(), Command::Describe(describe)).await? {
            Reply::Describe(reply) => reply,
            _ => Err(ErrorCode::UnknownServerError),
        }
    }

    /// The groups of all shards on this broker; a shard that still loads fails it with `CoordinatorLoadInProgress`.
    pub async fn list(&self, list: ListGroups) -> ListReply {
        let mut groups = Vec::new();
        for reply in self.shards.ask_all(|| Command::List(list.clone())).await? {
            if let Reply::List(listed) = reply {
                groups.extend(listed);
            }
        }
        Ok(groups)
    }

    pub async fn delete(&self, delete: DeleteGroup) -> DeleteGroupReply {
        match self.ask(&delete.group.clone(), Command::DeleteGroup(delete)).await? {
            Reply::DeleteGroup(reply) => reply,
            _ => Err(ErrorCode::UnknownServerError),
        }
    }

    /// The metadata says that these topics are deleted; their committed offsets follow soon.
    pub fn topics_deleted(&self, deleted: TopicsDeleted) {
        self.shards.tell_all(|| Command::TopicsDeleted(deleted.clone()));
    }

    async fn ask(&self, group: &str, command: Command) -> Result<Reply, ErrorCode> {
        self.shards.ask(self.partition_of(group), command).await
    }

    /// For requests in which an empty group id is an error.
    async fn named(&self, group: &str, command: Command) -> Result<Reply, ErrorCode> {
        if group.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        self.ask(group, command).await
    }
}
