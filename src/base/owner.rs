//! The owner of new files.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;

/// Opens a file, or creates it (0600) for the owner of its directory. A file that exists keeps its
/// owner: it may be a link that the directory's owner placed for root to follow.
pub fn open_or_create(options: &OpenOptions, path: &Path) -> io::Result<File> {
    match options.clone().create_new(true).mode(0o600).open(path) {
        Ok(file) => {
            // Where that is not allowed, a process of another user reports the file that it cannot
            // open.
            drop(give_to_owner_of_directory(&file, path));
            Ok(file)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options.open(path),
        Err(error) => Err(error),
    }
}

/// Gives a file that this process created to the owner of its directory, so that a gateway can use
/// what root creates.
pub fn give_to_owner_of_directory(file: &File, path: &Path) -> io::Result<()> {
    let (owner, ours) = (directory(path).metadata()?, file.metadata()?);
    if ours.uid() == 0 && owner.uid() != 0 {
        fchown(file, Some(owner.uid()), Some(owner.gid()))?;
    }
    Ok(())
}

/// Returns true if a file belongs to the owner of its directory.
pub fn belongs_to_owner_of_directory(file: &File, path: &Path) -> io::Result<bool> {
    Ok(directory(path).metadata()?.uid() == file.metadata()?.uid())
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Makes a directory of another user. Returns `None` where the test does not run as root.
    fn directory_of_another() -> Option<tempfile::TempDir> {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(dir.path(), Some(65532), Some(65532)).ok()?;
        Some(dir)
    }

    fn uid(path: &Path) -> u32 {
        path.metadata().unwrap().uid()
    }

    #[test]
    fn a_file_that_root_creates_belongs_to_the_owner_of_its_directory() {
        let Some(dir) = directory_of_another() else { return };
        let path = dir.path().join("audit.jsonl");
        let mut options = OpenOptions::new();
        open_or_create(options.append(true), &path).unwrap();
        assert_eq!(uid(&path), 65532);
    }

    #[test]
    fn a_file_of_root_behind_a_link_in_the_directory_of_another_user_stays_roots() {
        let (Some(dir), roots) = (directory_of_another(), tempfile::tempdir().unwrap()) else {
            return;
        };
        let target = roots.path().join("shadow");
        std::fs::write(&target, "").unwrap();
        let path = dir.path().join("audit.jsonl");
        symlink(&target, &path).unwrap();
        let mut options = OpenOptions::new();
        let file = open_or_create(options.append(true), &path).unwrap();
        assert_eq!(uid(&target), 0);
        assert!(!belongs_to_owner_of_directory(&file, &path).unwrap());
    }
}
