//! The rules of an app, and what they say of one request.
//!
//! Rules are tried in order and the first that matches decides; where none does, two factors are
//! asked for. Whether a rule about certain people matches can only be told of a person who is
//! known: before such a rule an unknown visitor is asked to sign in, and never reaches a rule
//! behind it.
//!
//! A client whose address is unknown gets the least of what it could get: no rule opens anything to
//! it by network, and of a rule that asks for two factors from some networks and of those behind it
//! the stricter one decides.

use std::ptr;

use http::uri::PathAndQuery;

use super::rule::{Access, Asked, Miss, Rule};
use super::target::{BadTarget, CanonicalTarget};
use crate::auth::account::Identity;
use crate::base::clock::{Clock, Timestamp};

/// What rules are told of who is asking.
#[derive(Clone, Copy, Debug)]
pub enum Who<'a> {
    /// Nobody known.
    Nobody,
    /// A person whose password is proved and whose second factor is not.
    Password(&'a Identity),
    /// A person with both factors.
    Full {
        /// The person.
        identity: &'a Identity,
        /// When the second factor was last proved.
        second_factor_at: Timestamp,
    },
}

impl<'a> Who<'a> {
    fn identity(self) -> Option<&'a Identity> {
        match self {
            Self::Nobody => None,
            Self::Password(identity) | Self::Full { identity, .. } => Some(identity),
        }
    }
}

/// What the rules say of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It may go on, whoever asks, and the app is told of nobody.
    Public,
    /// It may go on for a person whose password is proved.
    Password,
    /// It may go on for a person with both factors.
    TwoFactor,
    /// Who asks has to sign in.
    SignIn,
    /// The person has to prove the second factor again.
    StepUp,
    /// It may not go on.
    Forbid,
}

impl Outcome {
    /// How much is asked of one visitor.
    fn strictness(self) -> u8 {
        match self {
            Self::Public => 0,
            Self::Password => 1,
            Self::TwoFactor => 2,
            Self::SignIn => 3,
            Self::StepUp => 4,
            Self::Forbid => 5,
        }
    }

    /// Its name in logs, metrics and explanations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public | Self::Password | Self::TwoFactor => "forward",
            Self::SignIn => "sign_in",
            Self::StepUp => "step_up",
            Self::Forbid => "refuse",
        }
    }
}

/// What the rules say of a request, and which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// The number of the rule that decides, from 0; none where none matched.
    pub rule: Option<usize>,
    /// What it says.
    pub outcome: Outcome,
}

impl Ruling {
    /// This ruling, or that of a rule before it which is stricter.
    fn or_stricter(self, before: Option<Self>) -> Self {
        match before {
            Some(before) if before.outcome.strictness() > self.outcome.strictness() => before,
            Some(_) | None => self,
        }
    }
}

/// Looks on while the rules are asked.
pub trait Watch {
    /// A rule is not about this request.
    fn missed(&mut self, rule: usize, why: Miss);
    /// A rule that does not act would have decided so.
    fn reported(&mut self, rule: usize, outcome: Outcome);
}

/// Nobody looks on.
#[derive(Clone, Copy, Debug)]
pub struct Unwatched;

impl Watch for Unwatched {
    fn missed(&mut self, _rule: usize, _why: Miss) {}
    fn reported(&mut self, _rule: usize, _outcome: Outcome) {}
}

/// Only what rules that do not act would have decided.
impl Watch for Vec<(usize, Outcome)> {
    fn missed(&mut self, _rule: usize, _why: Miss) {}
    fn reported(&mut self, rule: usize, outcome: Outcome) {
        self.push((rule, outcome));
    }
}

/// The first rule that is about a request, as far as that can be told without knowing who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct First(usize);

/// What the case is called that no rule matches.
pub const DEFAULT: &str = "default";

/// Which rules look at paths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Paths {
    #[default]
    None,
    /// Only such as do not act.
    Reported,
    Judged,
}

/// The rules of an app. Where none matches, two factors are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    rules: Vec<Rule>,
    paths: Paths,
    passwords: bool,
}

/// A target as it is forwarded, and its path as rules see it.
#[derive(Clone, Debug)]
pub struct Target<'a> {
    /// What is forwarded.
    pub forwarded: CanonicalTarget<'a>,
    /// Only where rules that do not act look at the path, and it is forwarded as it came.
    judged: Option<CanonicalTarget<'a>>,
    by_path: bool,
}

impl Target<'_> {
    /// The path that rules are asked about; none where they do not look at it, or where it has no
    /// canonical form.
    pub fn path(&self) -> Option<&str> {
        if self.by_path {
            return Some(self.forwarded.path());
        }
        self.judged.as_ref().map(CanonicalTarget::path)
    }
}

impl Policy {
    /// The policy of these rules, in this order.
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

    /// The rules, in order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether a password alone can open anything.
    pub fn knows_passwords(&self) -> bool {
        self.passwords
    }

