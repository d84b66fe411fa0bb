//! The record of a rejection, for `vestibule why`.

use http::HeaderName;
use http::header::{
    ACCEPT, ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE,
    EXPECT, FORWARDED, HOST, ORIGIN, REFERER, TRANSFER_ENCODING, UPGRADE,
};
use pingora_http::RequestHeader;

use crate::auth::refusals::{RefusalRecord, RefusedVisitor, TEXT_MAX};
use crate::gate::admission::Visitor;
use crate::gate::target::CanonicalTarget;
use crate::proxy::admit::vet::TOKEN_HEADER;
use crate::proxy::gateway::Gateway;
use crate::proxy::log::rule_name;
use crate::proxy::request::{Fate, RequestState};
use crate::web::cookies;
use crate::web::refusal::RefusalSummary;

/// Headers that are recorded with their values, which contain no secrets.
const VALUES: [HeaderName; 7] = [
    HOST,
    ORIGIN,
    ACCEPT,
    HeaderName::from_static("sec-fetch-site"),
    HeaderName::from_static("sec-fetch-mode"),
    HeaderName::from_static("sec-fetch-dest"),
    HeaderName::from_static("sec-fetch-user"),
];
/// Headers that are recorded by name only.
const NAMES: [HeaderName; 14] = [
    COOKIE,
    AUTHORIZATION,
    CONNECTION,
    CONTENT_LENGTH,
    TRANSFER_ENCODING,
    EXPECT,
    UPGRADE,
    REFERER,
    FORWARDED,
    ACCESS_CONTROL_REQUEST_METHOD,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("service-worker"),
    HeaderName::from_static(TOKEN_HEADER),
];

impl Gateway {
    /// Records a rejection in the background.
    pub(in crate::proxy) fn note_refusal(
        &self,
        request: &RequestHeader,
        state: &RequestState,
        summary: &RefusalSummary,
    ) {
        let client = state.origin().map(|origin| origin.client);
        self.refusals.keep(self.clock.monotonic(), client, || RefusalRecord {
            request: state.id,
            at: self.clock.now(),
            app: state.site().map(|site| site.app.name().to_owned()),
            method: bounded(request.method.as_str()),
            path: path(request),
            status: summary.status.as_u16(),
            code: summary.code.to_owned(),
            sentence: summary.sentence.clone().into_owned(),
            rule: state.site().and_then(|site| rule_name(&site.app, state)).map(str::to_owned),
            visitor: visitor(state),
            address: client,
            headers: names(request),
            values: values(request),
            cookies: own_cookies(request),
        });
    }
}

fn bounded(text: &str) -> String {
    let mut left = TEXT_MAX;
    let fits = |c: &char| {
        left = left.saturating_sub(c.len_utf8());
        left > 0
    };
    text.chars().filter(|c| !c.is_control()).take_while(fits).collect()
}

/// Returns the path without its query and without path parameters.
fn path(request: &RequestHeader) -> Option<String> {
    let raw = request.raw_path();
    if let Ok(target) = CanonicalTarget::canonical(raw) {
        return Some(bounded(target.path()));
    }
    let end = raw.iter().position(|b| matches!(b, b'?' | b';' | b'#')).unwrap_or(raw.len());
    let path = raw.get(..end).filter(|path| path.first() == Some(&b'/'))?;
    Some(bounded(&String::from_utf8_lossy(path)))
}

fn visitor(state: &RequestState) -> RefusedVisitor {
    let visitor = match &state.fate {
        Fate::Undecided => return RefusedVisitor::NotLookedAt,
        Fate::TokenRejected(why) => return RefusedVisitor::Token { why: (*why).to_owned() },
        Fate::Denied(visitor) => visitor,
        Fate::Admitted(forwarding) => forwarding.admission().visitor(),
    };
    match visitor {
        Visitor::Anonymous => RefusedVisitor::Nobody,
        Visitor::Password(known) => {
            RefusedVisitor::PasswordProved { user: known.identity.name.clone() }
        }
        Visitor::Machine(known) => RefusedVisitor::Machine { user: known.identity().name.clone() },
        Visitor::Full(known) => RefusedVisitor::SignedIn {
            user: known.session.identity.name.clone(),
            second_factor_at: known.session.second_factor_at,
        },
    }
}

fn names(request: &RequestHeader) -> Vec<String> {
    let there = NAMES.into_iter().filter(|name| request.headers.contains_key(name));
    there.map(|name| name.to_string()).collect()
}

fn values(request: &RequestHeader) -> Vec<(String, String)> {
    let of = |name: HeaderName| {
        let values = request.headers.get_all(&name).iter().take(1);
        let name = name.to_string();
        values
            .map(|v| (name.clone(), bounded(&String::from_utf8_lossy(v.as_bytes()))))
            .collect::<Vec<_>>()
    };
    VALUES.into_iter().flat_map(of).collect()
}

fn own_cookies(request: &RequestHeader) -> Vec<String> {
    match (cookies::session(&request.headers, None), cookies::pending(&request.headers)) {
        (Ok(session), Ok(pending)) => {
            let session = session.map(|cookie| cookie.value);
            let there = [(cookies::SESSION, session), (cookies::PENDING, pending)];
            let there = there.into_iter().filter(|(_, value)| value.is_some());
            there.map(|(name, _)| name.to_owned()).collect()
        }
        (Err(twice), _) | (_, Err(twice)) => vec![format!("{} more than once", twice.0)],
    }
}
