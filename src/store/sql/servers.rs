//! The PostgreSQL servers of an address: one, or several of which one accepts writes.
//!
//! The driver knows addresses with one host only. An address with several hosts, as libpq knows it,
//! becomes one address for each.

use futures_util::future::join_all;
use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, Connection as _, Executor as _, Row as _};

use crate::auth::ports::{StoreError, Stored};
use crate::base::secret::Secret;

use super::opening::{is_complete, postgres_options};
use super::reason::ReadOnly;

/// Parameter of an address that says which servers may be used.
const ATTRIBUTES: &str = "target_session_attrs";
const IS_READ_ONLY: &str = "SHOW transaction_read_only";

/// The servers of an address.
#[derive(Clone, Debug)]
pub(super) struct Servers {
    all: Vec<AnyConnectOptions>,
    /// True if only a server that accepts writes may be used.
    read_write: bool,
}

/// Returns the address of each host, and true if only a server that accepts writes may be used.
fn split(url: &str) -> Result<(Vec<String>, bool), &'static str> {
    let (scheme, rest) = url.split_once("://").ok_or("it has no scheme")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let (user, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (format!("{user}@"), hosts),
        None => (String::new(), authority),
    };
    let hosts: Vec<&str> = hosts.split(',').collect();
    if hosts.len() > 1 && hosts.iter().any(|host| host.is_empty()) {
        return Err("a host between two commas is empty");
    }
    let (tail, wanted) = without_attributes(tail);
    let read_write = match wanted.as_deref() {
        None | Some("any") => hosts.len() > 1,
        Some("read-write" | "primary") => true,
        Some(_) => return Err("target_session_attrs is one of any, read-write and primary"),
    };
    let address = |host: &&str| format!("{scheme}://{user}{host}{tail}");
    Ok((hosts.iter().map(address).collect(), read_write))
}

/// Takes the parameter out of the end of an address. Returns its value.
fn without_attributes(tail: &str) -> (String, Option<String>) {
    let Some((path, query)) = tail.split_once('?') else { return (tail.to_owned(), None) };
    let mut wanted = None;
    let others = query.split('&').filter(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if name == ATTRIBUTES {
            wanted = Some(value.to_owned());
        }
        name != ATTRIBUTES
    });
    let others = others.collect::<Vec<_>>().join("&");
    let tail = if others.is_empty() { path.to_owned() } else { format!("{path}?{others}") };
    (tail, wanted)
}

/// Returns the address of each host of `url`.
pub(super) fn addresses(url: &Secret) -> Result<Vec<Secret>, &'static str> {
    Ok(split(url.reveal())?.0.into_iter().map(Secret::new).collect())
}

impl Servers {
    /// Parses an address.
    pub(super) fn of(store: &'static str, url: &Secret) -> Stored<Self> {
        let wrong = |why: &str| StoreError { store, reason: format!("its address: {why}") };
        let (addresses, read_write) = split(url.reveal()).map_err(wrong)?;
        let all = addresses.into_iter().map(|one| postgres_options(store, &Secret::new(one)));
        Ok(Self { all: all.collect::<Stored<_>>()?, read_write })
    }

    /// Returns true if the driver accepts each part of each address.
    pub(super) fn are_complete(&self) -> bool {
        self.all.iter().all(is_complete)
    }

    /// Returns true if there are several servers.
    pub(super) fn are_several(&self) -> bool {
        self.all.len() > 1
    }

    /// Returns true if only a server that accepts writes may be used.
    pub(super) fn read_write(&self) -> bool {
        self.read_write
    }

    /// Returns the index and the options of a usable server: `preferred` if possible, otherwise the
    /// first. Asks all at once, because one that hangs does not answer.
    pub(super) async fn find(&self, preferred: usize) -> sqlx::Result<(usize, AnyConnectOptions)> {
        let checks = self.all.iter().map(|options| self.check(options));
        let checks = join_all(checks.map(|check| async {
            let limit = std::time::Duration::from_millis(1500);
            let checked = tokio::time::timeout(limit, check).await;
            checked.unwrap_or(Err(sqlx::Error::PoolTimedOut))
        }));
        let results = checks.await;
        let good = |index: &usize| matches!(results.get(*index), Some(Ok(())));
        let order = std::iter::once(preferred).chain(0..self.all.len());
        if let Some(index) = order.into_iter().find(good)
            && let Some(options) = self.all.get(index)
        {
            return Ok((index, options.clone()));
        }
        // A server that answers says more than one that does not.
        let mut errors: Vec<sqlx::Error> = results.into_iter().filter_map(Result::err).collect();
        errors.sort_by_key(|error| matches!(error, sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut));
        Err(errors.into_iter().next().unwrap_or(sqlx::Error::PoolTimedOut))
    }

    async fn check(&self, options: &AnyConnectOptions) -> sqlx::Result<()> {
        let mut connection = AnyConnection::connect_with(options).await?;
        let checked = if self.read_write { accepts_writes(&mut connection).await } else { Ok(()) };
        // Closing may fail without any meaning for the check.
        drop(connection.close().await);
        checked
    }
}

/// Fails if the server of a connection accepts no writes.
pub(super) async fn accepts_writes(connection: &mut AnyConnection) -> sqlx::Result<()> {
    let row = connection.fetch_one(IS_READ_ONLY).await?;
    let read_only: String = row.try_get(0)?;
    if read_only == "on" { Err(sqlx::Error::Configuration(Box::new(ReadOnly))) } else { Ok(()) }
}

/// Returns the host and the port of a server, without user and password.
pub(super) fn place(options: &AnyConnectOptions) -> String {
    let url = &options.database_url;
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Returns true if an error may pass by itself: the server does not run, is starting, or is not the
/// primary.
pub(super) fn may_pass(error: &sqlx::Error) -> bool {
    const PASSING: [&str; 5] = ["57P01", "57P02", "57P03", "53300", "25006"];
    if let sqlx::Error::Database(said) = error {
        return said.code().is_some_and(|code| PASSING.contains(&&*code));
    }
    let read_only = matches!(error, sqlx::Error::Configuration(why) if why.is::<ReadOnly>());
    read_only
        || matches!(
            error,
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::Protocol(_)
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str) -> (Vec<String>, bool) {
        split(url).unwrap()
    }

    #[test]
    fn an_address_with_several_hosts_is_one_address_for_each() {
        let (all, read_write) = of("postgres://u:p%40@a:1,[::1]:2,c/v?sslmode=require");
        let one = |host| format!("postgres://u:p%40@{host}/v?sslmode=require");
        assert_eq!(all, [one("a:1"), one("[::1]:2"), one("c")]);
        assert!(read_write, "one of several accepts writes");
    }

    #[test]
    fn the_parameter_of_libpq_is_understood_and_not_passed_on() {
        let url =
            |value| format!("postgres://a/v?sslmode=require&target_session_attrs={value}&x=y");
        assert_eq!(of(&url("any")), (vec!["postgres://a/v?sslmode=require&x=y".to_owned()], false));
        assert!(of(&url("read-write")).1 && of(&url("primary")).1);
        assert!(split(&url("standby")).unwrap_err().contains("read-write"));
        let (all, read_write) = of("postgres://a,b/v?target_session_attrs=read-write");
        assert_eq!(
            (&*all, read_write),
            (&["postgres://a/v", "postgres://b/v"].map(String::from)[..], true)
        );
        assert_eq!(of("postgres://a").0, ["postgres://a"]);
        assert!(split("postgres://a,,b/v").is_err() && split("nothing").is_err());
    }
}
