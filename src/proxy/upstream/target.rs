//! One address of an app: its state, from the results of requests and of checks, and its counters.
//!
//! The request path reads and writes atomics only. The lock is taken when the address goes out of
//! service or returns.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::base::clock::millis;
use crate::proxy::settings::{HealthSettings, UpstreamAddress};

/// First time that an address with failed requests rests before it is tried.
const FIRST_REST: Duration = Duration::from_secs(1);
/// Longest rest of an address that answers, although wrongly.
const SHORT_REST: Duration = Duration::from_secs(2);
/// Longest rest of an address that does not answer.
const LONG_REST: Duration = Duration::from_secs(30);
/// Time without a suitable request after which any request tries an address.
const OVERDUE: u64 = 30_000;
/// The trial of an address that a check returns to service.
const NEVER: u64 = u64::MAX;

/// The fault of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::proxy) enum Fault {
    /// It answers 502, 503 or 504, or a check gets another status than it accepts.
    Status,
    /// It closes the connection without a response, or in the middle of one.
    Reset,
    /// It does not respond in time.
    Silent,
    /// It accepts no connection.
    Connect,
}

impl Fault {
    /// All faults, each at the position of its number less one.
    pub(in crate::proxy) const ALL: [Self; 4] =
        [Self::Status, Self::Reset, Self::Silent, Self::Connect];

    /// Returns its name in logs and metrics.
    pub(in crate::proxy) fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Reset => "reset",
            Self::Silent => "timeout",
            Self::Connect => "connect",
        }
    }

    /// Returns true if a request gets an answer or a failure at once.
    pub(in crate::proxy) fn is_prompt(self) -> bool {
        matches!(self, Self::Status | Self::Reset)
    }

    fn number(self) -> u8 {
        match self {
            Self::Status => 1,
            Self::Reset => 2,
            Self::Silent => 3,
            Self::Connect => 4,
        }
    }

    fn of(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }
}

/// An address out of service, as logged.
struct Down {
    since: Instant,
    failures_before: u64,
}

/// One address of an app. It outlives a reload.
pub(in crate::proxy) struct Target {
    app: String,
    pub(super) address: UpstreamAddress,
    pub(super) socket: SocketAddr,
    /// The number of the fault that requests found, or 0.
    found: AtomicU8,
    /// The number of the fault that checks found, or 0.
    checked: AtomicU8,
    /// Consecutive failed requests.
    failures: AtomicU32,
    /// Consecutive checks with the same result.
    passed: AtomicU32,
    missed: AtomicU32,
    /// Monotonic time, in milliseconds, from which a request may try the address.
    trial_at: AtomicU64,
    /// Number of failed trials.
    trials: AtomicU32,
    /// Requests that are under way.
    pub(super) open: AtomicU32,
    /// Number of responses.
    answers: AtomicU32,
    requests: AtomicU64,
    failed: [AtomicU64; Fault::ALL.len()],
    down: Mutex<Option<Down>>,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("socket", &self.socket).finish_non_exhaustive()
    }
}

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Checked {
    /// A connection was made; no request was sent.
    Connects,
    /// The request of the check was answered as wanted.
    Answers,
    /// The check failed, with the reason.
    Fails(Fault, String),
}

impl Target {
    pub(super) fn new(app: &str, address: UpstreamAddress, socket: SocketAddr) -> Self {
        Self {
            app: app.to_owned(),
            address,
            socket,
            found: AtomicU8::new(0),
            checked: AtomicU8::new(0),
            failures: AtomicU32::new(0),
            passed: AtomicU32::new(0),
            missed: AtomicU32::new(0),
            trial_at: AtomicU64::new(NEVER),
            trials: AtomicU32::new(0),
            open: AtomicU32::new(0),
            answers: AtomicU32::new(0),
            requests: AtomicU64::new(0),
            failed: Fault::ALL.map(|_| AtomicU64::new(0)),
            down: Mutex::new(None),
        }
    }

    /// Returns the worst fault, or `None` while the address is in service.
    pub(super) fn fault(&self) -> Option<Fault> {
        Fault::of(self.found.load(Relaxed)).max(Fault::of(self.checked.load(Relaxed)))
    }

    /// Returns true if the address is in service.
    pub(super) fn is_up(&self) -> bool {
        self.found.load(Relaxed) == 0 && self.checked.load(Relaxed) == 0
    }

    /// Claims the trial of the address if it is due at `now`. A trial without a result is claimed
    /// again after `patience`. A request that must not be lost is `unsuited`.
    pub(super) fn claim_trial(&self, now: Duration, unsuited: bool, patience: Duration) -> bool {
        let due = self.trial_at.load(Relaxed);
        let now_millis = millis(now);
        let from = if unsuited { due.saturating_add(OVERDUE) } else { due };
        if now_millis < from || self.checked.load(Relaxed) != 0 {
            return false;
        }
        let next = millis(now.saturating_add(patience));
        self.trial_at.compare_exchange(due, next, Relaxed, Relaxed).is_ok()
    }

    /// Makes the trial due again: the last one had no result.
    pub(super) fn return_trial(&self) {
        if self.found.load(Relaxed) != 0 {
            self.trial_at.store(0, Relaxed);
        }
    }

