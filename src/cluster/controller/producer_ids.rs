//! Producer ids, in blocks, each given once.

use super::brokers::check_epoch;
use super::{Command, Decision, Inputs};
use crate::cluster::Image;
use crate::cluster::change::{Change, ProducerIdsAllocated};
use crate::types::{BrokerId, ErrorCode};
use serde::{Deserialize, Serialize};

/// Ids in a block.
const BLOCK: i32 = 1000;

/// Gives a broker a block of producer ids of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AllocateProducerIds {
    pub broker: BrokerId,
    pub broker_epoch: i64,
}

/// Ids `first .. first + count`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProducerIds {
    pub first: i64,
    pub count: i32,
}

impl Command for AllocateProducerIds {
    type Answer = ProducerIds;

    fn decide(&self, image: &Image, _inputs: &mut Inputs<'_>) -> Decision<ProducerIds> {
        check_epoch(image, self.broker, self.broker_epoch)?;
        let first = image.next_producer_id;
        let next = first.checked_add(i64::from(BLOCK)).ok_or(ErrorCode::UnknownServerError)?;
        let allocated = Change::ProducerIdsAllocated(ProducerIdsAllocated { next });
        Ok((vec![allocated], ProducerIds { first, count: BLOCK }))
    }
}
