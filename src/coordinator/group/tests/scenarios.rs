//! Runs `tests/scenarios/group/*.txt`. With `UPDATE=1` in the environment the expected lines are written anew.

use super::runner::Runner;
use std::fs;
use std::path::Path;

/// Lines that begin with two blanks are what the line above them leads to; `#` begins a comment.
fn run(text: &str) -> String {
    let mut runner = Runner::default();
    let mut out = String::new();
    for line in text.lines().filter(|line| !line.starts_with("  ")) {
        out.push_str(line);
        out.push('\n');
        if !line.is_empty() && !line.starts_with('#') {
            runner.run(line).iter().for_each(|said| out.push_str(&format!("  {said}\n")));
        }
    }
    out
}

#[test]
fn scenarios() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/group");
    let mut files: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 10, "scenarios are missing in {}", dir.display());
    for file in files {
        let expected = fs::read_to_string(&file).unwrap();
        let found = run(&expected);
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&file, &found).unwrap();
        } else {
            let at = expected.lines().zip(found.lines()).position(|(a, b)| a != b);
            assert_eq!(
                expected,
                found,
                "{} differs, first at line {:?}",
                file.display(),
                at.map(|at| at + 1)
            );
        }
    }
}
