//! Resolution of `[redis]` and of the session store.

use std::path::{Path, PathBuf};

use url::{Host, Url};

use super::certificates;
use super::store_url::store_url;
use super::upstream::is_loopback;
use crate::base::secret::Secret;
use crate::config::key_path::KeyPath;
use crate::config::raw::{RawConfig, RawRedis, RawSentinel};
use crate::config::reader::Reader;
use crate::config::secret_ref::SecretRef;
use crate::config::settings::SessionStore;
use crate::store::redis::{Address, Login, RedisStore, Sentinels, Servers};

/// Maximum characters in the prefix of Redis keys.
const PREFIX_MAX: usize = 64;
/// Port of a sentinel unless the address names another.
const SENTINEL_PORT: u16 = 26379;
/// Highest database number. Redis has 16 unless configured otherwise.
const DATABASE_MAX: u32 = 1 << 20;
const PLAIN: &str = "plain redis:// off loopback: use rediss:// for TLS";
const PLAIN_SENTINEL: &str = "plain connections off loopback: set tls = true";

/// Resolves the storage of sessions.
pub(super) fn sessions(raw: &RawConfig, dir: &Path, r: &mut Reader<'_>) -> SessionStore {
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
    let key_prefix = prefix(redis, &at, r);
    let asked = [
        redis.url.is_some().then_some("url"),
        redis.sentinel.is_some().then_some("sentinel"),
        redis.cluster.is_some().then_some("cluster"),
    ];
    let given: Vec<&str> = asked.into_iter().flatten().collect();
    match given.as_slice() {
        [] => {
            let example = "write url = \"redis://127.0.0.1:6379/0\", sentinel or cluster";
            r.fail(&at.key("url"), format!("is missing: {example}"));
            return embedded;
        }
        [_] => {}
        [first, more @ ..] => {
            for key in more {
                let message =
                    format!("redis.{first} is set, too: keep one of url, sentinel, cluster");
                r.fail(&at.key(key), message);
            }
        }
    }
    if in_redis == Some(false) {
        r.warn(&key, "sessions are embedded, so [redis] is not used");
    }
    let ca = authorities(redis, &at, r);
    let found = servers(redis, &at, r);
    if in_redis != Some(true) {
        return embedded;
    }
    let Some(Found { servers, tls, key }) = found else {
        // Later checks use the requested kind of store even if its address is invalid.
        let servers = Servers::One(Secret::new(String::new()));
        return SessionStore::Redis { servers, ca, key_prefix };
    };
    if ca.is_some() && !tls {
        r.warn(&at.key("ca"), "is not used: only servers with TLS have a certificate");
    }
    if RedisStore::open_at(&servers, &key_prefix, None).is_err() {
        let why = "is not valid: write it like \"redis://user:password@host:6379/0\", with the \
                   database number at the end";
        r.fail(&key, why);
    }
    SessionStore::Redis { servers, ca, key_prefix }
}

fn prefix(redis: &RawRedis, at: &KeyPath, r: &mut Reader<'_>) -> String {
    let prefix = redis.key_prefix.clone().unwrap_or_else(|| "vestibule".to_owned());
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    if prefix.is_empty() || prefix.len() > PREFIX_MAX || !prefix.chars().all(allowed) {
        let key = at.key("key_prefix");
        r.fail(&key, "is not a prefix: 1 to 64 letters, digits, `-`, `_`, `.` and `:`");
    }
    prefix
}

fn authorities(redis: &RawRedis, at: &KeyPath, r: &mut Reader<'_>) -> Option<PathBuf> {
    let file = r.path(redis.ca.as_ref()?);
    if let Err(why) = certificates::chain(&file) {
        r.fail(&at.key("ca"), why);
    }
    Some(file)
}

/// The servers, and the key that names them.
struct Found {
    servers: Servers,
    tls: bool,
    key: KeyPath,
}

fn servers(redis: &RawRedis, at: &KeyPath, r: &mut Reader<'_>) -> Option<Found> {
    if let Some(reference) = &redis.url {
        let key = at.key("url");
        r.show(&key, "redis ***");
        let (url, parsed) = address(&key, reference, "redis://127.0.0.1:6379/0", r)?;
        let tls = parsed.scheme() == "rediss";
        if !tls && !is_loopback(parsed.host_str().unwrap_or_default()) {
            r.warn(&key, PLAIN);
        }
        return Some(Found { servers: Servers::One(url), tls, key });
    }
    if let Some(raw) = &redis.sentinel {
        let key = at.key("sentinel");
        let sentinels = sentinels(raw, &key, r)?;
        let tls = sentinels.tls;
        return Some(Found { servers: Servers::Sentinel(sentinels), tls, key });
    }
    let key = at.key("cluster");
    let (nodes, tls) = cluster(redis.cluster.as_deref()?, &key, r)?;
    Some(Found { servers: Servers::Cluster(nodes), tls, key })
}

