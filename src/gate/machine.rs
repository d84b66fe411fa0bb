//! Long-lived tokens that are accepted in place of both factors. No token is accepted by default.
//! An app token named by a rule acts as the rule's user, within the rule's limits.

mod access;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use http::Method;
use ipnet::IpNet;
use quick_cache::sync::Cache;
use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq;

pub use self::access::{BadLimit, KnownAccess, Limited, TokenUse};
use super::identity::IdentityHeaders;
use super::recent::is_fresh;
use super::shared_loads::SharedLoads;
use crate::auth::account::{Identity, LoginName};
use crate::auth::ports::{AccessTokens, AccountLookup, Stored};
use crate::auth::token::{AccessToken, HashedToken};
use crate::base::address::ClientIp;
use crate::base::clock::Timestamp;

/// Interval at which this process reports the use of the same token from the same address.
const REPORT_INTERVAL: Duration = Duration::from_mins(5);
/// Maximum cached accounts.
const CAPACITY: usize = 10_000;

/// Methods that a token may be used with. An empty list allows all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Methods {
    /// The methods.
    pub named: Vec<Method>,
    /// True if the token may also open a `WebSocket`.
    pub websocket: bool,
}

impl Methods {
    /// Checks a method. A WebSocket starts with a GET and then carries anything in both directions,
    /// so a token with limited methods needs a separate permission for it.
    fn check(&self, method: &Method, websocket: bool) -> Result<(), TokenRejection> {
        if websocket && !self.allow_websockets() {
            return Err(TokenRejection::WebSocket);
        }
        let handshake = websocket && *method == Method::GET;
        let named = self.named.is_empty() || self.named.contains(method) || handshake;
        if named { Ok(()) } else { Err(TokenRejection::Method) }
    }

    fn allow_websockets(&self) -> bool {
        self.websocket || self.named.is_empty()
    }
}

/// An app token that is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRule {
    /// Its name.
    pub name: String,
    /// SHA-256 of the token.
    pub sha256: [u8; 32],
    /// Login name of its user.
    pub user: LoginName,
    /// Networks that it may be used from. Empty for all.
    pub networks: Vec<IpNet>,
    /// Methods that it may be used with.
    pub methods: Methods,
    /// Its expiry.
    pub expires: Option<Timestamp>,
}

/// The reason why a token is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenRejection {
    /// No rule names it.
    Unknown,
    /// The method is not allowed.
    Method,
    /// The token may not open a `WebSocket`.
    WebSocket,
    /// The client's network is not allowed.
    Network,
    /// It has expired.
    Expired,
    /// It is for another app.
    App,
    /// The path is not allowed.
    Path,
}

impl TokenRejection {
    /// Returns its name in audit events.
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

/// Returns the rule that accepts `token`.
pub fn admits<'a>(
    rules: &'a [TokenRule],
    token: &[u8],
    (method, websocket): (&Method, bool),
    client: ClientIp,
    now: Timestamp,
) -> Result<&'a TokenRule, TokenRejection> {
    let hash = digest(&SHA256, token);
    let is = |rule: &&TokenRule| bool::from(rule.sha256.as_slice().ct_eq(hash.as_ref()));
    let rule = rules.iter().find(is).ok_or(TokenRejection::Unknown)?;
    if rule.expires.is_some_and(|end| now >= end) {
        return Err(TokenRejection::Expired);
    }
    if !rule.networks.is_empty() && !client.is_in(&rule.networks) {
        return Err(TokenRejection::Network);
    }
    rule.methods.check(method, websocket)?;
    Ok(rule)
}

/// An accepted token of an account that may sign in. Only [`Machines`] creates it.
#[derive(Debug)]
pub struct KnownMachine {
    identity: Identity,
    headers: IdentityHeaders,
    read_at: Duration,
    by: TokenKind,
}

#[cfg(test)]
impl KnownMachine {
    /// Returns the user of an app token as if it was just loaded.
    pub(super) fn loaded(identity: Identity) -> Arc<Self> {
        let headers = IdentityHeaders::new(&identity);
        Arc::new(Self { identity, headers, read_at: Duration::ZERO, by: TokenKind::App([0; 32]) })
    }
}

/// The kind of token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TokenKind {
    /// A Vestibule access token.
    Own(HashedToken<AccessToken>),
    /// An app token, by its SHA-256.
    App([u8; 32]),
}

impl KnownMachine {
    /// Returns its user.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Returns the identity headers of its user.
    pub fn headers(&self) -> &IdentityHeaders {
        &self.headers
    }

    /// Returns a text that identifies the token and does not reveal it.
    pub fn id(&self) -> String {
        match &self.by {
            TokenKind::Own(hash) => hash.to_hex(),
            TokenKind::App(sha256) => HEXLOWER.encode(sha256),
        }
    }

    /// Returns true if these rules still allow a request under way. They do not apply to access
    /// tokens.
    pub fn stands(
        &self,
        rules: &[TokenRule],
        (method, websocket): (&Method, bool),
        client: ClientIp,
        now: Timestamp,
    ) -> bool {
        match self.by {
            TokenKind::Own(_) => true,
            TokenKind::App(sha256) => {
                let in_time = |rule: &TokenRule| rule.expires.is_none_or(|end| now < end);
                rules.iter().any(|rule| {
                    rule.sha256 == sha256
                        && rule.user == self.identity.name
                        && rule.methods.check(method, websocket).is_ok()
                        && (rule.networks.is_empty() || client.is_in(&rule.networks))
                        && in_time(rule)
                })
            }
        }
    }
}

