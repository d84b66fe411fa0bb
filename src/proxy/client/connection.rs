//! A client connection as Pingora reads and writes it, with a deadline for the whole header block
//! and a way to close it from outside.

mod handle;
mod tunnel;

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID,
};
use pingora_http::ResponseHeader;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Sleep, sleep};

pub(in crate::proxy) use self::handle::Connection;
use self::handle::{BETWEEN_REQUESTS, IN_HEADER, PAST_HEADER};
use super::gather::Gathered;
use super::idle::IdleWatch;
use super::linger::{Released, ReleasedSlot};
use super::parting::Outgoing;
use super::request_line::RequestLine;
use crate::proxy::respond::unreadable;

/// Deadline for a whole header block, from its first byte or from the handshake.
const HEADER_TIME: Duration = Duration::from_secs(10);
/// Maximum idle time of an HTTP/1.1 connection. Pingora has no limit for it.
const KEEP_ALIVE: Duration = Duration::from_mins(1);
/// Idle time of an HTTP/2 connection without requests. The check is accurate to half of it, so two
/// minutes at most. Pingora's own limit would set a timer after each request.
const H2_IDLE: Duration = Duration::from_secs(80);
/// Maximum time in which a client reads nothing of a response.
const WRITE_IDLE: Duration = Duration::from_mins(1);
/// Maximum bytes read while a header block is awaited: the largest accepted block, and bytes read
/// ahead. Larger blocks up to this size get a 431.
const MAX_HEADER_READ: usize = 128 * 1024;
/// The HTTP/2 preface and an empty SETTINGS frame (RFC 9113 §3.4).
const H2_OPENING: usize = 24 + 9;

/// The byte stream of a connection.
pub(in crate::proxy) struct ClientStream<S> {
    /// Reads are unbuffered: the reader has its own buffer. `None` only once dropped.
    io: Option<Gathered<S>>,
    released_slot: ReleasedSlot<S>,
    /// Makes the close of the socket a reset.
    reset: Option<fn(&mut S)>,
    end: End,
    /// Bytes were written.
    answered: bool,
    fd: i32,
    h2: bool,
    connection: Arc<Connection>,
    digest: Arc<ProxyDigest>,
    socket: Arc<SocketDigest>,
    deadline: Option<Pin<Box<Sleep>>>,
    stalled: Option<Pin<Box<Sleep>>>,
    idle: IdleWatch,
    /// The last request of an HTTP/2 connection as its idle check saw it: the start, and whether one
    /// was under way.
    last_seen: (u64, bool),
    registered: Option<Waker>,
    header_bytes: usize,
    line: RequestLine,
    flush: Flush,
    /// Position in the frames of a WebSocket to the client.
    outgoing: Outgoing,
}

/// The way reading from a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Reading goes on.
    Open,
    /// The client has closed its side, or is unreachable.
    ByClient,
    /// The gateway shed the connection while it was idle.
    Shed,
    /// The gateway sent a Close frame.
    Parted,
}

/// The state of written bytes in the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flush {
    /// The buffer is empty.
    Nothing,
    /// No flush was requested yet.
    Unasked,
    /// The next poll of the task flushes them.
    Soon,
}

impl<S: AsyncRead + AsyncWrite> ClientStream<S> {
    /// Wraps `io`, whose socket is `fd`; `h2` if ALPN chose HTTP/2. Also returns the slot that
    /// receives the stream on drop.
    pub(in crate::proxy) fn new(
        io: S,
        fd: i32,
        h2: bool,
        connection: Arc<Connection>,
    ) -> io::Result<(Self, ReleasedSlot<S>)> {
        // Pingora gives this digest to every request. It is the only place for our own data.
        let response = ResponseHeader::build(200, Some(0)).map_err(io::Error::other)?;
        let data = Box::new(Arc::clone(&connection));
        let released_slot = ReleasedSlot::default();
        let stream = Self {
            io: Some(Gathered::new(io)),
            released_slot: Arc::clone(&released_slot),
            reset: None,
            end: End::Open,
            answered: false,
            fd,
            h2,
            connection,
            digest: Arc::new(ProxyDigest::new(Box::new(response), Some(data))),
            socket: Arc::new(SocketDigest::from_raw_fd(fd)),
            deadline: None,
            stalled: None,
            idle: IdleWatch::default(),
            last_seen: (0, false),
            registered: None,
            header_bytes: 0,
            line: RequestLine::default(),
            flush: Flush::Nothing,
            outgoing: Outgoing::default(),
        };
        Ok((stream, released_slot))
    }

