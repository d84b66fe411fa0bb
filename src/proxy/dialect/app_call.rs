//! Calls from the gateway to an app: sign-in and sign-out, at the paths of its dialect. Client
//! requests never use this path: a forwarded request needs an admission.
//!
//! Each call has a connection of its own, without hyper-util's pooling client: that one sends a request again
//! if a kept connection closes, and each sign-in counts at the app.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::auth::app_sign_in::{AppAnswer, AppPolicy, AppSignIn, Held, NoAnswer, Relayed, Typed};
use crate::auth::audit::Caller;
use crate::auth::turns::{Asker, Turn, TurnLimits, Turns};
use crate::gate::dialect::{Dialect, MOST_BYTES, Verdict};
use crate::proxy::rewrite::own_name::OwnName;
use crate::proxy::settings::{
    AppSettings, HostPattern, UpstreamAddress, UpstreamName, UpstreamSettings,
};
use crate::proxy::upstream::client_tls::client_config;
use crate::proxy::upstream::pool::BadUpstream;

/// Maximum time of an app for a sign-in.
const ANSWER_TIME: Duration = Duration::from_secs(30);
/// Maximum of concurrent sign-ins at one app. Each has its own connection.
const MOST_AT_ONCE: usize = 80;
/// Maximum for strangers. The rest is reserved for callers who have signed in here before.
const STRANGERS_AT_ONCE: usize = 64;
/// Maximum queue length for strangers.
const MOST_WAITING: usize = 256;
/// Maximum wait in the queue.
const TURN_TIME: Duration = Duration::from_secs(2);
/// Maximum time of a sign-out, which runs in the background.
const SIGN_OUT_TIME: Duration = Duration::from_secs(5);

/// The callable apps, by name.
#[derive(Debug)]
pub struct AppCalls(ArcSwap<HashMap<String, Arc<Callable>>>);

/// An app with a dialect.
struct Callable {
    name: String,
    dialect: Arc<Dialect>,
    policy: Option<AppPolicy>,
    upstream: UpstreamSettings,
    /// The host for calls without a client.
    host: String,
    own_name: Option<OwnName>,
    tls: Option<TlsConnector>,
    next: AtomicUsize,
    /// Kept across reloads.
    turns: Arc<Turns>,
}

impl std::fmt::Debug for Callable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Callable").field("name", &self.name).finish_non_exhaustive()
    }
}

impl AppCalls {
    /// Prepares the calls.
    pub fn new(apps: &[AppSettings]) -> Result<Self, BadUpstream> {
        Ok(Self(ArcSwap::from_pointee(callables(apps, &HashMap::new())?)))
    }

    /// Prepares other apps. The result replaces them. Calls in progress are unaffected.
    pub(in crate::proxy) fn replacement(
        self: &Arc<Self>,
        apps: &[AppSettings],
    ) -> Result<impl FnOnce() + use<>, BadUpstream> {
        let (next, this) = (callables(apps, &self.0.load())?, Arc::clone(self));
        Ok(move || this.0.store(Arc::new(next)))
    }

    fn get(&self, app: &str) -> Option<Arc<Callable>> {
        self.0.load().get(app).cloned()
    }

    /// Signs out at the app with its own token, in the background.
    pub(in crate::proxy) fn sign_out(&self, app: &str, token: Vec<u8>) {
        let Some(app) = self.get(app).filter(|app| app.dialect.sign_out.is_some()) else { return };
        tokio::spawn(async move {
            let done = tokio::time::timeout(SIGN_OUT_TIME, app.sign_out(&token)).await;
            if let Ok(Err(reason)) = done {
                tracing::warn!(app = app.name, reason, "app sign-out failed");
            } else if done.is_err() {
                tracing::warn!(app = app.name, "app sign-out timed out");
            }
        });
    }
}

