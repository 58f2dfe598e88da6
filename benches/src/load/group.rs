//! Groups of one member each, which do nothing but say that they are alive.

use super::many::Client;
use super::wire::{accepted, decode, frame};
use crate::measure::cpu_of;
use anyhow::{Result, ensure};
use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    FindCoordinatorRequest, FindCoordinatorResponse, GroupId, HeartbeatRequest, HeartbeatResponse,
    JoinGroupRequest, JoinGroupResponse, SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;
use std::time::{Duration, Instant};

/// As Kafka's clients have it by default.
const INTERVAL: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);
const FIND: i16 = 3;
const JOIN: i16 = 5;
const SYNC: i16 = 3;
const HEARTBEAT: i16 = 3;
/// The coordinator is still being found or loaded, or a member id is given.
const NOT_YET: [i16; 4] = [14, 15, 16, 79];

/// Has `groups` join and heartbeat for `duration`; answers the CPU that `pids` took meanwhile, and how many heartbeats were
/// answered.
pub fn heartbeat(
    address: &str,
    groups: usize,
    duration: Duration,
    pids: &[u32],
) -> Result<(Duration, usize)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        await_coordinator(address).await?;
        let mut members = vec![];
        for nth in 0..groups {
            members.push(Member::join(address, nth).await?);
        }
        let (before, end) = (cpu_of(pids)?, Instant::now() + duration);
        let live = |(nth, member): (usize, Member)| {
            // Spread evenly, as those of real groups are.
            let phase = INTERVAL * nth as u32 / groups as u32;
            tokio::task::spawn_local(member.live(phase, end))
        };
        let lives: Vec<_> = members.into_iter().enumerate().map(live).collect();
        let mut beats = 0;
        for life in lives {
            beats += life.await??;
        }
        Ok((cpu_of(pids)? - before, beats))
    })
}

/// Has the topic made that coordinators keep their groups in, as each client does by asking who coordinates.
async fn await_coordinator(address: &str) -> Result<()> {
    let mut client = Client::connect(address).await?;
    let request = FindCoordinatorRequest::default().with_key(text("group-0".into()));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer: FindCoordinatorResponse = decode(client.ask(&frame(FIND, &request)).await?, FIND)?;
        if answer.error_code == 0 {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "no coordinator after {PATIENCE:?}");
        tokio::time::sleep(PAUSE).await;
    }
}

struct Member {
    client: Client,
    beat: Vec<u8>,
}

impl Member {
    async fn join(address: &str, nth: usize) -> Result<Member> {
        let mut client = Client::connect(address).await?;
        let group = GroupId(text(format!("group-{nth}")));
        let joined = joined(&mut client, &group).await?;
        let assignment = SyncGroupRequestAssignment::default().with_member_id(joined.member_id.clone());
        let sync = SyncGroupRequest::default()
            .with_group_id(group.clone())
            .with_generation_id(joined.generation_id)
            .with_member_id(joined.member_id.clone())
            .with_assignments(vec![assignment]);
        let synced: SyncGroupResponse = decode(client.ask(&frame(SYNC, &sync)).await?, SYNC)?;
        accepted(synced.error_code, "SyncGroup")?;
        let beat = HeartbeatRequest::default()
            .with_group_id(group)
            .with_generation_id(joined.generation_id)
            .with_member_id(joined.member_id);
        Ok(Member { client, beat: frame(HEARTBEAT, &beat) })
    }

    /// Heartbeats until `end`; answers how often.
    async fn live(mut self, phase: Duration, end: Instant) -> Result<usize> {
        tokio::time::sleep(phase).await;
        let mut beats = 0;
        while Instant::now() < end {
            let answer: HeartbeatResponse = decode(self.client.ask(&self.beat).await?, HEARTBEAT)?;
            accepted(answer.error_code, "a heartbeat")?;
            beats += 1;
            tokio::time::sleep(INTERVAL.min(end.saturating_duration_since(Instant::now()))).await;
        }
        Ok(beats)
    }
}

/// Joins `group`, which takes two rounds: the first gives a member id.
async fn joined(client: &mut Client, group: &GroupId) -> Result<JoinGroupResponse> {
    let protocol =
        JoinGroupRequestProtocol::default().with_name(text("range".into())).with_metadata(Bytes::new());
    let mut join = JoinGroupRequest::default()
        .with_group_id(group.clone())
        .with_session_timeout_ms(45_000)
        .with_rebalance_timeout_ms(60_000)
        .with_protocol_type(text("consumer".into()))
        .with_protocols(vec![protocol]);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer: JoinGroupResponse = decode(client.ask(&frame(JOIN, &join)).await?, JOIN)?;
        if !NOT_YET.contains(&answer.error_code) {
            accepted(answer.error_code, "JoinGroup")?;
            return Ok(answer);
        }
        ensure!(Instant::now() < deadline, "no coordinator after {PATIENCE:?}");
        join.member_id = answer.member_id;
        tokio::time::sleep(PAUSE).await;
    }
}

fn text(text: String) -> StrBytes {
    StrBytes::from_string(text)
}
