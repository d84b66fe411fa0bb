//! Apps with their own host name: requests carry it in place of the public one, and responses the
//! public one in place of it.

use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_LOCATION, Entry, HOST, HeaderMap, HeaderName, HeaderValue,
    LOCATION, ORIGIN, REFERER, REFRESH, SET_COOKIE, STRICT_TRANSPORT_SECURITY,
};
use pingora_error::Result;
use pingora_http::ResponseHeader;

use crate::proxy::settings::UpstreamName;
use crate::web::origin::WebOrigin;

/// Bytes that end the authority of a URL in browsers.
const AFTER_AUTHORITY: [u8; 4] = *b"/?#\\";

/// The host name of an app.
#[derive(Debug)]
pub(in crate::proxy) struct OwnName {
    settings: UpstreamName,
    host: HeaderValue,
    /// Scheme and host, as in `Origin`.
    origin: String,
}

impl OwnName {
    /// Creates the name from the settings, or `None` if it is not a valid header value.
    pub(in crate::proxy) fn new(settings: &UpstreamName) -> Option<Self> {
        let host = settings.to_string();
        Some(Self {
            origin: format!("{}://{host}", scheme(settings.tls)),
            host: HeaderValue::from_str(&host).ok()?,
            settings: settings.clone(),
        })
    }

    /// Returns the value of `Host`.
    pub(in crate::proxy) fn host(&self) -> &HeaderValue {
        &self.host
    }

    /// Rewrites a request from the public origin `page` to this name. A client that claims to be a
    /// page of this name is foreign, so its `Origin` becomes `null`.
    pub(in crate::proxy) fn request(&self, headers: &mut HeaderMap, page: &WebOrigin) {
        headers.insert(HOST, self.host.clone());
        each(headers, ORIGIN, |origin| {
            if page.after(origin) == Some(b"") {
                return HeaderValue::from_str(&self.origin).ok();
            }
            self.after_own(origin).map(|_of_another_page| HeaderValue::from_static("null"))
        });
        let foreign = headers.get_all(REFERER).iter().any(|referer| {
            let referer = referer.as_bytes();
            page.after(referer).is_none() && self.after_own(referer).is_some()
        });
        if foreign {
            headers.remove(REFERER);
        }
        each(headers, REFERER, |referer| joined(&self.origin, page.after(referer)?));
    }

    /// Rewrites a response from this name to the public origin `page`. `Strict-Transport-Security`
    /// is about the app's own transport and is removed.
    pub(in crate::proxy) fn answer(&self, answer: &mut ResponseHeader, page: &str) -> Result<()> {
        let ours = |rest: &[u8]| joined(page, rest);
        answer.remove_header(&STRICT_TRANSPORT_SECURITY);
        for name in [LOCATION, CONTENT_LOCATION] {
            each_answered(answer, &name, |url| ours(self.after_own(url)?))?;
        }
        each_answered(answer, &ACCESS_CONTROL_ALLOW_ORIGIN, |origin| {
            self.after_own(origin).filter(|rest| rest.is_empty()).and_then(ours)
        })?;
        each_answered(answer, &REFRESH, |refresh| {
            let (before, url) = refresh.split_at_checked(url_of(refresh)?)?;
            let url = ours(self.after_own(url)?)?;
            HeaderValue::from_bytes(&[before, url.as_bytes()].concat()).ok()
        })?;
        each_answered(answer, &SET_COOKIE, |line| {
            HeaderValue::from_bytes(&self.without_domain(line)?).ok()
        })
    }

    /// Removes a `Domain` that contains this name from a `Set-Cookie` line, because a browser at
    /// another host rejects the cookie. `None` if there is none.
    pub(in crate::proxy) fn without_domain(&self, line: &[u8]) -> Option<Vec<u8>> {
        let names_it = |part: &&[u8]| {
            let mut sides = part.splitn(2, |byte| *byte == b'=');
            let is_domain =
                sides.next().is_some_and(|name| name.trim_ascii().eq_ignore_ascii_case(b"domain"));
            is_domain && self.is_within(sides.next().unwrap_or_default().trim_ascii())
        };
        let mut parts = line.split(|byte| *byte == b';');
        let first = parts.next()?;
        if !parts.clone().any(|part| names_it(&part)) {
            return None;
        }
        let kept = std::iter::once(first).chain(parts.filter(|part| !names_it(part)));
        Some(kept.collect::<Vec<_>>().join(&b";"[..]))
    }

    /// Returns true if `domain` matches this name (RFC 6265 §5.1.3).
    fn is_within(&self, domain: &[u8]) -> bool {
        let domain = domain.strip_prefix(b".").unwrap_or(domain);
        let name = self.settings.name.as_bytes();
        let Some(start) = name.len().checked_sub(domain.len()) else { return false };
        let ends = name.get(start..).is_some_and(|end| end.eq_ignore_ascii_case(domain));
        !domain.is_empty() && ends && (start == 0 || name.get(start - 1) == Some(&b'.'))
    }

