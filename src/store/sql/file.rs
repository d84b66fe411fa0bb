//! The file of an embedded database: private to its owner, and prepared by one process at a time.
//! This module does not know its content.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::owner::{
    belongs_to_owner_of_directory, give_to_owner_of_directory, open_or_create,
};

/// Pause between checks whether another process has finished preparing.
const POLL: Duration = Duration::from_millis(20);
/// Number of checks: ten seconds in all.
const POLLS: u32 = 500;

/// Creates the file (0600) and its directory (0700) if they do not exist, and removes access for
/// other users. Returns the path with its directory made absolute.
pub(super) fn prepare(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let dir = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let path = dir.canonicalize()?.join(name);
    private(&path)?;
    Ok(path)
}

fn private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = open_or_create(options.read(true).write(true), path)?;
    let open_to_others = file.metadata()?.permissions().mode() & 0o077 != 0;
    if open_to_others && belongs_to_owner_of_directory(&file, path)? {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

/// Waits for the lock that allows preparing the database at `path`. The returned file holds the
/// lock, for the life of the process at most.
pub(super) async fn lock(path: &Path) -> io::Result<File> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    let file = private(Path::new(&beside))?;
    for _ in 0..POLLS {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(POLL).await,
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// Shares the database at `path` with other processes that use it, until the returned file is
/// dropped. Fails while one has taken it alone.
pub(super) fn share(path: &Path) -> io::Result<File> {
    let file = private(&in_use(path))?;
    match file.try_lock_shared() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(io::Error::new(io::ErrorKind::ResourceBusy, "it is being restored"))
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Takes the database at `path` alone. Returns `None` while another process uses it.
pub(super) fn alone(path: &Path) -> io::Result<Option<File>> {
    let file = private(&in_use(path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn in_use(path: &Path) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".inuse");
    beside.into()
}

/// Creates an empty file (0600). Fails if it exists.
pub(super) fn create_private(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
    give_to_owner_of_directory(&file, path)?;
    Ok(file)
}

/// Returns the URL of a SQLite file, with special bytes escaped.
pub(super) fn url(path: &Path) -> String {
    use std::fmt::Write as _;
    let mut url = "sqlite://".to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"/-_.~".contains(byte);
        let written = if plain {
            url.push(char::from(*byte));
            Ok(())
        } else {
            write!(url, "%{byte:02X}")
        };
        debug_assert!(written.is_ok(), "writing to a string cannot fail");
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_odd_characters_is_escaped() {
        assert_eq!(url(Path::new("/a b/ü?#.db")), "sqlite:///a%20b/%C3%BC%3F%23.db");
    }

    #[test]
    fn a_database_in_use_is_not_taken_alone_and_one_taken_alone_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("accounts.db");
        let (one, two) = (share(&path).unwrap(), share(&path).unwrap());
        drop(one);
        assert!(alone(&path).unwrap().is_none());
        drop(two);
        let taken = alone(&path).unwrap().unwrap();
        assert!(share(&path).is_err());
        drop(taken);
        share(&path).unwrap();
    }

    #[test]
    fn access_by_other_users_is_removed_from_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/accounts.db");
        let made = prepare(&path).unwrap();
        std::fs::set_permissions(&made, Permissions::from_mode(0o644)).unwrap();
        prepare(&path).unwrap();
        let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&made), 0o600);
        assert_eq!(mode(made.parent().unwrap()), 0o700);
    }
}
