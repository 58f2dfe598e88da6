//! Members of a group: share partitions, and commit ever larger offsets for those that are theirs.
//!
//! A member asks what is committed where it has just been given its partitions: a coordinator that was replaced could not
//! have given them. What an earlier generation tried to commit may be there or not, but nothing of it comes later.

use super::wire::{Wire, text};
use super::{Act, Client, PAUSE};
use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, OffsetCommitRequest, OffsetFetchRequest,
    SyncGroupRequest, TopicName,
};
use std::io;
use tokio::time::sleep;

const JOIN: i16 = 2;
const SYNC: i16 = 2;
const HEARTBEAT: i16 = 2;
const COMMIT: i16 = 6;
const FETCH: i16 = 5;
/// The least that a coordinator takes, and how long it may wait for the others, ms.
const SESSION: i32 = 6_000;
const REBALANCE: i32 = 3_000;
/// The offsets of how many partitions they share.
const PARTITIONS: u8 = 2;

/// Where one member is.
struct Member {
    client: Client,
    group: String,
    topic: String,
    id: String,
}

/// Works until the story ends.
pub async fn run(client: Client, group: String, topic: String) {
    let mut member = Member { client, group, topic, id: String::new() };
    while member.client.act() == Act::Work {
        if let Err(error) = member.take_part().await {
            tracing::debug!(member.group, member.id, %error, "a member joins anew");
        }
        sleep(PAUSE).await;
    }
}

impl Member {
    /// Through one generation.
    async fn take_part(&mut self) -> io::Result<()> {
        let mut wire = super::committer::coordinator(&self.client, &self.group).await?;
        let joined = self.join(&mut wire).await?;
        let owned = self.sync(&mut wire, &joined).await?;
        let mut next = vec![];
        for partition in owned {
            let found = self.committed(&mut wire, partition).await?;
            self.client.history.found(&self.group, partition, found);
            next.push((partition, found + 1));
        }
        while self.client.act() == Act::Work {
            self.client.pause(400).await;
            for (partition, offset) in &mut next {
                self.client.history.attempted(&self.group, *partition, *offset);
                self.commit(&mut wire, joined.generation_id, *partition, *offset).await?;
                self.client.history.certain(&self.group, *partition, *offset);
                *offset += 1;
            }
            let request = HeartbeatRequest::default()
                .with_group_id(self.group())
                .with_generation_id(joined.generation_id)
                .with_member_id(text(&self.id));
            checked(wire.call(HEARTBEAT, &request).await?.error_code)?;
        }
        Ok(())
    }

    fn group(&self) -> GroupId {
        GroupId(text(&self.group))
    }

    async fn join(&mut self, wire: &mut Wire) -> io::Result<JoinGroupResponse> {
        let protocol = JoinGroupRequestProtocol::default().with_name(text("range"));
        let request = JoinGroupRequest::default()
            .with_group_id(self.group())
            .with_session_timeout_ms(SESSION)
            .with_rebalance_timeout_ms(REBALANCE)
            .with_member_id(text(&self.id))
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol]);
        let joined = wire.call(JOIN, &request).await?;
        if joined.error_code == ResponseError::UnknownMemberId.code() {
            self.id.clear();
        }
        checked(joined.error_code)?;
        self.id = joined.member_id.to_string();
        Ok(joined)
    }

    /// The partitions that are this member's. The leader of the group says whose they are.
    async fn sync(&self, wire: &mut Wire, joined: &JoinGroupResponse) -> io::Result<Vec<u8>> {
        let count = joined.members.len().max(1);
        let part =
            |at: usize| (0..PARTITIONS).filter(|one| usize::from(*one) % count == at).collect::<Vec<u8>>();
        let assigned = joined.members.iter().enumerate().map(|(at, member)| {
            SyncGroupRequestAssignment::default()
                .with_member_id(member.member_id.clone())
                .with_assignment(Bytes::from(part(at)))
        });
        let request = SyncGroupRequest::default()
            .with_group_id(self.group())
            .with_generation_id(joined.generation_id)
            .with_member_id(text(&self.id))
            .with_assignments(assigned.collect());
        let synced = wire.call(SYNC, &request).await?;
        checked(synced.error_code)?;
        Ok(synced.assignment.to_vec())
    }

    async fn committed(&self, wire: &mut Wire, partition: u8) -> io::Result<i64> {
        let topic = OffsetFetchRequestTopic::default()
            .with_name(TopicName(text(&self.topic)))
            .with_partition_indexes(vec![partition.into()]);
        let request =
            OffsetFetchRequest::default().with_group_id(self.group()).with_topics(Some(vec![topic]));
        let answer = wire.call(FETCH, &request).await?;
        checked(answer.error_code)?;
        let part = answer.topics.first().and_then(|topic| topic.partitions.first());
        let part = part.ok_or(io::ErrorKind::InvalidData)?;
        checked(part.error_code)?;
        Ok(part.committed_offset)
    }

    async fn commit(&self, wire: &mut Wire, generation: i32, partition: u8, offset: i64) -> io::Result<()> {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(partition.into())
            .with_committed_offset(offset);
        let topic = OffsetCommitRequestTopic::default()
            .with_name(TopicName(text(&self.topic)))
            .with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(self.group())
            .with_generation_id_or_member_epoch(generation)
            .with_member_id(text(&self.id))
            .with_topics(vec![topic]);
        let answer = wire.call(COMMIT, &request).await?;
        checked(answer.topics[0].partitions[0].error_code)
    }
}

fn checked(code: i16) -> io::Result<()> {
    ResponseError::try_from_code(code).map_or(Ok(()), |error| Err(io::Error::other(error)))
}
