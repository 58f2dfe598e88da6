//! What rounds come to: medians, ratios taken within rounds, and whether goals are met.

use crate::record::{Record, Round};
use crate::system::Kind;
use crate::work::{Bound, Goal};

/// The middle of several values, and how far they spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Spread {
    /// There is none of no values.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (least, most) = (*sorted.first()?, *sorted.last()?);
        Some(Spread { median: middle(&sorted), least, most })
    }
}

fn middle(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[half] } else { (sorted[half - 1] + sorted[half]) / 2.0 }
}

/// All rounds of one piece of work.
pub struct Rounds<'a>(Vec<&'a Round>);

impl<'a> Rounds<'a> {
    pub fn of(record: &'a Record, work: &str) -> Rounds<'a> {
        Rounds(record.rounds.iter().filter(|round| round.work == work).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The systems in the order in which they ran.
    pub fn systems(&self) -> Vec<&'a str> {
        let mut names = vec![];
        for round in &self.0 {
            if !names.contains(&round.system.as_str()) {
                names.push(round.system.as_str());
            }
        }
        names
    }

    pub fn by(&self, system: &str) -> impl Iterator<Item = &'a Round> {
        self.0.iter().copied().filter(move |round| round.system == system)
    }

    /// How many of a system's rounds failed, of how many, and why the first of them did.
    pub fn failed(&self, system: &str) -> Option<(usize, usize, &'a str)> {
        let mut why = self.by(system).filter_map(|round| round.failed.as_deref());
        let first = why.next()?;
        Some((1 + why.count(), self.by(system).count(), first))
    }

    pub fn figure(&self, system: &str, figure: &str) -> Option<Spread> {
        Spread::of(self.by(system).filter_map(|round| round.figures.get(figure).copied()))
    }

    /// How many times `other`'s figure `system`'s is. What disturbs a round disturbs both of them, so that ratios within
    /// rounds agree where the figures do not.
    pub fn ratio(&self, figure: &str, system: &str, other: &str) -> Option<Spread> {
        let within = |round: &Round| {
            let other = self.by(other).find(|beside| beside.round == round.round)?;
            let ratio = round.figures.get(figure)? / other.figures.get(figure)?;
            ratio.is_finite().then_some(ratio)
        };
        Spread::of(self.by(system).filter_map(within))
    }
}

/// What Drave reached of a goal: as many times the other system's figure, or the figure itself.
pub fn reached(goal: &Goal, rounds: &Rounds<'_>) -> Option<Spread> {
    let drave = Kind::Drave.name();
    match goal.of {
        Some(other) => rounds.ratio(goal.figure, drave, other),
        None => rounds.figure(drave, goal.figure),
    }
}

pub fn is_met(bound: Bound, reached: f64) -> bool {
    match bound {
        Bound::AtMost(most) => reached <= most,
        Bound::AtLeast(least) => reached >= least,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Machine;
    use std::collections::BTreeMap;

    #[test]
    fn a_spread_has_the_middle_and_both_ends() {
        let cases: &[(&[f64], Option<[f64; 3]>)] = &[
            (&[], None),
            (&[3.0], Some([3.0, 3.0, 3.0])),
            (&[4.0, 1.0], Some([2.5, 1.0, 4.0])),
            (&[9.0, 1.0, 2.0], Some([2.0, 1.0, 9.0])),
            (&[10.0, 9.0, 1.0, 2.0], Some([5.5, 1.0, 10.0])),
        ];
        for (values, expected) in cases {
            let expected = expected.map(|[median, least, most]| Spread { median, least, most });
            assert_eq!(Spread::of(values.iter().copied()), expected, "{values:?}");
        }
    }

    /// Figures by system and round; a figure that a round lacks is negative.
    fn record(systems: &[(&str, &[f64])]) -> Record {
        let one = |system: &str, round: usize, value: f64| Round {
            work: "work".into(),
            system: system.into(),
            round,
            figures: BTreeMap::from_iter((value >= 0.0).then(|| ("figure".to_owned(), value))),
            latency: vec![],
            memory: vec![],
            failed: None,
        };
        let all = |(system, values): &(&str, &[f64])| {
            values.iter().enumerate().map(|(round, value)| one(system, round, *value)).collect::<Vec<_>>()
        };
        let machine = Machine {
            cpu: String::new(),
            cores: 1,
            memory_mib: 1,
            kernel: String::new(),
            day: String::new(),
            versions: BTreeMap::new(),
        };
        Record { machine, quick: false, rounds: systems.iter().flat_map(all).collect() }
    }

    #[test]
    fn ratios_are_taken_within_rounds() {
        type Case<'a> = (&'a str, &'a [f64], &'a [f64], Option<[f64; 3]>);
        let cases: &[Case<'_>] = &[
            ("a slow round is slow for both", &[2.0, 20.0, 4.0], &[1.0, 10.0, 2.0], Some([2.0, 2.0, 2.0])),
            ("the middle of the ratios", &[1.0, 6.0, 4.0], &[1.0, 2.0, 2.0], Some([2.0, 1.0, 3.0])),
            ("not the ratio of the middles", &[1.0, 2.0, 9.0], &[4.0, 1.0, 3.0], Some([2.0, 0.25, 3.0])),
            ("a round that only one has", &[2.0, 8.0], &[1.0], Some([2.0, 2.0, 2.0])),
            ("a figure that a round lacks", &[2.0, -1.0], &[1.0, 1.0], Some([2.0, 2.0, 2.0])),
            ("nothing to divide by", &[2.0], &[0.0], None),
            ("no other", &[2.0], &[], None),
        ];
        for (what, own, other, expected) in cases {
            let record = record(&[("Drave", own), ("Floor", other)]);
            let expected = expected.map(|[median, least, most]| Spread { median, least, most });
            assert_eq!(Rounds::of(&record, "work").ratio("figure", "Drave", "Floor"), expected, "{what}");
        }
    }

    #[test]
    fn goals_are_met_at_their_bound() {
        let (most, least) = (Bound::AtMost(1.5), Bound::AtLeast(1.5));
        type Case<'a> = (Bound, Option<&'static str>, &'a [f64], &'a [f64], Option<bool>);
        let cases: &[Case<'_>] = &[
            (most, Some("Floor"), &[3.0], &[2.0], Some(true)),
            (most, Some("Floor"), &[3.1], &[2.0], Some(false)),
            (most, Some("Floor"), &[3.1, 2.0, 2.0], &[2.0, 2.0, 2.0], Some(true)),
            (least, Some("Floor"), &[3.0], &[2.0], Some(true)),
            (least, Some("Floor"), &[2.9], &[2.0], Some(false)),
            (most, Some("Apache Kafka"), &[3.0], &[2.0], None),
            (most, None, &[1.5], &[], Some(true)),
            (least, None, &[1.4], &[], Some(false)),
            (least, None, &[], &[1.0], None),
        ];
        for (number, (bound, of, drave, floor, expected)) in cases.iter().enumerate() {
            let record = record(&[("Drave", drave), ("Floor", floor)]);
            let goal = Goal { figure: "figure", bound: *bound, of: *of };
            let reached = reached(&goal, &Rounds::of(&record, "work"));
            assert_eq!(reached.map(|reached| is_met(*bound, reached.median)), *expected, "case {number}");
        }
    }
}
