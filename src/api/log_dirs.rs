//! DescribeLogDirs: what lies where, and how much of it.

use super::context::Context;
use super::{Api, Reply};
use crate::partition::replica::Replica;
use crate::types::ErrorCode;
use kafka_protocol::messages::describe_log_dirs_response::*;
use kafka_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use storage::dirs::DirHandle;

/// From here on the volume's sizes are told.
const TELLS_VOLUME: i16 = 4;
/// A size that is not known.
const UNKNOWN: i64 = -1;

impl Api for DescribeLogDirsRequest {
    async fn handle(self, cx: Context) -> Reply<DescribeLogDirsResponse> {
        let asked: Option<HashMap<&str, HashSet<i32>>> = self.topics.as_ref().map(|topics| {
            let mut asked: HashMap<&str, HashSet<i32>> = HashMap::new();
            topics.iter().for_each(|topic| asked.entry(&topic.topic).or_default().extend(&topic.partitions));
            asked
        });
        let is_named = |asked: &HashMap<&str, HashSet<i32>>, replica: &Replica| {
            asked.get(&**replica.topic()).is_some_and(|indexes| indexes.contains(&replica.id().partition))
        };
        let is_asked = |replica: &Arc<Replica>| asked.as_ref().is_none_or(|asked| is_named(asked, replica));
        let replicas: Vec<Arc<Replica>> = cx.node.replicas.all().into_iter().filter(is_asked).collect();
        let dirs = cx.node.dirs.all().iter().map(|dir| described(&cx, dir, &replicas));
        let broken = cx.node.dirs.broken_at_start().iter().map(|(path, _)| offline(path));
        let response = DescribeLogDirsResponse::default().with_results(dirs.chain(broken).collect());
        Reply::Now(response)
    }

    fn refuse(code: ErrorCode) -> DescribeLogDirsResponse {
        DescribeLogDirsResponse::default().with_error_code(code.code())
    }
}

fn offline(path: &Path) -> DescribeLogDirsResult {
    DescribeLogDirsResult::default()
        .with_error_code(ErrorCode::KafkaStorageError.code())
        .with_log_dir(StrBytes::from_string(path.display().to_string()))
}

fn described(cx: &Context, dir: &DirHandle, replicas: &[Arc<Replica>]) -> DescribeLogDirsResult {
    if !dir.is_online() {
        return offline(dir.path());
    }
    let mut topics: BTreeMap<&str, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    for replica in replicas.iter().filter(|replica| replica.dir().id() == dir.id()) {
        topics.entry(replica.topic()).or_default().push(partition(replica));
    }
    let topic = |(name, partitions): (&str, Vec<DescribeLogDirsPartition>)| {
        DescribeLogDirsTopic::default()
            .with_name(TopicName(StrBytes::from_string(name.to_owned())))
            .with_partitions(partitions)
    };
    let answer = DescribeLogDirsResult::default()
        .with_log_dir(StrBytes::from_string(dir.path().display().to_string()))
        .with_topics(topics.into_iter().map(topic).collect());
    if cx.version() < TELLS_VOLUME {
        return answer;
    }
    let (total, usable) = volume(dir.path()).unwrap_or((UNKNOWN, UNKNOWN));
    answer.with_total_bytes(total).with_usable_bytes(usable)
}

fn partition(replica: &Replica) -> DescribeLogDirsPartition {
    let marks = replica.marks();
    DescribeLogDirsPartition::default()
        .with_partition_index(replica.id().partition)
        .with_partition_size(i64::try_from(replica.size()).unwrap_or(i64::MAX))
        .with_offset_lag((marks.high_watermark - marks.log_end).max(0))
}

/// Bytes of the volume, and those left for this process.
fn volume(path: &Path) -> Option<(i64, i64)> {
    let stat = rustix::fs::statvfs(path).ok()?;
    let bytes = |blocks: u64| i64::try_from(blocks.saturating_mul(stat.f_frsize)).unwrap_or(i64::MAX);
    Some((bytes(stat.f_blocks), bytes(stat.f_bavail)))
}
