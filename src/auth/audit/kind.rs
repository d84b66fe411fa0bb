//! Event types by name, and their list in the documentation.

use super::event::{Event, Kind};
use super::fields::Outcome;

impl Kind {
    /// Returns the names of all event types, sorted.
    pub fn names() -> Vec<&'static str> {
        let mut names: Vec<_> = Self::ALL.iter().map(|kind| kind.name()).collect();
        names.sort_unstable();
        names
    }

    /// Returns the event type with this name, if any.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

impl Event {
    /// Returns the name in audit rows, logs and JSON lines.
    pub fn name(&self) -> &'static str {
        self.kind().name()
    }

    /// Returns the outcome of the event.
    pub fn outcome(&self) -> Outcome {
        self.kind().outcome()
    }
}

/// Returns the rows about all events in `docs/audit.md`, in Markdown.
pub fn documentation() -> String {
    let row = |kind: &Kind| {
        let keys: Vec<_> = kind.keys().iter().map(|key| format!("`{key}`")).collect();
        let lines: Vec<_> = kind.doc().iter().map(|line| line.trim()).collect();
        let when = lines.join(" ");
        let when = when.strip_suffix('.').unwrap_or(&when);
        let (name, outcome, keys) = (kind.name(), kind.outcome().as_str(), keys.join(", "));
        format!("| `{name}` | {outcome} | {keys} | {when} |\n")
    };
    let rows: String = Kind::ALL.iter().map(row).collect();
    format!("| event | outcome | detail | when |\n|---|---|---|---|\n{rows}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_found_by_its_name_and_no_two_share_one() {
        for kind in Kind::ALL {
            assert_eq!(Kind::named(kind.name()), Some(*kind));
        }
        assert_eq!(Kind::named("signed-in"), None);
    }
}
