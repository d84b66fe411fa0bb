//! `vestibule restore`

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::manifest::digest;
use super::{AppError, KEYS_FILE, Manifest, accounts_file, copy_private, data_dir, failed};
use super::{sync_dir, verify};
use crate::app::base::make_private_dir;
use crate::app::stores::SESSIONS_FILE;
use crate::auth::audit::{Finding, RecordedRow};
use crate::auth::ended::RecordedEnds;
use crate::auth::keys::{KeyMaterial, KeyRing};
use crate::base::clock::{Clock, SystemClock};
use crate::config::keys::{self, KeyFileError};
use crate::config::settings::Settings;
use crate::store::sql::{SqlStore, SqlTarget};

/// Endings of the files that SQLite keeps beside a database.
const ENDINGS: [&str; 4] = ["", "-wal", "-shm", "-journal"];
/// Endings of the files that Vestibule keeps beside a database.
const LOCKS: [&str; 2] = [".lock", ".inuse"];

/// A finished restore.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The backup.
    pub manifest: Manifest,
    /// Directory that the former files were moved to, if there were any.
    pub former: Option<PathBuf>,
    /// True if the key file came from the backup.
    pub keys: bool,
}

/// Restores the backup in `dir`. Existing files are moved aside if `replace` is true, otherwise they
/// are an error. No process may use the data directory.
pub async fn restore(settings: &Settings, dir: &Path, replace: bool) -> Result<Restored, AppError> {
    let data = data_dir(settings)?;
    let manifest = Manifest::read(dir)?;
    let (material, keys) = choose_keys(settings, dir)?;
    make_private_dir(data)?;
    let target = accounts_file(data);
    let Some(alone) = SqlStore::take_alone(&target)? else {
        return Err(AppError::Other(format!(
            "{} is in use by another process: stop the gateway first",
            target.display()
        )));
    };
    let former = former_files(data);
    if let Some(file) = former.first()
        && !replace
    {
        return Err(AppError::Other(format!(
            "{} exists: a restore overwrites nothing. --replace moves the former files aside",
            file.display()
        )));
    }
    let incoming = data.join("accounts.db.incoming");
    let taken = async {
        take_in(dir, &incoming, &manifest, &material).await?;
        SqlStore::cut_off_copy(&incoming, RecordedEnds::kept(settings.sessions)).await?;
        Ok(())
    };
    let checked: Result<(), AppError> = taken.await;
    for ending in ENDINGS.iter().chain(&LOCKS).filter(|ending| !ending.is_empty()) {
        drop(fs::remove_file(beside(&incoming, ending)));
    }
    let bring = || keys.then(|| bring_keys(dir, &settings.keys_file)).transpose();
    let new_keys = match checked.and_then(|()| bring()) {
        Ok(new_keys) => new_keys,
        Err(error) => {
            // The error of the check counts, not one of the removal.
            drop(fs::remove_file(&incoming));
            return Err(error);
        }
    };
    let mut aside = Aside::default();
    let placed = aside.take(data, &former).and_then(|()| {
        fs::rename(&incoming, &target).map_err(failed("write", &target))?;
        // The key file goes last: accounts without it are an error at the start, while no accounts
        // would be a new installation.
        if let Some(incoming) = &new_keys {
            fs::rename(incoming, &settings.keys_file)
                .map_err(failed("write", &settings.keys_file))?;
        }
        sync_dir(data)
    });
    if let Err(error) = placed {
        return Err(aside.put_back(error));
    }
    drop(alone);
    Ok(Restored { manifest, former: aside.dir, keys })
}

/// Copies the key file of a backup to a new file beside its place. Returns its path.
fn bring_keys(dir: &Path, place: &Path) -> Result<PathBuf, AppError> {
    let incoming = beside(place, ".incoming");
    // Left over from a restore that was interrupted.
    drop(fs::remove_file(&incoming));
    copy_private(&dir.join(KEYS_FILE), &incoming)?;
    Ok(incoming)
}

