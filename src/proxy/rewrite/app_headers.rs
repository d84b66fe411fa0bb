//! Headers of one app that differ from the default: identity headers under its own names, an assertion,
//! and further headers that clients may not send.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use pingora_error::{Error, ErrorType, Result};

use super::hygiene::is_needed;
use crate::auth::keys::AssertionSigner;
use crate::base::clock::Clock;
use crate::gate::admission::Admission;
use crate::gate::assertion::Asserter;
use crate::gate::identity::IdentityHeaders;
use crate::proxy::settings::AppSettings;

/// The header of an assertion.
pub(in crate::proxy) const ASSERTION: HeaderName = HeaderName::from_static("vestibule-assertion");

/// Names of the identity headers. `None` leaves one out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityNames {
    /// For the login name.
    pub user: Option<HeaderName>,
    /// For the display name.
    pub name: Option<HeaderName>,
    /// For the email address.
    pub email: Option<HeaderName>,
    /// For the groups.
    pub groups: Option<HeaderName>,
}

impl Default for IdentityNames {
    fn default() -> Self {
        Self {
            user: Some(HeaderName::from_static("remote-user")),
            name: Some(HeaderName::from_static("remote-name")),
            email: Some(HeaderName::from_static("remote-email")),
            groups: Some(HeaderName::from_static("remote-groups")),
        }
    }
}

impl IdentityNames {
    /// Returns each name with the value for `person`. A value that is not set is `None`.
    pub(in crate::proxy) fn with<'a>(
        &'a self,
        person: Option<&'a IdentityHeaders>,
    ) -> [(Option<&'a HeaderName>, Option<&'a HeaderValue>); 4] {
        [
            (self.user.as_ref(), person.map(|person| &person.user)),
            (self.name.as_ref(), person.map(|person| &person.name)),
            (self.email.as_ref(), person.and_then(|person| person.email.as_ref())),
            (self.groups.as_ref(), person.and_then(|person| person.groups.as_ref())),
        ]
    }

    /// Returns the names in use.
    pub fn used(&self) -> impl Iterator<Item = &HeaderName> {
        [&self.user, &self.name, &self.email, &self.groups].into_iter().flatten()
    }
}

/// Standard headers that an identity header would replace, in addition to those that a request needs.
const STANDARD: [HeaderName; 17] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::ACCEPT_LANGUAGE,
    header::AUTHORIZATION,
    header::CACHE_CONTROL,
    header::CONTENT_ENCODING,
    header::COOKIE,
    header::DATE,
    header::FORWARDED,
    header::ORIGIN,
    header::PROXY_AUTHORIZATION,
    header::RANGE,
    header::REFERER,
    header::USER_AGENT,
    header::VIA,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("x-request-id"),
];

/// Parses the name of an identity header. Returns the reason if the name is unusable.
pub fn identity_name(written: &str) -> std::result::Result<HeaderName, &'static str> {
    let plain = written.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let edges = written.starts_with('-') || written.ends_with('-') || written.contains("--");
    if written.is_empty() || !plain || edges {
        return Err("is not a name of letters, digits and single dashes, such as \
                    \"X-WEBAUTH-USER\". Servers drop names with other characters");
    }
    let name = HeaderName::from_bytes(written.to_ascii_lowercase().as_bytes())
        .map_err(|_not_a_token| "is not a header name")?;
    let text = name.as_str();
    let family = ["vestibule-", "if-", "sec-", "accept-", "content-", "access-control-"];
    let forwarding = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"].contains(&text);
    if is_needed(&name)
        || STANDARD.contains(&name)
        || forwarding
        || family.iter().any(|family| text.starts_with(family))
    {
        return Err("has another meaning in a request: choose another name");
    }
    Ok(name)
}

/// The headers of one app, as far as they differ from the default.
#[derive(Debug)]
pub(in crate::proxy) struct AppHeaders {
    /// Headers that clients may not send, in addition to the built-in list. It has the default
    /// identity headers.
    strip: Vec<HeaderName>,
    names: IdentityNames,
    asserter: Option<Asserter>,
}

