//! Configurations, good and broken, through the built program and through the library.
#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use vestibule::config::settings::Settings;
use vestibule::config::{Config, keys, schema};

use crate::support::program::{Site, vestibule};

const CELLENGINE: &str = include_str!("../../config/cellengine.example.toml");
const EXAMPLE: &str = include_str!("../../config/vestibule.example.toml");
const MINIMAL: &str = include_str!("../../config/minimal.toml");
const DOCUMENTATION: &str = include_str!("../../docs/configuration.md");

/// A configuration that is good, with places to break it.
const GOOD: &str = r#"
data_dir = "data"
[[listeners]]
address = "127.0.0.1:8443"
kind = "https"
[[certificates]]
cert = "certs/cellengine.pem"
key = "certs/cellengine.key"
[network]
trusted_proxies = []
[sessions]
idle = "30m"
[passwords]
min_length = 8
[throttle]
per_name = 10
[log]
level = "info"
[[apps]]
name = "cellengine"
hosts = ["cellengine.example.com"]
upstreams = ["http://127.0.0.1:8080"]
[[apps.rules]]
path = "/public/**"
access = "public"
"#;

fn load(site: &Site, text: &str) -> Settings {
    let path = site.write("vestibule.toml", text);
    Config::load(&path).expect("the configuration is good")
}

/// The example with every default written out.
fn uncommented(text: &str) -> String {
    let is_key = |rest: &str| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[');
    text.lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if is_key(rest) => rest,
            _ => line,
        })
        .collect::<Vec<_>>()
        .join("\n")
}

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
            || EXAMPLE.contains(&format!("{{ {key} ="));
        assert!(named, "the example does not name {key}");
        assert!(
            DOCUMENTATION.contains(&format!("`{key}`")),
            "the documentation does not name {key}"
        );
    }
}

#[test]
fn the_defaults_that_the_example_shows_are_the_defaults() {
    let site = Site::new();
    let (implied, written) = (load(&site, EXAMPLE), load(&site, &uncommented(EXAMPLE)));
    assert_eq!(implied.sessions, written.sessions);
    assert_eq!(implied.budgets, written.budgets);
    assert_eq!(implied.log, written.log);
    assert_eq!(implied.audit.retention, written.audit.retention);
    assert_eq!(implied.keys_file, written.keys_file);
    assert_eq!(implied.public_url, written.public_url);
    assert_eq!(implied.passwords.cost, written.passwords.cost);
    assert_eq!(implied.passwords.min_length, written.passwords.min_length);
    assert_eq!(implied.passwords.queue, written.passwords.queue);
    assert_eq!(implied.proxy.drain, written.proxy.drain);
    assert_eq!(
        implied.proxy.network.connections_per_address,
        written.proxy.network.connections_per_address
    );
    assert_eq!(
        implied.proxy.network.requests_per_address,
        written.proxy.network.requests_per_address
    );
    let (implied, written) = (&implied.proxy.apps[0], &written.proxy.apps[0]);
    assert_eq!(implied.websocket, written.websocket);
    assert_eq!(implied.upstream.http2, written.upstream.http2);
    assert_eq!(implied.upstream.connect_timeout, written.upstream.connect_timeout);
    assert_eq!(implied.upstream.read_timeout, written.upstream.read_timeout);
}

/// One way to break [`GOOD`]: what is replaced by what, and the key and words of the error.
type Breakage = (&'static str, &'static str, &'static str, &'static str);

