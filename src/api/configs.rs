//! DescribeConfigs, AlterConfigs, IncrementalAlterConfigs, ListConfigResources.

mod alter;
mod show;

use super::context::Context;
use crate::cluster::Image;
use crate::cluster::image::{ConfigResource, ResourceKind};
use crate::config::{BrokerConfig, Described, Overrides};
use crate::types::ErrorCode;
use kafka_protocol::messages::create_topics_response::CreatableTopicConfigs;
use kafka_protocol::protocol::StrBytes;
use std::sync::Arc;

/// Kafka's numbers of resource types.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

/// Why a resource was refused.
type Refused = (ErrorCode, String);

/// The resource that a type's number and a name mean.
fn resource(kind: i8, name: &str) -> Result<ConfigResource, Refused> {
    let kind = match kind {
        TOPIC => ResourceKind::Topic,
        BROKER => ResourceKind::Broker,
        CLIENT_METRICS => ResourceKind::ClientMetrics,
        GROUP => ResourceKind::Group,
        BROKER_LOGGER => {
            return Err((
                ErrorCode::InvalidRequest,
                "log levels are set by the environment variable RUST_LOG".into(),
            ));
        }
        other => return Err((ErrorCode::InvalidRequest, format!("resource type {other} is not known"))),
    };
    Ok(ConfigResource { kind, name: name.to_owned() })
}

fn number_of(kind: ResourceKind) -> i8 {
    match kind {
        ResourceKind::Topic => TOPIC,
        ResourceKind::Broker => BROKER,
        ResourceKind::ClientMetrics => CLIENT_METRICS,
        ResourceKind::Group => GROUP,
    }
}

/// What was set at run time on `resource`.
fn overrides(image: &Image, resource: &ConfigResource) -> Overrides {
    image.configs.of(resource).map(|set| (**set).clone()).unwrap_or_default()
}

/// This broker's configuration with what was set at run time.
fn effective(cx: &Context, image: &Image) -> Arc<BrokerConfig> {
    let fixed = &cx.node.config;
    let (all, own) = (ConfigResource::all_brokers(), ConfigResource::broker(cx.node.id));
    fixed
        .with_dynamic(&overrides(image, &all), &overrides(image, &own))
        .map_or_else(|_| fixed.clone(), Arc::new)
}

/// The whole configuration of a topic that is made with `set`, as CreateTopics tells it.
pub(super) fn of_new_topic(cx: &Context, set: &Overrides) -> Vec<CreatableTopicConfigs> {
    let described = effective(cx, &cx.image()).describe_topic(set);
    let config = |one: Described| {
        CreatableTopicConfigs::default()
            .with_name(StrBytes::from_string(one.name))
            .with_value(one.value.map(StrBytes::from_string))
            .with_read_only(one.read_only)
            .with_config_source(one.source as i8)
            .with_is_sensitive(one.sensitive)
    };
    described.into_iter().map(config).collect()
}
