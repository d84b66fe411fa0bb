//! Long-lived tokens of an app that a rule of ours lets through: none by default. Such a token stands
//! for both factors of the person the rule names, within what the rule allows.

mod access;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use ipnet::IpNet;
use quick_cache::sync::Cache;
use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq;

pub use self::access::{AskedFor, BadLimit, KnownAccess, Limited};
use super::identity::IdentityHeaders;
use crate::auth::account::{Identity, LoginName};
use crate::auth::ports::{AccessTokens, Accounts, Stored};
use crate::auth::token::{AccessToken, HashedToken};
use crate::base::address::ClientIp;
use crate::base::clock::Timestamp;

/// How long an account is believed to be there and enabled.
const FRESH: Duration = Duration::from_millis(900);
/// How long this process does not ask again whether the use of a token was told of.
const TOLD_AGAIN: Duration = Duration::from_mins(5);
/// Accounts kept at most.
const CAPACITY: usize = 10_000;

/// The methods that a token may be used with; none named allows all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Methods {
    /// Those named.
    pub named: Vec<Method>,
    /// A `WebSocket` may be opened beside them.
    pub websocket: bool,
}

impl Methods {
    /// A WebSocket is opened by a GET and then carries anything either way: a token whose methods are
    /// limited needs the right to one by itself.
    fn check(&self, method: &Method, websocket: bool) -> Result<(), NotLet> {
        if websocket && !self.allow_websockets() {
            return Err(NotLet::WebSocket);
        }
        let named = self.named.is_empty() || self.named.contains(method) || websocket;
        if named { Ok(()) } else { Err(NotLet::Method) }
    }

    fn allow_websockets(&self) -> bool {
        self.websocket || self.named.is_empty()
    }
}

/// One token that is let through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRule {
    /// What it is called.
    pub name: String,
    /// The SHA-256 of the token.
    pub sha256: [u8; 32],
    /// Whose it is.
    pub user: LoginName,
    /// Where it may come from; empty for everywhere.
    pub networks: Vec<IpNet>,
    /// What it may be used with.
    pub methods: Methods,
    /// Until when.
    pub expires: Option<Timestamp>,
}

/// Why a token is not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotLet {
    /// No rule names it.
    Unknown,
    /// It may not be used with this method.
    Method,
    /// It may not open a `WebSocket`.
    WebSocket,
    /// It may not come from there.
    Network,
    /// Its time is over.
    Expired,
    /// It is for another app.
    App,
    /// It may not be used with this path.
    Path,
}

impl NotLet {
    /// Its name in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Method => "method",
            Self::WebSocket => "websocket",
            Self::Network => "network",
            Self::Expired => "expired",
            Self::App => "app",
            Self::Path => "path",
        }
    }
}

/// The rule that lets `token` through.
pub fn admits<'a>(
    rules: &'a [TokenRule],
    token: &[u8],
    (method, websocket): (&Method, bool),
    client: ClientIp,
    now: Timestamp,
) -> Result<&'a TokenRule, NotLet> {
    let hash = digest(&SHA256, token);
    let is = |rule: &&TokenRule| bool::from(rule.sha256.as_slice().ct_eq(hash.as_ref()));
    let rule = rules.iter().find(is).ok_or(NotLet::Unknown)?;
    if rule.expires.is_some_and(|end| now >= end) {
        return Err(NotLet::Expired);
    }
    if !rule.networks.is_empty() && !client.is_in(&rule.networks) {
        return Err(NotLet::Network);
    }
    rule.methods.check(method, websocket)?;
    Ok(rule)
}

/// A token that a rule lets through, or one of ours, of an account that may sign in: made by
/// [`Machines`] only.
#[derive(Debug)]
pub struct KnownMachine {
    identity: Identity,
    headers: IdentityHeaders,
    read_at: Duration,
    by: By,
}

/// By which token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// One of ours.
    Own(HashedToken<AccessToken>),
    /// One of the app's, by its SHA-256.
    App([u8; 32]),
}

impl KnownMachine {
    /// Whose it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What the app is told of that person.
    pub fn headers(&self) -> &IdentityHeaders {
        &self.headers
    }

    /// Whether these rules still let it keep a WebSocket open; of a token of ours they do not speak.
    pub fn stands(&self, rules: &[TokenRule], now: Timestamp) -> bool {
        match self.by {
            By::Own(_) => true,
            By::App(sha256) => {
                let in_time = |rule: &TokenRule| rule.expires.is_none_or(|end| now < end);
                rules.iter().any(|rule| {
                    rule.sha256 == sha256
                        && rule.user == self.identity.name
                        && rule.methods.allow_websockets()
                        && in_time(rule)
                })
            }
        }
    }
}

/// The accounts of such tokens, as far as they may sign in.
pub struct Machines {
    accounts: Arc<dyn Accounts>,
    known: Cache<[u8; 32], Arc<KnownMachine>>,
    tokens: Arc<dyn AccessTokens>,
    own: Cache<HashedToken<AccessToken>, Arc<KnownAccess>>,
    /// When a token with one of our tags was last not found, in monotonic time: a revoked one asks
    /// the database no more often than one that works.
    missing: Cache<HashedToken<AccessToken>, Duration>,
    /// When the use of an app's token from an address was told last, in monotonic time.
    told: Cache<([u8; 32], ClientIp), Duration>,
}

