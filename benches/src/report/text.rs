//! What a record says, as Markdown.

use super::compare::{Rounds, is_met, reached};
use super::plots::Image;
use super::table::{Table, factor, number, spread};
use crate::record::Record;
use crate::system::Kind;
use crate::work::{Bed, Bound, Goal, Work};
use std::collections::BTreeMap;
use std::fmt::Write;

/// The whole of it: where it was measured, each piece of work, the plots that are no single work's, and the goals.
pub fn all(record: &Record, beds: &[Bed], images: &[Image]) -> String {
    let mut text = about(record);
    for bed in beds {
        text += &of_bed(record, bed, images);
    }
    for image in images.iter().filter(|image| image.work.is_none()) {
        let _ = write!(text, "\n### {}\n\n{}", image.title, shown(image));
    }
    let _ = write!(text, "\n### Goals\n\n{}", goals(record, beds));
    text
}

fn about(record: &Record) -> String {
    let machine = &record.machine;
    let gib = number(machine.memory_mib as f64 / 1024.0);
    let versions = machine.versions.iter().map(|(name, version)| format!("{name} {}", bare(version)));
    let versions: Vec<String> = versions.collect();
    let mut text = String::new();
    if record.quick {
        text += "**A quick run, which shows whether everything works: its figures mean little.**\n\n";
    }
    let _ = writeln!(text, "- {}, {} cores, {gib} GiB, Linux {}", machine.cpu, machine.cores, machine.kernel);
    let _ = writeln!(text, "- {}", versions.join(", "));
    let _ = writeln!(text, "- {}, {}", machine.day, counted_rounds(record));
    text
}

/// A program's version without its name in front.
fn bare(version: &str) -> &str {
    version.rsplit(' ').next().unwrap_or_default()
}

/// What takes long is done in fewer rounds than the rest.
fn counted_rounds(record: &Record) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for round in &record.rounds {
        let count = counts.entry(&round.work).or_default();
        *count = (*count).max(round.round + 1);
    }
    let (fewest, most) = (counts.values().min().unwrap_or(&0), counts.values().max().unwrap_or(&0));
    let range = if fewest == most { most.to_string() } else { format!("{fewest} to {most}") };
    format!("{range} round{} of each work", if *most == 1 { "" } else { "s" })
}

fn of_bed(record: &Record, bed: &Bed, images: &[Image]) -> String {
    let mut text = String::new();
    for work in bed.works {
        let rounds = Rounds::of(record, work.id);
        if rounds.is_empty() {
            continue;
        }
        if text.is_empty() {
            let _ = writeln!(text, "\n### {}", bed.title);
        }
        let _ = write!(text, "\n#### {}\n\n{}{}", work.title, figures(work, &rounds), failures(&rounds));
        for image in images.iter().filter(|image| image.work == Some(work.id)) {
            let _ = write!(text, "\n{}", shown(image));
        }
    }
    text
}

fn shown(image: &Image) -> String {
    format!("![{}]({}/{})\n", image.title, super::PLOTS, image.file)
}

/// A line for each system, and one for what Drave comes to beside each other.
fn figures(work: &Work, rounds: &Rounds<'_>) -> Table {
    let drave = Kind::Drave.name();
    let mut table = Table::new([""].iter().chain(work.columns));
    let systems = rounds.systems();
    let mut line = |name: String, cell: &dyn Fn(&str) -> String| {
        table.push([name].into_iter().chain(work.columns.iter().map(|column| cell(column))));
    };
    for system in &systems {
        let absent = || if rounds.failed(system).is_some() { "failed".into() } else { spread(None) };
        let cell =
            |column: &str| rounds.figure(system, column).map_or_else(absent, |figure| spread(Some(figure)));
        line((*system).into(), &cell);
    }
    if systems.contains(&drave) {
        for other in systems.iter().filter(|system| **system != drave) {
            line(format!("{drave} ÷ {other}"), &|column| spread(rounds.ratio(column, drave, other)));
        }
    }
    table
}

/// A line for each system that did not get through all its rounds.
fn failures(rounds: &Rounds<'_>) -> String {
    let line = |system: &str| {
        let (failed, all, why) = rounds.failed(system)?;
        let why = why.lines().next().unwrap_or_default();
        Some(format!("\n**{system} failed in {failed} of {all} rounds**: {why}\n"))
    };
    rounds.systems().into_iter().filter_map(line).collect()
}

fn goals(record: &Record, beds: &[Bed]) -> Table {
    let mut works: Vec<&Work> = beds.iter().flat_map(|bed| bed.works).collect();
    works.sort_by_key(|work| work.row);
    let mut table = Table::new(["row", "work", "goal", "reached", "met"]);
    for work in works {
        let rounds = Rounds::of(record, work.id);
        for goal in work.goals {
            let reached = reached(goal, &rounds);
            let met = match reached.map(|reached| is_met(goal.bound, reached.median)) {
                // No goal is met with a round that failed; what Drave is compared with may lack some.
                _ if rounds.failed(Kind::Drave.name()).is_some() => "**failed**".into(),
                Some(true) => "yes".into(),
                Some(false) => "**no**".into(),
                None => unmeasured(goal, &rounds),
            };
            table.push([&work.row.to_string(), work.title, &in_words(goal), &spread(reached), &met]);
        }
    }
    table
}

fn unmeasured(goal: &Goal, rounds: &Rounds<'_>) -> String {
    let failed = goal.of.filter(|other| rounds.failed(other).is_some());
    failed.map_or("not measured".into(), |other| format!("{other} failed"))
}

fn in_words(goal: &Goal) -> String {
    let (bound, times) = match goal.bound {
        Bound::AtMost(times) => ("at most", times),
        Bound::AtLeast(times) => ("at least", times),
    };
    match goal.of {
        Some(other) => format!("{} {bound} {} × {other}", goal.figure, factor(times)),
        None => format!("{} {bound} {}", goal.figure, factor(times)),
    }
}