    /// Returns the rest of an absolute or scheme-relative URL of this app. Both schemes match,
    /// because an app behind a TLS terminator may not know its own.
    fn after_own<'a>(&self, url: &'a [u8]) -> Option<&'a [u8]> {
        let with = |scheme: &[u8]| {
            let (start, rest) = url.split_at_checked(scheme.len())?;
            start.eq_ignore_ascii_case(scheme).then_some(rest)
        };
        let (tls, rest) = with(b"https:")
            .map(|rest| (true, rest))
            .or_else(|| Some((false, with(b"http:")?)))
            .unwrap_or((self.settings.tls, url));
        let rest = rest.strip_prefix(b"//")?;
        let end = rest.iter().position(|byte| AFTER_AUTHORITY.contains(byte));
        let (authority, after) = rest.split_at_checked(end.unwrap_or(rest.len()))?;
        self.is_authority(authority, tls).then_some(after)
    }

    fn is_authority(&self, authority: &[u8], tls: bool) -> bool {
        if authority.eq_ignore_ascii_case(self.host.as_bytes()) {
            return true;
        }
        // The default port may be explicit.
        let written: &[u8] = if tls { b":443" } else { b":80" };
        self.settings.port.is_none()
            && authority
                .strip_suffix(written)
                .is_some_and(|name| name.eq_ignore_ascii_case(self.host.as_bytes()))
    }
}

fn scheme(tls: bool) -> &'static str {
    if tls { "https" } else { "http" }
}

/// Returns the start of the URL in a `Refresh` header.
fn url_of(refresh: &[u8]) -> Option<usize> {
    let wait = refresh.iter().position(|byte| matches!(byte, b';' | b','))? + 1;
    let skip = |from: usize, skipped: &[u8]| {
        let rest = refresh.get(from..)?;
        Some(from + rest.iter().take_while(|byte| skipped.contains(byte)).count())
    };
    let mut at = skip(wait, b" \t")?;
    if refresh.get(at..at + 3).is_some_and(|key| key.eq_ignore_ascii_case(b"url")) {
        let equals = skip(at + 3, b" \t")?;
        if refresh.get(equals) == Some(&b'=') {
            at = skip(equals + 1, b" \t")?;
        }
    }
    skip(at, b"'\"")
}

fn joined(origin: &str, rest: &[u8]) -> Option<HeaderValue> {
    HeaderValue::from_bytes(&[origin.as_bytes(), rest].concat()).ok()
}

/// Replaces each value of `name` for which `change` returns another one.
fn each(headers: &mut HeaderMap, name: HeaderName, change: impl Fn(&[u8]) -> Option<HeaderValue>) {
    if let Entry::Occupied(mut values) = headers.entry(name) {
        for value in values.iter_mut() {
            if let Some(other) = change(value.as_bytes()) {
                *value = other;
            }
        }
    }
}

/// As [`each`], for a response: its header names keep their spelling.
fn each_answered(
    answer: &mut ResponseHeader,
    name: &HeaderName,
    change: impl Fn(&[u8]) -> Option<HeaderValue>,
) -> Result<()> {
    let values: Vec<_> = answer.headers.get_all(name).iter().cloned().collect();
    let changed: Vec<_> = values.iter().map(|value| change(value.as_bytes())).collect();
    if changed.iter().all(Option::is_none) {
        return Ok(());
    }
    answer.remove_header(name);
    for (value, other) in values.into_iter().zip(changed) {
        answer.append_header(name.clone(), other.unwrap_or(value))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str, port: Option<u16>) -> OwnName {
        OwnName::new(&UpstreamName { name: name.to_owned(), port, tls: true }).unwrap()
    }

    fn after(own: &OwnName, url: &str) -> Option<String> {
        own.after_own(url.as_bytes()).map(|rest| String::from_utf8(rest.to_vec()).unwrap())
    }

    #[test]
    fn a_url_is_the_apps_own_by_its_whole_authority() {
        let own = name("app.example", None);
        for (url, rest) in [
            ("https://app.example/a?b#c", "/a?b#c"),
            ("HTTP://App.Example", ""),
            ("//app.example?q", "?q"),
            ("https://app.example:443/x", "/x"),
            ("http://app.example:80/x", "/x"),
            ("https://app.example\\x", "\\x"),
        ] {
            assert_eq!(after(&own, url).as_deref(), Some(rest), "{url}");
        }
        for other in [
            "/a",
            "a//app.example",
            "https:app.example",
            "https://app.example.evil.example/",
            "https://evil.example/https://app.example/",
            "https://user@app.example/",
            "https://app.example:8443/",
            "https://app.example:80/",
            "https://xapp.example/",
            "ftp://app.example/",
            "null",
            "",
        ] {
            assert_eq!(after(&own, other), None, "{other}");
        }
        let with_port = name("app.example", Some(8443));
        assert_eq!(after(&with_port, "https://app.example:8443/x").as_deref(), Some("/x"));
        assert_eq!(after(&with_port, "https://app.example/x"), None);
    }

    #[test]
    fn a_domain_that_the_name_is_in_is_left_out() {
        let own = name("app.lab.example", None);
        let without =
            |line: &str| own.without_domain(line.as_bytes()).map(|l| String::from_utf8(l).unwrap());
        for domain in ["app.lab.example", ".App.Lab.example", "lab.example"] {
            let line = format!("a=\"1\"; Domain={domain}; Path=/; Secure");
            assert_eq!(without(&line).as_deref(), Some("a=\"1\"; Path=/; Secure"), "{domain}");
        }
        for domain in ["other.example", "pp.lab.example", "x.app.lab.example", ""] {
            assert_eq!(without(&format!("a=1; domain = {domain}; Path=/")), None, "{domain}");
        }
        assert_eq!(without("domain=app.lab.example; Path=/"), None, "a cookie of that name");
    }

    #[test]
    fn the_url_of_a_refresh_is_found_as_browsers_find_it() {
        for (refresh, url) in [
            ("5; url=https://a/", "https://a/"),
            ("0;URL = 'https://a/'", "https://a/'"),
            ("1, https://a/", "https://a/"),
        ] {
            assert_eq!(refresh.get(url_of(refresh.as_bytes()).unwrap()..), Some(url), "{refresh}");
        }
        assert_eq!(url_of(b"5"), None);
    }
}
