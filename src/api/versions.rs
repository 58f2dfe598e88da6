//! ApiVersions: what this broker speaks.

use super::context::Context;
use super::controllers::{CONTROLLER_ROUTES, ControllerApi, Desk};
use super::{Api, ROUTES, Reply};
use crate::cluster::Image;
use crate::types::ErrorCode;
use crate::wire::peer::Software;
use kafka_protocol::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use kafka_protocol::protocol::StrBytes;

/// The version in which a client that asked with an unknown one is answered; every client reads it (KIP-511).
pub(super) const FALLBACK: i16 = 0;
/// From here on a client says what it is.
const NAMES_SOFTWARE: i16 = 3;

impl Api for ApiVersionsRequest {
    async fn handle(self, cx: Context) -> Reply<ApiVersionsResponse> {
        if !is_sound(&self, cx.version()) {
            return Reply::Now(unsound());
        }
        let (name, version) =
            (self.client_software_name.to_string(), self.client_software_version.to_string());
        cx.peer.set_software(Software { name, version });
        Reply::Now(with_features(listed(), &cx.image()))
    }

    /// An unknown version of this API is answered with all ranges, so that the client finds one in common.
    fn refuse(code: ErrorCode) -> ApiVersionsResponse {
        listed().with_error_code(code.code())
    }
}

/// Controllers do not keep what a client's software is.
impl ControllerApi for ApiVersionsRequest {
    async fn answer(self, desk: &Desk, version: i16) -> ApiVersionsResponse {
        match is_sound(&self, version) {
            true => with_features(listed_by_controllers(), &desk.metadata.image()),
            false => unsound(),
        }
    }

    fn unspoken() -> ApiVersionsResponse {
        listed_by_controllers().with_error_code(ErrorCode::UnsupportedVersion.code())
    }
}

fn listed() -> ApiVersionsResponse {
    rows(ROUTES.iter().map(|route| (route.key, route.advertised_min, route.max)))
}

fn listed_by_controllers() -> ApiVersionsResponse {
    rows(CONTROLLER_ROUTES.iter().map(|route| (route.key, route.min, route.max)))
}

fn rows(ranges: impl Iterator<Item = (i16, i16, i16)>) -> ApiVersionsResponse {
    let row =
        |(key, min, max)| ApiVersion::default().with_api_key(key).with_min_version(min).with_max_version(max);
    ApiVersionsResponse::default().with_api_keys(ranges.map(row).collect())
}

fn is_sound(request: &ApiVersionsRequest, version: i16) -> bool {
    version < NAMES_SOFTWARE
        || is_software_text(&request.client_software_name)
            && is_software_text(&request.client_software_version)
}

fn unsound() -> ApiVersionsResponse {
    ApiVersionsResponse::default().with_error_code(ErrorCode::InvalidRequest.code())
}

fn with_features(response: ApiVersionsResponse, image: &Image) -> ApiVersionsResponse {
    let name = |name: &String| StrBytes::from_string(name.clone());
    let finalised = image.features.iter().map(|(feature, level)| {
        FinalizedFeatureKey::default()
            .with_name(name(feature))
            .with_min_version_level(*level)
            .with_max_version_level(*level)
    });
    let own = image.brokers.iter().flat_map(|broker| &broker.features);
    let supported = own.map(|feature| {
        SupportedFeatureKey::default()
            .with_name(name(&feature.name))
            .with_min_version(feature.min)
            .with_max_version(feature.max)
    });
    response
        .with_finalized_features(finalised.collect())
        .with_finalized_features_epoch(image.applied.index as i64)
        .with_supported_features(supported.collect())
}

/// The longest name or version of a client's software: it is kept for as long as the connection.
const SOFTWARE_BYTES: usize = 256;

/// Letters and digits, with dots and dashes inside (KIP-511).
fn is_software_text(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= SOFTWARE_BYTES
        && edge(text.chars().next())
        && edge(text.chars().last())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_software_may_be_called() {
        let longest = "a".repeat(SOFTWARE_BYTES);
        for sound in ["librdkafka", "2.5.0", "apache-kafka-java", "a", &longest] {
            assert!(is_software_text(sound), "{sound}");
        }
        for unsound in ["", "-a", "a.", "a b", "ä", &format!("{longest}a")] {
            assert!(!is_software_text(unsound), "{unsound}");
        }
    }
}
