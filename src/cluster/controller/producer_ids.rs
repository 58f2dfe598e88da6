use super::{Command, Decision, Inputs};
use crate::cluster::Image;
use crate::types::BrokerId;

/// Gives a broker a block of producer ids of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct AllocateProducerIds {
    pub broker: BrokerId,
    pub broker_epoch: i64,
}

/// Ids `first .. first + count`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProducerIds {
    pub first: i64,
    pub count: i32,
}

impl Command for AllocateProducerIds {
    type Answer = ProducerIds;

    fn decide(&self, _image: &Image, _inputs: &mut Inputs<'_>) -> Decision<Self::Answer> {
        Ok(Default::default())
    }
}
