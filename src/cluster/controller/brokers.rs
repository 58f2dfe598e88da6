//! Brokers come, become ready, and go.

use super::draft::Draft;
use super::leadership::{settle_replicas_of, settle_started};
use super::rules::min_insync_of_all;
use super::{Command, Decision, Inputs, releases};
use crate::cluster::Image;
use crate::cluster::change::*;
use crate::cluster::image::{Broker, Feature, Listener};
use crate::types::{BrokerId, ErrorCode, Uuid};
use serde::{Deserialize, Serialize};

/// Gives the cluster its id and first feature levels, unless it has an id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FormCluster {
    pub cluster_id: String,
    pub features: Vec<(String, i16)>,
}

/// A broker's process has started. It stays fenced until it says that it is ready.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegisterBroker {
    pub id: BrokerId,
    pub incarnation: Uuid,
    pub listeners: Vec<Listener>,
    pub rack: Option<String>,
    pub directories: Vec<Uuid>,
    pub features: Vec<Feature>,
    pub boot_id: String,
    /// The process before it lost nothing: its data is on disk, or in the page cache of a machine that ran on.
    pub clean_start: bool,
}

/// The broker has caught up, recovered its logs and opened its partitions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnfenceBroker {
    pub id: BrokerId,
    pub epoch: i64,
}

/// The broker is gone, or going.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FenceBroker {
    pub id: BrokerId,
    pub epoch: i64,
}

/// The broker is about to stop: its leaderships move while it still serves. Fencing it is the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BeginShutdown {
    pub id: BrokerId,
    pub epoch: i64,
}

/// Log directories that the broker cannot use until it starts again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DirectoriesFailed {
    pub id: BrokerId,
    pub epoch: i64,
    pub directories: Vec<Uuid>,
}

/// An operator says that the broker will not come back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnregisterBroker {
    pub id: BrokerId,
}

impl Command for FormCluster {
    /// The cluster's id: the one asked for, or an older one.
    type Answer = String;

    fn decide(&self, image: &Image, inputs: &mut Inputs<'_>) -> Decision<String> {
        if let Some(id) = &image.cluster_id {
            return Ok((Vec::new(), id.clone()));
        }
        let formed = Change::ClusterFormed(ClusterFormed { cluster_id: self.cluster_id.clone() });
        let levels = self.features.iter().cloned();
        let features = levels.map(|(name, level)| Change::FeatureLevel(FeatureLevel { name, level }));
        let min_insync = min_insync_of_all(inputs.policy);
        Ok(([formed].into_iter().chain(features).chain([min_insync]).collect(), self.cluster_id.clone()))
    }
}

impl Command for RegisterBroker {
    /// The broker's epoch.
    type Answer = i64;

    fn decide(&self, image: &Image, inputs: &mut Inputs<'_>) -> Decision<i64> {
        let before = image.brokers.get(self.id);
        let mut epoch = inputs.index as i64;
        if let Some(before) = before {
            if before.incarnation == self.incarnation {
                return Ok((Vec::new(), before.epoch));
            }
            if !before.fenced && !self.shares_a_directory(before) {
                return Err(ErrorCode::DuplicateBrokerRegistration);
            }
            epoch = epoch.max(before.epoch + 1);
        }
        let mut draft = Draft::upon(image);
        draft.add(vec![Change::BrokerRegistered(self.registration(epoch))]);
        // Unclean also where the broker is not known any more: its replicas may be.
        settle_started(&mut draft, self.id, !self.clean_start, inputs);
        Ok((draft.into_changes(), epoch))
    }
}

impl RegisterBroker {
    /// Two processes that are alive at once cannot hold the same directory: the one that registered is gone.
    fn shares_a_directory(&self, before: &Broker) -> bool {
        self.directories.iter().any(|id| before.directories.contains(id))
    }