const BREAKAGES: &[Breakage] = &[
    // Form.
    (
        "idle = \"30m\"",
        "idle = 30",
        "sessions.idle",
        "expected a text in quotes, found a whole number",
    ),
    ("idle = \"30m\"", "ilde = \"30m\"", "sessions.ilde", "did you mean `idle`?"),
    ("[sessions]", "[session]", "session", "did you mean `sessions`?"),
    ("idle = \"30m\"", "idle = ", "", "not TOML"),
    ("idle = \"30m\"", "idle = \"30\"", "sessions.idle", "not a duration"),
    ("min_length = 8", "min_length = -8", "passwords.min_length", "out of range"),
    ("min_length = 8", "memory = \"19MB\"", "passwords.memory", "not a size"),
    ("[log]", "[mail]\nfrom = \"a@b.c\"\n[log]", "mail.host", "is missing"),
    ("[log]", "[mail]\nhost = \"h\"\n[log]", "mail.from", "is not an address"),
    (
        "[log]",
        "[mail]\nhost = \"h\"\nfrom = \"a@b.c\"\ntime_zone = \"Zurich\"\n[log]",
        "mail.time_zone",
        "is not a time zone",
    ),
    (
        "[log]",
        "[mail]\nhost = \"h\"\nfrom = \"a@b.c\"\nuser = \"u\"\n[log]",
        "mail.user",
        "write both user and password",
    ),
    (
        "[log]",
        "[mail]\nhost = \"h\"\nfrom = \"a@b.c\"\ntls = \"ssl\"\n[log]",
        "mail.tls",
        "write one of starttls, tls, none",
    ),
    ("[log]", "[audit]\nretention = \"1h\"\n[log]", "audit.retention", "at least \"1d\""),
    ("[log]", "[audit]\nnode = \"a b\"\n[log]", "audit.node", "is not a name"),
    ("[log]", "[audit]\nfile = \"\"\n[log]", "audit.file", "write \"stdout\" or a file"),
    // Listeners and network.
    ("kind = \"https\"", "kind = \"htps\"", "listeners[0].kind", "did you mean \"https\"?"),
    ("kind = \"https\"", "", "listeners[0].kind", "is missing"),
    ("kind = \"https\"", "kind = \"redirect\"", "listeners", "none of them serves the apps"),
    ("127.0.0.1:8443", "localhost:8443", "listeners[0].address", "not an IP address and port"),
    (
        "[network]",
        "[[listeners]]\naddress = \"127.0.0.1:8443\"\nkind = \"http\"\n[network]",
        "listeners[1].address",
        "taken by another listener",
    ),
    (
        "[network]",
        "[admin]\naddress = \"127.0.0.1:8443\"\n[network]",
        "admin.address",
        "port of their own",
    ),
    (
        "trusted_proxies = []",
        "trusted_proxies = [\"10.0.0.0/8\", \"0.0.0.0/0\"]",
        "network.trusted_proxies[1]",
        "would trust every address",
    ),
    (
        "trusted_proxies = []",
        "trusted_proxies = [\"::/0\"]",
        "network.trusted_proxies[0]",
        "would trust every address",
    ),
    (
        "trusted_proxies = []",
        "trusted_proxies = [\"10.0.0.0/40\"]",
        "network.trusted_proxies[0]",
        "not a network",
    ),
    (
        "trusted_proxies = []",
        "proxy_protocol = true",
        "network.proxy_protocol",
        "not available yet",
    ),
    // Certificates.
    (
        "cert = \"certs/cellengine.pem\"",
        "cert = \"certs/none.pem\"",
        "certificates[0].cert",
        "cannot be read",
    ),
    (
        "key = \"certs/cellengine.key\"",
        "key = \"certs/none.key\"",
        "certificates[0].key",
        "cannot be read",
    ),
    (
        "key = \"certs/cellengine.key\"",
        "key = \"certs/other.key\"",
        "certificates[0].key",
        "is not the key of",
    ),
    (
        "key = \"certs/cellengine.key\"",
        "key = \"vestibule.toml\"",
        "certificates[0].key",
        "holds no private key",
    ),
    (
        "cert = \"certs/cellengine.pem\"",
        "cert = \"vestibule.toml\"",
        "certificates[0].cert",
        "holds no certificate",
    ),
    ("key = \"certs/cellengine.key\"", "", "certificates[0].key", "is missing"),
    (
        "[[certificates]]\ncert = \"certs/cellengine.pem\"\nkey = \"certs/cellengine.key\"",
        "",
        "certificates",
        "an https listener needs one",
    ),
    // Apps.
    ("hosts = [\"cellengine.example.com\"]", "", "apps[0].hosts", "is missing"),
    ("hosts = [\"cellengine.example.com\"]", "hosts = []", "apps[0].hosts", "is missing"),
    ("upstreams = [\"http://127.0.0.1:8080\"]", "", "apps[0].upstreams", "is missing"),
    ("name = \"cellengine\"", "", "apps[0].name", "is missing"),
    ("name = \"cellengine\"", "name = \"Cell Engine\"", "apps[0].name", "is not a name"),
    (
        "[\"cellengine.example.com\"]",
        "[\"a.com\", \"A.com\"]",
        "apps[0].hosts[1]",
        "belongs to the app",
    ),
    ("[\"cellengine.example.com\"]", "[\"a.com:8443\"]", "apps[0].hosts[0]", "leave out the port"),
    ("[\"cellengine.example.com\"]", "[\"*.a.com\"]", "public_url", "no exact host name"),
    ("http://127.0.0.1:8080", "127.0.0.1:8080", "apps[0].upstreams[0]", "write it like"),
    (
        "http://127.0.0.1:8080",
        "http://127.0.0.1:8080/app",
        "apps[0].upstreams[0]",
        "without a path",
    ),
    (
        "[[apps.rules]]",
        "upstream_client_cert = \"certs/client.pem\"\n[[apps.rules]]",
        "apps[0].upstream_client_key",
        "is missing",
    ),
    (
        "[[apps.rules]]",
        "upstream_ca = \"certs/none.pem\"\n[[apps.rules]]",
        "apps[0].upstream_ca",
        "cannot be read",
    ),
    (
        "[[apps.rules]]",
        "upstream_host = \"https://app.example.net\"\n[[apps.rules]]",
        "apps[0].upstream_host",
        "leave out scheme and path",
    ),
    (
        "[[apps.rules]]",
        "upstream_host = \"app.example.net:0\"\n[[apps.rules]]",
        "apps[0].upstream_host",
        "has an invalid port",
    ),
    (
        "[[apps.rules]]",
        "upstream_host = \"*.example.net\"\n[[apps.rules]]",
        "apps[0].upstream_host",
        "is not a single host",
    ),
    (
        "upstreams = [\"http://127.0.0.1:8080\"]",
        "upstreams = [\"http://127.0.0.1:8080\", \"https://127.0.0.1\"]\nupstream_host = \"a.com\"",
        "apps[0].upstream_host",
        "all https or all http",
    ),
    (
        "[[apps.rules]]",
        "connect_timeout = \"0s\"\n[[apps.rules]]",
        "apps[0].connect_timeout",
        "greater than zero",
    ),
    (
        "[[apps.rules]]",
        "methods = [\"TRACE\"]\n[[apps.rules]]",
        "apps[0].methods[0]",
        "never forwarded",
    ),
    (
        "[[apps.rules]]",
        "api_paths = [\"api/**\"]\n[[apps.rules]]",
        "apps[0].api_paths[0]",
        "starts with `/`",
    ),
    (
        "[[apps.rules]]",
        "cors_origins = [\"*\"]\n[[apps.rules]]",
        "apps[0].cors_origins[0]",
        "is not an origin",
    ),
    (
        "[[apps.rules]]",
        "cors_origins = [\"https://a.com/x\"]\n[[apps.rules]]",
        "apps[0].cors_origins[0]",
        "without a path",
    ),
    (
        "[[apps.rules]]",
        "cors_preflight = \"forward\"\n[[apps.rules]]",
        "apps[0].cors_preflight",
        "write one of answer, pass",
    ),
    (
        "[[apps.rules]]",
        "api_errors = { error = \"\" }\n[[apps.rules]]",
        "apps[0].api_errors.error",
        "needs a message",
    ),
    (
        "[[apps.rules]]",
        "api_errors = { code = \"error\" }\n[[apps.rules]]",
        "apps[0].api_errors.code",
        "another field",
    ),
    // Rules.
    ("\"/public/**\"", "\"public/**\"", "apps[0].rules[0].path", "starts with `/`"),
    ("\"/public/**\"", "\"/public*\"", "apps[0].rules[0].path", "whole segments"),
    ("\"/public/**\"", "\"/**\"", "apps[0].rules[0].path", "whole app public"),
    ("\"/public/**\"", "\"/_auth/x\"", "apps[0].rules[0].path", "own pages"),
    ("path = \"/public/**\"", "", "apps[0].rules[0].path", "whole app public"),
    (
        "access = \"public\"",
        "access = \"public\"\nusers = [\"alice\"]",
        "apps[0].rules[0].users",
        "requires none",
    ),
    (
        "access = \"public\"",
        "access = \"public\"\ngroups = [\"staff\"]",
        "apps[0].rules[0].groups",
        "requires none",
    ),
    (
        "access = \"public\"",
        "access = \"deny\"\nusers = [\"a b\"]",
        "apps[0].rules[0].users[0]",
        "not a login name",
    ),
    (
        "access = \"public\"",
        "access = \"deny\"\ngroups = [\"a,b\"]",
        "apps[0].rules[0].groups[0]",
        "not the name of a group",
    ),
    (
        "access = \"public\"",
        "access = \"public\"\nnetworks = [\"10.0.0.1/8\"]",
        "apps[0].rules[0].networks[0]",
        "write \"10.0.0.0/8\"",
    ),
    (
        "access = \"public\"",
        "access = \"public\"\nnetworks = [\"::ffff:10.0.0.0/104\"]",
        "apps[0].rules[0].networks[0]",
        "write it as IPv4",
    ),
    (
        "access = \"public\"",
        "access = \"public\"\nnetworks = []",
        "apps[0].rules[0].networks",
        "empty list",
    ),
    (
        "path = \"/public/**\"",
        "path = \"/*/**\"",
        "apps[0].rules[0].path",
        "would make the whole app public",
    ),
    (
        "access = \"public\"",
        "access = \"public\"\nhosts = [\"other.example.com\"]",
        "apps[0].rules[0].hosts[0]",
        "not among the app's hosts",
    ),
    (
        "access = \"public\"",
        "access = \"public\"\nmax_age = \"5m\"",
        "apps[0].rules[0].max_age",
        "it needs access = \"two_factor\"",
    ),
    (
        "access = \"public\"",
        "access = \"two_factor\"\nmax_age = \"0s\"",
        "apps[0].rules[0].max_age",
        "greater than zero",
    ),
    (
        "access = \"public\"",
        "access = \"public\"\nname = \"default\"",
        "apps[0].rules[0].name",
        "choose another name",
    ),
    (
        "access = \"public\"",
        "access = \"public\"\nname = \"a\"\n[[apps.rules]]\nname = \"a\"\naccess = \"deny\"",
        "apps[0].rules[1].name",
        "name of another rule",
    ),
    (
        "access = \"public\"",
        "access = \"publik\"",
        "apps[0].rules[0].access",
        "did you mean \"public\"?",
    ),
    ("access = \"public\"", "", "apps[0].rules[0].access", "is missing"),
    (
        "access = \"public\"",
        "access = \"public\"\nmethods = [\"get\"]",
        "apps[0].rules[0].methods[0]",
        "case-sensitive",
    ),
    (
        "access = \"public\"",
        "access = \"public\"\nmethods = [\"PROPFIND\"]",
        "apps[0].rules[0].methods[0]",
        "not among the app's methods",
    ),
    (
        "access = \"public\"",
        "access = \"public\"\nmethods = []",
        "apps[0].rules[0].methods",
        "empty list",
    ),
    // Limits.
    ("idle = \"30m\"", "idle = \"2h\"", "sessions.idle", "NIST"),
    ("idle = \"30m\"", "absolute = \"25h\"", "sessions.absolute", "allow_beyond_nist"),
    ("idle = \"30m\"", "absolute = \"10m\"", "sessions.absolute", "would have no effect"),
    ("idle = \"30m\"", "idle = \"0s\"", "sessions.idle", "greater than zero"),
    ("idle = \"30m\"", "pending = \"0s\"", "sessions.pending", "greater than zero"),
    ("min_length = 8", "min_length = 7", "passwords.min_length", "8 to 64"),
    ("min_length = 8", "memory = \"18MiB\"", "passwords.memory", "19MiB"),
    ("min_length = 8", "passes = 1", "passwords.passes", "2 to 64"),
    ("min_length = 8", "lanes = 0", "passwords.lanes", "1 to 16"),
    ("per_name = 10", "per_name = 0", "throttle.per_name", "1 to 100"),
    ("per_name = 10", "first_wait = \"0s\"", "throttle.first_wait", "greater than zero"),
    ("per_name = 10", "first_wait = \"2m\"", "throttle.first_wait", "longest_wait"),
    ("per_name = 10", "second_factor_most = 101", "throttle.second_factor_most", "1 to 100"),
    ("level = \"info\"", "level = \"verbose\"", "log.level", "write one of"),
    ("level = \"info\"", "format = \"jsn\"", "log.format", "did you mean \"json\"?"),
    (
        "[log]",
        "[second_factor]\nenrolment = \"tickets\"\n[log]",
        "second_factor.enrolment",
        "did you mean \"ticket\"?",
    ),
    ("[log]", "[tickets]\nlifetime = \"8days\"\n[log]", "tickets.lifetime", "7days"),
    ("[log]", "[tickets]\nlifetime = \"0s\"\n[log]", "tickets.lifetime", "greater than zero"),
    // Stores and keys.
    ("data_dir = \"data\"", "", "data_dir", "is missing: accounts are stored in it"),
    ("idle = \"30m\"", "store = \"redis\"", "redis", "needs [redis]"),
    (
        "[log]",
        "[redis]\nkey_prefix = \"a b\"\nurl = \"redis://127.0.0.1\"\n[log]",
        "redis.key_prefix",
        "not a prefix",
    ),
    ("[log]", "[redis]\n[log]", "redis.url", "is missing"),
    (
        "[log]",
        "[accounts]\ndatabase = \"postgres://127.0.0.1/db\"\n[log]",
        "keys.file",
        "vestibule keys init",
    ),
    (
        "[log]",
        "[accounts]\ndatabase = { env = \"VESTIBULE_TEST_NO_SUCH\" }\n[log]",
        "accounts.database",
        "is not set",
    ),
    (
        "[log]",
        "[accounts]\ndatabase = { file = \"none\" }\n[log]",
        "accounts.database",
        "cannot be read",
    ),
    (
        "[log]",
        "[accounts]\ndatabase = { flie = \"none\" }\n[log]",
        "accounts.database",
        "{ file = \"path\" }",
    ),
    ("[log]", "[keys]\nfile = \"open.toml\"\n[log]", "keys.file", "chmod 600"),
    ("[log]", "[keys]\nfile = \"closed.toml\"\n[log]", "keys.file", "not a key file"),
];

