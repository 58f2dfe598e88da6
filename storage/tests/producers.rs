//! Runs producers.txt: each section begins with an empty partition.

use storage::batch::{Attributes, BatchHeader, EndTxn, Outcome};
use storage::producers::{Origin, ProducerError, Producers, SnapshotError, Verdict};
use storage::time::Wall;

#[derive(Default)]
struct Partition {
    producers: Producers,
    end: i64,
}

impl Partition {
    fn step(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["failed", kind, who, what] => self.append(kind, who, what, Checks::NoWrite),
            ["replicated", kind, who, what] => self.append(kind, who, what, Checks::None),
            [kind, who, what] => self.append(kind, who, what, Checks::All),
            ["hw", offset] => self.quiet(|p| p.on_high_watermark(number(offset))),
            ["expire", ms] => {
                let now = Wall(self.end);
                self.quiet(|p| p.expire(now, number(ms)))
            }
            ["reload"] => self.quiet(|p| {
                *p = Producers::decode_snapshot(&p.encode_snapshot(), p.end()).expect("a snapshot");
            }),
            ["unstable"] => {
                self.producers.first_unstable().map_or("none".into(), |offset| offset.to_string())
            }
            ["producers"] => {
                self.producers.iter().map(|(id, _)| id.to_string()).collect::<Vec<_>>().join(" ")
            }
            _ => panic!("not a step: {line}"),
        }
    }

    fn quiet(&mut self, change: impl FnOnce(&mut Producers)) -> String {
        change(&mut self.producers);
        String::new()
    }

    fn append(&mut self, kind: &str, who: &str, what: &str, checks: Checks) -> String {
        let (id, epoch) = who.split_once('/').expect("ID/EPOCH");
        let (id, epoch) = (number(id), number(epoch) as i16);
        let mut header = BatchHeader { producer_id: id, producer_epoch: epoch, ..self.header() };
        let marker = marker(kind, what);
        match marker {
            Some(_) => header.attributes = header.attributes.with_transactional(true).with_control(true),
            None => self.data(kind, what, &mut header),
        }
        if let (true, Some(refused)) = (checks != Checks::None, self.refusal(kind, &header, marker)) {
            return refused;
        }
        if checks == Checks::NoWrite {
            return "ok".into();
        }
        self.end = header.next_offset();
        let aborted = self.producers.apply(&header, marker);
        let aborted = aborted.map(|t| {
            format!(" aborted {}..{} stable {}", t.first_offset, t.last_offset, t.last_stable_offset)
        });
        format!("@{}{}", header.base_offset, aborted.unwrap_or_default())
    }

    fn data(&self, kind: &str, what: &str, header: &mut BatchHeader) {
        header.attributes = header.attributes.with_transactional(kind != "data");
        let (sequence, count) = what.split_once('+').unwrap_or(("-1", what));
        header.base_sequence = number(sequence) as i32;
        header.count = number(count) as i32;
        header.last_offset_delta = header.count - 1;
    }

    fn refusal(&self, kind: &str, header: &BatchHeader, marker: Option<EndTxn>) -> Option<String> {
        let origin = if kind == "offsets" { Origin::Coordinator } else { Origin::Client };
        let checked = match marker {
            Some(marker) => self
                .producers
                .check_marker(header.producer_id, header.producer_epoch, marker, kind.ends_with('2'))
                .map(|()| Verdict::Append),
            None => self.producers.check(header, origin),
        };
        match checked {
            Ok(Verdict::Append) => None,
            Ok(Verdict::Duplicate(mark)) => Some(format!("dup @{}", mark.base_offset())),
            Err(error) => Some(reason(error)),
        }
    }

    fn header(&self) -> BatchHeader {
        BatchHeader {
            base_offset: self.end,
            length: 49,
            partition_leader_epoch: 0,
            crc: 0,
            attributes: Attributes::default(),
            last_offset_delta: 0,
            base_timestamp: self.end,
            max_timestamp: self.end,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            count: 1,
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Checks {
    All,
    NoWrite,
    None,
}

fn marker(kind: &str, coordinator: &str) -> Option<EndTxn> {
    let outcome = match kind.trim_end_matches('2') {
        "commit" => Outcome::Commit,
        "abort" => Outcome::Abort,
        _ => return None,
    };
    Some(EndTxn { outcome, coordinator_epoch: number(coordinator.trim_start_matches('c')) as i32 })
}

fn reason(error: ProducerError) -> String {
    match error {
        ProducerError::Epoch { epoch, current, .. } => format!("epoch {epoch} below {current}"),
        ProducerError::Sequence { sequence, last, .. } => format!("sequence {sequence} after {last}"),
        ProducerError::NotTransactional { .. } => "not transactional".into(),
        ProducerError::CoordinatorFenced { epoch, current, .. } => {
            format!("coordinator {epoch} below {current}")
        }
    }
}

fn number(word: &str) -> i64 {
    word.parse().expect(word)
}

#[test]
fn scenarios() {
    let mut partition = Partition::default();
    let mut steps = 0;
    for (nth, line) in include_str!("producers.txt").lines().enumerate() {
        if line.starts_with("==") {
            partition = Partition::default();
        } else if !line.starts_with('#') && !line.is_empty() {
            let (step, expected) = line.split_once('=').unwrap_or((line, ""));
            assert_eq!(partition.step(step), expected.trim(), "line {}: {line}", nth + 1);
            steps += 1;
        }
    }
    assert!(steps > 100);
}

#[test]
fn a_damaged_snapshot_is_refused() {
    let mut partition = Partition::default();
    partition.step("data 1/0 0+1");
    let bytes = partition.producers.encode_snapshot();
    assert!(Producers::decode_snapshot(&bytes, 1).is_ok());
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        let refused = Producers::decode_snapshot(&damaged, 1).expect_err("damaged");
        assert_eq!(matches!(refused, SnapshotError::Version(_)), at < 2, "byte {at}: {refused}");
        assert!(Producers::decode_snapshot(&bytes[..at], 1).is_err());
    }
}

#[test]
fn a_snapshot_whose_count_lies_is_refused() {
    let mut bytes = Producers::default().encode_snapshot();
    bytes[6..10].copy_from_slice(&i32::MAX.to_be_bytes());
    let crc = crc32c::crc32c(&bytes[6..]).to_be_bytes();
    bytes[2..6].copy_from_slice(&crc);
    assert_eq!(Producers::decode_snapshot(&bytes, 0).err(), Some(SnapshotError::Size));
}

#[test]
fn a_snapshot_with_a_producer_twice_is_refused() {
    let mut partition = Partition::default();
    partition.step("txn 1/0 0+1");
    let bytes = partition.producers.encode_snapshot();
    let mut body = [&bytes[6..], &bytes[10..]].concat();
    body[3] = 2;
    let bytes = [&bytes[..2], &crc32c::crc32c(&body).to_be_bytes(), &body].concat();
    assert_eq!(Producers::decode_snapshot(&bytes, 1).err(), Some(SnapshotError::Twice(1)));
}
