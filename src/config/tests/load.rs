use crate::config::broker::Surroundings;
use crate::config::load::{ConfigError, Loaded, load_with};
use crate::config::sources::from_file;

#[derive(Default)]
struct Scenario<'a> {
    title: &'a str,
    file: String,
    env: Vec<(String, String)>,
    args: Vec<(String, String)>,
    values: Vec<(&'a str, &'a str)>,
    warnings: Vec<String>,
    errors: Vec<String>,
}

fn scenarios(text: &str) -> Vec<Scenario<'_>> {
    let mut all: Vec<Scenario<'_>> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (mark, rest) = line.split_once(' ').unwrap();
        if mark == "==" {
            all.push(Scenario { title: rest, ..Scenario::default() });
            continue;
        }
        let scenario = all.last_mut().unwrap();
        match mark {
            "file|" => scenario.file += &format!("{rest}\n"),
            "env|" => scenario.env.push(pair(rest)),
            "arg|" => scenario.args.push(pair(rest)),
            "=" => scenario.values.push(rest.split_once(' ').unwrap()),
            "?" => scenario.warnings.push(rest.into()),
            "!" => scenario.errors.push(rest.into()),
            other => panic!("{other}"),
        }
    }
    all
}

fn pair(text: &str) -> (String, String) {
    let (name, value) = text.split_once('=').unwrap();
    (name.into(), value.into())
}

fn run(scenario: &Scenario<'_>) -> Result<Loaded, ConfigError> {
    let file = from_file("server.properties".as_ref(), scenario.file.as_bytes());
    let file = file.map_err(|why| ConfigError(vec![why]))?;
    let surroundings = Surroundings { host_name: "host".into(), working_dir: "/cwd".into() };
    load_with(file, scenario.env.clone(), &scenario.args, surroundings)
}

#[test]
fn scenarios_hold() {
    for scenario in scenarios(include_str!("load.txt")) {
        let outcome = run(&scenario);
        let errors = outcome.as_ref().err().map_or(Vec::new(), |ConfigError(lines)| lines.clone());
        assert_eq!(errors, scenario.errors, "{}", scenario.title);
        let Ok(loaded) = outcome else { continue };
        assert_eq!(loaded.warnings, scenario.warnings, "{}", scenario.title);
        let described = loaded.config.describe();
        for (name, value) in &scenario.values {
            let found = described.iter().find(|d| d.name == *name).and_then(|d| d.value.as_deref());
            assert_eq!(found, Some(*value), "{}: {name}", scenario.title);
        }
    }
}
