//! Vestibule's access tokens, found by hash and cached for less than a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Method;
use ipnet::IpNet;

use super::{KnownMachine, Machines, Methods, TokenKind, TokenRejection};
use crate::auth::access_token::{AccessRecord, Limits, NOTED_EVERY};
use crate::auth::ports::Stored;
use crate::auth::token::{AccessToken, HashedToken};
use crate::base::address::ClientIp;
use crate::base::clock::{Timestamp, millis};
use crate::gate::glob::{BadGlob, PathGlob};
use crate::gate::identity::IdentityHeaders;
use crate::gate::recent::is_fresh;
use crate::gate::target::CanonicalTarget;

/// The reason why a limit is invalid.
#[derive(Debug, thiserror::Error)]
pub enum BadLimit {
    /// A method.
    #[error("`{0}` is not a method: write it like GET")]
    Method(String),
    /// A path.
    #[error("`{0}` is not a path pattern: {1}")]
    Path(String, BadGlob),
    /// A network.
    #[error("`{0}` is not a network: write it like 10.0.0.0/8")]
    Network(String),
}

/// The parts of a request that token limits apply to.
#[derive(Clone, Copy, Debug)]
pub struct TokenUse<'r> {
    /// The method.
    pub method: &'r Method,
    /// The raw request target.
    pub raw: &'r [u8],
    /// True if the request opens a WebSocket.
    pub websocket: bool,
}

/// The parsed limits of a token. An empty list allows all.
#[derive(Clone, Debug)]
pub struct Limited {
    methods: Methods,
    paths: Vec<PathGlob>,
    networks: Vec<IpNet>,
}

impl Limited {
    /// Parses the stored limits.
    pub fn parse(limits: &Limits) -> Result<Self, BadLimit> {
        let method = |text: &String| {
            let plain = text.bytes().all(|b| b.is_ascii_uppercase()).then(|| text.parse().ok());
            plain.flatten().ok_or_else(|| BadLimit::Method(text.clone()))
        };
        let path =
            |text: &String| PathGlob::parse(text).map_err(|e| BadLimit::Path(text.clone(), e));
        let network =
            |text: &String| text.parse().map_err(|_no_net| BadLimit::Network(text.clone()));
        Ok(Self {
            methods: Methods {
                named: limits.methods.iter().map(method).collect::<Result<_, _>>()?,
                websocket: limits.websocket,
            },
            paths: limits.paths.iter().map(path).collect::<Result<_, _>>()?,
            networks: limits.networks.iter().map(network).collect::<Result<_, _>>()?,
        })
    }

    /// Checks a request. If the token is limited to paths, the target must already be canonical, so
    /// that the app receives exactly what was checked.
    fn check(&self, asked: TokenUse<'_>, client: ClientIp) -> Result<(), TokenRejection> {
        if !self.networks.is_empty() && !client.is_in(&self.networks) {
            return Err(TokenRejection::Network);
        }
        self.methods.check(asked.method, asked.websocket)?;
        if self.paths.is_empty() {
            return Ok(());
        }
        let target = CanonicalTarget::canonical(asked.raw).map_err(|_none| TokenRejection::Path)?;
        let named = self.paths.iter().any(|glob| glob.matches(target.path()));
        if named && target.rewritten().is_none() { Ok(()) } else { Err(TokenRejection::Path) }
    }
}

/// A valid access token of an account that may sign in.
#[derive(Debug)]
pub struct KnownAccess {
    machine: Arc<KnownMachine>,
    record: AccessRecord,
    limited: Limited,
    noted: AtomicBool,
}

impl KnownAccess {
    /// Returns the user's credential if the limits allow this request.
    pub fn admits(
        &self,
        app: &str,
        asked: TokenUse<'_>,
        client: ClientIp,
        now: Timestamp,
    ) -> Result<&Arc<KnownMachine>, TokenRejection> {
        if self.record.app != app {
            return Err(TokenRejection::App);
        }
        if now >= self.record.expires_at {
            return Err(TokenRejection::Expired);
        }
        self.limited.check(asked, client)?;
        Ok(&self.machine)
    }

    /// Returns the user's credential, whatever the request.
    pub(super) fn machine(&self) -> &Arc<KnownMachine> {
        &self.machine
    }

    /// Returns the stored record.
    pub fn record(&self) -> &AccessRecord {
        &self.record
    }

    /// Returns true if its use should be recorded, because it was not recorded recently and no
    /// other request is about to.
    pub fn should_record_use(&self, now: Timestamp) -> bool {
        let due = self.record.last_used_at.is_none_or(|last| now.since(last) >= NOTED_EVERY);
        due && !self.noted.swap(true, Ordering::Relaxed)
    }
}

