//! One partition's directory: file names in, open files out. It may be renamed while files in it are open.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Disk, Entry, File, Open, create_dir_durably, parent};
use crate::files::FileCache;
use crate::sync::RwLock;

use crate::log::LogEnv;

/// Shared by the log's owner, its readers and its segments, so that all follow a rename.
#[derive(Debug)]
pub(crate) struct Directory {
    env: LogEnv,
    path: RwLock<PathBuf>,
}

impl Directory {
    /// The directory at `path`, made, durably, if missing.
    pub fn open(env: LogEnv, path: PathBuf) -> io::Result<Arc<Directory>> {
        create_dir_durably(&*env.disk, &path)?;
        Ok(Arc::new(Directory { env, path: RwLock::new(path) }))
    }

    pub fn path(&self) -> PathBuf {
        self.path.read().clone()
    }

    pub fn disk(&self) -> &dyn Disk {
        &*self.env.disk
    }

    pub fn files(&self) -> &FileCache {
        &self.env.files
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.path.read().join(name)
    }

    pub fn list(&self) -> io::Result<Vec<Entry>> {
        let path = self.path();
        self.files().making_room(|| self.disk().list(&path))
    }

    /// Opened before the directory can get another name: its old one may be another log's then.
    pub fn open_file(&self, name: &str, how: Open) -> io::Result<Arc<dyn File>> {
        let path = self.path.read();
        self.files().get(&path.join(name), how)
    }

    pub fn rename_file(&self, from: &str, to: &str) -> io::Result<()> {
        let from = self.join(from);
        self.disk().rename(&from, &self.join(to))?;
        self.files().forget(&from);
        Ok(())
    }

    pub fn remove_file(&self, name: &str) -> io::Result<()> {
        let path = self.join(name);
        self.disk().remove(&path)?;
        self.files().forget(&path);
        Ok(())
    }

    /// Makes the names of the files durable.
    pub fn sync(&self) -> io::Result<()> {
        let path = self.path();
        self.files().making_room(|| self.disk().sync_dir(&path))
    }

    /// Gives the whole directory another name beside its old one; durable on return.
    pub fn rename(&self, to: &Path) -> io::Result<()> {
        let mut path = self.path.write();
        self.disk().rename(&path, to)?;
        self.files().forget(&path);
        *path = to.to_owned();
        self.files().making_room(|| self.disk().sync_dir(parent(to)))
    }
}

/// `Ok(None)` where the file does not exist.
pub(crate) fn if_exists<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}
