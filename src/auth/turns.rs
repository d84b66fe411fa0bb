//! Turns at expensive work: a bounded number at once and two bounded queues, so that strangers
//! cannot crowd out known callers.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Maximum number of consecutive turns for known callers while a stranger waits.
const IN_A_ROW: u32 = 4;

/// The kind of caller that work is done for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// Any caller: the request shows only a name and a guess.
    Stranger,
    /// A caller with a device cookie of that name, from a network where the account signs in, with
    /// a one-time link, a pending login or a session.
    Known,
}

/// The size of a set of turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TurnLimits {
    /// Maximum number of turns at once.
    pub at_once: usize,
    /// Maximum number of strangers' turns at once.
    pub at_once_strangers: usize,
    /// Maximum number of waiting strangers. The same number of places is reserved for known
    /// callers, who may also use free places of strangers.
    pub queue: usize,
}

/// A set of turns.
pub struct Turns {
    limits: TurnLimits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    busy: usize,
    busy_strangers: usize,
    known: VecDeque<oneshot::Sender<Turn>>,
    strangers: VecDeque<oneshot::Sender<Turn>>,
    known_in_a_row: u32,
}

/// A turn. Dropping it passes it on.
pub struct Turn {
    turns: Option<Arc<Turns>>,
    asker: Asker,
}

/// The queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueFull;

impl fmt::Debug for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turns").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").field("asker", &self.asker).finish_non_exhaustive()
    }
}

impl State {
    fn may_begin(&self, limits: &TurnLimits, asker: Asker) -> bool {
        let place = self.busy < limits.at_once;
        place && (asker == Asker::Known || self.busy_strangers < limits.at_once_strangers)
    }

    fn begin(&mut self, asker: Asker) {
        self.busy += 1;
        if asker == Asker::Stranger {
            self.busy_strangers += 1;
        }
    }

    fn end(&mut self, asker: Asker) {
        self.busy = self.busy.saturating_sub(1);
        if asker == Asker::Stranger {
            self.busy_strangers = self.busy_strangers.saturating_sub(1);
        }
    }

    fn is_full(&self, limits: &TurnLimits, asker: Asker) -> bool {
        match asker {
            Asker::Stranger => self.strangers.len() >= limits.queue,
            Asker::Known => {
                self.known.len() + self.strangers.len() >= limits.queue.saturating_mul(2)
            }
        }
    }

    /// Removes callers who have disconnected.
    fn forget_gone(&mut self) {
        self.known.retain(|waiting| !waiting.is_closed());
        self.strangers.retain(|waiting| !waiting.is_closed());
    }

    /// Removes the next caller from the queue and counts one turn at password hashing as theirs.
    fn next(&mut self, limits: &TurnLimits) -> Option<(Asker, oneshot::Sender<Turn>)> {
        let strangers_may = self.may_begin(limits, Asker::Stranger) && !self.strangers.is_empty();
        let known_may = self.may_begin(limits, Asker::Known) && !self.known.is_empty();
        let asker = match (known_may, strangers_may) {
            (true, true) if self.known_in_a_row >= IN_A_ROW => Asker::Stranger,
            (true, _) => Asker::Known,
            (false, true) => Asker::Stranger,
            (false, false) => return None,
        };
        let waiting = match asker {
            Asker::Known => {
                self.known_in_a_row = self.known_in_a_row.saturating_add(1);
                self.known.pop_front()
            }
            Asker::Stranger => {
                self.known_in_a_row = 0;
                self.strangers.pop_front()
            }
        }?;
        self.begin(asker);
        Some((asker, waiting))
    }
}

impl Turns {
    /// Creates a set of free turns.
    pub fn new(limits: TurnLimits) -> Arc<Self> {
        Arc::new(Self { limits, state: Mutex::default() })
    }

    /// Returns true if a request of `asker` would be rejected at the moment. Allows work to be shed
    /// before anything is counted.
    pub fn is_full(&self, asker: Asker) -> bool {
        let mut state = self.state.lock();
        if !state.is_full(&self.limits, asker) {
            return false;
        }
        state.forget_gone();
        state.is_full(&self.limits, asker) && !state.may_begin(&self.limits, asker)
    }

    /// Waits for a turn at the limited work, such as hashing a password. Returns an error at once if the
    /// queue is full.
    pub async fn take(self: &Arc<Self>, asker: Asker) -> Result<Turn, QueueFull> {
        let waiting = {
            let mut state = self.state.lock();
            let overtakes = match asker {
                Asker::Known => state.known.is_empty(),
                Asker::Stranger => state.known.is_empty() && state.strangers.is_empty(),
            };
            if overtakes && state.may_begin(&self.limits, asker) {
                state.begin(asker);
                return Ok(Turn { turns: Some(Arc::clone(self)), asker });
            }
            if state.is_full(&self.limits, asker) {
                state.forget_gone();
                if state.is_full(&self.limits, asker) {
                    return Err(QueueFull);
                }
            }
            let (turn, waiting) = oneshot::channel();
            match asker {
                Asker::Known => state.known.push_back(turn),
                Asker::Stranger => state.strangers.push_back(turn),
            }
            waiting
        };
        self.serve_next();
        waiting.await.map_err(|_never_dropped| QueueFull)
    }

