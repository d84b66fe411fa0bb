//! Creates, changes and reads the key file: TOML with four rings, whose first key writes.
//!
//! ```toml
//! version = 1
//! [[token]]                # session, login and CSRF tokens
//! id = "1f0c93ab"
//! key = "<base64 of 32 bytes>"
//! [[data]]                 # second-factor secrets at rest
//! [[pepper]]               # peppers of password hashes
//! [[assertion]]            # identity assertions to apps
//! es256 = "<base64 of PKCS #8>"
//! ```
//!
//! The file is only ever replaced as a whole, has mode 0600 from the moment it exists, and no key
//! is ever printed. What the keys are good for is the business of [`crate::auth::keys`].

mod disk;
mod format;

use std::io;
use std::path::{Path, PathBuf};

use self::format::Rings;
use crate::auth::keys::KeyMaterial;
use crate::base::random::{OsRandom, RandomError};

/// An error from creating, rotating or reading a key file.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file does not exist.
    #[error("the key file {path} does not exist: run `vestibule keys init {path}`", path = .0.display())]
    Missing(PathBuf),
    /// The file exists already. Its keys may be in use.
    #[error(
        "the file {path} exists already and was not changed: use `vestibule keys rotate {path}` \
         to add new keys",
        path = .0.display()
    )]
    Exists(PathBuf),
    /// Users other than the owner can access the file.
    #[error(
        "the key file {path} has mode {mode:04o}: other users can access it, run `chmod 600 {path}`",
        path = .path.display()
    )]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The content is invalid.
    #[error("{path} is not a key file: {why}", path = .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The reason. Contains no key.
        why: String,
    },
    /// Keys were added before and do not write yet.
    #[error(
        "{path} already holds added keys: make them write with `vestibule keys use {path}` first",
        path = .0.display()
    )]
    AddedAlready(PathBuf),
    /// No added keys wait to be used.
    #[error(
        "{path} holds no added keys: run `vestibule keys add {path}` first, and reload every node",
        path = .0.display()
    )]
    NothingAdded(PathBuf),
    /// A system call failed.
    #[error("the key file {path} cannot be {doing}: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// "read" or "written".
        doing: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// The system's random number generator failed.
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// Creates a key file with one key in each ring. An existing file is not changed. If several
/// processes try at once, one succeeds and the others get [`KeyFileError::Exists`]. The directory
/// must exist.
pub fn init(path: &Path) -> Result<(), KeyFileError> {
    let rings = Rings::generate(&OsRandom::new())?;
    disk::create(path, &rings.to_text())
}

/// Adds a new key for reading to every ring. Keeps the other keys, the file's mode and its owner.
/// Refused while earlier additions do not write yet, so that none is used before all nodes have it.
pub fn add(path: &Path) -> Result<(), KeyFileError> {
    change(path, |rings| {
        if rings.has_added() {
            return Err(KeyFileError::AddedAlready(path.to_owned()));
        }
        Ok(rings.add(&OsRandom::new())?)
    })
}

/// Makes the added keys the ones that write. The former ones stay for reading.
pub fn use_added(path: &Path) -> Result<(), KeyFileError> {
    change(path, |rings| {
        if !rings.has_added() {
            return Err(KeyFileError::NothingAdded(path.to_owned()));
        }
        rings.use_added();
        Ok(())
    })
}

/// Adds a new key to every ring and makes it write at once, for a single node. Data protected by an
/// old key stays readable. Concurrent rotations run one after another.
pub fn rotate(path: &Path) -> Result<(), KeyFileError> {
    change(path, |rings| {
        rings.add(&OsRandom::new())?;
        rings.use_added();
        Ok(())
    })
}

fn change(
    path: &Path,
    changing: impl FnOnce(&mut Rings) -> Result<(), KeyFileError>,
) -> Result<(), KeyFileError> {
    disk::replace(path, |text| {
        let mut rings = Rings::parse(text)
            .map_err(|why| KeyFileError::Malformed { path: path.to_owned(), why })?;
        changing(&mut rings)?;
        Ok(rings.to_text())
    })
}

