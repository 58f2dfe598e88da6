//! JoinGroup, SyncGroup, Heartbeat, LeaveGroup.

use super::{ask, code, coordinator, copied, string, text};
use crate::api::context::Context;
use crate::api::{Api, Reply};
use crate::coordinator::group::command::*;
use crate::types::ErrorCode;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;
use std::time::Duration;

/// JoinGroup: from here on a new member is first told its id (KIP-394), has an instance id, is told the protocol type,
/// may be told to skip the assignment.
const JOIN_MEMBER_ID_FIRST: i16 = 4;
const JOIN_INSTANCE: i16 = 5;
const JOIN_PROTOCOL_TYPE: i16 = 7;
const JOIN_SKIP_ASSIGNMENT: i16 = 9;
/// SyncGroup: from here on the protocol is named, and must be.
const SYNC_PROTOCOL: i16 = 5;
/// LeaveGroup: from here on several members leave at once.
const LEAVE_SEVERAL: i16 = 3;

fn millis(ms: i32) -> Duration {
    Duration::from_millis(ms.max(0) as u64)
}

impl Api for JoinGroupRequest {
    async fn handle(self, cx: Context) -> Reply<JoinGroupResponse> {
        let version = cx.version();
        let rebalance_timeout =
            if version == 0 { self.session_timeout_ms } else { self.rebalance_timeout_ms };
        let join = Join {
            group: self.group_id.to_string(),
            member: string(&self.member_id),
            instance: self.group_instance_id.as_ref().map(string),
            client_id: cx.header.client_id.as_ref().map(string).unwrap_or_default(),
            client_host: format!("/{}", cx.peer.remote.ip().to_canonical()),
            session_timeout: millis(self.session_timeout_ms),
            rebalance_timeout: millis(rebalance_timeout),
            protocol_type: string(&self.protocol_type),
            protocols: self.protocols.iter().map(|one| (string(&one.name), copied(&one.metadata))).collect(),
            needs_member_id: version >= JOIN_MEMBER_ID_FIRST,
            can_skip_assignment: version >= JOIN_SKIP_ASSIGNMENT,
            reason: self.reason.as_ref().map(string),
        };
        coordinator::settled(&cx, &join.group).await;
        ask(&cx, |groups| async move { groups.join(join).await }, move |reply| joined(version, reply)).await
    }

    fn refuse(code: ErrorCode) -> JoinGroupResponse {
        JoinGroupResponse::default().with_error_code(code.code()).with_generation_id(-1)
    }
}

fn joined(version: i16, reply: JoinReply) -> JoinGroupResponse {
    let response = JoinGroupResponse::default();
    // Null only where the version knows it.
    let name = |name: Option<String>| match version >= JOIN_PROTOCOL_TYPE {
        true => name.map(text),
        false => Some(text(name.unwrap_or_default())),
    };
    match reply {
        Ok(joined) => response
            .with_generation_id(joined.generation)
            .with_protocol_type(joined.protocol_type.filter(|_| version >= JOIN_PROTOCOL_TYPE).map(text))
            .with_protocol_name(name(joined.protocol))
            .with_leader(text(joined.leader))
            .with_skip_assignment(version >= JOIN_SKIP_ASSIGNMENT && joined.skip_assignment)
            .with_member_id(text(joined.member))
            .with_members(joined.members.into_iter().map(|member| joined_member(version, member)).collect()),
        Err(refused) => JoinGroupRequest::refuse(refused.error)
            .with_protocol_name(name(None))
            .with_member_id(text(refused.member)),
    }
}

fn joined_member(version: i16, member: JoinedMember) -> JoinGroupResponseMember {
    JoinGroupResponseMember::default()
        .with_member_id(text(member.member))
        .with_group_instance_id(member.instance.filter(|_| version >= JOIN_INSTANCE).map(text))
        .with_metadata(member.metadata)
}

