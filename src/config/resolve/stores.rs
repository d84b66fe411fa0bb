//! Resolution of storage: data directory, sessions, accounts and keys.

use std::path::{Path, PathBuf};

use url::Url;

use super::certificates;
use super::upstream::is_loopback;
use crate::base::secret::Secret;
use crate::config::key_path::KeyPath;
use crate::config::keys::{self, KeyFileError};
use crate::config::raw::RawConfig;
use crate::config::reader::Reader;
use crate::config::secret_ref::SecretRef;
use crate::config::settings::{Database, SessionStore};
use crate::store::redis::RedisStore;
use crate::store::sql::SqlStore;

/// Maximum characters in the prefix of Redis keys.
const PREFIX_MAX: usize = 64;
/// Values of `sslmode` that verify PostgreSQL's certificate.
const VERIFIED: [&str; 2] = ["verify-ca", "verify-full"];

/// Storage settings.
pub(super) struct Stores {
    pub(super) data_dir: Option<PathBuf>,
    pub(super) session_store: SessionStore,
    pub(super) database: Database,
    pub(super) keys_file: PathBuf,
    pub(super) keys_may_be_made: bool,
}

/// Resolves the storage settings.
pub(super) fn stores(raw: &RawConfig, r: &mut Reader<'_>) -> Stores {
    let data_dir = raw.data_dir.as_ref().map(|dir| r.path(dir));
    let dir = data_dir.clone().unwrap_or_default();
    let session_store = sessions(raw, &dir, r);
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
    if data_dir.is_some() || raw.keys.as_ref().is_some_and(|k| k.file.is_some()) {
        check_keys(&keys_file, keys_may_be_made, r);
    }
    Stores { data_dir, session_store, database, keys_file, keys_may_be_made }
}

fn check_keys(file: &Path, may_be_made: bool, r: &mut Reader<'_>) {
    match keys::load(file) {
        Ok(_) => {}
        Err(KeyFileError::Missing(_)) if may_be_made => {}
        Err(error) => r.fail(&KeyPath::of("keys.file"), error.to_string()),
    }
}

fn sessions(raw: &RawConfig, dir: &Path, r: &mut Reader<'_>) -> SessionStore {
    let embedded = SessionStore::Embedded(dir.to_owned());
    let key = KeyPath::of("sessions.store");
    let word = raw.sessions.as_ref().and_then(|s| s.store.as_deref()).or(Some("embedded"));
    let in_redis = r.choice(&key, word, &[("embedded", false), ("redis", true)]);
    let at = KeyPath::of("redis");
    let Some(redis) = &raw.redis else {
        if in_redis == Some(true) {
            r.fail(&at, "is missing: sessions.store = \"redis\" needs [redis] with a url");
        }
        return embedded;
    };
    let key_prefix = redis.key_prefix.clone().unwrap_or_else(|| "vestibule".to_owned());
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    if key_prefix.is_empty() || key_prefix.len() > PREFIX_MAX || !key_prefix.chars().all(allowed) {
        let key = at.key("key_prefix");
        r.fail(&key, "is not a prefix: 1 to 64 letters, digits, `-`, `_`, `.` and `:`");
    }
    let url_key = at.key("url");
    let Some(reference) = &redis.url else {
        r.fail(&url_key, "is missing: write url = \"redis://127.0.0.1:6379/0\"");
        return embedded;
    };
    if in_redis == Some(false) {
        r.warn(&key, "sessions are embedded, so [redis] is not used");
    }
    let url = r.secret(&url_key, reference).and_then(|url| {
        store_url(&url, &["redis", "rediss"], "redis://127.0.0.1:6379/0")
            .map_err(|why| r.fail(&url_key, why))
            .map(|parsed| (url, parsed))
            .ok()
    });
    let ca = redis.ca.as_ref().map(|file| {
        let file = r.path(file);
        if let Err(why) = certificates::chain(&file) {
            r.fail(&at.key("ca"), why);
        }
        file
    });
    match (in_redis, url) {
        (Some(true), Some((url, parsed))) => {
            if ca.is_some() && parsed.scheme() == "redis" {
                r.warn(&at.key("ca"), "is not used: only rediss:// uses a certificate");
            }
            if parsed.scheme() == "redis" && !is_loopback(parsed.host_str().unwrap_or_default()) {
                r.warn(&url_key, "plain redis:// off loopback: use rediss:// for TLS");
            }
            if RedisStore::open(&url, &key_prefix).is_err() {
                let why = "is not valid: write it like \"redis://user:password@host:6379/0\", \
                           with the database number at the end";
                r.fail(&url_key, why);
            }
            SessionStore::Redis { url, ca, key_prefix }
        }
        // Later checks use the requested kind of store even if the URL is invalid.
        (Some(true), None) => {
            SessionStore::Redis { url: Secret::new(String::new()), ca, key_prefix }
        }
        _ => embedded,
    }
}

