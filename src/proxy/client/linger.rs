//! Lingering: after an answer that came before the request's body was read, the rest of that body
//! is read and discarded for a while. Closing at once would have the kernel answer what still
//! arrives with a reset, and the client would throw the answer away unread (RFC 9112 §9.6);
//! resetting an HTTP/2 stream has the same effect on some clients.
//!
//! What is discarded is never parsed: it reaches neither an app nor the next request. The bounds
//! are a total time, a pause, a number of bytes, and the number that linger at once, in all and
//! from one client network. Past any of them the connection or stream ends at once.

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

/// Total time a connection or stream lingers.
const TIME: Duration = Duration::from_secs(30);
/// Longest pause between two reads.
const PAUSE: Duration = Duration::from_secs(5);
/// Most bytes discarded.
const MOST_BYTES: usize = 1024 * 1024 * 1024;
/// Most connections and streams that linger at once.
const MOST: usize = 512;
/// As [`MOST`], for the clients of one network.
const MOST_OF_NETWORK: usize = 64;
/// Bytes read at once.
const ROOM: usize = 16 * 1024;

/// Counts what lingers.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Lingering {
    all: AtomicUsize,
    by_network: Mutex<HashMap<ClientNetwork, usize>>,
    /// Many clients share the address of a trusted proxy: only the total bounds them.
    trusted: Vec<IpNet>,
}

/// The right to linger, given back when dropped.
#[derive(Debug)]
pub(in crate::proxy) struct Place {
    of: Arc<Lingering>,
    network: Option<ClientNetwork>,
}

impl Lingering {
    pub(in crate::proxy) fn new(trusted: Vec<IpNet>) -> Arc<Self> {
        Arc::new(Self { trusted, ..Self::default() })
    }

    /// A place for a client, if there is one left.
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

/// A stream over a TCP connection that can be read beneath TLS.
pub(in crate::proxy) trait OverTcp {
    /// The connection itself.
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

/// A connection that Pingora is done with.
#[derive(Debug)]
pub(in crate::proxy) struct Left<S> {
    pub(in crate::proxy) io: Gathered<S>,
    /// The client may still be sending.
    pub(in crate::proxy) sending: bool,
}

/// Waits until a gateway that stops has waited long enough for what lingers.
pub(in crate::proxy) async fn stopped(mut stopping: watch::Receiver<bool>) {
    // Without a sender it has stopped long ago.
    if stopping.wait_for(|stopping| *stopping).await.is_ok() {
        sleep(PAUSE).await;
    }
}

/// Where a connection's stream is put when Pingora drops it.
pub(in crate::proxy) type Leaving<S> = Arc<Mutex<Option<Left<S>>>>;

/// Ends a connection: what waits goes out, then `close_notify` and FIN; then what a client still
/// sends is discarded, beneath TLS, until it closes its side.
pub(in crate::proxy) async fn end<S>(mut left: Left<S>, peer: IpAddr, lingering: &Arc<Lingering>)
where
    S: OverTcp + AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let until = Instant::now() + TIME;
    match timeout(PAUSE, left.io.shutdown()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::trace!(%error, "a connection did not shut down cleanly");
            return;
        }
        Err(_elapsed) => return,
    }
    if !left.sending {
        return;
    }
    let Some(_place) = lingering.enter(peer) else {
        metrics::counter!("vestibule_lingering_refused_total").increment(1);
        return;
    };
    let mut spare = MOST_BYTES;
    let mut pause = pin!(sleep(PAUSE));
    while let Ok(Some(read)) =
        timeout_at(until, discard(left.io.get_mut().tcp(), pause.as_mut())).await
        && let Some(rest) = spare.checked_sub(read)
    {
        spare = rest;
        pause.as_mut().reset(Instant::now() + PAUSE);
    }
}

/// Bytes discarded by one read; nothing when the client has ended, or paused for too long.
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

/// Discards the rest of the body of an HTTP/2 request that has been answered in full. Its client
/// is given room to go on sending; the stream is reset, without an error, when this is over.
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
