//! The sweep over requests under way.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use metrics::gauge;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::end::{Why, end};
use super::request::{Admitted, LiveRequest};
use super::rules::let_in;
use crate::auth::login::Parking;
use crate::auth::ports::Stored;
use crate::auth::token::{HashedToken, SessionToken};
use crate::base::clock::{Clock, Timestamp, millis};
use crate::base::id::RequestId;
use crate::gate::admission::Visitor;
use crate::gate::logins::CachedLogins;
use crate::gate::machine::{KnownMachine, Machines};
use crate::gate::sessions::{BATCH, CachedSessions, Standing};
use crate::proxy::app::{Apps, CurrentApps};
use crate::proxy::client::connection::Connection;
use crate::proxy::client::open::Open;

/// Interval between two sweeps. A session is read at most once a second, because the cache answers
/// in between.
const EVERY: Duration = Duration::from_millis(500);
/// Age from which a request is looked at.
const YOUNG: Duration = Duration::from_millis(200);
/// Time for which a request goes on while a store does not answer. Long enough for a store that
/// restarts, short enough that an end which cannot be read holds soon.
const UNVERIFIED: Duration = Duration::from_secs(5);
/// Lookups of tokens and pending logins at a time.
const AT_ONCE: usize = 8;
/// Maximum step-ups of a session between two sweeps that requests under way survive.
const STEP_UPS: usize = 4;
/// Pause after a panic.
const PAUSE: Duration = Duration::from_secs(1);

/// The parts of the gateway that the sweep uses.
#[derive(Clone)]
pub(in crate::proxy) struct Sweep {
    pub(in crate::proxy) open: Arc<Open>,
    pub(in crate::proxy) apps: Arc<CurrentApps>,
    pub(in crate::proxy) sessions: Arc<CachedSessions>,
    pub(in crate::proxy) logins: Arc<CachedLogins>,
    pub(in crate::proxy) machines: Arc<Machines>,
    pub(in crate::proxy) parking: Arc<Parking>,
    pub(in crate::proxy) clock: Arc<dyn Clock>,
}

/// A request under way.
struct Candidate {
    connection: Arc<Connection>,
    live: Arc<LiveRequest>,
    id: RequestId,
    visitor: Visitor,
}

/// The visitor of a request as of now.
enum Current {
    /// It may go on.
    Visitor(Visitor),
    /// Its credential has ended.
    Ended,
    /// A store has not answered since this monotonic time.
    Unknown(Duration),
}

impl Sweep {
    /// Sweeps until dropped. Sessions and other credentials have a loop each, so a slow store of one
    /// does not delay the other.
    pub(in crate::proxy) async fn run(self) {
        loop {
            let mut loops = JoinSet::new();
            loops.spawn(self.clone().sweep_sessions());
            loops.spawn(self.clone().sweep_others());
            if let Some(Err(error)) = loops.join_next().await {
                tracing::error!(%error, "bug: the sweep over open connections failed: starting again");
            }
            drop(loops);
            sleep(PAUSE).await;
        }
    }

