//! The nodes of a cluster, as far as they must agree: key files, settings and versions. Each node
//! records its own state and compares it with that of the others.

mod key_use;
mod reports;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use parking_lot::Mutex;

pub use self::key_use::{KeyUse, LiveTokens, foreign, former_token_keys};
use self::reports::{Reports, is_ahead};
use super::database_clock::DatabaseClock;
use super::keys::{ASSERTION, KeyMark, KeyRing};
use super::ports::{Nodes, Recorded, Stored};
use super::session::SessionLimits;
use crate::base::clock::{Clock, Timestamp, millis};
use crate::base::random::{Random, RandomError, bytes};

/// Interval between reports of a node.
pub const REPORT_INTERVAL: Duration = Duration::from_secs(30);
/// Time after which a node that does not report counts as stopped.
const ALIVE: Duration = Duration::from_secs(90);
/// Time after which the report of a node is deleted. Much longer than nodes count as running, so that
/// a node whose time is ahead does not delete what the others say about the time.
const FORGOTTEN: Duration = Duration::from_hours(7 * 24);
/// Lifetime of a comparison for `/readyz?verbose`.
const FRESH: Duration = Duration::from_secs(1);
/// Minimum time for which sessions may rest on a token key after its last use: nodes may differ in
/// the configured lifetimes.
const SESSIONS_LIVE: Duration = Duration::from_hours(24);

/// Returns the time for which sessions and pending logins may rest on a token key after its last
/// use.
pub fn sessions_live(limits: &SessionLimits) -> Duration {
    SESSIONS_LIVE.max(limits.absolute).max(limits.pending)
}

/// A running node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Random id of the process.
    pub instance: String,
    /// Name of the machine.
    pub name: String,
    /// Version of Vestibule.
    pub version: String,
    /// Hash of its settings.
    pub config: String,
    /// Its keys.
    pub keys: Vec<KeyMark>,
    /// Time of its last report.
    pub seen_at: Timestamp,
}

/// Differences between this node and the others, as sentences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drift {
    /// Differences of key files that keep a node from reading what another one writes.
    pub keys: Vec<String>,
    /// Differences of settings and versions.
    pub settings: Vec<String>,
    /// A wrong clock: of this node, or of the database.
    pub clock: Option<String>,
}

impl Drift {
    /// Compares `own` with what the others have recorded.
    pub fn between(own: &Node, others: &Recorded, sessions_live: Duration) -> Self {
        let now = own.seen_at;
        let recent = |node: &Node| now.since(node.seen_at) < ALIVE && !is_ahead(node, now);
        let alive = |node: &&Node| node.instance != own.instance && recent(node);
        let alive: Vec<&Node> = others.nodes.iter().filter(alive).collect();
        let missing = |used: &KeyUse| used.missing(&own.keys, now, sessions_live);
        let mut keys: BTreeSet<String> = others.key_uses.iter().filter_map(missing).collect();
        keys.extend(alive.iter().flat_map(|node| missing_there(own, node)));
        let settings: BTreeSet<String> =
            alive.iter().filter_map(|node| difference(own, node)).collect();
        let (keys, settings) = (keys.into_iter().collect(), settings.into_iter().collect());
        Self { keys, settings, clock: None }
    }
}

fn missing_there<'a>(own: &'a Node, node: &'a Node) -> impl Iterator<Item = String> + 'a {
    let written = own.keys.iter().filter(|key| key.writes);
    let unknown = written.filter(|own| {
        // A node of an older version reports no assertion keys.
        let reported = own.ring != ASSERTION || node.keys.iter().any(|key| key.ring == ASSERTION);
        reported && !node.keys.iter().any(|key| key.ring == own.ring && key.digest == own.digest)
    });
    unknown.map(|KeyMark { ring, id, .. }| {
        format!(
            "the node {} lacks the {ring} key {id}, which this node writes with: copy the key \
             file to it and reload it",
            node.name
        )
    })
}

fn difference(own: &Node, node: &Node) -> Option<String> {
    if own.version != node.version {
        return Some(format!("the node {} runs version {}", node.name, node.version));
    }
    (own.config != node.config)
        .then(|| format!("the node {} has other settings: config hash {}", node.name, node.config))
}

