//! Generates the tables of `docs/configuration.md` and the file `config/vestibule.example.toml` from
//! the raw structs. `cargo run --example reference` writes both; a test compares them.

use super::raw::RawConfig;
use super::table::{Absent, Kind, Row, Table};

/// Length of a line in the example.
const WIDTH: usize = 105;
/// First lines of the example.
const PREAMBLE: &str = "\
# Every key of the configuration. The lines without \"#\" are a small working configuration. A line that starts
# with \"#key\" shows a default or an example: remove the \"#\" to change it. Durations are written like \"30m\" or
# \"1h 30m\", sizes like \"16KiB\". Relative paths are relative to this file. Unknown keys are errors.
# `vestibule check --config FILE` prints the errors of a file, or the settings in effect.
#
# A secret value (redis.url, accounts.database, mail.password) is a text, { file = \"path\" } or
# { env = \"NAME\" }.
";

/// Returns the path of each table and its rows in Markdown, outermost first.
pub fn documentation() -> Vec<(String, String)> {
    let rows = |(path, table): (String, &Table)| {
        let rows = rows(table, path.is_empty());
        (if path.is_empty() { "top level".to_owned() } else { path }, rows)
    };
    tables().into_iter().map(rows).collect()
}

/// Returns the defaults of all keys that have one: path of the table, key and value.
pub fn defaults() -> Vec<(String, &'static str, &'static str)> {
    let mut found = Vec::new();
    for (path, table) in tables() {
        for row in table.rows {
            if let Absent::Default(value) = row.absent {
                found.push((path.clone(), row.key, value));
            }
        }
    }
    found
}

/// Returns all tables with their paths, outermost first.
fn tables() -> Vec<(String, &'static Table)> {
    fn add(path: &str, table: &'static Table, found: &mut Vec<(String, &'static Table)>) {
        found.push((path.to_owned(), table));
        for row in table.rows {
            match row.kind {
                Kind::Table(inner) | Kind::Optional(inner) | Kind::List(inner) => {
                    add(&below(path, row.key), inner, found);
                }
                Kind::Value(_) | Kind::OneOf(_) => {}
            }
        }
    }
    let mut found = Vec::new();
    add("", &RawConfig::TABLE, &mut found);
    found
}

fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Returns the rows of a table in Markdown. The outermost table has a section for each inner one.
fn rows(table: &Table, outermost: bool) -> String {
    let mut out = String::from("| key | type | default | meaning |\n|---|---|---|---|\n");
    for row in table.rows {
        let kind = match row.kind {
            Kind::Value(words) => words.to_owned(),
            Kind::OneOf(words) => {
                words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
            }
            Kind::Table(_) | Kind::Optional(_) | Kind::List(_) if outermost => continue,
            Kind::Table(_) | Kind::Optional(_) => "table".to_owned(),
            Kind::List(_) => "list".to_owned(),
        };
        let absent = match row.absent {
            Absent::Default(value) => format!("`{value}`"),
            Absent::Implied(words) => words.to_owned(),
            Absent::None if row.is_required() => "required".to_owned(),
            Absent::None => String::new(),
        };
        let meaning = row.paragraphs().join(" ");
        let meaning = meaning.strip_suffix('.').unwrap_or(&meaning);
        let part = format!("| `{}` | {kind} | {absent} | {meaning} |\n", row.key);
        out.push_str(&part);
    }
    out
}

/// Returns the example with every key.
pub fn example() -> String {
    let mut out = PREAMBLE.to_owned();
    write_table(&RawConfig::TABLE, "", "", &mut out);
    out
}

