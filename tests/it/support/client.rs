//! A browser without a screen: one request at a time, a cookie jar, our own pages' forms.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use rustls_pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::certs::Certificates;
use super::gateway::{Gateway, HOST};
use super::html;
use super::wire::{Answer, Wire};
use super::within;

/// No answer takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A TCP connection from a loopback address of choice.
pub(crate) async fn tcp(to: SocketAddr, from: IpAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A TLS connection that offers `protocol`.
pub(crate) async fn tls(
    stream: TcpStream,
    certificates: &Certificates,
    host: &str,
    protocol: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(host.to_owned()).unwrap();
    TlsConnector::from(certificates.client(protocol)).connect(name, stream).await
}

/// A browser.
#[derive(Clone, Debug)]
pub(crate) struct Browser {
    gateway: SocketAddr,
    certificates: Certificates,
    /// The host it asks for.
    pub(crate) host: String,
    /// The port in its addresses, where it is not the usual one.
    port: Option<u16>,
    /// Its address.
    pub(crate) from: IpAddr,
    /// The address that a trusted proxy before the gateway says it has.
    pub(crate) forwarded_for: Option<String>,
    /// Its cookies, by name.
    pub(crate) jar: BTreeMap<String, String>,
}

/// Percent-encodes everything but letters and digits.
pub(crate) fn encode(text: &str) -> String {
    let one = |b: u8| {
        if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") }
    };
    text.bytes().map(one).collect()
}

impl Browser {
    /// A fresh one.
    pub(crate) fn new(gateway: &Gateway) -> Self {
        Self {
            gateway: gateway.https,
            certificates: gateway.certificates.clone(),
            host: HOST.to_owned(),
            port: None,
            from: IpAddr::V4(Ipv4Addr::LOCALHOST),
            forwarded_for: None,
            jar: BTreeMap::new(),
        }
    }

    /// A fresh one that reaches the gateway's host through another proxy.
    pub(crate) fn through(front: SocketAddr, gateway: &Gateway) -> Self {
        Self { gateway: front, port: Some(front.port()), ..Self::new(gateway) }
    }

    /// The host with its port, as in `Host` and `Origin`.
    fn authority(&self) -> String {
        self.port.map_or_else(|| self.host.clone(), |port| format!("{}:{port}", self.host))
    }

    /// The same browser, with the same cookies, at another node.
    pub(crate) fn at(&self, gateway: &Gateway) -> Self {
        let certificates = gateway.certificates.clone();
        Self { gateway: gateway.https, certificates, ..self.clone() }
    }

    /// The cookie header, empty when there is none.
    pub(crate) fn cookie_line(&self) -> String {
        if self.jar.is_empty() {
            return String::new();
        }
        let pairs: Vec<String> = self.jar.iter().map(|(n, v)| format!("{n}={v}")).collect();
        format!("Cookie: {}\r\n", pairs.join("; "))
    }

    fn forwarded_line(&self) -> String {
        let line = |ip| format!("X-Forwarded-For: {ip}\r\nX-Forwarded-Proto: https\r\n");
        self.forwarded_for.as_ref().map(line).unwrap_or_default()
    }

    /// Posts one form so many times over one connection; the statuses.
    pub(crate) async fn posts(
        &mut self,
        target: &str,
        form: &[(&str, &str)],
        times: usize,
    ) -> Vec<u16> {
        let pairs: Vec<String> =
            form.iter().map(|(n, v)| format!("{}={}", encode(n), encode(v))).collect();
        let body = pairs.join("&");
        let request = format!(
            "POST {target} HTTP/1.1\r\nHost: {}\r\n{}{}Content-Length: {}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nOrigin: https://{}\r\n\
             Accept: text/html\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\n\
             Sec-Fetch-Dest: document\r\n\r\n{body}",
            self.authority(),
            self.forwarded_line(),
            self.cookie_line(),
            body.len(),
            self.authority()
        );
        let mut statuses = Vec::with_capacity(times);
        let mut wire = self.connect().await;
        while statuses.len() < times {
            let exchange = async {
                wire.send(request.as_bytes()).await?;
                wire.answer("POST").await
            };
            let answer = within(PATIENCE, target, exchange).await;
            let answer = answer.unwrap_or_else(|e| panic!("{target}: {e}"));
            if answer.get("connection") == Some("close") && statuses.len() + 1 < times {
                wire = self.connect().await;
            }
            statuses.push(answer.status);
        }
        statuses
    }

    /// A TLS connection for HTTP/1.1.
    pub(crate) async fn connect(&self) -> Wire {
        let stream = tcp(self.gateway, self.from).await.unwrap();
        Wire::new(tls(stream, &self.certificates, &self.host, "http/1.1").await.unwrap())
    }

    /// True if the server accepts TLS connections with the right certificate.
    pub(crate) async fn reaches(&self) -> bool {
        let Ok(stream) = tcp(self.gateway, self.from).await else { return false };
        tls(stream, &self.certificates, &self.host, "http/1.1").await.is_ok()
    }

    /// A TLS connection for HTTP/2.
    pub(crate) async fn connect_h2(&self) -> TlsStream<TcpStream> {
        let stream = tcp(self.gateway, self.from).await.unwrap();
        tls(stream, &self.certificates, &self.host, "h2").await.unwrap()
    }

    /// Sends a request; `lines` are further header lines, each with its line end.
    pub(crate) async fn ask(
        &mut self,
        method: &str,
        target: &str,
        lines: &str,
        body: &[u8],
    ) -> Answer {
        let length = if body.is_empty() && method != "POST" {
            String::new()
        } else {
            format!("Content-Length: {}\r\n", body.len())
        };
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{}{}{length}{lines}\r\n",
            self.authority(),
            self.forwarded_line(),
            self.cookie_line()
        );
        let what = format!("{method} {target}");
        let exchange = async {
            let mut wire = self.connect().await;
            wire.send(head.as_bytes()).await?;
            // The gateway may answer and close before it has read the body.
            drop(wire.send(body).await);
            wire.answer(method).await
        };
        let answer = within(PATIENCE, &what, exchange).await;
        let answer = answer.unwrap_or_else(|e| panic!("{what}: {e}"));
        self.keep_cookies(&answer);
        answer
    }

    /// Opens a page as a navigation.
    pub(crate) async fn get(&mut self, target: &str) -> Answer {
        let lines = "Accept: text/html,*/*\r\nSec-Fetch-Mode: navigate\r\n\
                     Sec-Fetch-Site: same-origin\r\nSec-Fetch-Dest: document\r\n";
        self.ask("GET", target, lines, b"").await
    }

    /// Asks as a script does.
    pub(crate) async fn fetch(&mut self, target: &str) -> Answer {
        let lines = "Accept: */*\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Site: same-origin\r\n\
                     Sec-Fetch-Dest: empty\r\n";
        self.ask("GET", target, lines, b"").await
    }

    /// Posts a form as it stands, without looking at the page first.
    pub(crate) async fn post(&mut self, target: &str, form: &[(&str, &str)]) -> Answer {
        let pairs: Vec<String> =
            form.iter().map(|(n, v)| format!("{}={}", encode(n), encode(v))).collect();
        let lines = format!(
            "Content-Type: application/x-www-form-urlencoded\r\nOrigin: https://{}\r\n\
             Accept: text/html\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\n\
             Sec-Fetch-Dest: document\r\n",
            self.authority()
        );
        self.ask("POST", target, &lines, pairs.join("&").as_bytes()).await
    }

    /// Opens the page, fills in the form with its hidden fields, and sends it to the same address.
    pub(crate) async fn submit(&mut self, target: &str, form: &[(&str, &str)]) -> Answer {
        let page = self.get(target).await;
        assert_eq!(page.status, 200, "GET {target}: {} -> {:?}", page.text(), page.location());
        self.submit_from(&page, target, form).await
    }

    /// Fills in the form of a page that is open already.
    pub(crate) async fn submit_from(
        &mut self,
        page: &Answer,
        target: &str,
        form: &[(&str, &str)],
    ) -> Answer {
        let text = page.text();
        let csrf = html::field(&text, "csrf").unwrap_or_else(|| panic!("no csrf: {text}"));
        let kept = html::field(&text, "return_to");
        let mut all = form.to_vec();
        all.push(("csrf", &csrf));
        if let Some(kept) = &kept {
            all.push(("return_to", kept));
        }
        self.post(target, &all).await
    }

    fn keep_cookies(&mut self, answer: &Answer) {
        for line in answer.all("set-cookie") {
            let mut parts = line.split(';').map(str::trim);
            let Some((name, value)) = parts.next().and_then(|p| p.split_once('=')) else {
                continue;
            };
            let gone = parts.any(|p| p.eq_ignore_ascii_case("max-age=0")) || value.is_empty();
            if gone {
                self.jar.remove(name);
            } else {
                self.jar.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

/// Waits until a gateway whose session store was away signs people in again. The first request may
/// still find the former connection.
pub(crate) async fn signs_in(gateway: &Gateway) {
    let page = async { while Browser::new(gateway).get("/_auth/login").await.status != 200 {} };
    within(PATIENCE, "the sign-in page", page).await;
}

/// A plain GET to the admin listener.
pub(crate) async fn admin(gateway: &Gateway, target: &str) -> Answer {
    let exchange = async {
        let mut wire = Wire::new(TcpStream::connect(gateway.admin).await?);
        let request = format!("GET {target} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
        wire.send(request.as_bytes()).await?;
        wire.answer("GET").await
    };
    within(PATIENCE, target, exchange).await.unwrap()
}
