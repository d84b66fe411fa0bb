//! The outlet of notices: a queue while mail is configured.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::post::{Delivery, Queue};
use crate::auth::audit::{Context, Event, Observer, Record};
use crate::auth::ports::Audit;

/// Time to send the remaining notices after a reload without mail.
const LAST_TRY: Duration = Duration::from_mins(1);

/// Sends notices while there is a way to deliver them.
pub struct Notices {
    queue: ArcSwapOption<Queue>,
    trail: Arc<dyn Audit>,
}

impl fmt::Debug for Notices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Notices")
    }
}

impl Notices {
    /// Starts the outlet on the current runtime. It sends nothing if there is no `delivery`.
    pub fn start(delivery: Option<Delivery>, trail: Arc<dyn Audit>) -> Self {
        let this = Self { queue: ArcSwapOption::empty(), trail };
        this.deliver_by(delivery);
        this
    }

    /// Sends the next notices in another way, or none.
    pub fn deliver_by(&self, delivery: Option<Delivery>) {
        match (delivery, self.queue.load_full()) {
            (Some(delivery), Some(queue)) => queue.deliver_by(delivery),
            (Some(delivery), None) => {
                self.queue.store(Some(Arc::new(Queue::start(delivery, Arc::clone(&self.trail)))));
            }
            (None, Some(queue)) => {
                self.queue.store(None);
                tokio::spawn(async move {
                    let unsent = queue.close(LAST_TRY).await;
                    if unsent > 0 {
                        tracing::error!(unsent, "some notices were not sent");
                    }
                });
            }
            (None, None) => {}
        }
    }

    /// Tries once more to send all waiting notices, then stops. Returns the number not sent.
    pub async fn close(&self, patience: Duration) -> usize {
        match self.queue.load_full() {
            Some(queue) => queue.close(patience).await,
            None => 0,
        }
    }
}

impl Observer for Notices {
    fn happened(&self, event: &Event, context: &Context, record: &Record) {
        if let Some(queue) = &*self.queue.load() {
            queue.happened(event, context, record);
        }
    }
}
