//! The layers of ARCHITECTURE.md: a module uses only what lies below it, foreign crates stay in
//! the module that adapts them, and no file grows without bound.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Lines that no file of the product may exceed.
const MOST_LINES: usize = 500;

/// What each top-level module may name of the others. Siblings do not know each other.
const MAY_USE: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("auth", &["base"]),
    ("gate", &["base", "auth"]),
    ("web", &["base", "auth"]),
    ("store", &["base", "auth"]),
    ("telemetry", &["base", "auth"]),
    ("notice", &["base", "auth"]),
    ("proxy", &["base", "auth", "gate", "web"]),
    ("config", &["base", "auth", "gate", "web", "store", "telemetry", "notice", "proxy"]),
    ("app", &["base", "auth", "gate", "web", "store", "telemetry", "notice", "proxy", "config"]),
    ("cli", &["base", "auth", "gate", "web", "store", "telemetry", "proxy", "config", "app"]),
];

/// Crates that only one module may name.
const ONLY_IN: &[(&str, &str)] = &[
    ("pingora", "proxy"),
    ("redis::", "store/redis"),
    ("sqlx::", "store/sql"),
    ("lettre::", "notice"),
];

struct Source {
    /// Relative to `src`, with forward slashes.
    path: String,
    text: String,
}

impl Source {
    fn module(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// The lines of code: without comments, and without what only tests see.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let tests = self.text.find("#[cfg(test)]\nmod tests").unwrap_or(self.text.len());
        let lines = self.text[..tests].lines().enumerate().map(|(i, l)| (i + 1, l));
        lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

fn sources() -> Vec<Source> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    files.sort();
    let source = |file: PathBuf| Source {
        path: file.strip_prefix(&root).unwrap().display().to_string(),
        text: std::fs::read_to_string(&file).unwrap(),
    };
    files.into_iter().map(source).collect()
}

/// The top-level modules a line names after `crate::`, also within braces.
fn named(line: &str) -> Vec<&str> {
    let word = |rest: &str| rest.find(|c: char| !c.is_alphanumeric() && c != '_');
    let mut all = Vec::new();
    for rest in line.split("crate::").skip(1) {
        if let Some(list) = rest.strip_prefix('{') {
            let names = list.split('}').next().unwrap_or_default().split(',');
            all.extend(names.map(|n| &n.trim()[..word(n.trim()).unwrap_or(n.trim().len())]));
        } else {
            all.push(&rest[..word(rest).unwrap_or(rest.len())]);
        }
    }
    all
}

#[test]
fn modules_use_only_what_lies_below_them() {
    let table: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let mut wrong = Vec::new();
    for source in sources() {
        let module = source.module().to_owned();
        if matches!(module.as_str(), "lib" | "main") {
            continue;
        }
        let Some(allowed) = table.get(module.as_str()) else {
            wrong.push(format!("src/{}: module {module} has no place in the table", source.path));
            continue;
        };
        for (number, line) in source.code() {
            for used in named(line) {
                let known = table.contains_key(used);
                if known && used != module && !allowed.contains(&used) {
                    wrong.push(format!("src/{}:{number}: uses crate::{used}", source.path));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "against the layers:\n{}", wrong.join("\n"));
}

#[test]
fn foreign_crates_stay_in_the_module_that_adapts_them() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (number, line) in source.code() {
            for (foreign, home) in ONLY_IN {
                let at_home = source.path.starts_with(&format!("{home}/"))
                    || source.path == format!("{home}.rs");
                if !at_home && names_crate(line, foreign) {
                    wrong.push(format!("src/{}:{number}: names {foreign}", source.path));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "not where they belong:\n{}", wrong.join("\n"));
}

/// Whether a line names a crate as the first part of a path: `redis::x`, not `store::redis::x`.
fn names_crate(line: &str, foreign: &str) -> bool {
    let mut from = 0;
    while let Some(at) = line[from..].find(foreign).map(|i| from + i) {
        let before = line[..at].chars().next_back();
        let quoted = line[..at].matches('"').count() % 2 == 1;
        let part = before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':');
        let global = line[..at].ends_with(" ::");
        if !quoted && (!part || global) {
            return true;
        }
        from = at + foreign.len();
    }
    false
}

/// A column that a later version adds must not change what a statement returns: PostgreSQL rejects a
/// prepared statement whose result has changed.
#[test]
fn statements_name_their_columns() {
    let all = ["SELECT *", "RETURNING *", ".* FROM"];
    let mut wrong = Vec::new();
    for source in sources() {
        let here = source.code().filter(|(_, line)| all.iter().any(|words| line.contains(words)));
        wrong.extend(here.map(|(number, _)| format!("src/{}:{number}", source.path)));
    }
    assert!(wrong.is_empty(), "all columns are asked for:\n{}", wrong.join("\n"));
}

/// The page says which files know of one kind of authenticator. Authenticator apps show that it is true.
#[test]
fn a_kind_of_authenticator_is_known_where_the_decision_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = root.join("docs/decisions/0011-authenticator-kinds-are-data.md");
    let page = std::fs::read_to_string(page).unwrap();
    let table = page.lines().filter(|line| line.starts_with("| `src/")).count();
    assert!((1..=15).contains(&table), "{table} files");
    let words = ["AuthenticatorKind::Totp", "FactorResponse::Code", "Factor::TOTP", "TotpSecret"];
    let mut wrong = Vec::new();
    for source in sources() {
        let product = source.text.split("#[cfg(test)]").next().unwrap_or_default();
        let named = words.iter().any(|word| product.contains(word));
        if named && !page.contains(&format!("`src/{}`", source.path)) {
            wrong.push(source.path);
        }
    }
    assert!(wrong.is_empty(), "not on the page: {wrong:?}");
}

#[test]
fn no_file_grows_without_bound() {
    let long: Vec<String> = sources()
        .iter()
        .map(|s| (s, s.text.lines().count()))
        .filter(|(_, lines)| *lines > MOST_LINES)
        .map(|(s, lines)| format!("src/{}: {lines} lines", s.path))
        .collect();
    assert!(long.is_empty(), "over {MOST_LINES} lines:\n{}", long.join("\n"));
}

#[test]
fn every_module_says_what_it_is_for() {
    let silent: Vec<String> = sources()
        .iter()
        .filter(|s| !s.text.trim_start().starts_with("//!"))
        .map(|s| format!("src/{}", s.path))
        .collect();
    assert!(silent.is_empty(), "without a //! at the top:\n{}", silent.join("\n"));
}

#[test]
fn names_are_found_in_every_spelling() {
    assert_eq!(named("use crate::auth::token;"), ["auth"]);
    assert_eq!(named("use crate::{auth::x, base};"), ["auth", "base"]);
    assert_eq!(named("fn f(x: crate::web::A, y: crate::gate::B) {}"), ["web", "gate"]);
    assert!(names_crate("use pingora_core::x;", "pingora"));
    assert!(names_crate("use ::redis::x;", "redis::"));
    assert!(!names_crate("mod redis;", "redis::"));
    assert!(!names_crate("use crate::store::redis::Store;", "redis::"));
    assert!(!names_crate("let url = \"redis::x\";", "redis::"));
}
