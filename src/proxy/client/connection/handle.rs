//! The shared state of a connection, and the handle that closes it from outside.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::task::AbortHandle;

use super::super::load::ClientLoad;
use super::super::parting::Farewell;
use super::super::request_line::LineVerdict;
use super::super::sender::Front;
use super::super::usage::Usage;
use crate::base::clock::millis;
use crate::proxy::admit::site::{NoSite, Site};
use crate::proxy::app::Apps;
use crate::proxy::client::origin::Origin;
use crate::proxy::live::request::Underway;
use crate::proxy::settings::ListenerKind;

/// The state of a connection, shared with its requests.
pub(in crate::proxy) struct Connection {
    /// The address of the socket's peer.
    pub(in crate::proxy) peer: SocketAddr,
    /// The kind of its listener.
    pub(in crate::proxy) kind: ListenerKind,
    /// True if a balancer did not name its client: `peer` is the balancer, and no header is
    /// believed.
    pub(in crate::proxy) nameless: bool,
    pub(super) header: AtomicU8,
    pub(super) closed: AtomicBool,
    /// True once the connection carries a WebSocket.
    tunnel: AtomicBool,
    /// Number of the [`Farewell`] with which the current WebSocket is to end, or 0.
    farewell: AtomicU8,
    /// True once the gateway has cut a request.
    cut: AtomicBool,
    /// The task that serves the connection.
    task: Arc<OnceLock<AbortHandle>>,
    /// Its requests, as far as they are admitted.
    pub(in crate::proxy) underway: Underway,
    pub(super) reader: AtomicWaker,
    pub(super) writer: AtomicWaker,
    /// The site of the last request. Most connections use one host only.
    site: Mutex<Option<Arc<Site>>>,
    /// Maximum silence of the app in milliseconds, while this connection enforces it, else 0.
    silence_allowed: AtomicU64,
    pub(super) app_silent: AtomicBool,
    /// A response was sent while the client may still be sending its request.
    pub(super) unread: AtomicBool,
    /// The verdict on the request line.
    pub(in crate::proxy) line: LineVerdict,
    /// The load counters of the peer's network.
    pub(in crate::proxy) load: Arc<ClientLoad>,
    pub(in crate::proxy) usage: Usage,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("peer", &self.peer).finish_non_exhaustive()
    }
}

pub(super) const BETWEEN_REQUESTS: u8 = 0;
pub(super) const IN_HEADER: u8 = 1;
pub(super) const PAST_HEADER: u8 = 2;

impl Connection {
    /// Creates the state of a connection accepted at `now`.
    pub(in crate::proxy) fn new(
        peer: SocketAddr,
        kind: ListenerKind,
        load: Arc<ClientLoad>,
        now: Duration,
    ) -> Self {
        Self {
            peer,
            kind,
            nameless: false,
            header: AtomicU8::new(IN_HEADER),
            closed: AtomicBool::new(false),
            tunnel: AtomicBool::new(false),
            farewell: AtomicU8::new(0),
            cut: AtomicBool::new(false),
            task: Arc::default(),
            underway: Underway::default(),
            reader: AtomicWaker::new(),
            writer: AtomicWaker::new(),
            site: Mutex::new(None),
            silence_allowed: AtomicU64::new(0),
            app_silent: AtomicBool::new(false),
            unread: AtomicBool::new(false),
            line: LineVerdict::default(),
            load,
            usage: Usage::new(now),
        }
    }

    /// Marks a connection whose balancer does not name its client.
    pub(in crate::proxy) fn without_name(self) -> Self {
        Self { nameless: true, ..self }
    }

    /// Names the task that serves the connection, which may not have started yet.
    pub(in crate::proxy) fn in_task(self, task: Arc<OnceLock<AbortHandle>>) -> Self {
        Self { task, ..self }
    }

    /// Returns the task that serves the connection.
    pub(in crate::proxy) fn task(&self) -> Arc<OnceLock<AbortHandle>> {
        Arc::clone(&self.task)
    }

    /// Records that the connection carries a WebSocket from the next header block to the client on.
    pub(in crate::proxy) fn begin_tunnel(&self) {
        self.tunnel.store(true, Ordering::Relaxed);
    }

