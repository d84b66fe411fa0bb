//! Resolution of the headers of an app: identity headers, assertions, and headers to strip.

use http::HeaderName;

use super::stores::Stores;
use crate::auth::keys::{KeyMaterial, SigningAlgorithm};
use crate::config::key_path::KeyPath;
use crate::config::raw::{RawApp, RawIdentityHeaders};
use crate::config::reader::Reader;
use crate::proxy::settings::{
    AppSettings, AssertionSettings, HostPattern, IdentityNames, WebOrigin, identity_name, stripped,
};

/// Resolves the names of the identity headers of the app at `at`.
pub(super) fn identity_headers(
    raw: Option<&RawIdentityHeaders>,
    at: &KeyPath,
    r: &mut Reader<'_>,
) -> IdentityNames {
    let Some(RawIdentityHeaders { user, email, name, groups }) = raw else {
        return IdentityNames::default();
    };
    let at = at.key("identity_headers");
    let default = IdentityNames::default();
    let mut taken: Vec<HeaderName> = Vec::new();
    let mut one = |key: &'static str, written: Option<&String>, default: Option<HeaderName>| {
        let name = match written.map(String::as_str) {
            None => default,
            Some("") => None,
            Some(written) => match identity_name(written) {
                Ok(name) => Some(name),
                Err(why) => {
                    r.fail(&at.key(key), format!("{written:?} {why}"));
                    None
                }
            },
        };
        if let Some(name) = &name {
            if taken.contains(name) {
                let why =
                    format!("{name} is the name of another identity header: each needs its own");
                r.fail(&at.key(key), why);
            }
            taken.push(name.clone());
        }
        name
    };
    IdentityNames {
        user: one("user", user.as_ref(), default.user),
        name: one("name", name.as_ref(), default.name),
        email: one("email", email.as_ref(), default.email),
        groups: one("groups", groups.as_ref(), default.groups),
    }
}

/// Resolves the assertions of the app at `at`. [`settle`] sets the issuer.
pub(super) fn assertion(
    raw: &RawApp,
    app: &str,
    at: &KeyPath,
    r: &mut Reader<'_>,
) -> Option<AssertionSettings> {
    let key = at.key("assertion_algorithm");
    let choices = [SigningAlgorithm::Es256, SigningAlgorithm::EdDsa].map(|a| (a.as_str(), a));
    let word = raw.assertion_algorithm.as_deref().or(Some("ES256"));
    let algorithm = r.choice(&key, word, &choices).unwrap_or_default();
    let (issuer, audience) = (String::new(), app.to_owned());
    let asserts = raw.assertion.unwrap_or(false);
    asserts.then_some(AssertionSettings { issuer, audience, algorithm })
}

/// Completes the assertions of all apps: their issuer, and the check of their keys.
pub(super) fn settle(
    apps: &mut [AppSettings],
    public: Option<&WebOrigin>,
    stores: &Stores,
    r: &mut Reader<'_>,
) {
    check_keys(stores.keys.as_ref(), &stores.keys_file, apps, r);
    let issuer = issuer(public, apps);
    for assertion in apps.iter_mut().filter_map(|app| app.assertion.as_mut()) {
        assertion.issuer.clone_from(&issuer);
    }
}

/// Returns the issuer of assertions: the public URL, or the first host.
fn issuer(public: Option<&WebOrigin>, apps: &[AppSettings]) -> String {
    let hosts = apps.iter().flat_map(|app| &app.hosts);
    let mut exact = hosts.filter_map(|host| match host {
        HostPattern::Exact(name) => Some(name),
        HostPattern::Wildcard(_) => None,
    });
    let first = || exact.next().map(|name| WebOrigin::new(true, name, None).to_string());
    public.map(ToString::to_string).or_else(first).unwrap_or_default()
}

/// Checks that the key file has a key for every app with assertions.
fn check_keys(
    material: Option<&KeyMaterial>,
    file: &std::path::Path,
    apps: &[AppSettings],
    r: &mut Reader<'_>,
) {
    let Some(material) = material else { return };
    let file = file.display();
    for (i, app) in apps.iter().enumerate() {
        let Some(assertion) = &app.assertion else { continue };
        if !material.signs(assertion.algorithm) {
            let why = format!(
                "the key file {file} has no key that signs assertions with {}: run `vestibule keys \
                 add {file}`, reload every node, and run `vestibule keys use {file}`",
                assertion.algorithm.as_str()
            );
            r.fail(&KeyPath::of("apps").index(i).key("assertion"), why);
        }
    }
}

/// Resolves the headers to remove from requests.
pub(super) fn strip_headers(
    raw: Option<&[String]>,
    at: &KeyPath,
    r: &mut Reader<'_>,
) -> Vec<HeaderName> {
    let mut names = Vec::new();
    for (i, written) in raw.unwrap_or_default().iter().enumerate() {
        match stripped(written) {
            Ok(name) if names.contains(&name) => {}
            Ok(name) => names.push(name),
            Err(why) => r.fail(&at.index(i), format!("{written:?} {why}")),
        }
    }
    names
}
