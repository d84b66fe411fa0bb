//! Mistakes in configurations: refused, with their place and what would be right.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use vestibule::config::Config;

use super::{GOOD, breakages};
use crate::support::program::{Site, run};

#[test]
fn every_mistake_is_refused_with_its_place_and_what_would_be_right() {
    let site = Site::new();
    for (name, mode) in [("open.toml", 0o644), ("closed.toml", 0o600)] {
        let path = site.write(name, "version = 1\n");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    site.write("certs/version1.pem", breakages::VERSION_1);
    site.write(
        "certs/cut.pem",
        "-----BEGIN CERTIFICATE-----\nMIIBszCCAVqgAwIBAgIU\n-----END CERTIFICATE-----\n",
    );
    site.write(
        "certs/locked.key",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIHsMFcG\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    assert_eq!(site.check(GOOD).code, 0);
    for (from, to, key, words) in breakages::ALL.concat() {
        assert_eq!(GOOD.matches(from).count(), 1, "{from}");
        let run = site.check(&GOOD.replace(from, to));
        let said = &run.stderr;
        assert_eq!(run.code, 2, "{from} -> {to} was taken");
        assert_eq!(run.stdout, "", "{from} -> {to}");
        assert_eq!(said.lines().count(), 1, "one mistake, one line: {said}");
        assert!(said.contains(words), "{from} -> {to}: {said}");
        let file = format!("{}/vestibule.toml:", site.path().display());
        let place = said.strip_prefix(&file).unwrap_or_else(|| panic!("{said}"));
        let mut parts = place.splitn(3, ':');
        assert!(parts.next().unwrap().parse::<usize>().unwrap() > 0, "{said}");
        assert!(parts.next().unwrap().parse::<usize>().unwrap() > 0, "{said}");
        let rest = parts.next().unwrap();
        let prefix = if key.is_empty() { " ".to_owned() } else { format!(" {key}: ") };
        assert!(rest.starts_with(&prefix), "expected {key}: {said}");
    }
}

#[test]
fn several_mistakes_are_reported_at_once_in_the_order_of_the_file() {
    let site = Site::new();
    let text = GOOD
        .replace("127.0.0.1:8443", "here")
        .replace("idle = \"30m\"", "idle = 30\nabsolut = \"1h\"")
        .replace("min_length = 8", "min_length = 1")
        .replace("\"/public/**\"", "\"/**\"");
    let run = site.check(&text);
    assert_eq!(run.code, 2);
    let file = format!("{}/vestibule.toml:", site.path().display());
    let places: Vec<String> = run
        .stderr
        .lines()
        .map(|line| {
            line.strip_prefix(&file).unwrap().splitn(4, ':').take(3).collect::<Vec<_>>().join(":")
        })
        .collect();
    assert_eq!(
        places,
        [
            "4:11: listeners[0].address",
            "12:8: sessions.idle",
            "13:1: sessions.absolut",
            "15:14: passwords.min_length",
            "25:8: apps[0].rules[0].path",
        ],
        "{}",
        run.stderr
    );
}

#[test]
fn an_app_that_is_missing_or_there_twice_is_a_mistake() {
    let site = Site::new();
    let (head, app) = GOOD.split_once("[[apps]]").unwrap();
    let run = site.check(head);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("apps: there is no app"), "{}", run.stderr);
    let run = site.check(&format!("{GOOD}[[apps]]{app}"));
    assert!(run.stderr.contains("apps[1].name: \"cellengine\" is the name of another app"));
    assert!(run.stderr.contains("apps[1].hosts[0]: \"cellengine.example.com\" belongs to the app"));
    assert_eq!(run.stderr.lines().count(), 2, "{}", run.stderr);
}

#[test]
fn a_secret_is_never_printed() {
    let site = Site::new();
    for secret in [
        "[redis]\nurl = \"hunter2://user:hunter2@127.0.0.1\"",
        "[redis]\nurl = \"redis://user:hunter2@\"",
        "[redis]\nurl = \"redis://user:hunter2@127.0.0.1:port\"",
        "[redis]\nurl = [\"redis://user:hunter2@127.0.0.1\"]",
        "[redis]\nurl = { redis = \"hunter2\" }",
        "[redis]\nurl = \"hunter2",
        "[redis]\nurl = \"a\" hunter2 = 3",
        "[redis]\nkey_prefix = { url = \"hunter2\" }",
        "[redis]\ncluster = [\"redis://user:hunter2@\"]",
        "[redis]\ncluster = \"redis://user:hunter2@127.0.0.1\"",
        "[redis]\nsentinel = { service = \"a\", addresses = [\"redis://user:hunter2@127.0.0.1\"] }",
        "[redis]\nsentinel = { service = \"a\", addresses = \"user:hunter2@127.0.0.1\" }",
        "[accounts]\ndatabase = \"mysql://user:hunter2@127.0.0.1/db\"",
        "[accounts]\ndatabase = \"hunter2\"",
        "redis = \"redis://user:hunter2@127.0.0.1\"",
    ] {
        let run = site.check(&GOOD.replace("[log]", &format!("{secret}\n[log]")));
        assert_eq!(run.code, 2, "{secret}: {}", run.stderr);
        assert!(!run.stderr.contains("hunter2 "), "{}", run.stderr);
        assert!(!run.stderr.contains("hunter2@"), "{}", run.stderr);
        assert!(!run.stderr.contains("\"hunter2"), "{}", run.stderr);
        assert!(!run.stderr.contains("hunter2:"), "{}", run.stderr);
    }
    let upstream = GOOD.replace("http://127.0.0.1:8080", "http://user:hunter2@127.0.0.1");
    let run = site.check(&upstream);
    assert!(run.code == 2 && !run.stderr.contains("hunter2"), "{}", run.stderr);
}

#[test]
fn a_configuration_that_cannot_be_read_is_said_to_be_so_in_one_sentence() {
    let site = Site::new();
    fs::write(site.path().join("latin1.toml"), b"a = 1\n# caf\xe9\n").expect("it can be written");
    site.write("empty.toml", "\n# only a comment\n");
    for (name, words) in [
        ("none.toml", "none.toml: there is no such file: write a configuration there"),
        ("certs", "certs: is a directory: name the file in it, such as "),
        ("latin1.toml", "latin1.toml:2:6: is not UTF-8 text: the byte 0xE9 is wrong here"),
        ("empty.toml", "empty.toml: has no settings: write the configuration into it"),
    ] {
        let path = site.path().join(name);
        let run = run(&["check", "--config", path.to_str().unwrap()]);
        assert_eq!(run.code, 2, "{}", run.stderr);
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
        let said = run.stderr.strip_prefix(&format!("{}/", site.path().display()));
        assert!(said.is_some_and(|said| said.starts_with(words)), "{words}: {}", run.stderr);
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn no_damage_to_a_configuration_makes_reading_it_panic(
        at in 0..GOOD.len(),
        length in 0_usize..12,
        put in "[ -~\n\t\u{e9}]{0,8}",
    ) {
        let damaged = format!(
            "{}{put}{}",
            GOOD.get(..at).unwrap_or_default(),
            GOOD.get((at + length).min(GOOD.len())..).unwrap_or_default()
        );
        let dir = tempfile::tempdir().expect("a directory can be made");
        let path = dir.path().join("vestibule.toml");
        fs::write(&path, damaged).expect("it can be written to");
        if let Err(mistakes) = Config::load(&path) {
            assert!(!mistakes.is_empty());
        }
    }
}