/// This node among the others.
pub struct Roster {
    store: Arc<dyn Nodes>,
    keys: Arc<KeyRing>,
    clock: Arc<dyn Clock>,
    instance: String,
    name: String,
    config: Mutex<String>,
    sessions_live: Duration,
    database_clock: Arc<DatabaseClock>,
    state: tokio::sync::Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The last comparison, and its monotonic time.
    latest: Option<(Duration, Stored<Drift>)>,
    /// The differences that are in the log.
    logged: Drift,
    /// The reports of the other nodes.
    reports: Reports,
}

impl fmt::Debug for Roster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Roster")
    }
}

impl Roster {
    /// Describes this node, by the name of the machine, the hash of its settings, and the lifetime
    /// of its sessions.
    pub fn new(
        store: Arc<dyn Nodes>,
        keys: Arc<KeyRing>,
        clock: Arc<dyn Clock>,
        random: &dyn Random,
        (name, config, limits): (String, String, &SessionLimits),
        database_clock: Arc<DatabaseClock>,
    ) -> Result<Self, RandomError> {
        let instance = HEXLOWER.encode(&bytes::<16>(random)?);
        let (config, state) = (Mutex::new(config), tokio::sync::Mutex::default());
        let sessions_live = sessions_live(limits);
        Ok(Self {
            store,
            keys,
            clock,
            instance,
            name,
            config,
            sessions_live,
            database_clock,
            state,
        })
    }

    /// Replaces the hash of the settings, after a reload.
    pub fn reloaded(&self, config: String) {
        *self.config.lock() = config;
    }

    /// Returns the hash of the settings in effect.
    pub fn config(&self) -> String {
        self.config.lock().clone()
    }

    /// Returns a comparison that is at most a second old.
    pub async fn drift(&self) -> Stored<Drift> {
        let mut state = self.state.lock().await;
        if let Some((at, known)) = state.latest.as_ref()
            && self.clock.monotonic().saturating_sub(*at) < FRESH
        {
            return known.clone();
        }
        let found = self.compare(&mut state.reports).await;
        state.latest = Some((self.clock.monotonic(), found.clone()));
        found
    }

    /// Records this node, compares it with the others and logs differences that are not in the log
    /// yet.
    pub async fn report(&self) {
        let mut state = self.state.lock().await;
        let found = self.compare(&mut state.reports).await;
        match &found {
            Ok(drift) => {
                log(&state.logged, drift);
                state.logged = drift.clone();
            }
            Err(error) => tracing::warn!(%error, "failed to compare this node with the others"),
        }
        state.latest = Some((self.clock.monotonic(), found));
    }

    /// Removes this node before it stops.
    pub async fn leave(&self) {
        if let Err(error) = self.store.leave(&self.instance).await {
            tracing::debug!(%error, "failed to remove this node from the list of nodes; it expires");
        }
    }

    async fn compare(&self, reports: &mut Reports) -> Stored<Drift> {
        let own = Node {
            instance: self.instance.clone(),
            name: self.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config: self.config.lock().clone(),
            keys: self.keys.marks(),
            seen_at: self.clock.now(),
        };
        let now = own.seen_at.as_millis();
        let forgotten = Timestamp::from_millis(now.saturating_sub(millis(FORGOTTEN)));
        self.store.report(&own, forgotten).await?;
        let clock = &self.database_clock;
        let reading = clock.read(self.store.time()).await?;
        let recorded = self.store.recorded(own.seen_at).await?;
        let others = recorded.nodes.iter().filter(|node| node.instance != own.instance);
        let others: Vec<&Node> = others.collect();
        let (now, at) = (own.seen_at, self.clock.monotonic());
        reports.note(&others, at);
        if let Some(reading) = reading {
            let believed = others.iter().filter(|node| reports.supports(node, now, at));
            clock.follow(reading, &believed.map(|node| node.seen_at).collect::<Vec<_>>());
        }
        let stale: Vec<_> = others.iter().filter(|node| reports.is_stale(node, now, at)).collect();
        for node in stale {
            self.store.forget(&node.instance, node.seen_at).await?;
            tracing::info!(node = node.name, "removed a report from the future: no node renews it");
        }
        if let Some(offset) = clock.offset() {
            metrics::gauge!("vestibule_clock_offset_seconds").set(offset.seconds());
        }
        let drift = Drift::between(&own, &recorded, self.sessions_live);
        Ok(Drift { clock: clock.complaint(), ..drift })
    }
}

