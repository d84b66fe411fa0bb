//! Rules: conditions on requests and the access they grant.

use std::time::Duration;

use http::Method;
use ipnet::IpNet;

use super::glob::PathGlob;
use super::host::HostPattern;
use crate::auth::account::{Identity, LoginName};
use crate::base::address::ClientIp;

/// The access that a rule grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Forwarded without authentication and without an identity.
    Public,
    /// Forwarded for a user who proved the password, with or without a second factor.
    Password,
    /// Forwarded for a user who proved both factors.
    TwoFactor,
    /// Rejected for everyone.
    Deny,
}

impl Access {
    /// Returns its name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Password => "password",
            Self::TwoFactor => "two_factor",
            Self::Deny => "deny",
        }
    }
}

/// A rule. It matches if each non-empty list of conditions has an entry that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Name in logs, metrics and explanations. Unique within an app.
    pub name: String,
    /// Paths. `None` for all.
    pub path: Option<PathGlob>,
    /// Methods.
    pub methods: Vec<Method>,
    /// Hosts.
    pub hosts: Vec<HostPattern>,
    /// Client networks.
    pub networks: Vec<IpNet>,
    /// Users.
    pub users: Vec<LoginName>,
    /// Groups.
    pub groups: Vec<String>,
    /// The access it grants.
    pub access: Access,
    /// Maximum age of the second factor, with two-factor access.
    pub max_age: Option<Duration>,
    /// True if the rule does not act and is only logged.
    pub report_only: bool,
}

/// The facts of a request that rules match, apart from the visitor.
#[derive(Clone, Copy, Debug)]
pub struct RequestFacts<'a> {
    /// The method.
    pub method: &'a Method,
    /// The canonical path. `None` if it has no canonical form.
    pub path: Option<&'a str>,
    /// The host, in lower case and without its port.
    pub host: &'a str,
    /// The client address.
    pub client: ClientIp,
    /// True if the request is a CORS preflight that the app should answer.
    pub preflight: bool,
}

/// The reason why a rule does not match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss {
    /// The method differs.
    Method,
    /// The host differs.
    Host,
    /// The client is in none of the networks.
    Network,
    /// The rule has networks and the client address is unknown.
    AddressUnknown,
    /// The path differs.
    Path,
    /// The user is none of those named.
    User,
    /// The user is in none of the groups.
    Group,
}

impl Rule {
    /// Creates a rule that matches every request.
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

    /// Returns true if the rule applies only to certain users.
    pub fn names_people(&self) -> bool {
        !self.users.is_empty() || !self.groups.is_empty()
    }

    /// Returns true if the rule matches every request of every visitor.
    pub fn matches_all(&self) -> bool {
        let path = self.path.as_ref().is_none_or(PathGlob::matches_all);
        path && self.methods.is_empty()
            && self.hosts.is_empty()
            && self.networks.is_empty()
            && !self.names_people()
    }

    /// Returns the reason why the rule does not match this request, regardless of the visitor.
    /// Cheap conditions are checked first.
    pub(super) fn misses(&self, facts: &RequestFacts<'_>) -> Option<Miss> {
        if !self.methods.is_empty() && !self.methods.contains(facts.method) {
            return Some(Miss::Method);
        }
        if !self.hosts.is_empty() && !self.hosts.iter().any(|h| h.matches(facts.host)) {
            return Some(Miss::Host);
        }
        if let Some(why) = self.misses_network(facts.client) {
            return Some(why);
        }
        let on_path = |glob: &PathGlob| facts.path.is_some_and(|path| self.matches(glob, path));
        (!self.path.as_ref().is_none_or(on_path)).then_some(Miss::Path)
    }

    /// Returns the reason why the rule does not match this client. An unknown address is in no
    /// network, so a rule that grants access to a network does not match it, while a rule that
    /// restricts a network does.
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

    /// Returns true if the rule may or may not match because the client address is unknown. The
    /// stricter outcome then decides, because such a rule both grants and restricts access.
    pub(super) fn may_match(&self, facts: &RequestFacts<'_>) -> bool {
        self.access == Access::TwoFactor && !self.networks.is_empty() && !facts.client.is_known()
    }

    /// Compares a path. A rule that grants access matches only the exact spelling. A rule that
    /// restricts access matches every spelling that an app may accept.
    fn matches(&self, glob: &PathGlob, path: &str) -> bool {
        match self.access {
            Access::Public | Access::Password => glob.matches(path),
            Access::TwoFactor | Access::Deny => glob.matches_loosely(path),
        }
    }

    /// Returns the reason why the rule does not match this user.
    pub(super) fn misses_person(&self, person: &Identity) -> Option<Miss> {
        if !self.users.is_empty() && !self.users.contains(&person.name) {
            return Some(Miss::User);
        }
        let member = |group| person.groups.contains(group);
        (!self.groups.is_empty() && !self.groups.iter().any(member)).then_some(Miss::Group)
    }
}
