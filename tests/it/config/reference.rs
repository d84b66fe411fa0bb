//! The reference: examples, documentation, defaults and the output of `check`.

use std::fs;

use serde_json::Value;
use vestibule::config::settings::Settings;
use vestibule::config::{reference, schema};

use super::{CELLENGINE, GOOD, load};
use crate::support::generated;
use crate::support::program::Site;

const EXAMPLE: &str = include_str!("../../../config/vestibule.example.toml");
const MINIMAL: &str = include_str!("../../../config/minimal.toml");
const DOCUMENTATION: &str = include_str!("../../../docs/configuration.md");

/// Every key of the schema: the name of each property, however deep.
fn keys_of(schema: &Value, found: &mut Vec<String>) {
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        found.extend(properties.keys().cloned());
    }
    match schema {
        Value::Object(object) => object.values().for_each(|v| keys_of(v, found)),
        Value::Array(list) => list.iter().for_each(|v| keys_of(v, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn the_configurations_that_come_along_are_good() {
    let site = Site::new();
    for text in [EXAMPLE, MINIMAL, CELLENGINE] {
        let run = site.check(text);
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert_eq!(run.stderr, "");
        assert!(run.stdout.contains("cellengine.example.com"));
    }
}

#[test]
fn the_example_and_the_documentation_name_every_key() {
    let mut keys = Vec::new();
    keys_of(&schema(), &mut keys);
    assert!(keys.len() > 50, "{keys:?}");
    for key in keys {
        let named = EXAMPLE.lines().any(|line| {
            let line = line.trim_start_matches(['#', '[', ' ']);
            line.strip_prefix(key.as_str()).is_some_and(|rest| {
                rest.starts_with(" =") || rest.starts_with(']') || rest.starts_with('.')
            })
        });
        // `second_factor.totp` stands behind a dot, `env` and `file` in the text on secrets.
        let named = named
            || EXAMPLE.contains(&format!(".{key}]"))
            || EXAMPLE.contains(&format!("{{ {key} ="))
            || EXAMPLE.contains(&format!(", {key} ="));
        assert!(named, "the example does not name {key}");
        assert!(
            DOCUMENTATION.contains(&format!("`{key}`")),
            "the documentation does not name {key}"
        );
    }
}

#[test]
fn the_documentation_and_the_example_are_generated_from_the_source() {
    for (file, expected) in generated::files() {
        let written = fs::read_to_string(&file).expect("the file is readable");
        let name = file.display();
        assert!(written == expected, "{name} is outdated: cargo run --example reference");
    }
}

#[test]
fn the_documented_defaults_are_the_defaults() {
    let site = Site::new();
    let implied = format!("{GOOD}[apps.api_errors]\n[mail]\nhost = \"h\"\nfrom = \"a@b.c\"\n");
    let mut written: toml::Table = implied.parse().expect("the configuration is TOML");
    for (path, key, value) in reference::defaults() {
        // Redis is not used here, no app token is listed, and the rest is for apps that check passwords.
        if ["redis", "redis.sentinel", "apps.tokens"].contains(&path.as_str())
            || ["provision", "app_second_factor"].contains(&key)
        {
            continue;
        }
        let mut table = &mut written;
        for step in path.split('.').filter(|step| !step.is_empty()) {
            let below = table.entry(step).or_insert_with(|| toml::Table::new().into());
            let below = if below.is_array() { &mut below[0] } else { below };
            table = below.as_table_mut().expect("a table");
        }
        let parsed: toml::Table = format!("value = {value}").parse().expect("a value");
        table.entry(key).or_insert_with(|| parsed["value"].clone());
    }
    let settings = |text: &str| {
        let settings = load(&site, text);
        assert!(settings.effective.len() > 90, "{:?}", settings.effective);
        let (implied, keys) = (format!("{:#?}", settings.proxy), settings.effective.clone());
        (implied, format!("{:#?}", Settings { effective: Vec::new(), ..settings }), keys)
    };
    assert_eq!(settings(&implied), settings(&written.to_string()));
}

#[test]
fn check_prints_the_value_of_each_key_and_no_secret() {
    let site = Site::new();
    let mail =
        "[mail]\nhost = \"h\"\nfrom = \"a@b.c\"\nuser = \"u\"\npassword = \"hunter2hunter2\"\n";
    let text = GOOD.replace("[log]", &format!("{mail}[log]"));
    let run = site.check(&text);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let value = |key: &str| {
        let line = run.stdout.lines().find_map(|line| line.strip_prefix(key));
        line.unwrap_or_else(|| panic!("{key} is missing: {}", run.stdout)).trim()
    };
    assert_eq!(value("mail.password "), "***");
    assert!(!run.stdout.contains("hunter2"));
    assert_eq!(value("throttle.per_name "), "10");
    assert_eq!(value("throttle.per_address "), "20");
    assert_eq!(value("network.trusted_proxies "), "none");
    assert_eq!(value("  upstreams "), "http://127.0.0.1:8080");
    assert_eq!(value("  read_timeout "), "1m");
    assert!(value("  rule ").contains("/public/**"));
}
