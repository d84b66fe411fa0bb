//! The state of a request, from phase to phase.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method};
use pingora_core::protocols::SocketDigest;
use pingora_error::{Error, ErrorType, Result};
use pingora_http::RequestHeader;

use super::admit::site::Site;
use super::admit::vet::HeaderFacts;
use super::client::connection::Connection;
use super::client::origin::Origin;
use super::client::slot::RequestSlot;
use super::live::request::{Admitted, LiveRequest};
use super::rewrite::omitted::Omitted;
use super::upstream::handshake::ReadGate;
use super::upstream::sent::Sent;
use crate::base::id::RequestId;
use crate::gate::admission::{Admission, Visitor};
use crate::gate::policy::{Outcome, Ruling};
use crate::gate::sessions::{KnownSession, Use};
use crate::web::Resend;

/// The context of one request.
pub(super) struct RequestState {
    pub(super) id: RequestId,
    pub(super) started: Duration,
    pub(super) connection: Option<Arc<Connection>>,
    /// The HTTP/2 stream.
    stream: Option<Arc<LiveRequest>>,
    /// True once the connection knows the request as admitted.
    live: bool,
    /// The effect on the idle time of its session.
    pub(super) counts: Use,
    /// True if it is a kept request.
    pub(super) resends: bool,
    pub(super) arrival: Arrival,
    /// Facts about the request headers, once they are vetted.
    pub(super) facts: HeaderFacts,
    /// The slot of the request.
    pub(super) slot: Option<RequestSlot>,
    /// The ruling, once the rules were evaluated.
    pub(super) ruling: Option<Ruling>,
    /// The outcomes of report-only rules.
    pub(super) reports: Vec<(usize, Outcome)>,
    pub(super) fate: Fate,
    /// The code of the gateway's rejection, once it is answered.
    pub(super) refusal: Option<&'static str>,
    /// The request that a proxy asked about, once it is rejected.
    pub(super) asked: Option<Box<Asked>>,
}

/// A rejected request that another proxy holds, as logged.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) host: String,
    /// The path, without the query.
    pub(super) path: String,
    /// The reason, where the code does not say it.
    pub(super) why: Option<Cow<'static, str>>,
    /// True if the proxy has to ask in another way.
    pub(super) is_bad: bool,
}

/// The client and the host of a request, as far as known.
pub(super) enum Arrival {
    /// Nothing is known yet.
    New,
    /// The client is known.
    From(Origin),
    /// The site of the host is known, and with it the client.
    At(Arc<Site>),
}

/// The decision about a request.
pub(super) enum Fate {
    /// Not decided, or answered without regard to the visitor.
    Undecided,
    /// A token or another app credential was rejected, for this reason.
    TokenRejected(&'static str),
    /// The rules denied it to this visitor.
    Denied(Visitor),
    /// It is forwarded.
    Admitted(Forwarding),
}

/// A request that is forwarded. It does not exist without an admission, which only the gate makes.
pub(super) struct Forwarding {
    admission: Admission,
    /// The target to forward, if it differs from the client's.
    pub(super) rewritten: Option<String>,
    /// The app credentials that are omitted.
    pub(super) omitted: Omitted,
    /// The request signs out at the app.
    pub(super) signs_out: bool,
    /// Time of the last body byte within a session, in monotonic time.
    pub(super) bytes_at: Duration,
    /// The addresses of the app that failed for this request.
    pub(super) failed: Vec<SocketAddr>,
    /// The address that it is sent to.
    pub(super) sent: Option<Sent>,
    /// The connection to the app, if the request has a body.
    pub(super) upstream_socket: Option<Arc<SocketDigest>>,
    /// The progress of forwarding.
    pub(super) sending: Sending,
    /// The body of a kept request, in place of the form that asked to send it.
    pub(super) resend: Option<(Bytes, Box<Resend>)>,
    /// Set for a WebSocket handshake.
    pub(super) handshake: Option<Arc<ReadGate>>,
}

/// The progress of forwarding a request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sending {
    /// The request has a body.
    pub(super) has_body: bool,
    /// The header block was sent, and the body follows.
    pub(super) body_begun: bool,
    /// The body was sent to its end.
    pub(super) body_over: bool,
    /// The reason of this try.
    pub(super) again: Again,
}

/// The reason why a request is sent again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Again {
    /// It is not.
    #[default]
    First,
    /// The connection of the first try closed; this one has its own.
    Afresh,
    /// Another address answered by 502, 503 or 504.
    AfterStatus,
}

/// Returns the error for a bug in the gateway: a 500, before any connection to the app.
#[cold]
pub(super) fn no_admission() -> Box<Error> {
    tracing::error!("bug: request without an admission in the forwarding phase");
    Error::explain(ErrorType::HTTPStatus(500), "no admission")
}

impl Drop for RequestState {
    fn drop(&mut self) {
        self.leave_live();
        if let Some(connection) = &self.connection {
            connection.usage.leave();
        }
    }
}

impl RequestState {
    pub(super) fn new(id: RequestId, started: Duration, stream: Option<Arc<LiveRequest>>) -> Self {
        Self {
            id,
            started,
            connection: None,
            stream,
            live: false,
            counts: Use::Counts,
            resends: false,
            arrival: Arrival::New,
            facts: HeaderFacts::default(),
            slot: None,
            ruling: None,
            reports: Vec::new(),
            fate: Fate::Undecided,
            refusal: None,
            asked: None,
        }
    }

