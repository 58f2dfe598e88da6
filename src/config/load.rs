//! From what was written to what is in effect, with a clear line for all that is wrong.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::Path;

use super::broker::{BrokerConfig, Surroundings};
use super::check::{Invalid, check};
use super::key::Scope;
use super::layers::{Layers, Overrides};
use super::sources::{Setting, from_command_line, from_environment, from_file};
use super::{Args, keys};

/// A configuration to start with.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    pub config: BrokerConfig,
    /// `CLUSTER_ID` of the environment: the id that a new cluster gets and an existing one must have.
    pub cluster_id: Option<String>,
    /// One line each, for the log.
    pub warnings: Vec<String>,
}

/// Why there is no configuration to start with: one line for each thing to mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(pub Vec<String>);

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

/// Reads the file, `variables` and the command line, and checks them.
pub fn load(
    args: &Args,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Loaded, ConfigError> {
    let file =
        args.file.as_deref().map_or(Ok(Vec::new()), read_file).map_err(|why| ConfigError(vec![why]))?;
    // What is no text fits no key either: the check will say so.
    let text = |(name, value): (OsString, OsString)| {
        (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
    };
    load_with(file, variables.into_iter().map(text).collect(), &args.overrides, surroundings())
}

pub(super) fn load_with(
    file: Vec<Setting>,
    variables: Vec<(String, String)>,
    overrides: &[(String, String)],
    surroundings: Surroundings,
) -> Result<Loaded, ConfigError> {
    let cluster_id =
        variables.iter().find(|(name, _)| name == "CLUSTER_ID").map(|(_, id)| id.trim().to_owned());
    let settings = [file, from_environment(variables), from_command_line(overrides)].concat();
    let loaded = settle(settings, surroundings)?;
    Ok(Loaded { cluster_id: cluster_id.filter(|id| !id.is_empty()), ..loaded })
}

fn read_file(path: &Path) -> Result<Vec<Setting>, String> {
    let content = fs::read(path).map_err(|why| format!("cannot read {}: {why}", path.display()))?;
    from_file(path, content.as_slice())
}

fn surroundings() -> Surroundings {
    Surroundings {
        host_name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        working_dir: std::env::current_dir().unwrap_or_default(),
    }
}

/// Of several settings of a key the last holds, as `settings` go from the weakest source to the strongest.
fn settle(settings: Vec<Setting>, surroundings: Surroundings) -> Result<Loaded, ConfigError> {
    let settings: BTreeMap<_, _> =
        settings.into_iter().map(|setting| (setting.key.clone(), setting)).collect();
    let wrong: Vec<_> = settings.values().filter_map(malformed).collect();
    if !wrong.is_empty() {
        return Err(ConfigError(wrong));
    }
    let fixed = settings.values().map(|setting| (setting.key.clone(), setting.value.clone())).collect();
    let layers = Layers { fixed: with_both_ids(fixed), ..Layers::default() };
    let config = BrokerConfig::new(layers, surroundings).map_err(|why| explain(&settings, &why))?;
    Ok(Loaded { config, cluster_id: None, warnings: warnings(&settings) })
}

/// `node.id` and its older name say the same: tools read either.
fn with_both_ids(mut fixed: Overrides) -> Overrides {
    if let Some(id) = fixed.get("node.id").or(fixed.get("broker.id")).cloned() {
        for name in ["node.id", "broker.id"] {
            fixed.entry(name.into()).or_insert_with(|| id.clone());
        }
    }
    fixed
}

fn malformed(setting: &Setting) -> Option<String> {
    let key = keys::find(Scope::Broker, &setting.key)?;
    let why = check(key, &setting.value).err()?;
    Some(format!("{why} ({})", setting.origin))
}

fn explain(settings: &BTreeMap<String, Setting>, why: &Invalid) -> ConfigError {
    let name = match why {
        Invalid::Conflict { name, .. } => name,
        Invalid::Unknown { name, .. }
        | Invalid::Value { name, .. }
        | Invalid::ReadOnly { name }
        | Invalid::PerBroker { name }
        | Invalid::PerListener { name }
        | Invalid::NotAList { name } => name.as_str(),
    };
    let origin = settings.get(name).map_or(String::new(), |setting| format!(" ({})", setting.origin));
    ConfigError(vec![format!("{why}{origin}")])
}

fn warnings(settings: &BTreeMap<String, Setting>) -> Vec<String> {
    let known = |name: &str| keys::find(Scope::Broker, name);
    let idle = |name: &&String| known(name).map_or(keys::is_prefixed(name), |key| !key.acted_on());
    let idle: Vec<_> = settings.keys().filter(idle).cloned().collect();
    let unknown = settings.values().filter(|s| known(&s.key).is_none() && !keys::is_prefixed(&s.key));
    let unknown = unknown.map(|s| format!("unknown setting, ignored: {} ({})", s.key, s.origin));
    let idle = (!idle.is_empty()).then(|| format!("settings without effect yet: {}", idle.join(", ")));
    unknown.chain(idle).collect()
}
