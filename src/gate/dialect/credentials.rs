//! An app's credentials in a request. Anything that even a lenient app might read as a credential
//! counts as one, because an overlooked credential would bypass the second factor.

use http::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderValue};

use super::Dialect;
use crate::gate::fold::percent_decoded;

/// The credentials in a request, decoded. Usually one or none.
#[derive(Default)]
pub struct Credentials {
    /// Distinct credentials, at most one more than [`MOST_CREDENTIALS`].
    pub all: Vec<Vec<u8>>,
    /// True if all were in cookies, which can be removed.
    pub only_cookies: bool,
    /// True if one was in the query, which cannot be removed.
    pub in_query: bool,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("count", &self.all.len()).finish_non_exhaustive()
    }
}

/// Maximum credentials that are examined. No client needs more.
pub const MOST_CREDENTIALS: usize = 8;

impl Credentials {
    /// Returns true if there are more than any client needs.
    pub fn too_many(&self) -> bool {
        self.all.len() > MOST_CREDENTIALS
    }

    /// Adds a credential. Once there are too many it adds none, so the number of comparisons is
    /// bounded.
    fn add(&mut self, token: Vec<u8>) {
        if !token.is_empty() && !self.too_many() && !self.all.contains(&token) {
            self.all.push(token);
        }
    }
}

/// Returns true if an app might read `name` as `wanted`. Servers ignore various kinds of spaces,
/// brackets and other characters. Only letters and digits are compared.
fn alike(name: &[u8], wanted: &str) -> bool {
    let core = |text: &[u8]| -> Vec<u8> {
        text.iter().filter(|b| b.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase).collect()
    };
    core(name) == core(wanted.as_bytes())
}

/// Returns a parameter's name without list or object syntax: some apps read `[token]`, `token[]`
/// and `token[a]` as `token`.
fn outermost(key: &str) -> &str {
    let key = key.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    key.split(['[', ']']).next().unwrap_or_default()
}

/// Returns name and value of a part of a `Cookie` header, as a lenient app might read them.
fn pair(segment: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let segment = segment.trim_ascii();
    let segment = segment.strip_prefix(b"=").unwrap_or(segment);
    let at = segment.iter().position(|byte| *byte == b'=')?;
    let (name, value) = (segment.get(..at)?.trim_ascii(), segment.get(at + 1..)?.trim_ascii());
    let bare = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\""));
    Some((percent_decoded(name), bare.unwrap_or(value)))
}

