use super::{Command, Decision, Inputs, Outcome};
use crate::cluster::Image;
use crate::cluster::image::ConfigResource;

/// Changes single keys (IncrementalAlterConfigs).
#[derive(Clone, Debug, PartialEq)]
pub struct AlterConfigs {
    pub resources: Vec<ResourceChanges>,
    pub validate_only: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ResourceChanges {
    pub resource: ConfigResource,
    pub changes: Vec<KeyChange>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct KeyChange {
    pub key: String,
    pub operation: ConfigOperation,
    pub value: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigOperation {
    Set,
    Delete,
    /// Adds to a list.
    Append,
    /// Takes out of a list.
    Subtract,
}

/// Replaces all values of each resource (the legacy AlterConfigs).
#[derive(Clone, Debug, PartialEq)]
pub struct ReplaceConfigs {
    pub resources: Vec<ResourceValues>,
    pub validate_only: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ResourceValues {
    pub resource: ConfigResource,
    pub values: Vec<(String, Option<String>)>,
}

impl Command for AlterConfigs {
    /// One outcome for each resource of the command, in its order.
    type Answer = Vec<(ConfigResource, Outcome<()>)>;

    fn decide(&self, _image: &Image, _inputs: &mut Inputs<'_>) -> Decision<Self::Answer> {
        Ok(Default::default())
    }
}

impl Command for ReplaceConfigs {
    /// One outcome for each resource of the command, in its order.
    type Answer = Vec<(ConfigResource, Outcome<()>)>;

    fn decide(&self, _image: &Image, _inputs: &mut Inputs<'_>) -> Decision<Self::Answer> {
        Ok(Default::default())
    }
}
