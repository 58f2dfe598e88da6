//! AddRaftVoter and RemoveRaftVoter: whose votes decide on the metadata (KIP-853).

use super::context::Context;
use super::controllers::{ControllerApi, Desk};
use super::reply::why;
use super::{Api, Reply};
use crate::peer::{Refusal, Voter};
use crate::types::{ErrorCode, Uuid};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;
use std::time::Duration;

/// Whoever asks hears why not so long before it gives up by itself.
const MARGIN: Duration = Duration::from_secs(2);

impl Api for AddRaftVoterRequest {
    async fn handle(self, cx: Context) -> Reply<AddRaftVoterResponse> {
        Reply::Now(self.answer(&cx.node.desk(), cx.version()).await)
    }

    fn refuse(code: ErrorCode) -> AddRaftVoterResponse {
        AddRaftVoterResponse::default().with_error_code(code.code())
    }
}

impl ControllerApi for AddRaftVoterRequest {
    async fn answer(self, desk: &Desk, _version: i16) -> AddRaftVoterResponse {
        match self.add(desk).await {
            Ok(()) => AddRaftVoterResponse::default(),
            Err(refusal) => Self::refuse(refusal.code).with_error_message(why(refusal.why)),
        }
    }
}

trait Add {
    async fn add(self, desk: &Desk) -> Result<(), Refusal>;
}

impl Add for AddRaftVoterRequest {
    /// The controller has told itself where it is when it joined: the listeners only have to be of the kind that this
    /// cluster's controllers have.
    async fn add(self, desk: &Desk) -> Result<(), Refusal> {
        let voter = voter(desk, &self.cluster_id, self.voter_id, self.voter_directory_id)?;
        let names = &desk.config.controller_listener_names;
        let is_known =
            |name: &str| names.is_empty() || names.iter().any(|one| one.eq_ignore_ascii_case(name));
        if !self.listeners.iter().any(|listener| is_known(&listener.name)) {
            let why = format!("controllers are reached by {}: no such listener is named", names.join(", "));
            return Err(Refusal { code: ErrorCode::InvalidRequest, why });
        }
        let limit = Duration::from_millis(self.timeout_ms.max(0) as u64);
        let limit = limit - MARGIN.min(limit / 2);
        desk.quorum.add_voter(voter, limit).await
    }
}

impl Api for RemoveRaftVoterRequest {
    async fn handle(self, cx: Context) -> Reply<RemoveRaftVoterResponse> {
        Reply::Now(self.answer(&cx.node.desk(), cx.version()).await)
    }

    fn refuse(code: ErrorCode) -> RemoveRaftVoterResponse {
        RemoveRaftVoterResponse::default().with_error_code(code.code())
    }
}

impl ControllerApi for RemoveRaftVoterRequest {
    async fn answer(self, desk: &Desk, _version: i16) -> RemoveRaftVoterResponse {
        let removed = async {
            let voter = voter(desk, &self.cluster_id, self.voter_id, self.voter_directory_id)?;
            desk.quorum.remove_voter(voter).await
        };
        match removed.await {
            Ok(()) => RemoveRaftVoterResponse::default(),
            Err(refusal) => Self::refuse(refusal.code).with_error_message(why(refusal.why)),
        }
    }
}

/// Who is meant, if it is one of this cluster.
fn voter(desk: &Desk, cluster: &Option<StrBytes>, node: i32, directory: Uuid) -> Result<Voter, Refusal> {
    let ours = desk.metadata.image().cluster_id.clone().unwrap_or_default();
    if let Some(theirs) = cluster.as_ref().filter(|theirs| theirs.as_str() != ours) {
        let why = format!("this is cluster {ours}, not {}", theirs.as_str());
        return Err(Refusal { code: ErrorCode::InconsistentClusterId, why });
    }
    if node < 0 || directory.is_nil() {
        let why = "a voter has a node id and the id of its metadata directory".into();
        return Err(Refusal { code: ErrorCode::InvalidRequest, why });
    }
    Ok(Voter { node, directory })
}
