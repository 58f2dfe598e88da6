//! Errors of the disk: each names the path, and is told apart into broken directories and conditions of the process.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// What the system said about one path. Travels inside an [`io::Error`], whose kind it keeps.
#[derive(Debug)]
struct PathError {
    path: PathBuf,
    source: io::Error,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.source)
    }
}

impl std::error::Error for PathError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// `error` with `path` in its message; kind and [`os_code`] stay.
pub fn at_path(path: &Path, error: impl Into<io::Error>) -> io::Error {
    let source = error.into();
    io::Error::new(source.kind(), PathError { path: path.to_owned(), source })
}

/// The operating system's error number, also behind a path.
pub fn os_code(error: &io::Error) -> Option<i32> {
    let inner = || error.get_ref()?.downcast_ref::<PathError>();
    error.raw_os_error().or_else(|| os_code(&inner()?.source))
}

/// What an I/O error says about the log directory in which it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The directory can no longer be trusted or written: it goes offline.
    Broken,
    /// The process lacks something (descriptors, memory) or was interrupted; the directory is sound.
    Process,
    /// Says nothing about the directory: a missing file, a name in use, bytes that end too early.
    Other,
}

const BROKEN: [Errno; 13] = [
    Errno::IO,
    Errno::NOSPC,
    Errno::ROFS,
    Errno::DQUOT,
    Errno::NODEV,
    Errno::NXIO,
    Errno::STALE,
    Errno::UCLEAN,
    Errno::BADMSG,
    Errno::ACCESS,
    Errno::PERM,
    Errno::NOTCONN,
    Errno::TIMEDOUT,
];
const PROCESS: [Errno; 5] = [Errno::MFILE, Errno::NFILE, Errno::INTR, Errno::NOMEM, Errno::AGAIN];

/// Tells a broken directory from a condition of the process that takes no directory offline.
pub fn verdict(error: &io::Error) -> Verdict {
    let Some(code) = os_code(error) else { return Verdict::Other };
    let is = |errno: &Errno| errno.raw_os_error() == code;
    match () {
        () if BROKEN.iter().any(is) => Verdict::Broken,
        () if PROCESS.iter().any(is) => Verdict::Process,
        () => Verdict::Other,
    }
}

/// Whether the process, or the machine, is out of file descriptors.
pub fn out_of_descriptors(error: &io::Error) -> bool {
    os_code(error).is_some_and(|code| [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error).contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_and_code_survive_wrapping() {
        let error = at_path(Path::new("/logs/a"), at_path(Path::new("inner"), Errno::NOSPC));
        assert_eq!(os_code(&error), Some(Errno::NOSPC.raw_os_error()));
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(error.to_string().starts_with("/logs/a: inner: "), "{error}");
    }

    #[test]
    fn verdicts() {
        let of = |errno: Errno| verdict(&at_path(Path::new("x"), errno));
        assert_eq!(of(Errno::IO), Verdict::Broken);
        assert_eq!(of(Errno::NOSPC), Verdict::Broken);
        assert_eq!(of(Errno::MFILE), Verdict::Process);
        assert_eq!(of(Errno::NOMEM), Verdict::Process);
        assert_eq!(of(Errno::NOENT), Verdict::Other);
        assert_eq!(verdict(&io::ErrorKind::UnexpectedEof.into()), Verdict::Other);
        assert!(out_of_descriptors(&Errno::NFILE.into()) && !out_of_descriptors(&Errno::IO.into()));
    }
}