impl AppHeaders {
    /// Returns the headers of an app, or `None` if all are the default ones. `signer` signs its
    /// assertions.
    pub(in crate::proxy) fn of(
        settings: &AppSettings,
        signer: &AssertionSigner,
    ) -> Option<Box<Self>> {
        let names = settings.identity_headers.clone();
        let is_default = names == IdentityNames::default();
        if is_default && settings.strip_headers.is_empty() && settings.assertion.is_none() {
            return None;
        }
        let mut strip = settings.strip_headers.clone();
        // The built-in list has the default names.
        let default = IdentityNames::default();
        let own = names.used().filter(|name| default.used().all(|known| known != *name));
        strip.extend(own.cloned());
        let asserter = settings.assertion.clone();
        let asserter = asserter.map(|settings| Asserter::new(settings, signer.clone()));
        Some(Box::new(Self { strip, names, asserter }))
    }

    /// Removes what clients may not send. Other spellings of these names are never forwarded.
    pub(in crate::proxy) fn strip(&self, headers: &mut HeaderMap) {
        for name in &self.strip {
            headers.remove(name);
        }
    }

    /// Returns the names of the identity headers.
    pub(in crate::proxy) fn names(&self) -> &IdentityNames {
        &self.names
    }

    /// Returns true if the app gets assertions.
    pub(in crate::proxy) fn asserts(&self) -> bool {
        self.asserter.is_some()
    }

    /// Returns the assertion for an admitted request that began at the monotonic time `at`. Returns
    /// `None` for a public route, and for an app without assertions.
    pub(in crate::proxy) fn assertion(
        &self,
        admission: &Admission,
        clock: &dyn Clock,
        at: Duration,
    ) -> Result<Option<HeaderValue>> {
        let (Some(asserter), Some(person)) = (&self.asserter, admission.headers()) else {
            return Ok(None);
        };
        let last = &person.assertion;
        asserter.value(admission.visitor(), last, clock, at).map_err(|error| {
            tracing::error!(%error, "request failed: no assertion for the app");
            Error::explain(ErrorType::HTTPStatus(500), "no assertion")
        })
    }

    /// Sets the identity headers.
    pub(in crate::proxy) fn identify(&self, headers: &mut HeaderMap, person: &IdentityHeaders) {
        for (name, value) in self.names.with(Some(person)) {
            if let (Some(name), Some(value)) = (name, value) {
                headers.insert(name, value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Version;

    use super::super::hygiene::is_managed;
    use super::*;
    use crate::proxy::admit::vet::header_block;

    #[test]
    fn the_built_in_list_has_the_default_names() {
        for name in IdentityNames::default().used() {
            let sent = [(name.clone(), HeaderValue::from_static("root"))].into_iter().collect();
            let scan = header_block(&sent, Version::HTTP_2, None).unwrap();
            assert!(scan.facts.managed && is_managed(name.as_str()), "{name}");
        }
    }

    #[test]
    fn an_identity_header_has_a_plain_name_of_its_own() {
        for good in ["X-WEBAUTH-USER", "remote-user", "X-Forwarded-User", "SSL-CLIENT-S-DN", "User"]
        {
            assert_eq!(identity_name(good).unwrap().as_str(), good.to_ascii_lowercase());
        }
        for bad in [
            "",
            "X_WEBAUTH_USER",
            "X.User",
            "X User",
            "X-User:",
            "-User",
            "User-",
            "X--User",
            "Usér",
            "Host",
            "Cookie",
            "Authorization",
            "Content-Length",
            "Content-Language",
            "Transfer-Encoding",
            "Connection",
            "X-Forwarded-For",
            "Forwarded",
            "X-Request-Id",
            "Vestibule-Assertion",
            "Vestibule-Token",
            "If-Match",
            "Sec-Fetch-Site",
        ] {
            assert!(identity_name(bad).is_err(), "{bad}");
        }
    }
}
