//! From Pingora to our own pages and back.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{Method, Response, StatusCode, Version, header};
use http_body_util::BodyExt;
use pingora_error::Result;
use pingora_http::ResponseHeader;
use pingora_proxy::Session;
use tower::ServiceExt;

use crate::proxy::upstream::pool::or_internal;
use crate::web::RequestContext;
use crate::web::refusal::{Place, Refusal, RefusalSummary, wants_page};

/// Most bytes in a form of ours.
const MAX_FORM: usize = 8 * 1024;
/// For a whole form body.
const FORM_TIME: Duration = Duration::from_secs(30);
/// An unread body up to this size is read before an early answer: some clients lose the answer
/// otherwise.
const MAX_DRAIN: usize = 64 * 1024;
/// For such a body.
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// Whether the client waits for leave to send its body (RFC 9110 §10.1.1).
fn expects_continue(session: &Session) -> bool {
    session.req_header().headers.contains_key(header::EXPECT)
}

/// Tells a client that waits for leave to send its body to go on.
pub(in crate::proxy) async fn let_send(session: &mut Session) -> Result<()> {
    // One of HTTP/1.0 asks for nothing by it, and an interim answer is not what it can read.
    if session.req_header().version != Version::HTTP_11 || session.is_body_empty() {
        return Ok(());
    }
    let client = session.as_downstream_mut();
    // Pingora would take the interim answer for the last one, and close after it.
    client.set_close_on_response_before_downstream_finish(false);
    let told = client.write_continue_response().await;
    client.set_close_on_response_before_downstream_finish(true);
    told
}

/// A body of bounded length.
pub(in crate::proxy) enum Form {
    Read(Vec<u8>),
    TooLarge,
    TooSlow,
}

/// Reads a body of at most `most` bytes within `time`.
pub(in crate::proxy) async fn read_form(
    session: &mut Session,
    most: usize,
    time: Duration,
) -> Result<Form> {
    if session.is_body_empty() {
        return Ok(Form::Read(Vec::new()));
    }
    if expects_continue(session) {
        let_send(session).await?;
    }
    let reading = async {
        let mut body = Vec::new();
        while let Some(part) = session.as_downstream_mut().read_request_body().await? {
            if body.len() + part.len() > most {
                return Ok(Form::TooLarge);
            }
            body.extend_from_slice(&part);
        }
        Ok(Form::Read(body))
    };
    tokio::time::timeout(time, reading).await.unwrap_or(Ok(Form::TooSlow))
}

/// Serves the request by the gateway's own pages. Returns the status and, if it was rejected, a
/// summary of the refusal.
pub(in crate::proxy) async fn serve(
    session: &mut Session,
    router: &Router,
    context: RequestContext,
) -> Result<(StatusCode, Option<RefusalSummary>)> {
    let body = match read_form(session, MAX_FORM, FORM_TIME).await? {
        Form::Read(body) => body,
        Form::TooLarge => return not_read(session, &context, TOO_LARGE).await,
        Form::TooSlow => return not_read(session, &context, TOO_SLOW).await,
    };
    let mut parts = session.req_header().as_owned_parts();
    parts.extensions.insert(context);
    let request = http::Request::from_parts(parts, Body::from(body));
    let response = match router.clone().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let (mut parts, body) = response.into_parts();
    let summary = parts.extensions.remove::<RefusalSummary>();
    let body = or_internal(body.collect().await, "reading our own page")?.to_bytes();
    let status = write(session, Response::from_parts(parts, body)).await?;
    Ok((status, summary))
}

const TOO_LARGE: (StatusCode, &str, &str) = (
    StatusCode::PAYLOAD_TOO_LARGE,
    "form_too_large",
    "What was sent is too large for this page, so nothing was done.",
);
const TOO_SLOW: (StatusCode, &str, &str) = (
    StatusCode::REQUEST_TIMEOUT,
    "form_too_slow",
    "The form did not arrive in time, so nothing was done. Please send it again.",
);

/// Answers a form of ours that was not read to its end.
async fn not_read(
    session: &mut Session,
    context: &RequestContext,
    (status, code, sentence): (StatusCode, &'static str, &'static str),
) -> Result<(StatusCode, Option<RefusalSummary>)> {
    session.set_keepalive(None);
    let request = session.req_header();
    let page = wants_page(&request.method, &request.headers);
    let refusal = Refusal::new(status, code, sentence, context.request_id.reference());
    let place = Place { title: &context.app.title, origin: &context.origin };
    let mut response = refusal.answer(page, Some(place));
    let summary = response.extensions_mut().remove::<RefusalSummary>();
    write(session, response).await.map(|status| (status, summary))
}

/// Writes a whole answer of ours. A body that was not read and is not small ends the connection.
pub(in crate::proxy) async fn write(
    session: &mut Session,
    response: Response<Bytes>,
) -> Result<StatusCode> {
    let (parts, body) = response.into_parts();
    let status = parts.status;
    if !session.as_downstream_mut().is_body_done() && !drain(session).await {
        session.set_keepalive(None);
    }
    let http2 = session.req_header().version == Version::HTTP_2;
    let head = session.req_header().method == Method::HEAD;
    let bodyless = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let mut header: ResponseHeader = parts.into();
    if !bodyless {
        header.set_content_length(body.len())?;
    }
    let empty = head || bodyless || body.is_empty();
    session.write_response_header(Box::new(header), empty).await?;
    if empty {
        if http2 {
            session.write_response_body(None, true).await?;
        }
        return Ok(status);
    }
    session.write_response_body(Some(body), true).await?;
    Ok(status)
}

/// Reads a small unread body away. False when it is not small, slow, or waits for leave.
async fn drain(session: &mut Session) -> bool {
    if expects_continue(session) {
        return false;
    }
    let announced = session
        .req_header()
        .headers
        .get(header::CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > MAX_DRAIN) {
        return false;
    }
    let reading = async {
        let mut seen = 0;
        loop {
            match session.as_downstream_mut().read_request_body().await {
                Ok(Some(part)) => seen += part.len(),
                Ok(None) => return true,
                Err(_) => return false,
            }
            if seen > MAX_DRAIN {
                return false;
            }
        }
    };
    tokio::time::timeout(DRAIN_TIME, reading).await.unwrap_or(false)
}