    fn registration(&self, epoch: i64) -> Broker {
        let RegisterBroker { id, incarnation, listeners, rack, directories, features, boot_id, .. } =
            self.clone();
        let (fenced, shutting_down) = (true, false);
        Broker {
            id,
            incarnation,
            epoch,
            listeners,
            rack,
            directories,
            features,
            fenced,
            shutting_down,
            boot_id,
            failed: Vec::new(),
        }
    }
}

impl Command for UnfenceBroker {
    type Answer = ();

    fn decide(&self, image: &Image, inputs: &mut Inputs<'_>) -> Decision<()> {
        set_fenced(image, inputs, self.id, self.epoch, false)
    }
}

impl Command for FenceBroker {
    type Answer = ();

    fn decide(&self, image: &Image, inputs: &mut Inputs<'_>) -> Decision<()> {
        set_fenced(image, inputs, self.id, self.epoch, true)
    }
}

impl Command for BeginShutdown {
    type Answer = ();

    fn decide(&self, image: &Image, inputs: &mut Inputs<'_>) -> Decision<()> {
        check_epoch(image, self.id, self.epoch)?;
        if !image.brokers.is_active(self.id) {
            return Ok((Vec::new(), ()));
        }
        let mut draft = Draft::upon(image);
        let change = BrokerFencingChanged { broker: self.id, fenced: false, shutting_down: true };
        draft.add(vec![Change::BrokerFencingChanged(change)]);
        settle_replicas_of(&mut draft, self.id, inputs);
        Ok((draft.into_changes(), ()))
    }
}

impl Command for DirectoriesFailed {
    type Answer = ();

    fn decide(&self, image: &Image, inputs: &mut Inputs<'_>) -> Decision<()> {
        check_epoch(image, self.id, self.epoch)?;
        let Some(mut broker) = image.brokers.get(self.id).map(|broker| Broker::clone(broker)) else {
            return Err(ErrorCode::StaleBrokerEpoch);
        };
        let failed = broker.directories.extract_if(.., |directory| self.directories.contains(directory));
        let failed: Vec<Uuid> = failed.collect();
        if failed.is_empty() {
            return Ok((Vec::new(), ()));
        }
        broker.failed.extend(failed);
        let mut draft = Draft::upon(image);
        draft.add(vec![Change::BrokerRegistered(broker)]);
        settle_replicas_of(&mut draft, self.id, inputs);
        Ok((draft.into_changes(), ()))
    }
}

impl Command for UnregisterBroker {
    type Answer = ();

    fn decide(&self, image: &Image, inputs: &mut Inputs<'_>) -> Decision<()> {
        image.brokers.get(self.id).ok_or(ErrorCode::BrokerIdNotRegistered)?;
        let mut draft = Draft::upon(image);
        draft.add(vec![Change::BrokerUnregistered(BrokerUnregistered { broker: self.id })]);
        settle_replicas_of(&mut draft, self.id, inputs);
        let held = image.topics.deletions_of(self.id);
        draft.add(
            held.map(|id| Change::DeletionConfirmed(DeletionConfirmed { id, broker: self.id })).collect(),
        );
        let released = releases::forget(image, draft.image(), self.id);
        draft.add(released);
        Ok((draft.into_changes(), ()))
    }
}

fn set_fenced(image: &Image, inputs: &Inputs<'_>, id: BrokerId, epoch: i64, fenced: bool) -> Decision<()> {
    check_epoch(image, id, epoch)?;
    if image.brokers.is_alive(id) != fenced {
        return Ok((Vec::new(), ()));
    }
    let mut draft = Draft::upon(image);
    let change = BrokerFencingChanged { broker: id, fenced, shutting_down: false };
    draft.add(vec![Change::BrokerFencingChanged(change)]);
    settle_replicas_of(&mut draft, id, inputs);
    Ok((draft.into_changes(), ()))
}

/// Only the newest incarnation of a registered broker may speak for it.
pub(super) fn check_epoch(image: &Image, id: BrokerId, epoch: i64) -> Result<(), ErrorCode> {
    match image.brokers.get(id) {
        Some(broker) if broker.epoch == epoch => Ok(()),
        _ => Err(ErrorCode::StaleBrokerEpoch),
    }
}
