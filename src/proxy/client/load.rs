//! Requests in hand, counted: by the client's network, by app, and in all. Whoever has proved who
//! they are is counted apart from strangers, so that strangers cannot take the places of people who
//! are signed in.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use metrics::{Counter, counter};
use parking_lot::Mutex;

use crate::base::address::{ClientIp, ClientNetwork};

/// Requests that are answered here at once, over all clients: pages, sign-ins, refusals.
const ANSWERED: usize = 2_000;
/// The same of those that are turned away for want of a place.
const TURNED_AWAY: usize = 1_000;
const SHARDS: usize = 16;

/// Whose request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Whose {
    /// Somebody holds a credential that we gave out.
    Known,
    /// Nobody says who it is.
    Stranger,
}

/// How many places there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Room {
    pub(super) most: usize,
    strangers: usize,
}

impl Room {
    /// Of so many, strangers get at most half.
    pub(in crate::proxy) fn of(most: usize) -> Self {
        Self { most, strangers: most.div_ceil(2) }
    }

    /// The same, with no more than `most` for strangers.
    pub(in crate::proxy) fn with_strangers(self, most: usize) -> Self {
        Self { strangers: self.strangers.min(most), ..self }
    }
}

/// A bounded number of places.
#[derive(Debug)]
pub(in crate::proxy) struct Places {
    most: AtomicUsize,
    most_strangers: AtomicUsize,
    known: AtomicUsize,
    strangers: AtomicUsize,
}

impl Places {
    pub(in crate::proxy) fn new(room: Room) -> Self {
        Self {
            most: AtomicUsize::new(room.most),
            most_strangers: AtomicUsize::new(room.strangers),
            known: AtomicUsize::new(0),
            strangers: AtomicUsize::new(0),
        }
    }

    /// Changes how many there are.
    pub(in crate::proxy) fn set_room(&self, room: Room) {
        self.most.store(room.most, Ordering::Relaxed);
        self.most_strangers.store(room.strangers, Ordering::Relaxed);
    }

    fn count(&self, whose: Whose) -> &AtomicUsize {
        match whose {
            Whose::Known => &self.known,
            Whose::Stranger => &self.strangers,
        }
    }

    /// Takes a place. A network of strangers that holds `theirs` already gets no more than there are
    /// free: however many it asks for, the next one finds some.
    fn take(&self, whose: Whose, theirs: usize) -> bool {
        let most = self.most.load(Ordering::Relaxed);
        let before = self.count(whose).fetch_add(1, Ordering::Relaxed);
        let fits = match whose {
            Whose::Known => before + self.strangers.load(Ordering::Relaxed) < most,
            Whose::Stranger => {
                let strangers = self.most_strangers.load(Ordering::Relaxed);
                let free = strangers.saturating_sub(before);
                theirs < free && before + self.known.load(Ordering::Relaxed) < most
            }
        };
        if !fits {
            self.leave(whose);
        }
        fits
    }

    fn leave(&self, whose: Whose) {
        self.count(whose).fetch_sub(1, Ordering::Relaxed);
    }
}

/// Which of the limits was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Limit {
    /// That of the client's network.
    Address,
    /// That of the app.
    App,
    /// That of what is answered here.
    Gateway,
}

/// The loads of all networks of clients.
#[derive(Debug)]
pub(in crate::proxy) struct Loads {
    per_address: usize,
    answered: Places,
    turned_away: AtomicUsize,
    hasher: RandomState,
    shards: [Mutex<HashMap<ClientNetwork, Weak<ClientLoad>>>; SHARDS],
    counts: Counts,
}

/// Made once, so that counting costs no look-up.
struct Counts([Counter; 3]);

impl std::fmt::Debug for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Counts")
    }
}

/// What one network of clients has in hand.
#[derive(Debug)]
pub(in crate::proxy) struct ClientLoad {
    network: ClientNetwork,
    loads: Arc<Loads>,
    known: AtomicUsize,
    strangers: AtomicUsize,
    turned_away: AtomicUsize,
}

