//! `vestibule explain`: predicts the gate's decision on a request and names the deciding rule. The
//! decision is the gate's own function, with a trace of its rules.

mod report;

use std::time::Duration;

use http::{HeaderMap, Method};

use super::args::ExplainArgs;
use super::failure::Failure;
use super::{Streams, input, meta};
use crate::auth::account::{Identity, LoginName};
use crate::auth::admin::Admin;
use crate::base::address::ClientIp;
use crate::base::clock::{Clock as _, SystemClock, Timestamp};
use crate::config::settings::Settings;
use crate::gate::evaluate::{Denial, Facts, Route, Verdict};
use crate::gate::policy::{NoTrace, Ruling, Steps, Target, VisitorFacts};
use crate::gate::rule::RequestFacts;
use crate::gate::target::BadTarget;
use crate::proxy::settings::{AppSettings, Preflight};

/// The request to evaluate.
struct Request<'a> {
    method: Method,
    /// Host in lower case, without a port.
    host: String,
    /// Path and query, byte for byte.
    target: &'a str,
}

/// The client that sent the request: its user, proofs and address.
struct Sender {
    person: Option<Identity>,
    by_password: bool,
    by_token: bool,
    by_key: bool,
    age: Duration,
    client: Option<ClientIp>,
}

impl Sender {
    fn who(&self, clock: &SystemClock) -> VisitorFacts<'_> {
        match &self.person {
            None => VisitorFacts::Anonymous,
            Some(identity) if self.by_password => VisitorFacts::Password(identity),
            Some(identity) if self.by_token => VisitorFacts::Machine(identity),
            Some(identity) => {
                let now = Duration::from_millis(clock.now().as_millis());
                let at = u64::try_from(now.saturating_sub(self.age).as_millis());
                let second_factor_at = Timestamp::from_millis(at.unwrap_or_default());
                VisitorFacts::Full { identity, second_factor_at, by_key: self.by_key }
            }
        }
    }
}

/// The result of an evaluation.
struct Evaluation<'a> {
    app: Option<&'a AppSettings>,
    /// Host of the portal, if there is one.
    portal: Option<&'a str>,
    /// Path that rules are matched against.
    path: Option<String>,
    /// The rules before the deciding one.
    steps: Steps,
    decision: Decision,
    /// Set for the method `OPTIONS`, if the request is for the app.
    preflight: Option<PreflightDecision>,
}

/// The decision on a request.
enum Decision {
    /// No app has the host.
    UnknownHost,
    /// The host is the portal's.
    Portal,
    /// The target has no canonical form.
    Malformed(BadTarget),
    /// The gate's decision.
    Gate(Route<Verdict>),
}

impl Evaluation<'_> {
    /// Returns the verdict of the rules, if they were evaluated.
    fn verdict(&self) -> Option<Verdict> {
        match self.decision {
            Decision::Gate(Route::App(verdict)) => Some(verdict),
            Decision::Gate(Route::Own | Route::AppSignIn(_) | Route::Deny(_))
            | Decision::UnknownHost
            | Decision::Portal
            | Decision::Malformed(_) => None,
        }
    }

    /// Returns the ruling, if a rule or the default decided.
    fn ruling(&self) -> Option<Ruling> {
        match self.verdict()? {
            Verdict::Forward(ruling, _) => Some(ruling),
            Verdict::Deny(ruling, _) => ruling,
        }
    }
}

/// The decision on a CORS preflight (Fetch Standard §4.8), which browsers send without cookies.
struct PreflightDecision {
    answer: PreflightAnswer,
    /// True if it holds only for the origins of `cors_origins`.
    configured_origins: bool,
}

/// The answer to a preflight.
enum PreflightAnswer {
    /// The app's.
    Forward,
    /// 204 from Vestibule.
    Answer,
    /// That to any other request without a session.
    Deny(Denial),
}

/// Evaluates the request and prints the decision.
pub(super) fn explain(arguments: &ExplainArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let settings = input::state_settings(&arguments.state)?;
    let request = request(arguments, &settings)?;
    let sender = sender(arguments)?;
    let evaluation = evaluate(&settings, &request, &sender)?;
    if arguments.state.json {
        return meta::json(&report::as_json(&request, &sender, &evaluation), streams.output);
    }
    Ok(report::print(&request, &sender, &evaluation, streams.output)?)
}

fn request<'a>(arguments: &'a ExplainArgs, settings: &Settings) -> Result<Request<'a>, Failure> {
    let hint = "example: vestibule explain GET https://app.example.com/path";
    let method = Method::from_bytes(arguments.method.as_bytes())
        .map_err(|_not_a_token| Failure::usage("not a request method", hint))?;
    // A browser's URL parser would resolve dot segments and encodings, which are often the
    // question.
    let rest = match arguments.url.split_once("://") {
        Some((_scheme, rest)) => rest,
        None if arguments.url.starts_with('/') => {
            let host = settings.public_url.split_once("://").map_or("", |(_, host)| host);
            return Ok(Request { method, host: name_of(host), target: &arguments.url });
        }
        None => return Err(Failure::usage("not a URL", hint)),
    };
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, target) = rest.split_at(at);
    let target = if target.is_empty() { "/" } else { target };
    Ok(Request { method, host: name_of(host), target })
}

