//! `vestibule explain`: predicts the gate's decision on a request and names the deciding rule. It
//! evaluates the same policy as the gate.

use std::io::{self, Write};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::args::ExplainArgs;
use super::check::describe_rule;
use super::failure::Failure;
use super::table::visible;
use super::{Streams, input, meta};
use crate::auth::account::{Identity, LoginName};
use crate::auth::admin::AccountAdmin;
use crate::base::address::ClientIp;
use crate::base::clock::{Clock as _, SystemClock, Timestamp};
use crate::config::settings::Settings;
use crate::gate::dialect::SignInWay;
use crate::gate::policy::{DEFAULT, Outcome, RuleTrace, Ruling, VisitorFacts};
use crate::gate::rule::{Access, Miss, RequestFacts};
use crate::proxy::settings::{AppSettings, Preflight};

/// The rules evaluated before the deciding one, in order, with the result of each.
#[derive(Default)]
struct Trace(Vec<(usize, Step)>);

enum Step {
    Missed(Miss),
    Reported(Outcome),
}

impl RuleTrace for Trace {
    fn missed(&mut self, rule: usize, why: Miss) {
        self.0.push((rule, Step::Missed(why)));
    }

    fn reported(&mut self, rule: usize, outcome: Outcome) {
        self.0.push((rule, Step::Reported(outcome)));
    }
}

/// The request to evaluate.
struct Request<'a> {
    method: Method,
    /// Host in lower case, without a port.
    host: String,
    /// Path and query, byte for byte.
    target: &'a str,
}

/// The client that sends the request.
struct Sender {
    person: Option<Identity>,
    by_password: bool,
    by_token: bool,
    age: Duration,
    client: Option<ClientIp>,
}

impl Sender {
    fn who(&self, clock: &SystemClock) -> VisitorFacts<'_> {
        match &self.person {
            None => VisitorFacts::Anonymous,
            Some(identity) if self.by_password => VisitorFacts::Password(identity),
            // The gate treats a program in the same way.
            Some(identity) if self.by_token => {
                VisitorFacts::Full { identity, second_factor_at: Timestamp::EPOCH }
            }
            Some(identity) => {
                let now = Duration::from_millis(clock.now().as_millis());
                let at = u64::try_from(now.saturating_sub(self.age).as_millis());
                let second_factor_at = Timestamp::from_millis(at.unwrap_or_default());
                VisitorFacts::Full { identity, second_factor_at }
            }
        }
    }

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
        } else {
            format!("second factor verified {} ago", humantime::format_duration(self.age))
        };
        format!("{} ({groups}), {proved}", person.name)
    }
}

/// The result of an evaluation.
struct Evaluation<'a> {
    app: Option<&'a AppSettings>,
    /// Path that rules are matched against.
    path: Option<String>,
    trace: Trace,
    ruling: Option<Ruling>,
    /// Outcome and reason, if decided without the rules.
    early: Option<(&'static str, String)>,
}

/// Evaluates the request and prints the decision.
pub(super) fn explain(arguments: &ExplainArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let settings = input::state_settings(&arguments.state)?;
    let request = request(arguments, &settings)?;
    let sender = sender(arguments)?;
    let evaluation = evaluate(&settings, &request, &sender)?;
    if arguments.state.json {
        return meta::json(&as_json(&request, &sender, &evaluation), streams.output);
    }
    Ok(print(&request, &sender, &evaluation, streams.output)?)
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
        age: arguments.second_factor_age.unwrap_or_default(),
        client: arguments.address,
    })
}

