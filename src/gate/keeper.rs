//! Records rejected requests for `vestibule why`, off the request path. The queue is bounded and
//! writes are rate-limited, so a flood of rejected requests cannot fill the store.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::auth::ports::Refusals;
use crate::auth::refusals::{KEPT_MOST, RefusalRecord};
use crate::base::address::{ClientIp, ClientNetwork};

/// Maximum queued records.
const QUEUE: usize = 256;
/// Maximum records per minute.
const PER_MINUTE: u32 = 600;
/// Maximum records per minute per client network.
const PER_NETWORK: u32 = 120;
/// Length of the rate-limit window.
const MINUTE: Duration = Duration::from_mins(1);

/// Records counted in the current window.
#[derive(Default)]
struct Minute {
    began: Duration,
    all: u32,
    by_network: HashMap<ClientNetwork, u32>,
}

impl Minute {
    /// Counts a record. Returns false if a limit is reached.
    fn take(&mut self, at: Duration, network: Option<ClientNetwork>) -> bool {
        if at.saturating_sub(self.began) >= MINUTE {
            *self = Self { began: at, ..Self::default() };
        }
        if self.all >= PER_MINUTE {
            return false;
        }
        if let Some(network) = network {
            let count = self.by_network.entry(network).or_default();
            if *count >= PER_NETWORK {
                return false;
            }
            *count += 1;
        }
        self.all += 1;
        true
    }
}

/// Accepts records of rejected requests and writes them in the background.
pub struct RefusalKeeper {
    queue: mpsc::Sender<Box<RefusalRecord>>,
    minute: Mutex<Minute>,
}

impl fmt::Debug for RefusalKeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefusalKeeper")
    }
}

fn dropped(why: &'static str) {
    counter!("vestibule_refusals_not_kept_total", "reason" => why).increment(1);
}

impl RefusalKeeper {
    /// Starts a task that writes records to `store`.
    pub fn start(store: Arc<dyn Refusals>) -> Self {
        let (queue, mut waiting) = mpsc::channel::<Box<RefusalRecord>>(QUEUE);
        tokio::spawn(async move {
            while let Some(record) = waiting.recv().await {
                if let Err(error) = store.keep_refusal(&record, KEPT_MOST).await {
                    dropped("store");
                    tracing::debug!(%error, "failed to record rejected request");
                }
            }
        });
        Self { queue, minute: Mutex::default() }
    }

    /// Queues the result of `record`, unless a limit is reached. `at` is the monotonic time.
    pub fn keep(
        &self,
        at: Duration,
        client: Option<ClientIp>,
        record: impl FnOnce() -> RefusalRecord,
    ) {
        if !self.minute.lock().take(at, client.map(ClientIp::network)) {
            dropped("rate");
            return;
        }
        if self.queue.try_send(Box::new(record())).is_err() {
            dropped("queue");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_limited_per_minute_and_per_network() {
        let mut minute = Minute::default();
        let network = |n: u8| Some(ClientIp::new([192, 0, 2, n].into()).network());
        let recorded = |minute: &mut Minute, n, times: u32| {
            (0..times).filter(|_| minute.take(MINUTE, network(n))).count()
        };
        assert_eq!(recorded(&mut minute, 1, 1000), 120);
        let others: usize = (2..=255).map(|n| recorded(&mut minute, n, 2)).sum();
        assert_eq!(others, 480);
        assert!(!minute.take(MINUTE, None));
        assert!(minute.take(MINUTE * 2, network(1)), "the next window");
    }
}
