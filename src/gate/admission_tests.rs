//! Tests of admissions: which proofs each grant requires, whatever the rules said.

use std::time::Duration;

use http::Method;

use super::*;
use crate::auth::keys::KeyRing;
use crate::auth::keys::testing::material;
use crate::auth::session::testing::session;
use crate::auth::session::{BegunWith, PendingLogin};
use crate::auth::token::{HashedToken, Kind, PlainToken};
use crate::base::clock::{ManualClock, Timestamp};
use crate::base::random::OsRandom;
use crate::gate::evaluate::{AppRules, Facts, Route, Verdict};
use crate::gate::policy::{NoTrace, Policy};
use crate::gate::rule::{Access, RequestFacts, Rule};

fn token<K: Kind>() -> HashedToken<K> {
    let keys = KeyRing::new(&material()).unwrap();
    *PlainToken::<K>::generate(&keys, &OsRandom::new()).unwrap().hashed()
}

fn pending(begun_with: BegunWith) -> Visitor {
    let identity = session().identity;
    let login = PendingLogin {
        account: identity.account,
        app: "app".to_owned(),
        begun_with,
        started_at: Timestamp::EPOCH,
        expires_at: Timestamp::EPOCH.plus(Duration::from_mins(5)),
        return_to: "/".to_owned(),
        enrolment: None,
        typed_name: None,
        held: None,
        spent: false,
    };
    Visitor::Password(KnownLogin::loaded(login, identity, token()))
}

/// The grant that a rule with this access gives to a visitor who has every proof.
fn grant(access: Access) -> Grant {
    let policy = Policy::new(vec![Rule::new("all", access)]);
    let app = AppRules {
        policy: &policy,
        extra_methods: &[],
        service_workers: false,
        dialect: None,
        first_factor: None,
        related_origins_at: None,
    };
    let facts = Facts::of(RequestFacts {
        method: &Method::GET,
        path: None,
        host: "gw.test",
        client: "192.0.2.7".parse().unwrap(),
        preflight: false,
    });
    let alice = session().identity;
    let who =
        VisitorFacts::Full { identity: &alice, second_factor_at: Timestamp::EPOCH, by_key: false };
    let clock = ManualClock::at(Timestamp::EPOCH);
    let target = policy.target(b"/").unwrap();
    match app.evaluate(&target, &facts, who, &clock, &mut NoTrace) {
        Route::App(Verdict::Forward(_, grant)) => grant,
        Route::Own | Route::AppSignIn(_) | Route::Deny(_) | Route::App(Verdict::Deny(..)) => {
            panic!("{access:?} admits nobody")
        }
    }
}

#[test]
fn a_grant_admits_nobody_without_the_proofs_that_it_requires() {
    let full = || Visitor::Full(KnownSession::loaded(session(), token()));
    let machine = || Visitor::Machine(KnownMachine::loaded(session().identity));
    let by_password = || pending(BegunWith::Password);
    let by_recovery_code = || pending(BegunWith::RecoveryCode);
    // By access: anonymous, password, recovery code, both factors, token.
    for (access, admitted) in [
        (Access::Public, [true; 5]),
        (Access::Password, [false, true, false, true, true]),
        (Access::TwoFactor, [false, false, false, true, true]),
    ] {
        let visitors = [Visitor::Anonymous, by_password(), by_recovery_code(), full(), machine()];
        for (visitor, admitted) in visitors.into_iter().zip(admitted) {
            let shown = format!("{access:?} {:?}", visitor.who());
            match admit(grant(access), visitor.clone()) {
                Ok(admission) => {
                    assert!(admitted, "{shown}");
                    let identified = visitor.identity().is_some() && access != Access::Public;
                    assert_eq!(admission.headers().is_some(), identified, "{shown}");
                    assert_eq!(admission.person().is_some(), identified, "{shown}");
                }
                Err(why) => {
                    assert!(!admitted, "{shown}");
                    assert_eq!(why, Denial::SignIn, "{shown}");
                }
            }
        }
    }
}