    /// A raw target as these rules want it: in its one canonical form where they decide by path, and
    /// byte for byte where they do not.
    pub fn target<'a>(&self, raw: &'a [u8]) -> Result<Target<'a>, BadTarget> {
        let forwarded = match self.paths {
            Paths::Judged => CanonicalTarget::canonical(raw)?,
            Paths::None | Paths::Reported => CanonicalTarget::verbatim(raw)?,
        };
        let judged = match self.paths {
            Paths::Reported => CanonicalTarget::canonical(raw).ok(),
            Paths::None | Paths::Judged => None,
        };
        Ok(Target { forwarded, judged, by_path: self.paths == Paths::Judged })
    }

    /// The same for a target that may have been read as a URI's already: `uri` holds these very
    /// bytes then, and need not be gone through again where it is forwarded as it is.
    pub fn target_of<'a>(
        &self,
        raw: &'a [u8],
        uri: Option<&'a PathAndQuery>,
    ) -> Result<Target<'a>, BadTarget> {
        match uri {
            Some(uri) if self.paths == Paths::None && ptr::eq(uri.as_str().as_bytes(), raw) => {
                let forwarded = CanonicalTarget::verbatim_uri(uri)?;
                Ok(Target { forwarded, judged: None, by_path: false })
            }
            Some(_) | None => self.target(raw),
        }
    }

    /// The first rule that is about this request, whoever sent it.
    pub fn first(&self, asked: &Asked<'_>, watch: &mut impl Watch) -> First {
        self.from(0, asked, watch)
    }

    fn from(&self, start: usize, asked: &Asked<'_>, watch: &mut impl Watch) -> First {
        for (number, rule) in self.rules.iter().enumerate().skip(start) {
            match rule.misses(asked) {
                Some(why) => watch.missed(number, why),
                None => return First(number),
            }
        }
        First(self.rules.len())
    }

    /// The ruling, where it is that everybody may go on: who asks makes no difference then.
    pub fn public(&self, first: First) -> Option<Ruling> {
        let rule = self.rules.get(first.0)?;
        let public = rule.access == Access::Public && !rule.report_only && !rule.names_people();
        public.then_some(Ruling { rule: Some(first.0), outcome: Outcome::Public })
    }

    /// Whether a request is refused whoever sends it.
    pub fn denies(&self, first: First, asked: &Asked<'_>) -> bool {
        let First(mut at) = self.acting(first, asked);
        while self.rules.get(at).is_some_and(|rule| rule.may_be_about(asked)) {
            let next = self.from(at + 1, asked, &mut Unwatched);
            First(at) = self.acting(next, asked);
        }
        let denies =
            |rule: &Rule| rule.access == Access::Deny && !rule.report_only && !rule.names_people();
        self.rules.get(at).is_some_and(denies)
    }

    /// The same, where it is so for all that rules that act can tell.
    pub fn public_without_reports(&self, first: First, asked: &Asked<'_>) -> Option<Ruling> {
        self.public(self.acting(first, asked))
    }

    /// The first rule that acts, from `first` on.
    fn acting(&self, first: First, asked: &Asked<'_>) -> First {
        let First(mut at) = first;
        while self.rules.get(at).is_some_and(|rule| rule.report_only) {
            First(at) = self.from(at + 1, asked, &mut Unwatched);
        }
        First(at)
    }

    /// What the rules say, from the first that is about the request.
    pub fn ruling(
        &self,
        first: First,
        asked: &Asked<'_>,
        who: Who<'_>,
        clock: &dyn Clock,
        watch: &mut impl Watch,
    ) -> Ruling {
        let First(mut at) = first;
        let mut before = None;
        while let Some(rule) = self.rules.get(at) {
            let outcome = match of_rule(rule, who, clock) {
                Ok(outcome) => outcome,
                Err(why) => {
                    watch.missed(at, why);
                    First(at) = self.from(at + 1, asked, watch);
                    continue;
                }
            };
            let outcome = of_preflight(outcome, rule.access, asked);
            if rule.report_only {
                watch.reported(at, outcome);
            } else {
                let ruling = Ruling { rule: Some(at), outcome }.or_stricter(before);
                if !rule.may_be_about(asked) {
                    return ruling;
                }
                before = Some(ruling);
            }
            First(at) = self.from(at + 1, asked, watch);
        }
        let outcome = of_access(Access::TwoFactor, who);
        let outcome = of_preflight(outcome, Access::TwoFactor, asked);
        Ruling { rule: None, outcome }.or_stricter(before)
    }
}

/// What a rule says that is about the request, or why it is not about who sent it.
fn of_rule(rule: &Rule, who: Who<'_>, clock: &dyn Clock) -> Result<Outcome, Miss> {
    if rule.names_people() {
        match who.identity() {
            // It might be one of them.
            None => return Ok(Outcome::SignIn),
            Some(person) => {
                if let Some(why) = rule.misses_person(person) {
                    return Err(why);
                }
            }
        }
    }
    let outcome = of_access(rule.access, who);
    Ok(match (outcome, rule.max_age, who) {
        (Outcome::TwoFactor, Some(most), Who::Full { second_factor_at, .. })
            if clock.now().since(second_factor_at) > most =>
        {
            Outcome::StepUp
        }
        _ => outcome,
    })
}

/// A preflight that the app is to answer goes on, unless a rule closes what it asks about.
fn of_preflight(outcome: Outcome, access: Access, asked: &Asked<'_>) -> Outcome {
    if asked.preflight && outcome == Outcome::SignIn && access != Access::Deny {
        return Outcome::Public;
    }
    outcome
}

/// What is granted is granted to some; the others are asked to sign in. Nobody learns that a path is
/// closed to all without having signed in.
fn of_access(access: Access, who: Who<'_>) -> Outcome {
    match (access, who) {
        (Access::Public, _) => Outcome::Public,
        (Access::Password, Who::Password(_) | Who::Full { .. }) => Outcome::Password,
        (Access::TwoFactor, Who::Full { .. }) => Outcome::TwoFactor,
        (Access::Deny, Who::Full { .. }) => Outcome::Forbid,
        (Access::Password, Who::Nobody)
        | (Access::TwoFactor | Access::Deny, Who::Nobody | Who::Password(_)) => Outcome::SignIn,
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
