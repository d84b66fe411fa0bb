//! The outlet of notices: a queue while mail is configured.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::post::{Delivery, Queue};
use crate::auth::audit::{Context, Event, Observer, Record};
use crate::auth::ports::Audit;

/// Time to send the remaining notices after a reload without mail.
const LAST_TRY: Duration = Duration::from_mins(1);

/// Sends notices while there is a way to deliver them.
pub struct Notices {
    queue: ArcSwapOption<Queue>,
    /// Queues that a reload closed and that still send. Shutdown waits for them.
    closing: Mutex<Vec<Closing>>,
    trail: Arc<dyn Audit>,
}

/// A queue that sends its remaining notices.
struct Closing {
    queue: Arc<Queue>,
    task: JoinHandle<()>,
}

impl Closing {
    fn start(queue: Arc<Queue>) -> Self {
        let closed = Arc::clone(&queue);
        let task = tokio::spawn(async move {
            let unsent = closed.close(LAST_TRY).await;
            if unsent > 0 {
                tracing::error!(unsent, "some notices were not sent");
            }
        });
        Self { queue, task }
    }

    /// Waits until the queue has sent its notices. Returns the number left when `patience` is over.
    async fn finish(self, patience: Duration) -> usize {
        let finished = tokio::time::timeout(patience, self.task).await;
        if finished.is_ok() { 0 } else { self.queue.unsent() }
    }
}

impl fmt::Debug for Notices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Notices")
    }
}

impl Notices {
    /// Starts the outlet on the current runtime. It sends nothing if there is no `delivery`.
    pub fn start(delivery: Option<Delivery>, trail: Arc<dyn Audit>) -> Self {
        let this = Self { queue: ArcSwapOption::empty(), closing: Mutex::default(), trail };
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
                let mut closing = self.closing.lock();
                closing.retain(|former| !former.task.is_finished());
                closing.push(Closing::start(queue));
            }
            (None, None) => {}
        }
    }

    /// Tries once more to send all waiting notices, also those from before a reload without mail, then
    /// stops. Returns the number not sent.
    pub async fn close(&self, patience: Duration) -> usize {
        let mut closing = std::mem::take(&mut *self.closing.lock());
        closing.retain(|former| !former.task.is_finished());
        if !closing.is_empty() {
            tracing::info!("sending the notices from before mail was removed");
        }
        let former = join_all(closing.into_iter().map(|former| former.finish(patience)));
        let current = async {
            match self.queue.load_full() {
                Some(queue) => queue.close(patience).await,
                None => 0,
            }
        };
        let (former, current) = tokio::join!(former, current);
        former.into_iter().sum::<usize>() + current
    }
}

impl Observer for Notices {
    fn happened(&self, event: &Event, context: &Context, record: &Record) {
        if let Some(queue) = &*self.queue.load() {
            queue.happened(event, context, record);
        }
    }
}
