//! Order, pipelining, frames in pieces, files.

use bytes::Bytes;
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};

use storage::disk::RealDisk;
use storage::disk::fault::FaultDisk;
use storage::disk::{Disk, File, FileSlice, Open};
use tokio::runtime::Builder;

use super::toy::{Client, LONG, Toy, request, serve, serve_clients, settings, soon, until};

#[tokio::test]
async fn replies_leave_in_the_order_of_their_requests() {
    let toy = Toy::default();
    let (_server, address) = serve(settings(), &toy);
    let mut client = Client::connect(address).await;
    for (id, body) in [(0, b"l"), (1, b"n"), (2, b"l"), (3, b"x"), (4, b"n"), (5, b"b")] {
        client.send(&request(id, body)).await;
    }
    until(|| toy.begun.load(Ordering::SeqCst) == 6).await;
    toy.open(2);
    toy.open(0);
    for expected in [0, 1, 2, 4, 5] {
        assert_eq!(soon(client.reply()).await.unwrap().0, expected);
    }
}

#[tokio::test]
async fn what_awaits_before_its_effect_stops_reading_but_not_earlier_replies() {
    let toy = Toy::default();
    let (_server, address) = serve(settings(), &toy);
    let mut client = Client::connect(address).await;
    for (id, body) in [(0, b"l"), (1, b"w"), (2, b"n")] {
        client.send(&request(id, body)).await;
    }
    until(|| toy.begun.load(Ordering::SeqCst) == 2).await;
    toy.open(0);
    assert_eq!(soon(client.reply()).await.unwrap().0, 0);
    assert_eq!(toy.begun.load(Ordering::SeqCst), 2, "the third waits for the second");
    toy.open(1);
    assert_eq!(soon(client.reply()).await.unwrap().0, 1);
    assert_eq!(soon(client.reply()).await.unwrap().0, 2);
}

#[tokio::test]
async fn thousands_of_pipelined_requests_are_answered() {
    const MANY: i32 = 5_000;
    let (_server, address) = serve(settings(), &Toy::default());
    let client = Client::connect(address).await;
    let all: Vec<u8> = (0..MANY).flat_map(|id| request(id, b"n some words")).collect();
    let (mut input, mut output) = client.0.into_split();
    let sender = tokio::spawn(async move {
        tokio::io::AsyncWriteExt::write_all(&mut output, &all).await.unwrap();
        output
    });
    for id in 0..MANY {
        let mut reply = [0; 4 + 4 + 12];
        soon(tokio::io::AsyncReadExt::read_exact(&mut input, &mut reply)).await.unwrap();
        assert_eq!(reply[4..8], id.to_be_bytes());
        assert_eq!(&reply[8..], b"n some words");
    }
    sender.await.unwrap();
}

/// Such a task uses up its turn again and again, also between a request and the read for the next one.
#[test]
fn a_client_that_never_lets_its_connection_wait_is_answered() {
    const FRAMES: usize = 20_000;
    // Not dropped: nothing ends a task that spins.
    let runtime =
        Box::leak(Box::new(Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()));
    let (_server, address) = runtime.block_on(async { serve_clients(settings(), &Toy::default()) });
    let mut client = std::net::TcpStream::connect(address).unwrap();
    client.set_write_timeout(Some(LONG)).unwrap();
    client.set_read_timeout(Some(LONG)).unwrap();
    let silent = request(1, &[b'x'; 4_000]).repeat(100);
    for _ in 0..FRAMES / 100 {
        client.write_all(&silent).expect("the server reads on");
    }
    client.write_all(&request(2, b"n")).unwrap();
    client.read_exact(&mut [0; 4 + 4 + 1]).expect("the server answers");
}

/// Of sizes around those of the buffers, so that reads end in all places of a frame.
#[tokio::test]
async fn batches_that_come_faster_than_they_are_read_keep_their_bytes_and_order() {
    let (_server, address) = serve_clients(settings(), &Toy::default());
    let sizes = [16_700, 9, 4_082, 130_000, 16_370, 70_000, 131_058, 140_000, 33_000, 2];
    let bodies: Vec<Vec<u8>> = (0..300_usize)
        .map(|nth| {
            (0..sizes[nth % sizes.len()]).map(|at| if at == 0 { b'n' } else { (nth + at) as u8 }).collect()
        })
        .collect();
    let all: Vec<u8> = bodies.iter().enumerate().flat_map(|(id, body)| request(id as i32, body)).collect();
    let (mut input, mut output) = Client::connect(address).await.0.into_split();
    let sender = tokio::spawn(async move {
        tokio::io::AsyncWriteExt::write_all(&mut output, &all).await.unwrap();
        output
    });
    for (id, body) in bodies.iter().enumerate() {
        let mut reply = vec![0; 4 + 4 + body.len()];
        soon(tokio::io::AsyncReadExt::read_exact(&mut input, &mut reply)).await.unwrap();
        assert_eq!(reply[4..8], (id as i32).to_be_bytes());
        assert!(reply[8..] == *body, "the bytes of request {id}");
    }
    sender.await.unwrap();
}

