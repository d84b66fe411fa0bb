//! The context of an event: account, client and actor.

use crate::auth::account::{Identity, LoginName};
use crate::auth::browser::KnownBrowser;
use crate::auth::session::Device;
use crate::auth::token::{HashedToken, ParkedToken};
use crate::base::address::ClientIp;
use crate::base::id::{AccountId, RequestId};

/// The client of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Address and `User-Agent` of the client.
    pub device: Device,
    /// Content of the known-browser cookie, if any.
    pub browser: Option<KnownBrowser>,
    /// Request id, as in the log and on error pages.
    pub reference: RequestId,
    /// Requested host, if known.
    pub host: Option<String>,
    /// Hash of the token of a kept request, if the browser holds one.
    pub parked: Option<HashedToken<ParkedToken>>,
}

/// The actor of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A browser user: the account's user or an impostor.
    Person,
    /// Vestibule itself, on a schedule.
    System,
    /// An operator with access to the machine, by user name on the system.
    Operator(String),
}

impl Actor {
    /// Returns "person", "system" or "operator".
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::System => "system",
            Self::Operator(_) => "operator",
        }
    }

    /// Returns the operator's name.
    pub fn operator(&self) -> Option<&str> {
        match self {
            Self::Person | Self::System => None,
            Self::Operator(name) => Some(name),
        }
    }
}

/// The context of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// Account concerned, if any.
    pub account: Option<AccountId>,
    /// Login name at that time.
    pub name: Option<LoginName>,
    /// Email address of the user.
    pub email: Option<String>,
    /// Client address.
    pub address: Option<ClientIp>,
    /// `User-Agent` of the client.
    pub user_agent: Option<String>,
    /// Request id.
    pub reference: Option<RequestId>,
    /// Actor.
    pub actor: Actor,
}

impl Context {
    /// Creates the context of a request without a known account.
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

    /// Creates the context of a request about this account.
    pub fn person(caller: &Caller, who: &Identity) -> Self {
        Self {
            account: Some(who.account),
            name: Some(who.name.clone()),
            email: who.email.clone(),
            ..Self::unknown(caller)
        }
    }

    /// Creates the context of an action of Vestibule itself.
    pub fn system() -> Self {
        Self { actor: Actor::System, ..Self::operator("", None) }
    }

    /// Creates the context of an operator's action on this account, or on none.
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
