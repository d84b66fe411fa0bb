//! The description of a backup, `backup.json`. It is written last: a directory without one holds no
//! complete backup. It is signed with a key derived from the data keys, so a backup that was changed by
//! someone without the key file is refused.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use super::{AppError, accounts_file, failed};
use crate::auth::keys::{KeyRing, SignatureCheck};
use crate::store::sql::{Rows, SqlStore};

const FILE: &str = "backup.json";
const FORMAT: u32 = 2;
/// Maximum size of the file.
const BYTES_MAX: u64 = 1 << 20;

/// The description of a backup.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Manifest {
    format: u32,
    /// Version of Vestibule that made the backup.
    pub version: String,
    /// Time when it was made, in UTC.
    pub made_at: String,
    /// Rows by table of the account database.
    pub rows: Rows,
    /// SHA-256 of the account database.
    pub sha256: String,
    /// Number of the last row of the audit log.
    pub audit_row: u64,
    /// Hash of that row.
    pub audit_hash: String,
    /// True if the audit log was as written.
    pub audit_intact: bool,
    /// True if the backup holds the key file.
    pub keys: bool,
    /// HMAC of all of the above, and the id of its data key.
    #[serde(default)]
    pub signature: String,
}

impl Manifest {
    /// Describes the database in `dir` except for its audit log.
    pub(super) fn of(
        dir: &Path,
        rows: Rows,
        made_at: String,
        keys: bool,
    ) -> Result<Self, AppError> {
        Ok(Self {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            made_at,
            rows,
            sha256: digest(&accounts_file(dir))?,
            audit_row: 0,
            audit_hash: String::new(),
            audit_intact: false,
            keys,
            signature: String::new(),
        })
    }

    /// Signs it, once it is complete.
    pub(super) fn sign(&mut self, keys: &KeyRing) -> Result<(), AppError> {
        self.signature = keys.sign_backup(&self.signed()?);
        Ok(())
    }

    /// Returns an error unless it is as signed, by a data key of this ring.
    pub(super) fn verify(&self, keys: &KeyRing) -> Result<(), String> {
        let text = self.signed().map_err(|error| error.to_string())?;
        let why = match keys.check_backup(&text, &self.signature) {
            SignatureCheck::Right => return Ok(()),
            SignatureCheck::Wrong => "the signature in backup.json is wrong".to_owned(),
            SignatureCheck::UnknownKey(id) => format!("the key file has no data key {id:?}"),
        };
        Err(format!("it was made with other keys or was changed: {why}"))
    }

    /// Returns the text that is signed. It names every field, so a change of the fields needs another
    /// format.
    fn signed(&self) -> Result<Vec<u8>, AppError> {
        let unsigned = Self { signature: String::new(), ..self.clone() };
        serde_json::to_vec(&unsigned).map_err(|error| AppError::Other(error.to_string()))
    }

    /// Writes it to a backup.
    pub(super) fn write(&self, dir: &Path) -> Result<(), AppError> {
        let path = dir.join(FILE);
        let text = serde_json::to_vec_pretty(self).map_err(std::io::Error::other);
        let text = text.map_err(failed("write", &path))?;
        let mut file = SqlStore::create_private(&path)?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(failed("write", &path))
    }

    /// Reads the description of the backup in `dir`.
    pub(super) fn read(dir: &Path) -> Result<Self, AppError> {
        let path = dir.join(FILE);
        let file = File::open(&path).map_err(|error| {
            if error.kind() == std::io::ErrorKind::NotFound {
                AppError::Other(format!("{} holds no complete backup: no {FILE}", dir.display()))
            } else {
                failed("read", &path)(error)
            }
        })?;
        let mut text = Vec::new();
        file.take(BYTES_MAX).read_to_end(&mut text).map_err(failed("read", &path))?;
        let found: Self = serde_json::from_slice(&text)
            .map_err(|error| AppError::Other(format!("{}: {error}", path.display())))?;
        if found.format != FORMAT {
            let age = if found.format > FORMAT { "a newer" } else { "an older" };
            return Err(AppError::Other(format!(
                "the backup in {} has format {}: it was made by {age} version, {}",
                dir.display(),
                found.format,
                found.version
            )));
        }
        Ok(found)
    }
}

/// Returns the SHA-256 of a file in hexadecimal.
pub(super) fn digest(path: &Path) -> Result<String, AppError> {
    let mut file = File::open(path).map_err(failed("read", path))?;
    let (mut context, mut buffer) = (Context::new(&SHA256), vec![0; 64 * 1024]);
    loop {
        let read = file.read(&mut buffer).map_err(failed("read", path))?;
        match buffer.get(..read) {
            Some(bytes) if read > 0 => context.update(bytes),
            _ => return Ok(data_encoding::HEXLOWER.encode(context.finish().as_ref())),
        }
    }
}
