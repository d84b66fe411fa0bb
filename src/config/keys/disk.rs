//! Key file storage: written atomically and readable only by its owner.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::KeyFileError;
use crate::base::owner::give_to_owner_of_directory;
use crate::base::random::{OsRandom, bytes};

/// Permission bits for anyone but the owner.
const OTHERS: u32 = 0o077;
/// Permission bits for anyone but the owner and readers in its group.
const BEYOND_READERS: u32 = 0o037;
/// Permission bits of a new key file.
const MODE: u32 = 0o600;
/// Maximum size of a key file. Real ones need a few hundred bytes per rotation.
const BYTES_MAX: u64 = 1 << 20;

fn io_error(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> KeyFileError {
    let path = path.to_owned();
    move |source| {
        if source.kind() == io::ErrorKind::NotFound && doing == "read" {
            KeyFileError::Missing(path)
        } else {
            KeyFileError::Io { path, doing, source }
        }
    }
}

/// Returns the permission bits that a key file must not have. A file of root may be readable for the
/// group of a gateway that does not run as root, which is how Kubernetes mounts secrets.
fn forbidden(owner: u32, process: u32) -> u32 {
    if owner == 0 && process != 0 { BEYOND_READERS } else { OTHERS }
}

/// Reads a key file. Returns an error if others can access it.
pub(super) fn read(path: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    read_with_metadata(path).map(|(text, _)| text)
}

fn read_with_metadata(path: &Path) -> Result<(Zeroizing<String>, fs::Metadata), KeyFileError> {
    let malformed =
        |why: &str| KeyFileError::Malformed { path: path.to_owned(), why: why.to_owned() };
    // Check the kind before opening, because opening a pipe would block.
    let kind = fs::metadata(path).map_err(io_error(path, "read"))?;
    if !kind.is_file() {
        return Err(malformed("it is not a regular file"));
    }
    let file = File::open(path).map_err(io_error(path, "read"))?;
    let metadata = file.metadata().map_err(io_error(path, "read"))?;
    let mode = metadata.permissions().mode() & 0o7777;
    let process = rustix::process::geteuid().as_raw();
    if mode & forbidden(metadata.uid(), process) != 0 {
        return Err(KeyFileError::TooOpen { path: path.to_owned(), mode });
    }
    if metadata.len() > BYTES_MAX {
        return Err(malformed("it is larger than 1 MiB"));
    }
    let mut raw = Zeroizing::new(Vec::new());
    file.take(BYTES_MAX).read_to_end(&mut raw).map_err(io_error(path, "read"))?;
    let text = std::str::from_utf8(&raw).map_err(|_not_text| malformed("it is not UTF-8 text"))?;
    Ok((Zeroizing::new(text.to_owned()), metadata))
}

/// Creates the file, owned by the owner of its directory. Returns an error if it exists.
pub(super) fn create(path: &Path, text: &str) -> Result<(), KeyFileError> {
    if fs::symlink_metadata(path).is_ok() {
        return Err(KeyFileError::Exists(path.to_owned()));
    }
    let (temporary, file) = Temporary::write(path, text)?;
    give_to_owner_of_directory(&file, path).map_err(io_error(path, "written"))?;
    // Unlike a rename, a link fails if another process created the file first.
    fs::hard_link(&temporary.0, path).map_err(|error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            KeyFileError::Exists(path.to_owned())
        } else {
            io_error(path, "written")(error)
        }
    })?;
    drop(temporary);
    sync_directory(path)
}

/// Replaces the content of the file with the result of `change`, keeping its mode and owner.
pub(super) fn replace(
    path: &Path,
    change: impl FnOnce(&str) -> Result<Zeroizing<String>, KeyFileError>,
) -> Result<(), KeyFileError> {
    let path = &fs::canonicalize(path).map_err(io_error(path, "read"))?;
    let directory = File::open(directory(path)).map_err(io_error(path, "written"))?;
    directory.lock().map_err(io_error(path, "written"))?;
    let (text, metadata) = read_with_metadata(path)?;
    let (temporary, file) = Temporary::write(path, &change(&text)?)?;
    let made = file.metadata().map_err(io_error(path, "written"))?;
    if (made.uid(), made.gid()) != (metadata.uid(), metadata.gid()) {
        fchown(&file, Some(metadata.uid()), Some(metadata.gid()))
            .map_err(io_error(path, "written"))?;
    }
    file.set_permissions(metadata.permissions()).map_err(io_error(path, "written"))?;
    file.sync_all().map_err(io_error(path, "written"))?;
    fs::rename(&temporary.0, path).map_err(io_error(path, "written"))?;
    sync_directory(path)
}

/// A temporary file beside the key file, removed on drop.
struct Temporary(PathBuf);

impl Temporary {
    fn write(beside: &Path, text: &str) -> Result<(Self, File), KeyFileError> {
        let random: [u8; 8] = bytes(&OsRandom::new())?;
        let name = format!(".keys-{}.tmp", data_encoding::HEXLOWER.encode(&random));
        let path = directory(beside).join(name);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(MODE)
            .open(&path)
            .map_err(io_error(beside, "written"))?;
        let temporary = Self(path);
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(io_error(beside, "written"))?;
        Ok((temporary, file))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After a rename it no longer exists. Any other failure to remove it is harmless.
        drop(fs::remove_file(&self.0));
    }
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

fn sync_directory(path: &Path) -> Result<(), KeyFileError> {
    File::open(directory(path)).and_then(|d| d.sync_all()).map_err(io_error(path, "written"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_group_of_a_file_of_root_may_read_it_and_only_beside_root() {
        let opened = |mode: u32, owner, process| mode & forbidden(owner, process) == 0;
        for (mode, owner, process, right) in [
            (0o600, 65532, 65532, true),
            (0o440, 0, 65532, true),
            (0o640, 0, 65532, true),
            (0o640, 0, 0, false),
            (0o640, 65532, 65532, false),
            (0o640, 65532, 0, false),
            (0o660, 0, 65532, false),
            (0o650, 0, 65532, false),
            (0o644, 0, 65532, false),
        ] {
            assert_eq!(opened(mode, owner, process), right, "{mode:o} {owner} {process}");
        }
    }
}