fn person(arguments: &ExplainArgs, name: &str) -> Result<Identity, Failure> {
    let name = LoginName::parse(name)?;
    let shown = async |admin: AccountAdmin| Ok(admin.show(&name).await?);
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
    let mut evaluation = Evaluation {
        app: settings.proxy.app_of(&request.host),
        path: None,
        trace: Trace::default(),
        ruling: None,
        early: None,
    };
    let Some(app) = evaluation.app else {
        let why = format!("no app has the host {:?}: 421", request.host);
        evaluation.early = Some(("unknown_host", why));
        return Ok(evaluation);
    };
    let target = match app.policy.target(request.target.as_bytes()) {
        Ok(target) => target,
        Err(why) => {
            evaluation.early = Some(("malformed", format!("{why}: 400, or 414 if it is too long")));
            return Ok(evaluation);
        }
    };
    if target.forwarded.is_own() {
        let why = "one of Vestibule's own pages; rules do not apply".to_owned();
        evaluation.early = Some(("own_page", why));
        return Ok(evaluation);
    }
    if !app.takes(&request.method) {
        let why = format!("{} is not one of the app's methods: 405", request.method);
        evaluation.early = Some(("method_not_allowed", why));
        return Ok(evaluation);
    }
    let by_network = app.policy.rules().iter().any(|rule| !rule.networks.is_empty());
    let nowhere = ClientIp::new(std::net::Ipv4Addr::UNSPECIFIED.into());
    if by_network && sender.client.is_none() {
        return Err(Failure::usage(
            "the app has rules with `networks`, so a client address is needed",
            "pass --address IP",
        ));
    }
    let client = sender.client.unwrap_or(nowhere);
    let (method, host) = (&request.method, request.host.as_str());
    let asked = RequestFacts { method, path: target.path(), host, client, preflight: false };
    let clock = SystemClock::new();
    let first = app.policy.first(&asked, &mut evaluation.trace);
    evaluation.path = target.path().map(str::to_owned);
    evaluation.early = by_app(app, request, app.policy.denies(first, &asked));
    if evaluation.early.is_some() {
        return Ok(evaluation);
    }
    let who = sender.who(&clock);
    evaluation.ruling = Some(app.policy.ruling(first, &asked, who, &clock, &mut evaluation.trace));
    Ok(evaluation)
}

