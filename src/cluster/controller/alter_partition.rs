//! A leader says who is in sync with it (KIP-497, KIP-903).

use super::brokers::check_epoch;
use super::draft::Draft;
use super::leadership::{changed, settle};
use super::replicas::Directories;
use super::rules::Defaults;
use super::{Code, Command, Decision, Inputs};
use crate::cluster::Image;
use crate::cluster::image::{Broker, PartitionImage};
use crate::types::{BrokerId, ErrorCode, LeaderEpoch, PartitionEpoch, Uuid};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Changes the ISRs of partitions that `broker` leads, each on its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlterPartition {
    pub broker: BrokerId,
    pub epoch: i64,
    pub partitions: Vec<IsrProposal>,
}

/// Whom a leader found in sync. Both epochs are those it knew then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IsrProposal {
    pub topic: Uuid,
    pub partition: i32,
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: PartitionEpoch,
    /// Each member with the broker epoch that it last fetched under: a member that restarted since may miss records.
    pub isr: Vec<(BrokerId, i64)>,
}

impl Command for AlterPartition {
    /// For each proposal, in order, the partition epoch under which exactly that ISR holds. An error leaves the partition
    /// as it was, but for two: NEW_LEADER_ELECTED (another leads now), and INVALID_UPDATE_VERSION, which also tells that
    /// the ISR became another one than proposed. The image has the truth then.
    type Answer = Vec<Result<PartitionEpoch, Code>>;

    fn decide(&self, image: &Image, inputs: &mut Inputs<'_>) -> Decision<Self::Answer> {
        check_epoch(image, self.broker, self.epoch)?;
        let mut draft = Draft::upon(image);
        let defaults = Defaults::new(image, inputs.policy);
        let mut directories = Directories::upon(image);
        let mut alter =
            |proposal| self.alter(proposal, &mut draft, &defaults, &mut directories).map_err(Code);
        let answers = self.partitions.iter().map(&mut alter).collect();
        Ok((draft.into_changes(), answers))
    }
}

impl AlterPartition {
    fn alter(
        &self,
        proposal: &IsrProposal,
        draft: &mut Draft,
        defaults: &Defaults,
        directories: &mut Directories,
    ) -> Result<PartitionEpoch, ErrorCode> {
        let image = draft.image();
        let topic = image.topics.by_id(proposal.topic).ok_or(ErrorCode::UnknownTopicId)?;
        let before = topic.partition(proposal.partition).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        self.check_epochs(proposal, before)?;
        self.check_members(proposal, before, image)?;
        let isr: Vec<BrokerId> = before.replica_brokers().filter(|id| proposal.names(*id)).collect();
        let asked = PartitionImage { isr: isr.clone(), ..PartitionImage::clone(before) };
        let settled = settle(before, asked, &defaults.rules(image, &topic.name), directories);
        // A proposal that changes nothing takes effect all the same: one that was lost on the way can do so no more.
        let after = settled.unwrap_or_else(|| PartitionImage {
            partition_epoch: before.partition_epoch + 1,
            ..PartitionImage::clone(before)
        });
        let answer = match (after.leader == Some(self.broker), after.isr == isr) {
            (true, true) => Ok(after.partition_epoch),
            (true, false) => Err(ErrorCode::InvalidUpdateVersion),
            (false, _) => Err(ErrorCode::NewLeaderElected),
        };
        let change = changed(topic.id, after);
        draft.add(vec![change]);
        answer
    }

    /// Epochs from the future tell that another node decides by now.
    fn check_epochs(&self, proposal: &IsrProposal, before: &PartitionImage) -> Result<(), ErrorCode> {
        let ahead =
            proposal.leader_epoch > before.leader_epoch || proposal.partition_epoch > before.partition_epoch;
        if ahead {
            return Err(ErrorCode::NotController);
        }
        if proposal.leader_epoch < before.leader_epoch {
            return Err(ErrorCode::FencedLeaderEpoch);
        }
        if before.leader != Some(self.broker) {
            return Err(ErrorCode::InvalidRequest);
        }
        match proposal.partition_epoch < before.partition_epoch {
            true => Err(ErrorCode::InvalidUpdateVersion),
            false => Ok(()),
        }
    }

    fn check_members(
        &self,
        proposal: &IsrProposal,
        before: &PartitionImage,
        image: &Image,
    ) -> Result<(), ErrorCode> {
        let members: BTreeSet<BrokerId> = proposal.isr.iter().map(|(id, _)| *id).collect();
        let are_replicas = members.iter().all(|id| before.replica_on(*id).is_some());
        let repeated = members.len() != proposal.isr.len();
        if repeated || !are_replicas || !members.contains(&self.broker) {
            return Err(ErrorCode::InvalidRequest);
        }
        // The leader may be on its way down: it lets someone in to take over.
        let may_join = |broker: &Broker| broker.is_active() || (broker.id == self.broker && !broker.fenced);
        let fits = |(id, epoch): &(BrokerId, i64)| {
            image.brokers.get(*id).is_some_and(|broker| broker.epoch == *epoch && may_join(broker))
        };
        match proposal.isr.iter().all(fits) {
            true => Ok(()),
            false => Err(ErrorCode::IneligibleReplica),
        }
    }
}

impl IsrProposal {
    fn names(&self, broker: BrokerId) -> bool {
        self.isr.iter().any(|(id, _)| *id == broker)
    }
}