impl Dialect {
    /// Finds the app's credentials in a request.
    pub fn credentials(&self, headers: &HeaderMap, query: Option<&str>) -> Credentials {
        let mut found = Credentials { all: Vec::new(), only_cookies: true, in_query: false };
        let lines = headers.get_all(COOKIE).iter();
        for segment in lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';')) {
            self.tokens_in(segment).for_each(|token| found.add(percent_decoded(token)));
        }
        if self.places.authorization {
            for line in headers.get_all(AUTHORIZATION) {
                let text = line.as_bytes().trim_ascii();
                let end = text.iter().position(u8::is_ascii_whitespace).unwrap_or(text.len());
                let (scheme, rest) = text.split_at_checked(end).unwrap_or((text, b""));
                // A credential with another scheme than the app's still counts.
                let bearer = scheme.eq_ignore_ascii_case(b"bearer");
                found.add(percent_decoded(if bearer { rest.trim_ascii() } else { text }));
                found.only_cookies = false;
            }
        }
        if let (Some(name), Some(query)) = (&self.places.query, query) {
            // Some servers accept semicolons as separators of parameters.
            for (key, value) in form_urlencoded::parse(query.replace(';', "&").as_bytes()) {
                if alike(outermost(&key).as_bytes(), name) || alike(key.as_bytes(), name) {
                    // The value is decoded once, as the app decodes it.
                    found.add(value.as_bytes().to_vec());
                    found.in_query = true;
                    found.only_cookies = false;
                }
            }
        }
        found
    }

    /// Finds the app's tokens in a part of a `Cookie` header. Some servers accept commas as
    /// separators.
    fn tokens_in<'a>(&self, segment: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        segment.split(|byte| *byte == b',').filter_map(|part| {
            let (name, value) = pair(part)?;
            self.is_token_cookie(&name).then_some(value)
        })
    }

    fn is_token_cookie(&self, name: &[u8]) -> bool {
        self.places.cookie.as_deref().is_some_and(|wanted| alike(name, wanted))
    }

    /// Returns the token that a `Set-Cookie` header of the app sets, decoded. Returns `None` if it
    /// sets another cookie or clears this one.
    pub fn token_set_by(&self, line: &[u8]) -> Option<Vec<u8>> {
        let first = line.split(|byte| *byte == b';').next()?;
        let (name, value) = pair(first)?;
        (self.is_token_cookie(&name) && !value.is_empty()).then(|| percent_decoded(value))
    }

    /// Removes the app's session token from all `Cookie` headers.
    pub fn strip_cookies(&self, headers: &mut HeaderMap) {
        let mut kept: Vec<&[u8]> = Vec::new();
        for line in headers.get_all(COOKIE) {
            let segments = line.as_bytes().split(|byte| *byte == b';');
            kept.extend(
                segments.filter(|s| self.tokens_in(s).next().is_none()).map(<[u8]>::trim_ascii),
            );
        }
        let line = kept.join(&b"; "[..]);
        headers.remove(COOKIE);
        if !line.is_empty()
            && let Ok(value) = HeaderValue::from_bytes(&line)
        {
            headers.insert(COOKIE, value);
        }
    }

    /// Returns a `Set-Cookie` header for the token's cookie without its domain, because clients
    /// that know the app under the gateway's name would reject the domain. Returns `None` for
    /// another cookie or without a domain.
    pub fn without_domain(&self, line: &[u8]) -> Option<Vec<u8>> {
        let mut parts = line.split(|byte| *byte == b';');
        let (name, _) = pair(parts.next()?)?;
        let is_domain = |part: &&[u8]| {
            let name = part.split(|byte| *byte == b'=').next().unwrap_or_default();
            name.trim_ascii().eq_ignore_ascii_case(b"domain")
        };
        if !self.is_token_cookie(&name) || !parts.clone().any(|part| is_domain(&part)) {
            return None;
        }
        let first = line.split(|byte| *byte == b';').next()?;
        let kept = std::iter::once(first).chain(parts.filter(|part| !is_domain(part)));
        Some(kept.collect::<Vec<_>>().join(&b";"[..]))
    }

    /// Returns true if a credential is one of the app's long-lived tokens.
    pub fn is_long_lived(&self, token: &[u8]) -> bool {
        self.places.long_lived.as_deref().is_some_and(|prefix| token.starts_with(prefix.as_bytes()))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::{BodyKind, CodeWanted, Places, SignIn, Success};
    use super::*;

    pub(in crate::gate::dialect) fn dialect() -> Dialect {
        Dialect {
            name: "test".to_owned(),
            sign_in: SignIn {
                path: "/in".to_owned(),
                bodies: vec![BodyKind::Json],
                username: "username".to_owned(),
                password: "password".to_owned(),
                code: "otp".to_owned(),
            },
            success: Success {
                status: 200,
                subject: "userId".to_owned(),
                token: Some("token".to_owned()),
            },
            code_wanted: CodeWanted {
                status: 400,
                content_type: "application/json".to_owned(),
                body: String::new(),
                error: "error".to_owned(),
                says: "\"otp\" is required".to_owned(),
            },
            sign_out: Some("/out".to_owned()),
            places: Places {
                cookie: Some("token".to_owned()),
                authorization: true,
                query: Some("token".to_owned()),
                long_lived: Some("cep_".to_owned()),
            },
        }
    }

    fn found(headers: &[(&'static str, &str)], query: Option<&str>) -> Vec<String> {
        let headers: HeaderMap =
            headers.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect();
        let found = dialect().credentials(&headers, query);
        found.all.into_iter().map(|t| String::from_utf8(t).unwrap()).collect()
    }

    #[test]
    fn a_credential_is_found_wherever_it_is() {
        for headers in [
            [("cookie", "a=1; token=s%3Ax.y; b=2")],
            [("cookie", "token = s:x.y")],
            [("cookie", "Token=\"s:x.y\"")],
            [("cookie", "=token=s:x.y")],
            [("cookie", "%74oken=s:x.y")],
            [("cookie", "a=1,token=s:x.y")],
            [("authorization", "Bearer s:x.y")],
            [("authorization", "bearer\t s%3Ax.y ")],
        ] {
            assert_eq!(found(&headers, None), ["s:x.y"], "{headers:?}");
        }
        for query in [
            "token=s%3Ax.y",
            "a=1&token=s:x.y",
            "%74oken=s:x.y",
            "token[]=s:x.y",
            "[token]=s:x.y",
            "[[token]]=s:x.y",
            "%20token=s:x.y",
            "%C2%A0token=s:x.y",
            "a;token=s:x.y",
        ] {
            assert_eq!(found(&[], Some(query)), ["s:x.y"], "{query}");
        }
        assert_eq!(found(&[("authorization", "Token abc")], None), ["Token abc"]);
        // Some servers trim a no-break space, in Latin-1 or in UTF-8, from the name of a cookie.
        for space in [&b"\xa0"[..], b"\xc2\xa0"] {
            let line = [space, b"token", space, b"=s:x.y"].concat();
            let value = HeaderValue::from_bytes(&line).unwrap();
            let mut headers = HeaderMap::from_iter([(COOKIE, value)]);
            assert_eq!(dialect().credentials(&headers, None).all, [b"s:x.y".to_vec()]);
            dialect().strip_cookies(&mut headers);
            assert!(!headers.contains_key(COOKIE));
        }
        assert_eq!(
            found(&[("cookie", "token=a; token=b; token=a")], Some("token=c")),
            ["a", "b", "c"]
        );
        assert!(found(&[("cookie", "tokens=a; x=token; token=")], Some("tokens=1&x")).is_empty());
    }

    #[test]
    fn one_credential_over_the_limit_is_stored_and_places_are_known() {
        let many = |what: &str| -> Vec<String> {
            (0..1000).map(|n| format!("{what}={what}{n}")).collect()
        };
        let cookies = many("token").join("; ");
        let headers = HeaderMap::from_iter([(COOKIE, cookies.parse().unwrap())]);
        let query = many("token").join("&");
        for (headers, query, only_cookies) in [
            (&headers, None, true),
            (&HeaderMap::new(), Some(query.as_str()), false),
            (&headers, Some("token=x"), false),
        ] {
            let found = dialect().credentials(headers, query);
            assert_eq!((found.all.len(), found.too_many()), (MOST_CREDENTIALS + 1, true));
            let said = (found.only_cookies, found.in_query);
            assert_eq!(said, (only_cookies, query.is_some()), "{query:?}");
        }
        let exactly = many("token")[..MOST_CREDENTIALS].join("; ");
        assert_eq!(found(&[("cookie", &exactly)], None).len(), MOST_CREDENTIALS);
    }

    #[test]
    fn a_token_that_is_in_a_cookie_and_elsewhere_is_not_in_cookies_only() {
        let of = |lines: &[(&'static str, &str)], query: Option<&str>| {
            let headers: HeaderMap =
                lines.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect();
            let found = dialect().credentials(&headers, query);
            (found.all.len(), found.only_cookies, found.in_query)
        };
        let cookie = ("cookie", "token=x");
        assert_eq!(of(&[cookie], None), (1, true, false));
        assert_eq!(of(&[cookie, ("authorization", "Bearer x")], None), (1, false, false));
        assert_eq!(of(&[cookie], Some("token=x")), (1, false, true));
    }

    #[test]
    fn the_token_is_removed_and_other_cookies_stay() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, "a=1;  token=x; b=\"2\"".parse().unwrap());
        headers.append(COOKIE, " Token =y, =token=z".parse().unwrap());
        dialect().strip_cookies(&mut headers);
        assert_eq!(headers[COOKIE], "a=1; b=\"2\"");
        let mut only = HeaderMap::from_iter([(COOKIE, "token=x".parse().unwrap())]);
        dialect().strip_cookies(&mut only);
        assert!(!only.contains_key(COOKIE));
    }

    #[test]
    fn the_domain_is_removed_only_from_the_token_cookie() {
        let without = |line: &str| {
            let line = dialect().without_domain(line.as_bytes());
            line.map(|line| String::from_utf8(line).unwrap())
        };
        let plain = "token=s%3Aa; Path=/; Secure";
        assert_eq!(
            without("token=s%3Aa; Domain=app.example; Path=/; Secure").as_deref(),
            Some(plain)
        );
        assert_eq!(without("token=s%3Aa; Path=/; domain = x; Secure").as_deref(), Some(plain));
        assert_eq!(without(plain), None);
        assert_eq!(without("other=1; Domain=x"), None);
    }

    #[test]
    fn a_cleared_cookie_sets_no_token() {
        assert_eq!(dialect().token_set_by(b"token=; Path=/; Max-Age=0"), None);
        assert_eq!(dialect().token_set_by(b"other=1"), None);
        assert_eq!(dialect().token_set_by(b"token=s%3Aa; Path=/"), Some(b"s:a".to_vec()));
    }
}
