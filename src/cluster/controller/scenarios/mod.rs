//! Scenarios: `tests/scenarios/controller/*.txt`, made to be read.
//!
//! A block is a command with its indented items, a line `----`, and what came of it: `! CODE` for a refusal, the
//! answer of each item, and `+` before each change. `#3` is the third id made, `2@d21` a replica on broker 2 in
//! directory 21, `epoch 4.7` leader epoch 4 and partition epoch 7. `REWRITE_SCENARIOS=1` writes what comes out into
//! the files: then read the difference.

mod input;
mod output;

use super::*;
use crate::cluster::change::Entry;
use crate::cluster::image::{Position, TopicImage};
use crate::config::{BrokerConfig, Layers, Surroundings};
use crate::types::{Now, Uuid};
use std::fs;
use std::path::Path;

/// A cluster of one test file.
pub struct World {
    pub image: Image,
    policy: Policy,
    seed: u64,
    ids_made: u128,
    pub incarnations: u128,
}

impl World {
    fn new() -> World {
        let policy = Policy { config: BrokerConfig::default(), max_partitions_per_request: 20 };
        World { image: Image::default(), policy, seed: 0, ids_made: 0, incarnations: 0 }
    }

    fn set_policy(&mut self, text: &str) {
        let pairs = text.split_whitespace().filter_map(|pair| pair.split_once('='));
        let fixed = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let layers = Layers { fixed, ..Layers::default() };
        self.policy.config =
            BrokerConfig::new(layers, Surroundings::default()).expect("a valid configuration");
    }

    pub fn topic(&self, name: &str) -> &TopicImage {
        self.image.topics.by_name(name).expect("a topic of this name")
    }

    /// Decides, has the entry travel as bytes, applies it, and says what came of it.
    pub fn submit<C: Command>(&mut self, command: C, show: impl Fn(&C::Answer) -> String) -> String {
        let (predecessor, mut made) = (self.image.last_entry, self.ids_made);
        let mut fresh_id = || {
            made += 1;
            Uuid::from_u128(made)
        };
        let mut inputs = Inputs {
            now: Now::default(),
            index: predecessor + 1,
            seed: self.seed,
            fresh_id: &mut fresh_id,
            policy: &self.policy,
        };
        let decision = command.decide(&self.image, &mut inputs);
        self.ids_made = made;
        match decision {
            Err(code) => format!("! {code:?}\n"),
            Ok((changes, answer)) => {
                let before = self.image.clone();
                self.commit(Entry { term: 1, predecessor, changes: changes.clone() });
                let changes = changes.iter().map(|change| output::change(change, &before, &self.image));
                show(&answer) + &changes.collect::<String>()
            }
        }
    }

    fn commit(&mut self, entry: Entry) {
        if entry.changes.is_empty() {
            return;
        }
        let read = Entry::decode(&entry.encode()).expect("what was encoded");
        assert_eq!(read, entry);
        let at = Position { index: entry.predecessor + 1, term: 1 };
        assert_eq!(self.image.apply_entry(at, &read), Ok(Ok(())));
        let mut snapshot = Vec::new();
        self.image.write_snapshot(&mut snapshot).expect("memory");
        assert_eq!(Image::read_snapshot(&snapshot).expect("what was written"), self.image);
    }

    fn run(&mut self, command: &str) -> String {
        let (first, items) = command.split_once('\n').unwrap_or((command, ""));
        let (verb, rest) = first.split_once(' ').unwrap_or((first, ""));
        match verb {
            "policy" => self.set_policy(rest),
            "seed" => self.seed = rest.parse().expect("a number"),
            _ => return input::submit(self, verb, rest, items),
        }
        String::new()
    }
}

/// The file's text with the output that its commands have now.
fn replay(text: &str) -> String {
    let mut world = World::new();
    let blocks = text.trim_end().split("\n\n").map(|block| {
        let lines: Vec<_> = block.lines().take_while(|line| *line != "----").collect();
        let command: Vec<_> = lines.iter().copied().filter(|line| !line.starts_with("# ")).collect();
        let output = if command.is_empty() { String::new() } else { world.run(&command.join("\n")) };
        let rule = if output.is_empty() { "" } else { "----\n" };
        format!("{}\n{rule}{output}", lines.join("\n"))
    });
    blocks.collect::<Vec<_>>().join("\n")
}

#[test]
fn scenarios_come_out_as_written() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/controller");
    let mut files: Vec<_> =
        fs::read_dir(dir).expect("the scenarios").map(|file| file.expect("a file").path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let written = fs::read_to_string(&file).expect("a text");
        let found = replay(&written);
        if std::env::var_os("REWRITE_SCENARIOS").is_some() {
            fs::write(&file, &found).expect("a writable tree");
        } else if let Some((line, (written, found))) =
            written.lines().zip(found.lines()).enumerate().find(|(_, (written, found))| written != found)
        {
            panic!("{}:{}: expected\n  {written}\nfound\n  {found}", file.display(), line + 1);
        } else {
            assert_eq!(written, found, "{}", file.display());
        }
    }
}
