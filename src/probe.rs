//! Asks a running node whether it serves: what a health check of a container runs.

use crate::config::HostPort;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(1);
/// ApiVersions 0 with correlation id 1 and without client id.
const QUESTION: &[u8] = &[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff];

/// Returns once the node at `at` has answered. A node that starts accepts connections, and answers when it is ready.
pub fn probe(at: &HostPort) -> io::Result<()> {
    let found = (at.host.as_str(), at.port).to_socket_addrs()?;
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in found {
        match TcpStream::connect_timeout(&address, LIMIT).and_then(|mut stream| ask(&mut stream)) {
            Ok(()) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn ask(stream: &mut TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(QUESTION)?;
    let mut answer = [0; 8];
    stream.read_exact(&mut answer)?;
    match answer[4..] {
        [0, 0, 0, 1] => Ok(()),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}
