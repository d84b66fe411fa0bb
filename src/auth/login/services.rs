//! The use cases, one service each, over one bundle of stores.

use std::fmt;
use std::sync::Arc;

use super::app_passwords::AppPasswords;
use super::change::OwnAccount;
use super::deps::LoginDeps;
use super::enrol::Enrolments;
use super::events::Journal;
use super::factor_limits::FactorLimits;
use super::first::SignIn;
use super::first_again::FirstAgain;
use super::forgot::ForgottenPasswords;
use super::guesses::PasswordLimits;
use super::hand_overs::AppHandOvers;
use super::key::{Keys, OwnKeys, Passkeys};
use super::logins::Logins;
use super::machine::TokenUses;
use super::new_sessions::NewSessions;
use super::offered_codes::OwnCodes;
use super::omitted_rows::OmittedRows;
use super::parked::Parking;
use super::prove::FactorCheck;
use super::replace::OwnAuthenticators;
use super::second::SecondFactors;
use super::sessions::OpenSessions;
use super::setup::OneTimeLinks;
use super::step_up::StepUps;
use crate::auth::first_factor::FirstFactors;
use crate::auth::keys::KeyRing;
use crate::auth::session::SessionLimits;
use crate::auth::webauthn::relying_party::KeySettings;
use crate::base::clock::Timestamp;
use crate::base::random::Random;

/// The use cases of signing in and out, one service each.
pub struct Services {
    deps: Arc<LoginDeps>,
    /// Records the events of users in the audit log.
    pub journal: Arc<Journal>,
    /// Pending logins.
    pub logins: Arc<Logins>,
    /// Challenges and answers of passkeys and security keys.
    pub keys: Arc<Keys>,
    /// Sessions that are open.
    pub sessions: Arc<OpenSessions>,
    /// The second factor of a login.
    pub second: Arc<SecondFactors>,
    /// Enrolment in a login.
    pub enrolments: Arc<Enrolments>,
    /// The first factor of a login.
    pub first: Arc<SignIn>,
    /// Sign-in with a passkey alone.
    pub passkeys: Arc<Passkeys>,
    /// One-time links.
    pub links: Arc<OneTimeLinks>,
    /// Recovery codes in place of a forgotten password.
    pub forgotten: Arc<ForgottenPasswords>,
    /// Fresh proofs within a session.
    pub step_ups: Arc<StepUps>,
    /// The account as its user sees and changes it.
    pub account: Arc<OwnAccount>,
    /// The recovery codes of a signed-in user.
    pub codes: Arc<OwnCodes>,
    /// The authenticator app of a signed-in user.
    pub authenticators: Arc<OwnAuthenticators>,
    /// The passkeys and security keys of a signed-in user.
    pub own_keys: Arc<OwnKeys>,
    /// The use of long-lived tokens.
    pub tokens: Arc<TokenUses>,
    /// Hand-overs from the portal to apps.
    pub hand_overs: Arc<AppHandOvers>,
    /// Requests that wait for their sender.
    pub parking: Arc<Parking>,
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Services(…)")
    }
}

impl Services {
    /// Creates the services over these stores.
    pub fn new(deps: LoginDeps) -> Self {
        let parts = Parts::new(Arc::new(deps));
        let second = Arc::new(parts.second());
        let step_ups = Arc::new(parts.step_ups());
        let codes = Arc::new(parts.codes(&step_ups));
        Self {
            enrolments: Arc::new(parts.enrolments(&second)),
            first: Arc::new(parts.first()),
            passkeys: Arc::new(parts.passkeys()),
            links: Arc::new(parts.links()),
            forgotten: Arc::new(parts.forgotten()),
            account: Arc::new(parts.account(&step_ups)),
            authenticators: Arc::new(parts.authenticators(&codes)),
            own_keys: Arc::new(parts.own_keys(&step_ups)),
            tokens: Arc::new(parts.tokens()),
            hand_overs: Arc::new(parts.hand_overs()),
            second,
            step_ups,
            codes,
            parking: Arc::clone(&parts.new_sessions.parking),
            journal: parts.journal,
            logins: parts.logins,
            keys: parts.keys,
            sessions: parts.sessions,
            deps: parts.deps,
        }
    }

