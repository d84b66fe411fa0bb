//! The Redis servers of an installation.

use std::fmt;

use crate::base::secret::Secret;

/// The Redis servers of an installation, by the way their primary is found.
#[derive(Clone, Debug)]
pub enum Servers {
    /// One server: a `redis://` or `rediss://` URL with credentials.
    One(Secret),
    /// A primary and its replicas, monitored by Redis Sentinel.
    Sentinel(Sentinels),
    /// URLs of nodes of a Redis Cluster, with the same credentials. The others are discovered.
    Cluster(Vec<Secret>),
}

/// The sentinels, and the servers that they monitor.
#[derive(Clone, Debug)]
pub struct Sentinels {
    /// Name of the monitored primary in the configuration of the sentinels.
    pub service: String,
    /// The sentinels.
    pub addresses: Vec<Address>,
    /// User and password at the Redis servers.
    pub login: Login,
    /// User and password at the sentinels. Empty to use `login` if a sentinel asks for a password.
    pub sentinel_login: Login,
    /// Database number.
    pub database: u32,
    /// True if the sentinels and the servers use TLS.
    pub tls: bool,
}

/// Host and port of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Name or IP address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// Credentials.
#[derive(Clone, Debug, Default)]
pub struct Login {
    /// User name. `None` for the default user.
    pub user: Option<String>,
    /// Password.
    pub password: Option<Secret>,
}

impl Servers {
    /// Returns true if `other` names the same servers and credentials.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::One(one), Self::One(other)) => one.is_same(other),
            (Self::Sentinel(one), Self::Sentinel(other)) => one.is_same(other),
            (Self::Cluster(one), Self::Cluster(other)) => {
                one.len() == other.len() && one.iter().zip(other).all(|(a, b)| a.is_same(b))
            }
            (Self::One(_) | Self::Sentinel(_) | Self::Cluster(_), _) => false,
        }
    }
}

impl Sentinels {
    fn is_same(&self, other: &Self) -> bool {
        let Self { service, addresses, login, sentinel_login, database, tls } = self;
        (service, addresses, database, tls)
            == (&other.service, &other.addresses, &other.database, &other.tls)
            && login.is_same(&other.login)
            && sentinel_login.is_same(&other.sentinel_login)
    }
}

impl Login {
    fn is_same(&self, other: &Self) -> bool {
        let same_password = match (&self.password, &other.password) {
            (Some(one), Some(other)) => one.is_same(other),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        self.user == other.user && same_password
    }
}
