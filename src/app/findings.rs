//! Sentences about one part of an installation, from checks of it.

/// Sentences about one part.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// States that are allowed but may not be intended.
    pub(super) notes: Vec<String>,
    /// Faults.
    pub(super) problems: Vec<String>,
}

impl Findings {
    /// Adds a note.
    pub(super) fn note(&mut self, sentence: impl Into<String>) {
        self.notes.push(sentence.into());
    }

    /// Adds a fault.
    pub(super) fn problem(&mut self, sentence: impl Into<String>) {
        self.problems.push(sentence.into());
    }
}
