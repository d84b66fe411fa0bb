//! An app's rules and their verdict on a request.
//!
//! Rules are tried in order and the first match decides. Without a match, two factors are required.
//! A rule about certain users can only be evaluated for a known user. At such a rule an unknown
//! visitor is asked to sign in and never reaches a later rule.
//!
//! A client of unknown address gets the least access that any address would get. No rule grants it
//! access by network. If a rule requires two factors from certain networks, the stricter of this
//! rule and the rules after it decides.

use std::ptr;

use http::uri::PathAndQuery;

use super::dialect::RawPath;
use super::path::RulePath;
use super::rule::{Access, Miss, RequestFacts, Rule};
use super::target::{BadTarget, CanonicalTarget};
use crate::auth::account::Identity;
use crate::base::clock::{Clock, Timestamp};

/// The visitor as rules see it.
#[derive(Clone, Copy, Debug)]
pub enum VisitorFacts<'a> {
    /// An unauthenticated visitor.
    Anonymous,
    /// A user who proved the password but not the second factor.
    Password(&'a Identity),
    /// A user who proved both factors.
    Full {
        /// The user.
        identity: &'a Identity,
        /// Time of the last second-factor proof.
        second_factor_at: Timestamp,
        /// True if the second factor is a passkey or security key.
        by_key: bool,
    },
    /// A program with a token accepted in place of both factors. It has no second factor that could
    /// be recent.
    Machine(&'a Identity),
}

impl<'a> VisitorFacts<'a> {
    fn identity(self) -> Option<&'a Identity> {
        match self {
            Self::Anonymous => None,
            Self::Password(identity) | Self::Full { identity, .. } | Self::Machine(identity) => {
                Some(identity)
            }
        }
    }
}

/// The verdict of the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Forward, for every visitor and without an identity.
    Public,
    /// Forward for a user who proved the password.
    Password,
    /// Forward for a user who proved both factors.
    TwoFactor,
    /// Ask the visitor to sign in.
    SignIn,
    /// Ask the user to prove the second factor again.
    StepUp,
    /// Ask the user to prove a passkey or security key.
    UseKey,
    /// Reject.
    Forbid,
}

impl Outcome {
    /// Returns the strictness of the outcome for one visitor. Higher is stricter.
    fn strictness(self) -> u8 {
        match self {
            Self::Public => 0,
            Self::Password => 1,
            Self::TwoFactor => 2,
            Self::SignIn => 3,
            Self::StepUp => 4,
            Self::UseKey => 5,
            Self::Forbid => 6,
        }
    }

    /// Returns its name in logs, metrics and explanations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public | Self::Password | Self::TwoFactor => "forward",
            Self::SignIn => "sign_in",
            Self::StepUp => "step_up",
            Self::UseKey => "use_key",
            Self::Forbid => "refuse",
        }
    }
}

/// The verdict of the rules and the rule that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// Index of the deciding rule. `None` if no rule matched.
    pub rule: Option<usize>,
    /// The verdict.
    pub outcome: Outcome,
}

impl Ruling {
    /// Returns this ruling, or `before` if it is stricter.
    fn or_stricter(self, before: Option<Self>) -> Self {
        match before {
            Some(before) if before.outcome.strictness() > self.outcome.strictness() => before,
            Some(_) | None => self,
        }
    }
}

/// Observer of rule evaluation.
pub trait RuleTrace {
    /// Called if a rule does not match.
    fn missed(&mut self, rule: usize, why: Miss);
    /// Called if a report-only rule would have decided.
    fn reported(&mut self, rule: usize, outcome: Outcome);
}

/// A trace that records nothing.
#[derive(Clone, Copy, Debug)]
pub struct NoTrace;

impl RuleTrace for NoTrace {
    fn missed(&mut self, _rule: usize, _why: Miss) {}
    fn reported(&mut self, _rule: usize, _outcome: Outcome) {}
}

/// Records only what report-only rules would have decided.
impl RuleTrace for Vec<(usize, Outcome)> {
    fn missed(&mut self, _rule: usize, _why: Miss) {}
    fn reported(&mut self, rule: usize, outcome: Outcome) {
        self.push((rule, outcome));
    }
}

/// The rules evaluated before the deciding one, in order, with the result of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steps(pub Vec<(usize, Step)>);

/// The result of a rule that did not decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It did not match.
    Missed(Miss),
    /// It matched, but only reports.
    Reported(Outcome),
}

impl RuleTrace for Steps {
    fn missed(&mut self, rule: usize, why: Miss) {
        self.0.push((rule, Step::Missed(why)));
    }

    fn reported(&mut self, rule: usize, outcome: Outcome) {
        self.0.push((rule, Step::Reported(outcome)));
    }
}