    /// Returns the key ring, for CSRF tokens and for reading cookies.
    pub fn keys(&self) -> &KeyRing {
        &self.deps.keys
    }

    /// Returns the source of random bytes.
    pub fn random(&self) -> &dyn Random {
        &*self.deps.random
    }

    /// Returns the minimum length of a new password.
    pub fn password_length(&self) -> usize {
        self.deps.passwords.policy().min_length()
    }

    /// Returns the lifetimes of sessions and pending logins.
    pub fn limits(&self) -> SessionLimits {
        self.deps.limits
    }

    /// Returns the current time.
    pub fn now(&self) -> Timestamp {
        self.deps.clock.now()
    }

    /// Returns the settings of keys.
    pub fn key_settings(&self) -> &KeySettings {
        &self.deps.key_settings
    }
}

/// The parts that several services share. Each part uses only parts above it.
struct Parts {
    deps: Arc<LoginDeps>,
    first_factors: Arc<FirstFactors>,
    journal: Arc<Journal>,
    limits: Arc<PasswordLimits>,
    factor_limits: Arc<FactorLimits>,
    apps: Arc<AppPasswords>,
    first_again: Arc<FirstAgain>,
    logins: Arc<Logins>,
    keys: Arc<Keys>,
    check: Arc<FactorCheck>,
    sessions: Arc<OpenSessions>,
    new_sessions: Arc<NewSessions>,
}

impl Parts {
    fn new(deps: Arc<LoginDeps>) -> Self {
        let first_factors =
            Arc::new(FirstFactors::new(&deps.accounts, &deps.passwords, &deps.apps));
        let journal =
            Arc::new(Journal { deps: Arc::clone(&deps), omitted_rows: OmittedRows::default() });
        let limits =
            Arc::new(PasswordLimits { deps: Arc::clone(&deps), journal: Arc::clone(&journal) });
        let factor_limits =
            Arc::new(FactorLimits { deps: Arc::clone(&deps), journal: Arc::clone(&journal) });
        let apps =
            Arc::new(AppPasswords { deps: Arc::clone(&deps), journal: Arc::clone(&journal) });
        let first_again = Arc::new(FirstAgain {
            deps: Arc::clone(&deps),
            first_factors: Arc::clone(&first_factors),
            apps: Arc::clone(&apps),
        });
        let logins = Arc::new(Logins { deps: Arc::clone(&deps), apps: Arc::clone(&apps) });
        let keys = Arc::new(Keys { deps: Arc::clone(&deps), journal: Arc::clone(&journal) });
        let check = Arc::new(FactorCheck {
            deps: Arc::clone(&deps),
            journal: Arc::clone(&journal),
            keys: Arc::clone(&keys),
        });
        let sessions =
            Arc::new(OpenSessions { deps: Arc::clone(&deps), journal: Arc::clone(&journal) });
        let new_sessions = Arc::new(NewSessions {
            deps: Arc::clone(&deps),
            journal: Arc::clone(&journal),
            limits: Arc::clone(&limits),
            apps: Arc::clone(&apps),
            parking: Arc::new(Parking { deps: Arc::clone(&deps) }),
        });
        Self {
            deps,
            first_factors,
            journal,
            limits,
            factor_limits,
            apps,
            first_again,
            logins,
            keys,
            check,
            sessions,
            new_sessions,
        }
    }

    fn second(&self) -> SecondFactors {
        SecondFactors {
            deps: Arc::clone(&self.deps),
            journal: Arc::clone(&self.journal),
            factor_limits: Arc::clone(&self.factor_limits),
            logins: Arc::clone(&self.logins),
            keys: Arc::clone(&self.keys),
            check: Arc::clone(&self.check),
            new_sessions: Arc::clone(&self.new_sessions),
        }
    }

    fn enrolments(&self, second: &Arc<SecondFactors>) -> Enrolments {
        Enrolments {
            deps: Arc::clone(&self.deps),
            journal: Arc::clone(&self.journal),
            logins: Arc::clone(&self.logins),
            keys: Arc::clone(&self.keys),
            check: Arc::clone(&self.check),
            sessions: Arc::clone(&self.sessions),
            second: Arc::clone(second),
        }
    }