/// Returns a host in lower case, without its port.
fn name_of(host: &str) -> String {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    name.to_ascii_lowercase()
}

fn sender(arguments: &ExplainArgs) -> Result<Sender, Failure> {
    let person = arguments.user.as_deref().map(|name| person(arguments, name)).transpose()?;
    Ok(Sender {
        person,
        by_password: arguments.password_only,
        by_token: arguments.by_token,
        by_key: arguments.by_key,
        age: arguments.second_factor_age.unwrap_or_default(),
        client: arguments.address,
    })
}

fn person(arguments: &ExplainArgs, name: &str) -> Result<Identity, Failure> {
    let name = LoginName::parse(name)?;
    let shown = async |admin: Admin| Ok(admin.directory.show(&name).await?);
    let account = input::with_admin(&arguments.state, shown)?.account;
    if account.disabled {
        let why = format!("{name} is disabled: omit --user");
        return Err(Failure::failed(why, None));
    }
    let mut identity = account.identity;
    identity.groups.extend(arguments.groups.iter().cloned());
    Ok(identity)
}

fn evaluate<'a>(
    settings: &'a Settings,
    request: &Request<'_>,
    sender: &Sender,
) -> Result<Evaluation<'a>, Failure> {
    let portal = settings.proxy.portal.as_ref().map(|portal| portal.host.as_str());
    let mut evaluation = Evaluation {
        app: settings.proxy.app_of(&request.host),
        portal,
        path: None,
        steps: Steps::default(),
        decision: Decision::UnknownHost,
        preflight: None,
    };
    if portal == Some(&request.host) {
        let decision = Decision::Portal;
        return Ok(Evaluation { app: None, decision, ..evaluation });
    }
    let Some(app) = evaluation.app else { return Ok(evaluation) };
    let target = match app.policy.target(request.target.as_bytes()) {
        Ok(target) => target,
        Err(why) => {
            evaluation.decision = Decision::Malformed(why);
            return Ok(evaluation);
        }
    };
    let nowhere = ClientIp::new(std::net::Ipv4Addr::UNSPECIFIED.into());
    let query = request.target.split_once('?').map(|(_, query)| query);
    let credentials = app.dialect.as_ref().map(|d| d.credentials(&HeaderMap::new(), query));
    let facts = Facts {
        credentials: credentials.as_ref(),
        ..Facts::of(RequestFacts {
            method: &request.method,
            path: target.path(),
            host: &request.host,
            client: sender.client.unwrap_or(nowhere),
            preflight: false,
        })
    };
    let (rules, clock) = (app.rules(), SystemClock::new());
    let who = sender.who(&clock);
    let route = rules.evaluate(&target, &facts, who, &clock, &mut evaluation.steps);
    let by_network = app.policy.rules().iter().any(|rule| !rule.networks.is_empty());
    if by_network && sender.client.is_none() && is_by_rules(route) {
        return Err(Failure::usage(
            "the app has rules with `networks`, so a client address is needed",
            "pass --address IP",
        ));
    }
    if is_by_rules(route) {
        evaluation.path = target.path().map(|path| path.as_str().to_owned());
        evaluation.preflight = preflight(app, &target, &facts, &clock);
    }
    evaluation.decision = Decision::Gate(route);
    Ok(evaluation)
}

/// Returns true if the rules had a say in the decision.
fn is_by_rules(route: Route<Verdict>) -> bool {
    match route {
        Route::App(_) | Route::AppSignIn(_) | Route::Deny(Denial::NotASignIn) => true,
        Route::Own | Route::Deny(_) => false,
    }
}

/// Evaluates the request as a preflight.
fn preflight(
    app: &AppSettings,
    target: &Target<'_>,
    facts: &Facts<'_>,
    clock: &SystemClock,
) -> Option<PreflightDecision> {
    if facts.request.method != Method::OPTIONS {
        return None;
    }
    let (rules, answers) = (app.rules(), &app.answers);
    let verdict = |preflight: bool| {
        let facts = Facts { request: RequestFacts { preflight, ..facts.request }, ..*facts };
        rules.evaluate(target, &facts, VisitorFacts::Anonymous, clock, &mut NoTrace)
    };
    let named = !answers.cors_origins.is_empty();
    let denied =
        |why| PreflightDecision { answer: PreflightAnswer::Deny(why), configured_origins: false };
    let forwarded = |configured_origins| PreflightDecision {
        answer: PreflightAnswer::Forward,
        configured_origins,
    };
    if let Route::App(Verdict::Forward(..)) = verdict(false) {
        return Some(forwarded(false));
    }
    match verdict(answers.preflight == Preflight::Pass) {
        Route::App(Verdict::Forward(..)) => Some(forwarded(named)),
        Route::App(Verdict::Deny(_, Denial::SignIn)) if named => {
            Some(PreflightDecision { answer: PreflightAnswer::Answer, configured_origins: true })
        }
        Route::App(Verdict::Deny(_, why)) | Route::Deny(why) => Some(denied(why)),
        Route::Own | Route::AppSignIn(_) => None,
    }
}
