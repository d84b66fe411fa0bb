//! Path globs.

use super::fold::folded_segment;
use super::path::{RulePath, Spelling};
use super::target::recode;

/// A glob on the canonical path, by segment: `*` matches one segment, `**` any number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathGlob {
    pattern: String,
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(Literal),
    One,
    AnyNumber,
}

/// A segment of a pattern without a star.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Literal {
    /// Canonical form, which may hold encoded characters.
    text: String,
    /// Form that segments of a path in Unicode are compared with, once they are folded: in lower
    /// case, without spaces.
    folded: String,
}

impl Literal {
    fn parse(segment: &str) -> Result<Self, BadGlob> {
        let text = recode(segment).map_err(|_none| BadGlob::NotCanonical)?;
        let folded = folded_segment(&text).ok_or(BadGlob::NotCanonical)?;
        Ok(Self { text, folded })
    }
}

/// The reason why a text is not a path glob.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadGlob {
    /// It does not start with a slash.
    #[error("a path pattern starts with `/`")]
    NoSlash,
    /// A `*` is only part of a segment.
    #[error("`*` and `**` stand for whole segments: write `/files/*`, not `/files/a*`")]
    PartialStar,
    /// No canonical path can match it.
    #[error(
        "no canonical path matches it: write it decoded, without `//`, `.`, `..`, `%`, `?` or `#`"
    )]
    NotCanonical,
}