    fn first(&self) -> SignIn {
        SignIn {
            deps: Arc::clone(&self.deps),
            first_factors: Arc::clone(&self.first_factors),
            journal: Arc::clone(&self.journal),
            limits: Arc::clone(&self.limits),
            apps: Arc::clone(&self.apps),
            logins: Arc::clone(&self.logins),
            new_sessions: Arc::clone(&self.new_sessions),
        }
    }

    fn passkeys(&self) -> Passkeys {
        Passkeys {
            deps: Arc::clone(&self.deps),
            journal: Arc::clone(&self.journal),
            apps: Arc::clone(&self.apps),
            logins: Arc::clone(&self.logins),
            keys: Arc::clone(&self.keys),
            new_sessions: Arc::clone(&self.new_sessions),
        }
    }

    fn links(&self) -> OneTimeLinks {
        OneTimeLinks {
            deps: Arc::clone(&self.deps),
            first_factors: Arc::clone(&self.first_factors),
            journal: Arc::clone(&self.journal),
            limits: Arc::clone(&self.limits),
            first_again: Arc::clone(&self.first_again),
            logins: Arc::clone(&self.logins),
            sessions: Arc::clone(&self.sessions),
        }
    }

    fn forgotten(&self) -> ForgottenPasswords {
        ForgottenPasswords {
            deps: Arc::clone(&self.deps),
            first_factors: Arc::clone(&self.first_factors),
            journal: Arc::clone(&self.journal),
            limits: Arc::clone(&self.limits),
            logins: Arc::clone(&self.logins),
            check: Arc::clone(&self.check),
            sessions: Arc::clone(&self.sessions),
            new_sessions: Arc::clone(&self.new_sessions),
        }
    }

    fn step_ups(&self) -> StepUps {
        StepUps {
            deps: Arc::clone(&self.deps),
            journal: Arc::clone(&self.journal),
            factor_limits: Arc::clone(&self.factor_limits),
            first_again: Arc::clone(&self.first_again),
            check: Arc::clone(&self.check),
            sessions: Arc::clone(&self.sessions),
            new_sessions: Arc::clone(&self.new_sessions),
        }
    }

    fn account(&self, step_ups: &Arc<StepUps>) -> OwnAccount {
        OwnAccount {
            deps: Arc::clone(&self.deps),
            journal: Arc::clone(&self.journal),
            new_sessions: Arc::clone(&self.new_sessions),
            step_ups: Arc::clone(step_ups),
        }
    }

    fn codes(&self, step_ups: &Arc<StepUps>) -> OwnCodes {
        OwnCodes {
            deps: Arc::clone(&self.deps),
            journal: Arc::clone(&self.journal),
            keys: Arc::clone(&self.keys),
            step_ups: Arc::clone(step_ups),
        }
    }

    fn authenticators(&self, codes: &Arc<OwnCodes>) -> OwnAuthenticators {
        OwnAuthenticators {
            deps: Arc::clone(&self.deps),
            journal: Arc::clone(&self.journal),
            keys: Arc::clone(&self.keys),
            check: Arc::clone(&self.check),
            new_sessions: Arc::clone(&self.new_sessions),
            codes: Arc::clone(codes),
        }
    }

    fn own_keys(&self, step_ups: &Arc<StepUps>) -> OwnKeys {
        OwnKeys {
            deps: Arc::clone(&self.deps),
            journal: Arc::clone(&self.journal),
            keys: Arc::clone(&self.keys),
            new_sessions: Arc::clone(&self.new_sessions),
            step_ups: Arc::clone(step_ups),
        }
    }

    fn hand_overs(&self) -> AppHandOvers {
        AppHandOvers {
            deps: Arc::clone(&self.deps),
            journal: Arc::clone(&self.journal),
            sessions: Arc::clone(&self.sessions),
            parking: Arc::clone(&self.new_sessions.parking),
        }
    }

    fn tokens(&self) -> TokenUses {
        TokenUses { deps: Arc::clone(&self.deps), journal: Arc::clone(&self.journal) }
    }
}
