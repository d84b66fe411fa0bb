//! Checks of an app's addresses: by a connection, or by a request to a path.

use std::sync::LazyLock;

use http::{StatusCode, header};
use pingora_core::connectors::http::Connector;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::{Error, ErrorType};
use pingora_http::RequestHeader;
use tokio::net::TcpStream;

use super::target::{Checked, Fault, Target};
use crate::proxy::settings::HealthSettings;

/// The connector of all checks. It loads the system's CAs once.
static CONNECTOR: LazyLock<Connector> = LazyLock::new(|| Connector::new(None));

/// Checks an address by a connection.
pub(super) async fn connect(target: &Target, settings: &HealthSettings) -> Checked {
    let connecting = TcpStream::connect(target.socket);
    match tokio::time::timeout(settings.timeout, connecting).await {
        Ok(Ok(_stream)) => Checked::Connects,
        Ok(Err(error)) => Checked::Fails(Fault::Connect, error.to_string()),
        Err(_elapsed) => Checked::Fails(Fault::Connect, "no connection in time".to_owned()),
    }
}

/// Checks an address by `GET path`, with `host` and over the connection that `peer` describes.
pub(super) async fn request(
    peer: &HttpPeer,
    (host, path): (&str, &str),
    settings: &HealthSettings,
) -> Checked {
    match tokio::time::timeout(settings.timeout, ask(peer, host, path)).await {
        Ok(Ok(status)) if accepts(settings, status) => Checked::Answers,
        Ok(Ok(status)) => Checked::Fails(Fault::Status, format!("status {}", status.as_u16())),
        Ok(Err(error)) => Checked::Fails(fault_of(&error), error.etype().as_str().to_owned()),
        Err(_elapsed) => Checked::Fails(Fault::Silent, "no answer in time".to_owned()),
    }
}

fn accepts(settings: &HealthSettings, status: StatusCode) -> bool {
    match &*settings.statuses {
        [] => (200..400).contains(&status.as_u16()),
        accepted => accepted.contains(&status.as_u16()),
    }
}

async fn ask(peer: &HttpPeer, host: &str, path: &str) -> pingora_error::Result<StatusCode> {
    let mut request = RequestHeader::build("GET", path.as_bytes(), Some(3))?;
    request.insert_header(header::HOST, host)?;
    request.insert_header(header::USER_AGENT, "vestibule-health-check")?;
    request.insert_header(header::ACCEPT, "*/*")?;
    // The connection is not kept.
    let (mut session, _reused) = CONNECTOR.get_http_session(peer).await?;
    session.write_request_header(Box::new(request)).await?;
    session.finish_request_body().await?;
    session.read_response_header().await?;
    let status = session.response_header().map(|answer| answer.status);
    status.ok_or_else(|| Error::new(ErrorType::ReadError))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is open")]
fn fault_of(error: &Error) -> Fault {
    match error.etype() {
        ErrorType::ConnectTimedout
        | ErrorType::ConnectRefused
        | ErrorType::ConnectNoRoute
        | ErrorType::ConnectError
        | ErrorType::TLSHandshakeFailure
        | ErrorType::TLSHandshakeTimedout
        | ErrorType::InvalidCert
        | ErrorType::HandshakeError
        | ErrorType::BindError
        | ErrorType::SocketError => Fault::Connect,
        ErrorType::ReadTimedout | ErrorType::WriteTimedout => Fault::Silent,
        _ => Fault::Reset,
    }
}
