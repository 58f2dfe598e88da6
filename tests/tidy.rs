//! The habits of this house, as a test: layers, sizes, banned calls, and the map in the README.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules of `src/`, lowest first. A module uses only modules of its own or a lower layer.
const LAYERS: &[&[&str]] = &[
    &["types", "config"],
    &["wire", "seam"],
    &["cluster"],
    &["peer", "quota"],
    &["partition"],
    &["replica", "coordinator"],
    &["api"],
    &["net"],
    &["broker", "probe"],
];

/// Longest function, in lines that are neither blank nor comment.
const FUNCTION_LINES: usize = 70;
/// Longest file, likewise, without its test module.
const FILE_LINES: usize = 450;

/// Text that must not stand in product code, and the only files that may have it.
const BANNED: &[(&str, &[&str])] = &[
    ("todo!", &[]),
    ("unimplemented!", &[]),
    ("dbg!", &[]),
    ("TODO", &[]),
    ("FIXME", &[]),
    ("allow(dead_code)", &[]),
    ("allow(unused", &[]),
    ("SystemTime::now", &["src/seam/clock.rs"]),
    ("std::time::Instant", &[]),
    ("thread::sleep", &[]),
    ("println!", &["src/main.rs"]),
];

/// Tests that stand among the sources.
const TEST_PLACES: &[&str] = &["/tests/", "/tests.rs", "/scenarios/"];

/// Crates that a lower package must not know.
const UNKNOWN_BELOW: &[(&str, &[&str])] =
    &[("storage/src", &["tokio", "kafka_protocol", "openraft"]), ("raft/src", &["kafka_protocol"])];

/// The only modules that name request and response messages.
const MESSAGE_MODULES: &[&str] = &["types", "wire", "api"];

struct Source {
    path: String,
    text: String,
    /// The text without comments and literals, up to the test module, line by line.
    code: Vec<String>,
}

#[test]
fn layers_look_down() {
    let mut wrong = vec![];
    for source in product().iter().filter(|source| source.path.starts_with("src/")) {
        let Some(own) = layer(&module_of(&source.path)) else { continue };
        for used in source.code.iter().flat_map(|line| used_modules(line)) {
            if layer(&used).is_some_and(|used| used > own) {
                wrong.push(format!("{} uses crate::{used}, which lies above it", source.path));
            }
        }
    }
    report(wrong);
}

#[test]
fn every_module_has_a_layer() {
    let known: BTreeSet<&str> = LAYERS.iter().flat_map(|layer| layer.iter().copied()).collect();
    let modules = product().into_iter().filter(|source| source.path.starts_with("src/"));
    let wrong =
        modules.map(|source| module_of(&source.path)).filter(|module| !known.contains(module.as_str()));
    report(wrong.filter(|module| !["lib", "main"].contains(&module.as_str())).collect());
}

#[test]
fn lower_packages_do_not_know_the_higher_crates() {
    let mut wrong = vec![];
    for (folder, crates) in UNKNOWN_BELOW {
        for source in product().iter().filter(|source| source.path.starts_with(folder)) {
            let uses = |name: &&&str| source.code.iter().any(|line| line.contains(&format!("{name}::")));
            wrong.extend(crates.iter().filter(uses).map(|name| format!("{} knows {name}", source.path)));
        }
    }
    report(wrong);
}

#[test]
fn messages_stay_at_the_wire() {
    let beyond = |source: &Source| {
        source.path.starts_with("src/")
            && !MESSAGE_MODULES.contains(&module_of(&source.path).as_str())
            && source.code.iter().any(|line| {
                line.contains("kafka_protocol::messages")
                    && !line.contains("kafka_protocol::messages::ApiKey;")
            })
    };
    report(product().into_iter().filter(beyond).map(|source| source.path).collect());
}

#[test]
fn functions_and_files_are_short() {
    let mut wrong = vec![];
    for source in product() {
        let lines = live(&source.code);
        if lines > FILE_LINES {
            wrong.push(format!("{} has {lines} lines of code, {FILE_LINES} are allowed", source.path));
        }
        for (name, lines) in functions(&source.code).into_iter().filter(|(_, lines)| *lines > FUNCTION_LINES)
        {
            wrong.push(format!("{}: {name} has {lines} lines, {FUNCTION_LINES} are allowed", source.path));
        }
    }
    report(wrong);
}

