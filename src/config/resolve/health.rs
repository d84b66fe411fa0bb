//! Resolution of the checks of an app's addresses.

use crate::config::key_path::KeyPath;
use crate::config::raw::RawHealth;
use crate::config::reader::Reader;
use crate::proxy::settings::HealthSettings;

/// Resolves `[apps.health]` at `at`.
pub(super) fn health(raw: Option<&RawHealth>, at: &KeyPath, r: &mut Reader<'_>) -> HealthSettings {
    let default = HealthSettings::default();
    let Some(raw) = raw else { return default };
    let path = raw.path.as_deref();
    if path.is_some_and(|path| !is_target(path)) {
        r.fail(&at.key("path"), "not the path of a URL: write it like \"/healthz\"");
    }
    let statuses = raw.status.clone().unwrap_or_default();
    let known = statuses.iter().all(|status| (200..=599).contains(status));
    if !known || raw.status.as_ref().is_some_and(Vec::is_empty) {
        r.fail(&at.key("status"), "needs statuses from 200 to 599, such as [200, 204]");
    }
    let (interval, timeout) = (raw.interval.as_deref(), raw.timeout.as_deref());
    HealthSettings {
        path: path.map(str::to_owned),
        interval: r.positive_duration(&at.key("interval"), interval, default.interval),
        timeout: r.positive_duration(&at.key("timeout"), timeout, default.timeout),
        unhealthy: r.number(&at.key("unhealthy"), raw.unhealthy, default.unhealthy, &(1..=100)),
        healthy: r.number(&at.key("healthy"), raw.healthy, default.healthy, &(1..=100)),
        statuses,
    }
}

/// Returns true if `path` can stand in a request line.
fn is_target(path: &str) -> bool {
    let plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    path.starts_with('/') && plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_path_with_or_without_a_query() {
        assert!(is_target("/") && is_target("/healthz?full=1"));
        for bad in ["", "healthz", "http://a/", "/a b", "/a#b", "/\r\nX: y", "/\u{e4}"] {
            assert!(!is_target(bad), "{bad:?}");
        }
    }
}