/// The first rule that matches a request, as far as this is known without the visitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct First(usize);

/// The name for requests that no rule matches.
pub const DEFAULT: &str = "default";

/// The rules that have path conditions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Paths {
    #[default]
    None,
    /// Only report-only rules denied the request: it is admitted and logged.
    Reported,
    Judged,
}

/// The rules of an app. If none matches, two factors are required.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    rules: Vec<Rule>,
    paths: Paths,
    passwords: bool,
}

/// A target as it is forwarded, with the path that rules see.
#[derive(Clone, Debug)]
pub struct Target<'a> {
    /// The target to forward.
    pub forwarded: CanonicalTarget<'a>,
    /// Set only if the only rules with path conditions are report-only and the target is forwarded
    /// verbatim.
    judged: Option<CanonicalTarget<'a>>,
    by_path: bool,
    raw: RawPath<'a>,
}

impl<'a> Target<'a> {
    /// Returns the target as the client sent it.
    pub fn raw(&self) -> &[u8] {
        self.raw.target()
    }

    /// Returns the path as the client sent it, for comparison with the paths of a dialect.
    pub fn raw_path(&self) -> &RawPath<'a> {
        &self.raw
    }

    /// Returns the path that rules see. Returns `None` if no rule has a path condition or the path
    /// has no canonical form.
    pub fn path(&self) -> Option<&RulePath<'a>> {
        if self.by_path {
            return Some(self.forwarded.rule_path());
        }
        self.judged.as_ref().map(CanonicalTarget::rule_path)
    }
}

impl Policy {
    /// Creates a policy from rules in order.
    pub fn new(rules: Vec<Rule>) -> Self {
        let by_path =
            |acting: bool| rules.iter().any(|r| r.path.is_some() && r.report_only != acting);
        let paths = match (by_path(true), by_path(false)) {
            (true, _) => Paths::Judged,
            (false, true) => Paths::Reported,
            (false, false) => Paths::None,
        };
        let passwords = rules.iter().any(|r| r.access == Access::Password);
        Self { rules, paths, passwords }
    }

    /// Returns the rules in order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Returns true if a rule requires only the password.
    pub fn has_password_only_rule(&self) -> bool {
        self.passwords
    }

    /// Parses a raw target as these rules need it: canonical if they decide by path, otherwise
    /// verbatim.
    pub fn target<'a>(&self, raw: &'a [u8]) -> Result<Target<'a>, BadTarget> {
        let forwarded = match self.paths {
            Paths::Judged => CanonicalTarget::canonical(raw)?,
            Paths::None | Paths::Reported => CanonicalTarget::verbatim(raw)?,
        };
        let judged = match self.paths {
            Paths::Reported => CanonicalTarget::canonical(raw).ok(),
            Paths::None | Paths::Judged => None,
        };
        Ok(Target { forwarded, judged, by_path: self.paths == Paths::Judged, raw: raw.into() })
    }

    /// Like [`Self::target`], for a target that may already be parsed as a URI. `uri` must hold the
    /// same bytes, which then need not be parsed again if forwarded verbatim.
    pub fn target_of<'a>(
        &self,
        raw: &'a [u8],
        uri: Option<&'a PathAndQuery>,
    ) -> Result<Target<'a>, BadTarget> {
        match uri {
            Some(uri) if self.paths == Paths::None && ptr::eq(uri.as_str().as_bytes(), raw) => {
                let forwarded = CanonicalTarget::verbatim_uri(uri)?;
                Ok(Target { forwarded, judged: None, by_path: false, raw: raw.into() })
            }
            Some(_) | None => self.target(raw),
        }
    }

    /// Returns the first rule that matches this request for some visitor.
    pub fn first(&self, asked: &RequestFacts<'_>, trace: &mut impl RuleTrace) -> First {
        self.from(0, asked, trace)
    }

    fn from(&self, start: usize, asked: &RequestFacts<'_>, trace: &mut impl RuleTrace) -> First {
        for (number, rule) in self.rules.iter().enumerate().skip(start) {
            match rule.misses(asked) {
                Some(why) => trace.missed(number, why),
                None => return First(number),
            }
        }
        First(self.rules.len())
    }

    /// Returns the ruling if it is public, which does not depend on the visitor.
    pub fn public(&self, first: First) -> Option<Ruling> {
        let rule = self.rules.get(first.0)?;
        let public = rule.access == Access::Public && !rule.report_only && !rule.names_people();
        public.then_some(Ruling { rule: Some(first.0), outcome: Outcome::Public })
    }

    /// Returns true if a request is rejected for every visitor.
    pub fn denies(&self, first: First, asked: &RequestFacts<'_>) -> bool {
        let First(mut at) = self.acting(first, asked);
        while self.rules.get(at).is_some_and(|rule| rule.may_match(asked)) {
            let next = self.from(at + 1, asked, &mut NoTrace);
            First(at) = self.acting(next, asked);
        }
        let denies =
            |rule: &Rule| rule.access == Access::Deny && !rule.report_only && !rule.names_people();
        self.rules.get(at).is_some_and(denies)
    }

    /// Returns the public ruling of `first`, ignoring report-only rules.
    pub fn public_without_reports(&self, first: First, asked: &RequestFacts<'_>) -> Option<Ruling> {
        self.public(self.acting(first, asked))
    }

    /// Returns the first rule from `first` on that is not report-only.
    fn acting(&self, first: First, asked: &RequestFacts<'_>) -> First {
        let First(mut at) = first;
        while self.rules.get(at).is_some_and(|rule| rule.report_only) {
            First(at) = self.from(at + 1, asked, &mut NoTrace);
        }
        First(at)
    }

    /// Evaluates the rules, starting at the first match.
    pub fn ruling(
        &self,
        first: First,
        asked: &RequestFacts<'_>,
        who: VisitorFacts<'_>,
        clock: &dyn Clock,
        trace: &mut impl RuleTrace,
    ) -> Ruling {
        let First(mut at) = first;
        let mut before = None;
        while let Some(rule) = self.rules.get(at) {
            let outcome = match of_rule(rule, who, clock) {
                Ok(outcome) => outcome,
                Err(why) => {
                    trace.missed(at, why);
                    First(at) = self.from(at + 1, asked, trace);
                    continue;
                }
            };
            let outcome = of_preflight(outcome, rule.access, asked);
            if rule.report_only {
                trace.reported(at, outcome);
            } else {
                let ruling = Ruling { rule: Some(at), outcome }.or_stricter(before);
                if !rule.may_match(asked) {
                    return ruling;
                }
                before = Some(ruling);
            }
            First(at) = self.from(at + 1, asked, trace);
        }
        let outcome = of_access(Access::TwoFactor, who);
        let outcome = of_preflight(outcome, Access::TwoFactor, asked);
        Ruling { rule: None, outcome }.or_stricter(before)
    }
}

