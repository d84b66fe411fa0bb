//! `vestibule explain`: what the gate would do with a request, and which rule says so. It asks the
//! very policy that the gate asks.

use std::io::{self, Write};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::args::ExplainArgs;
use super::check::in_words;
use super::failure::Failure;
use super::table::visible;
use super::{Streams, input, meta};
use crate::auth::account::{Identity, LoginName};
use crate::auth::admin::AccountAdmin;
use crate::base::address::ClientIp;
use crate::base::clock::{Clock as _, SystemClock, Timestamp};
use crate::config::settings::Settings;
use crate::gate::dialect::SignInWay;
use crate::gate::policy::{DEFAULT, Outcome, Ruling, Watch, Who};
use crate::gate::rule::{Access, Asked, Miss};
use crate::proxy::settings::{AppSettings, Preflight};

/// What became of each rule that was asked, in order.
#[derive(Default)]
struct Trace(Vec<(usize, Step)>);

enum Step {
    Missed(Miss),
    Reported(Outcome),
}

impl Watch for Trace {
    fn missed(&mut self, rule: usize, why: Miss) {
        self.0.push((rule, Step::Missed(why)));
    }

    fn reported(&mut self, rule: usize, outcome: Outcome) {
        self.0.push((rule, Step::Reported(outcome)));
    }
}

/// A request as it would be sent.
struct Request<'a> {
    method: Method,
    /// In lower case, without a port.
    host: String,
    /// Path and query, byte for byte.
    target: &'a str,
}

/// Who would send it.
struct Sender {
    person: Option<Identity>,
    by_password: bool,
    by_token: bool,
    age: Duration,
    client: Option<ClientIp>,
}

impl Sender {
    fn who(&self, clock: &SystemClock) -> Who<'_> {
        match &self.person {
            None => Who::Nobody,
            Some(identity) if self.by_password => Who::Password(identity),
            // As the gate sees a program.
            Some(identity) if self.by_token => {
                Who::Full { identity, second_factor_at: Timestamp::EPOCH }
            }
            Some(identity) => {
                let now = Duration::from_millis(clock.now().as_millis());
                let at = u64::try_from(now.saturating_sub(self.age).as_millis());
                let second_factor_at = Timestamp::from_millis(at.unwrap_or_default());
                Who::Full { identity, second_factor_at }
            }
        }
    }

    fn in_words(&self) -> String {
        let Some(person) = &self.person else { return "nobody is signed in".to_owned() };
        let groups = if person.groups.is_empty() {
            "in no group".to_owned()
        } else {
            format!("in {}", person.groups.join(", "))
        };
        let proved = if self.by_password {
            "only the password proved".to_owned()
        } else if self.by_token {
            "a program with a token".to_owned()
        } else {
            format!("second factor proved {} ago", humantime::format_duration(self.age))
        };
        format!("{} ({groups}), {proved}", person.name)
    }
}

/// What is found out.
struct Finding<'a> {
    app: Option<&'a AppSettings>,
    /// The path that rules look at.
    path: Option<String>,
    trace: Trace,
    ruling: Option<Ruling>,
    /// Where it is clear without the rules.
    without: Option<(&'static str, String)>,
}

/// Explains.
pub(super) fn explain(arguments: &ExplainArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let settings = input::state_settings(&arguments.state)?;
    let request = request(arguments, &settings)?;
    let sender = sender(arguments)?;
    let finding = find(&settings, &request, &sender)?;
    if arguments.state.json {
        return meta::json(&as_json(&request, &sender, &finding), streams.output);
    }
    Ok(print(&request, &sender, &finding, streams.output)?)
}

fn request<'a>(arguments: &'a ExplainArgs, settings: &Settings) -> Result<Request<'a>, Failure> {
    let hint = "write it like: vestibule explain GET https://app.example.com/path";
    let method = Method::from_bytes(arguments.method.as_bytes())
        .map_err(|_not_a_token| Failure::usage("that is not a method", hint))?;
    // Not parsed as browsers would: dot segments and encodings are what it may be about.
    let rest = match arguments.url.split_once("://") {
        Some((_scheme, rest)) => rest,
        None if arguments.url.starts_with('/') => {
            let host = settings.public_url.split_once("://").map_or("", |(_, host)| host);
            return Ok(Request { method, host: name_of(host), target: &arguments.url });
        }
        None => return Err(Failure::usage("that is not an address", hint)),
    };
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, target) = rest.split_at(at);
    let target = if target.is_empty() { "/" } else { target };
    Ok(Request { method, host: name_of(host), target })
}

/// A host in lower case without its port.
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
        let why = format!("{name} is disabled: explain the request without --user");
        return Err(Failure::failed(why, None));
    }
    let mut identity = account.identity;
    identity.groups.extend(arguments.groups.iter().cloned());
    Ok(identity)
}

