//! Open connections, counted in total and by address. At the limit, idle connections of the busiest
//! addresses are closed, so a newcomer gets in.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use metrics::{Counter, Gauge, counter, gauge};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::capacity::Capacity;
use super::connection::Connection;
use super::parting::Farewell;
use crate::base::address::ClientNetwork;

/// Fraction of all connections that is closed at once, because the search for idle ones visits
/// each.
const PARTS: usize = 64;
/// Minimum time between a failed search and the next one, in milliseconds.
const PAUSE: u64 = 50;
/// Interval between searches for connections that are not `WebSockets`.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The limits of open connections.
#[derive(Debug)]
struct Limits {
    all: AtomicUsize,
    closing: usize,
    per_address: AtomicUsize,
}

/// All open connections.
#[derive(Debug)]
pub(in crate::proxy) struct Open {
    limits: Limits,
    /// Includes closing connections.
    all: AtomicUsize,
    crowd: Mutex<Crowd>,
    gone: Notify,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Crowd {
    by_address: HashMap<ClientNetwork, Group>,
    size: usize,
    next: u64,
    /// Time of the last failed search, in milliseconds.
    searched_in_vain: Option<u64>,
}

/// The connections of one address, by number.
#[derive(Debug, Default)]
struct Group {
    members: HashMap<u64, Arc<Connection>>,
    trusted: bool,
}

/// Metric handles, registered once, so counting needs no lookup.
struct Counts {
    open: Gauge,
    shed: [Counter; 2],
    refused: [Counter; 2],
}

impl std::fmt::Debug for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Counts")
    }
}

impl Group {
    /// Returns idle connections in the order in which they are shed: those of strangers first, then
    /// the least recently used.
    fn idle(&self) -> VecDeque<u64> {
        let idle = self.members.iter().filter(|(_, one)| one.usage.is_idle());
        let mut idle: Vec<_> = idle
            .map(|(number, one)| (!one.usage.is_stranger(), one.usage.last(), *number))
            .collect();
        idle.sort_unstable();
        idle.into_iter().map(|(_, _, number)| number).collect()
    }

    /// Returns the oldest connection that no signed-in user has used.
    fn oldest_of_strangers(&self) -> Option<u64> {
        let strange = self.members.iter().filter(|(_, one)| one.usage.is_stranger());
        strange.min_by_key(|(number, one)| (one.usage.last(), **number)).map(|(number, _)| *number)
    }
}

impl Crowd {
    fn count(&self, address: ClientNetwork) -> usize {
        self.by_address.get(&address).map_or(0, |group| group.members.len())
    }

    fn add(&mut self, address: ClientNetwork, trusted: bool, connection: &Arc<Connection>) -> u64 {
        let number = self.next;
        self.next += 1;
        let group = self.by_address.entry(address).or_default();
        group.trusted = trusted;
        group.members.insert(number, Arc::clone(connection));
        self.size += 1;
        number
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Connection>> {
        self.by_address.values().flat_map(|group| group.members.values())
    }

    /// Removes a connection.
    fn remove(&mut self, address: ClientNetwork, number: u64) -> Option<Arc<Connection>> {
        let group = self.by_address.get_mut(&address)?;
        let removed = group.members.remove(&number)?;
        if group.members.is_empty() {
            self.by_address.remove(&address);
        }
        self.size -= 1;
        Some(removed)
    }

    fn shed(&mut self, address: ClientNetwork, number: u64) -> usize {
        let shed = self.remove(address, number);
        shed.map_or(0, |connection| {
            connection.close();
            1
        })
    }

    /// Sheds the first idle connection of an address.
    fn shed_of(&mut self, address: ClientNetwork) -> usize {
        let first = self.by_address.get(&address).and_then(|group| group.idle().pop_front());
        first.map_or(0, |number| self.shed(address, number))
    }

    /// Sheds up to `wanted` idle connections, each time of the address with the most connections.
    /// Trusted proxies come last.
    fn shed_idle(&mut self, wanted: usize) -> usize {
        let groups = self.by_address.iter();
        let mut groups: BinaryHeap<_> = groups
            .map(|(address, group)| {
                (!group.trusted, group.members.len(), Reverse(*address), group.idle())
            })
            .filter(|(.., idle)| !idle.is_empty())
            .collect();
        let mut shed = 0;
        while shed < wanted
            && let Some((strange, count, address, mut idle)) = groups.pop()
        {
            let Some(number) = idle.pop_front() else { continue };
            shed += self.shed(address.0, number);
            if !idle.is_empty() {
                groups.push((strange, count - 1, address, idle));
            }
        }
        shed
    }

    /// Sheds a connection in use by a stranger, of the address with the most connections, if that
    /// is more than the newcomer's.
    fn shed_stranger(&mut self, newcomer: ClientNetwork) -> usize {
        let theirs = self.count(newcomer) + 1;
        let groups = self.by_address.iter().filter(|(_, group)| !group.trusted);
        let found = groups
            .filter(|(_, group)| group.members.len() > theirs)
            .filter_map(|(address, group)| {
                Some((group.members.len(), *address, group.oldest_of_strangers()?))
            })
            .max();
        found.map_or(0, |(_, address, number)| self.shed(address, number))
    }

    /// Makes room for a newcomer that was accepted at `now`.
    fn make_room(&mut self, newcomer: ClientNetwork, wanted: usize, now: u64) -> usize {
        if self.searched_in_vain.is_some_and(|at| now.saturating_sub(at) < PAUSE) {
            return 0;
        }
        let shed = match self.shed_idle(wanted) {
            0 => self.shed_stranger(newcomer),
            shed => shed,
        };
        self.searched_in_vain = (shed == 0).then_some(now);
        shed
    }
}

impl Open {
    pub(in crate::proxy) fn new(capacity: Capacity, per_address: usize) -> Arc<Self> {
        let (all, closing) = (AtomicUsize::new(capacity.connections), capacity.closing);
        let per_address = AtomicUsize::new(per_address);
        let both = |name: &'static str| {
            [counter!(name, "limit" => "address"), counter!(name, "limit" => "all")]
        };
        Arc::new(Self {
            limits: Limits { all, closing, per_address },
            all: AtomicUsize::new(0),
            crowd: Mutex::default(),
            gone: Notify::new(),
            counts: Counts {
                open: gauge!("vestibule_connections"),
                shed: both("vestibule_connections_shed_total"),
                refused: both("vestibule_connections_refused_total"),
            },
        })
    }

