//! Which request headers never reach the app from a client.
//!
//! Frameworks fold `-`, `_` and `.` into one, so a name that only resembles one of ours is as bad
//! as ours: names with `_`, `.` or other odd characters are dropped whole, and of the rest
//! everything that gateways and frameworks would trust.

use http::{HeaderMap, HeaderName};

/// What goes, by the first letter: families are every name that starts so, and single names.
struct Managed {
    families: &'static [&'static str],
    names: &'static [&'static str],
}

/// The names that share their first letter. Most that clients send share it with few.
fn under(first: u8) -> Managed {
    let (families, names): (&[&str], &[&str]) = match first {
        b'a' => (&[], &["auth-user"]),
        b'b' => (&[], &["base-url"]),
        b'c' => (&["cf-access-", "cf-connecting-"], &[]),
        b'f' => (&[], &["fastly-client-ip", "forwarded", "front-end-https"]),
        b'h' => (&[], &["http2-settings"]),
        b'p' => (&[], &["path-info", "proxy"]),
        b'r' => (&["remote-"], &["request-uri"]),
        b's' => (&["ssl-client-"], &["script-name"]),
        b't' => (&["tailscale-user-"], &["true-client-ip"]),
        b'v' => (&["vestibule-"], &[]),
        b'x' => (
            &[
                "x-accel-",
                "x-amzn-oidc-",
                "x-auth-email",
                "x-auth-group",
                "x-auth-name",
                "x-auth-request-",
                "x-auth-role",
                "x-auth-user",
                "x-authenticated-",
                "x-authentik-",
                "x-client-",
                "x-email",
                "x-envoy-",
                "x-forwarded-",
                "x-goog-authenticated-",
                "x-goog-iap-",
                "x-groups",
                "x-http-method",
                "x-method-override",
                "x-middleware-",
                "x-ms-client-principal",
                "x-original-",
                "x-override-",
                "x-pomerium-",
                "x-proxy-",
                "x-remote-",
                "x-rewrite-",
                "x-roles",
                "x-sendfile",
                "x-ssl-",
                "x-user",
                "x-vestibule-",
                "x-webauth-",
            ],
            &[
                "x-cluster-client-ip",
                "x-forwarded",
                "x-real-ip",
                "x-request-id",
                "x-url-scheme",
                "x-wap-profile",
            ],
        ),
        _ => (&[], &[]),
    };
    Managed { families, names }
}

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
    let Managed { families, names } = under(name.bytes().next().unwrap_or_default());
    names.contains(&name) || families.iter().any(|family| name.starts_with(family))
}

/// Takes out of `headers` what a client may not say.
pub(super) fn clean(headers: &mut HeaderMap) {
    let managed: Vec<HeaderName> =
        headers.keys().filter(|name| is_managed(name.as_str())).cloned().collect();
    for name in managed {
        headers.remove(name);
    }
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
    fn every_name_stands_under_its_own_first_letter() {
        for letter in 0..=u8::MAX {
            let Managed { families, names } = under(letter);
            for name in families.iter().chain(names) {
                assert_eq!(name.bytes().next(), Some(letter), "{name}");
            }
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
