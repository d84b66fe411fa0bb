//! What the gate's decision costs without any network: reading the session cookie, finding the
//! session in the cache, bringing the target into its one form, asking the rules.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use criterion::Criterion;
use http::Method;
use vestibule::auth::account::{AccountStatus, Identity, LoginName};
use vestibule::auth::keys::{KEY_LEN, Key, KeyMaterial, KeyRing};
use vestibule::auth::ports::{
    AccountStatuses, ReadSession, SessionEnds, SessionLookup, SessionManagement, SessionOffers,
    SessionOverview, SessionStarts, StoreError, StoreHealth, Stored,
};
use vestibule::auth::session::{Device, Offer, Offers, Session, SessionLimits, SessionMark};
use vestibule::auth::stage::Factor;
use vestibule::auth::token::{HashedToken, PendingToken, PlainToken, SessionToken};
use vestibule::base::address::ClientIp;
use vestibule::base::clock::{Clock as _, SystemClock, Timestamp};
use vestibule::base::id::{AccountId, SessionId};
use vestibule::base::random::OsRandom;
use vestibule::gate::admission::{Visitor, admit};
use vestibule::gate::evaluate::{AppRules, Facts, Route, Verdict};
use vestibule::gate::glob::PathGlob;
use vestibule::gate::policy::{NoTrace, Policy, Target, VisitorFacts};
use vestibule::gate::rule::{Access, RequestFacts, Rule};
use vestibule::gate::sessions::{CachedSessions, Use};
use vestibule::gate::target::CanonicalTarget;
use zeroize::Zeroizing;

type Failure = Box<dyn std::error::Error>;

const APP: &str = "bench";
const PLAIN: &[u8] = b"/projects/42/cells?sort=name&page=3";
const ENCODED: &[u8] = b"/%70rojects/42/a%20name%c3%a9?sort=name";

fn main() -> Result<(), Failure> {
    let mut criterion = Criterion::default().configure_from_args();
    let keys = keys()?;
    let token = PlainToken::<SessionToken>::generate(&keys, &OsRandom::new())?;
    tokens(&mut criterion, &keys, &token);
    targets(&mut criterion);
    let policy = policy()?;
    rules(&mut criterion, &policy);
    sessions(&mut criterion, &token, &policy)?;
    criterion.final_summary();
    Ok(())
}

fn keys() -> Result<KeyRing, Failure> {
    let key = |n: u8| Key { id: format!("k{n}"), bytes: Zeroizing::new([n; KEY_LEN]) };
    // Two token keys, as in the days after a rotation.
    let material = KeyMaterial {
        token: vec![key(1), key(2)],
        data: vec![key(3)],
        pepper: vec![key(4)],
        assertion: vec![],
    };
    Ok(KeyRing::new(&material)?)
}

fn tokens(criterion: &mut Criterion, keys: &KeyRing, token: &PlainToken<SessionToken>) {
    let mut group = criterion.benchmark_group("token");
    let text = token.reveal();
    group.bench_function("ours", |b| {
        b.iter(|| PlainToken::<SessionToken>::parse(black_box(text), keys));
    });
    let foreign = "A".repeat(text.len());
    group.bench_function("random text", |b| {
        b.iter(|| PlainToken::<SessionToken>::parse(black_box(&foreign), keys));
    });
    group.finish();
}

fn targets(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("target");
    group.bench_function("verbatim", |b| {
        b.iter(|| CanonicalTarget::verbatim(black_box(PLAIN)));
    });
    group.bench_function("canonical already", |b| {
        b.iter(|| CanonicalTarget::canonical(black_box(PLAIN)));
    });
    group.bench_function("made canonical", |b| {
        b.iter(|| CanonicalTarget::canonical(black_box(ENCODED)));
    });
    group.finish();
}

fn policy() -> Result<Policy, Failure> {
    let rule = |path: &str, methods: &[Method], access| -> Result<Rule, Failure> {
        let (name, path) = (path.to_owned(), Some(PathGlob::parse(path)?));
        Ok(Rule { path, methods: methods.to_vec(), ..Rule::new(name, access) })
    };
    let rules = vec![
        rule("/public/**", &[Method::GET, Method::HEAD], Access::Public)?,
        rule("/assets/*", &[], Access::Public)?,
        rule("/**/internal/*", &[], Access::Deny)?,
        rule("/health", &[Method::GET], Access::Public)?,
    ];
    Ok(Policy::new(rules))
}

