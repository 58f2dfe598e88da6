//! The floor: the barest program that moves the same bytes through the same system calls as a broker does, over the same
//! kind of event loop. It receives a batch, checks its CRC, appends it to a file and answers; it sends a file's bytes with
//! sendfile. With followers it sends each file on to them, and answers once both have appended. It looks at nothing that
//! this needs not: what a broker spends above it, it spends on being one.

mod log;
mod replicate;
mod serve;

use anyhow::Result;
use log::Logs;
pub use replicate::FORGET;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpListener;

#[derive(clap::Args, Debug)]
pub struct Options {
    /// Where to listen.
    #[arg(long)]
    pub listen: String,
    /// Where the files go.
    #[arg(long)]
    pub dir: PathBuf,
    /// Floors that keep a copy.
    #[arg(long)]
    pub follower: Vec<String>,
    /// Answers once what it answers is synced, many at once.
    #[arg(long)]
    pub sync: bool,
}

/// Serves until it is killed.
pub fn run(options: Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(&options.listen).await?;
        let logs = Arc::new(Logs::new(options));
        loop {
            let (socket, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            tokio::spawn(serve::serve(socket, logs.clone()));
        }
    })
}
