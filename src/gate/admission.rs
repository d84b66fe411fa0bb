//! The decision: an [`Admission`], without which no connection to an app is made, or a refusal.

use std::sync::Arc;

use super::policy::Access;
use super::sessions::KnownSession;
use crate::auth::stage::{FullyAuthenticated, Login};

/// The right to have one request forwarded. Its fields are private: it is made by [`decide`] only.
///
/// ```compile_fail
/// use vestibule::gate::admission::Admission;
/// let forged = Admission { person: None }; // the field is private
/// ```
#[derive(Clone, Debug)]
pub struct Admission {
    person: Option<Arc<KnownSession>>,
}

impl Admission {
    /// For a person who passed both factors.
    fn for_session(_proof: &Login<FullyAuthenticated>, session: Arc<KnownSession>) -> Self {
        Self { person: Some(session) }
    }

    /// For anybody, on a route that a rule makes public.
    fn for_public_route() -> Self {
        Self { person: None }
    }

    /// The person the app is told of; nobody on a public route.
    pub fn person(&self) -> Option<&KnownSession> {
        self.person.as_deref()
    }

    /// The same, to be kept beyond the request.
    pub fn person_shared(&self) -> Option<Arc<KnownSession>> {
        self.person.clone()
    }
}

/// Who is asking. A login in progress is, to the gate, as anonymous as nobody.
#[derive(Clone, Debug)]
pub enum Visitor {
    /// Nobody we know.
    Anonymous,
    /// A person with a finished session.
    Full(Arc<KnownSession>),
}

/// What happens to a request.
#[derive(Clone, Debug)]
pub enum Decision {
    /// It is forwarded.
    Admit(Admission),
    /// It is asked to sign in.
    SignIn,
    /// It is refused, whoever asks.
    Forbid,
}

/// Decides by what the rules grant and who is asking.
pub fn decide(access: Access, visitor: Visitor) -> Decision {
    match (access, visitor) {
        (Access::Public, Visitor::Anonymous | Visitor::Full(_)) => {
            Decision::Admit(Admission::for_public_route())
        }
        (Access::TwoFactor, Visitor::Full(session)) => {
            let proof = Login::<FullyAuthenticated>::resume(&session.session);
            Decision::Admit(Admission::for_session(&proof, session))
        }
        (Access::TwoFactor | Access::Deny, Visitor::Anonymous) => Decision::SignIn,
        (Access::Deny, Visitor::Full(_)) => Decision::Forbid,
    }
}
