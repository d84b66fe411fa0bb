//! Driver errors in plain words: what is wrong, what to do, and the server's reply. Driver messages
//! that could quote an address or a record are replaced.

use sqlx::error::DatabaseError;
use sqlx::migrate::MigrateError;
use sqlx::postgres::PgDatabaseError;
use sqlx::sqlite::SqliteError;

use crate::auth::ports::StoreError;
use crate::store::TOO_SLOW;

/// The error of a server that accepts no writes.
#[derive(Debug, thiserror::Error)]
#[error("read-only")]
pub(super) struct ReadOnly;

/// Reply of `PgBouncer` to the parameter that the driver sends at the start of each connection.
/// `PgBouncer` rejects unknown parameters.
const UNSUPPORTED: &str = "unsupported startup parameter: extra_float_digits";
const LINE_FOR_POOLER: &str = "the pooler in front of it rejects a startup parameter: write \
    ignore_startup_parameters = extra_float_digits into pgbouncer.ini";

const READ_ONLY: &str = "it is read-only, so no one can sign in: give the address of the primary, or \
    turn off default_transaction_read_only";

/// Describes an error to the operator.
pub(super) fn failure(store: &'static str, error: &sqlx::Error) -> StoreError {
    StoreError { store, reason: reason(error) }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enum is non-exhaustive: new kinds get a general text"
)]
fn reason(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::PoolTimedOut => TOO_SLOW.to_owned(),
        sqlx::Error::PoolClosed => "it was closed because the program is stopping".to_owned(),
        sqlx::Error::Io(io) => {
            format!("it cannot be reached ({}); check that it runs", io.kind())
        }
        sqlx::Error::Tls(_) => {
            "its TLS certificate is not trusted; set sslrootcert in its address".to_owned()
        }
        sqlx::Error::Configuration(why) if why.is::<ReadOnly>() => READ_ONLY.to_owned(),
        sqlx::Error::Database(said) => refusal(said.as_ref()),
        sqlx::Error::Migrate(why) => match why.as_ref() {
            MigrateError::VersionMissing(_) | MigrateError::VersionMismatch(_) => {
                "its tables were created by another version, beside which this one cannot run; run that \
                 version or a newer one"
                    .to_owned()
            }
            _ => "its schema migration failed; see its own log".to_owned(),
        },
        sqlx::Error::ColumnDecode { index, .. } => {
            format!("column {index} has an unexpected value; restore it from a backup")
        }
        sqlx::Error::Protocol(_) => {
            "it closed the connection or sent an unexpected reply".to_owned()
        }
        _ => "its driver failed; check the address and the version of the server".to_owned(),
    }
}

/// Describes an error reply, with an explanation if its code is known.
fn refusal(said: &dyn DatabaseError) -> String {
    let code = said.code().unwrap_or_default();
    let why = if said.try_downcast_ref::<PgDatabaseError>().is_some() {
        postgres(&code)
    } else if said.try_downcast_ref::<SqliteError>().is_some() {
        sqlite(code.parse().unwrap_or_default())
    } else {
        None
    };
    let message = said.message();
    let why = if message.contains(UNSUPPORTED) { Some(LINE_FOR_POOLER) } else { why };
    match why {
        Some(why) => format!("{why}; it said: {message}"),
        None => format!("it said: {message}"),
    }
}

/// Explains a code from the appendix of PostgreSQL's manual.
fn postgres(code: &str) -> Option<&'static str> {
    Some(match code {
        "53100" => "its disk is full: free space on the database server",
        "53200" => "it is out of memory",
        "53300" => {
            "it refuses more connections: raise max_connections, or the limit of the role or of \
             the database"
        }
        "57P01" | "57P02" => "it is shutting down",
        "57P03" => "it is starting up or recovering",
        "57014" => "it cancelled a statement that took longer than 2 seconds",
        "25006" => READ_ONLY,
        "28P01" | "28000" => "it refused the user name or the password in its address",
        "3D000" => "it has no such database: create the one in its address",
        "42501" => "its user lacks a right: make it the owner of the database or its tables",
        "08P01" => "it or a connection pooler in front of it rejected the request",
        _ => return None,
    })
}

/// Explains a primary result code of `sqlite3.h`.
fn sqlite(code: i32) -> Option<&'static str> {
    Some(match code & 0xff {
        5 | 6 => "another process held its lock for too long",
        8 => "it is read-only: check the owner and the mode of its file and its directory",
        10 => "its file cannot be read or written: check the disk, and that it is not full",
        11 | 26 => "its file is damaged: restore it from a backup",
        13 => "its disk is full: free space where data_dir is",
        14 => "its file cannot be opened: check data_dir, its owner and free space",
        _ => return None,
    })
}

/// Unwraps the cause of a failed migration.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enum is non-exhaustive: the rest is passed on"
)]
pub(super) fn migration_failure(error: MigrateError) -> sqlx::Error {
    match error {
        MigrateError::Execute(inner) | MigrateError::ExecuteMigration(inner, _) => inner,
        other => sqlx::Error::from(other),
    }
}
