//! Tests of the decision: every outcome for every kind of visitor, and both ways to the same one.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::auth::account::{Identity, LoginName};
use crate::auth::session::testing::session;
use crate::base::clock::{ManualClock, Timestamp};
use crate::gate::fold::work;
use crate::gate::glob::PathGlob;
use crate::gate::path::RulePath;
use crate::gate::policy::{NoTrace, Step, Steps};
use crate::gate::rule::{Access, Rule};
use crate::gate::target::MAX_TARGET;

/// The age that rules with a maximum allow.
const MAX_AGE: Duration = Duration::from_mins(5);

/// The kinds of visitors. All of them but the first are alice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Anonymous,
    Password,
    Fresh,
    Stale,
    Machine,
}

const KINDS: [Kind; 5] = [Kind::Anonymous, Kind::Password, Kind::Fresh, Kind::Stale, Kind::Machine];

fn clock() -> ManualClock {
    ManualClock::at(Timestamp::EPOCH.plus(Duration::from_hours(1)))
}

fn who(kind: Kind, alice: &Identity) -> VisitorFacts<'_> {
    let proved = |ago| VisitorFacts::Full {
        identity: alice,
        second_factor_at: Timestamp::EPOCH.plus(Duration::from_hours(1).saturating_sub(ago)),
        by_key: false,
    };
    match kind {
        Kind::Anonymous => VisitorFacts::Anonymous,
        Kind::Password => VisitorFacts::Password(alice),
        Kind::Fresh => proved(MAX_AGE),
        Kind::Stale => proved(MAX_AGE + Duration::from_millis(1)),
        Kind::Machine => VisitorFacts::Machine(alice),
    }
}

fn name(text: &str) -> LoginName {
    LoginName::parse(text).unwrap()
}

fn app(policy: &Policy) -> AppRules<'_> {
    AppRules {
        policy,
        extra_methods: &[],
        service_workers: false,
        dialect: None,
        first_factor: None,
        related_origins_at: None,
    }
}

static PATH: RulePath<'static> = RulePath::borrowed("/a/b");

fn asked(method: &Method) -> RequestFacts<'_> {
    RequestFacts {
        method,
        path: Some(&PATH),
        host: "gw.test",
        client: "192.0.2.7".parse().unwrap(),
        preflight: false,
    }
}

/// The end of a request, as a test names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Public,
    Admitted,
    Denied(Denial),
}

fn end(route: Route<Verdict>) -> End {
    match route {
        Route::App(Verdict::Forward(_, grant)) if grant.is_public() => End::Public,
        Route::App(Verdict::Forward(..)) => End::Admitted,
        Route::App(Verdict::Deny(_, why)) | Route::Deny(why) => End::Denied(why),
        Route::Own | Route::AppSignIn(_) => panic!("not for the app: {route:?}"),
    }
}

fn evaluate(policy: &Policy, facts: &Facts<'_>, kind: Kind) -> Route<Verdict> {
    let alice = session().identity;
    let target = policy.target(b"/a/b").unwrap();
    app(policy).evaluate(&target, facts, who(kind, &alice), &clock(), &mut NoTrace)
}

#[test]
fn every_kind_of_visitor_gets_the_end_that_each_access_has_for_it() {
    const SIGN_IN: End = End::Denied(Denial::SignIn);
    const STEP_UP: End = End::Denied(Denial::StepUp);
    const NEVER: End = End::Denied(Denial::StepUpOfMachine);
    const DENIED: End = End::Denied(Denial::Forbidden);
    use End::{Admitted, Public};
    let recent = Some(MAX_AGE);
    for (access, max_age, ends) in [
        (Access::Public, None, [Public; 5]),
        (Access::Password, None, [SIGN_IN, Admitted, Admitted, Admitted, Admitted]),
        (Access::TwoFactor, None, [SIGN_IN, SIGN_IN, Admitted, Admitted, Admitted]),
        (Access::TwoFactor, recent, [SIGN_IN, SIGN_IN, Admitted, STEP_UP, NEVER]),
        (Access::Deny, None, [SIGN_IN, SIGN_IN, DENIED, DENIED, DENIED]),
    ] {
        let policy = Policy::new(vec![Rule { max_age, ..Rule::new("all", access) }]);
        for (kind, expected) in KINDS.into_iter().zip(ends) {
            let route = evaluate(&policy, &Facts::of(asked(&Method::GET)), kind);
            assert_eq!(end(route), expected, "{access:?} {max_age:?} {kind:?}");
        }
    }
}

#[test]
fn a_rule_about_other_users_concerns_only_those_who_are_not_signed_in() {
    let about = Rule { users: vec![name("mallory")], ..Rule::new("mallory", Access::Public) };
    let policy = Policy::new(vec![about, Rule::new("rest", Access::Deny)]);
    for kind in KINDS {
        let expected = match kind {
            Kind::Anonymous | Kind::Password => Denial::SignIn,
            Kind::Fresh | Kind::Stale | Kind::Machine => Denial::Forbidden,
        };
        let route = evaluate(&policy, &Facts::of(asked(&Method::GET)), kind);
        assert_eq!(end(route), End::Denied(expected), "{kind:?}");
    }
}

