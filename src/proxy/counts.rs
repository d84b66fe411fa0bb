//! Counters of rule outcomes. One set per rule, registered once, so counting needs no lookup and
//! clients cannot create new series.

use std::fmt;

use metrics::{Counter, counter};

use crate::gate::policy::{DEFAULT, Outcome, Policy, Ruling};

/// The outcomes that are counted.
const OUTCOMES: [Outcome; 5] =
    [Outcome::TwoFactor, Outcome::SignIn, Outcome::StepUp, Outcome::Forbid, Outcome::UseKey];

type Row = [Counter; OUTCOMES.len()];

/// The counters of one app. Empty for an app without rules.
pub(super) struct RuleCounts {
    acting: Vec<Row>,
    default: Option<Row>,
    reporting: Vec<Row>,
}

impl fmt::Debug for RuleCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RuleCounts")
    }
}

fn column(outcome: Outcome) -> usize {
    match outcome {
        Outcome::Public | Outcome::Password | Outcome::TwoFactor => 0,
        Outcome::SignIn => 1,
        Outcome::StepUp => 2,
        Outcome::Forbid => 3,
        Outcome::UseKey => 4,
    }
}

impl RuleCounts {
    pub(super) fn new(app: &str, policy: &Policy) -> Self {
        let row = |name: &'static str, rule: &str| {
            OUTCOMES.map(|outcome| {
                let (app, rule) = (app.to_owned(), rule.to_owned());
                counter!(name, "app" => app, "rule" => rule, "outcome" => outcome.as_str())
            })
        };
        let rows = |name, acting: bool| {
            let rules = policy.rules().iter();
            let row = |rule: &crate::gate::rule::Rule| {
                if rule.report_only == acting {
                    OUTCOMES.map(|_| Counter::noop())
                } else {
                    row(name, &rule.name)
                }
            };
            rules.map(row).collect()
        };
        let default = || row("vestibule_rules_total", DEFAULT);
        Self {
            acting: rows("vestibule_rules_total", true),
            default: (!policy.rules().is_empty()).then(default),
            reporting: rows("vestibule_rules_report_only_total", false),
        }
    }

    /// Counts the ruling on one request.
    pub(super) fn count(&self, ruling: Option<Ruling>, reports: &[(usize, Outcome)]) {
        let (Some(ruling), Some(default)) = (ruling, &self.default) else { return };
        let row = ruling.rule.map_or(Some(default), |rule| self.acting.get(rule));
        one(row, ruling.outcome);
        for (rule, outcome) in reports {
            one(self.reporting.get(*rule), *outcome);
        }
    }
}

fn one(row: Option<&Row>, outcome: Outcome) {
    if let Some(counter) = row.and_then(|row| row.get(column(outcome))) {
        counter.increment(1);
    }
}