fn log(former: &Drift, found: &Drift) {
    for sentence in found.keys.iter().filter(|s| !former.keys.contains(s)) {
        tracing::error!("key files differ: {sentence}");
    }
    for sentence in found.settings.iter().filter(|s| !former.settings.contains(s)) {
        tracing::warn!("nodes differ: {sentence}");
    }
    if let Some(sentence) = &found.clock
        && former.clock.is_none()
    {
        tracing::error!("clocks differ: {sentence}");
    }
    if *former != Drift::default() && *found == Drift::default() {
        tracing::info!("the nodes agree again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 3_600_000;

    fn now() -> Timestamp {
        Timestamp::from_millis(100 * DAY)
    }

    fn mark(ring: &str, digest: &str, writes: bool) -> KeyMark {
        let (id, digest) = (format!("id-{digest}"), digest.to_owned());
        KeyMark { ring: ring.to_owned(), id, digest, writes }
    }

    fn node(name: &str, keys: Vec<KeyMark>) -> Node {
        Node {
            instance: format!("instance of {name}"),
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            config: "same".to_owned(),
            keys,
            seen_at: now(),
        }
    }

    fn ago(age: Duration) -> Timestamp {
        Timestamp::from_millis(now().as_millis() - u64::try_from(age.as_millis()).unwrap())
    }

    fn used(ring: &str, digest: &str, age: Duration) -> KeyUse {
        let (id, digest) = (format!("id-{digest}"), digest.to_owned());
        let tokens = LiveTokens::default();
        KeyUse { ring: ring.to_owned(), id, digest, used_at: ago(age), tokens }
    }

    fn drift(own: &Node, key_uses: Vec<KeyUse>, nodes: Vec<Node>) -> Drift {
        Drift::between(own, &Recorded { key_uses, nodes }, SESSIONS_LIVE)
    }

    #[test]
    fn two_phases_never_differ_and_one_phase_does() {
        let (old, new) = (|w| mark("token", "old", w), |w| mark("token", "new", w));
        let uses = || vec![used("token", "old", Duration::ZERO)];
        for (here, there) in [
            (vec![old(true), new(false)], vec![old(true)]),
            (vec![old(true), new(false)], vec![old(true), new(false)]),
            (vec![new(true), old(false)], vec![old(true), new(false)]),
        ] {
            let (a, b) = (node("a", here), node("b", there));
            assert_eq!(drift(&a, uses(), vec![a.clone(), b.clone()]), Drift::default());
            assert_eq!(drift(&b, uses(), vec![a.clone(), b.clone()]), Drift::default());
        }
        let (a, b) = (node("a", vec![new(true), old(false)]), node("b", vec![old(true)]));
        let told = drift(&a, uses(), vec![b.clone()]);
        assert!(told.keys[0].contains("the node b lacks the token key id-new"), "{told:?}");
        let both = vec![used("token", "old", Duration::ZERO), used("token", "new", Duration::ZERO)];
        let told = drift(&b, both, vec![a]);
        assert!(told.keys[0].contains("lacks the token key id-new"), "{told:?}");
    }

    #[test]
    fn other_settings_and_versions_of_running_nodes_are_told() {
        let own = node("a", vec![]);
        let other = Node { config: "other".to_owned(), ..node("b", vec![]) };
        let newer = Node { version: "1.1.0".to_owned(), ..other.clone() };
        let gone = Node { seen_at: ago(ALIVE), ..other.clone() };
        let future = Node { seen_at: now().plus(Duration::from_hours(2)), ..other.clone() };
        assert_eq!(drift(&own, vec![], vec![gone, future]), Drift::default());
        let ahead = Node { seen_at: now().plus(Duration::from_secs(5)), ..other.clone() };
        assert!(!drift(&own, vec![], vec![ahead]).settings.is_empty());
        assert!(drift(&own, vec![], vec![other]).settings[0].contains("config hash other"));
        assert!(drift(&own, vec![], vec![newer]).settings[0].contains("runs version 1.1.0"));
    }
}
