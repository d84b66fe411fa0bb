//! Copies of an embedded account database: made while others use it, and read without changing it.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::time::Duration;

use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Executor as _, Row as _};

use crate::auth::ports::{EndedSessions as _, StoreError, Stored, Tickets as _};
use crate::auth::session::EndOf;

use super::database::Database;
use super::opening::options;
use super::reason::failure;
use super::{SQLITE, SqlStore, SqlTarget, file};

/// Number of attempts to count a database that is written to meanwhile.
const ROUNDS: u32 = 5;
const TABLES: &str = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE \
                      'sqlite!_%' ESCAPE '!' ORDER BY name";

/// Rows by table.
pub type Rows = BTreeMap<String, u64>;

impl SqlStore {
    /// Copies the database in the file `from` to `to`, which must not exist (mode 0600). The copy is
    /// consistent although other processes write. Returns its rows, which agree with the original.
    pub async fn copy_file(from: &Path, to: &Path) -> Stored<Rows> {
        if !from.try_exists().map_err(|error| unusable(from, &error))? {
            return Err(unusable(from, &std::io::ErrorKind::NotFound.into()));
        }
        for _ in 0..ROUNDS {
            let before = rows_of(from, "mode=rw").await?;
            vacuum_into(from, to).await?;
            let after = rows_of(from, "mode=rw").await?;
            let copied = Self::count_copy(to).await?;
            if agree(&before, &copied, &after) {
                return Ok(copied);
            }
            std::fs::remove_file(to).map_err(|error| unusable(to, &error))?;
        }
        Err(wrong(format!("a copy of {} has other rows than the original", from.display())))
    }

    /// Counts the rows of a copy and checks that no page is damaged and no reference dangles.
    pub async fn count_copy(path: &Path) -> Stored<Rows> {
        let mut connection = connect(path, READ_ONLY).await?;
        let sound = connection.fetch_all("PRAGMA integrity_check").await;
        let sound = sound.map_err(|error| failure(SQLITE, &error))?;
        let said: Vec<String> = sound.iter().filter_map(|row| row.try_get(0).ok()).collect();
        let dangling = connection.fetch_optional("PRAGMA foreign_key_check").await;
        let dangling = dangling.map_err(|error| failure(SQLITE, &error))?;
        if said != ["ok"] || dangling.is_some() {
            return Err(wrong(format!("{} is damaged", path.display())));
        }
        let rows = count(&mut connection).await.map_err(|error| failure(SQLITE, &error))?;
        connection.close().await.map_err(|error| failure(SQLITE, &error))?;
        Ok(rows)
    }

    /// Ends all sessions and deletes all one-time links in a copy that is about to be used, and
    /// migrates it. The ends are kept for `kept`.
    pub async fn cut_off_copy(path: &Path, kept: Duration) -> Stored<()> {
        let store = Self::open(SqlTarget::Embedded(path.to_owned())).await?;
        let now = store.db.now().await?;
        store.record_end(&EndOf::All, now, now.plus(kept)).await?;
        store.remove_links(None).await?;
        store.close().await;
        drop(store);
        // Everything is in the file itself.
        let mut connection = connect(path, "mode=rw").await?;
        let done = connection.fetch_all("PRAGMA wal_checkpoint(TRUNCATE)").await;
        done.map_err(|error| failure(SQLITE, &error))?;
        connection.close().await.map_err(|error| failure(SQLITE, &error))
    }

    /// Opens a copy for reading. Creates no file beside it and migrates nothing.
    pub fn read_copy(path: &Path) -> Stored<Self> {
        let path = path.canonicalize().map_err(|error| unusable(path, &error))?;
        let options = options(&format!("{}?{READ_ONLY}", file::url(&path)));
        let options = options.map_err(|error| failure(SQLITE, &error))?;
        Ok(Self { db: Database::sqlite_copy(SQLITE, &options), _in_use: None })
    }

    /// Takes the database at `path` for this process alone until the returned file is dropped.
    /// Returns `None` while another process uses it.
    pub fn take_alone(path: &Path) -> Stored<Option<File>> {
        file::alone(path).map_err(|error| unusable(path, &error))
    }

