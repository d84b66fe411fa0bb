//! An HTTP client for one request on a new connection.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::base::clock::Timestamp;

/// Maximum time of one exchange.
const PATIENCE: Duration = Duration::from_secs(10);
/// Maximum size of a body. The rest is not read.
const BODY_MAX: usize = 64 * 1024;

/// An answer.
pub(super) struct Answer {
    /// Its status.
    pub(super) status: StatusCode,
    /// Its headers.
    pub(super) headers: HeaderMap,
    /// The text of its body, without what is not UTF-8.
    pub(super) body: String,
    /// End of the validity of the server's certificate.
    pub(super) certificate_ends: Option<Timestamp>,
}

impl Answer {
    /// Returns a header as text.
    pub(super) fn header(&self, name: &header::HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns true if the gate asks for a sign-in or rejects the request.
    pub(super) fn is_denial(&self) -> bool {
        match self.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => true,
            StatusCode::SEE_OTHER => self
                .header(&header::LOCATION)
                .is_some_and(|location| location.contains("/_auth/login")),
            _ => false,
        }
    }
}

/// The reason why there is no answer.
pub(super) enum NoAnswer {
    /// Nothing accepts connections there.
    Closed(String),
    /// The connection was accepted and failed later.
    Failed(String),
}

impl NoAnswer {
    /// Returns the reason.
    pub(super) fn why(&self) -> &str {
        match self {
            Self::Closed(why) | Self::Failed(why) => why,
        }
    }
}

/// Client of hosts and nodes.
pub(super) struct Client {
    tls: TlsConnector,
}

impl Client {
    /// Creates a client that accepts certificates of the CA in this file, or of the system's CAs.
    pub(super) fn new(ca: Option<&Path>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        if let Some(path) = ca {
            let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
            for certificate in CertificateDer::pem_file_iter(path).map_err(|e| failed(&e))? {
                let certificate = certificate.map_err(|e| failed(&e))?;
                roots.add(certificate).map_err(|e| failed(&e))?;
            }
        } else {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: TlsConnector::from(Arc::new(config)) })
    }

    /// Sends a request over TLS to the server of this name at `address`.
    pub(super) async fn https(
        &self,
        address: SocketAddr,
        name: &str,
        request: Request<Empty<Bytes>>,
    ) -> Result<Answer, NoAnswer> {
        let exchange = async {
            let stream = connect(address).await?;
            let server = ServerName::try_from(name.to_owned())
                .map_err(|_invalid| NoAnswer::Failed(format!("{name} is no name for TLS")))?;
            let stream =
                self.tls.connect(server, stream).await.map_err(|error| in_words(&error))?;
            let certificates = stream.get_ref().1.peer_certificates();
            let ends = certificates.and_then(|all| all.first()).and_then(|leaf| end_of(leaf));
            let answer = converse(stream, request).await?;
            Ok(Answer { certificate_ends: ends, ..answer })
        };
        patiently(exchange).await
    }

    /// Sends a request without TLS.
    pub(super) async fn http(
        &self,
        address: SocketAddr,
        request: Request<Empty<Bytes>>,
    ) -> Result<Answer, NoAnswer> {
        patiently(async { converse(connect(address).await?, request).await }).await
    }
}

async fn patiently(
    exchange: impl Future<Output = Result<Answer, NoAnswer>>,
) -> Result<Answer, NoAnswer> {
    let in_time = tokio::time::timeout(PATIENCE, exchange).await;
    in_time.unwrap_or_else(|_elapsed| Err(NoAnswer::Failed("no answer in time".to_owned())))
}

async fn connect(address: SocketAddr) -> Result<TcpStream, NoAnswer> {
    let patience = PATIENCE / 2;
    match tokio::time::timeout(patience, TcpStream::connect(address)).await {
        Ok(connected) => connected.map_err(|error| NoAnswer::Closed(error.to_string())),
        Err(_elapsed) => Err(NoAnswer::Closed("no connection in time".to_owned())),
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Empty<Bytes>>,
) -> Result<Answer, NoAnswer> {
    let failed = |error: hyper::Error| NoAnswer::Failed(format!("no HTTP answer: {error}"));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let connection = tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(failed)?;
    let (parts, body) = answer.into_parts();
    // A longer body than the limit is no fault, but its text is not used.
    let body = Limited::new(body, BODY_MAX).collect().await;
    let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    connection.abort();
    Ok(Answer {
        status: parts.status,
        headers: parts.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
        certificate_ends: None,
    })
}

/// Returns a GET request for `path` at `host`, with further headers.
pub(super) fn get(host: &str, path: &str, more: &[(&str, &str)]) -> Request<Empty<Bytes>> {
    let request = Request::get(path).header(header::HOST, host);
    let request = request.header(header::USER_AGENT, "vestibule-doctor");
    let request = more.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    // The parts come from the configuration or are constant; a URL of the operator is parsed first.
    request.body(Empty::new()).unwrap_or_default()
}

/// Describes a TLS failure.
#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is open; the rest speaks for itself")]
fn in_words(error: &io::Error) -> NoAnswer {
    let said = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let why = match said {
        Some(rustls::Error::InvalidCertificate(why)) => match why {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired".to_owned()
            }
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "its certificate is from a CA that this machine does not trust: pass --ca FILE, \
                 or send the whole chain"
                    .to_owned()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "its certificate is for other names".to_owned()
            }
            other if other.to_string().contains("CaUsedAsEndEntity") => {
                "its certificate is that of a CA: use one that the CA signed for the host"
                    .to_owned()
            }
            other => format!("its certificate is not accepted: {other}"),
        },
        Some(rustls::Error::InvalidMessage(_)) => "it does not speak TLS".to_owned(),
        Some(other) => format!("no TLS: {other}"),
        None => format!("no TLS: {error}"),
    };
    NoAnswer::Failed(why)
}

fn end_of(leaf: &CertificateDer<'_>) -> Option<Timestamp> {
    let (_, certificate) = x509_parser::parse_x509_certificate(leaf).ok()?;
    let seconds = u64::try_from(certificate.validity().not_after.timestamp()).ok()?;
    Some(Timestamp::from_millis(seconds.saturating_mul(1000)))
}