    pub(super) fn begun(&self) {
        self.requests.fetch_add(1, Relaxed);
        self.open.fetch_add(1, Relaxed);
    }

    pub(super) fn over(&self) {
        self.open.fetch_sub(1, Relaxed);
    }

    /// Returns the number of responses so far.
    pub(super) fn answers(&self) -> u32 {
        self.answers.load(Relaxed)
    }

    pub(super) fn answered(&self) {
        self.answers.fetch_add(1, Relaxed);
    }

    /// Records a request that failed. `in_trial` says that it was a trial.
    #[cold]
    pub(super) fn request_failed(
        &self,
        fault: Fault,
        now: Duration,
        in_trial: bool,
        settings: &HealthSettings,
    ) {
        if let Some(count) = self.failed.get(usize::from(fault.number()) - 1) {
            count.fetch_add(1, Relaxed);
        }
        self.passed.store(0, Relaxed);
        let in_a_row = self.failures.fetch_add(1, Relaxed).saturating_add(1);
        let was = Fault::of(self.found.load(Relaxed));
        let enough = fault == Fault::Connect || in_a_row >= settings.unhealthy;
        if was.is_some() && !in_trial || was.is_none() && !enough {
            return;
        }
        let trials = if in_trial { self.trials.fetch_add(1, Relaxed).saturating_add(1) } else { 0 };
        self.trials.store(trials, Relaxed);
        let longest = if fault.is_prompt() { SHORT_REST } else { LONG_REST };
        let rest = FIRST_REST.saturating_mul(1 << trials.min(10)).min(longest);
        // A check finds out whether connections are accepted again.
        let trial_at = if fault == Fault::Connect { NEVER } else { millis(now + rest) };
        self.trial_at.store(trial_at, Relaxed);
        self.found.store(fault.number(), Relaxed);
        self.log_change(&format!("{in_a_row} failed requests in a row"));
    }

    /// Records a request that succeeded. `was_out` says that the address was out of service when the
    /// request was sent.
    pub(super) fn request_worked(&self, was_out: bool) {
        if self.failures.load(Relaxed) != 0 {
            self.failures.store(0, Relaxed);
        }
        if was_out && self.found.load(Relaxed) != 0 {
            self.recover();
        }
    }

    #[cold]
    fn recover(&self) {
        self.found.store(0, Relaxed);
        self.failures.store(0, Relaxed);
        self.trials.store(0, Relaxed);
        self.trial_at.store(NEVER, Relaxed);
        self.log_change("");
    }

    /// Records the result of a check.
    pub(super) fn was_checked(&self, result: Checked, settings: &HealthSettings) {
        match result {
            Checked::Fails(fault, reason) => {
                self.passed.store(0, Relaxed);
                let missed = self.missed.fetch_add(1, Relaxed).saturating_add(1);
                if fault == Fault::Connect || missed >= settings.unhealthy || !self.is_up() {
                    self.checked.store(fault.number(), Relaxed);
                    self.log_change(&format!("check: {reason}"));
                }
            }
            Checked::Connects | Checked::Answers => {
                self.missed.store(0, Relaxed);
                let passed = self.passed.fetch_add(1, Relaxed).saturating_add(1);
                let by_request = result == Checked::Answers;
                if by_request && passed < settings.healthy && !self.is_up() {
                    return;
                }
                self.checked.store(0, Relaxed);
                let mended = match Fault::of(self.found.load(Relaxed)) {
                    Some(Fault::Connect) => true,
                    Some(Fault::Silent | Fault::Reset) => by_request,
                    // Only a request shows whether the app has recovered.
                    Some(Fault::Status) | None => false,
                };
                if mended {
                    self.recover();
                } else {
                    self.log_change("");
                }
            }
        }
    }

    /// Logs when the address goes out of service and when it returns.
    #[cold]
    fn log_change(&self, reason: &str) {
        let fault = self.fault();
        let mut down = self.down.lock();
        let (app, address) = (self.app.as_str(), self.socket);
        match (&*down, fault) {
            (None, Some(fault)) => {
                *down = Some(Down { since: Instant::now(), failures_before: self.all_failed() });
                let fault = fault.as_str();
                tracing::warn!(app, %address, fault, reason, "upstream is down");
            }
            (Some(was), None) => {
                let seconds = was.since.elapsed().as_secs();
                let failed_requests = self.all_failed().saturating_sub(was.failures_before);
                tracing::info!(app, %address, seconds, failed_requests, "upstream is up again");
                *down = None;
            }
            (None, None) | (Some(_), Some(_)) => {}
        }
    }

    fn all_failed(&self) -> u64 {
        self.failed.iter().map(|count| count.load(Relaxed)).sum()
    }

    /// Returns the number of requests and, by fault, of failed ones.
    pub(super) fn counts(&self) -> (u64, [(Fault, u64); Fault::ALL.len()]) {
        let failed = Fault::ALL.map(|fault| {
            let count = self.failed.get(usize::from(fault.number()) - 1);
            (fault, count.map_or(0, |count| count.load(Relaxed)))
        });
        (self.requests.load(Relaxed), failed)
    }
}

#[cfg(test)]
#[path = "target_tests.rs"]
mod tests;
