//! A large upload and a large download, hashed at both ends and never held in memory.

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::Target;
use super::app::{Pattern, digest};
use super::support::Failure;

pub(crate) async fn run(target: &Target, bytes: u64) -> Result<String, Failure> {
    let cookies = target.cookies()?;
    let cookie = cookies.first().ok_or("no cookie")?;

    let start = Instant::now();
    let (body, sent) = Pattern::hashed(bytes);
    let request = Request::put("/").header(header::COOKIE, cookie).body(body)?;
    let received = exchange(target, request).await?.collect().await?.to_bytes();
    let upload = start.elapsed();
    let sent = sent.await.map_err(|_unsent| "the upload was answered before it was sent")?;
    if received != sent.as_bytes() {
        return Err("what arrived at the app is not what was sent".into());
    }

    let start = Instant::now();
    let request = Request::get(format!("/?bytes={bytes}"))
        .header(header::COOKIE, cookie)
        .body(Empty::<Bytes>::new())?;
    let (received, length) = digest(exchange(target, request).await?).await?;
    let download = start.elapsed();
    if (received.as_str(), length) != (sent.as_str(), bytes) {
        return Err("what arrived at the client is not what the app sent".into());
    }
    Ok(format!(
        "bytes={bytes} sha256={sent} upload_s={:.2} download_s={:.2}",
        upload.as_secs_f64(),
        download.as_secs_f64()
    ))
}

/// The body of the answer, which must be a good one.
async fn exchange<B>(target: &Target, mut request: Request<B>) -> Result<Incoming, Failure>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: std::error::Error + Send + Sync,
{
    request.headers_mut().insert(header::HOST, target.host.parse()?);
    let stream = TcpStream::connect(target.to).await?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    // It ends with the connection; a failure shows in the request.
    tokio::spawn(connection);
    let answer = sender.send_request(request).await?;
    if answer.status() != StatusCode::OK {
        return Err(format!("it was answered {}", answer.status()).into());
    }
    // The sender may go: the connection lives until the answer has been read.
    Ok(answer.into_body())
}
