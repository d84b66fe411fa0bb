//! The clock of the account database, which is the clock of all nodes.
//!
//! Sessions, logins, tokens and links are judged by the time of the database: its latest answer plus
//! the time elapsed on this node since, which no one can set. A node whose own clock is wrong, or is
//! set while it runs, judges them as every other node does. Before the first answer, and with
//! embedded accounts, the time is that of the node.
//!
//! The clock of the database can be wrong as well. If it is set by more than a little, the nodes keep the
//! former time as long as other clocks support that.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::ports::{Nodes, Stored};
use crate::base::clock::{Clock, Timestamp, millis};

/// Difference from which a node reports its clock.
const REPORTED: Duration = Duration::from_secs(5);
/// Difference from which a node accepts no second factor, because one of the two clocks is wrong and
/// codes might be valid at other times than they should. A jump of the database's time by as much is
/// taken only if another clock supports it.
const REFUSED: Duration = Duration::from_secs(30);
/// Longest round trip by which clocks can be compared.
const ROUND_TRIP: Duration = Duration::from_secs(2);
/// Age up to which the report of another node supports a time. Nodes report every 30 seconds.
const SUPPORTS: Duration = Duration::from_secs(90);
/// Interval of looks at the clock of this node.
const LOOK: Duration = Duration::from_secs(1);

/// The difference between two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockOffset {
    /// The difference.
    pub by: Duration,
    /// True if the clock of this node is ahead.
    pub ahead: bool,
}

impl ClockOffset {
    fn between(node: u64, database: u64) -> Self {
        Self { by: Duration::from_millis(node.abs_diff(database)), ahead: node > database }
    }

    /// Returns the difference in seconds, negative if the clock of this node is behind.
    pub fn seconds(self) -> f64 {
        let by = self.by.as_secs_f64();
        if self.ahead { by } else { -by }
    }

    /// Returns a sentence if the difference is large enough to be reported.
    pub fn sentence(self) -> Option<String> {
        let direction = if self.ahead { "ahead of" } else { "behind" };
        let effect = if self.by >= REFUSED { ": no one can sign in at this node" } else { "" };
        (self.by >= REPORTED).then(|| {
            format!(
                "the clock of this node is {} seconds {direction} that of the account database{effect}",
                self.by.as_secs()
            )
        })
    }
}

/// An answer of the database.
///
/// It is stored as an origin: the time that a clock shows when the monotonic clock of this process is
/// zero, in milliseconds. Clocks that agree have the same origin whenever they are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    origin: u64,
    /// Largest error: half of the round trip.
    error: u64,
}

/// The clock that all nodes share.
pub struct DatabaseClock {
    node: Arc<dyn Clock>,
    /// Origin of the shared time, or zero while it is that of the node.
    shared: AtomicU64,
    /// Origin of the database's time by its latest answer, or zero before the first.
    database: AtomicU64,
    /// True while the clock of the database is contradicted.
    contradicted: AtomicBool,
}

impl fmt::Debug for DatabaseClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseClock")
    }
}

impl Clock for DatabaseClock {
    fn now(&self) -> Timestamp {
        match self.shared.load(Ordering::Relaxed) {
            0 => self.node.now(),
            origin => Timestamp::from_millis(origin).plus(self.node.monotonic()),
        }
    }

    fn monotonic(&self) -> Duration {
        self.node.monotonic()
    }
}

impl DatabaseClock {
    /// Creates a clock that shows the time of `node` until [`Self::take`].
    pub fn new(node: Arc<dyn Clock>) -> Self {
        Self {
            node,
            shared: AtomicU64::new(0),
            database: AtomicU64::new(0),
            contradicted: AtomicBool::new(false),
        }
    }

    /// Asks the database for its time. Returns `None` if the answer took too long to be of use.
    pub async fn read<E>(
        &self,
        ask: impl Future<Output = Result<Timestamp, E>> + Send,
    ) -> Result<Option<Reading>, E> {
        let asked = self.monotonic();
        let time = ask.await?;
        let took = self.monotonic().saturating_sub(asked);
        if took > ROUND_TRIP {
            return Ok(None);
        }
        let origin = origin(time, asked.saturating_add(took / 2)).max(1);
        self.database.store(origin, Ordering::Relaxed);
        Ok(Some(Reading { origin, error: millis(took / 2) }))
    }

    /// Shows the time of the database from now on, unless its clock was set and others contradict
    /// it. `peers` are the times of the latest reports of other nodes.
    pub fn take(&self, reading: Reading, peers: &[Timestamp]) {
        let at = self.monotonic();
        let former = self.shared.load(Ordering::Relaxed);
        let clocks = Clocks {
            database: reading.origin,
            node: origin(self.node.now(), at),
            peers: peers.iter().map(|peer| origin(*peer, at)).collect(),
        };
        let chosen = clocks.choose((former != 0).then_some(former));
        // A difference within the error of the reading is noise.
        if former == 0 || former.abs_diff(chosen) > reading.error {
            self.shared.store(chosen, Ordering::Relaxed);
        }
        let moved = ClockOffset::between(chosen, former);
        if former != 0 && moved.by >= REPORTED {
            let seconds = moved.seconds();
            tracing::warn!(seconds, "clock stepped to the time of the account database");
        }
        let contradicted = chosen != reading.origin;
        if self.contradicted.swap(contradicted, Ordering::Relaxed) != contradicted {
            if let Some(set) = self.set_by() {
                tracing::error!("clocks differ: {set}");
            } else {
                tracing::info!("the clock of the account database is right again");
            }
        }
    }