/// Returns the keys that are in effect after the restore, and true if they come from the backup. An
/// existing key file stays.
fn choose_keys(settings: &Settings, dir: &Path) -> Result<(KeyMaterial, bool), AppError> {
    match keys::load(&settings.keys_file) {
        Err(KeyFileError::Missing(file)) => match keys::load(&dir.join(KEYS_FILE)) {
            Ok(material) => Ok((material, true)),
            Err(KeyFileError::Missing(_)) => Err(AppError::Other(format!(
                "the key file {} does not exist and the backup holds none: put it back first",
                file.display()
            ))),
            Err(error) => Err(error.into()),
        },
        found => Ok((found?, false)),
    }
}

/// Copies the database of a backup to `incoming` and checks the copy, by the signature of its
/// description first.
async fn take_in(
    dir: &Path,
    incoming: &Path,
    manifest: &Manifest,
    keys: &KeyMaterial,
) -> Result<(), AppError> {
    // Left over from a restore that was interrupted.
    drop(fs::remove_file(incoming));
    copy_private(&accounts_file(dir), incoming)?;
    let wrong = |what: &str| AppError::Other(format!("the backup in {}: {what}", dir.display()));
    manifest.verify(&KeyRing::new(keys)?).map_err(|why| wrong(&why))?;
    if digest(incoming)? != manifest.sha256 {
        return Err(wrong("accounts.db was changed after the backup was made"));
    }
    // Fails if a newer version made the tables.
    SqlStore::look(&SqlTarget::Embedded(incoming.to_owned())).await?;
    if SqlStore::count_copy(incoming).await? != manifest.rows {
        return Err(wrong("accounts.db does not have the rows that backup.json lists"));
    }
    let noted = RecordedRow { seq: manifest.audit_row, hash: manifest.audit_hash.clone() };
    let noted = (noted.seq > 0).then_some(&noted);
    let report = verify(incoming, keys, noted).await?;
    let missing = |finding: &&Finding| matches!(finding, Finding::KeyMissing { .. });
    if let Some(finding) = report.findings.iter().find(missing) {
        return Err(wrong(&format!("the key file is not the one it was made with: {finding}")));
    }
    match report.findings.first() {
        Some(finding) if manifest.audit_intact => Err(wrong(&finding.to_string())),
        _ => Ok(()),
    }
}

/// Returns the files of the embedded stores.
fn former_files(data: &Path) -> Vec<PathBuf> {
    let stores = [accounts_file(data), data.join(SESSIONS_FILE)];
    let all = stores.iter().flat_map(|store| ENDINGS.iter().map(|ending| beside(store, ending)));
    all.filter(|file| fs::symlink_metadata(file).is_ok()).collect()
}

/// The former files, moved to a directory beside them.
#[derive(Default)]
struct Aside {
    dir: Option<PathBuf>,
    /// Former and present path of each file that was moved.
    moved: Vec<(PathBuf, PathBuf)>,
}

impl Aside {
    /// Moves files to a new directory beside them.
    fn take(&mut self, data: &Path, files: &[PathBuf]) -> Result<(), AppError> {
        if files.is_empty() {
            return Ok(());
        }
        let now = SystemClock::new().now().rfc3339().replace(':', "");
        let dir = data.join(format!("before-restore-{now}"));
        fs::DirBuilder::new().mode(0o700).create(&dir).map_err(failed("create", &dir))?;
        self.dir = Some(dir.clone());
        // The database goes last: while it is there, a second attempt finds it.
        for file in files.iter().rev() {
            let Some(name) = file.file_name() else { continue };
            let to = dir.join(name);
            fs::rename(file, &to).map_err(failed("move", file))?;
            self.moved.push((file.clone(), to));
        }
        Ok(())
    }

    /// Moves the files back after a failure. Returns an error that says where they are.
    fn put_back(&self, failure: AppError) -> AppError {
        let Some(dir) = &self.dir else { return failure };
        let mut back = self.moved.iter().rev().map(|(place, moved)| fs::rename(moved, place));
        let state = if back.all(|done| done.is_ok()) {
            // Empty by now; if not, it stays.
            drop(fs::remove_dir(dir));
            "the former files are back in their place".to_owned()
        } else {
            format!(
                "the former files are in {}: move them back before the next start",
                dir.display()
            )
        };
        AppError::Other(format!("{failure}; {state}"))
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}