impl Api for SyncGroupRequest {
    async fn handle(self, cx: Context) -> Reply<SyncGroupResponse> {
        let version = cx.version();
        let is_complete = self.protocol_type.is_some() && self.protocol_name.is_some();
        if version >= SYNC_PROTOCOL && !is_complete {
            return Reply::Now(Self::refuse(ErrorCode::InconsistentGroupProtocol));
        }
        let sync = Sync {
            group: self.group_id.to_string(),
            member: string(&self.member_id),
            instance: self.group_instance_id.as_ref().map(string),
            generation: self.generation_id,
            protocol_type: self.protocol_type.as_ref().map(string),
            protocol: self.protocol_name.as_ref().map(string),
            assignments: self
                .assignments
                .iter()
                .map(|one| (string(&one.member_id), copied(&one.assignment)))
                .collect(),
        };
        ask(&cx, |groups| async move { groups.sync(sync).await }, move |reply| synced(version, reply)).await
    }

    fn refuse(code: ErrorCode) -> SyncGroupResponse {
        SyncGroupResponse::default().with_error_code(code.code())
    }
}

fn synced(version: i16, reply: SyncReply) -> SyncGroupResponse {
    match reply {
        Ok(synced) => {
            let named = |name: Option<String>| name.filter(|_| version >= SYNC_PROTOCOL).map(text);
            SyncGroupResponse::default()
                .with_protocol_type(named(synced.protocol_type))
                .with_protocol_name(named(synced.protocol))
                .with_assignment(synced.assignment)
        }
        Err(error) => SyncGroupRequest::refuse(error),
    }
}

impl Api for HeartbeatRequest {
    async fn handle(self, cx: Context) -> Reply<HeartbeatResponse> {
        let heartbeat = Heartbeat {
            group: self.group_id.to_string(),
            member: string(&self.member_id),
            instance: self.group_instance_id.as_ref().map(string),
            generation: self.generation_id,
        };
        let answer = |reply: HeartbeatReply| HeartbeatResponse::default().with_error_code(code(&reply));
        ask(&cx, |groups| async move { groups.heartbeat(heartbeat).await }, answer).await
    }

    fn refuse(code: ErrorCode) -> HeartbeatResponse {
        HeartbeatResponse::default().with_error_code(code.code())
    }
}

impl Api for LeaveGroupRequest {
    async fn handle(self, cx: Context) -> Reply<LeaveGroupResponse> {
        let version = cx.version();
        let members = match version >= LEAVE_SEVERAL {
            true => self.members.iter().map(leaving).collect(),
            false => vec![Leaving { member: string(&self.member_id), instance: None, reason: None }],
        };
        let leave = Leave { group: self.group_id.to_string(), members };
        ask(&cx, |groups| async move { groups.leave(leave).await }, move |reply| left(version, reply)).await
    }

    fn refuse(code: ErrorCode) -> LeaveGroupResponse {
        LeaveGroupResponse::default().with_error_code(code.code())
    }
}

fn leaving(member: &MemberIdentity) -> Leaving {
    let optional = |text: &Option<StrBytes>| text.as_ref().map(string);
    Leaving {
        member: string(&member.member_id),
        instance: optional(&member.group_instance_id),
        reason: optional(&member.reason),
    }
}

/// Versions that name one member have that member's error as their own.
fn left(version: i16, reply: LeaveReply) -> LeaveGroupResponse {
    let members = match reply {
        Ok(members) => members,
        Err(error) => return LeaveGroupRequest::refuse(error),
    };
    if version < LEAVE_SEVERAL {
        return LeaveGroupResponse::default()
            .with_error_code(super::code_of(members.first().and_then(|member| member.error)));
    }
    let answer = |member: Left| {
        MemberResponse::default()
            .with_member_id(text(member.member))
            .with_group_instance_id(member.instance.map(text))
            .with_error_code(super::code_of(member.error))
    };
    LeaveGroupResponse::default().with_members(members.into_iter().map(answer).collect())
}
