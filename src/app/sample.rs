//! The sample app of `vestibule demo`. It shows the signed-in user and the headers that an app
//! behind the gateway receives, and serves the usual traffic of apps: upload, download, events,
//! WebSocket.
//!
//! It trusts the identity headers, as an app behind the gateway may. It depends on the gateway only
//! for the URLs of the account page and of sign-out.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use askama::Template;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use futures_util::{SinkExt, StreamExt, stream};
use http::header::{
    ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use ring::digest;
use tokio::net::TcpListener;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

/// Maximum size of a download, in bytes.
const MAX_DOWNLOAD: u64 = 16 * 1024 * 1024 * 1024;
/// Default size of a download, in bytes.
const DEFAULT_DOWNLOAD: u64 = 1024 * 1024;
/// Chunk of a download.
static BLOCK: [u8; 64 * 1024] = [b'v'; 64 * 1024];
/// Interval between events.
const EVENT_INTERVAL: Duration = Duration::from_secs(1);

type Body = BoxBody<Bytes, Infallible>;

/// Serves the sample app on `listener` until the task is dropped.
///
/// # Errors
/// Returns an error if the listener cannot accept connections.
pub async fn serve(listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _address) = listener.accept().await?;
        tokio::spawn(async move {
            let service =
                service_fn(|request| async { Ok::<_, Infallible>(answer(request).await) });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "sample app: connection ended early");
            }
        });
    }
}

async fn answer(request: Request<Incoming>) -> Response<Body> {
    let reading = matches!(*request.method(), Method::GET | Method::HEAD);
    match request.uri().path() {
        "/upload" if request.method() == Method::POST => upload(request.into_body()).await,
        "/upload" => not_allowed("POST"),
        _ if !reading => not_allowed("GET, HEAD"),
        "/" => page(request.headers()),
        "/ws" => web_socket(request),
        "/download" => download(request.uri().query()),
        "/events" => events(),
        path if path == "/public" || path.starts_with("/public/") => {
            text(StatusCode::OK, "Anyone can read this page without signing in.\n")
        }
        _ => text(StatusCode::NOT_FOUND, "Page not found. The start page is /.\n"),
    }
}

fn respond(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    respond(status, "text/plain; charset=utf-8", Full::from(text).boxed())
}

fn not_allowed(allowed: &'static str) -> Response<Body> {
    let mut response =
        text(StatusCode::METHOD_NOT_ALLOWED, "This page does not support that method.\n");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

#[derive(Template)]
#[template(path = "sample.html")]
struct Page {
    user: String,
    name: String,
    email: String,
    groups: String,
    headers: Vec<(String, String)>,
}

fn page(headers: &HeaderMap) -> Response<Body> {
    let shown = |v: &HeaderValue| String::from_utf8_lossy(v.as_bytes()).into_owned();
    let one = |name: &str| headers.get(name).map(shown).unwrap_or_default();
    let page = Page {
        user: one("remote-user"),
        name: one("remote-name"),
        email: one("remote-email"),
        groups: one("remote-groups"),
        headers: headers.iter().map(|(n, v)| (n.to_string(), shown(v))).collect(),
    };
    match page.render() {
        Ok(html) => respond(StatusCode::OK, "text/html; charset=utf-8", Full::from(html).boxed()),
        Err(error) => {
            tracing::error!(%error, "failed to render the sample page");
            text(StatusCode::INTERNAL_SERVER_ERROR, "The page could not be rendered.\n")
        }
    }
}

/// Reads the body as a stream and discards it.
async fn upload(mut body: Incoming) -> Response<Body> {
    let mut digest = digest::Context::new(&digest::SHA256);
    let mut size = 0_u64;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return text(StatusCode::BAD_REQUEST, "The upload was interrupted.\n");
        };
        if let Some(data) = frame.data_ref() {
            digest.update(data);
            size = size.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
        }
    }
    let sha256 = HEXLOWER.encode(digest.finish().as_ref());
    let json = serde_json::json!({ "size": size, "sha256": sha256 }).to_string();
    respond(StatusCode::OK, "application/json", Full::from(json).boxed())
}

fn download(query: Option<&str>) -> Response<Body> {
    let asked = query.unwrap_or_default().split('&').find_map(|p| p.strip_prefix("bytes="));
    let size = match asked.map(str::parse::<u64>) {
        None => DEFAULT_DOWNLOAD,
        Some(Ok(size)) if size <= MAX_DOWNLOAD => size,
        Some(Ok(_) | Err(_)) => {
            return text(StatusCode::BAD_REQUEST, "bytes must be a number, at most 16 GiB.\n");
        }
    };
    let pieces = stream::unfold(size, |left| async move {
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(BLOCK.len());
        let piece = BLOCK.get(..length).filter(|p| !p.is_empty())?;
        let rest = left.saturating_sub(u64::try_from(length).ok()?);
        Some((Ok(Frame::data(Bytes::from_static(piece))), rest))
    });
    let mut response =
        respond(StatusCode::OK, "application/octet-stream", BoxBody::new(StreamBody::new(pieces)));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(size));
    response
}

fn events() -> Response<Body> {
    let events = stream::unfold(0_u64, |count| async move {
        if count > 0 {
            tokio::time::sleep(EVENT_INTERVAL).await;
        }
        let event = Bytes::from(format!("id: {count}\ndata: {count} seconds open\n\n"));
        Some((Ok(Frame::data(event)), count.saturating_add(1)))
    });
    respond(StatusCode::OK, "text/event-stream", BoxBody::new(StreamBody::new(events)))
}

fn web_socket(mut request: Request<Incoming>) -> Response<Body> {
    let asked = request.headers().get(UPGRADE).is_some_and(|u| u.as_bytes() == b"websocket");
    let accept = request
        .headers()
        .get(SEC_WEBSOCKET_KEY)
        .filter(|_| asked)
        .and_then(|key| HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok());
    let Some(accept) = accept else {
        return text(
            StatusCode::UPGRADE_REQUIRED,
            "This URL only accepts WebSocket connections.\n",
        );
    };
    tokio::spawn(async move {
        match hyper::upgrade::on(&mut request).await {
            Ok(upgraded) => echo(upgraded).await,
            Err(error) => tracing::debug!(%error, "sample app: failed to open WebSocket"),
        }
    });
    let mut response = Response::new(Empty::new().boxed());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    response
}

async fn echo(upgraded: Upgraded) {
    let stream = TokioIo::new(upgraded);
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
    while let Some(Ok(message)) = socket.next().await {
        let echoed = message.is_text() || message.is_binary();
        if echoed && socket.send(message).await.is_err() {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(response: Response<Body>) -> Bytes {
        response.into_body().collect().await.unwrap().to_bytes()
    }

    #[tokio::test]
    async fn the_page_shows_the_signed_in_user_and_escapes_header_values() {
        let mut headers = HeaderMap::new();
        headers.insert("remote-user", HeaderValue::from_static("alice"));
        headers.insert("x-bad", HeaderValue::from_static("<script>alert(1)</script>"));
        let page = String::from_utf8(read(page(&headers)).await.to_vec()).unwrap();
        assert!(page.contains("alice"));
        assert!(!page.contains("<script>alert(1)"));
    }

    #[tokio::test]
    async fn a_download_has_the_requested_length() {
        assert_eq!(read(download(Some("bytes=70000"))).await.len(), 70_000);
        assert_eq!(read(download(Some("bytes=0"))).await.len(), 0);
        assert_eq!(download(Some("bytes=-1")).status(), StatusCode::BAD_REQUEST);
    }
}