impl fmt::Debug for Machines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machines").field("known", &self.known.len()).finish_non_exhaustive()
    }
}

impl Machines {
    /// Over these accounts and tokens.
    pub fn new(accounts: Arc<dyn Accounts>, tokens: Arc<dyn AccessTokens>) -> Self {
        Self {
            accounts,
            known: Cache::new(CAPACITY),
            tokens,
            own: Cache::new(CAPACITY),
            missing: Cache::new(CAPACITY),
            told: Cache::new(CAPACITY),
        }
    }

    /// The person of a rule that let a token through; `at` is the monotonic time. Nobody where there
    /// is no such account, or it is disabled.
    pub async fn find(&self, rule: &TokenRule, at: Duration) -> Stored<Option<Arc<KnownMachine>>> {
        if let Some(known) = self.known.get(&rule.sha256)
            && at.saturating_sub(known.read_at) < FRESH
            && known.identity.name == rule.user
        {
            return Ok(Some(known));
        }
        self.fetch(rule.sha256, &rule.user, at).await
    }

    /// Whether the use of a token from there is to be told of: this process did not for a while, so
    /// that not every request asks whether anybody did.
    pub fn is_to_be_told(&self, rule: &TokenRule, client: ClientIp, at: Duration) -> bool {
        let told = self.told.get(&(rule.sha256, client));
        told.is_none_or(|told| at.saturating_sub(told) >= TOLD_AGAIN)
    }

    /// It was told of.
    pub fn was_told(&self, rule: &TokenRule, client: ClientIp, at: Duration) {
        self.told.insert((rule.sha256, client), at);
    }

    /// Whether the person of a tunnel may still sign in, by a token of ours whose time is not over
    /// by `now`.
    pub async fn still_lives(&self, known: &KnownMachine, now: Timestamp) -> Stored<bool> {
        match &known.by {
            By::Own(own) => {
                let found = self.fetch_own(own, known.read_at).await?;
                Ok(found.is_some_and(|known| now < known.record().expires_at))
            }
            By::App(sha256) => {
                let found = self.fetch(*sha256, &known.identity.name, known.read_at).await?;
                Ok(found.is_some())
            }
        }
    }

    async fn fetch(
        &self,
        sha256: [u8; 32],
        user: &LoginName,
        at: Duration,
    ) -> Stored<Option<Arc<KnownMachine>>> {
        let account = self.accounts.by_name(user).await?;
        let Some(account) = account.filter(|a| !a.disabled) else {
            self.known.remove(&sha256);
            return Ok(None);
        };
        let known = Arc::new(KnownMachine {
            headers: IdentityHeaders::new(&account.identity),
            identity: account.identity,
            read_at: at,
            by: By::App(sha256),
        });
        self.known.insert(sha256, Arc::clone(&known));
        Ok(Some(known))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_let_through_within_its_rule_only() {
        let token = b"cep_alice_readonly";
        let sha256 = digest(&SHA256, token).as_ref().try_into().unwrap();
        let rule = TokenRule {
            name: "nightly".to_owned(),
            sha256,
            user: LoginName::parse("alice").unwrap(),
            networks: vec!["10.0.0.0/8".parse().unwrap()],
            methods: Methods { named: vec![Method::GET], websocket: false },
            expires: Some(Timestamp::from_millis(1000)),
        };
        let rules = [rule];
        let at = |ip: &str, method: &Method, token: &[u8], now| {
            let client = ClientIp::new(ip.parse().unwrap());
            admits(&rules, token, (method, false), client, Timestamp::from_millis(now))
                .map(|r| r.name.as_str())
        };
        assert_eq!(at("10.1.2.3", &Method::GET, token, 999), Ok("nightly"));
        assert_eq!(at("10.1.2.3", &Method::GET, token, 1000), Err(NotLet::Expired));
        assert_eq!(at("192.0.2.1", &Method::GET, token, 0), Err(NotLet::Network));
        assert_eq!(at("10.1.2.3", &Method::DELETE, token, 0), Err(NotLet::Method));
        assert_eq!(at("10.1.2.3", &Method::GET, b"cep_alice_full", 0), Err(NotLet::Unknown));
    }

    #[test]
    fn a_websocket_needs_a_right_of_its_own_where_methods_are_limited() {
        let check = |named: &[Method], websocket, method: Method| {
            Methods { named: named.to_vec(), websocket }.check(&method, true)
        };
        assert_eq!(check(&[Method::GET], false, Method::GET), Err(NotLet::WebSocket));
        assert_eq!(check(&[Method::GET], true, Method::GET), Ok(()));
        assert_eq!(check(&[Method::POST], true, Method::GET), Ok(()));
        assert_eq!(check(&[], false, Method::GET), Ok(()));
        let plain = Methods { named: vec![Method::POST], websocket: true };
        assert_eq!(plain.check(&Method::GET, false), Err(NotLet::Method));
    }
}
