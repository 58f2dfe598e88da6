//! ElectLeaders: preferred leaders lead again, or anyone leads rather than none.

use super::context::Context;
use super::metadata::topic_name;
use super::topics::settle;
use super::{Api, Reply};
use crate::cluster::Image;
use crate::cluster::controller::{Code, ElectLeaders};
use crate::types::ErrorCode;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use kafka_protocol::messages::{ElectLeadersRequest, ElectLeadersResponse};
use kafka_protocol::protocol::StrBytes;

/// Kinds of election as requests number them.
const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;
/// From here on the answer has room for an error of the whole.
const TELLS_WHOLE: i16 = 1;

impl Api for ElectLeadersRequest {
    async fn handle(self, cx: Context) -> Reply<ElectLeadersResponse> {
        if ![PREFERRED, UNCLEAN].contains(&self.election_type) {
            return Reply::Now(self.failed(&cx, ErrorCode::InvalidRequest));
        }
        let partitions = self.topic_partitions.as_deref().map(named);
        let command = ElectLeaders { unclean: self.election_type == UNCLEAN, partitions };
        let answer = match cx.node.metadata.submit(command).await {
            Ok(results) => answer(&cx.image(), results),
            Err(code) => self.failed(&cx, code),
        };
        settle(&cx).await;
        Reply::Now(answer)
    }

    fn refuse(code: ErrorCode) -> ElectLeadersResponse {
        ElectLeadersResponse::default().with_error_code(code.code())
    }
}

fn named(topics: &[TopicPartitions]) -> Vec<(String, i32)> {
    let partitions = |topic: &TopicPartitions| {
        let name = topic.topic.to_string();
        topic.partitions.iter().map(move |index| (name.clone(), *index)).collect::<Vec<_>>()
    };
    topics.iter().flat_map(partitions).collect()
}

fn answer(image: &Image, results: Vec<(String, i32, Result<(), Code>)>) -> ElectLeadersResponse {
    let mut topics: Vec<ReplicaElectionResult> = Vec::new();
    for (topic, index, result) in results {
        let name = topic_name(&topic);
        let result = outcome(image, &topic, index, result);
        match topics.last_mut().filter(|last| last.topic == name) {
            Some(last) => last.partition_result.push(result),
            None => topics
                .push(ReplicaElectionResult::default().with_topic(name).with_partition_result(vec![result])),
        }
    }
    ElectLeadersResponse::default().with_replica_election_results(topics)
}

fn outcome(image: &Image, topic: &str, index: i32, result: Result<(), Code>) -> PartitionResult {
    let answer = PartitionResult::default().with_partition_id(index);
    let Err(Code(code)) = result else { return answer };
    let message = match (code, image.topics.by_name(topic)) {
        (ErrorCode::UnknownTopicOrPartition, None) => format!("No such topic as {topic}"),
        (ErrorCode::UnknownTopicOrPartition, Some(_)) => format!("No such partition as {topic}-{index}"),
        _ => code.to_string(),
    };
    answer.with_error_code(code.code()).with_error_message(Some(StrBytes::from_string(message)))
}

trait Failed {
    fn failed(&self, cx: &Context, code: ErrorCode) -> ElectLeadersResponse;
}

impl Failed for ElectLeadersRequest {
    /// The error for the whole, and for each partition asked for: the oldest version has only these.
    fn failed(&self, cx: &Context, code: ErrorCode) -> ElectLeadersResponse {
        let asked = self.topic_partitions.as_deref().map(named).unwrap_or_default();
        let results = asked.into_iter().map(|(topic, index)| (topic, index, Err(Code(code)))).collect();
        let answer = answer(&cx.image(), results);
        if cx.version() >= TELLS_WHOLE { answer.with_error_code(code.code()) } else { answer }
    }
}