fn callables(
    apps: &[AppSettings],
    former: &HashMap<String, Arc<Callable>>,
) -> Result<HashMap<String, Arc<Callable>>, BadUpstream> {
    let described = apps.iter().filter_map(|app| Some((app, app.dialect.clone()?)));
    described
        .map(|(app, dialect)| {
            let wanted = app.upstream.addresses.iter().any(|a| a.tls);
            let tls = if wanted { Some(connector(&app.upstream)) } else { None };
            let tls = tls.transpose().map_err(|reason| BadUpstream::new(&app.name, reason))?;
            let exact = app.hosts.iter().find_map(|host| match host {
                HostPattern::Exact(name) => Some(name.clone()),
                HostPattern::Wildcard(_) => None,
            });
            let turns = former.get(&app.name).map(|former| Arc::clone(&former.turns));
            let first = app.upstream.addresses.first().map(|a| a.host.clone());
            let callable = Callable {
                name: app.name.clone(),
                dialect,
                policy: app.first_factor,
                upstream: app.upstream.clone(),
                host: exact.or(first).unwrap_or_default(),
                own_name: app.upstream.name.as_ref().and_then(OwnName::new),
                tls,
                next: AtomicUsize::new(0),
                turns: turns.unwrap_or_else(new_turns),
            };
            Ok((app.name.clone(), Arc::new(callable)))
        })
        .collect()
}

fn new_turns() -> Arc<Turns> {
    Turns::new(TurnLimits {
        at_once: MOST_AT_ONCE,
        at_once_strangers: STRANGERS_AT_ONCE,
        queue: MOST_WAITING,
    })
}

fn connector(upstream: &UpstreamSettings) -> Result<TlsConnector, String> {
    Ok(TlsConnector::from(Arc::new(client_config(upstream)?)))
}

impl Callable {
    /// Returns a turn to call the app, or `None` if the queue is full.
    async fn turn(&self, asker: Asker) -> Option<Turn> {
        let turn = tokio::time::timeout(TURN_TIME, self.turns.take(asker)).await;
        turn.ok()?.ok()
    }

    /// Builds a request with the host that the client used.
    fn post(&self, path: &str, host: &str) -> http::request::Builder {
        let heard = self.own_name.as_ref().map_or(host.as_bytes(), |n| n.host().as_bytes());
        Request::post(path)
            .header(header::HOST, heard)
            .header(header::ACCEPT, "application/json, */*")
            .header(header::ACCEPT_ENCODING, "identity")
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-host", host)
    }

    async fn sign_in(&self, typed: &Typed, caller: &Caller) -> Result<Relayed, String> {
        let (kind, body) = self.dialect.sign_in.write(typed);
        let host = caller.host.as_deref().unwrap_or(&self.host);
        let address = caller.device.address.to_string();
        let node = if address.contains(':') { format!("\"[{address}]\"") } else { address.clone() };
        let mut request = self
            .post(&self.dialect.sign_in.path, host)
            .header(header::CONTENT_TYPE, kind.media_type())
            .header("x-forwarded-for", address)
            .header(header::FORWARDED, format!("for={node};host=\"{host}\";proto=https"))
            .header("x-request-id", caller.reference.to_string());
        if let Ok(agent) = HeaderValue::from_bytes(caller.device.user_agent.as_bytes()) {
            request = request.header(header::USER_AGENT, agent);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(&body)));
        self.send(request.map_err(|error| error.to_string())?).await
    }

    async fn sign_out(&self, token: &[u8]) -> Result<Relayed, String> {
        let Some(path) = &self.dialect.sign_out else { return Ok(Relayed::default()) };
        let text = String::from_utf8_lossy(token);
        let (name, value) = match &self.dialect.places.cookie {
            Some(cookie) => {
                let encoded: String = form_urlencoded::byte_serialize(token).collect();
                (header::COOKIE, format!("{cookie}={encoded}"))
            }
            None => (header::AUTHORIZATION, format!("Bearer {text}")),
        };
        let mut value = HeaderValue::from_str(&value).map_err(|error| error.to_string())?;
        value.set_sensitive(true);
        let request = self.post(path, &self.host);
        let request = request.header(name, value).body(Full::new(Bytes::new()));
        self.send(request.map_err(|error| error.to_string())?).await
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Relayed, String> {
        let stream = self.connect().await?;
        let exchange = async {
            match stream {
                Connected::Plain(stream) => exchange(TokioIo::new(stream), request).await,
                Connected::Tls(stream) => exchange(TokioIo::new(stream), request).await,
            }
        };
        let patience = self.upstream.read_timeout.min(ANSWER_TIME);
        let answer = tokio::time::timeout(patience, exchange).await;
        let mut answer = answer.map_err(|_elapsed| "no answer in time".to_owned())??;
        if let Some(own) = &self.own_name {
            for (_, line) in answer.headers.iter_mut().filter(|(name, _)| name == "set-cookie") {
                *line = own.without_domain(line).unwrap_or_else(|| std::mem::take(line));
            }
        }
        Ok(answer)
    }

    /// Connects to the next reachable address.
    async fn connect(&self) -> Result<Connected, String> {
        let addresses = &self.upstream.addresses;
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let mut last = "the app has no upstream address".to_owned();
        for i in 0..addresses.len() {
            let Some(address) = addresses.get(first.wrapping_add(i) % addresses.len()) else {
                break;
            };
            let connecting = self.connect_to(address);
            match tokio::time::timeout(self.upstream.connect_timeout, connecting).await {
                Ok(Ok(connected)) => return Ok(connected),
                Ok(Err(reason)) => last = reason,
                Err(_elapsed) => "no connection in time".clone_into(&mut last),
            }
        }
        Err(last)
    }

    async fn connect_to(&self, address: &UpstreamAddress) -> Result<Connected, String> {
        let stream = TcpStream::connect((address.host.as_str(), address.port))
            .await
            .map_err(|error| error.to_string())?;
        drop(stream.set_nodelay(true));
        let Some(tls) = self.tls.as_ref().filter(|_| address.tls) else {
            return Ok(Connected::Plain(stream));
        };
        let named = self.upstream.name.as_ref().map_or(&*address.host, UpstreamName::certified);
        let name = ServerName::try_from(named.to_owned()).map_err(|error| error.to_string())?;
        let stream = tls.connect(name, stream).await.map_err(|error| error.to_string())?;
        Ok(Connected::Tls(Box::new(stream)))
    }
}

