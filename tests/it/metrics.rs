//! `/metrics`: answers, stores, upstreams, certificates and settings, as of the moment they are read.

use std::collections::BTreeSet;
use std::path::Path;

use super::support::client::{self, Browser, PATIENCE};
use super::support::cluster::Cluster;
use super::support::gateway::{Gateway, Plan};
use super::support::log::Line;
use super::support::upstream::Recorder;
use super::support::visitor;
use super::support::wire::Wire;
use super::support::within;

/// The value of a series, by its name and labels as written.
async fn value(gateway: &Gateway, series: &str) -> Option<String> {
    let page = client::admin(gateway, "/metrics").await.text();
    let found = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    found.map(str::to_owned)
}

async fn number(gateway: &Gateway, series: &str) -> f64 {
    let value = value(gateway, series).await;
    value.unwrap_or_else(|| panic!("no {series}")).parse().unwrap()
}

async fn becomes(gateway: &Gateway, series: &str, wanted: &str) {
    let right = async { while value(gateway, series).await.as_deref() != Some(wanted) {} };
    within(PATIENCE, series, right).await;
}

fn config_hash(gateway: &Gateway) -> String {
    let output = gateway.command(&["config", "hash"], "");
    assert!(output.status.success());
    let hash = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    let output = gateway.command(&["config", "hash", "--json"], "");
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["hash"], hash.as_str());
    hash
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_never_has_all_connections_of_the_admin_listener() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let stranger = [127, 0, 0, 9].into();
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(client::tcp(gateway.admin, stranger).await.unwrap());
    }
    for _ in 0..3 {
        assert_eq!(client::admin(&gateway, "/nodez").await.status, 200);
    }
    // The silent ones end as well.
    for stream in silent {
        within(PATIENCE, "the end of a silent connection", Wire::new(stream).rest()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_counted_by_status_and_time() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let mut browser = Browser::new(&gateway);
    for (path, status) in [("/public/x", 200), ("/public/y", 200), ("/app", 401)] {
        assert_eq!(browser.fetch(path).await.status, status);
    }
    let class =
        |class: &str| format!("vestibule_responses_total{{app=\"main\",status=\"{class}\"}}");
    becomes(&gateway, &class("2xx"), "2").await;
    becomes(&gateway, &class("4xx"), "1").await;
    let duration = "vestibule_request_duration_seconds";
    becomes(&gateway, &format!("{duration}_count{{app=\"main\"}}"), "3").await;
    becomes(&gateway, &format!("{duration}_bucket{{app=\"main\",le=\"+Inf\"}}"), "3").await;
    assert!(number(&gateway, &format!("{duration}_sum{{app=\"main\"}}")).await > 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_reloads_certificates_and_the_version_are_told() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let version = format!("vestibule_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    assert_eq!(value(&gateway, &version).await, Some("1".to_owned()));
    let file = gateway.certificates.cert.display();
    let expiry = format!("vestibule_certificate_expiry_timestamp_seconds{{file=\"{file}\"}}");
    assert!(number(&gateway, &expiry).await > 1.7e9);
    let first = config_hash(&gateway);
    let info = |hash: &str| format!("vestibule_config_info{{hash=\"{hash}\"}}");
    assert_eq!(value(&gateway, &info(&first)).await, Some("1".to_owned()));
    let successful = "vestibule_config_last_reload_successful";
    assert_eq!(value(&gateway, successful).await, Some("1".to_owned()));
    assert_eq!(value(&gateway, "vestibule_ready").await, Some("1".to_owned()));

    let good = std::fs::read_to_string(&gateway.config).unwrap();
    std::fs::write(&gateway.config, "nonsense = 1\n").unwrap();
    gateway.signal("HUP");
    let refused = |line: &Line| line.get("message")?.starts_with("reload failed").then_some(());
    gateway.log.wait_for("refusal", refused).await;
    becomes(&gateway, successful, "0").await;
    assert_eq!(
        value(&gateway, &info(&first)).await,
        Some("1".to_owned()),
        "the old one is in effect"
    );

    let changed = good.replace("websocket = true", "websocket = false");
    std::fs::write(&gateway.config, changed + "\n[sessions]\nidle = \"29m\"\n").unwrap();
    gateway.reload().await;
    becomes(&gateway, successful, "1").await;
    let page = client::admin(&gateway, "/metrics").await.text();
    let infos: Vec<_> = page.lines().filter(|l| l.starts_with("vestibule_config_info{")).collect();
    assert_eq!(infos.len(), 1, "{infos:?}");
    assert!(!infos[0].contains(&first), "the app changed");
    assert!(!infos[0].contains(&config_hash(&gateway)), "sessions need a restart");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_is_down_is_told_in_the_log_and_as_a_metric() {
    let (app, other) = (Recorder::start().await, Recorder::start().await);
    let mut plan = Plan::new(&app);
    let both = format!("upstreams = [\"{}\", \"{}\"]", app.url(), other.url());
    plan.apps = plan.apps.replace(&format!("upstreams = [\"{}\"]", app.url()), &both);
    let gateway = Gateway::start(&plan).await;
    let series = |address| format!("vestibule_upstream_up{{app=\"main\",address=\"{address}\"}}");
    becomes(&gateway, &series(other.address), "1").await;
    let gone = other.address;
    drop(other);
    becomes(&gateway, &series(gone), "0").await;
    becomes(&gateway, &series(app.address), "1").await;
    let told = |line: &Line| {
        let down = line.get("message") == Some("upstream is down");
        (down && line.get("address") == Some(&gone.to_string())).then_some(())
    };
    gateway.log.wait_for("line", told).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_errors_are_counted_and_readiness_is_as_of_now() {
    let mut cluster = Cluster::start().await;
    let (mut browser, _person) = visitor::signed_in(&cluster.one, "alice").await;
    cluster.redis.kill();
    let down = async { while browser.fetch("/app").await.status != 503 {} };
    within(PATIENCE, "503", down).await;
    let errors = "vestibule_store_errors_total{store=\"the session store (Redis)\"}";
    assert!(number(&cluster.one, errors).await > 0.0);
    becomes(&cluster.one, "vestibule_ready", "0").await;
    for _ in 0..20 {
        assert_eq!(browser.fetch("/app").await.status, 503);
    }
    let lines = |message: &str| {
        let of_redis = "\"store\":\"the session store (Redis)\"";
        let text = cluster.one.log.text();
        let wanted = |line: &&str| line.contains(message) && line.contains(of_redis);
        text.lines().filter(wanted).count()
    };
    assert_eq!(lines("store unavailable"), 1, "one line, not one for each request");
    cluster.redis.restart();
    let back = async {
        while lines("store available again") == 0 {
            browser.fetch("/app").await;
        }
    };
    within(PATIENCE, "the end of the outage", back).await;
    assert_eq!(lines("store unavailable"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_level_changes_on_reload() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let mut browser = Browser::new(&gateway);
    assert_eq!(browser.fetch("/public/before").await.status, 200);
    let config = std::fs::read_to_string(&gateway.config).unwrap();
    let debug = config.replace("level = \"info\"", "level = \"debug\"");
    assert_ne!(config, debug);
    std::fs::write(&gateway.config, debug).unwrap();
    gateway.reload().await;
    assert_eq!(browser.fetch("/public/after").await.status, 200);
    let path = |line: &Line| (line.get("path") == Some("/public/after")).then_some(());
    gateway.log.wait_for("the request", path).await;
    let text = gateway.log.text();
    assert!(!text.contains("/public/before") && !text.contains("need a restart"), "{text}");
}

/// The names of metrics in a text that follow one of `before`, without the suffixes of histograms.
fn names(text: &str, before: &[&str]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices("vestibule_") {
        if !before.iter().any(|before| text[..at].ends_with(before)) {
            continue;
        }
        let end = text[at..].find(|c: char| !c.is_ascii_lowercase() && c != '_');
        let name = &text[at..end.map_or(text.len(), |end| at + end)];
        let suffix = ["_bucket", "_sum", "_count"].iter().find_map(|s| name.strip_suffix(s));
        found.insert(suffix.unwrap_or(name).to_owned());
    }
    found
}

/// The names in the table of the documentation.
fn documented() -> BTreeSet<String> {
    names(include_str!("../../docs/operation.md"), &["\n| `"])
}

/// The names that the code writes.
fn written() -> BTreeSet<String> {
    fn walk(dir: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else {
                let text = std::fs::read_to_string(&path).unwrap();
                found.append(&mut names(&text, &["\"", "# TYPE "]));
            }
        }
    }
    let mut found = BTreeSet::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    found
}

#[test]
fn alerts_dashboard_and_runbook_use_metrics_that_exist() {
    let exist = written();
    for (file, text) in [
        ("alerts.yml", include_str!("../../packaging/prometheus/alerts.yml")),
        ("vestibule.json", include_str!("../../packaging/grafana/vestibule.json")),
        ("runbook.md", include_str!("../../docs/runbook.md")),
    ] {
        let used = names(text, &[""]);
        assert!(!used.is_empty(), "{file} uses no metric");
        let unknown: Vec<_> = used.difference(&exist).collect();
        assert!(unknown.is_empty(), "{file}: {unknown:?}");
    }
}

#[test]
fn every_alert_has_its_section_in_the_runbook() {
    let runbook = include_str!("../../docs/runbook.md");
    let alerts = include_str!("../../packaging/prometheus/alerts.yml");
    let headings: BTreeSet<String> = runbook
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(str::to_ascii_lowercase)
        .collect();
    let links: Vec<_> = alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("runbook: docs/runbook.md#"))
        .collect();
    assert_eq!(links.len(), alerts.matches("- alert:").count());
    for link in links {
        assert!(headings.contains(link), "no section {link}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_metric_is_in_the_documentation() {
    let documented = documented();
    assert_eq!(written().symmetric_difference(&documented).collect::<Vec<_>>(), [""; 0]);
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (mut browser, _person) = visitor::signed_in(&gateway, "alice").await;
    assert_eq!(browser.fetch("/app").await.status, 200);
    let page = client::admin(&gateway, "/metrics").await.text();
    let served = names(&page, &["# TYPE "]);
    assert!(served.len() > 8, "{served:?}");
    assert_eq!(served.difference(&documented).collect::<Vec<_>>(), [""; 0]);
}
