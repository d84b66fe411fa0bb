//! Security headers of every response that the gateway makes itself.

use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};

/// Loads only the gateway's own files, forbids framing, and sends forms only to this origin.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
    form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Headers with a fixed value. The opener and embedder policies isolate the pages: a page of the app
/// that opens one gets no handle to it, unless the app isolates itself in the same way. The referrer
/// policy is `same-origin` because with `no-referrer` Chromium sends `Origin: null` with forms.
const FIXED: [(HeaderName, &str); 11] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-embedder-policy"), "require-corp"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("x-robots-tag"), "noindex, nofollow"),
    (VARY, "Cookie, Sec-Fetch-Site, Sec-Fetch-Mode, Sec-Fetch-Dest"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), microphone=(), geolocation=(), payment=(), usb=(), \
         publickey-credentials-get=(self), publickey-credentials-create=(self)",
    ),
    (HeaderName::from_static("x-permitted-cross-domain-policies"), "none"),
];

/// Lets the forms of a response lead to another origin as well: browsers apply the policy to the
/// redirects that follow a form. `origin` is scheme, host and port.
pub(super) fn let_forms_lead_to(headers: &mut HeaderMap, origin: &str) {
    let policy = POLICY.replace("form-action 'self'", &format!("form-action 'self' {origin}"));
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
}

/// Adds the headers. A `Cache-Control`, `Referrer-Policy` or `Content-Security-Policy` that is already
/// present is kept. `https` is true if the browser used https.
pub fn harden(headers: &mut HeaderMap, https: bool) {
    for (name, value) in FIXED {
        let own = name == REFERRER_POLICY || name == CONTENT_SECURITY_POLICY;
        if !own || !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if https {
        let year = HeaderValue::from_static("max-age=31536000");
        headers.insert(STRICT_TRANSPORT_SECURITY, year);
    }
}