    /// Names the function that makes the close of the socket a reset.
    pub(in crate::proxy) fn reset_by(self, reset: fn(&mut S)) -> Self {
        let mut this = self;
        this.reset = Some(reset);
        this
    }

    /// Counts the bytes of a header block, and parses the request line. A connection that exceeds
    /// the limit ends before Pingora has all of it in memory. For HTTP/2 only the preface and the
    /// first settings count: after that its own limits apply.
    fn count_header(&mut self, read: &[u8]) -> io::Result<()> {
        let at = self.connection.header.load(Ordering::Relaxed);
        match at {
            PAST_HEADER => return Ok(()),
            BETWEEN_REQUESTS => self.header_bytes = read.len(),
            _ => self.header_bytes += read.len(),
        }
        if self.h2 {
            if self.header_bytes >= H2_OPENING {
                self.connection.header_done();
            }
        } else if self.header_bytes > MAX_HEADER_READ {
            return Err(io::ErrorKind::InvalidData.into());
        } else {
            self.connection.line.read(&mut self.line, at == BETWEEN_REQUESTS, read);
        }
        Ok(())
    }

    /// Fails a pending write when another task closes the connection, or when the client reads
    /// nothing for too long.
    fn or_closed<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.stalled = None;
            self.bytes_passed();
            return poll;
        }
        self.connection.writer.register(cx.waker());
        self.connection.check_open()?;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(WRITE_IDLE)));
        if stalled.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

fn open<S>(io: &mut Option<Gathered<S>>) -> io::Result<&mut Gathered<S>> {
    io.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
}

impl<S> Drop for ClientStream<S> {
    /// Passes the stream to the task that closes it in an orderly way.
    fn drop(&mut self) {
        let connection = &self.connection;
        match self.end {
            End::ByClient => return,
            End::Open if connection.is_closed() => {
                // A response that ends with the connection must not look complete.
                if let Some((io, reset)) = self.io.as_mut().zip(self.reset)
                    && connection.is_cut()
                {
                    reset(io.get_mut());
                }
                return;
            }
            End::Open | End::Shed | End::Parted => {}
        }
        // Dropped after the header block: Pingora rejected the request by itself.
        let in_request = connection.header.load(Ordering::Relaxed) != BETWEEN_REQUESTS;
        let unread = in_request || connection.unread.load(Ordering::Relaxed);
        if let Some(io) = self.io.take() {
            *self.released_slot.lock() = Some(Released { io, sending: self.answered && unread });
        }
    }
}

/// Returns the connection in the digest of a request.
pub(in crate::proxy) fn of_digest(digest: &ProxyDigest) -> Option<&Arc<Connection>> {
    digest.user_data.as_ref()?.downcast_ref()
}

impl<S> fmt::Debug for ClientStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientStream").field("peer", &self.connection.peer).finish_non_exhaustive()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for ClientStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.connection.is_shed() {
            // Pingora sees a closed connection.
            this.end = End::Shed;
            return Poll::Ready(Ok(()));
        }
        this.connection.check_open()?;
        if let Some(farewell) = this.connection.farewell() {
            ready!(this.part(cx, farewell))?;
        }
        if this.flush == Flush::Soon {
            this.flush_now(cx)?;
        }
        let before = buf.filled().len();
        let read = Pin::new(open(&mut this.io)?).poll_read(cx, buf);
        if let Poll::Ready(result) = read {
            this.bytes_passed();
            let got = buf.filled().get(before..).unwrap_or_default();
            this.count_header(got)?;
            if got.is_empty() {
                this.end = End::ByClient;
            } else if this.connection.header.load(Ordering::Relaxed) == BETWEEN_REQUESTS {
                this.connection.header.store(IN_HEADER, Ordering::Relaxed);
                this.deadline = None;
            }
            return Poll::Ready(result);
        }
        if this.flush == Flush::Unasked && !this.h2 {
            // Pingora flushes at the end of a response only, however slow it is.
            this.flush_now(cx)?;
        }
        this.register_reader(cx);
        if this.connection.is_shed() {
            this.end = End::Shed;
            return Poll::Ready(Ok(()));
        }
        this.connection.check_open()?;
        this.check_time(cx)
    }
}

impl<S> ClientStream<S> {
    /// Fails a pending read when the connection is closed from outside.
    fn register_reader(&mut self, cx: &Context<'_>) {
        let known = self.registered.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if !known {
            self.connection.reader.register(cx.waker());
            self.registered = Some(cx.waker().clone());
        }
    }

    /// Records that the connection is in use. In HTTP/2 only requests count, not frames such as
    /// `PING`.
    fn bytes_passed(&mut self) {
        if !self.h2 {
            self.idle.touch();
        }
    }

