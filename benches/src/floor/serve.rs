//! A connection: as much of Kafka's framing as finds a batch in a Produce and an offset in a Fetch.

use super::log::{Log, Logs, has_sound_crc};
use super::replicate::{FOLLOW, FORGET, follow, send};
use anyhow::{Context, Result, ensure};
use rustix::net::SendFlags;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

const PRODUCE: i16 = 0;
const FETCH: i16 = 1;
const RECEIVED_AT_ONCE: usize = 128 << 10;
/// Bytes of the answer to whatever else is asked.
const OTHER_ANSWER: usize = 128;

/// An answer that waits until `log` is kept up to `end` by all that must have it.
struct Waiting {
    answer: Vec<u8>,
    log: Arc<Log>,
    end: u64,
}

pub async fn serve(mut socket: TcpStream, logs: Arc<Logs>) -> Result<()> {
    let mut buffer = vec![0; RECEIVED_AT_ONCE];
    let (mut from, mut to) = (0, 0);
    let mut waiting: Option<mpsc::UnboundedSender<Waiting>> = None;
    // Answers to what came together leave together.
    let mut answers = vec![];
    loop {
        while let Some(len) = frame_len(&buffer[from..to]) {
            let frame = from + 4..from + 4 + len;
            from = frame.end;
            let frame = &buffer[frame];
            match i16::from_be_bytes([frame[0], frame[1]]) {
                PRODUCE => {
                    let (answer, log, end) = produce(frame, &logs)?;
                    if log.kept.is_empty() {
                        answers.extend(answer);
                        continue;
                    }
                    if waiting.is_none() {
                        let (sender, receiver) = mpsc::unbounded_channel();
                        (socket, waiting) = (apart(socket, receiver)?, Some(sender));
                    }
                    if let Some(waiting) = &waiting {
                        waiting.send(Waiting { answer, log, end })?;
                    }
                }
                FETCH => fetch(frame, &logs, &socket).await?,
                FOLLOW => {
                    let log = logs.create(&frame[2..], &[])?;
                    return follow(socket, log, &buffer[from..to]).await;
                }
                FORGET => {
                    logs.forget();
                    socket.write_all(&framed(frame, &[])).await?;
                }
                _ => socket.write_all(&framed(frame, &[0; OTHER_ANSWER])).await?,
            }
        }
        if !answers.is_empty() {
            socket.write_all(&answers).await?;
            answers.clear();
        }
        buffer.copy_within(from..to, 0);
        (from, to) = (0, to - from);
        if to == buffer.len() {
            buffer.resize(2 * to, 0);
        }
        // A large frame is received into its place: nothing of what follows has to be moved.
        let end = large_frame(&buffer[..to]).map_or(buffer.len(), |end| end.min(buffer.len()));
        match socket.read(&mut buffer[to..end]).await? {
            0 => return Ok(()),
            read => to += read,
        }
    }
}

/// Lets another task write the answers that wait, in order; what is given back only reads from now on.
fn apart(socket: TcpStream, mut waiting: mpsc::UnboundedReceiver<Waiting>) -> Result<TcpStream> {
    let socket = socket.into_std()?;
    let mut writer = TcpStream::from_std(socket.try_clone()?)?;
    tokio::spawn(async move {
        let mut answers = vec![];
        while let Some(Waiting { answer, log, end }) = waiting.recv().await {
            if !log.kept.iter().all(|kept| *kept.borrow() >= end) {
                writer.write_all(&answers).await?;
                answers.clear();
            }
            for kept in &log.kept {
                kept.subscribe().wait_for(|kept| *kept >= end).await?;
            }
            answers.extend(answer);
            if waiting.is_empty() {
                writer.write_all(&answers).await?;
                answers.clear();
            }
        }
        anyhow::Ok(())
    });
    Ok(TcpStream::from_std(socket)?)
}

/// Length of the first frame, if all of it is there.
fn frame_len(bytes: &[u8]) -> Option<usize> {
    let len = u32::from_be_bytes(bytes.first_chunk().copied()?) as usize;
    (bytes.len() >= 4 + len).then_some(len)
}

