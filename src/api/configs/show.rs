//! DescribeConfigs and ListConfigResources.

use super::{Refused, effective, number_of, overrides, resource};
use crate::api::context::Context;
use crate::api::merged::first_of_each;
use crate::api::reply::why;
use crate::api::{Api, Reply};
use crate::cluster::Image;
use crate::cluster::controller::name_fault;
use crate::cluster::image::{ConfigResource, ResourceKind};
use crate::config::{BrokerConfig, Described, Synonym};
use crate::types::ErrorCode;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::*;
use kafka_protocol::messages::{
    DescribeConfigsRequest, DescribeConfigsResponse, ListConfigResourcesRequest, ListConfigResourcesResponse,
    list_config_resources_response,
};
use kafka_protocol::protocol::StrBytes;
use std::collections::HashSet;

/// From here on a value's type and documentation are told.
const TELLS_TYPE: i16 = 3;
/// ListConfigResources: version 0 knows client metrics only.
const LISTS_ALL: i16 = 1;
/// The types of resources that can be listed.
const LISTED: [i8; 5] =
    [super::TOPIC, super::BROKER, super::BROKER_LOGGER, super::CLIENT_METRICS, super::GROUP];

/// Groups and client metrics that nothing was set on are all alike and cost nothing to name: one answer shows this many.
const MOST_UNSET: usize = 1_000;
const TOO_MANY: &str = "too many resources that nothing was set on";

impl Api for DescribeConfigsRequest {
    async fn handle(mut self, cx: Context) -> Reply<DescribeConfigsResponse> {
        let image = cx.image();
        let name = |asked: &DescribeConfigsResource| (asked.resource_type, asked.resource_name.clone());
        let resources = first_of_each(std::mem::take(&mut self.resources), name);
        let broker = effective(&cx, &image);
        let mut unset = 0;
        let result = |asked| {
            unset += usize::from(is_unset(&image, asked));
            match unset <= MOST_UNSET {
                true => self.result(cx.version(), asked, described(&cx, &image, &broker, asked)),
                false => refused(asked, (ErrorCode::InvalidRequest, TOO_MANY.into())),
            }
        };
        let results = resources.iter().map(result).collect();
        Reply::Now(DescribeConfigsResponse::default().with_results(results))
    }
}

trait Describes {
    fn result(
        &self,
        version: i16,
        asked: &DescribeConfigsResource,
        described: Result<Vec<Described>, Refused>,
    ) -> DescribeConfigsResult;
    fn shown(&self, version: i16, described: Described) -> DescribeConfigsResourceResult;
}

impl Describes for DescribeConfigsRequest {
    fn result(
        &self,
        version: i16,
        asked: &DescribeConfigsResource,
        described: Result<Vec<Described>, Refused>,
    ) -> DescribeConfigsResult {
        let keys = asked.configuration_keys.as_ref().filter(|keys| !keys.is_empty());
        let keys: Option<HashSet<&str>> = keys.map(|keys| keys.iter().map(|key| &**key).collect());
        let is_asked = |one: &Described| keys.as_ref().is_none_or(|keys| keys.contains(&*one.name));
        match described {
            Ok(all) => {
                let shown = all.into_iter().filter(is_asked).map(|one| self.shown(version, one));
                answer(asked).with_configs(shown.collect())
            }
            Err(refusal) => refused(asked, refusal),
        }
    }

    fn shown(&self, version: i16, described: Described) -> DescribeConfigsResourceResult {
        let text = StrBytes::from_string;
        let documentation = || Some(StrBytes::from_static_str(described.documentation));
        let synonyms = match self.include_synonyms {
            true => described.synonyms.into_iter().map(synonym).collect(),
            false => vec![],
        };
        let answer = DescribeConfigsResourceResult::default()
            .with_name(text(described.name))
            .with_value(described.value.map(text))
            .with_read_only(described.read_only)
            .with_config_source(described.source as i8)
            .with_is_sensitive(described.sensitive)
            .with_synonyms(synonyms);
        if version < TELLS_TYPE {
            return answer;
        }
        let documentation = self.include_documentation.then(documentation).flatten();
        answer.with_config_type(described.kind.map_or(0, |kind| kind as i8)).with_documentation(documentation)
    }
}

fn answer(asked: &DescribeConfigsResource) -> DescribeConfigsResult {
    DescribeConfigsResult::default()
        .with_resource_type(asked.resource_type)
        .with_resource_name(asked.resource_name.clone())
}