#[tokio::test]
async fn frames_may_come_in_any_pieces() {
    for serve in [serve, serve_clients] {
        let (_server, address) = serve(settings(), &Toy::default());
        pieces(address).await;
    }
}

async fn pieces(address: std::net::SocketAddr) {
    let mut client = Client::connect(address).await;
    let big: Vec<u8> = (0..300_000_u32).map(|i| if i == 0 { b'n' } else { i as u8 }).collect();
    for (step, body) in [(1, b"n!".to_vec()), (3, vec![b'n'; 17_000]), (7_001, big.clone()), (400_000, big)] {
        for piece in request(9, &body).chunks(step) {
            client.send(piece).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(soon(client.reply()).await.unwrap(), (9, body.into()));
    }
}

/// A file of 300,000 bytes that are not all alike.
fn a_file(disk: &dyn Disk, dir: &Path) -> (Arc<dyn File>, Vec<u8>) {
    let content: Vec<u8> = (0..300_000_u32).map(|i| (i / 7) as u8).collect();
    disk.create_dir(dir).unwrap();
    let file = disk.open(&dir.join("0.log"), Open::Create).unwrap();
    file.write_at(&[IoSlice::new(&content)], 0).unwrap();
    (file, content)
}

#[tokio::test]
async fn slices_of_files_go_out_from_any_disk() {
    let dir = tempfile::tempdir().unwrap();
    let real = a_file(&RealDisk, dir.path());
    let simulated = a_file(&FaultDisk::new(1), Path::new("/data"));
    assert!(real.0.fd().is_some() && simulated.0.fd().is_none());
    for (file, content) in [real, simulated] {
        let toy = Toy { file: Some(FileSlice { file, at: 1_000, len: 200_000 }), ..Toy::default() };
        let (_server, address) = serve(settings(), &toy);
        let body = soon(Client::connect(address).await.ask(1, b"f")).await.unwrap();
        assert_eq!(body[..200_000], content[1_000..201_000]);
        assert_eq!(&body[200_000..], b"end");
    }
}

#[tokio::test]
async fn a_file_cut_under_its_slice_ends_the_connection() {
    let dir = tempfile::tempdir().unwrap();
    let files = [a_file(&RealDisk, dir.path()), a_file(&FaultDisk::new(1), Path::new("/data"))];
    for (file, _) in files {
        file.set_len(100_000).unwrap();
        let toy = Toy { file: Some(FileSlice { file, at: 0, len: 200_000 }), ..Toy::default() };
        let (_server, address) = serve(settings(), &toy);
        assert_eq!(soon(Client::connect(address).await.ask(1, b"f")).await, None);
    }
}

/// A file on a device that gives nothing until it is told to.
#[derive(Debug)]
struct Cold {
    file: Arc<dyn File>,
    waits: Barrier,
    waited_for: AtomicBool,
    is_cached: AtomicBool,
    /// What it gives goes past the page cache.
    is_direct: bool,
}

impl File for Cold {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        self.file.read_at(buf, at)
    }
    fn write_at(&self, parts: &[IoSlice<'_>], at: u64) -> io::Result<()> {
        self.file.write_at(parts, at)
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
    fn map(&self, len: usize) -> io::Result<Box<dyn AsRef<[u8]> + Send + Sync>> {
        self.file.map(len)
    }
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.file.fd()
    }
    fn is_cached(&self, _at: u64, _len: usize) -> bool {
        self.is_cached.load(Ordering::SeqCst)
    }
    fn load(&self, at: u64, len: usize) -> Option<Bytes> {
        if !self.waited_for.swap(true, Ordering::SeqCst) {
            self.waits.wait();
        }
        if self.is_direct {
            let mut loaded = vec![0; len];
            return self.file.read_exact_at(&mut loaded, at).ok().map(|()| loaded.into());
        }
        self.is_cached.store(true, Ordering::SeqCst);
        None
    }
}

#[tokio::test]
async fn nobody_waits_for_what_another_reads_from_a_device() {
    for is_direct in [false, true] {
        read_from_a_device(is_direct).await;
    }
}

async fn read_from_a_device(is_direct: bool) {
    let dir = tempfile::tempdir().unwrap();
    let (file, content) = a_file(&RealDisk, dir.path());
    let cold = Cold {
        file,
        waits: Barrier::new(2),
        waited_for: AtomicBool::new(false),
        is_cached: AtomicBool::new(false),
        is_direct,
    };
    let cold = Arc::new(cold);
    let toy = Toy { file: Some(FileSlice { file: cold.clone(), at: 0, len: 300_000 }), ..Toy::default() };
    let (_server, address) = serve(settings(), &toy);
    let mut reader = Client::connect(address).await;
    reader.send(&request(1, b"f")).await;
    until(|| toy.begun.load(Ordering::SeqCst) == 1).await;
    let mut other = Client::connect(address).await;
    let answer = soon(other.ask(2, b"n")).await;
    assert_eq!(answer.as_deref(), Some(&b"n"[..]));
    tokio::task::spawn_blocking(move || cold.waits.wait()).await.unwrap();
    let (_, body) = soon(reader.reply()).await.unwrap();
    assert_eq!(body[..300_000], content);
}
