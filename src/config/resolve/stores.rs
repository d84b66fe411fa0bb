//! Resolution of storage: data directory, sessions, accounts and keys.

use std::path::{Path, PathBuf};

use super::session_store;
use super::store_url::store_url;
use super::upstream::is_loopback;
use crate::auth::keys::KeyMaterial;
use crate::base::secret::Secret;
use crate::config::key_path::KeyPath;
use crate::config::keys::{self, KeyFileError};
use crate::config::raw::RawConfig;
use crate::config::reader::Reader;
use crate::config::secret_ref::SecretRef;
use crate::config::settings::{Database, SessionStore};
use crate::store::sql::SqlStore;

const EXAMPLE: &str = "postgres://user:password@host/db";
/// Values of `sslmode` that verify PostgreSQL's certificate.
const VERIFIED: [&str; 2] = ["verify-ca", "verify-full"];

/// Storage settings.
pub(super) struct Stores {
    pub(super) data_dir: Option<PathBuf>,
    pub(super) session_store: SessionStore,
    pub(super) database: Database,
    pub(super) pool: u32,
    pub(super) keys_file: PathBuf,
    pub(super) keys_may_be_made: bool,
    /// The content of the key file, if it exists.
    pub(super) keys: Option<KeyMaterial>,
}

/// Resolves the storage settings.
pub(super) fn stores(raw: &RawConfig, r: &mut Reader<'_>) -> Stores {
    let data_dir = raw.data_dir.as_ref().map(|dir| r.path(dir));
    let dir = data_dir.clone().unwrap_or_default();
    let session_store = session_store::sessions(raw, &dir, r);
    let database = database(raw, &dir, r);
    let in_redis = matches!(session_store, SessionStore::Redis { .. });
    let in_postgres = matches!(database, Database::Postgres(_));
    let named = raw.keys.as_ref().and_then(|k| k.file.as_ref()).map(|file| r.path(file));
    if data_dir.is_none() {
        let needed_by = match (in_redis, in_postgres, &named) {
            (_, false, _) => Some("accounts are stored in it (accounts.database = \"embedded\")"),
            (false, _, _) => Some("sessions are stored in it (sessions.store = \"embedded\")"),
            (_, _, None) => Some("the key file is stored in it unless keys.file is set"),
            (true, true, Some(_)) => None,
        };
        if let Some(why) = needed_by {
            let message = format!("is missing: {why}: write data_dir = \"/var/lib/vestibule\"");
            r.fail(&KeyPath::of("data_dir"), message);
        }
    }
    if in_redis && !in_postgres {
        r.warn(
            &KeyPath::of("accounts.database"),
            "accounts are embedded while sessions are in Redis: this works for one machine only",
        );
    }
    let keys_may_be_made = !in_redis && !in_postgres;
    let keys_file = named.unwrap_or_else(|| dir.join("keys.toml"));
    let made = if keys_may_be_made { " (created at first start)" } else { "" };
    r.show(&KeyPath::of("keys.file"), format_args!("{}{made}", keys_file.display()));
    let keys = if data_dir.is_some() || raw.keys.as_ref().is_some_and(|k| k.file.is_some()) {
        read_keys(&keys_file, keys_may_be_made, r)
    } else {
        None
    };
    let pool = raw.accounts.as_ref().and_then(|accounts| accounts.pool);
    let pool = r.number(&KeyPath::of("accounts.pool"), pool, 10, &(1..=1000));
    Stores { data_dir, session_store, database, pool, keys_file, keys_may_be_made, keys }
}

fn read_keys(file: &Path, may_be_made: bool, r: &mut Reader<'_>) -> Option<KeyMaterial> {
    match keys::load(file) {
        Ok(material) => Some(material),
        Err(KeyFileError::Missing(_)) if may_be_made => None,
        Err(error) => {
            r.fail(&KeyPath::of("keys.file"), error.to_string());
            None
        }
    }
}

fn database(raw: &RawConfig, dir: &Path, r: &mut Reader<'_>) -> Database {
    let key = KeyPath::of("accounts.database");
    let embedded = Database::Embedded(dir.to_owned());
    let Some(reference) = raw.accounts.as_ref().and_then(|a| a.database.as_ref()) else {
        return embedded;
    };
    let Some(url) = secret_or_default(&key, reference, r) else {
        r.show(&key, "embedded");
        return embedded;
    };
    r.show(&key, "postgres ***");
    let addresses = match SqlStore::addresses(&url) {
        Ok(addresses) => addresses,
        Err(why) => {
            r.fail(&key, format!("neither \"embedded\" nor a PostgreSQL URL: {why}"));
            return Database::Postgres(url);
        }
    };
    let mut unverified = false;
    for address in &addresses {
        match store_url(address, &["postgres", "postgresql"], EXAMPLE) {
            Ok(parsed) => {
                let verified = parsed
                    .query_pairs()
                    .any(|(name, value)| name == "sslmode" && VERIFIED.contains(&value.as_ref()));
                unverified |= !verified && !is_loopback(parsed.host_str().unwrap_or_default());
            }
            Err(why) => {
                r.fail(&key, format!("neither \"embedded\" nor a PostgreSQL URL: {why}"));
                return Database::Postgres(url);
            }
        }
    }
    if unverified {
        r.warn(&key, "PostgreSQL off loopback without verified TLS: add ?sslmode=verify-full");
    }
    if !SqlStore::takes_address(&url) {
        let why = "has unknown parameters: sslmode is one of disable, allow, prefer, require, \
                   verify-ca and verify-full, port is a number";
        r.fail(&key, why);
    }
    Database::Postgres(url)
}

/// Reads the URL. Returns `None` for the word `embedded` and after an error.
fn secret_or_default(key: &KeyPath, reference: &SecretRef, r: &mut Reader<'_>) -> Option<Secret> {
    r.secret(key, reference).filter(|url| url.reveal() != "embedded")
}