/// Writes the keys of a table, then its inner tables. `hash` starts the lines of a table that is
/// commented out.
fn write_table(table: &Table, path: &str, hash: &str, out: &mut String) {
    for row in table.rows {
        if matches!(row.kind, Kind::Value(_) | Kind::OneOf(_)) {
            if path.is_empty() {
                out.push('\n');
            }
            comment(&about(row), out);
            let hash = if row.shown { hash } else { "#" };
            let part = format!("{hash}{} = {}\n", row.key, value(row));
            out.push_str(&part);
        }
    }
    for row in table.rows {
        let (inner, brackets) = match row.kind {
            Kind::Table(inner) | Kind::Optional(inner) => (inner, ("[", "]")),
            Kind::List(inner) => (inner, ("[[", "]]")),
            Kind::Value(_) | Kind::OneOf(_) => continue,
        };
        let path = below(path, row.key);
        out.push('\n');
        comment(&about(row), out);
        // An entry of a list is an error without its required keys.
        let is_complete = inner.rows.iter().all(|row| row.shown || !row.is_required());
        let is_live = is_complete && !matches!(row.kind, Kind::Optional(_));
        let hash = if is_live { hash } else { "#" };
        let part = format!("{hash}{}{path}{}\n", brackets.0, brackets.1);
        out.push_str(&part);
        write_table(inner, &path, hash, out);
    }
}

/// Returns the value in the example.
fn value(row: &Row) -> &'static str {
    match (row.example, row.absent) {
        (Some(example), _) => example,
        (None, Absent::Default(default)) => default,
        (None, Absent::Implied(_) | Absent::None) => "\"\"",
    }
}

/// Returns the first paragraph, the range of values, and the default unless the example shows it.
fn about(row: &Row) -> String {
    let mut text = row.paragraphs().into_iter().next().unwrap_or_default();
    match row.kind {
        // A range, or a length.
        Kind::Value(words) if words.contains(|c: char| c.is_ascii_digit()) => {
            text.extend([" Value: ", words, "."]);
        }
        Kind::OneOf(words) if !words.iter().all(|word| text.contains(word)) => {
            text.extend([" One of ", &words.join(", "), "."]);
        }
        Kind::Value(_) | Kind::OneOf(_) | Kind::Table(_) | Kind::Optional(_) | Kind::List(_) => {}
    }
    match row.absent {
        Absent::Implied(words) => match words.strip_prefix("required") {
            Some(when) => text.extend([" Required", when, "."]),
            None => text.extend([" Default: ", words, "."]),
        },
        Absent::Default(value) if row.example.is_some() => {
            let value = if value == "[]" { "none" } else { value };
            text.extend([" Default: ", value, "."]);
        }
        Absent::Default(_) | Absent::None => {}
    }
    plain(&text)
}

/// Returns the text without code marks, and of links only their words.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once('[') {
        let found = link.split_once("](").and_then(|(words, after)| {
            let (_target, after) = after.split_once(')')?;
            (!words.contains(']')).then_some((words, after))
        });
        out.push_str(before);
        if let Some((words, after)) = found {
            out.push_str(words);
            rest = after;
        } else {
            out.push('[');
            rest = link;
        }
    }
    out.push_str(rest);
    out.replace('`', "")
}

/// Writes text as comment lines.
fn comment(text: &str, out: &mut String) {
    let mut line = String::from("#");
    for word in text.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH {
            out.push_str(&line);
            out.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    out.push_str(&line);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_in_a_comment_keeps_its_words() {
        assert_eq!(plain("see [the list](a.md#b): `x`"), "see the list: x");
        assert_eq!(plain("an item `[a]` or [b"), "an item [a] or [b");
    }

    #[test]
    fn each_key_is_described_and_has_a_value_in_the_example() {
        for (path, table) in tables() {
            for row in table.rows {
                assert!(!row.paragraphs().is_empty(), "{path}.{}", row.key);
                let has_value = row.example.is_some() || matches!(row.absent, Absent::Default(_));
                let is_table = !matches!(row.kind, Kind::Value(_) | Kind::OneOf(_));
                assert!(has_value != is_table, "{path}.{}: write an example", row.key);
            }
        }
    }
}