    /// Changes the limits. Connections beyond them end when their places are needed.
    pub(in crate::proxy) fn set_limits(&self, capacity: Capacity, per_address: usize) {
        self.limits.all.store(capacity.connections, Ordering::Relaxed);
        self.limits.per_address.store(per_address, Ordering::Relaxed);
    }

    /// Registers a connection, or refuses it. Trusted proxies have no limit by address.
    pub(in crate::proxy) fn enter(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        trusted: bool,
    ) -> Option<Entered> {
        let address = connection.load.network();
        let ([shed_there, shed_anywhere], [too_many_there, too_many]) =
            (&self.counts.shed, &self.counts.refused);
        let most = self.limits.all.load(Ordering::Relaxed);
        let most_there = self.limits.per_address.load(Ordering::Relaxed);
        let mut crowd = self.crowd.lock();
        if !trusted && crowd.count(address) >= most_there {
            let shed = crowd.shed_of(address);
            shed_there.increment(u64::try_from(shed).unwrap_or(0));
            if shed == 0 {
                too_many_there.increment(1);
                return None;
            }
        }
        if crowd.size >= most {
            let wanted = (most / PARTS).max(1);
            let shed = crowd.make_room(address, wanted, connection.usage.last());
            shed_anywhere.increment(u64::try_from(shed).unwrap_or(0));
        }
        let closing = self.all.load(Ordering::Acquire).saturating_sub(crowd.size);
        if crowd.size >= most || closing > self.limits.closing {
            too_many.increment(1);
            return None;
        }
        let number = crowd.add(address, trusted, connection);
        self.counts.open.increment(1);
        self.all.fetch_add(1, Ordering::AcqRel);
        Some(Entered { open: Arc::clone(self), address, number })
    }

    /// Returns true while shed connections are still open.
    pub(in crate::proxy) fn is_closing(&self) -> bool {
        self.all.load(Ordering::Acquire) > self.crowd.lock().size
    }

    /// Sheds connections when the process has no descriptors left.
    pub(in crate::proxy) fn out_of_descriptors(&self) {
        let wanted = (self.limits.all.load(Ordering::Relaxed) / PARTS).max(1);
        let shed = self.crowd.lock().shed_idle(wanted);
        let [_, shed_anywhere] = &self.counts.shed;
        shed_anywhere.increment(u64::try_from(shed).unwrap_or(0));
    }

    /// Resolves when every open connection carries a WebSocket.
    pub(in crate::proxy) async fn only_tunnels(&self) {
        loop {
            let gone = self.gone.notified();
            if self.crowd.lock().all().all(|connection| connection.is_tunnel()) {
                return;
            }
            // A connection that becomes a tunnel is not notified about.
            drop(tokio::time::timeout(LOOK_AGAIN, gone).await);
        }
    }

    /// Ends all `WebSockets` with a Close frame.
    pub(in crate::proxy) fn close_tunnels(&self, farewell: Farewell) {
        for connection in self.crowd.lock().all().filter(|connection| connection.is_tunnel()) {
            connection.close_tunnel(farewell);
        }
    }

    /// Returns the connections with a request in progress.
    pub(in crate::proxy) fn busy(&self) -> Vec<Arc<Connection>> {
        let crowd = self.crowd.lock();
        crowd.all().filter(|connection| !connection.usage.is_idle()).cloned().collect()
    }

    /// Resolves when no connection is open.
    pub(in crate::proxy) async fn empty(&self) {
        loop {
            let gone = self.gone.notified();
            if self.all.load(Ordering::Acquire) == 0 {
                return;
            }
            gone.await;
        }
    }
}

/// The slot of an open connection, released on drop.
pub(in crate::proxy) struct Entered {
    open: Arc<Open>,
    address: ClientNetwork,
    number: u64,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let gone = self.open.crowd.lock().remove(self.address, self.number);
        drop(gone);
        self.open.counts.open.decrement(1);
        self.open.all.fetch_sub(1, Ordering::AcqRel);
        self.open.gone.notify_waiters();
    }
}

#[cfg(test)]
#[path = "open_tests.rs"]
mod tests;
