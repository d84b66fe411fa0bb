//! Which request headers never reach the app from a client.
//!
//! Frameworks fold `-`, `_` and `.` into one, so a name that only resembles one of ours is as bad
//! as ours: names with `_`, `.` or other odd characters are dropped whole, and of the rest
//! everything that gateways and frameworks would trust.

use http::{HeaderMap, HeaderName};

/// Families: every name that starts so.
const FAMILIES: &[&str] = &[
    "remote-",
    "vestibule-",
    "x-vestibule-",
    "x-forwarded-",
    "x-remote-",
    "x-auth-request-",
    "x-auth-user",
    "x-auth-email",
    "x-auth-group",
    "x-auth-role",
    "x-auth-name",
    "x-authenticated-",
    "x-authentik-",
    "x-pomerium-",
    "x-goog-iap-",
    "x-goog-authenticated-",
    "x-ms-client-principal",
    "x-amzn-oidc-",
    "x-webauth-",
    "x-ssl-",
    "ssl-client-",
    "x-client-",
    "x-user",
    "x-email",
    "x-groups",
    "x-roles",
    "x-original-",
    "x-rewrite-",
    "x-override-",
    "x-envoy-",
    "x-accel-",
    "x-sendfile",
    "x-proxy-",
    "x-http-method",
    "x-method-override",
    "x-middleware-",
    "cf-access-",
    "cf-connecting-",
    "tailscale-user-",
];

/// Single names.
const NAMES: &[&str] = &[
    "auth-user",
    "base-url",
    "fastly-client-ip",
    "forwarded",
    "front-end-https",
    "http2-settings",
    "proxy",
    "request-uri",
    "script-name",
    "path-info",
    "true-client-ip",
    "x-cluster-client-ip",
    "x-forwarded",
    "x-real-ip",
    "x-request-id",
    "x-url-scheme",
    "x-wap-profile",
];

/// Whether a client may not say this to the app.
pub(super) fn is_managed(name: &str) -> bool {
    let mut previous = b'a';
    for byte in name.bytes() {
        let odd = !(byte.is_ascii_alphanumeric() || byte == b'-');
        if odd || (byte == b'-' && previous == b'-') {
            return true;
        }
        previous = byte;
    }
    // Most names that clients send share their first letter with none of the lists.
    let first = name.bytes().next().unwrap_or_default();
    b"abcfhprstvx".contains(&first)
        && (NAMES.contains(&name) || FAMILIES.iter().any(|family| name.starts_with(family)))
}

/// The names in `headers` that have to go.
pub(super) fn managed(headers: &HeaderMap) -> Vec<HeaderName> {
    headers.keys().filter(|name| is_managed(name.as_str())).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_frameworks_fold_into_ours_go() {
        for bad in [
            "remote-user",
            "remote_user",
            "remote.user",
            "remote--user",
            "remote~user",
            "x-forwarded-for",
            "x_forwarded_for",
            "x-user-id",
            "content_length",
            "transfer_encoding",
            "proxy",
        ] {
            assert!(is_managed(bad), "{bad}");
        }
    }

    #[test]
    fn every_list_is_reached_by_its_first_letter() {
        for name in NAMES.iter().chain(FAMILIES) {
            assert!(
                is_managed(name.trim_end_matches('-')) || is_managed(&format!("{name}x")),
                "{name}"
            );
        }
    }

    #[test]
    fn what_belongs_to_the_app_stays() {
        for good in [
            "authorization",
            "cookie",
            "content-type",
            "x-auth-token",
            "x-csrf-token",
            "x-requested-with",
            "user-agent",
            "accept",
            "if-none-match",
            "x-api-key",
        ] {
            assert!(!is_managed(good), "{good}");
        }
    }
}