/// Twenty rules of every kind, of which the request meets none.
fn twenty_rules() -> Result<Policy, Failure> {
    let mut rules = Vec::new();
    for i in 0..5 {
        let path = |end: &str| PathGlob::parse(&format!("/area-{i}/{end}")).map(Some);
        let new = |name: &str, access| Rule::new(format!("{name} {i}"), access);
        rules.push(Rule { path: path("**")?, ..new("path", Access::Public) });
        rules.push(Rule {
            path: path("*/edit")?,
            methods: vec![Method::POST, Method::PUT],
            ..new("methods", Access::Deny)
        });
        rules.push(Rule {
            networks: vec![format!("10.{i}.0.0/16").parse()?],
            ..new("network", Access::Password)
        });
        rules.push(Rule {
            path: path("**/admin")?,
            groups: vec![format!("admins-{i}")],
            ..new("group", Access::TwoFactor)
        });
    }
    Ok(Policy::new(rules))
}

/// The decision as the proxy takes it: public paths before the visitor matters.
fn verdict(
    policy: &Policy,
    target: &Target<'_>,
    who: VisitorFacts<'_>,
    clock: &SystemClock,
) -> Option<Verdict> {
    let app = AppRules {
        policy,
        extra_methods: &[],
        service_workers: false,
        dialect: None,
        first_factor: None,
        related_origins_at: None,
    };
    let facts = Facts::of(RequestFacts {
        method: &Method::GET,
        path: target.path(),
        host: "gw.test",
        client: ClientIp::new(std::net::Ipv4Addr::new(192, 0, 2, 7).into()),
        preflight: false,
    });
    let Route::App(first) = app.route(target, &facts, &mut NoTrace) else { return None };
    let public = app.public(first, &facts);
    Some(public.unwrap_or_else(|| app.verdict(first, &facts, who, clock, &mut NoTrace)))
}

fn rules(criterion: &mut Criterion, policy: &Policy) {
    let clock = SystemClock::new();
    let mut group = criterion.benchmark_group("policy");
    for (name, raw) in
        [("the first rule", b"/public/a/b.css".as_slice()), ("no rule of four", b"/projects/42")]
    {
        let Ok(target) = policy.target(raw) else { continue };
        group.bench_function(name, |b| {
            b.iter(|| verdict(policy, black_box(&target), VisitorFacts::Anonymous, &clock));
        });
    }
    group.finish();
}