    /// Creates an empty file (mode 0600) that belongs to the owner of its directory.
    pub fn create_private(path: &Path) -> Stored<File> {
        file::create_private(path).map_err(|error| unusable(path, &error))
    }
}

/// No process writes to a copy, so it is read without locks and without files beside it.
const READ_ONLY: &str = "mode=ro&immutable=true";

fn unusable(path: &Path, error: &std::io::Error) -> StoreError {
    wrong(format!("failed to use {}: {error}", path.display()))
}

fn wrong(reason: String) -> StoreError {
    StoreError { store: SQLITE, reason }
}

async fn connect(path: &Path, how: &str) -> Stored<AnyConnection> {
    let path = path.canonicalize().map_err(|error| unusable(path, &error))?;
    let options = options(&format!("{}?{how}", file::url(&path)));
    let options = options.map_err(|error| failure(SQLITE, &error))?;
    AnyConnection::connect_with(&options).await.map_err(|error| failure(SQLITE, &error))
}

async fn rows_of(path: &Path, how: &str) -> Stored<Rows> {
    let mut connection = connect(path, how).await?;
    let rows = count(&mut connection).await.map_err(|error| failure(SQLITE, &error))?;
    connection.close().await.map_err(|error| failure(SQLITE, &error))?;
    Ok(rows)
}

/// Counts all tables in one transaction.
async fn count(connection: &mut AnyConnection) -> sqlx::Result<Rows> {
    let mut t = connection.begin().await?;
    let mut rows = Rows::new();
    for row in t.fetch_all(TABLES).await? {
        let table: String = row.try_get(0)?;
        let quoted = table.replace('"', "\"\"");
        let statement = format!("SELECT count(*) FROM \"{quoted}\"");
        let number: i64 = t.fetch_one(AssertSqlSafe(statement)).await?.try_get(0)?;
        rows.insert(table, u64::try_from(number).unwrap_or_default());
    }
    t.rollback().await?;
    Ok(rows)
}

/// Writes a consistent copy, from one read transaction.
async fn vacuum_into(from: &Path, to: &Path) -> Stored<()> {
    // SQLite accepts an empty file, which has its mode before it has any content.
    let target = file::create_private(to).map_err(|error| unusable(to, &error))?;
    let to = to.canonicalize().map_err(|error| unusable(to, &error))?;
    let name = to.to_str().ok_or_else(|| wrong(format!("{} is not UTF-8", to.display())))?;
    let mut connection = connect(from, "mode=rw").await?;
    let copying = sqlx::query("VACUUM INTO $1").bind(name).persistent(false);
    copying.execute(&mut connection).await.map_err(|error| failure(SQLITE, &error))?;
    connection.close().await.map_err(|error| failure(SQLITE, &error))?;
    target.sync_all().map_err(|error| unusable(&to, &error))
}

/// Returns true if each table of a copy has as many rows as the original had at the time.
fn agree(before: &Rows, copied: &Rows, after: &Rows) -> bool {
    let same_tables = before.keys().eq(copied.keys()) && copied.keys().eq(after.keys());
    let mut counts = before.values().zip(copied.values()).zip(after.values());
    same_tables
        && counts.all(|((before, copied), after)| {
            (before.min(after)..=before.max(after)).contains(&copied)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_agrees_with_what_the_original_held_before_and_after() {
        let rows = |a, b| Rows::from([("a".to_owned(), a), ("b".to_owned(), b)]);
        assert!(agree(&rows(1, 2), &rows(1, 2), &rows(1, 2)));
        assert!(agree(&rows(1, 5), &rows(2, 4), &rows(3, 3)));
        assert!(!agree(&rows(1, 2), &rows(0, 2), &rows(1, 2)));
        assert!(!agree(&rows(1, 2), &rows(1, 3), &rows(1, 2)));
        assert!(!agree(&rows(1, 2), &Rows::new(), &rows(1, 2)));
    }
}
