//! The bridge from Pingora to our own pages.

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
use crate::web::refusal::{Place, Refusal, RefusalSummary, wants_page};
use crate::web::{RequestContext, Resend};

/// Maximum size of a form, in bytes.
const MAX_FORM: usize = 8 * 1024;
/// Deadline for a whole form.
const FORM_TIME: Duration = Duration::from_secs(30);
/// Maximum size of a request body that is read before an early response. Some clients lose the
/// response otherwise.
const MAX_DRAIN: usize = 64 * 1024;
/// Deadline for reading such a body.
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// Returns true if the client expects `100 Continue` (RFC 9110 §10.1.1).
fn expects_continue(session: &Session) -> bool {
    session.req_header().headers.contains_key(header::EXPECT)
}

/// Sends `100 Continue` to a client that expects it.
pub(in crate::proxy) async fn send_continue(session: &mut Session) -> Result<()> {
    // An HTTP/1.0 client does not expect it and cannot read an interim response.
    if session.req_header().version != Version::HTTP_11 || session.is_body_empty() {
        return Ok(());
    }
    let client = session.as_downstream_mut();
    // Pingora would take the interim response for the final one, and close after it.
    client.set_close_on_response_before_downstream_finish(false);
    let told = client.write_continue_response().await;
    client.set_close_on_response_before_downstream_finish(true);
    told
}

/// A request body of bounded length.
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
        send_continue(session).await?;
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

/// The result of a request for the gateway's own pages.
pub(in crate::proxy) enum Served {
    /// It was answered, with this status and, if it was rejected, a summary of the refusal.
    Answered(StatusCode, Option<RefusalSummary>),
    /// A kept request is to be sent.
    Order(Resend),
}

/// Serves the request by the gateway's own pages.
pub(in crate::proxy) async fn serve(
    session: &mut Session,
    router: &Router,
    context: RequestContext,
) -> Result<Served> {
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
    if let Some(order) = parts.extensions.remove::<Resend>() {
        return Ok(Served::Order(order));
    }
    let summary = parts.extensions.remove::<RefusalSummary>();
    let body = or_internal(body.collect().await, "reading our own page")?.to_bytes();
    let status = write(session, Response::from_parts(parts, body)).await?;
    Ok(Served::Answered(status, summary))
}

/// The reason for not reading a form to its end.
struct NotRead {
    status: StatusCode,
    code: &'static str,
    sentence: &'static str,
}

const TOO_LARGE: NotRead = NotRead {
    status: StatusCode::PAYLOAD_TOO_LARGE,
    code: "form_too_large",
    sentence: "What was sent is too large for this page, so nothing was done.",
};
const TOO_SLOW: NotRead = NotRead {
    status: StatusCode::REQUEST_TIMEOUT,
    code: "form_too_slow",
    sentence: "The form did not arrive in time, so nothing was done. Please send it again.",
};

/// Responds to a form that was not read to its end.
async fn not_read(session: &mut Session, context: &RequestContext, why: NotRead) -> Result<Served> {
    session.set_keepalive(None);
    let request = session.req_header();
    let page = wants_page(&request.method, &request.headers);
    let reference = context.request_id.reference();
    let refusal = Refusal::new(why.status, why.code, why.sentence, reference);
    let place = Place { title: &context.app.title, origin: &context.origin };
    let mut response = refusal.answer(page, Some(place));
    let summary = response.extensions_mut().remove::<RefusalSummary>();
    write(session, response).await.map(|status| Served::Answered(status, summary))
}

/// Writes a whole response. A large unread request body ends the connection.
pub(in crate::proxy) async fn write(
    session: &mut Session,
    response: Response<Bytes>,
) -> Result<StatusCode> {
    if !session.as_downstream_mut().is_body_done() && !drain(session).await {
        session.set_keepalive(None);
    }
    send(session, response).await
}

/// Writes a whole response, and reads nothing.
pub(in crate::proxy) async fn send(
    session: &mut Session,
    response: Response<Bytes>,
) -> Result<StatusCode> {
    let (parts, body) = response.into_parts();
    let status = parts.status;
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

/// Discards a small unread body. Returns false if it is large or slow, or if the client expects
/// `100 Continue`.
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