#[test]
fn every_mistake_is_refused_with_its_place_and_what_would_be_right() {
    let site = Site::new();
    for (name, mode) in [("open.toml", 0o644), ("closed.toml", 0o600)] {
        let path = site.write(name, "version = 1\n");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    assert_eq!(site.check(GOOD).code, 0);
    for (from, to, key, words) in BREAKAGES {
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

/// A cluster's configuration: nothing embedded, secrets elsewhere.
fn cluster(redis: &str, database: &str) -> String {
    GOOD.replace("data_dir = \"data\"\n", "")
        .replace("idle = \"30m\"", "store = \"redis\"")
        .replace(
            "[log]",
            &format!(
                "[redis]\nurl = {redis}\n[accounts]\ndatabase = {database}\n\
             [keys]\nfile = \"keys.toml\"\n[log]"
            ),
        )
}

#[test]
fn a_cluster_needs_its_key_file_and_takes_secrets_from_files_and_the_environment() {
    let site = Site::new();
    site.write("redis-url", "redis://user:hunter2@127.0.0.1:6379/0\n");
    let text = cluster("{ file = \"redis-url\" }", "{ env = \"VESTIBULE_TEST_DATABASE\" }");
    let path = site.write("vestibule.toml", &text);
    let check = || {
        vestibule(&["check", "--config", path.to_str().unwrap()])
            .env("VESTIBULE_TEST_DATABASE", "postgres://user:hunter2@127.0.0.1/db")
            .output()
            .unwrap()
    };
    let missing = check();
    assert_eq!(missing.status.code(), Some(2));
    let said = String::from_utf8(missing.stderr).unwrap();
    assert!(said.contains("keys.file: the key file") && said.contains("keys init"), "{said}");

    keys::init(&site.path().join("keys.toml")).unwrap();
    let good = check();
    let (out, err) =
        (String::from_utf8(good.stdout).unwrap(), String::from_utf8(good.stderr).unwrap());
    assert_eq!(good.status.code(), Some(0), "{err}");
    assert!(out.contains("redis ***") && out.contains("postgres ***"), "{out}");
    assert!(!out.contains("hunter2") && !err.contains("hunter2"), "{out}{err}");
}

#[test]
fn what_may_not_be_meant_is_a_warning() {
    let site = Site::new();
    keys::init(&site.path().join("keys.toml")).unwrap();
    let text = cluster("\"redis://10.0.0.1\"", "\"postgres://u:p@10.0.0.2/db\"")
        .replace("http://127.0.0.1:8080", "http://10.0.0.3:8080")
        .replace(
            "[network]",
            "[[listeners]]\naddress = \"0.0.0.0:8080\"\nkind = \"http\"\n[network]",
        )
        .replace("[\"cellengine.example.com\"]", "[\"cellengine.example.com\", \"b.example.com\"]");
    let settings = load(&site, &text);
    for (key, words) in [
        ("redis.url", "rediss://"),
        ("accounts.database", "sslmode=verify-full"),
        ("apps[0].upstreams[0]", "off loopback"),
        ("listeners[1].kind", "trusted_proxies"),
        ("apps[0].hosts[1]", "no certificate names this host"),
    ] {
        let found = settings.warnings.iter().any(|w| w.starts_with(key) && w.contains(words));
        assert!(found, "{key}: {:?}", settings.warnings);
    }
    assert_eq!(settings.warnings.len(), 5, "{:?}", settings.warnings);
    assert!(!settings.keys_may_be_made);
    assert!(load(&site, GOOD).warnings.is_empty());
}

#[test]
fn links_carry_the_port_of_the_listener_unless_another_is_written() {
    let site = Site::new();
    let url = |text: &str| load(&site, text).public_url;
    for (address, expected) in [
        ("127.0.0.1:8443", "https://cellengine.example.com:8443"),
        ("0.0.0.0:443", "https://cellengine.example.com"),
        ("0.0.0.0:0", "https://cellengine.example.com"),
    ] {
        assert_eq!(url(&GOOD.replace("127.0.0.1:8443", address)), expected, "{address}");
    }
    assert!(site.check(GOOD).stdout.contains("set public_url if browsers"));
    let written = GOOD.replacen("data_dir", "public_url = \"https://lab.test\"\ndata_dir", 1);
    assert_eq!(url(&written), "https://lab.test");
    assert!(!site.check(&written).stdout.contains("set public_url"));
}

#[test]
fn a_rule_for_certain_people_that_keeps_nobody_out_is_a_warning() {
    let site = Site::new();
    let team = "[[apps.rules]]\npath = \"/team/**\"\n";
    let staff = format!("{team}groups = [\"staff\"]\naccess = \"two_factor\"\n");
    let said = |rules: &str| load(&site, &format!("{GOOD}{rules}")).warnings;
    let open = said(&staff);
    assert_eq!(open.len(), 1, "{open:?}");
    let pair = "[[apps.rules]] path = \"/team/**\" access = \"deny\"";
    assert!(open[0].starts_with("apps[0].rules[1]: ") && open[0].contains(pair), "{open:?}");
    let ada = format!("{team}users = [\"ada\"]\naccess = \"password\"\n");
    let chain = said(&format!("{staff}{ada}"));
    assert!(chain.len() == 1 && chain[0].starts_with("apps[0].rules[2]: "), "{chain:?}");
    for still_open in [
        format!("{team}users = [\"eve\"]\naccess = \"deny\"\n"),
        format!("{team}methods = [\"POST\"]\naccess = \"deny\"\n"),
        format!("{team}report_only = true\naccess = \"deny\"\n"),
        "[[apps.rules]]\npath = \"/team/a\"\naccess = \"deny\"\n".to_owned(),
        "[[apps.rules]]\naccess = \"two_factor\"\n".to_owned(),
    ] {
        assert_eq!(said(&format!("{staff}{still_open}")).len(), 1, "{still_open}");
    }
    for said_so in [
        format!("{ada}{team}access = \"deny\"\n"),
        "[[apps.rules]]\naccess = \"deny\"\n".to_owned(),
        format!("{team}access = \"two_factor\"\n"),
    ] {
        assert!(said(&format!("{staff}{said_so}")).is_empty(), "{said_so}");
    }
    assert!(said(&format!("{staff}report_only = true\n")).is_empty(), "it does not act");
}

#[test]
fn names_in_rules_beside_an_app_that_gives_accounts_are_a_warning() {
    let site = Site::new();
    let rules = "[[apps.rules]]\nname = \"ada\"\nusers = [\"ada\"]\naccess = \"two_factor\"\n\
                 [[apps.rules]]\naccess = \"deny\"\n";
    let warned = load(&site, &format!("{CELLENGINE}{rules}")).warnings;
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(warned[0].starts_with("apps[0].provision: ") && warned[0].contains("\"ada\""));
    let by_hand = CELLENGINE.replace("provision = true", "provision = false");
    assert!(load(&site, &format!("{by_hand}{rules}")).warnings.is_empty());
}

#[test]
fn limits_beyond_nist_need_saying_so() {
    let site = Site::new();
    let settings = load(
        &site,
        &GOOD.replace(
            "idle = \"30m\"",
            "idle = \"2h\"\nabsolute = \"7days\"\nallow_beyond_nist = true",
        ),
    );
    assert_eq!(settings.sessions.idle.as_secs(), 7200);
}

#[test]
fn a_configuration_that_is_not_there_is_said_to_be_so() {
    let run = crate::support::program::run(&["check", "--config", "/nonexistent/vestibule.toml"]);
    assert_eq!(run.code, 2);
    assert!(
        run.stderr.starts_with("/nonexistent/vestibule.toml: the configuration cannot be read"),
        "{}",
        run.stderr
    );
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

#[test]
fn what_asks_for_less_than_two_factors_is_reported_as_a_weakening() {
    let site = Site::new();
    let rules = "[[apps.rules]]\nname = \"reports\"\naccess = \"password\"\nreport_only = true\n\
                 [[apps.rules]]\nname = \"inside\"\naccess = \"public\"\nnetworks = [\"10.0.0.0/8\"]\n\
                 [[apps.rules]]\nname = \"readers\"\naccess = \"password\"\npath = \"/read/**\"\n\
                 [[apps.rules]]\nname = \"all\"\naccess = \"two_factor\"\n\
                 [[apps.rules]]\nname = \"late\"\naccess = \"deny\"\n";
    let run = site.check(&format!("{GOOD}{rules}"));
    assert_eq!(run.code, 0, "{}", run.stderr);
    let weak: Vec<&str> = run.stderr.lines().filter(|l| l.starts_with("weakening: ")).collect();
    assert_eq!(weak.len(), 2, "{}", run.stderr);
    assert!(
        weak[0].contains("apps[0].rules[2].access") && weak[0].contains("every path is public")
    );
    assert!(weak[1].contains("apps[0].rules[3].access") && weak[1].contains("the password alone"));
    assert!(run.stderr.contains("rules[5]: is never reached"), "{}", run.stderr);
    assert!(run.stdout.contains("password (weakening: no second factor)"), "{}", run.stdout);
    assert!(run.stdout.contains("(report only: not enforced)"), "{}", run.stdout);
    let counts = site.check(&CELLENGINE.replace("#app_second_factor", "app_second_factor"));
    assert!(counts.stderr.contains("weakening: apps[0].app_second_factor: "), "{}", counts.stderr);
    assert!(counts.stdout.contains("counts (weakening: "), "{}", counts.stdout);
    let quiet = site.check(GOOD);
    assert!(!quiet.stderr.contains("weakening") && !quiet.stdout.contains("weakening"));
}
