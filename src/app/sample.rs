//! The sample app of `vestibule demo`: it shows who is signed in and what an app behind the gateway
//! receives, and has something of everything that apps do: upload, download, events, WebSocket.
//!
//! It believes the identity headers it is given, as an app behind the gateway may. It knows nothing
//! of the gateway but the addresses of the account and sign-out pages.

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

/// The most that `/download` sends.
const MAX_DOWNLOAD: u64 = 16 * 1024 * 1024 * 1024;
/// Sent when `/download` is not told how much.
const DEFAULT_DOWNLOAD: u64 = 1024 * 1024;
/// A piece of a download.
static BLOCK: [u8; 64 * 1024] = [b'v'; 64 * 1024];
/// Between two events.
const EVENT_INTERVAL: Duration = Duration::from_secs(1);

type Body = BoxBody<Bytes, Infallible>;

/// Serves the sample app on `listener` until the task is dropped.
///
/// # Errors
/// When the listener can take no more connections.
pub async fn serve(listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _address) = listener.accept().await?;
        tokio::spawn(async move {
            let service =
                service_fn(|request| async { Ok::<_, Infallible>(answer(request).await) });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a connection to the sample app ended early");
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
            text(StatusCode::OK, "Anybody may read this: no sign-in was asked for.\n")
        }
        _ => text(StatusCode::NOT_FOUND, "The sample app has no such page. Its start page is /.\n"),
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
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "That method is not for this page.\n");
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
            tracing::error!(%error, "the sample page could not be written");
            text(StatusCode::INTERNAL_SERVER_ERROR, "The page could not be written.\n")
        }
    }
}

/// Reads the body as it comes; nothing of it is kept.
async fn upload(mut body: Incoming) -> Response<Body> {
    let mut digest = digest::Context::new(&digest::SHA256);
    let mut size = 0_u64;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return text(StatusCode::BAD_REQUEST, "The upload broke off.\n");
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
            return text(StatusCode::BAD_REQUEST, "bytes is a number, and at most 16 GiB.\n");
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
        return text(StatusCode::UPGRADE_REQUIRED, "This address speaks WebSocket.\n");
    };
    tokio::spawn(async move {
        match hyper::upgrade::on(&mut request).await {
            Ok(upgraded) => echo(upgraded).await,
            Err(error) => tracing::debug!(%error, "the WebSocket did not open"),
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
    async fn the_page_shows_who_is_signed_in_and_escapes_what_it_was_sent() {
        let mut headers = HeaderMap::new();
        headers.insert("remote-user", HeaderValue::from_static("alice"));
        headers.insert("x-bad", HeaderValue::from_static("<script>alert(1)</script>"));
        let page = String::from_utf8(read(page(&headers)).await.to_vec()).unwrap();
        assert!(page.contains("alice"));
        assert!(!page.contains("<script>alert(1)"));
    }

    #[tokio::test]
    async fn a_download_is_as_long_as_was_asked_for() {
        assert_eq!(read(download(Some("bytes=70000"))).await.len(), 70_000);
        assert_eq!(read(download(Some("bytes=0"))).await.len(), 0);
        assert_eq!(download(Some("bytes=-1")).status(), StatusCode::BAD_REQUEST);
    }
}