/// Accounts of accepted tokens.
pub struct Machines {
    accounts: Arc<dyn AccountLookup>,
    known: Cache<[u8; 32], Arc<KnownMachine>>,
    /// Lookups under way, by app token and user: two apps may know one token as different users.
    loads: SharedLoads<([u8; 32], LoginName), KnownMachine>,
    tokens: Arc<dyn AccessTokens>,
    own: Cache<HashedToken<AccessToken>, Arc<KnownAccess>>,
    own_loads: SharedLoads<HashedToken<AccessToken>, KnownAccess>,
    /// Access tokens recently not found, with the monotonic time of the lookup. A revoked token
    /// causes no more lookups than a valid one.
    missing: Cache<HashedToken<AccessToken>, Duration>,
    /// App tokens and addresses recently reported, with the monotonic time of the report.
    reported: Cache<([u8; 32], ClientIp), Duration>,
}

impl fmt::Debug for Machines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machines").field("known", &self.known.len()).finish_non_exhaustive()
    }
}

impl Machines {
    /// Creates the cache over these accounts and tokens.
    pub fn new(accounts: Arc<dyn AccountLookup>, tokens: Arc<dyn AccessTokens>) -> Self {
        Self {
            accounts,
            known: Cache::new(CAPACITY),
            loads: SharedLoads::default(),
            tokens,
            own: Cache::new(CAPACITY),
            own_loads: SharedLoads::default(),
            missing: Cache::new(CAPACITY),
            reported: Cache::new(CAPACITY),
        }
    }

    /// Returns the user of a rule that accepted a token. `at` is the monotonic time. Returns `None`
    /// if the account does not exist or is disabled.
    pub async fn find(
        self: &Arc<Self>,
        rule: &TokenRule,
        at: Duration,
    ) -> Stored<Option<Arc<KnownMachine>>> {
        self.find_by_hash(rule.sha256, &rule.user, at).await
    }

    async fn find_by_hash(
        self: &Arc<Self>,
        sha256: [u8; 32],
        user: &LoginName,
        at: Duration,
    ) -> Stored<Option<Arc<KnownMachine>>> {
        let of_user = |known: &Arc<KnownMachine>| known.identity.name == *user;
        let fresh = |known: &Arc<KnownMachine>| is_fresh(known.read_at, at) && of_user(known);
        if let Some(known) = self.known.get(&sha256).filter(fresh) {
            return Ok(Some(known));
        }
        let (this, name) = (Arc::clone(self), user.clone());
        let lookup = || async move { this.fetch(sha256, &name, at).await };
        self.loads.load((sha256, user.clone()), (at, 0), lookup).await
    }

    /// Returns true if the use of a token from this address should be reported, because this
    /// process has not done so recently. This avoids a store lookup for every request.
    pub fn should_report(&self, rule: &TokenRule, client: ClientIp, at: Duration) -> bool {
        let last = self.reported.get(&(rule.sha256, client));
        last.is_none_or(|last| at.saturating_sub(last) >= REPORT_INTERVAL)
    }

    /// Records that the use of a token was reported.
    pub fn mark_reported(&self, rule: &TokenRule, client: ClientIp, at: Duration) {
        self.reported.insert((rule.sha256, client), at);
    }

    /// Returns the token of a request under way as of now, or `None` if it has expired or its user may
    /// not sign in. `at` is the monotonic time.
    pub async fn as_of_now(
        self: &Arc<Self>,
        known: &KnownMachine,
        at: Duration,
        now: Timestamp,
    ) -> Stored<Option<Arc<KnownMachine>>> {
        match &known.by {
            TokenKind::Own(own) => {
                let current = self.find_own(own, at).await?;
                let valid = current.filter(|token| now < token.record().expires_at);
                Ok(valid.map(|token| Arc::clone(token.machine())))
            }
            TokenKind::App(sha256) => self.find_by_hash(*sha256, &known.identity.name, at).await,
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
        let before = self.known.get(&sha256).filter(|before| before.identity == account.identity);
        let before = before.as_ref().map(|before| &before.headers);
        let known = Arc::new(KnownMachine {
            headers: IdentityHeaders::new(&account.identity).after(before),
            identity: account.identity,
            read_at: at,
            by: TokenKind::App(sha256),
        });
        self.known.insert(sha256, Arc::clone(&known));
        Ok(Some(known))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_accepted_only_within_its_rule() {
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
        assert_eq!(at("10.1.2.3", &Method::GET, token, 1000), Err(TokenRejection::Expired));
        assert_eq!(at("192.0.2.1", &Method::GET, token, 0), Err(TokenRejection::Network));
        assert_eq!(at("10.1.2.3", &Method::DELETE, token, 0), Err(TokenRejection::Method));
        assert_eq!(
            at("10.1.2.3", &Method::GET, b"cep_alice_full", 0),
            Err(TokenRejection::Unknown)
        );
    }

    #[test]
    fn a_websocket_needs_its_own_permission_if_methods_are_limited() {
        let check = |named: &[Method], websocket, method: Method| {
            Methods { named: named.to_vec(), websocket }.check(&method, true)
        };
        assert_eq!(check(&[Method::GET], false, Method::GET), Err(TokenRejection::WebSocket));
        assert_eq!(check(&[Method::GET], true, Method::GET), Ok(()));
        assert_eq!(check(&[Method::POST], true, Method::GET), Ok(()));
        assert_eq!(check(&[], false, Method::GET), Ok(()));
        assert_eq!(check(&[Method::GET], true, Method::DELETE), Err(TokenRejection::Method));
        let plain = Methods { named: vec![Method::POST], websocket: true };
        assert_eq!(plain.check(&Method::GET, false), Err(TokenRejection::Method));
    }
}
