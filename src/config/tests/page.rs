//! The tables of `docs/configuration.md` are the table of keys.

use std::fmt::Write;
use std::path::Path;

use crate::config::{Key, Kind, Mode, Rule, Scope, expected, keys};

const BEGIN: &str = "<!-- keys: begin";
const END: &str = "<!-- keys: end -->";

fn tables() -> String {
    let mut page = String::new();
    broker_table(&mut page);
    inherited_table(&mut page, "Topic keys", Scope::Topic);
    for (title, scope) in [
        ("Broker keys without effect yet", Scope::Broker),
        ("Topic keys without effect yet", Scope::Topic),
        ("Group keys without effect yet", Scope::Group),
        ("Client metrics keys without effect yet", Scope::ClientMetrics),
    ] {
        names(&mut page, title, scope);
    }
    page
}

fn broker_table(page: &mut String) {
    *page += "\n## Broker keys\n\n| key | default | value | changes at run time | |\n|---|---|---|---|---|\n";
    for key in keys::of(Scope::Broker).filter(|key| key.acted_on() && !key.internal) {
        let mode = match key.mode {
            Mode::ReadOnly => "",
            Mode::PerBroker => "per broker",
            Mode::ClusterWide => "yes",
        };
        let (default, value) = (default(key), value(key));
        writeln!(page, "| `{}` | {default} | {value} | {mode} | {} |", key.name, key.doc).unwrap();
    }
}

fn inherited_table(page: &mut String, title: &str, scope: Scope) {
    write!(page, "\n## {title}\n\n| key | default | value | broker key | |\n|---|---|---|---|---|\n")
        .unwrap();
    for key in keys::of(scope).filter(|key| key.acted_on() && !key.internal) {
        let broker = key.broker.map_or(String::new(), |name| format!("`{name}`"));
        let (default, value) = (default(key), value(key));
        writeln!(page, "| `{}` | {default} | {value} | {broker} | {} |", key.name, key.doc).unwrap();
    }
}

fn names(page: &mut String, title: &str, scope: Scope) {
    let idle = keys::of(scope).filter(|key| !key.acted_on());
    let names: Vec<_> = idle.map(|key| format!("`{}`", key.name)).collect();
    write!(page, "\n## {title}\n\n{}\n", names.join(", ")).unwrap();
}

fn default(key: &Key) -> String {
    let text = match (key.default, key.kind) {
        (Some(number), Kind::Long) if number == i64::MAX.to_string() => "no limit".into(),
        (Some(number), Kind::Int) if number == i32::MAX.to_string() => "no limit".into(),
        (Some(text), _) if !text.is_empty() => format!("`{text}`"),
        _ => String::new(),
    };
    text.replace(',', ", ")
}

/// What fits, without the bounds that a type has of itself.
fn value(key: &Key) -> String {
    match (key.kind, key.rule) {
        (Kind::Int | Kind::Short | Kind::Long, Rule::Any) => "a whole number".into(),
        (Kind::Int | Kind::Short | Kind::Long, Rule::AtLeast(least)) => format!("at least {least}"),
        (Kind::Text, Rule::Any) => "text".into(),
        _ => expected(key),
    }
}

#[test]
fn configuration_page_shows_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (intro, rest) = page.split_once(BEGIN).unwrap();
    let (mark, _) = rest.split_once('\n').unwrap();
    let wanted = format!("{intro}{BEGIN}{mark}\n{}\n{END}\n", tables());
    if std::env::var_os("DRAVE_BLESS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let page = std::fs::read_to_string(&path).unwrap();
    assert!(page == wanted, "docs/configuration.md is not what the table says; DRAVE_BLESS=1 rewrites it");
}
