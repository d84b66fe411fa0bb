//! Removes request headers that the app must not receive from a client.
//!
//! Frameworks fold `-`, `_` and `.` into one character, so a name that resembles a reserved one is
//! as dangerous as the name itself. Names with `_`, `.` or other unusual characters are dropped. Of
//! the rest, headers that gateways and frameworks trust are dropped: client addresses, identities,
//! and overrides of the URL, the method or the scheme.

use http::{HeaderMap, HeaderName, header};
use pingora_http::RequestHeader;

use super::untrusted_names::{HARMLESS, Managed, like};

/// Returns true if clients may not send this header to the app.
pub(in crate::proxy) fn is_managed(name: &str) -> bool {
    let mut previous = b'a';
    for byte in name.bytes() {
        let odd = !(byte.is_ascii_alphanumeric() || byte == b'-');
        if odd || (byte == b'-' && previous == b'-') {
            return true;
        }
        previous = byte;
    }
    // However the rest of the name is put: it says which address the client has.
    if name.ends_with("-ip") {
        return true;
    }
    let Managed { families, names } = like(name);
    names.contains(&name)
        || (families.iter().any(|family| name.starts_with(family)) && !HARMLESS.contains(&name))
}

/// Headers that a request depends on.
const NEEDED: [HeaderName; 10] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::EXPECT,
    header::HOST,
    header::SEC_WEBSOCKET_KEY,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Parses the name of a header to strip, as the operator writes it. Frameworks fold `_` and `.`
/// into `-`, and [`clean`] drops every other spelling. Returns the reason if the name is unusable.
pub fn stripped(written: &str) -> Result<HeaderName, &'static str> {
    let name = written.to_ascii_lowercase().replace(['_', '.'], "-");
    let name = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_not_a_token| "is not a header name: write it like \"X-My-Proxy-User\"")?;
    if is_needed(&name) {
        return Err("cannot be removed from a request");
    }
    Ok(name)
}

/// Returns true if a request depends on this header.
pub(super) fn is_needed(name: &HeaderName) -> bool {
    NEEDED.contains(name)
}

/// Removes the headers that clients may not send to the app.
pub(in crate::proxy) fn clean(headers: &mut HeaderMap) {
    let managed: Vec<HeaderName> =
        headers.keys().filter(|name| is_managed(name.as_str())).cloned().collect();
    for name in managed {
        headers.remove(name);
    }
}

/// Headers that say where a request goes and how it is framed. A nomination does not remove them.
const FRAMING: [HeaderName; 6] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::HOST,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Removes the headers of a client that its `Connection` header nominates (RFC 9110 §7.6.1), before
/// the gateway adds its own. Tokens that are no header names nominate nothing.
pub(in crate::proxy) fn remove_nominated(client: &HeaderMap, upstream: &mut RequestHeader) {
    let lines = client.get_all(header::CONNECTION).iter();
    let tokens = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    for token in tokens.map(<[u8]>::trim_ascii) {
        let common = ["close", "keep-alive", "upgrade"];
        if common.iter().any(|word| token.eq_ignore_ascii_case(word.as_bytes())) {
            continue;
        }
        if let Ok(name) = HeaderName::from_bytes(token)
            && !FRAMING.contains(&name)
        {
            upstream.remove_header(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::untrusted_names::{under, under_x};
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
    fn client_addresses_and_identities_of_other_gateways_are_removed() {
        for bad in [
            "client-ip",
            "x-originating-ip",
            "x-remote-ip",
            "x-cluster-client-ip",
            "fastly-client-ip",
            "x-azure-clientip",
            "x-appengine-user-ip",
            "akamai-origin-hop",
            "fly-client-ip",
            "cloudfront-viewer-address",
            "cf-connecting-ipv6",
            "wl-proxy-client-ip",
            "client-cert",
            "client-cert-chain",
            "x-role",
            "sm-user",
            "oidc-claim-sub",
            "x-shib-eppn",
            "shib-session-id",
            "eppn",
            "x-ms-client-principal-name",
            "x-amzn-oidc-data",
            "x-proxyuser-ip",
            "x-proxiedentitieschain",
            "x-sso-user",
            "x-grafana-user",
            "impersonate-user",
            "x-remote-extra-scopes",
            "es-security-runas-user",
            "iv-user",
            "x-consumer-username",
            "ms-aspnetcore-clientcert",
            "x-iv-user",
            "x-authelia-user",
            "x-keycloak-username",
            "x-auth0-user",
            "authorization-user",
            "x-impersonate-user",
            "x-on-behalf-of",
        ] {
            assert!(is_managed(bad), "{bad}");
        }
    }

    #[test]
    fn overrides_of_url_host_and_method_are_removed() {
        for bad in [
            "x-original-url",
            "x-scheme",
            "x-script-name",
            "x-forwarded-path",
            "x-url-scheme",
            "unencoded-url",
            "x-http-host-override",
            "x-host",
            "x-http-method",
            "x-invoke-path",
            "x-react-router-spa-mode",
            "x-apigateway-event",
            "cdn-src-ip",
            "ali-cdn-real-ip",
            "x-nginx-real-ip",
            "x-external-path",
            "x-replaced-path",
            "x-path-prefix",
            "destination-url",
        ] {
            assert!(is_managed(bad), "{bad}");
        }
    }

    #[test]
    fn every_name_stands_under_its_own_first_letter() {
        for letter in 0..=u8::MAX {
            let (families, names) = under(letter);
            for name in families.iter().chain(names) {
                assert_eq!(name.bytes().next(), Some(letter), "{name}");
                assert!(!name.starts_with("x-") && is_managed(name), "{name}");
            }
            let (families, names) = under_x(letter);
            for name in families.iter().chain(names) {
                let start = ["x-", char::from(letter).encode_utf8(&mut [0; 4])].concat();
                assert!(name.starts_with(&start) && is_managed(name), "{name}");
            }
        }
    }

    #[test]
    fn a_name_of_the_operators_is_folded_as_frameworks_do() {
        for written in ["X-My-Proxy-User", "x_my_proxy_user", "X.My.Proxy_USER"] {
            assert_eq!(stripped(written).unwrap().as_str(), "x-my-proxy-user", "{written}");
        }
        for bad in ["", "a b", "a:", "Host", "transfer_encoding"] {
            assert!(stripped(bad).is_err(), "{bad}");
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
            "x-access-token",
            "x-xsrf-token",
            "x-amz-date",
            "x-ms-version",
            "x-goog-api-key",
            "x-grafana-org-id",
            "x-grpc-web",
            "x-user-agent",
            "x-client-version",
            "x-correlation-id",
            "x-session-id",
            "x-b3-traceid",
            "x-up-target",
            "x-nextjs-data",
            "x-inertia",
            "traceparent",
            "via",
            "range",
            "depth",
            "destination",
            "lock-token",
            "hx-request",
            "kbn-xsrf",
            "client",
            "uid",
            "rsc",
            "sec-fetch-site",
            "origin",
            "referer",
            "upgrade-insecure-requests",
        ] {
            assert!(!is_managed(good), "{good}");
        }
    }
}