impl Loads {
    /// At most `per_address` requests of one network, of strangers half as many.
    pub(in crate::proxy) fn new(per_address: usize) -> Arc<Self> {
        let count = |limit: &'static str| counter!("vestibule_requests_turned_away_total", "limit" => limit);
        Arc::new(Self {
            per_address,
            answered: Places::new(Room::of(ANSWERED)),
            turned_away: AtomicUsize::new(0),
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::default()),
            counts: Counts([count("address"), count("app"), count("gateway")]),
        })
    }

    fn shard(&self, network: ClientNetwork) -> &Mutex<HashMap<ClientNetwork, Weak<ClientLoad>>> {
        let at = usize::try_from(self.hasher.hash_one(network) % 16).unwrap_or(0);
        self.shards.get(at).unwrap_or(&self.shards[0])
    }

    /// The load of a client's network.
    pub(in crate::proxy) fn of(self: &Arc<Self>, client: ClientIp) -> Arc<ClientLoad> {
        let network = client.network();
        let mut shard = self.shard(network).lock();
        if let Some(load) = shard.get(&network).and_then(Weak::upgrade) {
            return load;
        }
        let load = Arc::new(ClientLoad {
            network,
            loads: Arc::clone(self),
            known: AtomicUsize::new(0),
            strangers: AtomicUsize::new(0),
            turned_away: AtomicUsize::new(0),
        });
        shard.insert(network, Arc::downgrade(&load));
        load
    }
}

impl Drop for ClientLoad {
    fn drop(&mut self) {
        let mut shard = self.loads.shard(self.network).lock();
        // Another may stand there by now.
        if shard.get(&self.network).is_some_and(|load| load.strong_count() == 0) {
            shard.remove(&self.network);
        }
    }
}

impl ClientLoad {
    /// The network that is counted.
    pub(in crate::proxy) fn network(&self) -> ClientNetwork {
        self.network
    }

    fn count(&self, whose: Whose) -> &AtomicUsize {
        match whose {
            Whose::Known => &self.known,
            Whose::Stranger => &self.strangers,
        }
    }

    fn take(&self, places: &Places, whose: Whose, full: Limit) -> Result<(), Limit> {
        let most = match whose {
            Whose::Known => self.loads.per_address,
            Whose::Stranger => self.loads.per_address.div_ceil(2),
        };
        let theirs = self.count(whose).fetch_add(1, Ordering::Relaxed);
        let taken = if theirs >= most {
            Err(Limit::Address)
        } else if places.take(whose, theirs) {
            Ok(())
        } else {
            Err(full)
        };
        if taken.is_err() {
            self.count(whose).fetch_sub(1, Ordering::Relaxed);
        }
        taken
    }

    fn leave(&self, places: &Places, whose: Whose) {
        places.leave(whose);
        self.count(whose).fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes a place at an app.
    pub(in crate::proxy) fn take_at(&self, app: &Places, whose: Whose) -> Result<(), Limit> {
        self.take(app, whose, Limit::App)
    }

    /// Gives it back.
    pub(in crate::proxy) fn leave_app(&self, app: &Places, whose: Whose) {
        self.leave(app, whose);
    }

    /// Takes a place among the requests that are answered here.
    pub(in crate::proxy) fn take_here(&self, whose: Whose) -> Result<(), Limit> {
        self.take(&self.loads.answered, whose, Limit::Gateway)
    }

    /// Gives it back.
    pub(in crate::proxy) fn leave_here(&self, whose: Whose) {
        self.leave(&self.loads.answered, whose);
    }

    /// Counts a request that is turned away. False where so many are that nobody can be taking the
    /// answers: they are not worth writing then.
    pub(in crate::proxy) fn turn_away(&self, limit: Limit) -> bool {
        let Counts([address, app, gateway]) = &self.loads.counts;
        match limit {
            Limit::Address => address,
            Limit::App => app,
            Limit::Gateway => gateway,
        }
        .increment(1);
        let theirs = self.turned_away.fetch_add(1, Ordering::Relaxed);
        let all = self.loads.turned_away.fetch_add(1, Ordering::Relaxed);
        let fits = theirs < self.loads.per_address.div_ceil(2) && all < TURNED_AWAY;
        if !fits {
            self.turned_away_gone();
        }
        fits
    }

    /// The request that was turned away is over.
    pub(in crate::proxy) fn turned_away_gone(&self) {
        self.turned_away.fetch_sub(1, Ordering::Relaxed);
        self.loads.turned_away.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