fn address(
    key: &KeyPath,
    reference: &SecretRef,
    example: &str,
    r: &mut Reader<'_>,
) -> Option<(Secret, Url)> {
    let url = r.secret(key, reference)?;
    match store_url(&url, &["redis", "rediss"], example) {
        Ok(parsed) => Some((url, parsed)),
        Err(why) => {
            r.fail(key, why);
            None
        }
    }
}

fn sentinels(raw: &RawSentinel, at: &KeyPath, r: &mut Reader<'_>) -> Option<Sentinels> {
    let service = raw.service.clone().filter(|name| !name.trim().is_empty());
    if service.is_none() {
        let why = "is missing: write the name that the sentinels monitor, as in \
                   service = \"mymaster\"";
        r.fail(&at.key("service"), why);
    }
    let tls = raw.tls.unwrap_or(false);
    let key = at.key("addresses");
    let given = raw.addresses.as_deref().unwrap_or_default();
    if given.is_empty() {
        let why = "is missing: write the addresses of the sentinels, as in \
                   addresses = [\"10.0.0.1:26379\", \"10.0.0.2:26379\", \"10.0.0.3:26379\"]";
        r.fail(&key, why);
    }
    let mut addresses = Vec::with_capacity(given.len());
    for (index, text) in given.iter().enumerate() {
        let address = host_and_port(text);
        if address.is_none() {
            // Not quoted: it may be a URL with a password.
            let why = "is not a host and a port: write \"10.0.0.1:26379\", and the user and the \
                       password as keys of redis.sentinel";
            r.fail(&key.index(index), why);
        }
        addresses.extend(address);
    }
    if !tls && addresses.iter().any(|address| !is_loopback(&address.host)) {
        r.warn(at, PLAIN_SENTINEL);
    }
    let login = login(raw.user.as_ref(), raw.password.as_ref(), (at, "user", "password"), r);
    let names = (at, "sentinel_user", "sentinel_password");
    let sentinel_login =
        self::login(raw.sentinel_user.as_ref(), raw.sentinel_password.as_ref(), names, r);
    let database = r.number(&at.key("database"), raw.database, 0, &(0..=DATABASE_MAX));
    let complete = !addresses.is_empty() && addresses.len() == given.len();
    let service = service.filter(|_| complete)?;
    Some(Sentinels { service, addresses, login, sentinel_login, database, tls })
}

fn login(
    user: Option<&String>,
    password: Option<&SecretRef>,
    (at, user_name, password_name): (&KeyPath, &str, &str),
    r: &mut Reader<'_>,
) -> Login {
    if user.is_some() && password.is_none() {
        r.fail(&at.key(user_name), format!("needs a password: set {at}.{password_name}"));
    }
    let password = password.and_then(|p| r.secret(&at.key(password_name), p));
    Login { user: user.cloned(), password }
}

/// Parses `host`, `host:port`, `[v6]:port`.
fn host_and_port(text: &str) -> Option<Address> {
    if text.contains(['/', '@', '?', '#']) {
        return None;
    }
    // Not a special scheme, whose default port would be dropped.
    let url = Url::parse(&format!("redis://{text}")).ok()?;
    let host = match url.host()? {
        Host::Domain("") => return None,
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(ip) => ip.to_string(),
        Host::Ipv6(ip) => ip.to_string(),
    };
    Some(Address { host, port: url.port().unwrap_or(SENTINEL_PORT) })
}

fn cluster(nodes: &[SecretRef], at: &KeyPath, r: &mut Reader<'_>) -> Option<(Vec<Secret>, bool)> {
    const EXAMPLE: &str = "redis://10.0.0.1:6379";
    if nodes.is_empty() {
        r.fail(at, format!("is empty: write the address of each node, as in [\"{EXAMPLE}\"]"));
        return None;
    }
    let mut read = Vec::with_capacity(nodes.len());
    for (index, reference) in nodes.iter().enumerate() {
        let key = at.index(index);
        let Some((url, parsed)) = address(&key, reference, EXAMPLE, r) else { continue };
        if !matches!(parsed.path(), "" | "/" | "/0") {
            r.fail(&key, "has a database number: a Redis Cluster has database 0 only");
        }
        read.push((url, parsed));
    }
    if read.len() != nodes.len() {
        return None;
    }
    let (_, first) = read.first()?;
    let secure = first.scheme() == "rediss";
    let same = |url: &Url| {
        (url.scheme(), url.username(), url.password())
            == (first.scheme(), first.username(), first.password())
    };
    if let Some(other) = read.iter().position(|(_, url)| !same(url)) {
        let why = "has another scheme, user or password than the first address: a node of a Redis \
                   Cluster leads to the others, so all of them have the same";
        r.fail(&at.index(other), why);
        return None;
    }
    if !secure && read.iter().any(|(_, url)| !is_loopback(url.host_str().unwrap_or_default())) {
        r.warn(at, PLAIN);
    }
    Some((read.into_iter().map(|(url, _)| url).collect(), secure))
}
