//! AlterConfigs and IncrementalAlterConfigs: asked of the controller, each resource on its own.

use super::{Refused, number_of, resource};
use crate::api::context::Context;
use crate::api::reply::why;
use crate::api::{Api, Reply};
use crate::cluster::controller::{
    AlterConfigs, ConfigOperation, KeyChange, Outcome, ReplaceConfigs, ResourceChanges, ResourceValues,
};
use crate::cluster::image::ConfigResource;
use crate::types::ErrorCode;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse, alter_configs_response, incremental_alter_configs_request,
    incremental_alter_configs_response,
};
use kafka_protocol::protocol::StrBytes;
use std::collections::HashSet;

/// One resource of the answer: type, name, and why it was refused.
type Row = (i8, String, Option<Refused>);

impl Api for IncrementalAlterConfigsRequest {
    async fn handle(self, cx: Context) -> Reply<IncrementalAlterConfigsResponse> {
        let (mut resources, mut rows) = (vec![], vec![]);
        for asked in &self.resources {
            let found = resource(asked.resource_type, &asked.resource_name);
            match found.and_then(|resource| Ok(ResourceChanges { resource, changes: changes(asked)? })) {
                Ok(changes) => resources.push(changes),
                Err(refused) => {
                    rows.push((asked.resource_type, asked.resource_name.to_string(), Some(refused)))
                }
            }
        }
        let known = resources.iter().map(|one| one.resource.clone()).collect();
        let command = AlterConfigs { resources, validate_only: self.validate_only };
        rows.extend(outcomes(known, cx.node.metadata.submit(command).await));
        settle(&cx).await;
        let answer = |(kind, name, refused): Row| {
            incremental_alter_configs_response::AlterConfigsResourceResponse::default()
                .with_resource_type(kind)
                .with_resource_name(StrBytes::from_string(name))
                .with_error_code(refused.as_ref().map_or(0, |(code, _)| code.code()))
                .with_error_message(refused.and_then(|(_, message)| why(message)))
        };
        let rows = rows.into_iter().map(answer).collect();
        Reply::Now(IncrementalAlterConfigsResponse::default().with_responses(rows))
    }
}

fn changes(
    asked: &incremental_alter_configs_request::AlterConfigsResource,
) -> Result<Vec<KeyChange>, Refused> {
    let mut seen = HashSet::new();
    let change = |one: &incremental_alter_configs_request::AlterableConfig| {
        if !seen.insert(one.name.to_string()) {
            return Err((ErrorCode::InvalidRequest, format!("{} is changed twice", one.name.as_str())));
        }
        let operation = match one.config_operation {
            0 => ConfigOperation::Set,
            1 => ConfigOperation::Delete,
            2 => ConfigOperation::Append,
            3 => ConfigOperation::Subtract,
            other => return Err((ErrorCode::InvalidRequest, format!("operation {other} is not known"))),
        };
        let value = one.value.as_ref().map(|value| value.to_string());
        Ok(KeyChange { key: one.name.to_string(), operation, value })
    };
    asked.configs.iter().map(change).collect()
}

impl Api for AlterConfigsRequest {
    async fn handle(self, cx: Context) -> Reply<AlterConfigsResponse> {
        let (mut resources, mut rows) = (vec![], vec![]);
        for asked in &self.resources {
            let value = |value: &StrBytes| value.to_string();
            let values =
                asked.configs.iter().map(|one| (one.name.to_string(), one.value.as_ref().map(value)));
            match resource(asked.resource_type, &asked.resource_name) {
                Ok(resource) => resources.push(ResourceValues { resource, values: values.collect() }),
                Err(refused) => {
                    rows.push((asked.resource_type, asked.resource_name.to_string(), Some(refused)))
                }
            }
        }
        let known = resources.iter().map(|one| one.resource.clone()).collect();
        let command = ReplaceConfigs { resources, validate_only: self.validate_only };
        rows.extend(outcomes(known, cx.node.metadata.submit(command).await));
        settle(&cx).await;
        let answer = |(kind, name, refused): Row| {
            alter_configs_response::AlterConfigsResourceResponse::default()
                .with_resource_type(kind)
                .with_resource_name(StrBytes::from_string(name))
                .with_error_code(refused.as_ref().map_or(0, |(code, _)| code.code()))
                .with_error_message(refused.and_then(|(_, message)| why(message)))
        };
        Reply::Now(AlterConfigsResponse::default().with_responses(rows.into_iter().map(answer).collect()))
    }
}

/// A row for each resource, whether the controller answered or not.
fn outcomes(
    asked: Vec<ConfigResource>,
    answer: Result<Vec<(ConfigResource, Outcome<()>)>, ErrorCode>,
) -> Vec<Row> {
    let row = |resource: ConfigResource, refused| (number_of(resource.kind), resource.name, refused);
    match answer {
        Ok(outcomes) => outcomes
            .into_iter()
            .map(|(resource, outcome)| {
                row(resource, outcome.err().map(|refusal| (refusal.code, refusal.message)))
            })
            .collect(),
        Err(code) => {
            asked.into_iter().map(|resource| row(resource, Some((code, code.to_string())))).collect()
        }
    }
}

/// Waits until this broker's partitions act on the change.
async fn settle(cx: &Context) {
    cx.node.replicas.caught_up(cx.image().applied.index).await;
}
