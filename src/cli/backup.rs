//! `vestibule backup` and `vestibule restore`

use serde_json::json;

use super::args::{BackupArgs, RestoreArgs};
use super::failure::Failure;
use super::{Streams, input, meta};
use crate::app::{self, Manifest};

const TAMPERED: &str = "the audit log in the backup was changed after it was written";
const VERIFY: &str = "the backup is complete; `vestibule audit verify` lists the rows";

/// Writes a backup.
pub(super) fn back_up(arguments: &BackupArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let settings = input::state_settings(&arguments.state)?;
    let making = app::back_up(&settings, &arguments.dir, !arguments.without_keys);
    let made = input::runtime(1)?.block_on(Box::pin(making))?;
    let dir = arguments.dir.display();
    if arguments.state.json {
        meta::json(&json!({ "dir": dir.to_string(), "backup": made }), streams.output)?;
    } else {
        writeln!(streams.output, "backed up to {dir}")?;
        print_rows(&made, streams)?;
    }
    let keys = settings.keys_file.display();
    if made.keys {
        writeln!(
            streams.errors,
            "note: the backup holds the key file: it gives access to every account, so keep it \
             as safe as {keys}"
        )?;
    } else {
        writeln!(
            streams.errors,
            "note: the key file {keys} is not in the backup: keep a copy of it in another place"
        )?;
    }
    if made.audit_intact { Ok(()) } else { Err(Failure::failed(TAMPERED, Some(VERIFY))) }
}

/// Restores a backup.
pub(super) fn restore(arguments: &RestoreArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let settings = input::state_settings(&arguments.state)?;
    let restoring = app::restore(&settings, &arguments.dir, arguments.replace);
    let done = input::runtime(1)?.block_on(Box::pin(restoring))?;
    if arguments.state.json {
        let former = done.former.as_ref().map(|dir| dir.display().to_string());
        let (backup, keys) = (&done.manifest, done.keys);
        let told = json!({ "backup": backup, "keys_restored": keys, "former_files": former });
        meta::json(&told, streams.output)?;
    } else {
        writeln!(streams.output, "restored the backup of {}", done.manifest.made_at)?;
        print_rows(&done.manifest, streams)?;
        if done.keys {
            let file = settings.keys_file.display();
            writeln!(streams.output, "restored the key file {file}")?;
        }
        if let Some(dir) = &done.former {
            writeln!(streams.output, "moved the former files to {}", dir.display())?;
        }
    }
    let note = "note: all sessions have ended, so all users sign in again, and one-time links are gone: \
                `vestibule user ticket NAME` makes new ones";
    Ok(writeln!(streams.errors, "{note}")?)
}

fn print_rows(backup: &Manifest, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let of = |table: &str| backup.rows.get(table).copied().unwrap_or_default();
    writeln!(streams.output, "accounts:   {}", of("accounts"))?;
    writeln!(streams.output, "audit rows: {}", of("audit"))?;
    Ok(writeln!(streams.output, "last row:   {}:{}", backup.audit_row, backup.audit_hash)?)
}
