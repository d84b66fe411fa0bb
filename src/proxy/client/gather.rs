//! Gathers small writes, so that one call sends them. A connection borrows its buffer from the
//! thread while bytes wait in it. Idle connections hold no memory, and a busy thread reuses a few
//! buffers that stay in its cache.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Size of the buffer: a full TLS record.
const ROOM: usize = 16 * 1024;
/// Maximum number of spare buffers of a thread.
const MOST_SPARE: usize = 8;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A byte stream that gathers writes. Reads pass through.
#[derive(Debug)]
pub(in crate::proxy) struct Gathered<S> {
    io: S,
    /// Pending bytes. Without capacity while empty.
    waiting: Vec<u8>,
    /// Number of pending bytes that are already written.
    gone: usize,
}

impl<S> Gathered<S> {
    pub(in crate::proxy) fn new(io: S) -> Self {
        Self { io, waiting: Vec::new(), gone: 0 }
    }

    /// Returns the inner stream.
    pub(in crate::proxy) fn get_mut(&mut self) -> &mut S {
        &mut self.io
    }

    fn borrow_memory(&mut self) {
        if self.waiting.capacity() == 0 {
            let spare = SPARE.with_borrow_mut(Vec::pop);
            self.waiting = spare.unwrap_or_else(|| Vec::with_capacity(ROOM));
        }
    }

    fn give_memory_back(&mut self) {
        self.gone = 0;
        let mut memory = std::mem::take(&mut self.waiting);
        memory.clear();
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < MOST_SPARE {
                spare.push(memory);
            }
        });
    }
}

impl<S: AsyncWrite + Unpin> Gathered<S> {
    /// Writes the pending bytes.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.waiting.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while let Some(rest @ [_, ..]) = self.waiting.get(self.gone..) {
            match ready!(Pin::new(&mut self.io).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.gone += written,
            }
        }
        self.give_memory_back();
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gathered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.waiting.len() + bytes.len() > ROOM {
            ready!(this.poll_send(cx))?;
        }
        if bytes.len() >= ROOM {
            return Pin::new(&mut this.io).poll_write(cx, bytes);
        }
        if !bytes.is_empty() {
            this.borrow_memory();
            this.waiting.extend_from_slice(bytes);
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    fn spare() -> usize {
        SPARE.with_borrow(Vec::len)
    }

    #[tokio::test]
    async fn small_pieces_go_out_together_and_the_memory_goes_back() {
        let (ours, mut client) = duplex(64 * 1024);
        let mut stream = Gathered::new(ours);
        assert_eq!(stream.waiting.capacity(), 0);
        let before = spare();
        stream.write_all(b"one ").await.unwrap();
        stream.write_all(b"two").await.unwrap();
        assert_eq!(stream.waiting, b"one two");
        stream.flush().await.unwrap();
        assert_eq!(stream.waiting.capacity(), 0);
        assert_eq!(spare(), before.max(1));
        let mut got = [0; 7];
        client.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"one two");
    }

    #[tokio::test]
    async fn whatever_the_pieces_and_the_other_side_all_arrives_in_order() {
        // The client takes a few bytes at a time.
        let (ours, mut client) = duplex(100);
        let sizes = [1, 0, ROOM - 1, 1, ROOM, 3, ROOM + 1, 50_000, 7, 2 * ROOM - 1];
        let all: Vec<u8> = (0..251).cycle().take(sizes.iter().sum()).collect();
        let sent = all.clone();
        let writer = tokio::spawn(async move {
            let mut stream = Gathered::new(ours);
            let mut rest = sent.as_slice();
            for size in sizes {
                let (piece, after) = rest.split_at(size);
                stream.write_all(piece).await.unwrap();
                rest = after;
            }
            stream.shutdown().await.unwrap();
        });
        let mut got = Vec::new();
        client.read_to_end(&mut got).await.unwrap();
        writer.await.unwrap();
        assert!(got == all, "{} bytes of {}", got.len(), all.len());
    }

    #[tokio::test]
    async fn a_thread_keeps_few_buffers() {
        let (ours, _client) = duplex(1024);
        let mut ends: Vec<_> = (0..3 * MOST_SPARE).map(|_| Gathered::new(duplex(64).0)).collect();
        ends.push(Gathered::new(ours));
        for end in &mut ends {
            end.borrow_memory();
            end.waiting.push(1);
        }
        for end in &mut ends {
            end.give_memory_back();
        }
        assert_eq!(spare(), MOST_SPARE);
    }
}
