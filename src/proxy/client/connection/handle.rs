//! The shared state of a connection, and the handle that closes it from outside.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use futures_util::task::AtomicWaker;

use super::super::load::ClientLoad;
use super::super::request_line::LineVerdict;
use super::super::sender::Front;
use super::super::usage::Usage;
use crate::base::clock::millis;
use crate::proxy::admit::site::{NoSite, Site};
use crate::proxy::app::Apps;
use crate::proxy::client::origin::Origin;
use crate::proxy::settings::ListenerKind;

/// The state of a connection, shared with its requests.
pub(in crate::proxy) struct Connection {
    /// The address of the socket's peer.
    pub(in crate::proxy) peer: SocketAddr,
    /// The kind of its listener.
    pub(in crate::proxy) kind: ListenerKind,
    pub(super) header: AtomicU8,
    pub(super) closed: AtomicBool,
    pub(super) reader: AtomicWaker,
    pub(super) writer: AtomicWaker,
    /// The site of the last request. Most connections use one host only.
    site: ArcSwapOption<Site>,
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
            header: AtomicU8::new(IN_HEADER),
            closed: AtomicBool::new(false),
            reader: AtomicWaker::new(),
            writer: AtomicWaker::new(),
            site: ArcSwapOption::const_empty(),
            silence_allowed: AtomicU64::new(0),
            app_silent: AtomicBool::new(false),
            unread: AtomicBool::new(false),
            line: LineVerdict::default(),
            load,
            usage: Usage::new(now),
        }
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
        let site = self.site.load();
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
        self.site.store(Some(Arc::clone(&site)));
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