/// Returns the outcome of a matching rule, or the reason why it does not match the visitor.
fn of_rule(rule: &Rule, who: VisitorFacts<'_>, clock: &dyn Clock) -> Result<Outcome, Miss> {
    if rule.names_people() {
        match who.identity() {
            // The visitor might match after signing in.
            None => return Ok(Outcome::SignIn),
            Some(person) => {
                if let Some(why) = rule.misses_person(person) {
                    return Err(why);
                }
            }
        }
    }
    let outcome = of_access(rule.access, who);
    let too_old = match (outcome, rule.max_age, who) {
        (Outcome::TwoFactor, Some(most), VisitorFacts::Full { second_factor_at, .. }) => {
            !second_factor_at.is_within(most, clock.now())
        }
        (Outcome::TwoFactor, Some(_), VisitorFacts::Machine(_)) => true,
        _ => false,
    };
    let no_key = rule.phishing_resistant
        && outcome == Outcome::TwoFactor
        && !matches!(who, VisitorFacts::Full { by_key: true, .. });
    Ok(match (no_key, too_old) {
        (true, _) => Outcome::UseKey,
        (false, true) => Outcome::StepUp,
        (false, false) => outcome,
    })
}

/// Forwards a preflight that the app should answer, unless a rule denies the request it asks about.
fn of_preflight(outcome: Outcome, access: Access, asked: &RequestFacts<'_>) -> Outcome {
    if asked.preflight && outcome == Outcome::SignIn && access != Access::Deny {
        return Outcome::Public;
    }
    outcome
}

/// Returns the outcome of an access level for a visitor. A visitor without the proofs is asked to
/// sign in, even for deny, so that no one learns without signing in that a path is denied.
fn of_access(access: Access, who: VisitorFacts<'_>) -> Outcome {
    match (access, who) {
        (Access::Public, _) => Outcome::Public,
        (
            Access::Password,
            VisitorFacts::Password(_) | VisitorFacts::Full { .. } | VisitorFacts::Machine(_),
        ) => Outcome::Password,
        (Access::TwoFactor, VisitorFacts::Full { .. } | VisitorFacts::Machine(_)) => {
            Outcome::TwoFactor
        }
        (Access::Deny, VisitorFacts::Full { .. } | VisitorFacts::Machine(_)) => Outcome::Forbid,
        (Access::Password, VisitorFacts::Anonymous)
        | (Access::TwoFactor | Access::Deny, VisitorFacts::Anonymous | VisitorFacts::Password(_)) => {
            Outcome::SignIn
        }
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
