//! Rules: conditions on requests and the access they grant.

use std::time::Duration;

use http::Method;
use ipnet::IpNet;

use super::glob::PathGlob;
use super::host::HostPattern;
use super::path::RulePath;
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
    /// True if the second factor has to be a passkey or security key, with two-factor access.
    pub phishing_resistant: bool,
    /// True if the rule does not act and is only logged.
    pub report_only: bool,
}

/// The extent to which a rule before it keeps another from deciding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hidden {
    /// No request reaches it.
    Entirely,
    /// Only requests that spell its path otherwise, as an app may accept, reach it.
    ButForSpelling,
}

/// The facts of a request that rules match, apart from the visitor.
#[derive(Clone, Copy, Debug)]
pub struct RequestFacts<'a> {
    /// The method.
    pub method: &'a Method,
    /// The canonical path. `None` if it has no canonical form.
    pub path: Option<&'a RulePath<'a>>,
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
            phishing_resistant: false,
            report_only: false,
        }
    }

    /// Returns true if the rule applies only to certain users.
    pub fn names_people(&self) -> bool {
        !self.users.is_empty() || !self.groups.is_empty()
    }

    /// Returns true if the access depends on an exact match, and false if the rule restricts access
    /// and so matches more.
    fn grants(&self) -> bool {
        matches!(self.access, Access::Public | Access::Password)
    }

    /// Returns how far this rule hides `later`, a rule after it, or `None` if some request can still
    /// reach `later`.
    pub fn hides(&self, later: &Self) -> Option<Hidden> {
        let methods = covers(&self.methods, &later.methods, |wide, narrow| wide == narrow);
        let hosts = covers(&self.hosts, &later.hosts, HostPattern::covers);
        let networks =
            covers(&self.networks, &later.networks, |wide, narrow| wide.contains(narrow))
                && (self.networks.is_empty() || later.grants() || self.access == Access::Deny);
        // A visitor whom a rule about users does not know is asked to sign in.
        let users = covers(&self.users, &later.users, |wide, narrow| wide == narrow);
        let groups = covers(&self.groups, &later.groups, |wide, narrow| wide == narrow);
        let path = match (&self.path, &later.path) {
            (None, _) => true,
            (Some(wide), None) => wide.matches_all(),
            (Some(wide), Some(narrow)) => wide.covers(narrow),
        };
        if !(methods && hosts && networks && users && groups && path) {
            return None;
        }
        let exact = self.grants() && !self.path.as_ref().is_none_or(PathGlob::matches_all);
        Some(if exact && !later.grants() { Hidden::ButForSpelling } else { Hidden::Entirely })
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
    fn matches(&self, glob: &PathGlob, path: &RulePath<'_>) -> bool {
        match self.access {
            Access::Public | Access::Password => glob.matches(path.as_str()),
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

/// Returns true if a list of conditions holds wherever `narrow` holds. An empty list always holds.
fn covers<T>(wide: &[T], narrow: &[T], holds: impl Fn(&T, &T) -> bool) -> bool {
    let held = |one: &T| wide.iter().any(|other| holds(other, one));
    wide.is_empty() || !narrow.is_empty() && narrow.iter().all(held)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(access: Access, change: impl FnOnce(&mut Rule)) -> Rule {
        let mut rule = Rule::new("a", access);
        change(&mut rule);
        rule
    }

    fn path(access: Access, glob: &str) -> Rule {
        rule(access, |r| r.path = Some(PathGlob::parse(glob).unwrap()))
    }

    #[test]
    fn a_rule_hides_a_later_one_whose_requests_it_matches() {
        use Access::{Deny, Public, TwoFactor};
        let nets = |text: &str| -> Vec<IpNet> { vec![text.parse().unwrap()] };
        let user = |name: &str| LoginName::parse(name).unwrap();
        let hosts = |hosts: &[&HostPattern]| {
            rule(TwoFactor, |r| r.hosts = hosts.iter().copied().cloned().collect())
        };
        let wild = HostPattern::Wildcard(".example.com".to_owned());
        let one = HostPattern::Exact("a.example.com".to_owned());
        let two = HostPattern::Exact("example.com".to_owned());
        let posts = rule(TwoFactor, |r| r.methods = vec![Method::POST]);
        let networks = |access, net: &str| rule(access, |r| r.networks = nets(net));
        let ada = rule(TwoFactor, |r| r.users = vec![user("ada")]);
        let pair = rule(TwoFactor, |r| r.users = vec![user("ada"), user("bob")]);
        let staff = rule(TwoFactor, |r| r.groups = vec!["staff".to_owned()]);
        let all = Rule::new("all", TwoFactor);
        let entirely = Some(Hidden::Entirely);
        for (first, later, hidden) in [
            (all.clone(), path(Deny, "/a"), entirely),
            (path(TwoFactor, "/**"), all.clone(), entirely),
            (path(TwoFactor, "/a/**"), path(Deny, "/a/b/**"), entirely),
            (path(Public, "/a/**"), path(Public, "/a/b"), entirely),
            (path(Public, "/a/**"), path(Deny, "/a/b"), Some(Hidden::ButForSpelling)),
            (path(TwoFactor, "/a/b"), path(Deny, "/a/**"), None),
            (posts.clone(), posts.clone(), entirely),
            (posts.clone(), all.clone(), None),
            (all.clone(), posts, entirely),
            (hosts(&[&wild]), hosts(&[&one]), entirely),
            (hosts(&[&one]), hosts(&[&wild]), None),
            (hosts(&[&wild]), hosts(&[&wild, &two]), None),
            (pair.clone(), ada.clone(), entirely),
            (ada.clone(), pair, None),
            (ada.clone(), staff.clone(), None),
            (ada, all.clone(), None),
            (all, staff, entirely),
            (networks(Deny, "10.0.0.0/8"), networks(Deny, "10.1.0.0/16"), entirely),
            (networks(Public, "10.0.0.0/8"), networks(Public, "10.1.0.0/16"), entirely),
            // A client of unknown address reaches the later one.
            (networks(Public, "10.0.0.0/8"), networks(Deny, "10.1.0.0/16"), None),
            (networks(TwoFactor, "10.0.0.0/8"), networks(Deny, "10.1.0.0/16"), None),
        ] {
            assert_eq!(first.hides(&later), hidden, "{first:?} {later:?}");
        }
    }
}