    /// Returns true if the connection carries a WebSocket.
    pub(in crate::proxy) fn is_tunnel(&self) -> bool {
        self.tunnel.load(Ordering::Relaxed)
    }

    /// Ends a WebSocket with a Close frame.
    pub(in crate::proxy) fn close_tunnel(&self, farewell: Farewell) {
        self.farewell.store(farewell.number(), Ordering::Release);
        self.reader.wake();
    }

    /// Returns the reason for which the WebSocket is to end.
    pub(super) fn farewell(&self) -> Option<Farewell> {
        Farewell::numbered(self.farewell.load(Ordering::Relaxed))
    }

    /// Resolves when the connection is closed from outside while nothing else reads from it.
    pub(in crate::proxy) async fn closed(&self) {
        std::future::poll_fn(|cx| {
            self.reader.register(cx.waker());
            if self.is_closed() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Returns the site of the last request if `host`, `origin`, `front` and `generation` are the
    /// same.
    pub(in crate::proxy) fn last_site(
        &self,
        generation: u64,
        host: &[u8],
        origin: Origin,
        front: Option<&Front<'_>>,
    ) -> Option<Arc<Site>> {
        let site = self.site.lock();
        site.as_ref().filter(|site| site.is(generation, host, origin, front)).cloned()
    }

    /// Finds the site at `host` for a client of `origin`, and keeps it.
    pub(in crate::proxy) fn find_site(
        &self,
        apps: &Apps,
        host: &str,
        origin: Origin,
        front: Option<&Front<'_>>,
        load: Arc<ClientLoad>,
    ) -> Result<Arc<Site>, NoSite> {
        let site = Arc::new(Site::find(apps, host, origin, front, load)?);
        let former = self.site.lock().replace(Arc::clone(&site));
        drop(former);
        Ok(site)
    }

    /// Records that the header block is complete.
    pub(in crate::proxy) fn header_done(&self) {
        self.header.store(PAST_HEADER, Ordering::Relaxed);
    }

    /// Records the end of a request. The next byte begins another one, unless the body was not read
    /// to its end.
    pub(in crate::proxy) fn request_done(&self, body_read: bool) {
        self.line.request_done(body_read);
        self.farewell.store(0, Ordering::Relaxed);
        self.header.store(BETWEEN_REQUESTS, Ordering::Relaxed);
        self.silence_allowed.store(0, Ordering::Relaxed);
    }

    /// Limits the silence of the app to `limit` until the request ends. The connection waits for
    /// the app anyway, so no request needs a timer.
    pub(in crate::proxy) fn watch_app(&self, limit: Duration) {
        self.silence_allowed.store(millis(limit), Ordering::Relaxed);
    }

    pub(super) fn silence_limit(&self) -> Option<Duration> {
        let millis = self.silence_allowed.load(Ordering::Relaxed);
        (millis > 0).then(|| Duration::from_millis(millis))
    }

    /// Returns true if the app exceeded the limit of its silence.
    pub(in crate::proxy) fn app_was_silent(&self) -> bool {
        self.app_silent.load(Ordering::Relaxed)
    }

    /// Records that the connection ends with a response to a request that was not read to its end.
    pub(in crate::proxy) fn left_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    /// Closes the connection from outside.
    pub(in crate::proxy) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.reader.wake();
        self.writer.wake();
    }

    /// Closes the connection from outside, in the middle of a request.
    pub(in crate::proxy) fn cut(&self) {
        self.cut.store(true, Ordering::Release);
        self.close();
    }

    /// Returns true if the gateway has cut a request.
    pub(super) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }

    /// Drops the task that serves the connection, and with it the connection to the app.
    pub(in crate::proxy) fn abort(&self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }

    /// Returns true if it was closed from outside while idle.
    pub(super) fn is_shed(&self) -> bool {
        self.is_closed() && self.usage.is_idle()
    }

    /// Returns true if it was closed from outside.
    pub(in crate::proxy) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(super) fn check_open(&self) -> io::Result<()> {
        if self.is_closed() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }
}
