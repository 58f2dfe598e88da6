//! The operations a client may do, as bits by their ACL code (KIP-430). Without an authorizer it may do all.

/// Operations as Kafka numbers them: bit `n` is operation `n`.
const fn bits(operations: &[u8]) -> i32 {
    let (mut set, mut at) = (0, 0);
    while at < operations.len() {
        set |= 1 << operations[at];
        at += 1;
    }
    set
}

/// Read, write, create, delete, alter, describe, describe and alter configs.
pub const TOPIC: i32 = bits(&[3, 4, 5, 6, 7, 8, 10, 11]);
/// Read, delete, describe, describe and alter configs.
pub const GROUP: i32 = bits(&[3, 6, 8, 10, 11]);
/// Create, alter, describe, cluster action, describe and alter configs, idempotent write.
pub const CLUSTER: i32 = bits(&[5, 7, 8, 9, 10, 11, 12]);
/// The answer where the client did not ask.
pub const NOT_ASKED: i32 = i32::MIN;

/// `operations` if the client asked for them.
pub fn if_asked(asked: bool, operations: i32) -> i32 {
    if asked { operations } else { NOT_ASKED }
}
