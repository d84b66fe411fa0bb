//! The [`Admission`] of a request, which is required for a connection to an app.

use std::sync::Arc;

use super::evaluate::{Denial, Grant, Proofs};
use super::identity::IdentityHeaders;
use super::logins::KnownLogin;
use super::machine::KnownMachine;
use super::policy::VisitorFacts;
use super::sessions::KnownSession;
use crate::auth::account::Identity;
use crate::auth::stage::{Factor, FullyAuthenticated, Login, PasswordVerified};

/// Permission to forward one request. Its fields are private and only [`admit`] creates it.
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
                by_key: known.session.method == Factor::KEY,
            },
            Self::Machine(machine) => VisitorFacts::Machine(machine.identity()),
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

/// Turns a grant into an admission if the visitor has the proofs that it requires. The rules have
/// compared them already; here each proof is taken in hand, so that a mistake in the rules cannot
/// admit a visitor without them.
pub fn admit(grant: Grant, visitor: Visitor) -> Result<Admission, Denial> {
    match (grant.requires(), visitor) {
        (Proofs::None, _) => Ok(Admission::for_public_route()),
        (Proofs::Password | Proofs::Both, Visitor::Full(session)) => {
            let proof = Login::<FullyAuthenticated>::resume(&session.session);
            Ok(Admission::for_session(&proof, session))
        }
        (Proofs::Password | Proofs::Both, Visitor::Machine(machine)) => {
            Ok(Admission::for_machine(machine))
        }
        (Proofs::Password, Visitor::Password(login)) => {
            match Login::<PasswordVerified>::resume(&login.login) {
                Some(proof) => Ok(Admission::for_login(&proof, login)),
                None => Err(Denial::SignIn),
            }
        }
        (Proofs::Password, Visitor::Anonymous)
        | (Proofs::Both, Visitor::Anonymous | Visitor::Password(_)) => Err(Denial::SignIn),
    }
}

#[cfg(test)]
#[path = "admission_tests.rs"]
mod tests;