fn sessions(
    criterion: &mut Criterion,
    token: &PlainToken<SessionToken>,
    policy: &Policy,
) -> Result<(), Failure> {
    let clock = Arc::new(SystemClock::new());
    let memory = Arc::new(Memory { session: session(clock.now())? });
    let known = Arc::new(CachedSessions::new(
        Arc::<Memory>::clone(&memory),
        memory,
        Arc::<SystemClock>::clone(&clock),
        &OsRandom::new(),
        SessionLimits::default(),
    )?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if runtime.block_on(known.find(APP, token, (clock.monotonic(), Use::Counts)))?.is_none() {
        return Err("the session is not found: this would measure a refusal".into());
    }
    let mut group = criterion.benchmark_group("session");
    let text = token.reveal().as_bytes();
    // Once in a second the store is asked: a step of the bench's own pace.
    let find =
        async || match known.find_seen(APP, black_box(text), (clock.monotonic(), Use::Counts)) {
            Some(known) => Some(known),
            None => known.find(APP, token, (clock.monotonic(), Use::Counts)).await.ok()?,
        };
    group.bench_function("a hit in the cache", |b| b.to_async(&runtime).iter(find));
    let twenty = twenty_rules()?;
    for (name, policy) in
        [("the whole decision", policy), ("the whole decision, of twenty rules", &twenty)]
    {
        group.bench_function(name, |b| {
            b.to_async(&runtime).iter(async || {
                let target = policy.target(black_box(PLAIN)).ok()?;
                let visitor = find().await.map_or(Visitor::Anonymous, Visitor::Full);
                match verdict(policy, &target, visitor.who(), &clock)? {
                    Verdict::Forward(_, grant) => admit(grant, visitor).ok(),
                    Verdict::Deny(..) => None,
                }
            });
        });
    }
    group.finish();
    Ok(())
}

fn session(now: Timestamp) -> Result<Session, Failure> {
    let random = OsRandom::new();
    Ok(Session {
        id: SessionId::random(&random)?,
        identity: Identity {
            account: AccountId::random(&random)?,
            name: LoginName::parse("alice")?,
            display_name: "Alice of the bench".to_owned(),
            email: Some("alice@example.com".to_owned()),
            groups: vec!["staff".to_owned(), "readers".to_owned()],
        },
        app: APP.to_owned(),
        method: Factor::TOTP,
        key: None,
        alone: false,
        started_at: now,
        renewed_since: None,
        second_factor_at: now,
        password_at: now,
        last_seen_at: now,
        expires_at: now.plus(Duration::from_hours(12)),
        device: Device {
            address: ClientIp::new("192.0.2.7".parse()?),
            user_agent: "a browser".to_owned(),
        },
        recovery_codes_due: None,
        offers: Offers::default(),
        notices: Vec::new(),
        identity_changes: 0,
        tree: None,
        branch: None,
        apps: Vec::new(),
    })
}

/// A store in memory that holds one session of one account. The cache asks it once in a second;
/// what the decision never asks for is answered as an outage.
struct Memory {
    session: Session,
}

fn never<T>() -> Stored<T> {
    Err(StoreError { store: "the store of the bench", reason: "it only reads".to_owned() })
}

#[async_trait]
impl SessionLookup for Memory {
    async fn load(&self, _: &HashedToken<SessionToken>) -> Stored<Option<Session>> {
        Ok(Some(self.session.clone()))
    }
    async fn load_all(&self, ids: &[HashedToken<SessionToken>]) -> Stored<Vec<ReadSession>> {
        Ok(ids.iter().map(|_| Ok(Some(self.session.clone()))).collect())
    }
    async fn touch(&self, _: &HashedToken<SessionToken>, _: Timestamp, _: Duration) -> Stored<()> {
        Ok(())
    }
}

#[async_trait]
impl SessionStarts for Memory {
    async fn promote(
        &self,
        _: &HashedToken<PendingToken>,
        _: &HashedToken<SessionToken>,
        _: &Session,
        _: Duration,
    ) -> Stored<bool> {
        never()
    }
    async fn renew(
        &self,
        _: &HashedToken<SessionToken>,
        _: &HashedToken<SessionToken>,
        _: &Session,
        _: Option<&Offers>,
        _: Duration,
    ) -> Stored<bool> {
        never()
    }
}

#[async_trait]
impl SessionOffers for Memory {
    async fn offer(
        &self,
        _: &HashedToken<SessionToken>,
        _: Offer,
        _: &str,
    ) -> Stored<Option<String>> {
        never()
    }
    async fn withdraw(&self, _: &HashedToken<SessionToken>, _: Offer) -> Stored<bool> {
        never()
    }
    async fn recovery_codes_done(&self, _: &HashedToken<SessionToken>) -> Stored<()> {
        never()
    }
}

#[async_trait]
impl SessionEnds for Memory {
    async fn end(&self, _: &HashedToken<SessionToken>) -> Stored<bool> {
        never()
    }
    async fn end_others(&self, _: AccountId, _: &HashedToken<SessionToken>) -> Stored<u64> {
        never()
    }
}

#[async_trait]
impl SessionOverview for Memory {
    async fn list(&self, _: Option<AccountId>, _: Timestamp) -> Stored<Vec<Session>> {
        never()
    }
    async fn end_by_id(&self, _: SessionId, _: Option<AccountId>) -> Stored<bool> {
        never()
    }
}

#[async_trait]
impl SessionManagement for Memory {
    async fn identity_changed(&self, _: AccountId) -> Stored<()> {
        never()
    }
    async fn end_account(&self, _: AccountId) -> Stored<u64> {
        never()
    }
    async fn end_all(&self) -> Stored<u64> {
        never()
    }
}

#[async_trait]
impl StoreHealth for Memory {
    async fn ping(&self) -> Stored<()> {
        Ok(())
    }
}

#[async_trait]
impl AccountStatuses for Memory {
    async fn status(&self, _: AccountId, _: &SessionMark) -> Stored<Option<AccountStatus>> {
        Ok(Some(AccountStatus {
            identity: Arc::new(self.session.identity.clone()),
            disabled: false,
            sessions_valid_from: Timestamp::EPOCH,
            session_ended: false,
        }))
    }
}
