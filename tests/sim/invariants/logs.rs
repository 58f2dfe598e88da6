//! Below the high watermark all replicas hold the same bytes.

use crate::net::Machine;
use drave::partition::replica::Replica;
use std::sync::Arc;
use storage::batch::batches;

/// A replica's batches below `end`: base offset, bytes.
fn below(replica: &Replica, end: i64) -> Result<Vec<(i64, bytes::Bytes)>, String> {
    let (mut found, mut next) = (vec![], replica.marks().log_start);
    while next < end {
        let slice = replica.read_own(next, end, 1 << 20).map_err(|error| error.to_string())?;
        let Some(slice) = slice else { break };
        let bytes = bytes::Bytes::from(slice.read().map_err(|error| error.to_string())?);
        for batch in batches(&bytes) {
            let batch = batch.map_err(|error| error.to_string())?;
            batch.check_crc().map_err(|error| error.to_string())?;
            let header = batch.header;
            next = header.next_offset();
            found.push((header.base_offset, batch.bytes.clone()));
        }
    }
    found.retain(|(base, _)| *base < end);
    Ok(found)
}

/// Compares the replicas of one partition, up to the lowest high watermark.
pub fn compare(replicas: &[(Machine, Arc<Replica>)]) -> Option<String> {
    let end = replicas.iter().map(|(_, replica)| replica.marks().high_watermark).min()?;
    let mut logs = replicas.iter().map(|(node, replica)| (*node, below(replica, end)));
    let (first, known) = logs.next()?;
    for (node, log) in logs {
        if log != known {
            let name = replicas[0].1.name();
            let sizes = (known.map(|log| log.len()), log.map(|log| log.len()));
            return Some(format!("{name}: nodes {first} and {node} differ below {end}: {sizes:?} batches"));
        }
    }
    None
}
