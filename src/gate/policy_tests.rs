//! Tests of rule evaluation.

use std::time::Duration;

use http::Method;

use super::*;
use crate::auth::session::testing::session;
use crate::base::clock::ManualClock;
use crate::gate::glob::PathGlob;
use crate::gate::path::RulePath;

struct Request {
    method: Method,
    path: &'static str,
    host: &'static str,
    client: &'static str,
}

fn get(path: &'static str) -> Request {
    Request { method: Method::GET, path, host: "gw.test", client: "192.0.2.7" }
}

fn person(name: &str, groups: &[&str]) -> Identity {
    let groups = groups.iter().map(|g| (*g).to_owned()).collect();
    Identity { name: name.parse_name(), groups, ..session().identity }
}

trait ParseName {
    fn parse_name(&self) -> crate::auth::account::LoginName;
}

impl ParseName for str {
    fn parse_name(&self) -> crate::auth::account::LoginName {
        crate::auth::account::LoginName::parse(self).unwrap()
    }
}

fn full(identity: &Identity) -> VisitorFacts<'_> {
    VisitorFacts::Full { identity, second_factor_at: Timestamp::EPOCH, by_key: false }
}

fn on(path: &str, access: Access) -> Rule {
    Rule { path: Some(PathGlob::parse(path).unwrap()), ..Rule::new(path, access) }
}

fn ask(policy: &Policy, request: &Request, who: VisitorFacts<'_>) -> (Option<usize>, Outcome) {
    let (ruling, reports) = ask_at(policy, request, who, Duration::ZERO);
    assert_eq!(reports, []);
    (ruling.rule, ruling.outcome)
}

fn ask_at(
    policy: &Policy,
    request: &Request,
    who: VisitorFacts<'_>,
    age: Duration,
) -> (Ruling, Vec<(usize, Outcome)>) {
    let path = RulePath::borrowed(request.path);
    let asked = RequestFacts {
        method: &request.method,
        path: Some(&path),
        host: request.host,
        client: request.client.parse().unwrap(),
        preflight: false,
    };
    let clock = ManualClock::at(Timestamp::EPOCH.plus(age));
    let mut reports = Vec::new();
    let first = policy.first(&asked, &mut NoTrace);
    let ruling = policy.ruling(first, &asked, who, &clock, &mut reports);
    if let Some(public) = policy.public(first) {
        assert_eq!(public, ruling, "what is public is so for everybody");
    }
    (ruling, reports)
}

#[test]
fn the_first_rule_that_matches_decides_and_none_means_two_factors() {
    let reading = Rule { methods: vec![Method::GET], ..on("/public/**", Access::Public) };
    let policy = Policy::new(vec![on("/public/secret/**", Access::Deny), reading]);
    let alice = person("alice", &[]);
    let post = Request { method: Method::POST, ..get("/public/a") };
    assert_eq!(
        ask(&policy, &get("/public/a"), VisitorFacts::Anonymous),
        (Some(1), Outcome::Public)
    );
    assert_eq!(ask(&policy, &post, VisitorFacts::Anonymous), (None, Outcome::SignIn));
    assert_eq!(ask(&policy, &post, full(&alice)), (None, Outcome::TwoFactor));
    assert_eq!(ask(&policy, &get("/public/secret/a"), full(&alice)), (Some(0), Outcome::Forbid));
    assert_eq!(
        ask(&policy, &get("/public/secret/a"), VisitorFacts::Anonymous),
        (Some(0), Outcome::SignIn)
    );
    assert_eq!(ask(&policy, &get("/"), full(&alice)), (None, Outcome::TwoFactor));
}

