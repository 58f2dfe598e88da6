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
        accept(listener, Arc::new(Logs::new(options))).await
    })
}

async fn accept(listener: TcpListener, logs: Arc<Logs>) -> Result<()> {
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        tokio::spawn(serve::serve(socket, logs.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::batch;
    use std::sync::Weak;
    use std::time::Duration;

    async fn until(condition: impl Fn() -> bool) {
        let waited = async {
            while !condition() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), waited).await.expect("it comes to pass");
    }

    #[tokio::test]
    async fn what_is_forgotten_is_let_go_of_by_followers_too() {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let options = |nth: usize, follower: Vec<String>| Options {
            listen: String::new(),
            dir: dirs[nth].path().into(),
            follower,
            sync: true,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let following = Arc::new(Logs::new(options(1, vec![])));
        tokio::spawn(accept(listener, following.clone()));
        let leading = Logs::new(options(0, vec![address]));

        let batch = batch::of(1 << 10);
        let log = leading.create(b"log", &batch).unwrap();
        let end = log.append(&batch).unwrap();
        until(|| log.kept.iter().all(|kept| *kept.borrow() == end)).await;
        let held = [Arc::downgrade(&log), Arc::downgrade(&following.get(b"log").unwrap())];
        drop(log);
        leading.forget();
        following.forget();
        until(|| held.iter().all(|log| Weak::strong_count(log) == 0)).await;
    }
}
