//! An app that speaks HTTP/2 without TLS and answers with trailers, as gRPC servers do.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};

/// The app.
#[derive(Debug)]
pub(crate) struct GrpcApp {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// The trailers of every request.
    pub(crate) trailers: Arc<Mutex<Vec<HeaderMap>>>,
    /// The head of every request.
    pub(crate) heads: Arc<Mutex<Vec<Parts>>>,
    listening: tokio::task::JoinHandle<()>,
}

impl Drop for GrpcApp {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl GrpcApp {
    /// Starts listening on a free port.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let trailers = Arc::new(Mutex::new(Vec::new()));
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (noted, noted_heads) = (Arc::clone(&trailers), Arc::clone(&heads));
        let listening = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&noted), Arc::clone(&noted_heads)));
            }
        });
        Self { address, trailers, heads, listening }
    }
}

/// Echoes each body and says how long it was in the trailer `grpc-status`. Below `/service/Late` the
/// answer begins when the body is there whole.
async fn serve(
    stream: TcpStream,
    noted: Arc<Mutex<Vec<HeaderMap>>>,
    heads: Arc<Mutex<Vec<Parts>>>,
) -> Result<(), h2::Error> {
    let mut connection = h2::server::handshake(stream).await?;
    while let Some(accepted) = connection.accept().await {
        let (request, mut respond) = accepted?;
        let noted = Arc::clone(&noted);
        let (head, mut body) = request.into_parts();
        let late = head.uri.path().starts_with("/service/Late");
        heads.lock().push(head);
        tokio::spawn(async move {
            let mut kept = Vec::new();
            let mut sender =
                if late { None } else { Some(respond.send_response(Response::new(()), false)?) };
            let mut length = 0;
            while let Some(piece) = body.data().await {
                let piece = piece?;
                body.flow_control().release_capacity(piece.len())?;
                length += piece.len();
                match &mut sender {
                    Some(sender) => sender.send_data(piece, false)?,
                    None => kept.extend_from_slice(&piece),
                }
            }
            let mut sender = match sender {
                Some(sender) => sender,
                None => respond.send_response(Response::new(()), false)?,
            };
            sender.send_data(Bytes::from(kept), false)?;
            if let Some(trailers) = body.trailers().await? {
                noted.lock().push(trailers);
            }
            sender.send_data(Bytes::new(), false)?;
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from(length));
            sender.send_trailers(trailers)
        });
    }
    Ok(())
}
