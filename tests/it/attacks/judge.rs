//! The asserts of the corpus, each kind of them. An assert nobody knows fails its attack.

use super::shots::Shot;
use crate::support::contains;
use crate::support::frames::Reply;
use crate::support::upstream::{Mark, Recorder};

/// What an attack led to.
pub(super) struct Seen<'a> {
    pub(super) app: &'a Recorder,
    pub(super) mark: Mark,
    pub(super) shot: Shot,
}

type Judgement = Result<(), String>;

fn holds(condition: bool, failure: impl FnOnce() -> String) -> Judgement {
    if condition { Ok(()) } else { Err(failure()) }
}

impl Seen<'_> {
    /// Whether an assert holds; what is wrong when it does not.
    pub(super) fn judge(&self, assert: &str) -> Judgement {
        let (kind, argument) = assert.split_once(':').unwrap_or((assert, ""));
        match kind {
            "no_upstream" => self.no_upstream(),
            "upstream_max" => {
                let count = self.app.requests(self.mark).len();
                holds(argument.parse().is_ok_and(|most: usize| count <= most), || {
                    format!("{count} requests at the app")
                })
            }
            "upstream_never_contains" => holds(!self.app.heard(self.mark, argument), || {
                format!("the app heard {argument:?}")
            }),
            "upstream_lacks_header" => self.no_field(argument, |_value| true),
            "upstream_header_not" => match argument.split_once('=') {
                Some((name, value)) => self.no_field(name, |v| v.trim() == value),
                None => Err(format!("cannot read {assert:?}")),
            },
            "no_smuggle" => self.no_smuggle(argument),
            "status_in" => self.status_in(argument),
            "h2_error_or_status" => match self.shot {
                Shot::H2(reply) if reply.is_error() => Ok(()),
                Shot::H2(_) | Shot::H1 { .. } => self.status_in(argument),
            },
            "refused_or_upstream_has" => self.refused_or_has(argument),
            "response_lacks" => self.response_lacks(argument),
            "closed" => match self.shot {
                Shot::H1 { closed, .. } => holds(closed, || "left open".to_owned()),
                Shot::H2(_) => Err("not about HTTP/2".to_owned()),
            },
            _ => Err(format!("unknown assert {assert:?}")),
        }
    }

    fn status(&self) -> Option<u16> {
        match &self.shot {
            Shot::H1 { answer, .. } => answer.as_ref().map(|a| a.status),
            Shot::H2(Reply::Status(status)) => Some(*status),
            Shot::H2(_) => None,
        }
    }

    fn no_upstream(&self) -> Judgement {
        let requests = self.app.requests(self.mark).len();
        let connections = self.app.connections(self.mark);
        holds(requests == 0 && connections == 0, || {
            format!("{connections} connections and {requests} requests at the app")
        })
    }

    /// No request at the app has a field of this name whose value is `bad`; underscores and dashes
    /// are told apart here, as the corpus names both.
    fn no_field(&self, name: &str, bad: impl Fn(&str) -> bool) -> Judgement {
        let requests = self.app.requests(self.mark);
        let found = requests.iter().flat_map(|r| r.head.all(name)).find(|v| bad(v));
        holds(found.is_none(), || format!("the app got {name}: {}", found.unwrap_or_default()))
    }

    /// Nothing that was sent as a body, or after a request, became a request of its own.
    fn no_smuggle(&self, word: &str) -> Judgement {
        let requests = self.app.requests(self.mark);
        let smuggled = requests.iter().find(|r| r.head.target.contains(word));
        holds(smuggled.is_none(), || format!("smuggled: {:?}", smuggled.map(|r| &r.head)))?;
        let violations = self.app.violations(self.mark);
        holds(violations.is_empty(), || format!("ambiguous at the app: {violations:?}"))
    }

    fn status_in(&self, list: &str) -> Judgement {
        let status = self.status();
        let allowed = list.split(',').filter_map(|s| s.trim().parse::<u16>().ok());
        holds(status.is_some_and(|s| allowed.into_iter().any(|a| a == s)), || {
            format!("status {status:?}, not one of {list}")
        })
    }

    fn refused_or_has(&self, name: &str) -> Judgement {
        let requests = self.app.requests(self.mark);
        match self.status() {
            Some(400..=499) if requests.is_empty() => Ok(()),
            status => holds(
                !requests.is_empty() && requests.iter().all(|r| r.head.all(name).len() == 1),
                || format!("status {status:?}, and the app did not get {name} exactly once"),
            ),
        }
    }

    fn response_lacks(&self, text: &str) -> Judgement {
        let Shot::H1 { answer, after, .. } = &self.shot else {
            return Err("not about HTTP/2".to_owned());
        };
        let Some(answer) = answer else { return Ok(()) };
        let field = answer.fields.iter().find(|(_, v)| v.contains(text));
        holds(field.is_none(), || format!("the answer has {field:?}"))?;
        let body = contains(&answer.body, text.as_bytes()) || contains(after, text.as_bytes());
        holds(!body, || format!("the answer's body has {text:?}"))
    }

    /// In short, for the report.
    pub(super) fn describe(&self) -> String {
        let requests = self.app.requests(self.mark);
        let targets: Vec<String> =
            requests.iter().map(|r| format!("{} {:.80}", r.head.method, r.head.target)).collect();
        let came = match &self.shot {
            Shot::H1 { answer, after, closed } => {
                let status = answer.as_ref().map(|a| a.status);
                let after: String = String::from_utf8_lossy(after).chars().take(80).collect();
                format!("answer {status:?}, then {after:?}, closed: {closed}")
            }
            Shot::H2(reply) => format!("{reply:?}"),
        };
        format!("{came}; the app got {targets:?}")
    }
}