#[test]
fn every_kind_of_condition_must_hold_and_one_entry_of_each_is_enough() {
    let rule = Rule {
        methods: vec![Method::GET, Method::HEAD],
        hosts: vec![crate::gate::host::HostPattern::Exact("gw.test".to_owned())],
        networks: vec!["192.0.2.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
        users: vec!["alice".parse_name(), "bob".parse_name()],
        groups: vec!["staff".to_owned()],
        ..on("/a/**", Access::Deny)
    };
    let policy = Policy::new(vec![rule]);
    let alice = person("alice", &["staff"]);
    let forbidden = |request: &Request, who: &Identity| {
        ask(&policy, request, full(who)) == (Some(0), Outcome::Forbid)
    };
    assert!(forbidden(&get("/a/b"), &alice));
    assert!(forbidden(&Request { client: "2001:db8::1", ..get("/a/b") }, &alice));
    assert!(forbidden(&Request { client: "::ffff:192.0.2.9", ..get("/a/b") }, &alice));
    for other in [
        get("/b"),
        Request { method: Method::POST, ..get("/a/b") },
        Request { host: "other.test", ..get("/a/b") },
        Request { client: "198.51.100.1", ..get("/a/b") },
    ] {
        assert!(!forbidden(&other, &alice));
    }
    assert!(forbidden(&get("/a/b"), &person("bob", &["readers", "staff"])));
    assert!(!forbidden(&get("/a/b"), &person("carol", &["staff"])));
    assert!(!forbidden(&get("/a/b"), &person("alice", &["Staff"])));
}

#[test]
fn an_unknown_address_gets_the_least_access_of_any_network() {
    let office = |access| Rule {
        networks: vec!["127.0.0.0/8".parse().unwrap()],
        ..Rule::new("office", access)
    };
    let all = |access| Rule::new("all", access);
    let unknown = Request { client: "unknown", ..get("/a") };
    let alice = person("alice", &[]);
    for (rules, nobody, signed_in) in [
        (vec![office(Access::Public)], Outcome::SignIn, Outcome::TwoFactor),
        (vec![office(Access::Password)], Outcome::SignIn, Outcome::TwoFactor),
        (vec![office(Access::Public), all(Access::Deny)], Outcome::SignIn, Outcome::Forbid),
        (vec![office(Access::Deny), all(Access::Public)], Outcome::SignIn, Outcome::Forbid),
        (vec![office(Access::TwoFactor), all(Access::Public)], Outcome::SignIn, Outcome::TwoFactor),
        (vec![office(Access::TwoFactor), all(Access::Deny)], Outcome::SignIn, Outcome::Forbid),
        (vec![office(Access::TwoFactor)], Outcome::SignIn, Outcome::TwoFactor),
        (vec![all(Access::Public)], Outcome::Public, Outcome::Public),
    ] {
        let policy = Policy::new(rules);
        assert_eq!(ask(&policy, &unknown, VisitorFacts::Anonymous).1, nobody, "{policy:?}");
        assert_eq!(ask(&policy, &unknown, full(&alice)).1, signed_in, "{policy:?}");
        let path = RulePath::borrowed(unknown.path);
        let asked = RequestFacts {
            method: &unknown.method,
            path: Some(&path),
            host: unknown.host,
            client: unknown.client.parse().unwrap(),
            preflight: false,
        };
        let denied = policy.denies(policy.first(&asked, &mut NoTrace), &asked);
        assert_eq!(denied, signed_in == Outcome::Forbid, "{policy:?}");
    }
}

#[test]
fn an_anonymous_visitor_never_skips_a_rule_about_users() {
    for access in [Access::Deny, Access::TwoFactor, Access::Password] {
        let about_mallory = Rule { users: vec!["mallory".parse_name()], ..on("/**", access) };
        let policy = Policy::new(vec![about_mallory, on("/public/**", Access::Public)]);
        let request = get("/public/a");
        assert_eq!(ask(&policy, &request, VisitorFacts::Anonymous), (Some(0), Outcome::SignIn));
        let alice = person("alice", &[]);
        assert_eq!(ask(&policy, &request, full(&alice)), (Some(1), Outcome::Public));
        let mallory = person("mallory", &[]);
        assert_eq!(ask(&policy, &request, full(&mallory)).0, Some(0));
    }
}

#[test]
fn the_password_alone_opens_only_routes_with_a_password_rule() {
    let staff = Rule { groups: vec!["staff".to_owned()], ..on("/staff/**", Access::Password) };
    let policy =
        Policy::new(vec![on("/open/**", Access::Password), staff, on("/shut/**", Access::Deny)]);
    let (member, other) = (person("alice", &["staff"]), person("bob", &[]));
    let halfway = |path, who| ask(&policy, &get(path), VisitorFacts::Password(who)).1;
    assert_eq!(halfway("/open/a", &other), Outcome::Password);
    assert_eq!(halfway("/staff/a", &member), Outcome::Password);
    assert_eq!(halfway("/staff/a", &other), Outcome::SignIn);
    assert_eq!(halfway("/shut/a", &other), Outcome::SignIn);
    assert_eq!(halfway("/", &other), Outcome::SignIn);
    assert_eq!(ask(&policy, &get("/open/a"), VisitorFacts::Anonymous).1, Outcome::SignIn);
    assert_eq!(ask(&policy, &get("/open/a"), full(&other)).1, Outcome::Password);
}

#[test]
fn an_old_second_factor_needs_a_step_up() {
    let minutes = |n| Duration::from_mins(n);
    let sign = Rule { max_age: Some(minutes(5)), ..on("/sign", Access::TwoFactor) };
    let policy = Policy::new(vec![sign]);
    let alice = person("alice", &[]);
    let at = |who, age| ask_at(&policy, &get("/sign"), who, age).0.outcome;
    assert_eq!(at(full(&alice), minutes(5)), Outcome::TwoFactor);
    assert_eq!(at(full(&alice), minutes(5) + Duration::from_millis(1)), Outcome::StepUp);
    assert_eq!(at(VisitorFacts::Password(&alice), minutes(9)), Outcome::SignIn);
    assert_eq!(at(VisitorFacts::Anonymous, minutes(9)), Outcome::SignIn);
    assert_eq!(ask_at(&policy, &get("/"), full(&alice), minutes(9)).0.outcome, Outcome::TwoFactor);
}

#[test]
fn a_report_only_rule_changes_nothing() {
    let report = |rule: Rule| Rule { report_only: true, ..rule };
    let policy = Policy::new(vec![
        report(on("/**", Access::Deny)),
        report(Rule { users: vec!["bob".parse_name()], ..on("/a", Access::Public) }),
        on("/a", Access::Public),
    ]);
    let alice = person("alice", &[]);
    let (ruling, reports) = ask_at(&policy, &get("/a"), full(&alice), Duration::ZERO);
    assert_eq!(ruling, Ruling { rule: Some(2), outcome: Outcome::Public });
    assert_eq!(reports, [(0, Outcome::Forbid)]);
    let (ruling, reports) = ask_at(&policy, &get("/a"), VisitorFacts::Anonymous, Duration::ZERO);
    assert_eq!(ruling.outcome, Outcome::Public);
    assert_eq!(reports, [(0, Outcome::SignIn), (1, Outcome::SignIn)]);
}

#[test]
fn only_path_rules_that_act_make_the_target_canonical() {
    let raw = b"/%61//b".as_slice();
    let nowhere = Rule { methods: vec![Method::GET], ..Rule::new("no path", Access::Deny) };
    let policy = Policy::new(vec![nowhere.clone()]);
    let target = policy.target(raw).unwrap();
    assert_eq!((target.forwarded.path(), target.path()), ("/%61//b", None));

    let report = Rule { report_only: true, ..on("/a/**", Access::Deny) };
    let policy = Policy::new(vec![nowhere, report.clone()]);
    let target = policy.target(raw).unwrap();
    assert_eq!((target.forwarded.path(), target.path()), ("/%61//b", None));
    let target = policy.target(b"/%61/b").unwrap();
    assert_eq!(
        (target.forwarded.path(), target.path()),
        ("/%61/b", Some(&RulePath::borrowed("/a/b")))
    );

    let policy = Policy::new(vec![report, on("/x", Access::Deny)]);
    assert!(policy.target(raw).is_err());
    let target = policy.target(b"/%61/b").unwrap();
    assert_eq!(
        (target.forwarded.path(), target.path()),
        ("/a/b", Some(&RulePath::borrowed("/a/b")))
    );
}
