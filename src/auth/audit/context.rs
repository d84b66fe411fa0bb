//! Who, from where, by whose hand.

use crate::auth::account::{Identity, LoginName};
use crate::auth::browser::KnownBrowser;
use crate::auth::session::Device;
use crate::base::address::ClientIp;
use crate::base::id::{AccountId, RequestId};

/// Who is at the other end of a request, known or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Where the request comes from.
    pub device: Device,
    /// What the cookie of a known browser says, where there is one.
    pub browser: Option<KnownBrowser>,
    /// What names the request in the log and on error pages.
    pub reference: RequestId,
    /// The host that it asks for, where that is known.
    pub host: Option<String>,
}

/// By whose hand something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// Somebody at a browser: the person, or whoever claims to be.
    Person,
    /// Vestibule itself, by the clock.
    System,
    /// Somebody with access to the machine, by the name that the system knows.
    Operator(String),
}

impl Actor {
    /// "person", "system" or "operator".
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::System => "system",
            Self::Operator(_) => "operator",
        }
    }

    /// The operator's name.
    pub fn operator(&self) -> Option<&str> {
        match self {
            Self::Person | Self::System => None,
            Self::Operator(name) => Some(name),
        }
    }
}

/// What surrounds an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// The account concerned, where there is one.
    pub account: Option<AccountId>,
    /// Its login name at that moment.
    pub name: Option<LoginName>,
    /// Where its person gets mail.
    pub email: Option<String>,
    /// The address of the browser.
    pub address: Option<ClientIp>,
    /// What the browser calls itself.
    pub user_agent: Option<String>,
    /// The request.
    pub reference: Option<RequestId>,
    /// By whose hand.
    pub actor: Actor,
}

impl Context {
    /// A request that concerns no known account.
    pub fn unknown(caller: &Caller) -> Self {
        Self {
            account: None,
            name: None,
            email: None,
            address: Some(caller.device.address),
            user_agent: Some(caller.device.user_agent.clone()),
            reference: Some(caller.reference),
            actor: Actor::Person,
        }
    }

    /// A request that concerns this account.
    pub fn person(caller: &Caller, who: &Identity) -> Self {
        Self {
            account: Some(who.account),
            name: Some(who.name.clone()),
            email: who.email.clone(),
            ..Self::unknown(caller)
        }
    }

    /// What Vestibule does by itself.
    pub fn system() -> Self {
        Self { actor: Actor::System, ..Self::operator("", None) }
    }

    /// What an operator does to this account, or to no one in particular.
    pub fn operator(operator: &str, who: Option<&Identity>) -> Self {
        Self {
            account: who.map(|w| w.account),
            name: who.map(|w| w.name.clone()),
            email: who.and_then(|w| w.email.clone()),
            address: None,
            user_agent: None,
            reference: None,
            actor: Actor::Operator(operator.to_owned()),
        }
    }
}