/// Where the frame that has begun ends, if it is large.
fn large_frame(bytes: &[u8]) -> Option<usize> {
    const LARGE: usize = 64 << 10;
    let end = 4 + u32::from_be_bytes(bytes.first_chunk().copied()?) as usize;
    (end >= LARGE).then_some(end)
}

/// Appends the one batch of a Produce of version 9; answers what to answer, and where the batch ends.
fn produce(frame: &[u8], logs: &Logs) -> Result<(Vec<u8>, Arc<Log>, u64)> {
    const NAME: usize = 2 + 2 + 4 + 2 + 1 + 1 + 2 + 4 + 1;
    let name_end = NAME + frame[NAME] as usize;
    let partition = name_end + 1..name_end + 5;
    let records = partition.end + varint_len(&frame[partition.end..]);
    // Three empty lists of tagged fields end the request.
    let batch = &frame[records..frame.len() - 3];
    ensure!(has_sound_crc(batch), "the batch is damaged");
    let key = &frame[NAME + 1..partition.end];
    let log = match logs.get(key) {
        Some(log) => log,
        None => logs.create(key, batch)?,
    };
    let end = log.append(batch)?;
    let name = &frame[NAME..name_end];
    // Offset, append time, log start: nothing that anybody looks at. No errors, no message, tags.
    let body =
        [&[0, 2][..], name, &[2], &frame[partition], &[0; 2 + 8 + 8 + 8 + 1 + 1 + 1 + 1 + 4 + 1]].concat();
    Ok((framed(frame, &body), log, end))
}

fn varint_len(bytes: &[u8]) -> usize {
    1 + bytes.iter().take_while(|byte| **byte & 0x80 != 0).count()
}

/// Sends whole batches from the offset that a Fetch of version 11 asks for.
async fn fetch(frame: &[u8], logs: &Logs, socket: &TcpStream) -> Result<()> {
    const NAME: usize = 2 + 2 + 4 + 2 + 4 + 4 + 4 + 4 + 1 + 4 + 4 + 4;
    let name = &frame[NAME + 2..NAME + 2 + usize::from(frame[NAME + 1])];
    let at = NAME + 2 + name.len() + 4;
    let partition = &frame[at..at + 4];
    let offset = u64::from_be_bytes(frame[at + 8..at + 16].try_into()?);
    let max_bytes = u64::from(u32::from_be_bytes(frame[at + 24..at + 28].try_into()?));
    // As Produce writes it: the bytes of the name, then the partition's list, then its number.
    let key = [name, &[2], partition].concat();
    let log = logs.get(&key).context("nothing was produced there")?;
    let (bytes, records) = log.one;
    let from = offset / records * bytes;
    let len = (max_bytes / bytes * bytes).min(log.end().saturating_sub(from));
    let mut body = vec![0; 4 + 2 + 4];
    body.extend(1_u32.to_be_bytes());
    body.extend([&frame[NAME..NAME + 2], name].concat());
    body.extend(1_u32.to_be_bytes());
    body.extend(partition);
    body.extend([0; 2 + 8 + 8 + 8 + 4 + 4]);
    body.extend((len as u32).to_be_bytes());
    let mut head = framed(frame, &body);
    let total = head.len() as u32 - 4 + len as u32;
    head[..4].copy_from_slice(&total.to_be_bytes());
    // Held back until the file's bytes follow.
    let held = |socket: &TcpStream| Ok(rustix::net::send(socket, &head, SendFlags::MORE)?);
    let sent = socket.async_io(Interest::WRITABLE, || held(socket)).await?;
    ensure!(sent == head.len(), "no room for the head of an answer");
    Ok(send(socket, &log, from, len).await?)
}

/// An answer to `frame`, with its correlation id.
fn framed(frame: &[u8], body: &[u8]) -> Vec<u8> {
    [&(4 + body.len() as u32).to_be_bytes()[..], &frame[4..8], body].concat()
}
