//! The app behind the gateway, which notes every connection, every byte and every request.
//!
//! What it answers goes by the last segment of the path: see [`super::app`].

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rustls::server::Acceptor;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};

use super::certs::Certificates;
use super::strict::Head;
use super::wire::Wire;
use super::{app, contains, within};

/// How often the gateway looks whether the app is there, by connecting without a word.
const HEALTH_EVERY: Duration = Duration::from_secs(5);
/// Bytes kept of each connection.
const KEPT: usize = 1024 * 1024;

/// The target of our own requests.
const BARRIER: &str = "/-barrier";

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Which connection it came on, counted from one.
    pub(crate) connection: usize,
    /// Its head.
    pub(crate) head: Head,
    /// The first 64 KiB of its body.
    pub(crate) body: Vec<u8>,
    /// Bytes in its body.
    pub(crate) length: u64,
    /// Lower-case SHA-256 of its body; empty until it has ended.
    pub(crate) sha256: String,
}

#[derive(Debug)]
enum Event {
    Connected(usize),
    Bytes(usize, Vec<u8>),
    Request(Box<Seen>),
    Violation(String),
}

/// What the app's connections write to.
#[derive(Debug)]
pub(crate) struct Notes {
    events: Mutex<Vec<Event>>,
    changed: watch::Sender<usize>,
    /// Lets one waiting `slow` or `events` request go on.
    pub(crate) go_on: Semaphore,
    /// Connections whose answer could not be sent to its end.
    pub(crate) broken: watch::Sender<usize>,
}

/// A place in the notes, and when that was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(usize, Instant);

/// The recording app.
#[derive(Debug)]
pub(crate) struct Recorder {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    notes: Arc<Notes>,
    started: Instant,
    listening: tokio::task::JoinHandle<()>,
    /// The names that TLS was asked for.
    names: Arc<Mutex<Vec<String>>>,
    scheme: &'static str,
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Notes {
    fn push(&self, event: Event) -> usize {
        let mut events = self.events.lock();
        events.push(event);
        self.changed.send_replace(events.len());
        events.len() - 1
    }

    /// Notes bytes as they came in.
    pub(crate) fn bytes(&self, connection: usize, bytes: &[u8], so_far: &mut usize) {
        let left = KEPT.saturating_sub(*so_far).min(bytes.len());
        *so_far += bytes.len();
        if left > 0 {
            self.push(Event::Bytes(connection, bytes[..left].to_vec()));
        }
    }

    /// Notes a request as soon as its head is there; the number it has from now on.
    pub(crate) fn request(&self, connection: usize, head: &Head) -> usize {
        let head = head.clone();
        let (body, length, sha256) = (Vec::new(), 0, String::new());
        self.push(Event::Request(Box::new(Seen { connection, head, body, length, sha256 })))
    }

    /// Completes a noted request with its body.
    pub(crate) fn body(&self, request: usize, start: &[u8], length: u64, sha256: String) {
        let mut events = self.events.lock();
        if let Some(Event::Request(seen)) = events.get_mut(request) {
            seen.body = start.to_vec();
            seen.length = length;
            seen.sha256 = sha256;
        }
        self.changed.send_replace(events.len());
    }

    /// Notes what no two parsers must differ about.
    pub(crate) fn violation(&self, what: String) {
        self.push(Event::Violation(what));
    }
}

impl Recorder {
    /// Starts listening on a free port.
    pub(crate) async fn start() -> Self {
        Self::listen(None).await
    }

    /// Starts listening on a free port with TLS.
    pub(crate) async fn start_tls(certificates: &Certificates) -> Self {
        Self::listen(Some(certificates.acceptor())).await
    }

    async fn listen(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let notes = Arc::new(Notes {
            events: Mutex::default(),
            changed: watch::Sender::new(0),
            go_on: Semaphore::new(0),
            broken: watch::Sender::new(0),
        });
        let shared = Arc::clone(&notes);
        let names = Arc::new(Mutex::default());
        let asked = Arc::clone(&names);
        let scheme = if tls.is_some() { "https" } else { "http" };
        let listening = tokio::spawn(async move {
            let count = AtomicUsize::new(0);
            while let Ok((stream, _)) = listener.accept().await {
                let connection = count.fetch_add(1, Ordering::Relaxed) + 1;
                shared.push(Event::Connected(connection));
                let notes = Arc::clone(&shared);
                let Some(tls) = tls.clone() else {
                    tokio::spawn(app::connection(stream, connection, notes));
                    continue;
                };
                let asked: Arc<Mutex<Vec<String>>> = Arc::clone(&asked);
                tokio::spawn(async move {
                    let Ok(start) = LazyConfigAcceptor::new(Acceptor::default(), stream).await
                    else {
                        return;
                    };
                    let name = start.client_hello().server_name().unwrap_or_default().to_owned();
                    asked.lock().push(name);
                    if let Ok(stream) = start.into_stream(Arc::clone(tls.config())).await {
                        app::connection(stream, connection, notes).await;
                    }
                });
            }
        });
        Self { address, notes, started: Instant::now(), listening, names, scheme }
    }

