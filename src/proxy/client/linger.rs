//! Lingering close: after an early response, the rest of the request body is read and discarded for
//! a while. After an immediate close the kernel would answer further bytes with a reset, and the
//! client would drop the response unread (RFC 9112 §9.6). Resetting an HTTP/2 stream has the same
//! effect on some clients.
//!
//! Discarded bytes are never parsed: they reach neither an app nor the next request. The limits are
//! a total time, a pause, a number of bytes, and a number of lingering connections and streams, in
//! total and per client network. Past any of them the connection or stream ends at once.

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use ipnet::IpNet;
use parking_lot::Mutex;
use pingora_proxy::Session;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep, timeout, timeout_at};
use tokio_rustls::server::TlsStream;

use super::gather::Gathered;
use super::socket::ClientSocket;
use crate::base::address::{ClientIp, ClientNetwork};

/// Maximum time that a connection or stream lingers.
const TIME: Duration = Duration::from_secs(30);
/// Maximum pause between two reads.
const PAUSE: Duration = Duration::from_secs(5);
/// Maximum number of discarded bytes.
const MOST_BYTES: usize = 1024 * 1024 * 1024;
/// Maximum number of lingering connections and streams.
const MOST: usize = 512;
/// As [`MOST`], per client network.
const MOST_OF_NETWORK: usize = 64;
/// Size of one read.
const ROOM: usize = 16 * 1024;

/// Counts lingering connections and streams.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Lingering {
    all: AtomicUsize,
    by_network: Mutex<HashMap<ClientNetwork, usize>>,
    /// Trusted proxies. Many clients share their address, so only the total limits them.
    trusted: Vec<IpNet>,
}

/// Permission to linger, released on drop.
#[derive(Debug)]
pub(in crate::proxy) struct Place {
    of: Arc<Lingering>,
    network: Option<ClientNetwork>,
}

impl Lingering {
    pub(in crate::proxy) fn new(trusted: Vec<IpNet>) -> Arc<Self> {
        Arc::new(Self { trusted, ..Self::default() })
    }

    /// Returns a place for a client, or `None` if there is none released.
    pub(in crate::proxy) fn enter(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let free = |taken: usize| (taken < MOST).then_some(taken + 1);
        self.all.fetch_update(Ordering::AcqRel, Ordering::Acquire, free).ok()?;
        let mut place = Place { of: Arc::clone(self), network: None };
        let client = ClientIp::new(peer);
        if !client.is_in(&self.trusted) {
            let mut by_network = self.by_network.lock();
            let taken = by_network.entry(client.network()).or_insert(0);
            if *taken >= MOST_OF_NETWORK {
                drop(by_network);
                return None;
            }
            *taken += 1;
            place.network = Some(client.network());
        }
        Some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(network) = self.network {
            let mut by_network = self.of.by_network.lock();
            if let Some(taken) = by_network.get_mut(&network) {
                *taken -= 1;
                if *taken == 0 {
                    by_network.remove(&network);
                }
            }
        }
        self.of.all.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A stream over TCP that can be read beneath TLS.
pub(in crate::proxy) trait OverTcp {
    /// Returns the TCP stream.
    fn tcp(&mut self) -> &mut TcpStream;
}

impl OverTcp for TcpStream {
    fn tcp(&mut self) -> &mut TcpStream {
        self
    }
}

impl OverTcp for TlsStream<ClientSocket> {
    fn tcp(&mut self) -> &mut TcpStream {
        &mut self.get_mut().0.0
    }
}

/// A connection that Pingora has dropped.
#[derive(Debug)]
pub(in crate::proxy) struct Released<S> {
    pub(in crate::proxy) io: Gathered<S>,
    /// True if the client may still be sending.
    pub(in crate::proxy) sending: bool,
}

/// Resolves when a stopping gateway has waited long enough for lingering connections.
pub(in crate::proxy) async fn stopped(mut stopping: watch::Receiver<bool>) {
    // A closed channel means that the gateway has stopped.
    if stopping.wait_for(|stopping| *stopping).await.is_ok() {
        sleep(PAUSE).await;
    }
}

/// The slot that receives the stream of a connection when Pingora drops it.
pub(in crate::proxy) type ReleasedSlot<S> = Arc<Mutex<Option<Released<S>>>>;

/// Closes a connection: flushes, sends `close_notify` and FIN, then discards further bytes beneath
/// TLS until the client closes its side.
pub(in crate::proxy) async fn end<S>(
    mut released: Released<S>,
    peer: IpAddr,
    lingering: &Arc<Lingering>,
) where
    S: OverTcp + AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let until = Instant::now() + TIME;
    match timeout(PAUSE, released.io.shutdown()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::trace!(%error, "connection did not shut down cleanly");
            return;
        }
        Err(_elapsed) => return,
    }
    if !released.sending {
        return;
    }
    let Some(_place) = lingering.enter(peer) else {
        metrics::counter!("vestibule_lingering_refused_total").increment(1);
        return;
    };
    let mut spare = MOST_BYTES;
    let mut pause = pin!(sleep(PAUSE));
    while let Ok(Some(read)) =
        timeout_at(until, discard(released.io.get_mut().tcp(), pause.as_mut())).await
        && let Some(rest) = spare.checked_sub(read)
    {
        spare = rest;
        pause.as_mut().reset(Instant::now() + PAUSE);
    }
}

/// Returns the number of bytes that one read discarded, or `None` if the client has closed its side
/// or paused for too long.
async fn discard(tcp: &mut TcpStream, mut pause: Pin<&mut Sleep>) -> Option<usize> {
    let read = std::future::poll_fn(|cx| {
        let mut room = [MaybeUninit::uninit(); ROOM];
        let mut room = ReadBuf::uninit(&mut room);
        Pin::new(&mut *tcp)
            .poll_read(cx, &mut room)
            .map(|read: io::Result<()>| read.ok().map(|()| room.filled().len()))
    });
    tokio::select! {
        biased;
        read = read => read.filter(|read| *read > 0),
        () = pause.as_mut() => None,
    }
}

/// Discards the rest of the body of an HTTP/2 request after the full response. The client may go on
/// sending. The stream is then reset without an error.
pub(in crate::proxy) async fn stream(
    session: &mut Session,
    place: Option<Place>,
    draining: &AtomicBool,
) {
    let Some(_place) = place else {
        metrics::counter!("vestibule_lingering_refused_total").increment(1);
        return;
    };
    let mut until = Instant::now() + TIME;
    let mut spare = MOST_BYTES;
    loop {
        if draining.load(Ordering::Relaxed) {
            until = until.min(Instant::now() + PAUSE);
        }
        let next = timeout(PAUSE, session.as_downstream_mut().read_request_body());
        let Ok(Ok(Ok(Some(part)))) = timeout_at(until, next).await else { return };
        let Some(rest) = spare.checked_sub(Bytes::len(&part)) else { return };
        spare = rest;
    }
}

#[cfg(test)]
#[path = "linger_tests.rs"]
mod tests;
