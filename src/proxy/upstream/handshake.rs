//! Orders a WebSocket handshake.
//!
//! Pingora 0.9.1 takes the end of the handshake request's empty body for the end of the tunnel if
//! it reads the app's `101` first (cloudflare/pingora#946). So a handshake gets its own connection
//! to the app. Its reads are blocked from just before the request is written until its body has
//! been handed over and processed.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use async_trait::async_trait;
use futures_util::task::AtomicWaker;
use pingora_core::connectors::L4Connect;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::protocols::l4::stream::Stream;
use pingora_core::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora_error::{Error, ErrorType, OrErr, Result};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

const OPEN: u8 = 0;
const HELD: u8 = 1;
/// The body has been handed over. The next poll lets Pingora process it; the one after reads.
const HANDED_OVER: u8 = 2;

/// Blocks reads from the app.
#[derive(Default)]
pub(in crate::proxy) struct ReadGate {
    state: AtomicU8,
    reader: AtomicWaker,
}

impl fmt::Debug for ReadGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReadGate")
    }
}

impl ReadGate {
    /// Blocks reads, before the request is written.
    pub(in crate::proxy) fn hold(&self) {
        self.state.store(HELD, Ordering::Release);
    }

    /// Records that the request's body has been handed over.
    pub(in crate::proxy) fn hand_over(&self) {
        let held =
            self.state.compare_exchange(HELD, HANDED_OVER, Ordering::AcqRel, Ordering::Acquire);
        if held.is_ok() {
            self.reader.wake();
        }
    }

    /// Returns true if a read must wait. The reader is woken when reads continue.
    fn holds(&self, cx: &Context<'_>) -> bool {
        if self.state.load(Ordering::Acquire) == OPEN {
            return false;
        }
        self.reader.register(cx.waker());
        let let_in =
            self.state.compare_exchange(HANDED_OVER, OPEN, Ordering::AcqRel, Ordering::Acquire);
        if let_in.is_ok() {
            // This poll still waits: the body is processed first, then the read continues.
            cx.waker().wake_by_ref();
        }
        true
    }
}

/// Connects like Pingora, with the gate in front of the connection's reads.
#[derive(Debug)]
pub(in crate::proxy) struct GatedConnect(pub(in crate::proxy) Arc<ReadGate>);

#[async_trait]
impl L4Connect for GatedConnect {
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        let address = address.as_inet().ok_or_else(|| {
            Error::explain(ErrorType::ConnectError, "an upstream address is not an IP address")
        })?;
        let stream = TcpStream::connect(address)
            .await
            .or_err(ErrorType::ConnectError, "connecting to the upstream")?;
        stream.set_nodelay(true).or_err(ErrorType::ConnectError, "setting up the connection")?;
        let gated = Gated { stream, gate: Arc::clone(&self.0) };
        Ok(VirtualSocketStream::new(Box::new(gated)).into())
    }
}

#[derive(Debug)]
struct Gated {
    stream: TcpStream,
    gate: Arc<ReadGate>,
}

impl AsyncRead for Gated {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.gate.holds(cx) {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Gated {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl VirtualSocket for Gated {
    fn set_socket_option(&self, option: VirtualSockOpt) -> io::Result<()> {
        match option {
            VirtualSockOpt::NoDelay => self.stream.set_nodelay(true),
            VirtualSockOpt::KeepAlive(_) | _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn what_the_app_says_waits_until_the_body_was_handed_over() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut app, _) = listener.accept().await.unwrap();
        let gate = Arc::new(ReadGate::default());
        let mut gated = Gated { stream, gate: Arc::clone(&gate) };
        app.write_all(b"ab").await.unwrap();
        assert_eq!(gated.read_u8().await.unwrap(), b'a', "open until it is held");
        gate.hold();
        let mut polls = 0;
        let read = std::future::poll_fn(|cx| {
            polls += 1;
            let mut byte = [0];
            let poll = Pin::new(&mut gated).poll_read(cx, &mut ReadBuf::new(&mut byte));
            if polls == 1 {
                assert!(poll.is_pending());
                gate.hand_over();
            } else if polls == 2 {
                assert!(poll.is_pending(), "one poll for the body to be taken up");
            }
            poll.map(|r| r.map(|()| byte[0]))
        });
        assert_eq!(read.await.unwrap(), b'b');
    }
}
