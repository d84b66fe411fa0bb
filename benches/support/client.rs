//! One kept connection for HTTP/1.1, opened again when the other side has closed it.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Failure;

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its header fields.
    pub(crate) headers: HeaderMap,
    /// Its body.
    pub(crate) body: Bytes,
}

/// A client with one connection.
#[derive(Debug)]
pub(crate) struct Client {
    address: SocketAddr,
    host: HeaderValue,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    /// A client of `address` that asks for `host`. It connects with the first request.
    pub(crate) fn new(address: SocketAddr, host: &str) -> Result<Self, Failure> {
        Ok(Self { address, host: host.parse()?, connection: None })
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn send(
        &mut self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Answer, Failure> {
        request.headers_mut().insert(header::HOST, self.host.clone());
        let mut kept = self.connection.take();
        if let Some(connection) = &mut kept
            && connection.ready().await.is_err()
        {
            kept = None;
        }
        let mut connection = match kept {
            Some(connection) => connection,
            None => connect(self.address).await?,
        };
        let (parts, body) = connection.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        self.connection = Some(connection);
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }

    /// A GET with these cookies; any status is an answer.
    pub(crate) async fn get(&mut self, target: &str, cookies: &str) -> Result<Answer, Failure> {
        let request = Request::get(target)
            .header(header::ACCEPT, "text/html,*/*")
            .header(header::COOKIE, cookies)
            .body(Full::default())?;
        self.send(request).await
    }

    /// Posts a form from a page of the same host.
    pub(crate) async fn post(
        &mut self,
        target: &str,
        cookies: &str,
        form: &[(&str, &str)],
    ) -> Result<Answer, Failure> {
        let pairs: Vec<String> = form.iter().map(|(n, v)| format!("{n}={}", encode(v))).collect();
        let request = Request::post(target)
            .header(header::ACCEPT, "text/html")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header("sec-fetch-site", "same-origin")
            .header(header::COOKIE, cookies)
            .body(Full::from(pairs.join("&")))?;
        self.send(request).await
    }
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>, Failure> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // It ends with the connection; a failure shows in the request under way.
    tokio::spawn(connection);
    Ok(sender)
}

/// Percent-encodes everything but letters and digits.
fn encode(text: &str) -> String {
    let one = |byte: u8| {
        if byte.is_ascii_alphanumeric() {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    text.bytes().map(one).collect()
}
