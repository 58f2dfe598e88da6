//! One value against its row of the table.

use std::fmt;

use super::key::{Key, Kind, Rule, Scope};

/// A value that fits its key.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Bool(bool),
    Number(i64),
    Ratio(f64),
    Text(String),
    List(Vec<String>),
}

/// Why a configuration is refused; the text is for whoever wrote it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    #[error("unknown {scope} configuration: {name}")]
    Unknown { scope: Scope, name: String },
    /// Never a password: any text fits one, so that none can get into a message.
    #[error("invalid value {value:?} for {name}: expected {expected}")]
    Value { name: String, value: String, expected: String },
    /// Values that are right alone and wrong together; `name` is one to change.
    #[error("{why}")]
    Conflict { name: &'static str, why: String },
    #[error("{name} can only be changed by a restart")]
    ReadOnly { name: String },
    #[error("{name} can only be changed for one broker, not as the default of all")]
    PerBroker { name: String },
    #[error("{name} can only be changed for one listener, as listener.name.<listener>.{name}")]
    PerListener { name: String },
    #[error("{name} is not a list: nothing can be appended to it or taken from it")]
    NotAList { name: String },
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scope::Broker => "broker",
            Scope::Topic => "topic",
            Scope::Group => "group",
            Scope::ClientMetrics => "client metrics",
        })
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bool(yes) => write!(f, "{yes}"),
            Value::Number(number) => write!(f, "{number}"),
            // Java writes a capital E.
            Value::Ratio(ratio) => f.write_str(&format!("{ratio:?}").replace('e', "E")),
            Value::Text(text) => f.write_str(text),
            Value::List(items) => f.write_str(&items.join(",")),
        }
    }
}

/// Reads `text` as a value of `key`. White space around it does not count.
pub fn check(key: &Key, text: &str) -> Result<Value, Invalid> {
    let value = parse(key.kind, text.trim()).map(|value| without_repeats(key, value));
    value.filter(|value| fits(key, value)).ok_or_else(|| Invalid::Value {
        name: key.name.into(),
        value: text.into(),
        expected: expected(key),
    })
}

/// The parts between commas.
pub fn split_list(text: &str) -> Vec<String> {
    match text.trim() {
        "" => Vec::new(),
        text => text.split(',').map(|item| item.trim().to_owned()).collect(),
    }
}

fn parse(kind: Kind, text: &str) -> Option<Value> {
    match kind {
        Kind::Bool if text.eq_ignore_ascii_case("true") => Some(Value::Bool(true)),
        Kind::Bool if text.eq_ignore_ascii_case("false") => Some(Value::Bool(false)),
        Kind::Bool => None,
        Kind::Int | Kind::Short | Kind::Long => text.parse().ok().map(Value::Number),
        Kind::Double => text.parse().ok().filter(|ratio: &f64| !ratio.is_nan()).map(Value::Ratio),
        Kind::Text | Kind::Class | Kind::Password => Some(Value::Text(text.into())),
        Kind::List => Some(Value::List(split_list(text))),
    }
}

/// A choice of words holds each word once; other lists may repeat.
fn without_repeats(key: &Key, value: Value) -> Value {
    match value {
        Value::List(mut items) if matches!(key.rule, Rule::OneOf(_)) => {
            let mut seen = std::collections::BTreeSet::new();
            items.retain(|item| seen.insert(item.clone()));
            Value::List(items)
        }
        other => other,
    }
}

fn fits(key: &Key, value: &Value) -> bool {
    match (value, key.rule) {
        (Value::Number(level), Rule::GzipLevel) => *level == -1 || (1..=9).contains(level),
        (Value::Number(number), _) => bounds(key).contains(number),
        (Value::Ratio(ratio), Rule::Ratio(most)) => (0.0..=most).contains(ratio),
        (Value::Text(text), Rule::OneOf(words)) => words.contains(&text.as_str()),
        (Value::Text(text), Rule::AnyCase(words)) => words.iter().any(|word| word.eq_ignore_ascii_case(text)),
        (Value::Text(text), Rule::OffsetReset) => is_offset_reset(text),
        (Value::List(items), Rule::OneOf(words)) => items.iter().all(|item| words.contains(&item.as_str())),
        (Value::List(items), Rule::ThrottledReplicas) => {
            *items == ["*"] || items.iter().all(|i| is_replica(i))
        }
        _ => true,
    }
}

fn bounds(key: &Key) -> std::ops::RangeInclusive<i64> {
    let (least, most) = match key.kind {
        Kind::Int => (i64::from(i32::MIN), i64::from(i32::MAX)),
        Kind::Short => (i64::from(i16::MIN), i64::from(i16::MAX)),
        _ => (i64::MIN, i64::MAX),
    };
    match key.rule {
        Rule::AtLeast(least) => least..=most,
        Rule::Between(least, most) => least..=most,
        _ => least..=most,
    }
}

fn is_replica(item: &str) -> bool {
    item.split_once(':').is_some_and(|(partition, broker)| [partition, broker].iter().all(|n| is_digits(n)))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_offset_reset(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    lower == "earliest" || lower == "latest" || lower.strip_prefix("by_duration:").is_some_and(is_duration)
}

/// An ISO-8601 duration of days, hours, minutes and seconds: `p1dt2h3m4.5s`.
fn is_duration(text: &str) -> bool {
    let Some(body) = text.strip_prefix('p') else { return false };
    let (days, time) = body.split_once('t').map_or((body, None), |(days, time)| (days, Some(time)));
    let fields = |text: &str, units: &str| {
        let mut units = units.chars();
        let parts = text.split_inclusive(|c: char| c.is_ascii_alphabetic());
        parts.into_iter().all(|part| {
            let mut number = part.chars();
            let unit = number.next_back();
            unit.is_some_and(|unit| units.any(|u| u == unit)) && number.as_str().parse::<f64>().is_ok()
        })
    };
    let whole = !body.is_empty() && time.is_none_or(|time| !time.is_empty());
    whole && fields(days, "d") && fields(time.unwrap_or(""), "hms")
}

/// What a value must be, as the end of a sentence.
pub fn expected(key: &Key) -> String {
    match (key.kind, key.rule) {
        (Kind::Bool, _) => "true or false".into(),
        (Kind::Int | Kind::Short | Kind::Long, Rule::GzipLevel) => "-1 or a whole number from 1 to 9".into(),
        (Kind::Int | Kind::Short | Kind::Long, _) => expected_number(key),
        (Kind::Double, Rule::Ratio(most)) => format!("a number from 0 to {most}"),
        (Kind::Double, _) => "a number".into(),
        (Kind::List, Rule::OneOf(words)) => format!("a list of {}", words.join(", ")),
        (_, Rule::OneOf(words) | Rule::AnyCase(words)) => format!("one of {}", words.join(", ")),
        (_, Rule::ThrottledReplicas) => "* or a list of partition:broker".into(),
        (_, Rule::OffsetReset) => "earliest, latest or by_duration: and a duration like PT1H".into(),
        (Kind::List, _) => "a list".into(),
        _ => "text".into(),
    }
}

fn expected_number(key: &Key) -> String {
    let bounds = bounds(key);
    match (*bounds.start(), *bounds.end()) {
        (i64::MIN, i64::MAX) => "a whole number".into(),
        (least, i64::MAX) => format!("a whole number of at least {least}"),
        (least, most) => format!("a whole number from {least} to {most}"),
    }
}
