//! Elections that someone asks for: of the preferred leader, or of an unclean one.

use super::draft::Draft;
use super::leadership::{can_serve, changed, settle};
use super::replicas::Directories;
use super::rules::{Defaults, Rules};
use super::{Code, Command, Decision, Inputs};
use crate::cluster::Image;
use crate::cluster::image::PartitionImage;
use crate::types::{BrokerId, ErrorCode};
use serde::{Deserialize, Serialize};

/// Partitions that one rebalancing moves: so many leaderships change at once, not more.
const MOST_MOVED: usize = 1000;

/// Elects the preferred leaders, or, where nobody leads, unclean ones; each partition on its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ElectLeaders {
    pub unclean: bool,
    /// Topic and partition; `None`: all there are.
    pub partitions: Option<Vec<(String, i32)>>,
}

/// Gives leaderships back to preferred leaders that are in sync again, at most so many that clients hardly notice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RebalanceLeaders;

impl Command for ElectLeaders {
    /// One for each partition asked for. Where all were meant, those that needed no election are left out.
    type Answer = Vec<(String, i32, Result<(), Code>)>;

    fn decide(&self, image: &Image, inputs: &mut Inputs<'_>) -> Decision<Self::Answer> {
        let mut election = Election::upon(image, inputs, self.unclean);
        let answers = match &self.partitions {
            Some(partitions) => {
                let elect = |(topic, index): &(String, i32)| {
                    (topic.clone(), *index, election.hold(topic, *index).map_err(Code))
                };
                partitions.iter().map(elect).collect()
            }
            None => election.hold_all(image),
        };
        Ok((election.draft.into_changes(), answers))
    }
}

impl Command for RebalanceLeaders {
    /// Whether more remain to be moved.
    type Answer = bool;

    fn decide(&self, image: &Image, inputs: &mut Inputs<'_>) -> Decision<bool> {
        let mut election = Election::upon(image, inputs, false);
        let mut moved = 0;
        for (topic, index) in all_partitions(image) {
            if moved == MOST_MOVED {
                break;
            }
            moved += usize::from(election.hold(topic, index).is_ok());
        }
        Ok((election.draft.into_changes(), moved == MOST_MOVED))
    }
}

/// Elections under way.
struct Election {
    draft: Draft,
    directories: Directories,
    defaults: Defaults,
    unclean: bool,
}

impl Election {
    fn upon(image: &Image, inputs: &Inputs<'_>, unclean: bool) -> Election {
        let (draft, directories) = (Draft::upon(image), Directories::upon(image));
        Election { draft, directories, defaults: Defaults::new(image, inputs.policy), unclean }
    }

    fn hold_all(&mut self, image: &Image) -> Vec<(String, i32, Result<(), Code>)> {
        let held = all_partitions(image)
            .map(|(topic, index)| (topic.clone(), index, self.hold(topic, index).map_err(Code)));
        held.filter(|(_, _, result)| *result != Err(Code(ErrorCode::ElectionNotNeeded))).collect()
    }

    fn hold(&mut self, topic: &str, index: i32) -> Result<(), ErrorCode> {
        let image = self.draft.image();
        let topic = image.topics.by_name(topic).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        let before = topic.partition(index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        let rules = self.defaults.rules(image, &topic.name);
        let after = match self.unclean {
            true => anyone(before, rules, &mut self.directories)?,
            false => preferred(before, rules, &mut self.directories)?,
        };
        let change = changed(topic.id, after);
        self.draft.add(vec![change]);
        Ok(())
    }
}

fn all_partitions(image: &Image) -> impl Iterator<Item = (&String, i32)> {
    let indexes = |topic: &crate::cluster::image::TopicImage| 0..topic.partition_count();
    image.topics.iter().flat_map(move |topic| indexes(topic).map(|index| (&topic.name, index)))
}

/// The first of its replicas leads, if it is in sync.
fn preferred(
    before: &PartitionImage,
    rules: Rules<'_>,
    directories: &mut Directories,
) -> Result<PartitionImage, ErrorCode> {
    let preferred: Option<BrokerId> = before.replica_brokers().next();
    if before.leader == preferred {
        return Err(ErrorCode::ElectionNotNeeded);
    }
    let in_sync = |id: &BrokerId| before.isr.contains(id) && can_serve(before, *id, rules.brokers);
    let leader = preferred.filter(in_sync).ok_or(ErrorCode::PreferredLeaderNotAvailable)?;
    let asked = PartitionImage { leader: Some(leader), ..before.clone() };
    settle(before, asked, &rules, directories).ok_or(ErrorCode::PreferredLeaderNotAvailable)
}

/// Anyone leads rather than none, last of all one that may hold nothing.
fn anyone(
    before: &PartitionImage,
    rules: Rules<'_>,
    directories: &mut Directories,
) -> Result<PartitionImage, ErrorCode> {
    if before.leader.is_some() {
        return Err(ErrorCode::ElectionNotNeeded);
    }
    let rules = Rules { unclean_election: true, blank_election: true, ..rules };
    settle(before, before.clone(), &rules, directories).ok_or(ErrorCode::EligibleLeadersNotAvailable)
}