    /// Returns a sentence if the clock of the database was set and is not followed.
    fn set_by(&self) -> Option<String> {
        let shared = self.shared.load(Ordering::Relaxed);
        let away = ClockOffset::between(self.database.load(Ordering::Relaxed), shared);
        let direction = if away.ahead { "forward" } else { "back" };
        self.contradicted.load(Ordering::Relaxed).then(|| {
            format!(
                "the clock of the account database was set {direction} by {} seconds, sessions go on \
                 by the former time",
                away.by.as_secs()
            )
        })
    }

    /// Like [`Self::take`], if this clock shows the time of the database.
    pub fn follow(&self, reading: Reading, peers: &[Timestamp]) {
        if self.shared.load(Ordering::Relaxed) != 0 {
            self.take(reading, peers);
        }
    }

    /// Returns the difference between the clocks of this node and of the database, by the latest
    /// answer, or `None` before the first.
    pub fn offset(&self) -> Option<ClockOffset> {
        let database = self.database.load(Ordering::Relaxed);
        (database != 0).then(|| ClockOffset::between(self.node_origin(), database))
    }

    /// Returns a sentence about the clocks of this node and of the database, if one of them is wrong.
    pub fn complaint(&self) -> Option<String> {
        let all = [self.set_by(), self.offset()?.sentence()];
        let all: Vec<String> = all.into_iter().flatten().collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// Returns true if second factors may be accepted. Asks the database before it says no: the
    /// clocks may agree again.
    pub async fn is_right(&self, store: &dyn Nodes) -> Stored<bool> {
        let wrong = || {
            let shared = self.shared.load(Ordering::Relaxed);
            let apart = shared.abs_diff(self.database.load(Ordering::Relaxed));
            let unlike = shared != 0 && apart >= millis(REFUSED);
            unlike || self.offset().is_some_and(|offset| offset.by >= REFUSED)
        };
        if !wrong() {
            return Ok(true);
        }
        self.read(store.time()).await?;
        Ok(!wrong())
    }

    /// Resolves when the clock of this node was set, or went on after a pause of the whole machine.
    pub async fn was_set(&self) {
        let before = self.node_origin();
        while self.node_origin().abs_diff(before) < millis(REPORTED) {
            tokio::time::sleep(LOOK).await;
        }
    }

    fn node_origin(&self) -> u64 {
        origin(self.node.now(), self.monotonic())
    }
}

/// Returns the time until which an end of sessions reaches, and at which a session begins that it must
/// not reach: the later of the present times of the database and of this clock. If the clock of the
/// database was set and is not followed, it says nothing about sessions.
pub fn reach(database: Timestamp, shared: Timestamp) -> Timestamp {
    if database.since(shared) < REFUSED { database.max(shared) } else { shared }
}

/// Returns the origin of a clock that shows `time` at the monotonic time `at`.
fn origin(time: Timestamp, at: Duration) -> u64 {
    time.as_millis().saturating_sub(millis(at))
}

/// The origins of the clocks that a node knows of.
struct Clocks {
    database: u64,
    node: u64,
    /// Those of the latest reports, which are up to [`SUPPORTS`] old.
    peers: Vec<u64>,
}

impl Clocks {
    /// Returns the origin of the time to show, if that of the `former` time is known. The database
    /// decides about small differences. If it differs by more from the former time, or at the start
    /// from the time of this node, other nodes decide. If they do not, the database needs the support
    /// of this node's clock to change the time of a running node.
    fn choose(&self, former: Option<u64>) -> u64 {
        let kept = former.unwrap_or(self.node);
        let near = |one: u64, other: u64| one.abs_diff(other) < millis(REFUSED);
        if near(self.database, kept) {
            return self.database;
        }
        let supported = |origin: u64| {
            let latest = origin.saturating_add(millis(REPORTED));
            let earliest = origin.saturating_sub(millis(SUPPORTS));
            self.peers.iter().any(|peer| (earliest..=latest).contains(peer))
        };
        match (supported(self.database), supported(kept)) {
            (true, false) => self.database,
            (false, true) => kept,
            (true, true) | (false, false) => {
                let stays =
                    former.is_some() && near(self.node, kept) && !near(self.node, self.database);
                if stays { kept } else { self.database }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::ManualClock;

    const HOUR: Duration = Duration::from_hours(1);
    const NOW: u64 = 1_000_000_000_000;

    fn offset(seconds: u64, ahead: bool) -> ClockOffset {
        ClockOffset { by: Duration::from_secs(seconds), ahead }
    }

    /// A time, in seconds from now.
    fn time(seconds: i64) -> Timestamp {
        Timestamp::from_millis(NOW.saturating_add_signed(seconds * 1000))
    }

    /// A clock of a node, which is as many seconds ahead.
    fn of_node(seconds: i64) -> (Arc<ManualClock>, DatabaseClock) {
        let node = Arc::new(ManualClock::at(time(seconds)));
        let clock = DatabaseClock::new(Arc::<ManualClock>::clone(&node));
        (node, clock)
    }

    async fn answers(clock: &DatabaseClock, seconds: i64, peers: &[i64]) {
        let answer = async move { Ok::<_, ()>(time(seconds)) };
        let reading = clock.read(answer).await.unwrap().unwrap();
        clock.take(reading, &peers.iter().map(|peer| time(*peer)).collect::<Vec<_>>());
    }

    /// Returns the time that is shown, in seconds from the beginning.
    fn shown(clock: &DatabaseClock) -> i64 {
        (i64::try_from(clock.now().as_millis()).unwrap() - i64::try_from(NOW).unwrap()) / 1000
    }

    #[test]
    fn differences_of_five_seconds_are_reported_and_of_thirty_end_sign_in() {
        assert_eq!(offset(4, true).sentence(), None);
        let said = offset(5, true).sentence().unwrap();
        assert!(said.ends_with("is 5 seconds ahead of that of the account database"), "{said}");
        let said = offset(30, false).sentence().unwrap();
        assert!(
            said.contains("30 seconds behind") && said.contains("no one can sign in"),
            "{said}"
        );
        assert!((offset(2, false).seconds() + 2.0).abs() < 0.01);
    }

    #[test]
    fn the_direction_is_that_of_the_node() {
        assert_eq!(ClockOffset::between(9_000, 2_000), offset(7, true));
        assert_eq!(ClockOffset::between(2_000, 9_000), offset(7, false));
    }

    #[tokio::test]
    async fn the_time_is_the_databases_however_the_clock_of_the_node_is_set() {
        let (node, clock) = of_node(7200);
        assert_eq!(shown(&clock), 7200, "before the first answer");
        let reading = clock.read(async { Ok::<_, ()>(time(0)) }).await.unwrap().unwrap();
        clock.follow(reading, &[]);
        assert_eq!(shown(&clock), 7200, "of an embedded database");
        answers(&clock, 0, &[-10]).await;
        node.advance(HOUR);
        assert_eq!(shown(&clock), 3600);
        assert_eq!(clock.offset(), Some(offset(7200, true)));
        node.set_back(HOUR * 4);
        assert_eq!(shown(&clock), 3600);
        assert_eq!(clock.offset(), Some(offset(7200, false)));
        answers(&clock, 3603, &[]).await;
        assert_eq!(shown(&clock), 3603);
    }

    #[tokio::test]
    async fn a_database_whose_clock_is_set_is_followed_only_if_another_clock_supports_it() {
        for (node, peers, expected) in [
            (0, &[][..], 0),
            (0, &[-20], 0),
            (7200, &[], 7200),
            (7200, &[7190], 7200),
            // A pause of the machine: the other nodes went on.
            (0, &[7190], 7200),
            // The host of the database and of this node.
            (7200, &[-20], 0),
            (0, &[-3000, 7260], 0),
        ] {
            let (wall, clock) = of_node(0);
            answers(&clock, 0, &[]).await;
            wall.set(time(node));
            answers(&clock, 7200, peers).await;
            assert_eq!(shown(&clock), expected, "{node} {peers:?}");
            assert_eq!(clock.complaint().is_some(), expected == 0 || node == 0);
        }
        let (_node, clock) = of_node(0);
        answers(&clock, 0, &[]).await;
        answers(&clock, -7200, &[]).await;
        let said = clock.complaint().unwrap();
        assert!(said.contains("was set back by 7200 seconds, sessions go on"), "{said}");
        answers(&clock, 20, &[]).await;
        assert_eq!((shown(&clock), clock.complaint().is_some()), (20, true));
    }

    #[tokio::test]
    async fn a_node_that_starts_believes_the_database_unless_other_nodes_do_not() {
        for (database, peers, expected) in
            [(7200, &[][..], 7200), (7200, &[7180], 7200), (7200, &[-20], 0), (7200, &[-900], 7200)]
        {
            let (_node, clock) = of_node(0);
            answers(&clock, database, peers).await;
            assert_eq!(shown(&clock), expected, "{peers:?}");
        }
    }

    #[test]
    fn an_end_reaches_to_the_later_time_unless_the_database_was_set() {
        let at = Timestamp::from_millis;
        assert_eq!(reach(at(5_000_002), at(5_000_000)), at(5_000_002));
        assert_eq!(reach(at(5_000_000), at(5_000_002)), at(5_000_002));
        assert_eq!(reach(at(9_000_000), at(5_000_000)), at(5_000_000));
        assert_eq!(reach(at(1_000_000), at(5_000_000)), at(5_000_000));
    }
}
