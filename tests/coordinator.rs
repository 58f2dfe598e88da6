//! A group whose coordinator dies: its members go on as they are, and what was committed stays so.

mod support;

use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;
use rustix::process::Signal;
use std::time::Duration;
use support::cluster::Cluster;
use support::process::poll;
use support::wire::{Wire, text};

/// On a machine that does much else.
const LIMIT: Duration = Duration::from_millis(120_000);
/// Longer than any acknowledgement takes, shorter than it takes to notice who stands still.
const NO_ANSWER: Duration = Duration::from_millis(500);
const TOPIC: &str = "orders";
const GROUP: &str = "readers";
/// Who names a coordinator that does not answer for the group yet, or not any more.
const MOVING: [i16; 3] = [14, 15, 16];
const REBALANCING: i16 = 27;
const COMMIT: i16 = 8;

#[test]
fn members_and_commits_outlive_their_coordinator() {
    let mut cluster = Cluster::start(3, &[("offsets.topic.num.partitions", "3")]);
    Wire::connect(&cluster.node(1).address()).create_topic(TOPIC, 1);
    let dies = coordinator(&mut cluster, 1, 0);
    let [first, second] = form(&cluster.node(dies).address());
    let mut wire = Wire::connect(&cluster.node(dies).address());
    let mut acknowledged = 0;
    for offset in 1..=20 {
        assert_eq!(first.commit(&mut wire, offset), 0);
        acknowledged = offset;
    }
    let others = [dies % 3 + 1, (dies + 1) % 3 + 1];
    // From here on nobody has what is committed but who dies: of several, only the first may be on its way to the others.
    others.iter().for_each(|other| cluster.node(*other).signal(Signal::STOP));
    wire.socket.set_read_timeout(Some(NO_ANSWER)).unwrap();
    while acknowledged < 30 && matches!(first.try_commit(&mut wire, acknowledged + 1), Ok(0)) {
        acknowledged += 1;
    }
    cluster.node(dies).kill9();
    others.iter().for_each(|other| cluster.node(*other).signal(Signal::CONT));

    let now = coordinator(&mut cluster, others[0], dies);
    let mut wire = Wire::connect(&cluster.node(now).address());
    for (member, assignment) in [(&first, "for first"), (&second, "for second")] {
        let code = poll(LIMIT, || Some(member.heartbeat(&mut wire)).filter(|code| !MOVING.contains(code)));
        assert_eq!(code, Some(0), "it goes on in generation {}", member.generation);
        assert_eq!(member.sync(&mut wire, vec![]), assignment.as_bytes());
    }
    let kept = committed(&mut wire);
    // The one that nobody answered may have been kept too.
    assert!((acknowledged..=acknowledged + 1).contains(&kept), "{kept} of {acknowledged} acknowledged");
    assert_eq!(second.commit(&mut wire, 40), 0);
    cluster.node(dies).restart();
    cluster.until_whole();
    assert_eq!((first.heartbeat(&mut wire), committed(&mut wire)), (0, 40));
}

/// Where the group's coordinator is, as `ask` says: not at `not`.
fn coordinator(cluster: &mut Cluster, ask: i32, not: i32) -> i32 {
    let request = FindCoordinatorRequest::default().with_coordinator_keys(vec![text(GROUP)]);
    let found = poll(LIMIT, || {
        let answer = Wire::connect(&cluster.node(ask).address()).call(4, &request);
        let found = &answer.coordinators[0];
        (found.error_code == 0 && found.node_id.0 != not).then_some(found.node_id.0)
    });
    found.expect("a coordinator")
}