/// Loads the keys. The first of each ring writes. Returns an error if others can access the file.
pub fn load(path: &Path) -> Result<KeyMaterial, KeyFileError> {
    let text = disk::read(path)?;
    let rings = Rings::parse(&text)
        .map_err(|why| KeyFileError::Malformed { path: path.to_owned(), why })?;
    Ok(rings.into_material())
}

/// Loads the keys and creates the file first if it does not exist, for a first start with embedded
/// stores. Concurrent processes get the same keys.
pub fn load_or_init(path: &Path) -> Result<KeyMaterial, KeyFileError> {
    match load(path) {
        Err(KeyFileError::Missing(_)) => {}
        known => return known,
    }
    match init(path) {
        Ok(()) | Err(KeyFileError::Exists(_)) => load(path),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_new_key_file_is_for_its_owner_only_and_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.toml");
        init(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
        let before = std::fs::read_to_string(&path).unwrap();
        assert!(matches!(init(&path), Err(KeyFileError::Exists(_))));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), before);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn rotation_puts_new_keys_in_front_and_keeps_the_old_and_the_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.toml");
        init(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
        let old = load(&path).unwrap();
        rotate(&path).unwrap();
        assert_eq!(mode(&path), 0o400);
        let new = load(&path).unwrap();
        for (old, new) in
            [(&old.token, &new.token), (&old.data, &new.data), (&old.pepper, &new.pepper)]
        {
            assert_eq!(new.len(), 2);
            assert_eq!(new.last().unwrap().id, old.first().unwrap().id);
            assert!(new.last().unwrap().bytes == old.first().unwrap().bytes);
            assert!(new.first().unwrap().bytes != old.first().unwrap().bytes);
        }
    }

    #[test]
    fn added_keys_read_at_once_and_write_when_they_are_used() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.toml");
        init(&path).unwrap();
        let ids = || load(&path).unwrap().token.iter().map(|k| k.id.clone()).collect::<Vec<_>>();
        assert!(matches!(use_added(&path), Err(KeyFileError::NothingAdded(_))));
        rotate(&path).unwrap();
        let before = ids();
        add(&path).unwrap();
        let added = ids();
        assert_eq!((added.len(), &added[0], &added[2]), (3, &before[0], &before[1]));
        assert!(matches!(add(&path), Err(KeyFileError::AddedAlready(_))));
        assert_eq!(ids(), added);
        use_added(&path).unwrap();
        assert_eq!(ids(), [added[1].clone(), before[0].clone(), before[1].clone()]);
        assert!(matches!(use_added(&path), Err(KeyFileError::NothingAdded(_))));
        assert!(!std::fs::read_to_string(&path).unwrap().contains("\nadded"));
    }

    #[test]
    fn rotations_at_the_same_time_lose_no_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.toml");
        init(&path).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| rotate(&path).unwrap());
            }
        });
        assert_eq!(load(&path).unwrap().token.len(), 9);
    }

    #[test]
    fn processes_that_start_at_the_same_time_get_the_same_keys() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.toml");
        let ids: Vec<String> = std::thread::scope(|scope| {
            let starts: Vec<_> =
                (0..8).map(|_| scope.spawn(|| load_or_init(&path).unwrap())).collect();
            starts
                .into_iter()
                .map(|s| s.join().unwrap().token.first().unwrap().id.clone())
                .collect()
        });
        assert!(ids.windows(2).all(|pair| pair.first() == pair.last()), "{ids:?}");
    }

    #[test]
    fn a_key_file_that_others_can_read_is_rejected() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.toml");
        init(&path).unwrap();
        for open in [0o640, 0o604, 0o620] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(open)).unwrap();
            let said = load(&path).unwrap_err().to_string();
            assert!(said.contains("chmod 600"), "{said}");
        }
    }

    #[test]
    fn rotation_keeps_a_symbolic_link() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real.toml"), dir.path().join("keys.toml"));
        init(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        rotate(&link).unwrap();
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(load(&real).unwrap().token.len(), 2);
    }
}