    /// The names that TLS was asked for, in order; empty where there was none.
    pub(crate) fn names(&self) -> Vec<String> {
        self.names.lock().clone()
    }

    /// Where an app table says to find it.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// This place in the notes.
    pub(crate) fn mark(&self) -> Mark {
        Mark(self.notes.events.lock().len(), Instant::now())
    }

    /// The beginning of the notes.
    pub(crate) fn mark_of_all(&self) -> Mark {
        Mark(0, self.started)
    }

    /// The requests since `mark`, without those of [`Self::barrier`].
    pub(crate) fn requests(&self, mark: Mark) -> Vec<Seen> {
        let events = self.notes.events.lock();
        let seen = events.iter().skip(mark.0).filter_map(|event| match event {
            Event::Request(seen) => Some(seen.as_ref().clone()),
            Event::Connected(_) | Event::Bytes(..) | Event::Violation(_) => None,
        });
        seen.filter(|s| s.head.target != BARRIER).collect()
    }

    /// Connections on which something came since `mark`, without those of [`Self::barrier`].
    pub(crate) fn connections(&self, mark: Mark) -> usize {
        let (mut spoke, mut barriers) = (BTreeSet::new(), BTreeSet::new());
        for event in self.notes.events.lock().iter().skip(mark.0) {
            match event {
                Event::Bytes(connection, _) => {
                    spoke.insert(*connection);
                }
                Event::Request(seen) if seen.head.target == BARRIER => {
                    barriers.insert(seen.connection);
                }
                Event::Request(_) | Event::Connected(_) | Event::Violation(_) => {}
            }
        }
        spoke.difference(&barriers).count()
    }

    /// Connections since `mark` on which nothing ever came, beyond those by which the gateway
    /// looks whether the app is there. A request that is refused makes none.
    pub(crate) fn silent_connections(&self, mark: Mark) -> usize {
        let mut silent = BTreeSet::new();
        for event in self.notes.events.lock().iter().skip(mark.0) {
            match event {
                Event::Connected(connection) => {
                    silent.insert(*connection);
                }
                Event::Bytes(connection, _) => {
                    silent.remove(connection);
                }
                Event::Request(_) | Event::Violation(_) => {}
            }
        }
        let rounds = mark.1.elapsed().as_secs() / HEALTH_EVERY.as_secs() + 2;
        silent.len().saturating_sub(usize::try_from(rounds).unwrap_or(usize::MAX))
    }

    /// Violations of strict framing since `mark`.
    pub(crate) fn violations(&self, mark: Mark) -> Vec<String> {
        let events = self.notes.events.lock();
        let violations = events.iter().skip(mark.0).filter_map(|event| match event {
            Event::Violation(what) => Some(what.clone()),
            Event::Connected(_) | Event::Bytes(..) | Event::Request(_) => None,
        });
        violations.collect()
    }

    /// Whether `text` came in since `mark`, anywhere, whatever its case.
    pub(crate) fn heard(&self, mark: Mark, text: &str) -> bool {
        let events = self.notes.events.lock();
        let mut by_connection = std::collections::BTreeMap::<usize, Vec<u8>>::new();
        for event in events.iter().skip(mark.0) {
            if let Event::Bytes(connection, bytes) = event {
                by_connection.entry(*connection).or_default().extend(bytes);
            }
        }
        let needle = text.to_ascii_lowercase();
        by_connection.values().any(|b| contains(&b.to_ascii_lowercase(), needle.as_bytes()))
    }

    /// Waits for the first request since `mark` that `wanted` picks.
    pub(crate) async fn wait_for(&self, mark: Mark, wanted: impl Fn(&Seen) -> bool) -> Seen {
        let mut changed = self.notes.changed.subscribe();
        let found = async {
            loop {
                if let Some(seen) = self.requests(mark).into_iter().find(&wanted) {
                    return seen;
                }
                changed.changed().await.unwrap();
            }
        };
        within(Duration::from_secs(30), "a request at the app", found).await
    }

    /// Returns when everything sent to the app before this call has been noted: a request of our
    /// own, made after it, went all the way.
    pub(crate) async fn barrier(&self) {
        for _round in 0..2 {
            let stream = tokio::net::TcpStream::connect(self.address).await.unwrap();
            let mut wire = Wire::new(stream);
            let request =
                format!("GET {BARRIER} HTTP/1.1\r\nHost: barrier\r\nConnection: close\r\n\r\n");
            wire.send(request.as_bytes()).await.unwrap();
            wire.answer("GET").await.unwrap();
        }
    }

    /// Lets one waiting `slow` or `events` request go on.
    pub(crate) fn go_on(&self) {
        self.notes.go_on.add_permits(1);
    }

    /// Waits until an answer could not be sent to its end, because the other side went away.
    pub(crate) async fn wait_for_a_broken_answer(&self) {
        let mut broken = self.notes.broken.subscribe();
        broken.wait_for(|count| *count > 0).await.unwrap();
    }
}
