use super::*;
use crate::record::{Machine, Round};
use crate::work::{Bed, Bound, Goal, Run, Work};
use std::collections::BTreeMap;

/// Nothing runs here.
const RUN: Run = Run::Alone(|_, _, _| unreachable!());

const WORKS: &[Work] = &[
    Work {
        id: "produce-16k",
        row: 2,
        title: "produce 16 KiB batches",
        columns: &["MB/s", "CPU s/GB"],
        goals: &[
            Goal { figure: "CPU s/GB", bound: Bound::AtMost(0.25), of: Some("Apache Kafka") },
            Goal { figure: "MB/s", bound: Bound::AtLeast(1.0), of: Some("Floor") },
            Goal { figure: "CPU s/GB", bound: Bound::AtMost(1.0), of: None },
        ],
        run: RUN,
    },
    Work {
        id: "produce-256k",
        row: 1,
        title: "produce 256 KiB batches",
        columns: &["MB/s"],
        goals: &[Goal { figure: "MB/s", bound: Bound::AtLeast(1.0 / 3.0), of: Some("Apache Kafka") }],
        run: RUN,
    },
    Work {
        id: "failing",
        row: 3,
        title: "what fails now and then",
        columns: &["MB/s"],
        goals: &[
            Goal { figure: "MB/s", bound: Bound::AtLeast(2.0), of: Some("Floor") },
            Goal { figure: "MB/s", bound: Bound::AtLeast(1.0), of: Some("Apache Kafka") },
            Goal { figure: "MB/s", bound: Bound::AtLeast(1.0), of: None },
        ],
        run: RUN,
    },
    Work {
        id: "failing-once",
        row: 3,
        title: "what fails once",
        columns: &["MB/s"],
        goals: &[Goal { figure: "MB/s", bound: Bound::AtLeast(1.0), of: None }],
        run: RUN,
    },
    Work {
        id: "left-out",
        row: 3,
        title: "what was left out",
        columns: &["MB/s"],
        goals: &[Goal { figure: "MB/s", bound: Bound::AtLeast(2.0), of: Some("Floor") }],
        run: RUN,
    },
];

const BED: Bed = Bed { works: WORKS, ..Bed::ONE_NODE };

fn round(work: &str, system: &str, round: usize, figures: [f64; 3]) -> Round {
    let names = ["MB/s", "CPU s/GB", "requests/s"];
    let latency =
        if work == "produce-16k" { vec![(50.0, 80.0), (99.0, 900.0), (99.9, 2500.0)] } else { vec![] };
    Round {
        work: work.into(),
        system: system.into(),
        round,
        figures: names.map(str::to_owned).into_iter().zip(figures).collect(),
        latency,
        memory: vec![],
        failed: None,
    }
}

fn failed(work: &str, system: &str, number: usize) -> Round {
    let why = Some("the broker does not answer: timed out\nand more".into());
    Round { figures: BTreeMap::new(), latency: vec![], failed: why, ..round(work, system, number, [0.0; 3]) }
}

fn record() -> Record {
    let versions = [("Drave", "drave 0.1.0"), ("Apache Kafka", "4.3.1")];
    Record {
        machine: Machine {
            cpu: "Some CPU".into(),
            cores: 2,
            memory_mib: 8000,
            kernel: "6.1.0".into(),
            day: "2026-11-28".into(),
            versions: BTreeMap::from(versions.map(|(name, version)| (name.into(), version.into()))),
        },
        quick: true,
        rounds: vec![
            round("produce-16k", "Floor", 0, [900.0, 0.8, 55_000.0]),
            round("produce-16k", "Drave", 0, [850.0, 0.9, 52_000.0]),
            round("produce-16k", "Apache Kafka", 0, [250.0, 6.0, 15_000.0]),
            round("produce-16k", "Floor", 1, [1000.0, 0.7, 61_000.0]),
            round("produce-16k", "Drave", 1, [900.0, 1.1, 55_000.0]),
            round("produce-16k", "Apache Kafka", 1, [200.0, 4.0, 12_000.0]),
            round("produce-16k", "Floor", 2, [800.0, 0.9, 49_000.0]),
            round("produce-16k", "Drave", 2, [820.0, 0.95, 50_000.0]),
            round("produce-16k", "Apache Kafka", 2, [225.0, 5.0, 13_500.0]),
            round("produce-256k", "Floor", 0, [1500.0, 0.5, 5700.0]),
            round("produce-256k", "Drave", 0, [1400.0, 0.6, 5300.0]),
            round("failing", "Floor", 0, [500.0, 0.5, 500.0]),
            round("failing", "Drave", 0, [1400.0, 0.6, 5300.0]),
            failed("failing", "Apache Kafka", 0),
            failed("failing", "Floor", 1),
            round("failing", "Drave", 1, [1500.0, 0.6, 5300.0]),
            failed("failing", "Apache Kafka", 1),
            round("failing-once", "Drave", 0, [1500.0, 0.6, 5300.0]),
            failed("failing-once", "Drave", 1),
        ],
    }
}

fn trace() -> Trace {
    let text = r#"{"mishap": "a leader killed", "bucket_ms": 100, "systems": {"Drave": [[-0.1, 100], [0, 90], [0.1, 100]]}}"#;
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_record_becomes_a_page() {
    let record = record();
    let images = plots::all(&record, &[BED], Some(&trace())).unwrap();
    let page = between_marks(None, &text::all(&record, &[BED], &images)).unwrap();
    let expected = concat!(env!("CARGO_MANIFEST_DIR"), "/src/report/tests/performance.md");
    if std::env::var_os("DRAVE_BLESS").is_some() {
        std::fs::write(expected, &page).unwrap();
    }
    assert_eq!(page, std::fs::read_to_string(expected).unwrap(), "written anew with DRAVE_BLESS=1");
}

#[test]
fn there_are_plots_of_what_there_is() {
    let mut record = record();
    record.rounds[7].memory = vec![(0.0, 20.0), (1.0, 21.5)];
    record.rounds.iter_mut().filter(|round| round.system == "Floor").for_each(|round| round.latency.clear());
    let images = plots::all(&record, &[BED], None).unwrap();
    let named: Vec<&str> = images.iter().map(|image| image.file.as_str()).collect();
    assert_eq!(named, ["latency-produce-16k.svg", "memory-produce-16k.svg", "produce-throughput.svg"]);
    let cases = [
        (
            0,
            vec!["Latency: produce 16 KiB batches", "99.9 %", "1 ms", "Drave", "Apache Kafka"],
            vec!["Floor"],
        ),
        (2, vec!["16 KiB", "256 KiB", "1,500", "throughput, MB/s"], vec![]),
    ];
    for (image, present, absent) in cases {
        let svg = &images[image].svg;
        present
            .iter()
            .for_each(|text| assert!(svg.contains(text), "{text} is not in {}", images[image].file));
        absent.iter().for_each(|text| assert!(!svg.contains(text), "{text} is in {}", images[image].file));
    }
}

#[test]
fn only_what_is_between_the_marks_changes() {
    let page = format!("before\n{BEGIN}old\n{END}after\n");
    assert_eq!(between_marks(Some(&page), "new").unwrap(), format!("before\n{BEGIN}\nnew\n{END}after\n"));
    for page in ["", BEGIN, END] {
        assert!(between_marks(Some(page), "new").is_err());
    }
}