fn find<'a>(
    settings: &'a Settings,
    request: &Request<'_>,
    sender: &Sender,
) -> Result<Finding<'a>, Failure> {
    let mut finding = Finding {
        app: settings.proxy.app_of(&request.host),
        path: None,
        trace: Trace::default(),
        ruling: None,
        without: None,
    };
    let Some(app) = finding.app else {
        let why = format!("no app is served under {:?}: 421", request.host);
        finding.without = Some(("unknown_host", why));
        return Ok(finding);
    };
    let target = match app.policy.target(request.target.as_bytes()) {
        Ok(target) => target,
        Err(why) => {
            finding.without = Some(("malformed", format!("{why}: 400, or 414 for one too long")));
            return Ok(finding);
        }
    };
    if target.forwarded.is_own() {
        let why = "one of Vestibule's own pages, which no rule changes".to_owned();
        finding.without = Some(("own_page", why));
        return Ok(finding);
    }
    if !app.takes(&request.method) {
        let why = format!("{} is not among the app's methods: 405", request.method);
        finding.without = Some(("method_not_allowed", why));
        return Ok(finding);
    }
    let by_network = app.policy.rules().iter().any(|rule| !rule.networks.is_empty());
    let nowhere = ClientIp::new(std::net::Ipv4Addr::UNSPECIFIED.into());
    if by_network && sender.client.is_none() {
        return Err(Failure::usage(
            "the app has rules that go by the network of the client",
            "say where the request would come from: --address IP",
        ));
    }
    let client = sender.client.unwrap_or(nowhere);
    let (method, host) = (&request.method, request.host.as_str());
    let asked = Asked { method, path: target.path(), host, client, preflight: false };
    let clock = SystemClock::new();
    let first = app.policy.first(&asked, &mut finding.trace);
    finding.path = target.path().map(str::to_owned);
    finding.without = by_app(app, request, app.policy.denies(first, &asked));
    if finding.without.is_some() {
        return Ok(finding);
    }
    let who = sender.who(&clock);
    finding.ruling = Some(app.policy.ruling(first, &asked, who, &clock, &mut finding.trace));
    Ok(finding)
}

/// What becomes of a request that is the app's own sign-in, or looks like it.
fn by_app(
    app: &AppSettings,
    request: &Request<'_>,
    denied: bool,
) -> Option<(&'static str, String)> {
    let dialect = app.dialect.as_ref().filter(|_| app.first_factor.is_some())?;
    match dialect.sign_in_way(&request.method, request.target.as_bytes(), denied) {
        SignInWay::Other => None,
        SignInWay::Here => {
            let why =
                "the app's own sign-in: it asks the app about the password, and then for a code";
            Some(("sign_in_by_app", why.to_owned()))
        }
        SignInWay::Nowhere => {
            let why = "the app might take it for its sign-in, which it is not: 404".to_owned();
            Some(("not_found", why))
        }
    }
}

fn miss(why: Miss) -> &'static str {
    match why {
        Miss::Method => "another method",
        Miss::Host => "another host",
        Miss::Network => "another network",
        Miss::AddressUnknown => "the address of the client is unknown",
        Miss::Path => "another path",
        Miss::User => "another person",
        Miss::Group => "the person is in none of its groups",
    }
}

/// What would happen, and to whom.
fn outcome(
    finding: &Finding<'_>,
    ruling: Ruling,
    request: &Request<'_>,
    sender: &Sender,
) -> String {
    let api = finding.app.is_some_and(|app| app.answers.is_api(request.target.as_bytes()));
    let elsewhere = |page: &str, code: &str| {
        if api {
            format!("401 JSON with the code {code}: the path is one of api_paths")
        } else {
            format!("a page that is opened: 303 to {page}; anything else: 401 JSON, code {code}")
        }
    };
    match ruling.outcome {
        Outcome::Public => "forwarded; the app is told of nobody".to_owned(),
        Outcome::Password | Outcome::TwoFactor => "forwarded; the app is told who it is".to_owned(),
        Outcome::SignIn => {
            let there = elsewhere("/_auth/login", "login_required");
            format!("asked to sign in. {there}{}", preflight(finding, ruling, request))
        }
        Outcome::StepUp if sender.by_token => {
            "refused: 403, code forbidden: no token stands for a code typed recently".to_owned()
        }
        Outcome::StepUp => {
            let there = elsewhere("/_auth/step-up", "step_up_required");
            format!("asked for the second factor again. {there}")
        }
        Outcome::Forbid => "refused: 403, code forbidden".to_owned(),
    }
}

