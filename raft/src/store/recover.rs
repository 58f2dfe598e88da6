//! Opening a log that may have been cut off at any moment.
//!
//! A crash can leave: one torn frame at the very end, a last file without a whole frame, files that were dropped but
//! whose names came back. All of these are tidied up. Anything else means that synced bytes were lost or changed:
//! an error that names the file, and nothing is touched.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use storage::disk::{Disk, Open};

use super::record::{Frame, Record, holds_frame_after};
use super::state::State;
use super::wal::{Segment, Wal, path};
use crate::codec::malformed;
use crate::settings::Settings;

/// What was found in one file.
struct Scanned {
    frames: Vec<Frame>,
    /// Bytes of whole frames; what lies behind is torn.
    end: u64,
    /// Bytes of the file.
    len: u64,
}

/// Opens or begins the log in `settings.dir`. All that the returned state says is durable.
pub(crate) fn open(disk: Arc<dyn Disk>, settings: &Settings) -> io::Result<(Wal, State)> {
    create_dir(&*disk, &settings.dir)?;
    let mut numbers = segment_numbers(&*disk, settings)?;
    let stale = split_stale(&mut numbers);
    let mut wal = Wal::empty(disk, settings);
    let mut state = State::default();
    let mut last = None;
    for (i, number) in numbers.iter().enumerate() {
        last = replay(&mut wal, &mut state, *number, i + 1 == numbers.len())
            .map_err(|e| in_file(&path(&settings.dir, *number), e))?
            .or(last);
    }
    state.check_whole()?;
    make_durable(&mut wal, last)?;
    for number in stale {
        wal.disk.remove(&path(&settings.dir, number))?;
    }
    Ok((wal, state))
}

/// Makes the directory so that its name lasts. One that is there may have been made by a process that died before
/// it could sync the name.
fn create_dir(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    let above: Vec<&Path> = dir.ancestors().skip(1).filter(|dir| !dir.as_os_str().is_empty()).collect();
    let missing = above.iter().take_while(|dir| disk.list(dir).is_err()).count();
    disk.create_dir(dir)?;
    above.into_iter().take(missing + 1).try_for_each(|dir| disk.sync_dir(dir))
}

fn segment_numbers(disk: &dyn Disk, settings: &Settings) -> io::Result<Vec<u64>> {
    let entries = disk.list(&settings.dir)?;
    let mut numbers: Vec<u64> =
        entries.iter().filter_map(|entry| entry.name.strip_suffix(".wal")?.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Files are dropped oldest first, but a crash may bring any of the dropped names back: what counts is the last run
/// without a gap. If it lacks an entry, [`State::check_whole`] says so.
fn split_stale(numbers: &mut Vec<u64>) -> Vec<u64> {
    let gap = (1..numbers.len()).rev().find(|&i| numbers[i - 1] + 1 != numbers[i]).unwrap_or(0);
    let kept = numbers.split_off(gap);
    std::mem::replace(numbers, kept)
}

/// Folds one file into `state`. Returns where its last frame starts, if it has one.
fn replay(wal: &mut Wal, state: &mut State, number: u64, is_last: bool) -> io::Result<Option<LastFrame>> {
    let file = path(&wal.dir, number);
    let scanned = scan(wal, &file)?;
    if scanned.end < scanned.len {
        check_torn(wal, &file, &scanned, is_last)?;
    }
    let Some(last) = scanned.frames.last() else {
        // Its first frame was never synced: the file does not count, and its number is used again.
        return if is_last {
            wal.disk.remove(&file).map(|()| None)
        } else {
            Err(malformed("the file is empty"))
        };
    };
    let last = LastFrame { number, at: scanned.end - last.len as u64, end: scanned.end, len: scanned.len };
    wal.segments.push_back(Segment { number, max_index: None });
    for frame in &scanned.frames {
        fold(wal, state, frame)?;
    }
    Ok(Some(last))
}

/// Where the log ends.
struct LastFrame {
    number: u64,
    at: u64,
    end: u64,
    /// Bytes of the file, the torn ones included.
    len: u64,
}

fn scan(wal: &Wal, file: &Path) -> io::Result<Scanned> {
    let bytes = read(wal, file)?;
    let (mut frames, mut at) = (Vec::new(), 0);
    while let Some(frame) = Frame::parse(&bytes.slice(at..)) {
        at += frame.len;
        frames.push(frame);
    }
    Ok(Scanned { frames, end: at as u64, len: bytes.len() as u64 })
}

fn read(wal: &Wal, file: &Path) -> io::Result<Bytes> {
    let file = wal.disk.open(file, Open::Read)?;
    let mut bytes = vec![0; file.len()? as usize];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes.into())
}

/// Only the last frame of the last file can be torn, so nothing that was written after it can be there.
fn check_torn(wal: &Wal, file: &Path, scanned: &Scanned, is_last: bool) -> io::Result<()> {
    let number = scanned.frames.last().map_or(wal.frames, |frame| frame.number);
    let rest = read(wal, file)?.slice(scanned.end as usize..);
    if !is_last || holds_frame_after(&rest, number) {
        return Err(malformed(format!("synced bytes are damaged at position {}", scanned.end)));
    }
    tracing::warn!(file = %file.display(), at = scanned.end, bytes = rest.len(), "dropping a torn write");
    Ok(())
}

fn fold(wal: &mut Wal, state: &mut State, frame: &Frame) -> io::Result<()> {
    let follows = wal.frames == 0 || frame.number == wal.frames + 1;
    if !follows {
        return Err(malformed(format!("frame {} stands behind frame {}", frame.number, wal.frames)));
    }
    wal.frames = frame.number;
    let node_id = wal.head.node_id;
    for record in frame.records()? {
        if let Record::Head(head) = &record
            && head.node_id != node_id
        {
            return Err(malformed(format!("belongs to node {}, this is {node_id}", head.node_id)));
        }
        wal.note(&record);
        state.apply(record);
    }
    Ok(())
}

/// The last frame may never have reached the disk: its writer may have died, or its fsync failed (the kernel then
/// counts its pages as clean). So it is written and synced again before anyone relies on it.
fn make_durable(wal: &mut Wal, last: Option<LastFrame>) -> io::Result<()> {
    let Some(last) = last else { return Ok(()) };
    let file = wal.disk.open(&path(&wal.dir, last.number), Open::Write)?;
    if last.end < last.len {
        file.set_len(last.end)?;
    }
    let mut bytes = vec![0; (last.end - last.at) as usize];
    file.read_exact_at(&mut bytes, last.at)?;
    file.write_at(&[io::IoSlice::new(&bytes)], last.at)?;
    file.sync()?;
    wal.disk.sync_dir(&wal.dir)?;
    wal.file = Some(file);
    wal.end = last.end;
    Ok(())
}

fn in_file(file: &Path, e: io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("{}: {e}", file.display()))
}
