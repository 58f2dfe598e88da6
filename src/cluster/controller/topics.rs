use super::{Command, Decision, Inputs, Outcome};
use crate::cluster::Image;
use crate::types::{BrokerId, Uuid};

/// Makes topics, each on its own.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateTopics {
    pub topics: Vec<NewTopic>,
    /// Only say what would happen.
    pub validate_only: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewTopic {
    pub name: String,
    /// -1: the default, or as many as `assignments`.
    pub partitions: i32,
    /// -1: the default, or as `assignments` say.
    pub replication_factor: i16,
    /// Partition and its brokers, the preferred leader first; empty: the controller chooses.
    pub assignments: Vec<(i32, Vec<BrokerId>)>,
    pub configs: Vec<(String, Option<String>)>,
}

/// A topic that was made, or would have been.
#[derive(Clone, Debug, PartialEq)]
pub struct CreatedTopic {
    pub id: Uuid,
    pub partitions: i32,
    pub replication_factor: i16,
}

impl Command for CreateTopics {
    /// One outcome for each topic of the command, in its order.
    type Answer = Vec<(String, Outcome<CreatedTopic>)>;

    fn decide(&self, _image: &Image, _inputs: &mut Inputs<'_>) -> Decision<Self::Answer> {
        Ok(Default::default())
    }
}

/// Deletes topics, each on its own.
#[derive(Clone, Debug, PartialEq)]
pub struct DeleteTopics {
    pub topics: Vec<TopicRef>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopicRef {
    Name(String),
    Id(Uuid),
}

/// What is known of the topic asked for, and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct DeletedTopic {
    pub name: Option<String>,
    pub id: Option<Uuid>,
    pub outcome: Outcome<()>,
}

impl Command for DeleteTopics {
    /// One for each topic of the command, in its order.
    type Answer = Vec<DeletedTopic>;

    fn decide(&self, _image: &Image, _inputs: &mut Inputs<'_>) -> Decision<Self::Answer> {
        Ok(Default::default())
    }
}

/// Says that `broker` holds no directory of these deleted topics any more.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfirmDeletions {
    pub broker: BrokerId,
    pub topics: Vec<Uuid>,
}

impl Command for ConfirmDeletions {
    type Answer = ();

    fn decide(&self, _image: &Image, _inputs: &mut Inputs<'_>) -> Decision<Self::Answer> {
        Ok(Default::default())
    }
}

/// Adds partitions to topics.
#[derive(Clone, Debug, PartialEq)]
pub struct CreatePartitions {
    pub topics: Vec<NewPartitions>,
    pub validate_only: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct NewPartitions {
    pub topic: String,
    /// Partitions that the topic shall have in all.
    pub count: i32,
    /// Brokers of each new partition; `None`: the controller chooses.
    pub assignments: Option<Vec<Vec<BrokerId>>>,
}

impl Command for CreatePartitions {
    type Answer = Vec<(String, Outcome<()>)>;

    fn decide(&self, _image: &Image, _inputs: &mut Inputs<'_>) -> Decision<Self::Answer> {
        Ok(Default::default())
    }
}