    async fn sweep_sessions(self) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let took = gauge!("vestibule_live_sweep_seconds");
        let mut failing_since = None;
        loop {
            ticks.tick().await;
            let began = self.clock.monotonic();
            self.people(&mut failing_since).await;
            took.set(self.clock.monotonic().saturating_sub(began).as_secs_f64());
        }
    }

    async fn sweep_others(self) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failing_since = None;
        loop {
            ticks.tick().await;
            self.others(&mut failing_since).await;
        }
    }

    /// Returns the requests that are old enough, of sessions or of others, by their credential.
    fn under_way<K: Eq + std::hash::Hash>(
        &self,
        key: impl Fn(&Visitor) -> Option<K>,
    ) -> HashMap<K, Vec<Candidate>> {
        let before = self.clock.monotonic().saturating_sub(YOUNG);
        let mut all = HashMap::<K, Vec<Candidate>>::new();
        for connection in self.open.busy() {
            connection.underway.each(|live| {
                let seen = live.look(|request| {
                    let due = request.since <= before && !request.ending;
                    let key = due.then(|| key(&request.visitor)).flatten()?;
                    Some((key, request.id, request.visitor.clone()))
                });
                if let Some((key, id, visitor)) = seen.flatten() {
                    let (connection, live) = (Arc::clone(&connection), Arc::clone(live));
                    let one = Candidate { connection, live, id, visitor };
                    all.entry(key).or_default().push(one);
                }
            });
        }
        all
    }

    /// Checks the requests of sessions, each session once. What a batch shows takes effect before the
    /// next one is read. After a failure, no store is asked again in this sweep.
    async fn people(&self, failing_since: &mut Option<Duration>) {
        let of_session = |visitor: &Visitor| match visitor {
            Visitor::Full(known) => Some(*known.token()),
            Visitor::Anonymous | Visitor::Password(_) | Visitor::Machine(_) => None,
        };
        let under_way = self.under_way(of_session);
        let tokens: Vec<HashedToken<SessionToken>> = under_way.keys().copied().collect();
        let mut failed = false;
        for batch in tokens.chunks(BATCH) {
            let standing = if failed {
                vec![Standing::Unknown; batch.len()]
            } else {
                let standing = self.sessions.standing(batch).await;
                self.followed(batch, standing).await
            };
            for (token, standing) in batch.iter().zip(standing) {
                let unknown = matches!(standing, Standing::Unknown);
                failed |= unknown;
                for one in under_way.get(token).into_iter().flatten() {
                    let current = match &standing {
                        Standing::Lives(known) => {
                            Current::Visitor(Visitor::Full(Arc::clone(known)))
                        }
                        Standing::Ended => Current::Ended,
                        Standing::Unknown => self.unread(one, failing_since),
                        // The store works, so this says nothing of others, and counts from the last
                        // time that the request was verified.
                        Standing::Unreadable => self.unread(one, &mut Some(Duration::ZERO)),
                    };
                    self.conclude(one, current);
                }
            }
        }
        if !failed {
            *failing_since = None;
        }
    }

    /// Returns the state of each session, of those that go on under a new token after a step-up under that one.
    async fn followed(
        &self,
        tokens: &[HashedToken<SessionToken>],
        mut all: Vec<Standing>,
    ) -> Vec<Standing> {
        let mut ended: Vec<_> = tokens.iter().copied().enumerate().collect();
        ended.retain(|(place, _)| matches!(all.get(*place), Some(Standing::Ended)));
        for _ in 0..STEP_UPS {
            if ended.is_empty() {
                break;
            }
            let nexts = stream::iter(ended).map(|(place, token)| async move {
                (place, token, self.parking.next(&token).await)
            });
            let found: Vec<_> = nexts.buffer_unordered(AT_ONCE).collect().await;
            let mut nexts = Vec::new();
            for (place, token, next) in found {
                match next {
                    Ok(next) => nexts.extend(next.map(|next| (place, token, next))),
                    Err(error) => {
                        tracing::debug!(%error, "failed to look for the successor of a session");
                        if let Some(known) = all.get_mut(place) {
                            *known = Standing::Unknown;
                        }
                    }
                }
            }
            let tokens: Vec<_> = nexts.iter().map(|(_, _, next)| *next).collect();
            ended = Vec::new();
            let standing = self.sessions.standing(&tokens).await;
            for ((place, former, next), standing) in nexts.into_iter().zip(standing) {
                self.sessions.goes_on(former, next);
                if matches!(standing, Standing::Ended) {
                    ended.push((place, next));
                } else if let Some(known) = all.get_mut(place) {
                    *known = standing;
                }
            }
        }
        all
    }

    /// Returns what is known of a request whose session cannot be read.
    fn unread(&self, one: &Candidate, failing_since: &mut Option<Duration>) -> Current {
        let now = self.clock.monotonic();
        if let Visitor::Full(known) = &one.visitor
            && known.is_over(now)
        {
            return Current::Ended;
        }
        Current::Unknown(*failing_since.get_or_insert(now))
    }

    /// Checks the requests of tokens and of pending logins, each credential once. One app token may
    /// be a credential of several users, each at another app.
    async fn others(&self, failing_since: &mut Option<Duration>) {
        let of_other = |visitor: &Visitor| match visitor {
            Visitor::Password(login) => Some((login.token().to_hex(), None)),
            Visitor::Machine(machine) => {
                Some((machine.id(), Some(machine.identity().name.clone())))
            }
            Visitor::Anonymous | Visitor::Full(_) => None,
        };
        let failed = AtomicBool::new(false);
        let groups: Vec<Vec<Candidate>> = self.under_way(of_other).into_values().collect();
        let checks = stream::iter(groups).map(|group| self.check(group, &failed));
        let mut checks = checks.buffer_unordered(AT_ONCE);
        while let Some((group, current)) = checks.next().await {
            for one in &group {
                let current = match &current {
                    Ok(Some(visitor)) if self.rule_stands(one, visitor) => {
                        Current::Visitor(visitor.clone())
                    }
                    Ok(_) => Current::Ended,
                    Err(()) => self.unread(one, failing_since),
                };
                self.conclude(one, current);
            }
        }
        if !failed.load(Ordering::Relaxed) {
            *failing_since = None;
        }
    }

    /// Reads the credential that a group of requests shares.
    async fn check(
        &self,
        group: Vec<Candidate>,
        failed: &AtomicBool,
    ) -> (Vec<Candidate>, Result<Option<Visitor>, ()>) {
        let Some(first) = group.first().filter(|_| !failed.load(Ordering::Relaxed)) else {
            return (group, Err(()));
        };
        let current = self.as_of_now(&first.visitor).await.map_err(|error| {
            failed.store(true, Ordering::Relaxed);
            tracing::debug!(%error, "failed to verify open connections");
        });
        (group, current)
    }

    async fn as_of_now(&self, visitor: &Visitor) -> Stored<Option<Visitor>> {
        let at = self.clock.monotonic();
        Ok(match visitor {
            Visitor::Anonymous | Visitor::Full(_) => Some(visitor.clone()),
            Visitor::Password(login) => {
                self.logins.as_of_now(login, at).await?.map(Visitor::Password)
            }
            Visitor::Machine(machine) => {
                let current = self.machines.as_of_now(machine, at, self.clock.now()).await?;
                current.map(Visitor::Machine)
            }
        })
    }

    /// Returns true if the configuration still accepts an app token for this request.
    fn rule_stands(&self, one: &Candidate, visitor: &Visitor) -> bool {
        let Visitor::Machine(machine) = visitor else { return true };
        let machine: &KnownMachine = machine;
        let stands = one.live.during(one.id, |request| {
            let apps = self.apps.load();
            let app = apps.by_host(request.site.name());
            let used = (&request.method, request.websocket);
            let (client, now) = (request.site.origin.client, self.clock.now());
            app.is_some_and(|app| machine.stands(&app.tokens, used, client, now))
        });
        stands.unwrap_or(true)
    }

    /// Ends a request unless its visitor is still let in.
    fn conclude(&self, one: &Candidate, current: Current) {
        let now = self.clock.monotonic();
        let why = match current {
            Current::Visitor(visitor) => one.live.during(one.id, |request| {
                request.verified_at = now;
                let apps = self.apps.load();
                (!self.rules_let_in(&apps, request, visitor)).then_some(Why::Rules)
            }),
            Current::Ended => Some(Some(Why::Ended)),
            Current::Unknown(since) => one.live.during(one.id, |request| {
                let late = now.saturating_sub(since.max(request.verified_at)) >= UNVERIFIED;
                late.then_some(Why::Unverified)
            }),
        };
        if let Some(why) = why.flatten() {
            end(&one.connection, &one.live, one.id, why);
        }
    }

    /// Returns true if the rules let the visitor in as of now. They are evaluated only after a
    /// reload, and after a change of the user.
    fn rules_let_in(&self, apps: &Apps, request: &mut Admitted, visitor: Visitor) -> bool {
        let generation = apps.generation();
        let same =
            request.generation == generation && request.visitor.identity() == visitor.identity();
        let good = same || let_in(apps, request, &visitor, self.began(request));
        if good {
            (request.generation, request.visitor) = (generation, visitor);
        }
        good
    }

    fn began(&self, request: &Admitted) -> Timestamp {
        let ago = self.clock.monotonic().saturating_sub(request.since);
        Timestamp::from_millis(self.clock.now().as_millis().saturating_sub(millis(ago)))
    }
}