enum Connected {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

async fn exchange<S>(io: TokioIo<S>, request: Request<Full<Bytes>>) -> Result<Relayed, String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let broken = |error: hyper::Error| error.to_string();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(io).await.map_err(broken)?;
    let driving = tokio::spawn(connection);
    let answered = async {
        let (parts, body) = sender.send_request(request).await.map_err(broken)?.into_parts();
        let body = Limited::new(body, MOST_BYTES).collect().await;
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        let headers = parts.headers.iter();
        Ok(Relayed {
            status: parts.status.as_u16(),
            headers: headers.map(|(n, v)| (n.as_str().to_owned(), v.as_bytes().to_vec())).collect(),
            body: body.to_vec(),
        })
    };
    let answered = answered.await;
    driving.abort();
    answered
}

#[async_trait]
impl AppSignIn for AppCalls {
    fn policy(&self, app: &str) -> Option<AppPolicy> {
        self.get(app)?.policy
    }

    async fn ask(
        &self,
        app: &str,
        typed: &Typed,
        caller: &Caller,
        asker: Asker,
    ) -> Result<AppAnswer, NoAnswer> {
        let silent = |reason: String| NoAnswer::Silent { app: app.to_owned(), reason };
        let Some(callable) = self.get(app) else {
            return Err(silent("the app is no longer configured".to_owned()));
        };
        let turn = callable.turn(asker).await.ok_or(NoAnswer::Busy)?;
        let answer = callable.sign_in(typed, caller).await.map_err(silent)?;
        drop(turn);
        match callable.dialect.verdict(&answer) {
            Verdict::Right(subject, held) => Ok(AppAnswer::Accepted { subject, held, answer }),
            Verdict::CodeWanted if typed.code.is_some() => Ok(AppAnswer::Refused(answer)),
            Verdict::CodeWanted => Ok(AppAnswer::CodeWanted(answer)),
            Verdict::Wrong => Ok(AppAnswer::Refused(answer)),
            Verdict::Undecided => Ok(AppAnswer::Undecided(answer)),
            Verdict::NoSubject => Err(silent(
                "accepted the sign-in, but its response does not name the user".to_owned(),
            )),
        }
    }

    fn give_up(&self, app: &str, held: Held) {
        for token in held.tokens.clone() {
            self.sign_out(app, token.into_bytes());
        }
    }
}
