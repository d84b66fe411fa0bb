//! The file of an embedded database: private to its owner, and prepared by one process at a time.
//! Knows nothing of what is in it.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Between two looks whether another process has finished preparing.
const POLL: Duration = Duration::from_millis(20);
/// How often to look: ten seconds in all.
const POLLS: u32 = 500;

/// Makes the file (0600) and its directory (0700) where they are missing, and takes from everybody
/// else the access to the file. The path with its directory made absolute.
pub(super) fn prepare(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let dir = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let path = dir.canonicalize()?.join(name);
    private(&path)?;
    Ok(path)
}

fn private(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

/// Waits for the right to prepare the database at `path`; it lasts as long as the file returned,
/// and no longer than the process.
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

/// The address of a SQLite file, every unusual byte escaped.
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
        debug_assert!(written.is_ok(), "a string takes whatever is written to it");
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
    fn a_file_that_others_could_read_is_closed_to_them() {
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
