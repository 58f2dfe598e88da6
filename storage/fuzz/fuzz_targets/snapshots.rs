//! Any bytes as a producer snapshot, as they are and with a CRC that fits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use storage::producers::Producers;

fn look(bytes: &[u8]) {
    let Ok(producers) = Producers::decode_snapshot(bytes, 7) else { return };
    let again = producers.encode_snapshot();
    let back = Producers::decode_snapshot(&again, 7).expect("our own");
    assert_eq!(back.encode_snapshot(), again);
    assert_eq!(back.first_unstable(), producers.first_unstable());
}

fuzz_target!(|bytes: &[u8]| {
    look(bytes);
    if bytes.len() >= 6 {
        let mut sealed = bytes.to_vec();
        sealed[..2].copy_from_slice(&1i16.to_be_bytes());
        let crc = crc32c::crc32c(&sealed[6..]);
        sealed[2..6].copy_from_slice(&crc.to_be_bytes());
        look(&sealed);
    }
});
