//! Counts of requests in progress, by client network, by app and in total. Known clients have their
//! own share, so strangers cannot occupy the slots of signed-in users.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use metrics::{Counter, counter};
use parking_lot::Mutex;

use crate::base::address::{ClientIp, ClientNetwork};

/// Maximum of concurrent requests that the gateway answers, over all clients: pages, sign-ins,
/// rejections.
const ANSWERED: usize = 2_000;
/// Maximum of concurrent requests that are shed.
const TURNED_AWAY: usize = 1_000;
const SHARDS: usize = 16;

/// The class of the client of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum ClientClass {
    /// The client holds a credential that the gateway issued.
    Known,
    /// The client is anonymous.
    Stranger,
}

/// The number of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Room {
    pub(super) most: usize,
    strangers: usize,
}

impl Room {
    /// Returns a room of `most` slots, at most half of them for strangers.
    pub(in crate::proxy) fn of(most: usize) -> Self {
        Self { most, strangers: most.div_ceil(2) }
    }

    /// Returns the same room with at most `most` slots for strangers.
    pub(in crate::proxy) fn with_strangers(self, most: usize) -> Self {
        Self { strangers: self.strangers.min(most), ..self }
    }
}

/// A bounded number of slots. Strangers get at most half of them.
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

    /// Changes the number of slots.
    pub(in crate::proxy) fn set_room(&self, room: Room) {
        self.most.store(room.most, Ordering::Relaxed);
        self.most_strangers.store(room.strangers, Ordering::Relaxed);
    }

    fn count(&self, class: ClientClass) -> &AtomicUsize {
        match class {
            ClientClass::Known => &self.known,
            ClientClass::Stranger => &self.strangers,
        }
    }

    /// Takes a slot. A network of strangers that holds `theirs` gets no more than the number of
    /// free slots, so there is always one left for the next network.
    fn take(&self, class: ClientClass, theirs: usize) -> bool {
        let most = self.most.load(Ordering::Relaxed);
        let before = self.count(class).fetch_add(1, Ordering::Relaxed);
        let fits = match class {
            ClientClass::Known => before + self.strangers.load(Ordering::Relaxed) < most,
            ClientClass::Stranger => {
                let strangers = self.most_strangers.load(Ordering::Relaxed);
                let free = strangers.saturating_sub(before);
                theirs < free && before + self.known.load(Ordering::Relaxed) < most
            }
        };
        if !fits {
            self.leave(class);
        }
        fits
    }

    fn leave(&self, class: ClientClass) {
        self.count(class).fetch_sub(1, Ordering::Relaxed);
    }

    fn free(&self) -> usize {
        let taken = self.known.load(Ordering::Relaxed) + self.strangers.load(Ordering::Relaxed);
        self.most.load(Ordering::Relaxed).saturating_sub(taken)
    }
}

/// The limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Limit {
    /// The limit of the client's network.
    Address,
    /// The limit of the app.
    App,
    /// The limit of requests that the gateway answers.
    Gateway,
}

/// The load of all client networks.
#[derive(Debug)]
pub(in crate::proxy) struct Loads {
    per_address: AtomicUsize,
    answered: Places,
    turned_away: AtomicUsize,
    hasher: RandomState,
    shards: [Mutex<HashMap<ClientNetwork, Weak<ClientLoad>>>; SHARDS],
    counts: Counts,
}

/// Counter handles, registered once, so counting needs no lookup.
struct Counts([Counter; 3]);

impl std::fmt::Debug for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Counts")
    }
}

/// The load of one client network.
#[derive(Debug)]
pub(in crate::proxy) struct ClientLoad {
    network: ClientNetwork,
    loads: Arc<Loads>,
    known: AtomicUsize,
    strangers: AtomicUsize,
    /// Slots of known clients among the requests that the gateway answers.
    known_here: AtomicUsize,
    turned_away: AtomicUsize,
}

