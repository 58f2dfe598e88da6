use super::{Command, Decision, Inputs};
use crate::cluster::Image;
use crate::cluster::image::{Feature, Listener};
use crate::types::{BrokerId, Uuid};

/// Gives the cluster its id, unless it has one.
#[derive(Clone, Debug, PartialEq)]
pub struct FormCluster {
    pub cluster_id: String,
}

/// A broker's process has started. It stays fenced until it says that it is ready.
#[derive(Clone, Debug, PartialEq)]
pub struct RegisterBroker {
    pub id: BrokerId,
    pub incarnation: Uuid,
    pub listeners: Vec<Listener>,
    pub rack: Option<String>,
    pub directories: Vec<Uuid>,
    pub features: Vec<Feature>,
    pub boot_id: String,
    /// The broker before it, as it knows, ended with all its data on disk.
    pub clean_start: bool,
}

/// The broker has caught up, recovered its logs and opened its partitions.
#[derive(Clone, Debug, PartialEq)]
pub struct UnfenceBroker {
    pub id: BrokerId,
    pub epoch: i64,
}

/// The broker is gone, or going.
#[derive(Clone, Debug, PartialEq)]
pub struct FenceBroker {
    pub id: BrokerId,
    pub epoch: i64,
}

/// An operator says that the broker will not come back.
#[derive(Clone, Debug, PartialEq)]
pub struct UnregisterBroker {
    pub id: BrokerId,
}

impl Command for FormCluster {
    /// The cluster's id: the one asked for, or an older one.
    type Answer = String;

    fn decide(&self, _image: &Image, _inputs: &mut Inputs<'_>) -> Decision<Self::Answer> {
        Ok(Default::default())
    }
}

impl Command for RegisterBroker {
    /// The broker's epoch.
    type Answer = i64;

    fn decide(&self, _image: &Image, _inputs: &mut Inputs<'_>) -> Decision<Self::Answer> {
        Ok(Default::default())
    }
}

impl Command for UnfenceBroker {
    type Answer = ();

    fn decide(&self, _image: &Image, _inputs: &mut Inputs<'_>) -> Decision<Self::Answer> {
        Ok(Default::default())
    }
}

impl Command for FenceBroker {
    type Answer = ();

    fn decide(&self, _image: &Image, _inputs: &mut Inputs<'_>) -> Decision<Self::Answer> {
        Ok(Default::default())
    }
}

impl Command for UnregisterBroker {
    type Answer = ();

    fn decide(&self, _image: &Image, _inputs: &mut Inputs<'_>) -> Decision<Self::Answer> {
        Ok(Default::default())
    }
}
