//! UnregisterBroker: an operator says that a broker will not come back.

use super::context::Context;
use super::controllers::{ControllerApi, Desk};
use super::{Api, Reply};
use crate::cluster::controller::UnregisterBroker;
use crate::types::ErrorCode;
use kafka_protocol::messages::{UnregisterBrokerRequest, UnregisterBrokerResponse};
use kafka_protocol::protocol::StrBytes;

impl Api for UnregisterBrokerRequest {
    async fn handle(self, cx: Context) -> Reply<UnregisterBrokerResponse> {
        Reply::Now(self.answer(&cx.node.desk(), cx.version()).await)
    }

    fn refuse(code: ErrorCode) -> UnregisterBrokerResponse {
        let message = StrBytes::from_string(code.to_string());
        UnregisterBrokerResponse::default().with_error_code(code.code()).with_error_message(Some(message))
    }
}

impl ControllerApi for UnregisterBrokerRequest {
    async fn answer(self, desk: &Desk, _version: i16) -> UnregisterBrokerResponse {
        let id = self.broker_id.0;
        match desk.metadata.submit(UnregisterBroker { id }).await {
            Ok(()) => UnregisterBrokerResponse::default(),
            Err(code @ ErrorCode::BrokerIdNotRegistered) => {
                let message = format!("Broker ID {id} is not currently registered");
                Self::refuse(code).with_error_message(Some(StrBytes::from_string(message)))
            }
            Err(code) => Self::refuse(code),
        }
    }
}
