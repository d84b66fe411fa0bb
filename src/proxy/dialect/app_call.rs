//! The two calls that we make to an app ourselves: its sign-in and its sign-out, at the paths that
//! its description names. Nothing that a client asks for goes this way; what a client wants forwarded
//! needs an admission.

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

/// The longest that an app may take to answer to a sign-in.
const ANSWER_TIME: Duration = Duration::from_secs(30);
/// Sign-ins that one app is asked about at once: each has a connection of its own.
const MOST_AT_ONCE: usize = 80;
/// Those of strangers: the others are kept for callers who have signed in here before.
const STRANGERS_AT_ONCE: usize = 64;
/// Strangers that may wait for their turn.
const MOST_WAITING: usize = 256;
/// The longest that one more waits for its turn.
const TURN_TIME: Duration = Duration::from_secs(2);
/// For a sign-out that nobody waits for.
const SIGN_OUT_TIME: Duration = Duration::from_secs(5);

/// The apps that can be called, by name.
#[derive(Debug)]
pub struct AppCalls(ArcSwap<HashMap<String, Arc<Callable>>>);

/// An app with a description of its sign-in.
struct Callable {
    name: String,
    dialect: Arc<Dialect>,
    policy: Option<AppPolicy>,
    upstream: UpstreamSettings,
    /// The host that it is asked for by where no client says so.
    host: String,
    own_name: Option<OwnName>,
    tls: Option<TlsConnector>,
    next: AtomicUsize,
    /// It stays the same from one configuration to the next.
    turns: Arc<Turns>,
}

impl std::fmt::Debug for Callable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Callable").field("name", &self.name).finish_non_exhaustive()
    }
}

impl AppCalls {
    /// Makes them ready.
    pub fn new(apps: &[AppSettings]) -> Result<Self, BadUpstream> {
        Ok(Self(ArcSwap::from_pointee(callables(apps, &HashMap::new())?)))
    }

    /// From the next call on, these.
    pub(in crate::proxy) fn replace(&self, apps: &[AppSettings]) -> Result<(), BadUpstream> {
        let next = callables(apps, &self.0.load())?;
        self.0.store(Arc::new(next));
        Ok(())
    }

    fn get(&self, app: &str) -> Option<Arc<Callable>> {
        self.0.load().get(app).cloned()
    }

    /// Signs out at the app with a token of its own, off the path; no answer is waited for.
    pub(in crate::proxy) fn sign_out(&self, app: &str, token: Vec<u8>) {
        let Some(app) = self.get(app).filter(|app| app.dialect.sign_out.is_some()) else { return };
        tokio::spawn(async move {
            let done = tokio::time::timeout(SIGN_OUT_TIME, app.sign_out(&token)).await;
            if let Ok(Err(reason)) = done {
                tracing::warn!(app = app.name, reason, "the app was not told of a sign-out");
            } else if done.is_err() {
                tracing::warn!(app = app.name, "the app took too long over a sign-out");
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
    /// A turn to ask the app; nothing where too many have theirs.
    async fn turn(&self, asker: Asker) -> Option<Turn> {
        let turn = tokio::time::timeout(TURN_TIME, self.turns.take(asker)).await;
        turn.ok()?.ok()
    }

    /// A request of ours, by the host that the client used.
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
        let mut answer = answer.map_err(|_elapsed| "it took too long".to_owned())??;
        if let Some(own) = &self.own_name {
            for (_, line) in answer.headers.iter_mut().filter(|(name, _)| name == "set-cookie") {
                *line = own.without_domain(line).unwrap_or_else(|| std::mem::take(line));
            }
        }
        Ok(answer)
    }

    /// A connection to the next address that takes one.
    async fn connect(&self) -> Result<Connected, String> {
        let addresses = &self.upstream.addresses;
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let mut last = "it has no address".to_owned();
        for i in 0..addresses.len() {
            let Some(address) = addresses.get(first.wrapping_add(i) % addresses.len()) else {
                break;
            };
            let connecting = self.connect_to(address);
            match tokio::time::timeout(self.upstream.connect_timeout, connecting).await {
                Ok(Ok(connected)) => return Ok(connected),
                Ok(Err(reason)) => last = reason,
                Err(_elapsed) => "connecting took too long".clone_into(&mut last),
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
            return Err(silent("it is not configured any more".to_owned()));
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
            Verdict::NoSubject => {
                Err(silent("it took the sign-in without saying whose it is".to_owned()))
            }
        }
    }

    fn give_up(&self, app: &str, held: Held) {
        for token in held.tokens.clone() {
            self.sign_out(app, token.into_bytes());
        }
    }
}
