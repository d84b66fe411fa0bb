//! The decision: an [`Admission`], without which no connection to an app is made, or a refusal.

use std::sync::Arc;

use super::identity::IdentityHeaders;
use super::logins::KnownLogin;
use super::machine::KnownMachine;
use super::policy::{Outcome, Who};
use super::sessions::KnownSession;
use crate::auth::account::Identity;
use crate::auth::stage::{FullyAuthenticated, Login, PasswordVerified};
use crate::base::clock::Timestamp;

/// The right to have one request forwarded. Its fields are private: it is made by [`decide`] only.
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
    /// For a person who passed both factors.
    fn for_session(_proof: &Login<FullyAuthenticated>, session: Arc<KnownSession>) -> Self {
        Self { visitor: Visitor::Full(session) }
    }

    /// For a person who passed the first factor, on a route that a rule opens to the password alone.
    fn for_login(_proof: &Login<PasswordVerified>, login: Arc<KnownLogin>) -> Self {
        Self { visitor: Visitor::Password(login) }
    }

    /// For a long-lived token of the app's that a rule lets through.
    fn for_machine(proof: Arc<KnownMachine>) -> Self {
        Self { visitor: Visitor::Machine(proof) }
    }

    /// For anybody, on a route that a rule makes public.
    fn for_public_route() -> Self {
        Self { visitor: Visitor::Anonymous }
    }

    /// What the app is told of the person; nothing on a public route.
    pub fn headers(&self) -> Option<&IdentityHeaders> {
        match &self.visitor {
            Visitor::Anonymous => None,
            Visitor::Password(login) => Some(&login.headers),
            Visitor::Full(session) => Some(&session.headers),
            Visitor::Machine(machine) => Some(machine.headers()),
        }
    }

    /// The person; nobody on a public route.
    pub fn person(&self) -> Option<&Identity> {
        self.visitor.identity()
    }

    /// By whose right it is, to be kept beyond the request.
    pub fn visitor(&self) -> &Visitor {
        &self.visitor
    }
}

/// Who is asking.
#[derive(Clone, Debug)]
pub enum Visitor {
    /// Nobody we know.
    Anonymous,
    /// A person whose login waits for its second factor. Looked for only where a rule of the app
    /// opens something to the password alone; elsewhere a login in progress is as anonymous as
    /// nobody.
    Password(Arc<KnownLogin>),
    /// A person with a finished session.
    Full(Arc<KnownSession>),
    /// A program with a long-lived token of the app's that a rule lets through.
    Machine(Arc<KnownMachine>),
}

impl Visitor {
    /// What rules are told.
    pub fn who(&self) -> Who<'_> {
        match self {
            Self::Anonymous => Who::Nobody,
            Self::Password(login) => Who::Password(&login.identity),
            Self::Full(known) => Who::Full {
                identity: &known.session.identity,
                second_factor_at: known.session.second_factor_at,
            },
            // No rule that wants a fresh second factor is content with a token.
            Self::Machine(machine) => {
                Who::Full { identity: machine.identity(), second_factor_at: Timestamp::EPOCH }
            }
        }
    }

    /// Who it is.
    pub fn identity(&self) -> Option<&Identity> {
        match self {
            Self::Anonymous => None,
            Self::Password(login) => Some(&login.identity),
            Self::Full(known) => Some(&known.session.identity),
            Self::Machine(machine) => Some(machine.identity()),
        }
    }
}

/// What happens to a request.
#[derive(Clone, Debug)]
pub enum Decision {
    /// It is forwarded.
    Admit(Admission),
    /// It is asked to sign in.
    SignIn,
    /// It is asked to prove the second factor again.
    StepUp,
    /// It is refused, whoever asks.
    Forbid,
}

/// Decides by what the rules say and who is asking: what they grant to people with proofs is
/// granted to who has them.
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
