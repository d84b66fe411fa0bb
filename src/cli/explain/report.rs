//! The output of `vestibule explain`, for people and for programs.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::{Decision, Evaluation, PreflightAnswer, Request, Sender};
use crate::cli::check::describe_rule;
use crate::cli::table::visible;
use crate::gate::evaluate::{Denial, Route, Verdict};
use crate::gate::policy::{DEFAULT, Outcome, Step};
use crate::gate::rule::{Access, Miss};

impl Sender {
    fn in_words(&self) -> String {
        let Some(person) = &self.person else { return "not signed in".to_owned() };
        let groups = if person.groups.is_empty() {
            "no groups".to_owned()
        } else {
            format!("groups {}", person.groups.join(", "))
        };
        let proved = if self.by_password {
            "only the password verified".to_owned()
        } else if self.by_token {
            "a program with a token".to_owned()
        } else if self.by_key {
            format!("key verified {} ago", humantime::format_duration(self.age))
        } else {
            format!("second factor verified {} ago", humantime::format_duration(self.age))
        };
        format!("{} ({groups}), {proved}", person.name)
    }
}

impl Evaluation<'_> {
    /// Returns the name of the decision for programs.
    fn name(&self) -> &'static str {
        match self.decision {
            Decision::UnknownHost => "unknown_host",
            Decision::Portal => "portal",
            Decision::Malformed(_) => "malformed",
            Decision::Gate(Route::Own) => "own_page",
            Decision::Gate(Route::AppSignIn(_)) => "sign_in_by_app",
            Decision::Gate(Route::Deny(why)) => why.code(),
            Decision::Gate(Route::App(Verdict::Forward(ruling, _))) => ruling.outcome.as_str(),
            Decision::Gate(Route::App(Verdict::Deny(_, why))) => name(why),
        }
    }

    /// Describes the answer to the request.
    fn in_words(&self, request: &Request<'_>) -> String {
        match self.decision {
            Decision::UnknownHost => format!("no app has the host {:?}: 421", request.host),
            Decision::Portal => "the portal: it answers itself and forwards nothing".to_owned(),
            Decision::Malformed(why) => format!("{why}: 400, or 414 if it is too long"),
            Decision::Gate(Route::Own) => {
                "one of Vestibule's own pages; rules do not apply".to_owned()
            }
            Decision::Gate(Route::AppSignIn(_)) => {
                "the app's own sign-in: the app checks the password, then Vestibule asks for a code"
                    .to_owned()
            }
            Decision::Gate(Route::App(Verdict::Forward(_, grant))) if grant.is_public() => {
                "forwarded without an identity".to_owned()
            }
            Decision::Gate(Route::App(Verdict::Forward(..))) => {
                "forwarded with the user's identity".to_owned()
            }
            Decision::Gate(Route::Deny(why) | Route::App(Verdict::Deny(_, why))) => {
                self.denied(why, request)
            }
        }
    }

    fn denied(&self, why: Denial, request: &Request<'_>) -> String {
        let api = self.app.is_some_and(|app| app.answers.is_api(request.target.as_bytes()));
        let elsewhere = |page: &str| {
            let code = why.code();
            let at = self.portal.filter(|_| self.app.is_some_and(|app| app.portal));
            let page = at.map_or_else(|| page.to_owned(), |host| format!("https://{host}{page}"));
            if api {
                format!("401 JSON with code {code}, because the path is one of api_paths")
            } else {
                format!("303 to {page} for a navigation; 401 JSON with code {code} otherwise")
            }
        };
        let rejected = format!("rejected: {}, code {}", why.status().as_u16(), why.code());
        match why {
            Denial::Method => format!("{} is not one of the app's methods: 405", request.method),
            Denial::NotASignIn => {
                "the app could treat it as its own sign-in, but it does not match \
                                   the dialect: 404"
                    .to_owned()
            }
            Denial::SignIn => {
                format!("sign-in required: {}{}", elsewhere("/_auth/login"), self.preflight())
            }
            Denial::StepUp => {
                format!("second factor required again: {}", elsewhere("/_auth/step-up"))
            }
            Denial::UseKey => {
                format!("passkey or security key required: {}", elsewhere("/_auth/step-up"))
            }
            Denial::StepUpOfMachine => {
                format!("{rejected}, because a token cannot satisfy max_age or phishing_resistant")
            }
            Denial::TokenInUrl => {
                format!("{rejected}, because the URL contains a credential of the app")
            }
            Denial::Forbidden | Denial::ServiceWorker | Denial::ForeignOrigin => rejected,
        }
    }

    /// Describes the answer to a preflight, after a semicolon, if it is another one.
    fn preflight(&self) -> &'static str {
        let Some(preflight) = &self.preflight else { return "" };
        match (&preflight.answer, preflight.configured_origins) {
            (PreflightAnswer::Forward, false) => "; a preflight: forwarded without an identity",
            (PreflightAnswer::Forward, true) => {
                "; a preflight from one of cors_origins: forwarded without an identity"
            }
            (PreflightAnswer::Answer, _) => {
                "; a preflight from one of cors_origins: 204 from Vestibule"
            }
            (PreflightAnswer::Deny(_), _) => "",
        }
    }

    /// Returns the reason for the deciding rule's verdict, if it is not obvious.
    fn because(&self, sender: &Sender) -> Option<&'static str> {
        let ruling = self.ruling()?;
        let Some(rule) = ruling.rule.and_then(|rule| self.app?.policy.rules().get(rule)) else {
            return Some("no rule matches, and the default is two_factor");
        };
        match self.verdict()? {
            Verdict::Deny(_, Denial::SignIn) if rule.names_people() && sender.person.is_none() => {
                Some(
                    "it names users or groups, and a client that is not signed in could be any of \
                     them",
                )
            }
            Verdict::Deny(_, Denial::SignIn) if rule.access == Access::Deny => {
                Some("denied paths are not revealed before sign-in")
            }
            Verdict::Deny(_, Denial::StepUpOfMachine) => {
                Some("it has max_age or phishing_resistant, which a token cannot satisfy")
            }
            Verdict::Deny(_, Denial::UseKey) => {
                Some("it has phishing_resistant, and the second factor was not a key")
            }
            Verdict::Deny(_, Denial::StepUp) => Some("the second factor is older than its max_age"),
            Verdict::Deny(..) | Verdict::Forward(..) => None,
        }
    }
}

