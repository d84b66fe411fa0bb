//! Keeps what there is to say of refusals, off the path of requests: a queue with an end, and so many
//! in a minute, so that a flood of refused requests fills nobody's store.

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

/// Records that may wait to be written.
const QUEUE: usize = 256;
/// Records in a minute, of all clients.
const PER_MINUTE: u32 = 600;
/// Records in a minute, of one network of clients.
const PER_NETWORK: u32 = 120;
/// How long those are.
const MINUTE: Duration = Duration::from_mins(1);

/// What was kept in the running minute.
#[derive(Default)]
struct Minute {
    began: Duration,
    all: u32,
    by_network: HashMap<ClientNetwork, u32>,
}

impl Minute {
    /// Counts one more, if there may be one.
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

/// Where refusals are handed to.
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
    /// Starts writing what comes to `store`.
    pub fn start(store: Arc<dyn Refusals>) -> Self {
        let (queue, mut waiting) = mpsc::channel::<Box<RefusalRecord>>(QUEUE);
        tokio::spawn(async move {
            while let Some(record) = waiting.recv().await {
                if let Err(error) = store.keep_refusal(&record, KEPT_MOST).await {
                    dropped("store");
                    tracing::debug!(%error, "a refusal was not kept");
                }
            }
        });
        Self { queue, minute: Mutex::default() }
    }

    /// Keeps what `record` makes, unless there is too much already; `at` is the monotonic time.
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
    fn so_many_are_kept_in_a_minute_and_of_one_network_fewer() {
        let mut minute = Minute::default();
        let network = |n: u8| Some(ClientIp::new([192, 0, 2, n].into()).network());
        let kept = |minute: &mut Minute, n, times: u32| {
            (0..times).filter(|_| minute.take(MINUTE, network(n))).count()
        };
        assert_eq!(kept(&mut minute, 1, 1000), 120);
        let others: usize = (2..=255).map(|n| kept(&mut minute, n, 2)).sum();
        assert_eq!(others, 480);
        assert!(!minute.take(MINUTE, None));
        assert!(minute.take(MINUTE * 2, network(1)), "the next minute");
    }
}
