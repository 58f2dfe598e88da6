//! Kafka's own tools against a broker of this build, held to `tests/scenarios/tools/*.txt`.
//!
//! A scenario is a list of commands, each with what it must print:
//!
//! ```text
//! kafka-topics --list           the command; `! ` before it means that it must fail, and what follows is searched in all it says
//! < a line                      for its stdin; \t is a tab
//! ----
//! orders                        its lines, with spaces collapsed and empty lines left out; * is any text, ... any lines
//! ```
//!
//! `{address}`, `{port}`, `{data}`, `{deletions}` and `{moves}` stand for this broker's own.

mod support;

use std::path::Path;
use support::broker::Broker;
use support::kafka::{LIMIT, kafka_home, script, tool};
use support::process::{Output, Running, wait_until};
use support::tool_server::shared_tool;

#[test]
fn topics() {
    play("topics");
}

#[test]
fn configs() {
    play("configs");
}

#[test]
fn console() {
    play("console");
}

#[test]
fn groups() {
    play("groups");
}

#[test]
fn offsets() {
    play("offsets");
}

#[test]
fn performance() {
    play("performance");
}

#[test]
fn leaders() {
    play("leaders");
}

#[test]
fn cluster() {
    play("cluster");
}

/// Two programs that run until they are told to stop, and what the group tool says of them meanwhile.
#[test]
fn verifiable_clients() {
    let Some(home) = kafka_home() else { return };
    let broker = Broker::start(&[("offsets.topic.num.partitions", "4")]);
    let address = broker.address();
    let bootstrap = ["--bootstrap-server", address.as_str()];
    let mut consumer = script(&home, "kafka-verifiable-consumer");
    consumer.args(bootstrap).args(["--topic", "verified", "--group-id", "verifiers"]);
    consumer.args(["--group-instance-id", "first", "--reset-policy", "earliest"]);
    let mut consumer = Running::start(&mut consumer, &broker.scratch().join("consumer.log"));
    let base = ["--topic", "verified", "--max-messages", "100", "--message-create-time", "1600000000000"];
    let sent = tool("kafka-verifiable-producer", &[bootstrap.as_slice(), &base].concat(), "").ok();
    assert_eq!(sent.matches("producer_send_success").count(), 100, "{sent}");
    assert!(sent.contains(r#""sent":100,"acked":100"#), "{sent}");
    let group = |what: &str| {
        let args = [bootstrap.as_slice(), &["--describe", "--group", "verifiers", what]].concat();
        lines(&shared_tool("kafka-consumer-groups", &args, "").ok())
    };
    wait_until("all is consumed and committed", LIMIT, || {
        group("--offsets").iter().any(|line| like(line, "verifiers verified 0 100 100 0 first-*"))
    });
    let is_member = |line: &String| like(line, "verifiers first-* 1");
    assert!(group("--members").iter().any(is_member), "{:?}", group("--members"));
    assert!(group("--state").iter().any(|line| like(line, "verifiers * (1) range Stable 1")));
    consumer.terminate(LIMIT);
    assert!(consumer.said().contains(r#""name":"shutdown_complete""#));
    let by_time = |time: &str| {
        let args = [bootstrap.as_slice(), &["--topic", "verified", "--time", time]].concat();
        lines(&shared_tool("kafka-get-offsets", &args, "").ok())
    };
    assert_eq!(by_time("1600000000000"), ["verified:0:0"]);
    assert_eq!(by_time("1700000000000"), [""; 0]);
}

struct Step<'a> {
    line: usize,
    command: &'a str,
    fails: bool,
    stdin: String,
    expected: Vec<&'a str>,
}

fn play(name: &str) {
    if kafka_home().is_none() {
        return;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/scenarios/tools/{name}.txt"));
    let text = std::fs::read_to_string(&path).unwrap();
    let broker = Broker::start(&[("offsets.topic.num.partitions", "4")]);
    let text = filled_in(&text, &broker);
    for step in steps(&text) {
        let begun = std::time::Instant::now();
        let output = step.run(&broker);
        println!("{:?} {}", begun.elapsed(), step.command);
        if let Err(why) = step.check(&output) {
            panic!("{}:{}: {why}\n{output}", path.display(), step.line);
        }
    }
}

fn filled_in(text: &str, broker: &Broker) -> String {
    let deletions = broker.scratch().join("deletions.json");
    let json = r#"{"version": 1, "partitions": [{"topic": "orders", "partition": 0, "offset": 2}]}"#;
    std::fs::write(&deletions, json).unwrap();
    let moves = broker.scratch().join("moves.json");
    let json = r#"{"version": 1, "partitions": [{"topic": "orders", "partition": 0, "replicas": [1]}]}"#;
    std::fs::write(&moves, json).unwrap();
    text.replace("{address}", &broker.address())
        .replace("{port}", &broker.port().to_string())
        .replace("{data}", &broker.data().display().to_string())
        .replace("{deletions}", &deletions.display().to_string())
        .replace("{moves}", &moves.display().to_string())
}

fn steps(text: &str) -> Vec<Step<'_>> {
    let mut steps: Vec<Step> = vec![];
    let mut asking = true;
    for (at, line) in text.lines().enumerate() {
        match (line, steps.last_mut()) {
            ("", _) => asking = true,
            (comment, _) if comment.starts_with("# ") => {}
            ("----", _) => asking = false,
            (line, Some(step)) if !asking => step.expected.push(line),
            (line, Some(step)) if line.starts_with("< ") => {
                step.stdin += &(line[2..].replace("\\t", "\t") + "\n");
            }
            (line, _) => steps.push(Step::new(at + 1, line)),
        }
    }
    steps
}

impl<'a> Step<'a> {
    fn new(line: usize, text: &'a str) -> Step<'a> {
        let command = text.strip_prefix("! ").unwrap_or(text);
        Step { line, command, fails: command != text, stdin: String::new(), expected: vec![] }
    }

    fn run(&self, broker: &Broker) -> Output {
        let mut words = self.command.split_whitespace();
        let name = words.next().unwrap_or_default();
        let mut args: Vec<&str> = words.collect();
        let address = broker.address();
        if !args.contains(&"--bootstrap-server") {
            // A subcommand comes first, and options with many values stay last.
            let at = args.iter().position(|arg| arg.starts_with("--")).unwrap_or(args.len());
            args.splice(at..at, ["--bootstrap-server", address.as_str()]);
        }
        shared_tool(name, &args, &self.stdin)
    }

    fn check(&self, output: &Output) -> Result<(), String> {
        if output.status.success() == self.fails {
            return Err("it ended otherwise than expected".into());
        }
        let expected: Vec<String> = self.expected.iter().map(|line| collapsed(line)).collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        if self.fails {
            let said = lines(&(output.out.clone() + &output.err));
            return expected.iter().try_for_each(|pattern| {
                let found = said.iter().any(|line| like(line, pattern));
                found.then_some(()).ok_or_else(|| format!("it does not say {pattern}"))
            });
        }
        let printed = lines(&output.out);
        let printed: Vec<&str> = printed.iter().map(String::as_str).collect();
        agree(&printed, &expected).then_some(()).ok_or_else(|| format!("expected\n{}\n", expected.join("\n")))
    }
}

fn collapsed(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Lines that say something.
fn lines(text: &str) -> Vec<String> {
    text.lines().map(collapsed).filter(|line| !line.is_empty()).collect()
}

fn agree(lines: &[&str], patterns: &[&str]) -> bool {
    match (lines, patterns) {
        ([], []) => true,
        (_, ["...", rest @ ..]) => (0..=lines.len()).any(|skip| agree(&lines[skip..], rest)),
        ([line, lines @ ..], [pattern, rest @ ..]) => like(line, pattern) && agree(lines, rest),
        _ => false,
    }
}

/// True if `text` is `pattern`, in which each `*` stands for any text.
fn like(text: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None => text == pattern,
        Some((before, rest)) => text.strip_prefix(before).is_some_and(|text| {
            let mut ends = (0..=text.len()).filter(|at| text.is_char_boundary(*at));
            ends.any(|at| like(&text[at..], rest))
        }),
    }
}
