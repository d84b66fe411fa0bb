//! Parsing of host names.

use std::net::IpAddr;

use crate::proxy::settings::HostPattern;

/// Parses a host pattern. The error says how to fix it.
pub(super) fn pattern(text: &str) -> Result<HostPattern, String> {
    let lower = text.to_ascii_lowercase();
    if let Some(suffix) = lower.strip_prefix("*.") {
        return if is_name(suffix) && suffix.parse::<IpAddr>().is_err() {
            Ok(HostPattern::Wildcard(format!(".{suffix}")))
        } else {
            Err(refusal(text))
        };
    }
    if let Some(inner) = lower.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
        return inner
            .parse::<std::net::Ipv6Addr>()
            .map(|ip| HostPattern::Exact(format!("[{ip}]")))
            .map_err(|_not_ipv6| refusal(text));
    }
    if is_name(&lower) { Ok(HostPattern::Exact(lower)) } else { Err(refusal(text)) }
}

/// Parses a host with an optional port, as in a URL. The error says how to fix it.
pub(super) fn authority(text: &str) -> Result<(String, Option<u16>), String> {
    let right = "write it like \"app.example.com\" or \"app.example.com:8443\"";
    let (host, port) = match text.rsplit_once(':') {
        _ if text.contains('/') => (text, None),
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            let port = port.parse().ok().filter(|port| *port != 0);
            (host, Some(port.ok_or_else(|| format!("{text:?} has an invalid port: {right}"))?))
        }
        Some(_) | None => (text, None),
    };
    match pattern(host)? {
        HostPattern::Exact(name) => Ok((name, port)),
        HostPattern::Wildcard(_) => Err(format!("{text:?} is not a single host: {right}")),
    }
}

fn refusal(text: &str) -> String {
    let why = if text.contains("://") || text.contains('/') {
        "leave out scheme and path"
    } else if text.contains('*') {
        "a `*` stands for the whole first label: write \"*.example.com\""
    } else if text.contains(':') {
        "leave out the port"
    } else if !text.is_ascii() {
        "write it in its ASCII form (xn--…)"
    } else {
        "write a name such as \"app.example.com\" or \"*.example.com\""
    };
    format!("{text:?} is not a host name: {why}")
}

/// Returns true if `name` is a DNS name in lower case without a trailing dot.
fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_are_normalized_to_lower_case() {
        assert_eq!(pattern("App.Example.com"), Ok(HostPattern::Exact("app.example.com".into())));
        assert_eq!(pattern("*.example.com"), Ok(HostPattern::Wildcard(".example.com".into())));
        assert_eq!(pattern("[0:0::1]"), Ok(HostPattern::Exact("[::1]".into())));
        assert_eq!(pattern("127.0.0.1"), Ok(HostPattern::Exact("127.0.0.1".into())));
    }

    #[test]
    fn an_authority_is_one_host_with_an_optional_port() {
        let of = |text| authority(text).unwrap();
        assert_eq!(of("App.Example.com"), ("app.example.com".into(), None));
        assert_eq!(of("app.example.com:8443"), ("app.example.com".into(), Some(8443)));
        assert_eq!(of("[0::1]:8443"), ("[::1]".into(), Some(8443)));
        assert_eq!(of("[::1]"), ("[::1]".into(), None));
        for bad in
            ["", ":80", "a:0", "a:", "a:x", "a:65536", "*.a.com", "https://a", "a/", "a:80/", "u@a"]
        {
            assert!(authority(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_that_no_host_header_can_have_are_rejected() {
        for bad in [
            "",
            "*",
            "*.",
            "a.*.com",
            "w*.com",
            "a b",
            "https://a.com",
            "a.com/",
            "a.com:8443",
            "a..com",
            "a.com.",
            "-a.com",
            "bücher.de",
            "[::1",
            "*.127.0.0.1",
            "*.*.com",
        ] {
            assert!(pattern(bad).is_err(), "{bad:?}");
        }
    }
}