#[test]
fn only_a_program_with_an_identity_may_open_a_websocket_without_an_origin() {
    for access in [Access::Public, Access::Password, Access::TwoFactor] {
        let policy = Policy::new(vec![Rule::new("all", access)]);
        for kind in KINDS {
            let at = |handshake| {
                let facts = Facts { handshake, ..Facts::of(asked(&Method::GET)) };
                end(evaluate(&policy, &facts, kind))
            };
            let plain = at(Handshake::None);
            assert_eq!(at(Handshake::Here), plain, "{access:?} {kind:?}");
            let foreign = End::Denied(Denial::ForeignOrigin);
            assert_eq!(at(Handshake::Foreign), foreign, "{access:?} {kind:?}");
            let program = kind == Kind::Machine && access != Access::Public;
            let denied = matches!(plain, End::Denied(_));
            let unnamed = if program || denied { plain } else { foreign };
            assert_eq!(at(Handshake::Unnamed), unnamed, "{access:?} {kind:?}");
        }
    }
}

#[test]
fn a_credential_in_the_url_of_a_public_path_is_rejected_for_everyone() {
    let found = |all: &[&str], in_query: bool| Credentials {
        all: all.iter().map(|token| token.as_bytes().to_vec()).collect(),
        only_cookies: !in_query,
        in_query,
    };
    for (credentials, rejected) in
        [(found(&["x"], true), true), (found(&["x"], false), false), (found(&[], true), false)]
    {
        for kind in KINDS {
            let facts = Facts { credentials: Some(&credentials), ..Facts::of(asked(&Method::GET)) };
            let public = Policy::new(vec![Rule::new("all", Access::Public)]);
            let expected = if rejected { End::Denied(Denial::TokenInUrl) } else { End::Public };
            assert_eq!(end(evaluate(&public, &facts, kind)), expected, "{kind:?}");
            // Elsewhere it is verified with the visitor.
            let private = Policy::default();
            let plain = evaluate(&private, &Facts::of(asked(&Method::GET)), kind);
            assert_eq!(evaluate(&private, &facts, kind), plain, "{kind:?}");
        }
    }
}

#[test]
fn a_preflight_passes_where_a_sign_in_would_be_asked_for_unless_a_rule_denies() {
    for access in [Access::Public, Access::Password, Access::TwoFactor, Access::Deny] {
        let policy = Policy::new(vec![Rule::new("all", access)]);
        for kind in KINDS {
            let request = RequestFacts { preflight: true, ..asked(&Method::OPTIONS) };
            let plain = end(evaluate(&policy, &Facts::of(asked(&Method::OPTIONS)), kind));
            let passes = plain == End::Denied(Denial::SignIn) && access != Access::Deny;
            let expected = if passes { End::Public } else { plain };
            let route = evaluate(&policy, &Facts::of(request), kind);
            assert_eq!(end(route), expected, "{access:?} {kind:?}");
        }
    }
}

#[test]
fn some_requests_never_come_to_the_rules() {
    let policy = Policy::new(vec![Rule::new("all", Access::Public)]);
    let route = |raw: &str, method: &Method, service_worker| {
        let target = policy.target(raw.as_bytes()).unwrap();
        let facts = Facts { service_worker, ..Facts::of(asked(method)) };
        let mut steps = Steps::default();
        let who = VisitorFacts::Anonymous;
        let route = app(&policy).evaluate(&target, &facts, who, &clock(), &mut steps);
        assert_eq!(steps, Steps::default());
        route
    };
    assert_eq!(route("/_auth/login", &Method::GET, false), Route::Own);
    // A method of no app is answered by Vestibule's page itself.
    assert_eq!(route("/_auth/login", &Method::TRACE, false), Route::Own);
    assert_eq!(route("/a", &Method::TRACE, false), Route::Deny(Denial::Method));
    assert_eq!(route("/sw.js", &Method::GET, true), Route::Deny(Denial::ServiceWorker));
    assert!(matches!(route("/js/sw.js", &Method::GET, true), Route::App(Verdict::Forward(..))));
    assert!(matches!(route("/sw.js", &Method::GET, false), Route::App(Verdict::Forward(..))));
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let access = prop::sample::select(vec![
        Access::Public,
        Access::Password,
        Access::TwoFactor,
        Access::Deny,
    ]);
    let paths = prop::sample::select(vec![None, Some("/a/**"), Some("/a/b"), Some("/c")]);
    let users = prop::sample::select(vec![None, Some("alice"), Some("mallory")]);
    let networks = prop::sample::select(vec![None, Some("192.0.2.0/24"), Some("10.0.0.0/8")]);
    let maximum = prop::sample::select(vec![None, Some(MAX_AGE)]);
    let post = any::<bool>();
    (access, paths, users, networks, maximum, post, any::<bool>()).prop_map(
        |(access, path, user, network, max_age, post, report_only)| Rule {
            path: path.map(|path| PathGlob::parse(path).unwrap()),
            users: user.map(name).into_iter().collect(),
            networks: network.map(|net| net.parse().unwrap()).into_iter().collect(),
            methods: if post { vec![Method::POST] } else { Vec::new() },
            max_age,
            report_only,
            ..Rule::new("rule", access)
        },
    )
}

