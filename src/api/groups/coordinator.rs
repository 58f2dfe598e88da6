//! FindCoordinator: which broker answers for a group.

use super::text;
use crate::api::context::Context;
use crate::api::merged::first_of_each;
use crate::api::metadata::{OFFSETS_TOPIC, decided};
use crate::api::{Api, Reply, auto_create};
use crate::cluster::Image;
use crate::cluster::controller::CreateTopics;
use crate::coordinator::group::hash;
use crate::types::{self, ErrorCode};
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use std::time::Duration;
use tokio::time::timeout;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
/// From here on several keys are asked for at once.
const SEVERAL: i16 = 4;
/// From here on there is room for a message.
const MESSAGES: i16 = 1;
/// The longest that a member waits for its coordinator to hear of its election and to load the group.
const SETTLING: Duration = Duration::from_secs(1);

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
            let offsets = MetadataRequestTopic::default().with_name(Some(TopicName(text(OFFSETS_TOPIC))));
            decided(&cx, Some(&[offsets])).await;
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
    let leader = image.brokers.get(coordinator_of(&image, group)?).filter(|leader| !leader.fenced)?;
    let listener = leader.listener(&cx.peer.listener)?;
    Some(Located { node: BrokerId(leader.id), host: text(listener.host.clone()), port: listener.port.into() })
}

/// Whichever broker is asked: the metadata knows it, not what this broker happens to lead.
fn coordinator_of(image: &Image, group: &str) -> Option<types::BrokerId> {
    let topic = image.topics.by_name(OFFSETS_TOPIC)?;
    topic.partition(hash::partition_of(group, topic.partition_count()))?.leader
}

/// Where this broker coordinates the group, waits until it has loaded it. Another broker may have told the client so before
/// this one has heard of it; clients that are refused then stay away for seconds.
pub(super) async fn settled(cx: &Context, group: &str) {
    let settled = async {
        if cx.image().topics.by_name(OFFSETS_TOPIC).is_none() {
            catch_up(cx).await;
        }
        if coordinator_of(&cx.image(), group) == Some(cx.node.id) {
            cx.node.groups.settled(group, SETTLING).await;
        }
    };
    // Whoever has waited long enough finds out what the matter is by asking.
    let _ = timeout(SETTLING, settled).await;
}

/// Brings what this broker knows up to what the controller has decided: to make no topics changes nothing, and is answered
/// once the answer's image is here.
async fn catch_up(cx: &Context) {
    let nothing = CreateTopics { topics: vec![], validate_only: true };
    if let Err(code) = cx.node.metadata.submit(nothing).await {
        tracing::debug!(%code, "the controller does not say what there is");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::change::{Change, PartitionChanged, TopicCreated};
    use crate::cluster::image::PartitionImage;
    use crate::types::Uuid;

    fn led_by(leader: types::BrokerId, index: i32) -> PartitionImage {
        PartitionImage {
            index,
            replicas: vec![],
            isr: vec![],
            elr: vec![],
            leader: Some(leader),
            last_known_leader: None,
            leader_epoch: 1,
            partition_epoch: 1,
            adding: vec![],
            removing: vec![],
            released: vec![],
            blank: vec![],
        }
    }

    #[test]
    fn a_group_is_coordinated_where_its_partition_is_led() {
        let mut image = Image::default();
        assert_eq!(coordinator_of(&image, "g"), None);
        let topic = Uuid::from_u128(1);
        let created = Change::TopicCreated(TopicCreated { id: topic, name: OFFSETS_TOPIC.to_owned() });
        let partition = |index| {
            Change::PartitionChanged(PartitionChanged { topic, partition: led_by(10 + index, index) })
        };
        image.apply_all(&[created, partition(0), partition(1), partition(2)]).unwrap();
        // "g" hashes to 103.
        assert_eq!(coordinator_of(&image, "g"), Some(11));
    }
}