impl PathGlob {
    /// Parses a pattern such as `/public/**`.
    pub fn parse(pattern: &str) -> Result<Self, BadGlob> {
        let rest = pattern.strip_prefix('/').ok_or(BadGlob::NoSlash)?;
        let last = rest.split('/').count().saturating_sub(1);
        let segments = rest
            .split('/')
            .enumerate()
            .map(|(i, segment)| match segment {
                "**" => Ok(Segment::AnyNumber),
                "*" => Ok(Segment::One),
                s if s.contains('*') => Err(BadGlob::PartialStar),
                "." | ".." => Err(BadGlob::NotCanonical),
                "" if i != last => Err(BadGlob::NotCanonical),
                s if s.contains(['%', '?', '#', '\\', ';'])
                    || s.chars().any(|c| c.is_control() || !c.is_ascii()) =>
                {
                    Err(BadGlob::NotCanonical)
                }
                s => Literal::parse(s).map(Segment::Literal),
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self { pattern: pattern.to_owned(), segments })
    }

    /// Returns the pattern as written.
    pub fn as_str(&self) -> &str {
        &self.pattern
    }

    /// Returns the literal text that every matching path starts with.
    pub fn literal_start(&self) -> &str {
        self.pattern.split('*').next().unwrap_or_default()
    }

    /// Returns true if every path matches.
    pub fn matches_all(&self) -> bool {
        !self.segments.is_empty() && self.segments.iter().all(|s| *s == Segment::AnyNumber)
    }

    /// Returns true if it has no literal segment and matches any number of segments, so nearly
    /// every path matches.
    pub fn matches_nearly_all(&self) -> bool {
        self.segments.contains(&Segment::AnyNumber)
            && !self.segments.iter().any(|s| matches!(s, Segment::Literal(_)))
    }

    /// Returns true if it certainly matches every path that `other` matches.
    pub fn covers(&self, other: &Self) -> bool {
        segments_match(&self.segments, other.segments.iter(), |wide, narrow| match narrow {
            Segment::AnyNumber => false,
            Segment::One => *wide == Segment::One,
            Segment::Literal(literal) => {
                *wide == *narrow || *wide == Segment::One && !literal.text.is_empty()
            }
        })
    }

    /// Returns true if `path` matches exactly. `path` must be canonical and start with a slash.
    pub fn matches(&self, path: &str) -> bool {
        let Some(rest) = path.strip_prefix('/') else { return false };
        segments_match(&self.segments, rest.split('/'), fits(|want, here| want == here))
    }

    /// Like [`Self::matches`], but ignores case and trailing slashes.
    pub fn matches_in_any_case(&self, path: &RulePath<'_>) -> bool {
        let fits = fits(str::eq_ignore_ascii_case);
        path.as_str().starts_with('/') && segments_match(self.bare(), path.segments(), fits)
    }

    /// Like [`Self::matches`], but ignores trailing slashes and other spellings that apps take for the
    /// same: case, and in segments with other characters than ASCII also width, accents and
    /// characters that cannot be seen. Used by rules that restrict access.
    pub fn matches_loosely(&self, path: &RulePath<'_>) -> bool {
        self.matches_in_any_case(path)
            || path.as_str().starts_with('/')
                && path.spellings().is_some_and(|folded| match_folded(self.bare(), path, folded))
    }

    /// Returns the segments of the pattern without a slash at its end.
    fn bare(&self) -> &[Segment] {
        match self.segments.split_last() {
            Some((Segment::Literal(last), start)) if last.text.is_empty() && !start.is_empty() => {
                start
            }
            Some(_) | None => &self.segments,
        }
    }
}

/// Returns true if a pattern matches a path whose segments in Unicode are folded, with or without those
/// of which nothing is left.
fn match_folded(segments: &[Segment], path: &RulePath<'_>, folded: &[Spelling]) -> bool {
    let all = path.segments().zip(folded);
    let visible = |(_, spelling): &(&str, &Spelling)| !spelling.is_invisible();
    let fits = |segment: &Segment, (raw, spelling): (&str, &Spelling)| match (segment, spelling) {
        (Segment::Literal(want), Spelling::Folded(text)) => want.folded == *text,
        (Segment::Literal(want), Spelling::Plain) => want.text.eq_ignore_ascii_case(raw),
        (Segment::One, _) => !raw.is_empty(),
        (Segment::Literal(_), Spelling::Other) | (Segment::AnyNumber, _) => false,
    };
    segments_match(segments, all.clone(), fits)
        || segments_match(segments, all.filter(visible), fits)
}

/// Returns a test of one segment of a path.
fn fits(same: impl Fn(&str, &str) -> bool) -> impl Fn(&Segment, &str) -> bool {
    move |segment, here| match segment {
        Segment::Literal(want) => same(&want.text, here),
        Segment::One => !here.is_empty(),
        Segment::AnyNumber => false,
    }
}

/// Returns true if a pattern matches the segments of a path, or of another pattern. `fits` tests
/// one segment, other than `**` in the pattern.
fn segments_match<T: Copy>(
    segments: &[Segment],
    mut path: impl Iterator<Item = T> + Clone,
    fits: impl Fn(&Segment, T) -> bool,
) -> bool {
    let mut pattern = segments.iter();
    // State to resume from if a match after the last `**` fails. Only the last one matters, so the
    // work is bounded by pattern length times path length.
    let mut again = None;
    loop {
        let path_here = path.clone();
        match (pattern.next(), path.next()) {
            (None, None) => return true,
            (Some(Segment::AnyNumber), _) => {
                path = path_here.clone();
                again = Some((pattern.clone(), path_here));
                continue;
            }
            (Some(segment), Some(here)) if fits(segment, here) => continue,
            _ => {}
        }
        let Some((after, mut rest)) = again.take() else { return false };
        if rest.next().is_none() {
            return false;
        }
        (pattern, path) = (after.clone(), rest.clone());
        again = Some((after, rest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glob(pattern: &str) -> PathGlob {
        PathGlob::parse(pattern).unwrap()
    }

    fn loosely(pattern: &str, path: &str) -> bool {
        glob(pattern).matches_loosely(&RulePath::borrowed(path))
    }

    #[test]
    fn a_glob_covers_itself_and_what_lies_below() {
        for (wide, narrow) in [
            ("/**", "/a"),
            ("/**", "/a/**"),
            ("/a/**", "/a/*/c"),
            ("/a/**", "/a"),
            ("/a", "/a"),
            ("/a/*", "/a/b"),
            ("/*/b", "/*/b"),
            ("/**/b", "/a/**/b"),
            ("/**/b/**", "/a/b/*"),
        ] {
            assert!(glob(wide).covers(&glob(narrow)), "{wide} {narrow}");
        }
        for (wide, narrow) in [
            ("/a/*", "/a/**"),
            ("/a/*", "/a/"),
            ("/a/**", "/**"),
            ("/a/**", "/ab/c"),
            ("/a/b", "/a/*"),
            ("/**/b", "/**/c"),
        ] {
            assert!(!glob(wide).covers(&glob(narrow)), "{wide} {narrow}");
        }
    }

    #[test]
    fn a_glob_without_literal_segments_matches_nearly_all() {
        for wide in ["/**", "/*/**", "/**/*", "/*/**/*"] {
            assert!(glob(wide).matches_nearly_all(), "{wide}");
        }
        for part in ["/a/**", "/**/a", "/*", "/*/*", "/"] {
            assert!(!glob(part).matches_nearly_all(), "{part}");
        }
    }

    #[test]
    fn a_rule_that_restricts_a_path_covers_its_other_spellings() {
        for path in ["/a/b", "/a/b/", "/A/b", "/a/B/"] {
            assert!(loosely("/a/b", path), "{path}");
            assert!(loosely("/a/b/", path), "{path}");
            assert!(loosely("/A/*", path), "{path}");
            assert!(loosely("/**/B", path), "{path}");
            assert_eq!(glob("/a/b").matches(path), path == "/a/b", "{path}");
        }
        for path in ["/a", "/a/bb", "/a/b/c", "/"] {
            assert!(!loosely("/a/b", path), "{path}");
        }
        assert!(loosely("/", "/") && !loosely("/", "/a"));
        assert!(!loosely("/a/*", "/a/"));
    }

    #[test]
    fn a_rule_that_restricts_a_path_covers_its_spellings_in_unicode() {
        for path in [
            "/docs/%C5%BFecretk/a",            // long s
            "/docs/Secret%E2%84%AA/a",         // Kelvin sign
            "/docs/%EF%BD%93ecretk/a",         // full-width letter
            "/docs/%EF%BC%B3%EF%BC%A5cretk/a", // full-width capitals
            "/docs/se%C2%ADcretk/a",           // soft hyphen
            "/docs/secretk%E2%80%8C/a",        // zero-width non-joiner
            "/docs/s%CD%8Fecret%E2%93%9A/a",   // grapheme joiner, circled letter
            "/docs/s%C3%A9cretk/a",            // composed accent
            "/docs/se%CC%81cretk/a",           // combining accent
            "/d%C2%ADocs/secretk/%C3%A9",      // in another segment
            "/docs/%E2%80%8B/secretk/a",       // a segment that cannot be seen
            "/docs/%F0%9D%93%BCecretk/a",      // mathematical letter
            "/docs/%c5%bfecretk/a",            // digits in lower case
        ] {
            assert!(loosely("/docs/secretk/**", path), "{path}");
            assert!(!glob("/docs/secretk/**").matches(path), "{path}");
        }
        for (pattern, path) in [
            ("/admin", "/admin/%E2%81%A0"),      // an invisible segment at the end
            ("/admin", "/adm%C4%B1n"),           // dotless i
            ("/admin", "/ADM%C4%B0N/"),          // I with a dot
            ("/admin", "/admi%CC%87n"),          // combining dot
            ("/my files", "/my%20%EF%AC%81les"), // ligature
            ("/strasse", "/stra%C3%9Fe"),        // sharp s
            ("/a/*/b", "/a/%E2%80%8B/b"),        // an invisible segment is one, too
        ] {
            assert!(loosely(pattern, path), "{pattern} {path}");
        }
        for path in ["/docs/%D1%95ecretk/a", "/docs/secretk%C3%9F/a", "/docs/%E7%A7%98/a"] {
            assert!(!loosely("/docs/secretk/**", path), "{path}");
        }
    }

    #[test]
    fn a_decoded_pattern_matches_encoded_canonical_paths() {
        for (pattern, path) in [
            ("/my files/**", "/my%20files/a"),
            ("/a[0]/{x}", "/a%5B0%5D/%7Bx%7D"),
            ("/a|b^c`\"<>", "/a%7Cb%5Ec%60%22%3C%3E"),
        ] {
            let canonical = crate::gate::target::CanonicalTarget::canonical(path.as_bytes());
            assert_eq!(canonical.unwrap().path(), path);
            assert!(glob(pattern).matches(path), "{pattern}");
            assert!(loosely(pattern, &path.to_uppercase()), "{pattern}");
        }
    }

    #[test]
    fn globs_match_segment_by_segment() {
        assert!(glob("/public/**").matches("/public/a/b"));
        assert!(glob("/public/**").matches("/public/"));
        assert!(glob("/public/**").matches("/public"));
        assert!(!glob("/public/**").matches("/publicity"));
        assert!(!glob("/public/**").matches("/Public/a"));
        assert!(glob("/files/*").matches("/files/a"));
        assert!(!glob("/files/*").matches("/files/a/b"));
        assert!(!glob("/files/*").matches("/files/"));
        assert!(glob("/**/x").matches("/a/b/x"));
        assert!(glob("/**/x").matches("/x"));
        assert!(glob("/**/x/**/y").matches("/a/x/x/b/y"));
        assert!(!glob("/**/x/**/y").matches("/a/x/x/b/z"));
        assert!(glob("/").matches("/"));
        assert!(!glob("/").matches("/a"));
    }

    #[test]
    fn many_stars_cost_no_more_than_pattern_times_path() {
        let path = "/x".repeat(4000);
        assert!(!glob("/**/x/**/x/**/x/**/x/**/y").matches(&path));
    }

    #[test]
    fn patterns_that_no_canonical_path_can_match_are_rejected() {
        for (bad, why) in [
            ("public/**", BadGlob::NoSlash),
            ("/a*", BadGlob::PartialStar),
            ("/a/../b", BadGlob::NotCanonical),
            ("/a//b", BadGlob::NotCanonical),
            ("/%61", BadGlob::NotCanonical),
        ] {
            assert_eq!(PathGlob::parse(bad), Err(why), "{bad}");
        }
    }
}
