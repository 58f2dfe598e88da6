//! FindCoordinator: which broker answers for a group.

use super::text;
use crate::api::context::Context;
use crate::api::merged::first_of_each;
use crate::api::metadata::OFFSETS_TOPIC;
use crate::api::{Api, Reply, auto_create};
use crate::types::ErrorCode;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
/// From here on several keys are asked for at once.
const SEVERAL: i16 = 4;
/// From here on there is room for a message.
const MESSAGES: i16 = 1;

/// Where a key's coordinator is, or why it has none.
struct Located {
    node: BrokerId,
    host: StrBytes,
    port: i32,
}

struct Refused {
    code: ErrorCode,
    message: &'static str,
}

impl Api for FindCoordinatorRequest {
    async fn handle(self, cx: Context) -> Reply<FindCoordinatorResponse> {
        if self.key_type == GROUP {
            auto_create::offsets(&cx).await;
        }
        let response = FindCoordinatorResponse::default();
        if cx.version() >= SEVERAL {
            let keys = first_of_each(self.coordinator_keys, StrBytes::clone);
            let found = keys.iter().map(|key| coordinator(key, locate(&cx, self.key_type, key)));
            return Reply::Now(response.with_coordinators(found.collect()));
        }
        Reply::Now(match locate(&cx, self.key_type, &self.key) {
            Ok(found) => response.with_node_id(found.node).with_host(found.host).with_port(found.port),
            Err(refused) => {
                let message = (cx.version() >= MESSAGES).then(|| text(refused.message));
                Self::refuse(refused.code).with_error_message(message)
            }
        })
    }

    fn refuse(code: ErrorCode) -> FindCoordinatorResponse {
        FindCoordinatorResponse::default()
            .with_error_code(code.code())
            .with_node_id(BrokerId(-1))
            .with_port(-1)
    }
}

fn coordinator(key: &StrBytes, outcome: Result<Located, Refused>) -> Coordinator {
    let answer = Coordinator::default().with_key(key.clone());
    match outcome {
        Ok(found) => answer.with_node_id(found.node).with_host(found.host).with_port(found.port),
        Err(refused) => answer
            .with_node_id(BrokerId(-1))
            .with_port(-1)
            .with_error_code(refused.code.code())
            .with_error_message(Some(text(refused.message))),
    }
}

fn locate(cx: &Context, key_type: i8, key: &StrBytes) -> Result<Located, Refused> {
    let refused = |code, message| Refused { code, message };
    match key_type {
        GROUP => leader_for(cx, key).ok_or_else(|| {
            refused(ErrorCode::CoordinatorNotAvailable, "the group's partition has no leader yet")
        }),
        TRANSACTION => Err(refused(
            ErrorCode::TransactionalIdAuthorizationFailed,
            "this release of Drave does not coordinate transactions",
        )),
        _ => {
            Err(refused(ErrorCode::InvalidRequest, "this release of Drave has no coordinators of this type"))
        }
    }
}

fn leader_for(cx: &Context, group: &str) -> Option<Located> {
    let image = cx.image();
    let topic = image.topics.by_name(OFFSETS_TOPIC)?;
    let partition = topic.partition(cx.node.groups.partition_of(group))?;
    let leader = image.brokers.get(partition.leader?).filter(|leader| !leader.fenced)?;
    let listener = leader.listener(&cx.peer.listener)?;
    Some(Located { node: BrokerId(leader.id), host: text(listener.host.clone()), port: listener.port.into() })
}
