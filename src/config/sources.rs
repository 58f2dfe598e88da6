//! Where settings are written down: file, environment, command line.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use java_properties::{LineContent, PropertiesError, PropertiesIter};

/// Names that begin like settings and belong to the apache/kafka image or to Kafka's start scripts.
const NOT_SETTINGS: &[&str] = &[
    "KAFKA_DEBUG",
    "KAFKA_GC_LOG_OPTS",
    "KAFKA_HEAP_OPTS",
    "KAFKA_HOME",
    "KAFKA_JMX_HOSTNAME",
    "KAFKA_JMX_OPTS",
    "KAFKA_JMX_PORT",
    "KAFKA_JVM_PERFORMANCE_OPTS",
    "KAFKA_LOG4J_LOGGERS",
    "KAFKA_LOG4J_OPTS",
    "KAFKA_LOG4J_ROOT_LOGLEVEL",
    "KAFKA_LOG_LEVEL",
    "KAFKA_OPTS",
    "KAFKA_TOOLS_LOG4J_LOGLEVEL",
    "KAFKA_VERSION",
];

/// Where a setting was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    File { path: PathBuf, line: usize },
    Environment(String),
    CommandLine,
}

/// One setting as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub key: String,
    pub value: String,
    pub origin: Origin,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { path, line } => write!(f, "{}, line {line}", path.display()),
            Origin::Environment(name) => write!(f, "environment {name}"),
            Origin::CommandLine => write!(f, "--override"),
        }
    }
}

/// The settings of a properties file in their order; `Err` is one line for the operator.
pub(super) fn from_file(path: &Path, content: impl Read) -> Result<Vec<Setting>, String> {
    let mut settings = Vec::new();
    for line in PropertiesIter::new(content) {
        let line = line.map_err(|why| unreadable(path, &why))?;
        let number = line.line_number();
        if let LineContent::KVPair(key, value) = line.consume_content() {
            let origin = Origin::File { path: path.into(), line: number };
            settings.push(Setting { key, value, origin });
        }
    }
    Ok(settings)
}

/// Escapes are all that can be malformed in such a file.
fn unreadable(path: &Path, why: &PropertiesError) -> String {
    match why.line_number() {
        Some(line) => format!("{}, line {line}: malformed \\uxxxx escape", path.display()),
        None => format!("cannot read {}: {why}", path.display()),
    }
}

/// The settings among environment variables, by name.
pub(super) fn from_environment(variables: impl IntoIterator<Item = (String, String)>) -> Vec<Setting> {
    let setting = |(name, value): (String, String)| {
        let key = key_of(&name)?;
        Some(Setting { key, value, origin: Origin::Environment(name) })
    };
    let mut settings: Vec<_> = variables.into_iter().filter_map(setting).collect();
    settings.sort_by(|a, b| a.key.cmp(&b.key));
    settings
}

/// The key that an environment name stands for: `___` is a hyphen, `__` an underscore, `_` a dot.
fn key_of(name: &str) -> Option<String> {
    let rest =
        name.strip_prefix("KAFKA_").filter(|rest| !rest.is_empty() && !NOT_SETTINGS.contains(&name))?;
    Some(rest.to_lowercase().replace("___", "-").replace("__", "\0").replace('_', ".").replace('\0', "_"))
}

pub(super) fn from_command_line(overrides: &[(String, String)]) -> Vec<Setting> {
    let setting = |(key, value): &(String, String)| Setting {
        key: key.clone(),
        value: value.clone(),
        origin: Origin::CommandLine,
    };
    overrides.iter().map(setting).collect()
}
