//! The decision: an [`Admission`], which is required for a connection to an app, or a rejection.

use std::sync::Arc;

use super::identity::IdentityHeaders;
use super::logins::KnownLogin;
use super::machine::KnownMachine;
use super::policy::{Outcome, VisitorFacts};
use super::sessions::KnownSession;
use crate::auth::account::Identity;
use crate::auth::stage::{FullyAuthenticated, Login, PasswordVerified};
use crate::base::clock::Timestamp;

/// Permission to forward one request. Its fields are private and only [`decide`] creates it.
///
/// ```compile_fail
/// use vestibule::gate::admission::{Admission, Visitor};
/// let forged = Admission { visitor: Visitor::Anonymous }; // the field is private
/// ```
#[derive(Clone, Debug)]
pub struct Admission {
    visitor: Visitor,
}

impl Admission {
    /// Admits a user who proved both factors.
    fn for_session(_proof: &Login<FullyAuthenticated>, session: Arc<KnownSession>) -> Self {
        Self { visitor: Visitor::Full(session) }
    }

    /// Admits a user who proved the first factor, on a route where a rule requires only the
    /// password.
    fn for_login(_proof: &Login<PasswordVerified>, login: Arc<KnownLogin>) -> Self {
        Self { visitor: Visitor::Password(login) }
    }

    /// Admits a token accepted in place of both factors.
    fn for_machine(proof: Arc<KnownMachine>) -> Self {
        Self { visitor: Visitor::Machine(proof) }
    }

    /// Admits any client on a route that a rule makes public.
    fn for_public_route() -> Self {
        Self { visitor: Visitor::Anonymous }
    }

    /// Returns the user's identity headers for the app, or `None` on a public route.
    pub fn headers(&self) -> Option<&IdentityHeaders> {
        match &self.visitor {
            Visitor::Anonymous => None,
            Visitor::Password(login) => Some(&login.headers),
            Visitor::Full(session) => Some(&session.headers),
            Visitor::Machine(machine) => Some(machine.headers()),
        }
    }

    /// Returns the user, or `None` on a public route.
    pub fn person(&self) -> Option<&Identity> {
        self.visitor.identity()
    }

    /// Returns the visitor, for checks after the request was admitted.
    pub fn visitor(&self) -> &Visitor {
        &self.visitor
    }
}

/// The client of a request, as far as it is authenticated.
#[derive(Clone, Debug)]
pub enum Visitor {
    /// A client without credentials.
    Anonymous,
    /// A user with a pending login. Looked up only if a rule of the app requires only the password.
    /// For other apps a pending login counts as anonymous.
    Password(Arc<KnownLogin>),
    /// A user with a session.
    Full(Arc<KnownSession>),
    /// A program with a token accepted in place of both factors.
    Machine(Arc<KnownMachine>),
}

impl Visitor {
    /// Returns the visitor in the form that rules use.
    pub fn who(&self) -> VisitorFacts<'_> {
        match self {
            Self::Anonymous => VisitorFacts::Anonymous,
            Self::Password(login) => VisitorFacts::Password(&login.identity),
            Self::Full(known) => VisitorFacts::Full {
                identity: &known.session.identity,
                second_factor_at: known.session.second_factor_at,
            },
            // A token never satisfies a rule with a maximum age of the second factor.
            Self::Machine(machine) => VisitorFacts::Full {
                identity: machine.identity(),
                second_factor_at: Timestamp::EPOCH,
            },
        }
    }

    /// Returns the user's identity.
    pub fn identity(&self) -> Option<&Identity> {
        match self {
            Self::Anonymous => None,
            Self::Password(login) => Some(&login.identity),
            Self::Full(known) => Some(&known.session.identity),
            Self::Machine(machine) => Some(machine.identity()),
        }
    }
}

/// The decision about a request.
#[derive(Clone, Debug)]
pub enum Decision {
    /// Forward it.
    Admit(Admission),
    /// Ask the client to sign in.
    SignIn,
    /// Ask the user to prove the second factor again.
    StepUp,
    /// Reject it, for every visitor.
    Forbid,
}

/// Combines the outcome of the rules with the visitor's proofs. A request is admitted only if the
/// visitor has the proofs that the rules require.
pub fn decide(outcome: Outcome, visitor: Visitor) -> Decision {
    match (outcome, visitor) {
        (Outcome::Public, _) => Decision::Admit(Admission::for_public_route()),
        (Outcome::Password | Outcome::TwoFactor, Visitor::Full(session)) => {
            let proof = Login::<FullyAuthenticated>::resume(&session.session);
            Decision::Admit(Admission::for_session(&proof, session))
        }
        (Outcome::Password, Visitor::Password(login)) => {
            match Login::<PasswordVerified>::resume(&login.login) {
                Some(proof) => Decision::Admit(Admission::for_login(&proof, login)),
                None => Decision::SignIn,
            }
        }
        (Outcome::Password | Outcome::TwoFactor, Visitor::Machine(machine)) => {
            Decision::Admit(Admission::for_machine(machine))
        }
        (Outcome::StepUp, Visitor::Full(_)) => Decision::StepUp,
        (Outcome::StepUp, Visitor::Machine(_)) | (Outcome::Forbid, _) => Decision::Forbid,
        (Outcome::Password | Outcome::TwoFactor | Outcome::SignIn | Outcome::StepUp, _) => {
            Decision::SignIn
        }
    }
}
