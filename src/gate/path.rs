//! The path of a request as rules see it.

use std::borrow::Cow;
use std::sync::OnceLock;

use super::fold::{folded_segment, has_unicode};

/// A path that rules match. Its segments are folded when a rule first asks for them, and only once.
#[derive(Clone, Debug)]
pub struct RulePath<'a> {
    text: Cow<'a, str>,
    folded: OnceLock<Box<[Spelling]>>,
}

/// A segment of a path, by what rules that restrict access compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    /// ASCII, compared as it is.
    Plain,
    /// Folds to this ASCII text.
    Folded(String),
    /// Folds to something else.
    Other,
}

impl Spelling {
    fn of(segment: &str) -> Self {
        if !has_unicode(segment.as_bytes()) {
            return Self::Plain;
        }
        folded_segment(segment).map_or(Self::Other, Self::Folded)
    }

    /// Returns true if nothing is left of the segment.
    pub(super) fn is_invisible(&self) -> bool {
        matches!(self, Self::Folded(text) if text.is_empty())
    }
}

impl<'a> RulePath<'a> {
    /// Creates a path from a text that outlives it.
    pub const fn borrowed(text: &'a str) -> Self {
        Self { text: Cow::Borrowed(text), folded: OnceLock::new() }
    }

    /// Returns the text of the path.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns a copy that borrows nothing, with the segments that are already folded.
    #[must_use]
    pub fn to_static(&self) -> RulePath<'static> {
        let text = Cow::Owned(self.as_str().to_owned());
        RulePath { text, folded: self.folded.clone() }
    }

    /// Returns true if the path borrows its text.
    pub(super) fn is_borrowed(&self) -> bool {
        matches!(self.text, Cow::Borrowed(_))
    }

    /// Returns the segments, without the slashes at the beginning and at the end of the path.
    pub(super) fn segments(&self) -> impl Iterator<Item = &str> + Clone {
        let rest = self.text.strip_prefix('/').unwrap_or(&self.text);
        rest.strip_suffix('/').unwrap_or(rest).split('/')
    }

    /// Returns the spelling of each of its segments. `None` if all are ASCII.
    pub(super) fn spellings(&self) -> Option<&[Spelling]> {
        if !has_unicode(self.text.as_bytes()) {
            return None;
        }
        Some(self.folded.get_or_init(|| self.segments().map(Spelling::of).collect()))
    }
}

impl<'a> From<Cow<'a, str>> for RulePath<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        Self { text, folded: OnceLock::new() }
    }
}

impl PartialEq for RulePath<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for RulePath<'_> {}