/// The longest targets by what folding makes of them: characters with long forms, invisible characters,
/// accents, ASCII beside one other character, many segments, and several encodings.
fn long_targets() -> impl Iterator<Item = String> {
    let fill = |with: &str, end: &str| {
        format!("/{}{end}", with.repeat((MAX_TARGET - 1 - end.len()) / with.len()))
    };
    [
        fill("%EF%B7%BA", ""),
        fill("%E3%8C%96", ""),
        fill("%EF%AC%83", ""),
        fill("%E2%80%8B", ""),
        fill("%CC%81", ""),
        fill("a", "%C5%BF"),
        fill("%C5%BF/", "a"),
    ]
    .into_iter()
}

#[test]
fn a_path_is_folded_once_for_all_rules() {
    let closing = |number| Rule {
        path: Some(PathGlob::parse(&format!("/closed-{number}/**/a")).unwrap()),
        ..Rule::new(format!("closed {number}"), Access::Deny)
    };
    let policy = Policy::new((0..20).map(closing).collect());
    let app = app(&policy);
    let alice = session().identity;
    for raw in long_targets() {
        let target = policy.target(raw.as_bytes()).unwrap();
        let decided = |path: Option<&RulePath<'_>>| {
            work::of(|| {
                let asked = RequestFacts { path, ..asked(&Method::GET) };
                let (facts, who) = (Facts::of(asked), who(Kind::Fresh, &alice));
                let route = app.evaluate(&target, &facts, who, &clock(), &mut NoTrace);
                assert_eq!(end(route), End::Admitted, "{raw}");
            })
        };
        let folded = decided(target.path());
        assert!((1..=MAX_TARGET).contains(&folded), "{folded} characters of {raw}");
        let kept = target.path().map(RulePath::to_static);
        assert_eq!(decided(kept.as_ref()), 0, "{raw}");
    }
    let target = policy.target(b"/a/b").unwrap();
    assert!(target.path().unwrap().spellings().is_none(), "a path in ASCII is not folded");
}

proptest! {
    /// The proxy takes the halves of the sequence, and a shortcut to public paths.
    #[test]
    fn both_ways_through_the_rules_end_the_same(
        rules in prop::collection::vec(any_rule(), 0..5),
        unknown in any::<bool>(),
        preflight in any::<bool>(),
    ) {
        let policy = Policy::new(rules);
        let client = if unknown { "unknown" } else { "192.0.2.7" };
        let asked =
            RequestFacts { client: client.parse().unwrap(), preflight, ..asked(&Method::GET) };
        let (facts, alice, clock) = (Facts::of(asked), session().identity, clock());
        let target = policy.target(b"/a/b").unwrap();
        let app = app(&policy);
        let Route::App(first) = app.route(&target, &facts, &mut NoTrace) else {
            panic!("not for the app");
        };
        for kind in KINDS {
            let who = who(kind, &alice);
            let mut steps = Steps::default();
            let whole = app.evaluate(&target, &facts, who, &clock, &mut steps);
            let mut reports = Vec::new();
            let half = app.verdict(first, &facts, who, &clock, &mut reports);
            prop_assert_eq!(whole, Route::App(half));
            // The trace that explains says the same as the one that is counted.
            let explained = steps.0.iter().filter_map(|(rule, step)| match step {
                Step::Reported(outcome) => Some((*rule, *outcome)),
                Step::Missed(_) => None,
            });
            prop_assert_eq!(explained.collect::<Vec<_>>(), reports);
            if let Some(public) = app.public(first, &facts) {
                prop_assert_eq!(public, half, "public for {:?}", kind);
            }
            if let Some(public) = app.public_without_reports(first, &facts) {
                prop_assert_eq!(public, half, "public without reports for {:?}", kind);
            }
        }
    }

    /// More proofs never give less access, and report-only rules give or take none.
    #[test]
    fn no_rules_admit_a_visitor_without_the_proofs(
        rules in prop::collection::vec(any_rule(), 0..5),
    ) {
        let facts = Facts::of(asked(&Method::GET));
        let policy = Policy::new(rules.clone());
        let acting = Policy::new(rules.into_iter().filter(|rule| !rule.report_only).collect());
        let grants_password = acting.has_password_only_rule();
        for kind in KINDS {
            let got = end(evaluate(&policy, &facts, kind));
            prop_assert_eq!(got, end(evaluate(&acting, &facts, kind)));
            if got == End::Admitted {
                prop_assert_ne!(kind, Kind::Anonymous);
                prop_assert!(kind != Kind::Password || grants_password);
            }
            let asks_again = got == End::Denied(Denial::StepUp);
            prop_assert!(!asks_again || kind == Kind::Stale);
            prop_assert!(got != End::Denied(Denial::StepUpOfMachine) || kind == Kind::Machine);
        }
    }
}