#[test]
fn banned_text_is_absent() {
    let mut wrong = vec![];
    for source in product() {
        for (banned, except) in BANNED {
            let product_text = source.text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
            if product_text.contains(banned) && !except.contains(&source.path.as_str()) {
                wrong.push(format!("{} has {banned}", source.path));
            }
        }
    }
    report(wrong);
}

/// A test that sleeps for seconds is slow or wrong. Hours stand for "for ever".
#[test]
fn tests_wait_for_conditions() {
    let seconds = |rest: &str| rest.chars().take_while(char::is_ascii_digit).count();
    let is_short = |rest: &str| (1..=2).contains(&seconds(rest));
    let sleeps = |source: &Source| source.text.split("sleep(Duration::from_secs(").skip(1).any(is_short);
    let tests = sources(&["tests", "storage/tests", "raft/tests"]);
    report(tests.into_iter().filter(sleeps).map(|source| source.path).collect());
}

#[test]
fn the_readme_maps_the_tree() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let missing = LAYERS.iter().flat_map(|layer| layer.iter()).filter(|module| !readme.contains(*module));
    report(missing.map(|module| format!("README.md does not mention {module}")).collect());
}

fn report(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn product() -> Vec<Source> {
    let mut all = sources(&["src", "storage/src", "raft/src"]);
    all.retain(|source| !TEST_PLACES.iter().any(|place| source.path.contains(place)));
    all
}

fn sources(folders: &[&str]) -> Vec<Source> {
    let mut paths = vec![];
    folders.iter().for_each(|folder| collect(&root().join(folder), &mut paths));
    paths.sort();
    paths.iter().map(|path| Source::read(path)).collect()
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => collect(&path, into),
            false if path.extension().is_some_and(|extension| extension == "rs") => into.push(path),
            false => {}
        }
    }
}

impl Source {
    fn read(path: &Path) -> Source {
        let text = fs::read_to_string(path).unwrap();
        let code = strip(text.split("#[cfg(test)]\nmod ").next().unwrap_or_default());
        let path = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        Source { path, text, code: code.lines().map(str::to_owned).collect() }
    }
}

fn module_of(path: &str) -> String {
    let inside = path.trim_start_matches("src/");
    inside.split('/').next().unwrap_or_default().trim_end_matches(".rs").to_owned()
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn used_modules(line: &str) -> Vec<String> {
    let name = |rest: &str| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    line.split("crate::").skip(1).map(name).collect()
}

fn live(lines: &[String]) -> usize {
    lines.iter().filter(|line| !line.trim().is_empty()).count()
}

/// Replaces comments and literals by nothing, keeping the lines.
fn strip(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = literal_or_comment(rest);
        if skipped > 0 {
            code.extend(rest[..skipped].chars().filter(|c| *c == '\n'));
            rest = &rest[skipped..];
        } else {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    code
}

/// Length of the comment, string or character literal that `text` begins with; 0 if it begins with neither.
fn literal_or_comment(text: &str) -> usize {
    let end_of = |needle: &str, from: usize| {
        text[from..].find(needle).map_or(text.len(), |at| from + at + needle.len())
    };
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return end_of("*/", 2);
    }
    if text.starts_with("r#\"") {
        return end_of("\"#", 3);
    }
    if text.starts_with('"') {
        return quoted(text, '"');
    }
    let mut chars = text.chars();
    match (chars.next(), chars.next(), chars.next()) {
        (Some('\''), Some('\\'), _) => quoted(text, '\''),
        (Some('\''), Some(c), Some('\'')) => 2 + c.len_utf8(),
        _ => 0,
    }
}

fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Name and length of each function with a body.
fn functions(code: &[String]) -> Vec<(String, usize)> {
    let mut found = vec![];
    for (at, line) in code.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        if let Some(lines) = body_lines(&code[at..]) {
            found.push((name, lines));
        }
    }
    found
}

fn function_name(line: &str) -> Option<String> {
    let at = line.find("fn ").filter(|at| *at == 0 || line[..*at].ends_with(' '))?;
    let name: String = line[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!name.is_empty()).then_some(name)
}

fn body_lines(code: &[String]) -> Option<usize> {
    let (mut depth, mut open) = (0i32, false);
    for (count, line) in code.iter().enumerate() {
        for c in line.chars() {
            match c {
                '{' => (depth, open) = (depth + 1, true),
                '}' => depth -= 1,
                ';' if !open => return None,
                _ => {}
            }
            if open && depth == 0 {
                return Some(live(&code[..=count]));
            }
        }
    }
    None
}