impl Loads {
    /// Creates the counts, with at most `per_address` requests of one network, and half of it for
    /// strangers.
    pub(in crate::proxy) fn new(per_address: usize) -> Arc<Self> {
        let count = |limit: &'static str| counter!("vestibule_requests_turned_away_total", "limit" => limit);
        Arc::new(Self {
            per_address: AtomicUsize::new(per_address),
            answered: Places::new(Room::of(ANSWERED)),
            turned_away: AtomicUsize::new(0),
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::default()),
            counts: Counts([count("address"), count("app"), count("gateway")]),
        })
    }

    /// Changes the number of requests of one network.
    pub(in crate::proxy) fn set_per_address(&self, per_address: usize) {
        self.per_address.store(per_address, Ordering::Relaxed);
    }

    fn per_address(&self, class: ClientClass) -> usize {
        let most = self.per_address.load(Ordering::Relaxed);
        match class {
            ClientClass::Known => most,
            ClientClass::Stranger => most.div_ceil(2),
        }
    }

    fn shard(&self, network: ClientNetwork) -> &Mutex<HashMap<ClientNetwork, Weak<ClientLoad>>> {
        let at = usize::try_from(self.hasher.hash_one(network) % 16).unwrap_or(0);
        self.shards.get(at).unwrap_or(&self.shards[0])
    }

    /// Returns the load of a client's network.
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
            known_here: AtomicUsize::new(0),
            turned_away: AtomicUsize::new(0),
        });
        shard.insert(network, Arc::downgrade(&load));
        load
    }
}

impl Drop for ClientLoad {
    fn drop(&mut self) {
        let mut shard = self.loads.shard(self.network).lock();
        // Another load may have replaced it.
        if shard.get(&self.network).is_some_and(|load| load.strong_count() == 0) {
            shard.remove(&self.network);
        }
    }
}

impl ClientLoad {
    /// Returns the counted network.
    pub(in crate::proxy) fn network(&self) -> ClientNetwork {
        self.network
    }

    fn count(&self, class: ClientClass) -> &AtomicUsize {
        match class {
            ClientClass::Known => &self.known,
            ClientClass::Stranger => &self.strangers,
        }
    }

    fn take(&self, places: &Places, class: ClientClass, full: Limit) -> Result<(), Limit> {
        let most = self.loads.per_address(class);
        let theirs = self.count(class).fetch_add(1, Ordering::Relaxed);
        let taken = if theirs >= most {
            Err(Limit::Address)
        } else if places.take(class, theirs) {
            Ok(())
        } else {
            Err(full)
        };
        if taken.is_err() {
            self.count(class).fetch_sub(1, Ordering::Relaxed);
        }
        taken
    }

    fn leave(&self, places: &Places, class: ClientClass) {
        places.leave(class);
        self.count(class).fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes a slot at an app.
    pub(in crate::proxy) fn take_app(&self, app: &Places, class: ClientClass) -> Result<(), Limit> {
        self.take(app, class, Limit::App)
    }

    /// Releases a slot at an app.
    pub(in crate::proxy) fn leave_app(&self, app: &Places, class: ClientClass) {
        self.leave(app, class);
    }

    /// Takes a slot among the requests that the gateway answers. A network gets no more than the
    /// number of free slots: a credential that makes a client known may be one of a session that has
    /// ended.
    pub(in crate::proxy) fn take_here(&self, class: ClientClass) -> Result<(), Limit> {
        let answered = &self.loads.answered;
        if class == ClientClass::Stranger {
            return self.take(answered, class, Limit::Gateway);
        }
        let theirs = self.known_here.fetch_add(1, Ordering::Relaxed);
        let taken = if theirs < answered.free() {
            self.take(answered, class, Limit::Gateway)
        } else {
            Err(Limit::Gateway)
        };
        if taken.is_err() {
            self.known_here.fetch_sub(1, Ordering::Relaxed);
        }
        taken
    }

    /// Releases a slot among the requests that the gateway answers.
    pub(in crate::proxy) fn leave_here(&self, class: ClientClass) {
        self.leave(&self.loads.answered, class);
        if class == ClientClass::Known {
            self.known_here.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Counts a request that is shed. Returns false if so many are shed that the client cannot be
    /// reading its responses.
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
        let fits = theirs < self.loads.per_address(ClientClass::Stranger) && all < TURNED_AWAY;
        if !fits {
            self.turned_away_gone();
        }
        fits
    }

    /// Records the end of a request that was shed.
    pub(in crate::proxy) fn turned_away_gone(&self) {
        self.turned_away.fetch_sub(1, Ordering::Relaxed);
        self.loads.turned_away.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
