//! One connection of a client, as Pingora reads and writes it, with what Pingora leaves out: a
//! limit on the time a header block may take in all, and an end from outside.

mod handle;

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
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
use super::linger::{Leaving, Left};
use super::quiet::Quiet;
use super::request_line::RequestLine;
use crate::proxy::respond::unreadable;

/// For a whole header block, from its first byte (or from the handshake) to its end.
const HEADER_TIME: Duration = Duration::from_secs(10);
/// Pingora would keep an HTTP/1.1 connection without a request for ever.
const KEEP_ALIVE: Duration = Duration::from_mins(1);
/// A client that takes nothing of what is sent for this long is given up.
const WRITE_IDLE: Duration = Duration::from_mins(1);
/// Read at most while a header block is awaited: the largest block that is taken, and what may
/// have been read ahead of it. Larger blocks up to here are answered with 431.
const MAX_HEADER_READ: usize = 128 * 1024;
/// The preface of HTTP/2 and an empty SETTINGS frame (RFC 9113 §3.4).
const H2_OPENING: usize = 24 + 9;

/// The byte stream of a connection.
pub(in crate::proxy) struct ClientStream<S> {
    /// Nothing is read ahead: whoever reads here has a buffer of its own. Gone only once dropped.
    io: Option<Gathered<S>>,
    leaving: Leaving<S>,
    end: End,
    /// Something was written.
    answered: bool,
    fd: i32,
    h2: bool,
    connection: Arc<Connection>,
    digest: Arc<ProxyDigest>,
    socket: Arc<SocketDigest>,
    deadline: Option<Pin<Box<Sleep>>>,
    stalled: Option<Pin<Box<Sleep>>>,
    quiet: Quiet,
    registered: Option<Waker>,
    header_bytes: usize,
    line: RequestLine,
    flush: Flush,
}

/// How the reading of a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It did not.
    Open,
    /// The client has ended its side, or cannot be reached.
    ByClient,
    /// It was closed from outside while nothing was in hand.
    Shed,
}

/// What is to become of bytes that were written and lie in the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flush {
    /// There are none.
    Nothing,
    /// Nobody asked yet for them to go out.
    Unasked,
    /// They go out when the task is polled again.
    Soon,
}

impl<S: AsyncRead + AsyncWrite> ClientStream<S> {
    /// Wraps `io`, whose socket is `fd`; `h2` when ALPN chose HTTP/2.
    /// Where it is to be found when it was dropped comes with it.
    pub(in crate::proxy) fn new(
        io: S,
        fd: i32,
        h2: bool,
        connection: Arc<Connection>,
    ) -> io::Result<(Self, Leaving<S>)> {
        // Pingora hands this digest to every request; it is the one place that holds own data.
        let response = ResponseHeader::build(200, Some(0)).map_err(io::Error::other)?;
        let data = Box::new(Arc::clone(&connection));
        let leaving = Leaving::default();
        let stream = Self {
            io: Some(Gathered::new(io)),
            leaving: Arc::clone(&leaving),
            end: End::Open,
            answered: false,
            fd,
            h2,
            connection,
            digest: Arc::new(ProxyDigest::new(Box::new(response), Some(data))),
            socket: Arc::new(SocketDigest::from_raw_fd(fd)),
            deadline: None,
            stalled: None,
            quiet: Quiet::default(),
            registered: None,
            header_bytes: 0,
            line: RequestLine::default(),
            flush: Flush::Nothing,
        };
        Ok((stream, leaving))
    }

    /// Counts what was read while a header block is awaited, and reads its first line. More than can belong to one, and the
    /// connection is over before Pingora has it all in memory. An HTTP/2 connection has said enough
    /// with its preface and first settings: from there its own limits hold.
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

    /// Makes a write that waits end when the connection is closed from outside, and when nothing
    /// was taken for too long.
    fn or_over<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.stalled = None;
            self.quiet.stir();
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
    /// Hands the connection back, so that it ends as an answer needs it to.
    fn drop(&mut self) {
        let connection = &self.connection;
        match self.end {
            End::ByClient => return,
            End::Open if connection.is_closed() => return,
            End::Open | End::Shed => {}
        }
        // Past the header and dropped: Pingora refused it without asking us.
        let in_request = connection.header.load(Ordering::Relaxed) != BETWEEN_REQUESTS;
        let unread = in_request || connection.unread.load(Ordering::Relaxed);
        if let Some(io) = self.io.take() {
            *self.leaving.lock() = Some(Left { io, sending: self.answered && unread });
        }
    }
}

/// The connection behind a request's digest.
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
            // To Pingora it looks as if the client had gone.
            this.end = End::Shed;
            return Poll::Ready(Ok(()));
        }
        this.connection.check_open()?;
        if this.flush == Flush::Soon {
            this.flush_now(cx)?;
        }
        let before = buf.filled().len();
        let read = Pin::new(open(&mut this.io)?).poll_read(cx, buf);
        if let Poll::Ready(result) = read {
            this.quiet.stir();
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
            // Pingora asks for it at the end of an answer only, however slowly that comes.
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
    /// Makes a read that waits end when the connection is closed from outside.
    fn register_reader(&mut self, cx: &Context<'_>) {
        let known = self.registered.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if !known {
            self.connection.reader.register(cx.waker());
            self.registered = Some(cx.waker().clone());
        }
    }

    /// What becomes of a read that waits: the answer to nothing having come for too long.
    fn check_time(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.connection.header.load(Ordering::Relaxed) {
            IN_HEADER => {
                let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(HEADER_TIME)));
                if deadline.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
            // To Pingora it looks as if the client had gone.
            BETWEEN_REQUESTS if self.quiet.lasts(KEEP_ALIVE, cx) => return Poll::Ready(Ok(())),
            // Who does not take what is sent keeps the app waiting, not the other way round.
            PAST_HEADER if self.stalled.is_none() => {
                if let Some(limit) = self.connection.app_may_be_silent()
                    && self.quiet.lasts(limit, cx)
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
    /// Sends what was put off. What the socket does not take now goes out when it does.
    fn flush_now(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let flushed = Pin::new(open(&mut self.io)?).poll_flush(cx);
        if let Poll::Ready(result) = self.or_over(cx, flushed) {
            self.flush = Flush::Nothing;
            return result;
        }
        Ok(())
    }
}

impl<S: AsyncWrite + Unpin> ClientStream<S> {
    /// Pingora answers a request by itself when it cannot be read: those are not our words.
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
        self.or_over(cx, written)
    }

    /// HTTP/2 flushes after every frame of data. The bytes go out a little later instead: when the
    /// streams that are ready now have written what they have, with one call for all of them. The
    /// task of an HTTP/2 connection reads whenever it is polled, and that is when.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection.check_open()?;
        if self.h2 {
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
        self.or_over(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection.check_open()?;
        // What was put off goes out here, within the same time as any write.
        let shut = Pin::new(open(&mut self.io)?).poll_shutdown(cx);
        self.or_over(cx, shut)
    }
}

#[async_trait]
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Shutdown for ClientStream<S> {
    async fn shutdown(&mut self) {
        if let Err(error) = AsyncWriteExt::shutdown(self).await {
            tracing::trace!(%error, "a connection did not shut down cleanly");
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
