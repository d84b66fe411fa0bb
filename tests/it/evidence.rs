//! What the documentation names as evidence is there.

use std::fs;
use std::path::{Path, PathBuf};

const SECURITY: &str = include_str!("../../docs/security.md");

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The text of all Rust files under a directory or of one file, by what a test in it is called by.
fn sources(place: &Path, called: &str, into: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(place).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let name = if stem == "mod" { called.to_owned() } else { format!("{called}{stem}::") };
        if path.is_dir() {
            sources(&path, &name, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}

/// What stands between backticks in the tables.
fn named() -> impl Iterator<Item = &'static str> {
    let rows = SECURITY.lines().filter(|line| line.starts_with("| "));
    rows.flat_map(|row| row.split('`').skip(1).step_by(2))
}

#[test]
fn every_test_and_file_that_the_tables_name_is_there() {
    let mut all = Vec::new();
    sources(&root().join("tests/it"), "", &mut all);
    sources(&root().join("src"), "", &mut all);
    let mut tests = 0;
    for name in named() {
        if let Some((module, test)) = name.rsplit_once("::")
            && test.contains('_')
            && module.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c == ':')
            && test.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        {
            tests += 1;
            let module = module.trim_end_matches("::tests");
            let there = all.iter().any(|(of, text)| {
                let fits = of.starts_with(module) || module.starts_with(of.trim_end_matches("::"));
                fits && text.contains(&format!("fn {test}"))
            });
            assert!(there, "there is no test {name}");
        } else if ["src/", "tests/", "docs/", "templates/", "benches/"]
            .iter()
            .any(|d| name.starts_with(d))
        {
            assert!(root().join(name).exists(), "there is no file {name}");
        }
    }
    assert!(tests > 40, "only {tests} tests were found in the tables");
}