/// Returns the name of a rejection for programs.
fn name(why: Denial) -> &'static str {
    match why {
        Denial::SignIn => Outcome::SignIn.as_str(),
        Denial::StepUp => Outcome::StepUp.as_str(),
        Denial::UseKey => Outcome::UseKey.as_str(),
        Denial::StepUpOfMachine | Denial::Forbidden => Outcome::Forbid.as_str(),
        Denial::Method
        | Denial::ServiceWorker
        | Denial::NotASignIn
        | Denial::TokenInUrl
        | Denial::ForeignOrigin => why.code(),
    }
}

fn miss(why: Miss) -> &'static str {
    match why {
        Miss::Method => "method differs",
        Miss::Host => "host differs",
        Miss::Network => "client address not in its networks",
        Miss::AddressUnknown => "client address unknown",
        Miss::Path => "path differs",
        Miss::User => "user differs",
        Miss::Group => "user in none of its groups",
    }
}

/// Prints the decision.
pub(super) fn print(
    request: &Request<'_>,
    sender: &Sender,
    evaluation: &Evaluation<'_>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut line = |key: &str, text: &str| writeln!(out, "{key:<10} {}", visible(text));
    let host = &request.host;
    line("request", &format!("{} https://{host}{}", request.method, request.target))?;
    line("app", evaluation.app.map_or("none", |app| &app.name))?;
    line("visitor", &sender.in_words())?;
    if let Some(client) = sender.client {
        line("address", &client.to_string())?;
    }
    line("path", evaluation.path.as_deref().unwrap_or("unchanged: no rule has a path"))?;
    let rules = evaluation.app.map_or(&[][..], |app| app.policy.rules());
    for (number, step) in &evaluation.steps.0 {
        let Some(rule) = rules.get(*number) else { continue };
        let result = match step {
            Step::Missed(why) => format!("does not match: {}", miss(*why)),
            Step::Reported(outcome) => {
                format!("matches, report only: would {}", outcome.as_str())
            }
        };
        line("rule", &format!("{} → {result}", describe_rule(rule)))?;
    }
    if let Some(ruling) = evaluation.ruling() {
        let decides = ruling.rule.and_then(|rule| rules.get(rule)).map_or_else(
            || "none: default two_factor".to_owned(),
            |rule| format!("{} → decides", describe_rule(rule)),
        );
        line("rule", &decides)?;
    }
    if let Some(why) = evaluation.because(sender) {
        line("because", why)?;
    }
    line("outcome", &evaluation.in_words(request))
}

/// Returns the decision for programs.
pub(super) fn as_json(
    request: &Request<'_>,
    sender: &Sender,
    evaluation: &Evaluation<'_>,
) -> Value {
    let rules = evaluation.app.map_or(&[][..], |app| app.policy.rules());
    let rule_name = |number: usize| rules.get(number).map(|rule| rule.name.as_str());
    let steps = evaluation.steps.0.iter().map(|(number, step)| match step {
        Step::Missed(why) => json!({ "rule": rule_name(*number), "missed": miss(*why) }),
        Step::Reported(would) => json!({ "rule": rule_name(*number), "would": would.as_str() }),
    });
    let decides = evaluation.ruling().map(|ruling| match ruling.rule.and_then(|n| rules.get(n)) {
        Some(rule) => json!({ "rule": rule.name, "access": rule.access.as_str() }),
        None => json!({ "rule": DEFAULT, "access": Access::TwoFactor.as_str() }),
    });
    let told = match evaluation.verdict() {
        Some(Verdict::Forward(_, grant)) if !grant.is_public() => sender.person.as_ref(),
        Some(Verdict::Forward(..) | Verdict::Deny(..)) | None => None,
    };
    let preflight = evaluation.preflight.as_ref().map(|preflight| {
        let outcome = match preflight.answer {
            PreflightAnswer::Forward => Outcome::Public.as_str(),
            PreflightAnswer::Answer => "answer",
            PreflightAnswer::Deny(why) => name(why),
        };
        let origins = if preflight.configured_origins { "cors_origins" } else { "any" };
        json!({ "origins": origins, "outcome": outcome })
    });
    json!({
        "method": request.method.as_str(),
        "host": request.host,
        "app": evaluation.app.map(|app| &app.name),
        "path": evaluation.path,
        "user": sender.person.as_ref().map(|person| person.name.as_str()),
        "groups": sender.person.as_ref().map(|person| &person.groups),
        "passed": steps.collect::<Vec<_>>(),
        "decides": decides,
        "because": evaluation.because(sender),
        "outcome": evaluation.name(),
        "told": told.map(|person| person.name.as_str()),
        "preflight": preflight,
    })
}
