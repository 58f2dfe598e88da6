//! InitProducerId: ids for idempotent producers, from a block that the controller gave to this broker.

use super::context::Context;
use super::{Api, Reply};
use crate::cluster::controller::AllocateProducerIds;
use crate::types::ErrorCode;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};
use std::ops::Range;
use tokio::sync::Mutex;

/// The unused rest of this broker's newest block. Locked while a new block is asked for, so that one is enough.
#[derive(Debug, Default)]
pub struct ProducerIdBlock(Mutex<Range<i64>>);

impl ProducerIdBlock {
    /// An id that no producer of this cluster ever had.
    async fn next(&self, cx: &Context) -> Result<i64, ErrorCode> {
        let mut block = self.0.lock().await;
        if let Some(id) = block.next() {
            return Ok(id);
        }
        let broker = cx.node.id;
        let image = cx.image();
        let broker_epoch = image.brokers.get(broker).ok_or(ErrorCode::CoordinatorNotAvailable)?.epoch;
        let ids = cx.node.metadata.submit(AllocateProducerIds { broker, broker_epoch }).await;
        let ids = ids.map_err(|_| ErrorCode::CoordinatorLoadInProgress)?;
        *block = ids.first..ids.first + i64::from(ids.count);
        block.next().ok_or(ErrorCode::UnknownServerError)
    }
}

impl Api for InitProducerIdRequest {
    /// Transactional ids are refused: there is no transaction coordinator yet, and asking again will not help.
    async fn handle(self, cx: Context) -> Reply<InitProducerIdResponse> {
        match self.transactional_id.as_ref().map(|id| id.is_empty()) {
            Some(true) => return Reply::Now(Self::refuse(ErrorCode::InvalidRequest)),
            Some(false) => return Reply::Now(Self::refuse(ErrorCode::TransactionalIdAuthorizationFailed)),
            None if (self.producer_id.0 == -1) != (self.producer_epoch == -1) => {
                return Reply::Now(Self::refuse(ErrorCode::InvalidRequest));
            }
            None => {}
        }
        Reply::Now(match cx.node.producer_ids.next(&cx).await {
            Ok(id) => {
                InitProducerIdResponse::default().with_producer_id(ProducerId(id)).with_producer_epoch(0)
            }
            Err(code) => Self::refuse(code),
        })
    }

    fn refuse(code: ErrorCode) -> InitProducerIdResponse {
        InitProducerIdResponse::default()
            .with_error_code(code.code())
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1)
    }
}
