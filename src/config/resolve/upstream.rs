//! Resolution of upstreams.

use std::net::IpAddr;
use std::time::Duration;

use url::{Host, Url};

use super::{certificates, health, host};
use crate::config::key_path::KeyPath;
use crate::config::raw::{RawApp, RawUpstream};
use crate::config::reader::Reader;
use crate::proxy::settings::{CertificateFiles, UpstreamAddress, UpstreamName, UpstreamSettings};

/// Parses a URL with only scheme, host and port. The error does not quote the URL, which may
/// contain a password.
pub(super) fn origin(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|e| format!("not a URL ({e})"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("the scheme must be http or https".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a user or password cannot be part of it".to_owned());
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err("it must end after host and port, without a path".to_owned());
    }
    Ok(url)
}

fn address(text: &str) -> Result<UpstreamAddress, String> {
    let url = origin(text).map_err(|e| format!("{e}: write it like \"http://10.0.0.11:8080\""))?;
    let host = match url.host() {
        Some(Host::Ipv4(ip)) => ip.to_string(),
        Some(Host::Ipv6(ip)) => ip.to_string(),
        Some(Host::Domain(name)) => name.to_owned(),
        None => return Err("has no host: write it like \"http://10.0.0.11:8080\"".to_owned()),
    };
    let port = url.port_or_known_default().unwrap_or_default();
    if port == 0 {
        return Err("port 0 is not valid: write the app's port".to_owned());
    }
    Ok(UpstreamAddress { tls: url.scheme() == "https", host, port, weight: 1 })
}

/// Returns true if `host` names this machine, judging by its text alone.
pub(super) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// Resolves the upstream settings of the app at `at`.
pub(super) fn upstream(raw: &RawApp, at: &KeyPath, r: &mut Reader<'_>) -> UpstreamSettings {
    let required = !raw.forward_auth.unwrap_or(false);
    let addresses = addresses(raw.upstreams.as_deref(), required, &at.key("upstreams"), r);
    let ca = raw.upstream_ca.as_ref().map(|file| {
        let file = r.path(file);
        if let Err(why) = certificates::chain(&file) {
            r.fail(&at.key("upstream_ca"), why);
        }
        file
    });
    let connect = raw.connect_timeout.as_deref();
    let read = raw.read_timeout.as_deref();
    let idle = raw.upstream_idle.as_deref();
    let name = raw.upstream_host.as_deref();
    let name = name.and_then(|text| own_name(text, &addresses, &at.key("upstream_host"), r));
    UpstreamSettings {
        addresses,
        name,
        ca,
        client_certificate: client_certificate(raw, at, r),
        http2: raw.upstream_http2.unwrap_or(false),
        connect_timeout: r.positive_duration(
            &at.key("connect_timeout"),
            connect,
            Duration::from_secs(5),
        ),
        read_timeout: r.positive_duration(&at.key("read_timeout"), read, Duration::from_mins(1)),
        idle: r.positive_duration(&at.key("upstream_idle"), idle, Duration::from_secs(4)),
        retry_unanswered: raw.retry_unanswered.unwrap_or(false),
        health: health::health(raw.health.as_ref(), &at.key("health"), r),
        sticky: raw.sticky.unwrap_or(false),
    }
}

/// Resolves the app's own host name. All upstreams must share one scheme, because the app's origin
/// has one.
fn own_name(
    text: &str,
    addresses: &[UpstreamAddress],
    key: &KeyPath,
    r: &mut Reader<'_>,
) -> Option<UpstreamName> {
    let tls = addresses.first().is_some_and(|address| address.tls);
    if addresses.iter().any(|address| address.tls != tls) {
        r.fail(key, "needs upstreams that are all https or all http: the app has one origin");
    }
    match host::authority(text) {
        Err(why) => {
            r.fail(key, why);
            None
        }
        Ok((name, port)) => {
            let port = port.filter(|port| *port != if tls { 443 } else { 80 });
            Some(UpstreamName { name, port, tls })
        }
    }
}

fn addresses(
    raw: Option<&[RawUpstream]>,
    required: bool,
    at: &KeyPath,
    r: &mut Reader<'_>,
) -> Vec<UpstreamAddress> {
    let written = raw.unwrap_or_default();
    if written.is_empty() && required {
        r.fail(at, "is missing: write upstreams = [\"http://10.0.0.11:8080\"]");
    }
    let mut addresses: Vec<UpstreamAddress> = Vec::new();
    for (i, upstream) in written.iter().enumerate() {
        let key = at.index(i);
        let (text, weight) = match upstream {
            RawUpstream::Url(url) => (url, None),
            RawUpstream::Weighted(one) => (&one.url, one.weight),
        };
        match address(text) {
            Ok(address) if addresses.iter().any(|other| other.is_same(&address)) => {
                r.fail(&key, "is listed twice: remove one");
            }
            Ok(mut address) => {
                address.weight = r.number(&key.key("weight"), weight, 1, &(1..=100));
                if !address.tls && !is_loopback(&address.host) {
                    r.warn(&key, "plain http off loopback: anyone on that network can read it");
                }
                addresses.push(address);
            }
            Err(why) => r.fail(&key, why),
        }
    }
    addresses
}

fn client_certificate(raw: &RawApp, at: &KeyPath, r: &mut Reader<'_>) -> Option<CertificateFiles> {
    let (cert_key, key_key) = (at.key("upstream_client_cert"), at.key("upstream_client_key"));
    match (&raw.upstream_client_cert, &raw.upstream_client_key) {
        (Some(cert), Some(key)) => {
            let files = CertificateFiles { cert: r.path(cert), key: r.path(key) };
            certificates::check_pair(&files, &cert_key, &key_key, r);
            Some(files)
        }
        (Some(_), None) => {
            r.fail(&key_key, "is missing: upstream_client_cert needs the key that goes with it");
            None
        }
        (None, Some(_)) => {
            r.fail(&cert_key, "is missing: upstream_client_key needs its certificate");
            None
        }
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_scheme_host_and_port() {
        let https = address("https://[::1]:9443").unwrap();
        assert_eq!((https.tls, https.host.as_str(), https.port), (true, "::1", 9443));
        assert_eq!(address("http://app").unwrap().port, 80);
    }

    #[test]
    fn any_other_url_is_rejected_without_quoting_it() {
        for bad in [
            "app:8080",
            "10.0.0.1:80",
            "ftp://a",
            "http://",
            "http://a/path",
            "http://a?q",
            "http://user:hunter2@a",
            "http://a:0",
            "",
        ] {
            assert!(!address(bad).unwrap_err().contains("hunter2"), "{bad}");
        }
    }
}