    /// Gives free turns to waiting callers.
    fn serve_next(self: &Arc<Self>) {
        loop {
            let Some((asker, waiting)) = self.state.lock().next(&self.limits) else { return };
            let turn = Turn { turns: Some(Arc::clone(self)), asker };
            if let Err(mut turn) = waiting.send(turn) {
                // The caller has disconnected. Without an owner, the turn does nothing when
                // dropped.
                turn.turns = None;
                self.state.lock().end(asker);
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.turns.take() {
            turns.state.lock().end(self.asker);
            turns.serve_next();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(at_once: usize, at_once_strangers: usize, queue: usize) -> Arc<Turns> {
        Turns::new(TurnLimits { at_once, at_once_strangers, queue })
    }

    /// Makes `asker` wait in a task of its own, which sends its letter when its turn comes.
    async fn waits(
        turns: &Arc<Turns>,
        asker: Asker,
        letter: char,
        order: &Arc<Mutex<String>>,
    ) -> tokio::task::JoinHandle<()> {
        let waiting = |turns: &Turns| {
            let state = turns.state.lock();
            state.known.len() + state.strangers.len()
        };
        let before = waiting(turns);
        let (mine, order) = (Arc::clone(turns), Arc::clone(order));
        let task = tokio::spawn(async move {
            let turn = mine.take(asker).await;
            order.lock().push(letter);
            drop(turn);
        });
        while waiting(turns) == before {
            tokio::task::yield_now().await;
        }
        task
    }

    #[tokio::test]
    async fn strangers_fill_their_own_places_only() {
        let turns = turns(1, 1, 2);
        let order = Arc::new(Mutex::new(String::new()));
        let held = turns.take(Asker::Stranger).await.unwrap();
        let mut tasks = Vec::new();
        for _ in 0..2 {
            tasks.push(waits(&turns, Asker::Stranger, 's', &order).await);
        }
        assert!(turns.is_full(Asker::Stranger) && !turns.is_full(Asker::Known));
        assert_eq!(turns.take(Asker::Stranger).await.unwrap_err(), QueueFull);
        for _ in 0..2 {
            tasks.push(waits(&turns, Asker::Known, 'k', &order).await);
        }
        assert_eq!(turns.take(Asker::Known).await.unwrap_err(), QueueFull);
        drop(held);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.lock(), "kkss", "known callers go first");
    }

    #[tokio::test]
    async fn a_stranger_gets_a_turn_after_a_few_known_callers() {
        let turns = turns(1, 1, 16);
        let order = Arc::new(Mutex::new(String::new()));
        let held = turns.take(Asker::Known).await.unwrap();
        let mut tasks = vec![waits(&turns, Asker::Stranger, 's', &order).await];
        for _ in 0..8 {
            tasks.push(waits(&turns, Asker::Known, 'k', &order).await);
        }
        drop(held);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.lock(), "kkkkskkkk");
    }

    #[tokio::test]
    async fn some_turns_are_never_held_by_strangers() {
        let turns = turns(4, 3, 1);
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(turns.take(Asker::Stranger).await.unwrap());
        }
        let order = Arc::new(Mutex::new(String::new()));
        let waiting = waits(&turns, Asker::Stranger, 's', &order).await;
        let known = turns.take(Asker::Known).await.unwrap();
        assert!(order.lock().is_empty());
        drop(known);
        assert!(order.lock().is_empty(), "the kept turn goes to no stranger");
        drop(held);
        waiting.await.unwrap();
    }

    #[tokio::test]
    async fn a_caller_who_goes_away_frees_place_and_turn() {
        let turns = turns(1, 1, 1);
        let order = Arc::new(Mutex::new(String::new()));
        let held = turns.take(Asker::Stranger).await.unwrap();
        let gone = waits(&turns, Asker::Stranger, 'g', &order).await;
        gone.abort();
        gone.await.unwrap_err();
        let next = waits_after_gone(&turns, &order);
        drop(held);
        next.await.unwrap();
        assert_eq!(*order.lock(), "n");
        assert_eq!(turns.state.lock().busy, 0);
    }

    fn waits_after_gone(
        turns: &Arc<Turns>,
        order: &Arc<Mutex<String>>,
    ) -> tokio::task::JoinHandle<()> {
        let (turns, order) = (Arc::clone(turns), Arc::clone(order));
        tokio::spawn(async move {
            let turn = turns.take(Asker::Stranger).await.unwrap();
            order.lock().push('n');
            drop(turn);
        })
    }
}