/// What the group has committed.
fn committed(wire: &mut Wire) -> i64 {
    let asked =
        OffsetFetchRequestTopics::default().with_name(TopicName(text(TOPIC))).with_partition_indexes(vec![0]);
    let asked = OffsetFetchRequestGroup::default().with_group_id(group()).with_topics(Some(vec![asked]));
    let request = OffsetFetchRequest::default().with_groups(vec![asked]);
    let answer = poll(LIMIT, || {
        Some(wire.call(8, &request)).filter(|answer| !MOVING.contains(&answer.groups[0].error_code))
    });
    let answer = answer.expect("a coordinator");
    assert_eq!(answer.groups[0].error_code, 0);
    answer.groups[0].topics[0].partitions[0].committed_offset
}

fn group() -> GroupId {
    GroupId(text(GROUP))
}

struct Member {
    id: StrBytes,
    generation: i32,
}

/// Two members of one generation, the first of which leads and has given both their part.
fn form(address: &str) -> [Member; 2] {
    let mut wire = Wire::connect(address);
    let first = Member::join(&mut wire, "");
    let (first, second) = std::thread::scope(|scope| {
        let second = scope.spawn(|| Member::join(&mut Wire::connect(address), ""));
        let rejoins = poll(LIMIT, || (first.heartbeat(&mut wire) == REBALANCING).then_some(()));
        assert!(rejoins.is_some(), "the first is not told of the second");
        (Member::join(&mut wire, &first.id), second.join().unwrap())
    });
    let part = |member: &Member, part: &'static str| {
        SyncGroupRequestAssignment::default()
            .with_member_id(member.id.clone())
            .with_assignment(Bytes::from_static(part.as_bytes()))
    };
    let parts = vec![part(&first, "for first"), part(&second, "for second")];
    first.sync(&mut wire, parts);
    second.sync(&mut wire, vec![]);
    [first, second]
}

impl Member {
    /// Joins as `id`, or as somebody new.
    fn join(wire: &mut Wire, id: &str) -> Member {
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(text("range"))
            .with_metadata(Bytes::from_static(b"subscription"));
        let request = JoinGroupRequest::default()
            .with_group_id(group())
            .with_member_id(text(id))
            .with_session_timeout_ms(30_000)
            .with_rebalance_timeout_ms(30_000)
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol]);
        // The version does not ask members to come twice.
        let joined = poll(LIMIT, || {
            Some(wire.call(3, &request)).filter(|answer| !MOVING.contains(&answer.error_code))
        });
        let joined = joined.expect("a coordinator");
        assert_eq!(joined.error_code, 0);
        Member { id: joined.member_id, generation: joined.generation_id }
    }

    fn sync(&self, wire: &mut Wire, assignments: Vec<SyncGroupRequestAssignment>) -> Bytes {
        let request = SyncGroupRequest::default()
            .with_group_id(group())
            .with_member_id(self.id.clone())
            .with_generation_id(self.generation)
            .with_assignments(assignments);
        let answer = poll(LIMIT, || {
            Some(wire.call(3, &request)).filter(|answer| !MOVING.contains(&answer.error_code))
        });
        let answer = answer.expect("a coordinator");
        assert_eq!(answer.error_code, 0);
        answer.assignment
    }

    fn heartbeat(&self, wire: &mut Wire) -> i16 {
        let request = HeartbeatRequest::default()
            .with_group_id(group())
            .with_member_id(self.id.clone())
            .with_generation_id(self.generation);
        wire.call(3, &request).error_code
    }

    fn commit(&self, wire: &mut Wire, offset: i64) -> i16 {
        self.try_commit(wire, offset).expect("the connection stays open")
    }

    fn try_commit(&self, wire: &mut Wire, offset: i64) -> std::io::Result<i16> {
        let partition = OffsetCommitRequestPartition::default().with_committed_offset(offset);
        let topic = OffsetCommitRequestTopic::default()
            .with_name(TopicName(text(TOPIC)))
            .with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(group())
            .with_generation_id_or_member_epoch(self.generation)
            .with_member_id(self.id.clone())
            .with_topics(vec![topic]);
        Ok(wire.try_call(COMMIT, &request)?.topics[0].partitions[0].error_code)
    }
}