impl Machines {
    /// Returns the token with this hash. `at` is the monotonic time. Returns `None` if there is no
    /// such token or its account may not sign in.
    pub async fn find_own(
        self: &Arc<Self>,
        hash: &HashedToken<AccessToken>,
        at: Duration,
    ) -> Stored<Option<Arc<KnownAccess>>> {
        if let Some(known) = self.own.get(hash)
            && is_fresh(known.machine.read_at, at)
        {
            return Ok(Some(known));
        }
        if self.missing.get(hash).is_some_and(|then| is_fresh(then, at)) {
            return Ok(None);
        }
        let (this, hash) = (Arc::clone(self), *hash);
        let lookup = || async move { this.fetch_own(&hash, at).await };
        self.own_loads.load(hash, (at, 0), lookup).await
    }

    async fn fetch_own(
        &self,
        hash: &HashedToken<AccessToken>,
        at: Duration,
    ) -> Stored<Option<Arc<KnownAccess>>> {
        let found = self.read_own(hash, at).await?;
        if let Some(known) = &found {
            self.own.insert(*hash, Arc::clone(known));
        } else {
            self.own.remove(hash);
            self.missing.insert(*hash, at);
        }
        Ok(found)
    }

    async fn read_own(
        &self,
        hash: &HashedToken<AccessToken>,
        at: Duration,
    ) -> Stored<Option<Arc<KnownAccess>>> {
        let Some(record) = self.tokens.token(hash).await? else { return Ok(None) };
        let account = self.accounts.by_id(record.account).await?;
        let Some(account) = account.filter(|account| !account.disabled) else { return Ok(None) };
        // Limits are validated when a token is created. If they cannot be parsed, reject the token.
        let Ok(limited) = Limited::parse(&record.limits) else { return Ok(None) };
        let before = self.own.get(hash).map(|before| Arc::clone(&before.machine));
        let before = before.filter(|before| before.identity == account.identity);
        let before = before.as_ref().map(|before| &before.headers);
        let machine = Arc::new(KnownMachine {
            headers: IdentityHeaders::new(&account.identity).after(before),
            identity: account.identity,
            read_at: at,
            by: TokenKind::Own(*hash),
        });
        let noted = AtomicBool::new(false);
        Ok(Some(Arc::new(KnownAccess { machine, record, limited, noted })))
    }

    /// Records the use of a token, unless another request has just done so. Returns true if it was
    /// recorded now.
    pub async fn record_use(&self, known: &KnownAccess, now: Timestamp) -> Stored<bool> {
        let before = now.as_millis().saturating_sub(millis(NOTED_EVERY));
        self.tokens.note_token_use(known.record.id, now, Timestamp::from_millis(before)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_accepted_only_within_its_limits() {
        let texts = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        let limits = Limits {
            methods: texts(&["GET"]),
            paths: texts(&["/data/**"]),
            networks: texts(&["10.0.0.0/8"]),
            websocket: false,
        };
        let limited = Limited::parse(&limits).unwrap();
        let check = |method: &Method, raw: &[u8], ip: &str| {
            let asked = TokenUse { method, raw, websocket: false };
            limited.check(asked, ClientIp::new(ip.parse().unwrap()))
        };
        assert_eq!(check(&Method::GET, b"/data/a?b=c", "10.1.2.3"), Ok(()));
        assert_eq!(check(&Method::PUT, b"/data/a", "10.1.2.3"), Err(TokenRejection::Method));
        assert_eq!(check(&Method::GET, b"/data/a", "192.0.2.1"), Err(TokenRejection::Network));
        for path in ["/other", "/data/../other", "/data/%2e%2e/other", "/%64ata/a", "/data//a"] {
            let said = check(&Method::GET, path.as_bytes(), "10.1.2.3");
            assert_eq!(said, Err(TokenRejection::Path), "{path}");
        }
    }

    #[test]
    fn a_limit_that_cannot_be_parsed_is_rejected() {
        let with = |change: fn(&mut Limits)| {
            let mut limits = Limits::default();
            change(&mut limits);
            Limited::parse(&limits)
        };
        assert!(with(|l| l.methods.push("get".to_owned())).is_err());
        assert!(with(|l| l.methods.push(String::new())).is_err());
        assert!(with(|l| l.paths.push("data".to_owned())).is_err());
        assert!(with(|l| l.networks.push("10.0.0.0/99".to_owned())).is_err());
    }
}
