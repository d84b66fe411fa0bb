//! Connection test for `check --online`: connects to each address once, with TLS if configured,
//! under the same conditions as forwarded requests. It sends no request but that of `health.path`.

use std::io;
use std::sync::Arc;

use rustls::pki_types::{ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, ClientConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::client_tls::client_config;
use super::pool::Upstream;
use crate::base::clock::Timestamp;
use crate::proxy::settings::{AppSettings, UpstreamAddress, UpstreamSettings};

/// Tests each address. Returns a sentence for each failure.
pub async fn try_connect(app: &AppSettings) -> Vec<String> {
    let mut problems = Vec::new();
    for address in &app.upstream.addresses {
        let tried = try_one(&app.upstream, address);
        let problem = match tokio::time::timeout(app.upstream.connect_timeout, tried).await {
            Ok(Ok(())) => continue,
            Ok(Err(problem)) => problem,
            Err(_elapsed) => "no answer in time".to_owned(),
        };
        let UpstreamAddress { host, port, .. } = address;
        problems.push(format!("app {}: upstream {host}:{port}: {problem}", app.name));
    }
    if problems.is_empty() {
        match Upstream::new(app, None) {
            Ok(upstream) => problems.extend(upstream.try_checks().await),
            Err(error) => problems.push(error.to_string()),
        }
    }
    problems
}

async fn try_one(upstream: &UpstreamSettings, address: &UpstreamAddress) -> Result<(), String> {
    let connect = TcpStream::connect((address.host.as_str(), address.port));
    let stream = connect.await.map_err(|error| error.to_string())?;
    if !address.tls {
        return Ok(());
    }
    let name = upstream.certified(address);
    let server = ServerName::try_from(name.to_owned())
        .map_err(|_invalid| format!("{name} is not a valid certificate name"))?;
    let handshake = TlsConnector::from(Arc::new(config(upstream)?)).connect(server, stream);
    let stream = handshake.await.map_err(|error| in_words(&error, upstream, name))?;
    if upstream.http2 && stream.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err(NO_HTTP2.to_owned());
    }
    Ok(())
}

const NO_HTTP2: &str = "it does not speak HTTP/2, which upstream_http2 asks for";

fn config(upstream: &UpstreamSettings) -> Result<ClientConfig, String> {
    let mut config = client_config(upstream)?;
    let protocol: &[u8] = if upstream.http2 { b"h2" } else { b"http/1.1" };
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(config)
}

/// Describes a TLS failure and its remedy.
fn in_words(error: &io::Error, upstream: &UpstreamSettings, name: &str) -> String {
    let said = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match said {
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "it closed the connection during the TLS handshake".to_owned()
        }
        None => error.to_string(),
        Some(rustls::Error::InvalidCertificate(why)) => of_certificate(why, upstream, name),
        Some(rustls::Error::InvalidMessage(_)) => {
            "it does not speak TLS: is it an http:// address?".to_owned()
        }
        Some(rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol))
            if upstream.http2 =>
        {
            NO_HTTP2.to_owned()
        }
        Some(rustls::Error::AlertReceived(AlertDescription::CertificateRequired)) => {
            "it asks for a client certificate: set upstream_client_cert and upstream_client_key"
                .to_owned()
        }
        Some(other) => format!("no TLS: {other}"),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is open; the rest speaks for itself")]
fn of_certificate(why: &CertificateError, upstream: &UpstreamSettings, name: &str) -> String {
    match why {
        // A bad signature means another authority of the same name.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => match &upstream.ca {
            Some(ca) => {
                format!("its certificate is not from the CA in {}", ca.display())
            }
            None => "its certificate is from a CA that this machine does not trust: set \
                     upstream_ca"
                .to_owned(),
        },
        CertificateError::NotValidForName => wrong_name(name, &[]),
        CertificateError::NotValidForNameContext { presented, .. } => wrong_name(name, presented),
        CertificateError::Expired => "its certificate has expired".to_owned(),
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("its certificate expired at {}", moment(*not_after))
        }
        CertificateError::NotValidYet => "its certificate is not valid yet".to_owned(),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("its certificate is not valid until {}", moment(*not_before))
        }
        other => format!("its certificate is not accepted: {other}"),
    }
}

/// Describes a name mismatch. rustls writes `presented` as `DnsName("app.test")`.
fn wrong_name(name: &str, presented: &[String]) -> String {
    let bare = |name: &String| {
        let inner = name.split_once('(').map_or(name.as_str(), |(_kind, rest)| rest);
        inner.trim_matches([')', '"']).to_owned()
    };
    let others: Vec<String> = presented.iter().map(bare).collect();
    let others = if others.is_empty() { "another name".to_owned() } else { others.join(", ") };
    format!(
        "its certificate is not for {name} but for {others}: set upstream_host to a name of the certificate"
    )
}

fn moment(time: UnixTime) -> String {
    Timestamp::from_millis(time.as_secs().saturating_mul(1000)).rfc3339()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_that_a_certificate_is_for_are_told() {
        let presented = ["DnsName(\"a.test\")".to_owned(), "IpAddress(127.0.0.1)".to_owned()];
        let said = wrong_name("b.test", &presented);
        assert!(said.contains("is not for b.test but for a.test, 127.0.0.1:"), "{said}");
    }
}
