//! DescribeGroups, ListGroups, DeleteGroups.

use super::{ask, code, string, text, together};
use crate::api::context::Context;
use crate::api::merged::first_of_each;
use crate::api::{Api, Reply, operations};
use crate::coordinator::group::command::*;
use crate::coordinator::group::groups::Groups;
use crate::types::ErrorCode;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::*;
use std::sync::Arc;

/// DescribeGroups: from here on operations, instance ids, and an error for an unknown group are told.
const DESCRIBE_OPERATIONS: i16 = 3;
const DESCRIBE_INSTANCE: i16 = 4;
const DESCRIBE_NOT_FOUND: i16 = 6;
/// ListGroups: from here on states, then types are told.
const LIST_STATES: i16 = 4;
const LIST_TYPES: i16 = 5;
/// What an unknown group is called where there is no error for it.
const DEAD: &str = "Dead";

impl Api for DescribeGroupsRequest {
    async fn handle(self, cx: Context) -> Reply<DescribeGroupsResponse> {
        let version = cx.version();
        let operations = operations::if_asked(self.include_authorized_operations, operations::GROUP);
        let names = names(self.groups);
        let answer = move |replies: Vec<(String, DescribeReply)>| {
            let group = |(name, reply)| described(version, name, reply, operations);
            DescribeGroupsResponse::default().with_groups(replies.into_iter().map(group).collect())
        };
        ask(&cx, |groups| describe_all(groups, names), answer).await
    }
}

/// Each group once.
fn names(groups: Vec<GroupId>) -> Vec<String> {
    first_of_each(groups, GroupId::clone).iter().map(|group| group.to_string()).collect()
}

async fn describe_all(groups: Arc<Groups>, names: Vec<String>) -> Vec<(String, DescribeReply)> {
    let describe = async |group: String| {
        let reply = groups.describe(DescribeGroup { group: group.clone() }).await;
        (group, reply)
    };
    together(names.into_iter().map(describe)).await
}

fn described(version: i16, name: String, reply: DescribeReply, operations: i32) -> DescribedGroup {
    let message = format!("group {name} is not known");
    let group = DescribedGroup::default().with_group_id(GroupId(text(name)));
    let group =
        if version >= DESCRIBE_OPERATIONS { group.with_authorized_operations(operations) } else { group };
    match reply {
        Ok(found) => group
            .with_group_state(text(found.state))
            .with_protocol_type(text(found.protocol_type))
            .with_protocol_data(text(found.protocol))
            .with_members(
                found.members.into_iter().map(|member| described_member(version, member)).collect(),
            ),
        Err(ErrorCode::GroupIdNotFound) if version >= DESCRIBE_NOT_FOUND => group
            .with_group_state(text(DEAD))
            .with_error_code(ErrorCode::GroupIdNotFound.code())
            .with_error_message(Some(text(message))),
        Err(ErrorCode::GroupIdNotFound) => group.with_group_state(text(DEAD)),
        Err(error) => group.with_error_code(error.code()),
    }
}

fn described_member(version: i16, member: MemberDescription) -> DescribedGroupMember {
    DescribedGroupMember::default()
        .with_member_id(text(member.member))
        .with_group_instance_id(member.instance.filter(|_| version >= DESCRIBE_INSTANCE).map(text))
        .with_client_id(text(member.client_id))
        .with_client_host(text(member.client_host))
        .with_member_metadata(member.metadata)
        .with_member_assignment(member.assignment)
}

impl Api for ListGroupsRequest {
    async fn handle(self, cx: Context) -> Reply<ListGroupsResponse> {
        let version = cx.version();
        let list = ListGroups {
            states: self.states_filter.iter().map(string).collect(),
            types: self.types_filter.iter().map(string).collect(),
        };
        ask(&cx, |groups| async move { groups.list(list).await }, move |reply| listed(version, reply)).await
    }

    fn refuse(code: ErrorCode) -> ListGroupsResponse {
        ListGroupsResponse::default().with_error_code(code.code())
    }
}

fn listed(version: i16, reply: ListReply) -> ListGroupsResponse {
    let group = |found: crate::coordinator::group::command::ListedGroup| {
        let group = list_groups_response::ListedGroup::default()
            .with_group_id(GroupId(text(found.group)))
            .with_protocol_type(text(found.protocol_type));
        let group = if version >= LIST_STATES { group.with_group_state(text(found.state)) } else { group };
        if version >= LIST_TYPES { group.with_group_type(text(found.kind)) } else { group }
    };
    match reply {
        Ok(groups) => ListGroupsResponse::default().with_groups(groups.into_iter().map(group).collect()),
        Err(error) => ListGroupsRequest::refuse(error),
    }
}

impl Api for DeleteGroupsRequest {
    async fn handle(self, cx: Context) -> Reply<DeleteGroupsResponse> {
        let names = names(self.groups_names);
        let answer = |replies: Vec<(String, DeleteGroupReply)>| {
            let result = |(name, reply): (String, DeleteGroupReply)| {
                DeletableGroupResult::default()
                    .with_group_id(GroupId(text(name)))
                    .with_error_code(code(&reply))
            };
            DeleteGroupsResponse::default().with_results(replies.into_iter().map(result).collect())
        };
        ask(&cx, |groups| delete_all(groups, names), answer).await
    }
}

async fn delete_all(groups: Arc<Groups>, names: Vec<String>) -> Vec<(String, DeleteGroupReply)> {
    let delete = async |group: String| {
        let reply = groups.delete(DeleteGroup { group: group.clone() }).await;
        (group, reply)
    };
    together(names.into_iter().map(delete)).await
}
