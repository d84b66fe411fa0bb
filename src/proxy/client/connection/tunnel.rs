//! A connection that carries a WebSocket, and its end by the gateway.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite};

use super::{ClientStream, End, open};
use crate::proxy::client::parting::{Farewell, close_frame};

impl<S: AsyncRead + AsyncWrite + Unpin> ClientStream<S> {
    /// Follows the frames that the app sends. After a Close frame it sends no more.
    pub(super) fn wrote_to_tunnel(
        &mut self,
        written: &Poll<io::Result<usize>>,
        bytes: &[u8],
    ) -> io::Result<()> {
        if self.end == End::Parted {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        if let Poll::Ready(Ok(number)) = written {
            self.outgoing.wrote(bytes.get(..*number).unwrap_or_default());
        }
        Ok(())
    }

    /// Sends a Close frame if the app is between two frames, and then fails every read. Returns
    /// `Ready(Ok)` while the app is within a frame.
    pub(super) fn part(
        &mut self,
        cx: &mut Context<'_>,
        farewell: Farewell,
    ) -> Poll<io::Result<()>> {
        if self.end != End::Parted {
            if !self.outgoing.is_between_frames() {
                return Poll::Ready(Ok(()));
            }
            let frame = close_frame(farewell);
            let sent = ready!(Pin::new(open(&mut self.io)?).poll_write(cx, &frame))?;
            self.end = End::Parted;
            if sent < frame.len() {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
        }
        // The stream is passed on when Pingora drops it, and flushed then if not now.
        Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()))
    }
}
