//! Selection of an address: by weight and by the requests under way, or by session.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use super::target::Target;

/// The request for which an address is selected.
#[derive(Clone, Copy, Debug)]
pub(in crate::proxy) struct Ask<'a> {
    /// The key of the session, if it stays with one address.
    pub(in crate::proxy) key: Option<u64>,
    /// The addresses that failed for this request.
    pub(in crate::proxy) failed: &'a [SocketAddr],
    /// True if the request can be sent again, so that it may try an address out of service.
    pub(in crate::proxy) repeatable: bool,
    /// Monotonic time.
    pub(in crate::proxy) now: Duration,
    /// Maximum time of a trial.
    pub(in crate::proxy) patience: Duration,
}

/// A selected address.
#[derive(Debug)]
pub(super) struct Selected {
    pub(super) target: Arc<Target>,
    /// The address is out of service.
    pub(super) was_out: bool,
    /// The request tries it.
    pub(super) trial: bool,
}

#[derive(Debug)]
struct Entry {
    target: Arc<Target>,
    weight: u32,
    /// Differs between addresses, and is the same on every node.
    mark: u64,
}

/// The addresses of an app.
#[derive(Debug, Default)]
pub(super) struct Targets {
    entries: Box<[Entry]>,
    /// The order of turns: indices of `entries`, each as often as its weight says, spread evenly.
    turns: Box<[usize]>,
}

impl Targets {
    pub(super) fn new(targets: Vec<Arc<Target>>, weights: &[u32]) -> Self {
        let weights = weights.iter().map(|weight| (*weight).max(1));
        let entries: Box<[Entry]> = targets
            .into_iter()
            .zip(weights)
            .map(|(target, weight)| Entry { mark: mark(target.socket), target, weight })
            .collect();
        let turns = turns(&entries.iter().map(|entry| entry.weight).collect::<Vec<_>>());
        Self { entries, turns }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Target>> {
        self.entries.iter().map(|entry| &entry.target)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns true if several addresses are known and none answers.
    pub(super) fn all_out(&self) -> bool {
        self.len() > 1
            && !self.iter().any(|one| one.fault().is_none_or(super::target::Fault::is_prompt))
    }

    /// Returns true if an address in service is not among the `failed` ones.
    pub(super) fn has_other(&self, failed: &[SocketAddr]) -> bool {
        self.iter().any(|one| one.is_up() && !failed.contains(&one.socket))
    }

    /// Selects an address. A single one is always used: there is no alternative. Among several, one
    /// that is out of service gets a single request now and then, as a trial; if none is in service,
    /// those that still answer are used.
    pub(super) fn select(&self, ask: &Ask<'_>, turn: &AtomicUsize) -> Option<Selected> {
        if let [only] = &*self.entries {
            let target = Arc::clone(&only.target);
            let was_out = !target.is_up();
            let fresh = !ask.failed.contains(&target.socket);
            return fresh.then_some(Selected { target, was_out, trial: was_out });
        }
        let is_new = |entry: &&Entry| !ask.failed.contains(&entry.target.socket);
        let up = |entry: &&Entry| entry.target.is_up() && is_new(entry);
        if ask.failed.is_empty() && self.entries.iter().any(|entry| !entry.target.is_up()) {
            let mut rested = self.entries.iter().filter(|entry| !entry.target.is_up());
            let due =
                |entry: &&Entry| entry.target.claim_trial(ask.now, !ask.repeatable, ask.patience);
            if let Some(entry) = rested.find(due) {
                let target = Arc::clone(&entry.target);
                return Some(Selected { target, was_out: true, trial: true });
            }
        }
        let best = match ask.key {
            Some(key) => self.by_key(key, up),
            None => self.by_turn(turn, up),
        };
        if let Some(entry) = best {
            let target = Arc::clone(&entry.target);
            return Some(Selected { target, was_out: false, trial: false });
        }
        let answers = |entry: &&Entry| {
            entry.target.fault().is_none_or(super::target::Fault::is_prompt) && is_new(entry)
        };
        let entry = self.by_turn(turn, answers)?;
        Some(Selected { target: Arc::clone(&entry.target), was_out: true, trial: false })
    }

    /// Selects by rendezvous hashing: a key moves only if its own address goes.
    fn by_key(&self, key: u64, usable: impl Fn(&&Entry) -> bool) -> Option<&Entry> {
        let rank = |entry: &Entry| {
            let high = u32::try_from(mix(key ^ entry.mark) >> 32).unwrap_or(u32::MAX);
            let share = (f64::from(high) + 0.5) / (f64::from(u32::MAX) + 1.0);
            f64::from(entry.weight) / -share.ln()
        };
        let usable = self.entries.iter().filter(usable);
        usable.max_by(|one, other| rank(one).total_cmp(&rank(other)))
    }

    /// Selects the address whose turn it is, unless another one of the same weight has at least two
    /// requests less under way. So an address that hangs gets few of them.
    fn by_turn(&self, turn: &AtomicUsize, usable: impl Fn(&&Entry) -> bool) -> Option<&Entry> {
        let start = turn.fetch_add(1, Relaxed);
        let at = |i: usize| {
            let index = self.turns.get(start.wrapping_add(i) % self.turns.len().max(1))?;
            self.entries.get(*index)
        };
        let next = (0..self.turns.len()).filter_map(at).find(|entry| usable(entry))?;
        let load = |entry: &Entry| u64::from(entry.target.open.load(Relaxed));
        let mut best = next;
        let mut least = load(next);
        for entry in self.entries.iter().filter(&usable) {
            let own = load(entry).saturating_add(1);
            if own * u64::from(best.weight) < least * u64::from(entry.weight) {
                (best, least) = (entry, own);
            }
        }
        Some(best)
    }
}

/// Returns the order of turns for these weights, as nginx spreads them.
fn turns(weights: &[u32]) -> Box<[usize]> {
    let common = weights.iter().copied().fold(0, gcd).max(1);
    let weights: Vec<i64> = weights.iter().map(|weight| i64::from(weight / common)).collect();
    let total: i64 = weights.iter().sum();
    let mut due = vec![0_i64; weights.len()];
    let mut order = Vec::new();
    for _ in 0..total {
        for (due, weight) in due.iter_mut().zip(&weights) {
            *due += weight;
        }
        let first = due.iter().enumerate().rev().max_by_key(|(_, due)| **due);
        let Some((next, _)) = first else { break };
        if let Some(due) = due.get_mut(next) {
            *due -= total;
        }
        order.push(next);
    }
    order.into()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Returns the mark of an address (FNV-1a): the same in every process.
fn mark(socket: SocketAddr) -> u64 {
    let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    socket.to_string().bytes().fold(0xcbf2_9ce4_8422_2325, fnv)
}

/// Spreads every bit of a number over all of them (the finalizer of `SplitMix64`).
fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
#[path = "balance_tests.rs"]
mod tests;