/// What becomes of such a request where it asks on behalf of another origin (Fetch Standard §4.8).
fn preflight(finding: &Finding<'_>, ruling: Ruling, request: &Request<'_>) -> &'static str {
    let Some(app) = finding.app.filter(|_| request.method == Method::OPTIONS) else { return "" };
    let rule = ruling.rule.and_then(|rule| app.policy.rules().get(rule));
    let denied = rule.is_some_and(|rule| rule.access == Access::Deny);
    match (app.answers.preflight, app.answers.cors_origins.is_empty()) {
        (Preflight::Pass, true) if !denied => "; a preflight: forwarded, the app is told of nobody",
        (Preflight::Pass, false) if !denied => {
            "; a preflight of one of cors_origins: forwarded, the app is told of nobody"
        }
        (Preflight::Answer | Preflight::Pass, false) => {
            "; a preflight of one of cors_origins: 204, answered here"
        }
        (Preflight::Answer | Preflight::Pass, true) => "",
    }
}

/// Why the deciding rule decides so, where that is not plain.
fn because(finding: &Finding<'_>, sender: &Sender) -> Option<&'static str> {
    let rule = finding.ruling?.rule.and_then(|rule| finding.app?.policy.rules().get(rule));
    let Some(rule) = rule else {
        return Some("no rule is about it, so two factors are asked for");
    };
    match finding.ruling?.outcome {
        Outcome::SignIn if rule.names_people() && sender.person.is_none() => Some(
            "it is about certain people: who is not known might be one of them, and gets no further",
        ),
        Outcome::SignIn if rule.access == Access::Deny => {
            Some("nobody learns that it is closed without having signed in")
        }
        Outcome::StepUp if sender.by_token => Some("it has a max_age, which no token meets"),
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
    finding: &Finding<'_>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut line = |key: &str, text: &str| writeln!(out, "{key:<10} {}", visible(text));
    let host = &request.host;
    line("request", &format!("{} https://{host}{}", request.method, request.target))?;
    line("app", finding.app.map_or("none", |app| &app.name))?;
    line("visitor", &sender.in_words())?;
    if let Some(client) = sender.client {
        line("address", &client.to_string())?;
    }
    line("path", finding.path.as_deref().unwrap_or("as it is: no rule decides by path"))?;
    let rules = finding.app.map_or(&[][..], |app| app.policy.rules());
    for (number, step) in &finding.trace.0 {
        let Some(rule) = rules.get(*number) else { continue };
        let became = match step {
            Step::Missed(why) => format!("does not match: {}", miss(*why)),
            Step::Reported(outcome) => {
                format!("matches and only reports: would {}", outcome.as_str())
            }
        };
        line("rule", &format!("{} → {became}", in_words(rule)))?;
    }
    if let Some((_, why)) = &finding.without {
        return line("outcome", why);
    }
    let Some(ruling) = finding.ruling else { return Ok(()) };
    let decides = ruling.rule.and_then(|rule| rules.get(rule)).map_or_else(
        || "no rule: two_factor".to_owned(),
        |rule| format!("{} → decides", in_words(rule)),
    );
    line("rule", &decides)?;
    if let Some(why) = because(finding, sender) {
        line("because", why)?;
    }
    line("outcome", &outcome(finding, ruling, request, sender))
}

fn as_json(request: &Request<'_>, sender: &Sender, finding: &Finding<'_>) -> Value {
    let rules = finding.app.map_or(&[][..], |app| app.policy.rules());
    let name = |number: usize| rules.get(number).map(|rule| rule.name.as_str());
    let steps: Vec<Value> = finding
        .trace
        .0
        .iter()
        .map(|(number, step)| match step {
            Step::Missed(why) => json!({ "rule": name(*number), "missed": miss(*why) }),
            Step::Reported(would) => json!({ "rule": name(*number), "would": would.as_str() }),
        })
        .collect();
    let decides = finding.ruling.map(|ruling| match ruling.rule.and_then(|n| rules.get(n)) {
        Some(rule) => json!({ "rule": rule.name, "access": rule.access.as_str() }),
        None => json!({ "rule": DEFAULT, "access": Access::TwoFactor.as_str() }),
    });
    let outcome = finding.ruling.map(|ruling| {
        let refused = sender.by_token && ruling.outcome == Outcome::StepUp;
        if refused { Outcome::Forbid } else { ruling.outcome }
    });
    let told = match outcome {
        Some(Outcome::Password | Outcome::TwoFactor) => sender.person.as_ref(),
        Some(Outcome::Public | Outcome::SignIn | Outcome::StepUp | Outcome::Forbid) | None => None,
    };
    json!({
        "method": request.method.as_str(),
        "host": request.host,
        "app": finding.app.map(|app| &app.name),
        "path": finding.path,
        "user": sender.person.as_ref().map(|person| person.name.as_str()),
        "groups": sender.person.as_ref().map(|person| &person.groups),
        "passed": steps,
        "decides": decides,
        "because": because(finding, sender),
        "outcome": finding.without.as_ref().map_or_else(
            || outcome.map(Outcome::as_str),
            |(outcome, _)| Some(*outcome),
        ),
        "told": told.map(|person| person.name.as_str()),
    })
}
