use crate::config::{BrokerConfig, Described, Layers, Overrides, Surroundings};

#[derive(Default)]
struct State {
    layers: Layers,
    topic: Overrides,
    group: Overrides,
}

impl State {
    fn set(&mut self, mark: &str, assignment: &str) {
        let (key, value) = assignment.split_once('=').unwrap();
        let layer = match mark {
            "fixed|" => &mut self.layers.fixed,
            "default|" => &mut self.layers.default,
            "own|" => &mut self.layers.own,
            "topic|" => &mut self.topic,
            "group|" => &mut self.group,
            other => panic!("{other}"),
        };
        layer.insert(key.into(), value.into());
    }

    fn describe(&self, what: &str, key: &str) -> String {
        let config = BrokerConfig::new(self.layers.clone(), Surroundings::default()).unwrap();
        let all = match what {
            "broker" => config.describe(),
            "cluster" => config.describe_cluster_default(),
            "topic" => config.describe_topic(&self.topic),
            "group" => config.describe_group(&self.group),
            other => panic!("{other}"),
        };
        all.iter().find(|described| described.name == key).map_or("missing".into(), show)
    }
}

fn show(described: &Described) -> String {
    let mut line = described.value.clone().unwrap_or("none".into());
    for synonym in &described.synonyms {
        let value = synonym.value.as_ref().map_or(String::new(), |value| format!("={value}"));
        line += &format!(" < {} {}{value}", synonym.source as i32, synonym.name);
    }
    let source = described.synonyms.first().map_or(5, |first| first.source as i32);
    assert_eq!(described.source as i32, source, "{line}");
    line
}

#[test]
fn scenarios_hold() {
    let (mut title, mut state) = ("", State::default());
    for line in include_str!("resolve.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let (mark, rest) = line.split_once(' ').unwrap();
        match mark {
            "==" => (title, state) = (rest, State::default()),
            _ if mark.ends_with('|') => state.set(mark, rest),
            what => {
                let (key, expected) = rest.split_once(": ").unwrap();
                assert_eq!(state.describe(what, key), expected, "{title}: {key}");
            }
        }
    }
}