    /// Lets the connection know what the admitted request was let in by.
    pub(super) fn go_live(&mut self, request: &RequestHeader) {
        let Some((connection, (site, forwarding))) =
            self.connection.as_ref().zip(self.site().zip(self.forwarding()))
        else {
            return;
        };
        let visitor = forwarding.admission().visitor();
        if matches!(visitor, Visitor::Anonymous) {
            return;
        }
        let websocket = site.app.websocket && self.facts.websocket;
        let began = (self.id, self.started);
        let admitted =
            || Admitted::new(began, visitor.clone(), Arc::clone(site), request, websocket);
        match &self.stream {
            Some(stream) => {
                stream.begin(admitted);
                connection.underway.enter(stream);
            }
            None => connection.underway.own().begin(admitted),
        }
        self.live = true;
    }

    /// Takes the request out of the sight of the sweep.
    pub(super) fn leave_live(&mut self) {
        let live = std::mem::replace(&mut self.live, false);
        if let Some(connection) = self.connection.as_ref().filter(|_| live) {
            match &self.stream {
                Some(stream) => connection.underway.leave(stream),
                None => connection.underway.own().over(),
            }
        }
    }

    /// Returns the address and the scheme of the client, once known.
    pub(super) fn origin(&self) -> Option<Origin> {
        match &self.arrival {
            Arrival::New => None,
            Arrival::From(origin) => Some(*origin),
            Arrival::At(site) => Some(site.origin),
        }
    }

    /// Returns the time and the effect of the lookup of its session.
    pub(super) fn look_up(&self) -> (Duration, Use) {
        (self.started, self.counts)
    }

    /// Returns true if the client is known to use HTTPS.
    pub(super) fn is_https(&self) -> bool {
        self.origin().is_some_and(|origin| origin.https)
    }

    /// Returns the site of the host, if there is one.
    pub(super) fn site(&self) -> Option<&Arc<Site>> {
        match &self.arrival {
            Arrival::At(site) => Some(site),
            Arrival::New | Arrival::From(_) => None,
        }
    }

    /// Returns the request to forward, if it is admitted.
    pub(super) fn forwarding(&self) -> Option<&Forwarding> {
        match &self.fate {
            Fate::Admitted(forwarding) => Some(forwarding),
            Fate::Undecided | Fate::TokenRejected(_) | Fate::Denied(_) => None,
        }
    }

    /// Like [`Self::forwarding`], to change it.
    pub(super) fn forwarding_mut(&mut self) -> Option<&mut Forwarding> {
        match &mut self.fate {
            Fate::Admitted(forwarding) => Some(forwarding),
            Fate::Undecided | Fate::TokenRejected(_) | Fate::Denied(_) => None,
        }
    }

    /// Returns the site and the request to forward, or the error for a bug.
    pub(super) fn admitted(&self) -> Result<(&Arc<Site>, &Forwarding)> {
        self.site().zip(self.forwarding()).ok_or_else(no_admission)
    }

    /// Like [`Self::admitted`], to change the request.
    pub(super) fn admitted_mut(&mut self) -> Option<(&Arc<Site>, &mut Forwarding)> {
        let (Arrival::At(site), Fate::Admitted(forwarding)) = (&self.arrival, &mut self.fate)
        else {
            return None;
        };
        Some((site, forwarding))
    }

    /// Returns the admission, if there is one.
    pub(super) fn admission(&self) -> Option<&Admission> {
        self.forwarding().map(Forwarding::admission)
    }

    /// Returns the session of the user whose request is forwarded.
    pub(super) fn session(&self) -> Option<&Arc<KnownSession>> {
        self.forwarding().and_then(Forwarding::session)
    }

    /// Returns the id as a header value.
    pub(super) fn id_value(&self) -> HeaderValue {
        HeaderValue::from_bytes(&self.id.hex())
            .unwrap_or_else(|_| HeaderValue::from_static("unknown"))
    }
}

impl Forwarding {
    pub(super) fn new(admission: Admission, rewritten: Option<String>, started: Duration) -> Self {
        Self {
            admission,
            rewritten,
            omitted: Omitted::default(),
            signs_out: false,
            bytes_at: started,
            failed: Vec::new(),
            sent: None,
            upstream_socket: None,
            sending: Sending::default(),
            resend: None,
            handshake: None,
        }
    }

    /// Returns the admission.
    pub(super) fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Records that a body byte within a session passed at `at`. Returns both.
    pub(super) fn bytes_passed(&mut self, at: Duration) -> Option<(&Arc<KnownSession>, Duration)> {
        let Visitor::Full(known) = self.admission.visitor() else { return None };
        self.bytes_at = self.bytes_at.max(at);
        Some((known, self.bytes_at))
    }

    /// Returns the session of the user.
    pub(super) fn session(&self) -> Option<&Arc<KnownSession>> {
        match self.admission.visitor() {
            Visitor::Full(known) => Some(known),
            Visitor::Anonymous | Visitor::Password(_) | Visitor::Machine(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::OsRandom;

    #[test]
    fn what_is_not_admitted_is_not_forwarded() {
        let mut state =
            RequestState::new(RequestId::random(&OsRandom::new()).unwrap(), Duration::ZERO, None);
        for fate in
            [Fate::Undecided, Fate::TokenRejected("unknown"), Fate::Denied(Visitor::Anonymous)]
        {
            state.fate = fate;
            let error = state.admitted().err().unwrap();
            assert_eq!(*error.etype(), ErrorType::HTTPStatus(500));
            assert!(state.forwarding_mut().is_none());
            assert!(state.admission().is_none() && state.session().is_none());
        }
    }
}
