//! The table of APIs, and the way of a request through it.

use super::context::{Context, Envelope, Node};
use super::{Route, versions};
use crate::types::ErrorCode;
use crate::wire::frame::Frame;
use crate::wire::outgoing::Outgoing;
use crate::wire::peer::Peer;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::Request;
use std::sync::Arc;

/// Every API that clients are told of, by key.
pub static ROUTES: &[Route] = &[
    Route::of::<ProduceRequest>("Produce"),
    Route::of::<FetchRequest>("Fetch"),
    Route::of::<ListOffsetsRequest>("ListOffsets"),
    Route::of::<MetadataRequest>("Metadata"),
    Route::of::<OffsetCommitRequest>("OffsetCommit"),
    Route::of::<OffsetFetchRequest>("OffsetFetch"),
    Route::of::<FindCoordinatorRequest>("FindCoordinator"),
    Route::of::<JoinGroupRequest>("JoinGroup"),
    Route::of::<HeartbeatRequest>("Heartbeat"),
    Route::of::<LeaveGroupRequest>("LeaveGroup"),
    Route::of::<SyncGroupRequest>("SyncGroup"),
    Route::of::<DescribeGroupsRequest>("DescribeGroups"),
    Route::of::<ListGroupsRequest>("ListGroups"),
    Route::of::<ApiVersionsRequest>("ApiVersions"),
    Route::of::<CreateTopicsRequest>("CreateTopics"),
    Route::of::<DeleteTopicsRequest>("DeleteTopics"),
    Route::of::<DeleteRecordsRequest>("DeleteRecords"),
    Route::of::<InitProducerIdRequest>("InitProducerId"),
    Route::of::<OffsetForLeaderEpochRequest>("OffsetForLeaderEpoch"),
    Route::of::<DescribeConfigsRequest>("DescribeConfigs"),
    Route::of::<AlterConfigsRequest>("AlterConfigs"),
    Route::of::<DescribeLogDirsRequest>("DescribeLogDirs"),
    Route::of::<CreatePartitionsRequest>("CreatePartitions"),
    Route::of::<DeleteGroupsRequest>("DeleteGroups"),
    Route::of::<ElectLeadersRequest>("ElectLeaders"),
    Route::of::<IncrementalAlterConfigsRequest>("IncrementalAlterConfigs"),
    Route::of::<AlterPartitionReassignmentsRequest>("AlterPartitionReassignments"),
    Route::of::<ListPartitionReassignmentsRequest>("ListPartitionReassignments"),
    Route::of::<OffsetDeleteRequest>("OffsetDelete"),
    Route::of::<DescribeQuorumRequest>("DescribeQuorum"),
    Route::of::<DescribeClusterRequest>("DescribeCluster"),
    Route::of::<DescribeProducersRequest>("DescribeProducers"),
    Route::of::<UnregisterBrokerRequest>("UnregisterBroker"),
    Route::of::<ListConfigResourcesRequest>("ListConfigResources"),
    Route::of::<DescribeTopicPartitionsRequest>("DescribeTopicPartitions"),
    Route::of::<AddRaftVoterRequest>("AddRaftVoter"),
    Route::of::<RemoveRaftVoterRequest>("RemoveRaftVoter"),
];

/// Serves one request: the way in for every connection.
pub async fn serve(node: Arc<Node>, peer: Arc<Peer>, frame: Frame) -> Outgoing {
    let (cx, body) = Context::of(node, peer, frame);
    let Some(route) = ROUTES.iter().find(|route| route.key == cx.header.api_key) else {
        return Outgoing::Close("the API is not served here");
    };
    if route.speaks(cx.version()) {
        return (route.run)(cx, body).await;
    }
    refuse_version(route, &cx)
}

/// A version that is not spoken is told so in the nearest one that is; the connection stays.
fn refuse_version(route: &Route, cx: &Context) -> Outgoing {
    let version = match route.key {
        ApiVersionsRequest::KEY => versions::FALLBACK,
        _ => cx.version().clamp(route.min, route.max),
    };
    let envelope = Envelope { version, ..cx.envelope() };
    (route.refuse)(envelope, ErrorCode::UnsupportedVersion)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: &str = "<!-- apis: written by `DRAVE_BLESS=1 cargo test the_readme_lists_the_apis` -->\n";
    const END: &str = "<!-- /apis -->";

    fn table() -> String {
        let row =
            |route: &Route| format!("| {} | {} | {}-{} |\n", route.key, route.name, route.min, route.max);
        format!("| key | API | versions |\n|---|---|---|\n{}", ROUTES.iter().map(row).collect::<String>())
    }

    #[test]
    fn routes_are_in_order_and_unique() {
        assert!(ROUTES.is_sorted_by(|a, b| a.key < b.key));
    }

    #[test]
    fn the_readme_lists_the_apis() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
        let readme = std::fs::read_to_string(path).unwrap();
        let (before, rest) = readme.split_once(BEGIN).unwrap();
        let (_, after) = rest.split_once(END).unwrap();
        let wanted = format!("{before}{BEGIN}{}{END}{after}", table());
        if std::env::var_os("DRAVE_BLESS").is_some() {
            std::fs::write(path, &wanted).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(path).unwrap(),
            wanted,
            "run with DRAVE_BLESS=1 to rewrite the table"
        );
    }
}
