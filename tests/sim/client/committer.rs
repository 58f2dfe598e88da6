//! Commits ever larger offsets, and asks for them.
//!
//! A coordinator that is cut off from the controller, but not from its clients, does not know that another has taken its
//! place, and tells what it knew: so an answer that is too old counts only once the cluster is healed.
//!
//! A commit whose outcome is not known may take effect at any later time: its group is given up, and another begun.

use super::wire::{Wire, text};
use super::{Act, Client, PAUSE, PORT};
use crate::net::address;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::{
    FindCoordinatorRequest, GroupId, OffsetCommitRequest, OffsetFetchRequest, TopicName,
};
use std::io;
use tokio::time::sleep;

const FIND: i16 = 3;
const COMMIT: i16 = 8;
const FETCH: i16 = 7;

/// One group, from one committer.
struct Group {
    name: String,
    topic: String,
    /// Acknowledged last; -1 for none.
    committed: i64,
    /// Found last.
    found: i64,
}

/// Works until the story ends.
pub async fn run(client: Client, number: usize, topic: String) {
    for life in 0.. {
        let name = format!("group-{number}-{life}");
        let mut group = Group { name, topic: topic.clone(), committed: -1, found: -1 };
        // An error leaves open what became of the last commit.
        let _ = group.work(&client).await;
        if client.act() != Act::Work {
            return client.history.finished();
        }
        sleep(PAUSE).await;
    }
}

/// A connection to the coordinator of a group, as some broker knows it.
pub async fn coordinator(client: &Client, group: &str) -> io::Result<Wire> {
    let request = FindCoordinatorRequest::default().with_key(text(group));
    let answer = client.any_broker().await?.call(FIND, &request).await?;
    match answer.error_code {
        0 => Wire::connect(address(answer.node_id.0 as u8, PORT)).await,
        code => Err(io::Error::other(format!("error {code}"))),
    }
}

impl Group {
    async fn work(&mut self, client: &Client) -> io::Result<()> {
        while client.act() == Act::Work {
            client.pause(300).await;
            let Ok(mut wire) = coordinator(client, &self.name).await else { continue };
            self.commit(&mut wire).await?;
            if let Ok(mut wire) = coordinator(client, &self.name).await {
                // Who refuses is asked again.
                if let Ok(found) = self.look(&mut wire).await {
                    self.found = self.found.max(found);
                }
            }
        }
        let look = || async { self.look(&mut coordinator(client, &self.name).await?).await };
        while !client.is_whole() {
            sleep(PAUSE).await;
        }
        let found = client.until_done(look).await;
        client.history.committed(&self.name, self.committed.max(self.found), found);
        Ok(())
    }

    /// An error if it is not known whether it took effect.
    async fn commit(&mut self, wire: &mut Wire) -> io::Result<()> {
        let offset = self.committed + 1;
        let partition =
            OffsetCommitRequestPartition::default().with_partition_index(0).with_committed_offset(offset);
        let topic = OffsetCommitRequestTopic::default()
            .with_name(TopicName(text(&self.topic)))
            .with_partitions(vec![partition]);
        let request =
            OffsetCommitRequest::default().with_group_id(GroupId(text(&self.name))).with_topics(vec![topic]);
        let answer = wire.call(COMMIT, &request).await?;
        match ResponseError::try_from_code(answer.topics[0].partitions[0].error_code) {
            None => self.committed = offset,
            Some(ResponseError::NotCoordinator | ResponseError::CoordinatorLoadInProgress) => {}
            Some(error) => return Err(io::Error::other(error)),
        }
        Ok(())
    }

    async fn look(&self, wire: &mut Wire) -> io::Result<i64> {
        let topic = OffsetFetchRequestTopic::default()
            .with_name(TopicName(text(&self.topic)))
            .with_partition_indexes(vec![0]);
        let request = OffsetFetchRequest::default()
            .with_group_id(GroupId(text(&self.name)))
            .with_topics(Some(vec![topic]));
        let answer = wire.call(FETCH, &request).await?;
        let part = &answer.topics.first().and_then(|topic| topic.partitions.first());
        let part = part.ok_or(io::ErrorKind::InvalidData)?;
        if answer.error_code != 0 || part.error_code != 0 {
            return Err(io::Error::other("refused"));
        }
        Ok(part.committed_offset)
    }
}
