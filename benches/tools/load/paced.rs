//! Requests at a fixed rate. The beat comes from a thread of its own, because the runtime's timer
//! is too coarse, and does not wait for answers: a request that finds all connections busy waits
//! for one, and that wait counts.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Target;
use super::report::Report;
use super::support::Failure;
use super::support::client::Client;

/// An answer that takes longer than this counts as failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many requests, how fast, over how much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) rate: u32,
    pub(crate) seconds: u32,
    pub(crate) connections: usize,
}

pub(crate) async fn run(target: &Target, pace: Pace) -> Result<String, Failure> {
    let cookies = target.cookies()?;
    let (due, beats) = mpsc::unbounded_channel();
    let beats = Arc::new(AsyncMutex::new(beats));
    let report = Arc::new(Mutex::new(Report::default()));
    let mut workers = JoinSet::new();
    for cookie in cookies.iter().cycle().take(pace.connections) {
        let mut client = Client::new(target.to, &target.host)?;
        // The connection is open before the first request is due.
        client.get("/", cookie).await?;
        workers.spawn(work(client, cookie.clone(), Arc::clone(&beats), Arc::clone(&report)));
    }
    let beat = std::thread::spawn(move || drum(pace, &due));
    while let Some(worker) = workers.join_next().await {
        worker?;
    }
    beat.join().map_err(|_panic| "the thread that beats time panicked")?;
    let report = std::mem::take(&mut *report.lock());
    Ok(report.line())
}

/// Sends the time at which each request is due, when it is due.
fn drum(pace: Pace, due: &mpsc::UnboundedSender<Instant>) {
    let interval = Duration::from_secs(1) / pace.rate.max(1);
    let start = Instant::now();
    for beat in 0..pace.rate.saturating_mul(pace.seconds) {
        let at = start + interval * beat;
        loop {
            let left = at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            std::thread::park_timeout(left);
        }
        if due.send(at).is_err() {
            return;
        }
    }
}

async fn work(
    mut client: Client,
    cookie: String,
    beats: Arc<AsyncMutex<mpsc::UnboundedReceiver<Instant>>>,
    report: Arc<Mutex<Report>>,
) {
    loop {
        let next = beats.lock().await.recv().await;
        let Some(due) = next else { return };
        let answer = tokio::time::timeout(PATIENCE, client.get("/", &cookie)).await;
        let took = due.elapsed();
        let good = matches!(&answer, Ok(Ok(answer)) if answer.status == StatusCode::OK);
        let mut report = report.lock();
        if good {
            report.latencies.push(took);
        } else {
            report.failed += 1;
        }
    }
}