/// Returns the outcome for a request that is the app's own sign-in or resembles it.
fn by_app(
    app: &AppSettings,
    request: &Request<'_>,
    denied: bool,
) -> Option<(&'static str, String)> {
    let dialect = app.dialect.as_ref().filter(|_| app.first_factor.is_some())?;
    match dialect.sign_in_way(&request.method, request.target.as_bytes(), denied) {
        SignInWay::Other => None,
        SignInWay::Here => {
            let why = "the app's own sign-in: the app checks the password, then Vestibule asks for a code";
            Some(("sign_in_by_app", why.to_owned()))
        }
        SignInWay::Nowhere => {
            let why =
                "the app could treat it as its own sign-in, but it does not match the dialect: 404"
                    .to_owned();
            Some(("not_found", why))
        }
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

/// Describes the answer to the request.
fn outcome(
    evaluation: &Evaluation<'_>,
    ruling: Ruling,
    request: &Request<'_>,
    sender: &Sender,
) -> String {
    let api = evaluation.app.is_some_and(|app| app.answers.is_api(request.target.as_bytes()));
    let elsewhere = |page: &str, code: &str| {
        if api {
            format!("401 JSON with code {code}, because the path is one of api_paths")
        } else {
            format!("303 to {page} for a navigation; 401 JSON with code {code} otherwise")
        }
    };
    match ruling.outcome {
        Outcome::Public => "forwarded without an identity".to_owned(),
        Outcome::Password | Outcome::TwoFactor => "forwarded with the user's identity".to_owned(),
        Outcome::SignIn => {
            let there = elsewhere("/_auth/login", "login_required");
            format!("sign-in required: {there}{}", preflight(evaluation, ruling, request))
        }
        Outcome::StepUp if sender.by_token => {
            "rejected: 403, code forbidden, because a token cannot satisfy max_age".to_owned()
        }
        Outcome::StepUp => {
            let there = elsewhere("/_auth/step-up", "step_up_required");
            format!("second factor required again: {there}")
        }
        Outcome::Forbid => "rejected: 403, code forbidden".to_owned(),
    }
}

/// Describes the answer to a CORS preflight (Fetch Standard §4.8), after a semicolon.
fn preflight(evaluation: &Evaluation<'_>, ruling: Ruling, request: &Request<'_>) -> &'static str {
    let Some(app) = evaluation.app.filter(|_| request.method == Method::OPTIONS) else { return "" };
    let rule = ruling.rule.and_then(|rule| app.policy.rules().get(rule));
    let denied = rule.is_some_and(|rule| rule.access == Access::Deny);
    match (app.answers.preflight, app.answers.cors_origins.is_empty()) {
        (Preflight::Pass, true) if !denied => "; a preflight: forwarded without an identity",
        (Preflight::Pass, false) if !denied => {
            "; a preflight from one of cors_origins: forwarded without an identity"
        }
        (Preflight::Answer | Preflight::Pass, false) => {
            "; a preflight from one of cors_origins: 204 from Vestibule"
        }
        (Preflight::Answer | Preflight::Pass, true) => "",
    }
}

/// Returns the reason for the deciding rule's verdict, if it is not obvious.
fn because(evaluation: &Evaluation<'_>, sender: &Sender) -> Option<&'static str> {
    let rule = evaluation.ruling?.rule.and_then(|rule| evaluation.app?.policy.rules().get(rule));
    let Some(rule) = rule else {
        return Some("no rule matches, and the default is two_factor");
    };
    match evaluation.ruling?.outcome {
        Outcome::SignIn if rule.names_people() && sender.person.is_none() => Some(
            "it names users or groups, and a client that is not signed in could be any of them",
        ),
        Outcome::SignIn if rule.access == Access::Deny => {
            Some("denied paths are not revealed before sign-in")
        }
        Outcome::StepUp if sender.by_token => {
            Some("it has a max_age, which a token cannot satisfy")
        }
        Outcome::StepUp => Some("the second factor is older than its max_age"),
        Outcome::Public
        | Outcome::Password
        | Outcome::TwoFactor
        | Outcome::SignIn
        | Outcome::Forbid => None,
    }
}

fn print(
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
    for (number, step) in &evaluation.trace.0 {
        let Some(rule) = rules.get(*number) else { continue };
        let result = match step {
            Step::Missed(why) => format!("does not match: {}", miss(*why)),
            Step::Reported(outcome) => {
                format!("matches, report only: would {}", outcome.as_str())
            }
        };
        line("rule", &format!("{} → {result}", describe_rule(rule)))?;
    }
    if let Some((_, why)) = &evaluation.early {
        return line("outcome", why);
    }
    let Some(ruling) = evaluation.ruling else { return Ok(()) };
    let decides = ruling.rule.and_then(|rule| rules.get(rule)).map_or_else(
        || "none: default two_factor".to_owned(),
        |rule| format!("{} → decides", describe_rule(rule)),
    );
    line("rule", &decides)?;
    if let Some(why) = because(evaluation, sender) {
        line("because", why)?;
    }
    line("outcome", &outcome(evaluation, ruling, request, sender))
}

fn as_json(request: &Request<'_>, sender: &Sender, evaluation: &Evaluation<'_>) -> Value {
    let rules = evaluation.app.map_or(&[][..], |app| app.policy.rules());
    let name = |number: usize| rules.get(number).map(|rule| rule.name.as_str());
    let steps: Vec<Value> = evaluation
        .trace
        .0
        .iter()
        .map(|(number, step)| match step {
            Step::Missed(why) => json!({ "rule": name(*number), "missed": miss(*why) }),
            Step::Reported(would) => json!({ "rule": name(*number), "would": would.as_str() }),
        })
        .collect();
    let decides = evaluation.ruling.map(|ruling| match ruling.rule.and_then(|n| rules.get(n)) {
        Some(rule) => json!({ "rule": rule.name, "access": rule.access.as_str() }),
        None => json!({ "rule": DEFAULT, "access": Access::TwoFactor.as_str() }),
    });
    let outcome = evaluation.ruling.map(|ruling| {
        let refused = sender.by_token && ruling.outcome == Outcome::StepUp;
        if refused { Outcome::Forbid } else { ruling.outcome }
    });
    let identified = match outcome {
        Some(Outcome::Password | Outcome::TwoFactor) => sender.person.as_ref(),
        Some(Outcome::Public | Outcome::SignIn | Outcome::StepUp | Outcome::Forbid) | None => None,
    };
    json!({
        "method": request.method.as_str(),
        "host": request.host,
        "app": evaluation.app.map(|app| &app.name),
        "path": evaluation.path,
        "user": sender.person.as_ref().map(|person| person.name.as_str()),
        "groups": sender.person.as_ref().map(|person| &person.groups),
        "passed": steps,
        "decides": decides,
        "because": because(evaluation, sender),
        "outcome": evaluation.early.as_ref().map_or_else(
            || outcome.map(Outcome::as_str),
            |(outcome, _)| Some(*outcome),
        ),
        "told": identified.map(|person| person.name.as_str()),
    })
}
