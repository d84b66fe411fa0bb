//! An app for large bodies: `PUT /` answers the SHA-256 of what was sent, `GET /?bytes=N` sends N
//! bytes of the pattern that [`block`] makes. It holds one block at a time.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use http::{Method, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ring::digest::{Context as Hash, SHA256};
use tokio::net::TcpListener;

use super::support::Failure;

const BLOCK: usize = 64 * 1024;

/// A block of bytes without a short period, always the same.
fn block() -> Bytes {
    let mut state = 0x9e37_79b9_u32;
    let next = std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_be_bytes()
    });
    next.flatten().take(BLOCK).collect()
}

/// `length` bytes, sent block by block; the hash of what was sent so far goes along.
pub(crate) struct Pattern {
    block: Bytes,
    left: u64,
    hash: Option<Hash>,
    hashed: Option<tokio::sync::oneshot::Sender<String>>,
}

impl Pattern {
    /// Without a hash.
    pub(crate) fn plain(length: u64) -> Self {
        Self { block: block(), left: length, hash: None, hashed: None }
    }

    /// Its hash arrives when the last byte has been sent.
    pub(crate) fn hashed(length: u64) -> (Self, tokio::sync::oneshot::Receiver<String>) {
        let (hashed, hash) = tokio::sync::oneshot::channel();
        let body =
            Self { hash: Some(Hash::new(&SHA256)), hashed: Some(hashed), ..Self::plain(length) };
        (body, hash)
    }
}

impl Body for Pattern {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let size = usize::try_from(self.left).unwrap_or(BLOCK).min(BLOCK);
        let piece = self.block.slice(..size);
        self.left -= u64::try_from(size).unwrap_or(self.left);
        if let Some(hash) = &mut self.hash {
            hash.update(&piece);
        }
        // A body of known length is not asked again after its last byte.
        if self.left == 0
            && let (Some(hash), Some(hashed)) = (self.hash.take(), self.hashed.take())
        {
            // Whoever no longer waits does not need it.
            drop(hashed.send(hex(hash)));
        }
        Poll::Ready((size > 0).then(|| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// The hash in lower-case hexadecimal digits.
fn hex(hash: Hash) -> String {
    HEXLOWER.encode(hash.finish().as_ref())
}

/// The SHA-256 of a body and its length, read piece by piece.
pub(crate) async fn digest(mut body: Incoming) -> Result<(String, u64), Failure> {
    let mut hash = Hash::new(&SHA256);
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        if let Ok(piece) = frame?.into_data() {
            hash.update(&piece);
            length += u64::try_from(piece.len())?;
        }
    }
    Ok((hex(hash), length))
}

/// Serves until it is ended from outside.
pub(crate) async fn run(listen: SocketAddr) -> Result<String, Failure> {
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        // A connection that breaks off shows at the client.
        tokio::spawn(
            http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)),
        );
    }
}

async fn answer(
    request: Request<Incoming>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, Failure> {
    if request.method() == Method::PUT {
        let (hash, _) = digest(request.into_body()).await?;
        return Ok(Response::new(Full::from(hash).boxed()));
    }
    let query = request.uri().query().unwrap_or("bytes=0");
    let length = query.strip_prefix("bytes=").unwrap_or("0").parse()?;
    Ok(Response::new(Pattern::plain(length).boxed()))
}
