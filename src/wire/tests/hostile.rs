//! Bytes that mean harm, for every API and version, in a process that may not use more than a gigabyte of address space: a length that
//! were believed would abort it.

use std::process::Command;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::Request;

use super::apis::every_request;
use super::dice::{Dice, throw};
use crate::wire::codec::{body_limit, decode, encode_response};

/// KiB of address space.
const LIMIT: usize = 1 << 20;
const CHILD: &str = "HOSTILE_BYTES_CHILD";

/// Lengths as attackers write them: `int32`, compact, and such that a byte more or less would fit.
const LIES: [&[u8]; 6] = [
    &[0x7f, 0xff, 0xff, 0xff],
    &[0x0f, 0xff, 0xff, 0xff],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0x7f],
    &[0x80, 0x80, 0x80, 0x80, 0x08],
    &[0x00, 0x80, 0x00, 0x00],
];

#[test]
fn hostile_bytes_cost_little_memory() {
    if std::env::var_os(CHILD).is_some() {
        return attack_everything();
    }
    let myself = std::env::current_exe().unwrap();
    let status = Command::new("sh")
        .args(["-c", &format!("ulimit -v {LIMIT}; exec \"$0\" \"$@\"")])
        .arg(myself)
        .args(["--exact", "wire::tests::hostile::hostile_bytes_cost_little_memory", "--test-threads=1"])
        .env(CHILD, "1")
        .env("RUST_BACKTRACE", "0")
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}

fn attack_everything() {
    macro_rules! all {
        ($($request:ident),* $(,)?) => { $(attack::<$request>();)* };
    }
    every_request!(all);
}

fn attack<R: Request>() {
    for version in R::VERSIONS.min..=R::VERSIONS.max {
        for lie in LIES {
            repeated::<R>(lie, 64, version);
        }
        let longest = body_limit(R::KEY).unwrap_or(2 << 20);
        repeated::<R>(LIES[version as usize % LIES.len()], longest, version);
        let mut dice = Dice::new(version as u64 + 7);
        for _ in 0..2 {
            spliced::<R>(&mut dice, version);
        }
        for _ in 0..20 {
            let len = dice.below(200);
            let noise: Bytes = (0..len).map(|_| dice.next() as u8).collect();
            let _ = decode::<R>(noise, version);
        }
    }
}

/// Nothing but one lie, over and over.
fn repeated<R: Request>(lie: &[u8], len: usize, version: i16) {
    let body: Bytes = lie.iter().copied().cycle().take(len).collect();
    let _ = decode::<R>(body, version);
}

/// An honest message with lies at each of its bytes in turn.
fn spliced<R: Request>(dice: &mut Dice, version: i16) {
    let message: R = throw(dice, version);
    let mut honest = BytesMut::new();
    message.encode(&mut honest, version).unwrap();
    for at in 0..honest.len().min(100) {
        for lie in [LIES[at % LIES.len()], LIES[dice.below(LIES.len())]] {
            let mut body = BytesMut::from(&honest[..at]);
            body.extend_from_slice(lie);
            body.extend_from_slice(&honest[at..]);
            let _ = decode::<R>(body.freeze(), version);
        }
    }
}

/// The members share their bytes, so that the test itself stays small.
#[test]
fn an_answer_beyond_all_bounds_is_not_encoded() {
    let member =
        join_group_response::JoinGroupResponseMember::default().with_metadata(vec![0; 1 << 20].into());
    let members = |count| JoinGroupResponse::default().with_members(vec![member.clone(); count]);
    assert!(encode_response(1, 5, &members(1)).is_ok());
    assert!(encode_response(1, 5, &members(300)).is_err());
}
