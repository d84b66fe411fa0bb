//! Rewrites the parser's messages in plain words and without the values they quote, because a value
//! may be a misplaced secret.

/// Minimum similarity for a spelling suggestion.
const LIKENESS: f64 = 0.7;
const LIST: &str = "a list in square brackets";
const TABLE: &str = "a table";

/// Rewrites `message` without the value it quotes.
pub(super) fn plain(message: &str) -> String {
    if let Some(rest) = message.strip_prefix("unknown field ") {
        let mut quoted = rest.split('`').skip(1).step_by(2);
        let unknown = quoted.next().unwrap_or_default();
        return unknown_key(unknown, &quoted.collect::<Vec<_>>());
    }
    let Some((what, expected)) = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "))
        .and_then(|m| m.rsplit_once(", expected "))
    else {
        return if message.starts_with("invalid ") {
            "a value of this type is not allowed here".to_owned()
        } else {
            message.to_owned()
        };
    };
    let expected = wanted(expected);
    if message.starts_with("invalid value") {
        return format!("the value is out of range: write {expected}");
    }
    let found = kind(what);
    if expected == LIST && found == TABLE {
        return format!(
            "expected {expected}, found {found}: write its header in double brackets, [[…]]"
        );
    }
    format!("expected {expected}, found {found}")
}

fn unknown_key(unknown: &str, known: &[&str]) -> String {
    match nearest(unknown, known) {
        Some(near) => format!("unknown key: did you mean `{near}`?"),
        None if known.is_empty() => "unknown key: no keys are allowed here".to_owned(),
        None => format!("unknown key: allowed here are {}", known.join(", ")),
    }
}

/// Returns the word of `known` most similar to `word`, if one is similar enough.
pub(super) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|k| (strsim::jaro_winkler(word, k), *k))
        .filter(|(likeness, _)| *likeness >= LIKENESS)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, k)| k)
}

fn wanted(expected: &str) -> &str {
    match expected {
        "path string" => "a path in quotes",
        "a boolean" => "true or false",
        "a sequence" => LIST,
        "a string" => "a text in quotes",
        "u32" | "u64" | "usize" => "a whole number, 0 or more",
        other if other.starts_with("struct ") => TABLE,
        other => other,
    }
}

fn kind(found: &str) -> &'static str {
    match found.split_whitespace().next().unwrap_or_default() {
        "string" => "a text",
        "integer" => "a whole number",
        "boolean" => "true or false",
        "floating" => "a decimal number",
        "map" => TABLE,
        "sequence" => "a list",
        _ => "something else",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rewritten_message_quotes_no_value() {
        let said = plain("invalid type: string \"pass, expected word\", expected a boolean");
        assert_eq!(said, "expected true or false, found a text");
        let said = plain("invalid value: integer `-4711`, expected u32");
        assert_eq!(said, "the value is out of range: write a whole number, 0 or more");
    }

    #[test]
    fn a_misspelled_key_gets_a_suggestion() {
        let said = plain("unknown field `ilde`, expected one of `store`, `idle`, `absolute`");
        assert_eq!(said, "unknown key: did you mean `idle`?");
        let said = plain("unknown field `zzz`, expected `idle`");
        assert_eq!(said, "unknown key: allowed here are idle");
    }
}