fn database(raw: &RawConfig, dir: &Path, r: &mut Reader<'_>) -> Database {
    let key = KeyPath::of("accounts.database");
    let embedded = Database::Embedded(dir.to_owned());
    let Some(reference) = raw.accounts.as_ref().and_then(|a| a.database.as_ref()) else {
        return embedded;
    };
    let Some(url) = secret_or_default(&key, reference, r) else { return embedded };
    match store_url(&url, &["postgres", "postgresql"], "postgres://user:password@host/db") {
        Ok(parsed) => {
            let verified = parsed
                .query_pairs()
                .any(|(name, value)| name == "sslmode" && VERIFIED.contains(&value.as_ref()));
            if !verified && !is_loopback(parsed.host_str().unwrap_or_default()) {
                let why = "PostgreSQL off loopback without verified TLS: add ?sslmode=verify-full";
                r.warn(&key, why);
            }
            if !SqlStore::takes_address(&url) {
                let why = "has unknown parameters: sslmode is one of disable, allow, prefer, \
                           require, verify-ca and verify-full, port is a number";
                r.fail(&key, why);
            }
            Database::Postgres(url)
        }
        Err(why) => {
            r.fail(&key, format!("neither \"embedded\" nor a PostgreSQL URL: {why}"));
            Database::Postgres(url)
        }
    }
}

/// Reads the URL. Returns `None` for the word `embedded` and after an error.
fn secret_or_default(key: &KeyPath, reference: &SecretRef, r: &mut Reader<'_>) -> Option<Secret> {
    r.secret(key, reference).filter(|url| url.reveal() != "embedded")
}

/// Detects a URL whose user name or password contains a delimiter that should be percent-encoded,
/// so that the host is not where it seems. Returns the explanation.
fn cut_short(url: &str) -> Option<&'static str> {
    let (_scheme, rest) = url.split_once("://")?;
    let (_authority, behind) = rest.split_at(rest.find(['/', '?', '#'])?);
    behind.contains('@').then_some(
        "a `/`, `?` or `#` in the user name or the password must be percent-encoded (%2F, %3F, \
         %23), and an `@` or `%` as well (%40, %25)",
    )
}

/// Parses a URL with a host under one of `schemes`. The error never quotes the URL.
fn store_url(url: &Secret, schemes: &[&str], example: &str) -> Result<Url, String> {
    let parsed = Url::parse(url.reveal()).map_err(|e| match cut_short(url.reveal()) {
        Some(why) => format!("not a URL: {why}, as in \"{example}\""),
        None => format!("not a URL ({e}): write it like \"{example}\""),
    })?;
    if !schemes.contains(&parsed.scheme()) {
        let schemes = schemes.join(":// or ");
        return Err(format!("the scheme must be {schemes}://, as in \"{example}\""));
    }
    if let Some(why) = cut_short(url.reveal()) {
        return Err(format!("{why}, as in \"{example}\""));
    }
    if parsed.host_str().unwrap_or_default().is_empty() {
        return Err(format!("it has no host: write it like \"{example}\""));
    }
    Ok(parsed)
}
