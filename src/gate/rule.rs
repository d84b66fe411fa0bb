//! One rule: what it is about, and what it grants.

use std::time::Duration;

use http::Method;
use ipnet::IpNet;

use super::glob::PathGlob;
use super::host::HostPattern;
use crate::auth::account::{Identity, LoginName};
use crate::base::address::ClientIp;

/// What a rule grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Forwarded without asking who it is; the app is told of nobody.
    Public,
    /// Forwarded for a person whose password is proved, be it without a second factor.
    Password,
    /// Forwarded for a person with both factors.
    TwoFactor,
    /// Refused for everybody.
    Deny,
}

impl Access {
    /// The word for it in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Password => "password",
            Self::TwoFactor => "two_factor",
            Self::Deny => "deny",
        }
    }
}

/// One rule. Each kind of condition that is not empty must hold; a list holds when one of its
/// entries does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What it is called in logs, metrics and explanations; its own within an app.
    pub name: String,
    /// The paths it is about; all, where there is none.
    pub path: Option<PathGlob>,
    /// The methods it is about.
    pub methods: Vec<Method>,
    /// The hosts it is about.
    pub hosts: Vec<HostPattern>,
    /// The networks of clients it is about.
    pub networks: Vec<IpNet>,
    /// The people it is about.
    pub users: Vec<LoginName>,
    /// The groups whose members it is about.
    pub groups: Vec<String>,
    /// What it grants.
    pub access: Access,
    /// How old the second factor may be, where two are asked for.
    pub max_age: Option<Duration>,
    /// It does not act: what it would have done is only noted.
    pub report_only: bool,
}

/// What of a request rules can be about, beside who sent it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path in its one canonical form; none where it has no such form.
    pub path: Option<&'a str>,
    /// The host, in lower case and without its port.
    pub host: &'a str,
    /// Where the request comes from.
    pub client: ClientIp,
    /// It only asks what may be asked from another origin, and the app is to answer that itself.
    pub preflight: bool,
}

/// Why a rule does not match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss {
    /// Another method.
    Method,
    /// Another host.
    Host,
    /// Another network.
    Network,
    /// A network, and the address of the client is unknown.
    AddressUnknown,
    /// Another path.
    Path,
    /// Another person.
    User,
    /// A person who is in none of the groups.
    Group,
}

impl Rule {
    /// A rule that is about everything.
    pub fn new(name: impl Into<String>, access: Access) -> Self {
        Self {
            name: name.into(),
            path: None,
            methods: Vec::new(),
            hosts: Vec::new(),
            networks: Vec::new(),
            users: Vec::new(),
            groups: Vec::new(),
            access,
            max_age: None,
            report_only: false,
        }
    }

    /// Whether it is about certain people only.
    pub fn names_people(&self) -> bool {
        !self.users.is_empty() || !self.groups.is_empty()
    }

    /// Whether it is about every request of everybody.
    pub fn takes_all(&self) -> bool {
        let path = self.path.as_ref().is_none_or(PathGlob::takes_all);
        path && self.methods.is_empty()
            && self.hosts.is_empty()
            && self.networks.is_empty()
            && !self.names_people()
    }

    /// Why it is not about this request, whoever sent it; cheap conditions come first.
    pub(super) fn misses(&self, asked: &Asked<'_>) -> Option<Miss> {
        if !self.methods.is_empty() && !self.methods.contains(asked.method) {
            return Some(Miss::Method);
        }
        if !self.hosts.is_empty() && !self.hosts.iter().any(|h| h.matches(asked.host)) {
            return Some(Miss::Host);
        }
        if let Some(why) = self.misses_network(asked.client) {
            return Some(why);
        }
        let on_path = |glob: &PathGlob| asked.path.is_some_and(|path| self.matches(glob, path));
        (!self.path.as_ref().is_none_or(on_path)).then_some(Miss::Path)
    }

    /// Why it is not about clients from there. An unknown address is in no network: what opens
    /// something to a network does not open it, and what closes something to one closes it.
    fn misses_network(&self, client: ClientIp) -> Option<Miss> {
        if self.networks.is_empty() || client.is_in(&self.networks) {
            return None;
        }
        match self.access {
            _ if client.is_known() => Some(Miss::Network),
            Access::Public | Access::Password => Some(Miss::AddressUnknown),
            Access::TwoFactor | Access::Deny => None,
        }
    }

    /// Returns true if the rule both opens and closes, and it is unknown to whom: the client may or
    /// may not be in its networks, so that the stricter of both counts.
    pub(super) fn may_be_about(&self, asked: &Asked<'_>) -> bool {
        self.access == Access::TwoFactor && !self.networks.is_empty() && !asked.client.is_known()
    }

    /// What opens a path opens that one spelling of it; what closes one closes all that an app may
    /// take for it.
    fn matches(&self, glob: &PathGlob, path: &str) -> bool {
        match self.access {
            Access::Public | Access::Password => glob.matches(path),
            Access::TwoFactor | Access::Deny => glob.matches_loosely(path),
        }
    }

    /// Why it is not about this person.
    pub(super) fn misses_person(&self, person: &Identity) -> Option<Miss> {
        if !self.users.is_empty() && !self.users.contains(&person.name) {
            return Some(Miss::User);
        }
        let member = |group| person.groups.contains(group);
        (!self.groups.is_empty() && !self.groups.iter().any(member)).then_some(Miss::Group)
    }
}