    /// Returns true if an HTTP/2 connection was without requests for too long.
    fn is_without_requests(&mut self, cx: &mut Context<'_>) -> bool {
        let usage = &self.connection.usage;
        // A request is over before the client has read the last bytes of its response.
        let seen = (usage.last(), !usage.is_idle() || self.stalled.is_some());
        if seen != self.last_seen || seen.1 {
            self.last_seen = seen;
            self.idle.touch();
        }
        self.idle.is_idle_for(H2_IDLE, cx)
    }

    /// Applies the deadlines to a pending read.
    fn check_time(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.connection.header.load(Ordering::Relaxed) {
            IN_HEADER => {
                let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(HEADER_TIME)));
                if deadline.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
            // Pingora sees a closed connection.
            BETWEEN_REQUESTS if self.idle.is_idle_for(KEEP_ALIVE, cx) => {
                return Poll::Ready(Ok(()));
            }
            PAST_HEADER if self.h2 && self.is_without_requests(cx) => return Poll::Ready(Ok(())),
            // A client that does not read its response delays the app, not the other way round.
            PAST_HEADER if self.stalled.is_none() => {
                if let Some(limit) = self.connection.silence_limit()
                    && self.idle.is_idle_for(limit, cx)
                {
                    self.connection.app_silent.store(true, Ordering::Relaxed);
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
            _ => {}
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> ClientStream<S> {
    /// Flushes deferred bytes. Those that the socket does not accept now follow later.
    fn flush_now(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let flushed = Pin::new(open(&mut self.io)?).poll_flush(cx);
        if let Poll::Ready(result) = self.or_closed(cx, flushed) {
            self.flush = Flush::Nothing;
            return result;
        }
        Ok(())
    }
}

impl<S: AsyncWrite + Unpin> ClientStream<S> {
    /// Replaces the response that Pingora writes to an unreadable request with ours.
    #[cold]
    fn refuse_unread(&mut self, cx: &mut Context<'_>, theirs: &[u8]) -> Poll<io::Result<usize>> {
        let ours = unreadable::answer(theirs);
        let written = Pin::new(open(&mut self.io)?).poll_write(cx, &ours);
        written.map_ok(|_all_of_it| {
            self.flush = Flush::Unasked;
            self.answered = true;
            theirs.len()
        })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ClientStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.connection.check_open()?;
        if self.flush == Flush::Nothing {
            if !self.h2 && self.connection.header.load(Ordering::Relaxed) == IN_HEADER {
                return self.refuse_unread(cx, buf);
            }
            self.flush = Flush::Unasked;
            self.answered = true;
        }
        let written = Pin::new(open(&mut self.io)?).poll_write(cx, buf);
        if self.connection.is_tunnel() {
            self.wrote_to_tunnel(&written, buf)?;
        }
        self.or_closed(cx, written)
    }

    /// Defers a flush in HTTP/2, where every data frame requests one, while requests are under way.
    /// The next poll flushes the output of all streams that are ready with a single call. The task of
    /// an HTTP/2 connection reads on every poll, so a read triggers it.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection.check_open()?;
        if self.h2 && !self.connection.usage.is_idle() {
            if self.flush == Flush::Unasked {
                self.flush = Flush::Soon;
                cx.waker().wake_by_ref();
            }
            return Poll::Ready(Ok(()));
        }
        let flushed = Pin::new(open(&mut self.io)?).poll_flush(cx);
        if flushed.is_ready() {
            self.flush = Flush::Nothing;
        }
        self.or_closed(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection.check_open()?;
        // Deferred bytes are flushed here, within the same deadline as any write.
        let shut = Pin::new(open(&mut self.io)?).poll_shutdown(cx);
        self.or_closed(cx, shut)
    }
}

#[async_trait]
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Shutdown for ClientStream<S> {
    async fn shutdown(&mut self) {
        if let Err(error) = AsyncWriteExt::shutdown(self).await {
            tracing::trace!(%error, "connection did not shut down cleanly");
        }
    }
}

impl<S> UniqueID for ClientStream<S> {
    fn id(&self) -> i32 {
        self.fd
    }
}

impl<S> Ssl for ClientStream<S> {
    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.h2.then_some(ALPN::H2)
    }
}

impl<S> GetTimingDigest for ClientStream<S> {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl<S> GetProxyDigest for ClientStream<S> {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(Arc::clone(&self.digest))
    }
}

impl<S> GetSocketDigest for ClientStream<S> {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(Arc::clone(&self.socket))
    }
}

#[async_trait]
impl<S: Send> Peek for ClientStream<S> {}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