fn refused(asked: &DescribeConfigsResource, (code, message): Refused) -> DescribeConfigsResult {
    answer(asked).with_error_code(code.code()).with_error_message(why(message))
}

/// Whether all that could be shown of it are defaults, whatever its name.
fn is_unset(image: &Image, asked: &DescribeConfigsResource) -> bool {
    let of_any_name = [super::GROUP, super::CLIENT_METRICS].contains(&asked.resource_type);
    let set = |resource: ConfigResource| image.configs.of(&resource).is_some();
    of_any_name && !resource(asked.resource_type, &asked.resource_name).is_ok_and(set)
}

fn synonym(synonym: Synonym) -> DescribeConfigsSynonym {
    DescribeConfigsSynonym::default()
        .with_name(StrBytes::from_string(synonym.name))
        .with_value(synonym.value.map(StrBytes::from_string))
        .with_source(synonym.source as i8)
}

fn described(
    cx: &Context,
    image: &Image,
    broker: &BrokerConfig,
    asked: &DescribeConfigsResource,
) -> Result<Vec<Described>, Refused> {
    let resource = resource(asked.resource_type, &asked.resource_name)?;
    let set = overrides(image, &resource);
    match resource.kind {
        ResourceKind::Topic => {
            check_topic(image, &resource.name)?;
            Ok(broker.describe_topic(&set))
        }
        ResourceKind::Broker if resource.name.is_empty() => Ok(broker.describe_cluster_default()),
        ResourceKind::Broker if resource.name == cx.node.id.to_string() => Ok(broker.describe()),
        ResourceKind::Broker => Err((
            ErrorCode::InvalidRequest,
            format!("broker {} was asked for broker {}; ask that one", cx.node.id, resource.name),
        )),
        ResourceKind::Group | ResourceKind::ClientMetrics if resource.name.is_empty() => {
            Err((ErrorCode::InvalidRequest, "a name is needed".into()))
        }
        ResourceKind::Group => Ok(broker.describe_group(&set)),
        ResourceKind::ClientMetrics => Ok(broker.describe_client_metrics(&set)),
    }
}

fn check_topic(image: &Image, name: &str) -> Result<(), Refused> {
    if name_fault(name).is_some() {
        return Err((ErrorCode::InvalidTopicException, format!("{name:?} cannot be the name of a topic")));
    }
    match image.topics.by_name(name) {
        Some(_) => Ok(()),
        None => Err((ErrorCode::UnknownTopicOrPartition, format!("there is no topic {name}"))),
    }
}

impl Api for ListConfigResourcesRequest {
    async fn handle(self, cx: Context) -> Reply<ListConfigResourcesResponse> {
        let image = cx.image();
        let asked: Vec<i8> = match cx.version() >= LISTS_ALL {
            true if self.resource_types.is_empty() => LISTED.to_vec(),
            true => first_of_each(self.resource_types, |kind| *kind),
            false => vec![super::CLIENT_METRICS],
        };
        if asked.iter().any(|kind| !LISTED.contains(kind)) {
            return Reply::Now(Self::refuse(ErrorCode::UnsupportedVersion));
        }
        let listed =
            asked.into_iter().flat_map(|kind| names(&image, kind).into_iter().map(move |name| (kind, name)));
        let answer = |(kind, name): (i8, String)| {
            let answer = list_config_resources_response::ConfigResource::default();
            let answer = answer.with_resource_name(StrBytes::from_string(name));
            if cx.version() >= LISTS_ALL { answer.with_resource_type(kind) } else { answer }
        };
        Reply::Now(ListConfigResourcesResponse::default().with_config_resources(listed.map(answer).collect()))
    }

    fn refuse(code: ErrorCode) -> ListConfigResourcesResponse {
        ListConfigResourcesResponse::default().with_error_code(code.code())
    }
}

/// The names of a type's resources: all topics and brokers; of the others those that something was set on.
fn names(image: &Image, kind: i8) -> Vec<String> {
    match kind {
        super::TOPIC => image.topics.iter().map(|topic| topic.name.clone()).collect(),
        super::BROKER | super::BROKER_LOGGER => {
            image.brokers.iter().map(|broker| broker.id.to_string()).collect()
        }
        _ => {
            let set = image.configs.iter().map(|(resource, _)| resource);
            let of_kind = |resource: &&ConfigResource| number_of(resource.kind) == kind;
            set.filter(of_kind).map(|resource| resource.name.clone()).collect()
        }
    }
}
