//! Resolution of the related origins of the RP ID: pages of other domains where browsers accept its keys
//! (Web Authentication Level 3, §5.11).

use std::collections::BTreeSet;

use url::{Host, Url};

use super::upstream;
use super::webauthn::is_covered;
use crate::auth::webauthn::relying_party::KeySettings;
use crate::config::key_path::KeyPath;
use crate::config::reader::Reader;
use crate::proxy::settings::{AppSettings, ForwardedBy, HostPattern, PortalSettings};

/// Names before the public suffix that every browser accepts. Browsers ignore the origins of further ones.
const MOST_NAMES: usize = 5;
/// Maximum number of origins, so that the file stays small.
const MOST: usize = 100;

/// A related origin.
#[derive(Debug)]
pub(super) struct RelatedOrigin {
    /// The origin, as browsers write it.
    pub(super) origin: String,
    host: String,
    /// Name before the public suffix, such as "example" of "app.example.co.uk".
    name: String,
}

impl RelatedOrigin {
    /// Returns true if it is an origin of this host.
    pub(super) fn is_of(&self, pattern: &HostPattern) -> bool {
        matches!(pattern, HostPattern::Exact(name) if *name == self.host)
    }
}

fn key() -> KeyPath {
    KeyPath::of("second_factor.webauthn").key("related_origins")
}

/// Resolves the origins. `hosts` are those that ask for keys.
pub(super) fn origins(
    raw: Option<&[String]>,
    rp_id: Option<&str>,
    hosts: &[HostPattern],
    r: &mut Reader<'_>,
) -> Vec<RelatedOrigin> {
    let at = key();
    let written = raw.unwrap_or_default();
    if written.is_empty() {
        return Vec::new();
    }
    let Some(rp_id) = rp_id else {
        r.fail(
            &at,
            "has no rp_id to be related to: write rp_id, the name that keys are registered for",
        );
        return Vec::new();
    };
    if written.len() > MOST {
        r.fail(&at, format!("lists {} origins: write at most {MOST}", written.len()));
        return Vec::new();
    }
    let mut found: Vec<RelatedOrigin> = Vec::new();
    for (i, text) in written.iter().enumerate() {
        match origin(text, rp_id, hosts) {
            Ok(new) if found.iter().any(|one| one.origin == new.origin) => {
                r.fail(&at.index(i), format!("{text:?} is listed twice"));
            }
            Ok(new) => found.push(new),
            Err(why) => r.fail(&at.index(i), why),
        }
    }
    let names: BTreeSet<&str> = found.iter().map(|one| one.name.as_str()).collect();
    if names.len() > MOST_NAMES {
        let list: Vec<&str> = names.into_iter().collect();
        let why = format!(
            "browsers accept origins under {MOST_NAMES} names before the public suffix, and these are {}: {}",
            list.len(),
            list.join(", ")
        );
        r.fail(&at, why);
    }
    found
}

fn origin(text: &str, rp_id: &str, hosts: &[HostPattern]) -> Result<RelatedOrigin, String> {
    let right = "write it like \"https://app.example.org\"";
    let url: Url = upstream::origin(text).map_err(|why| format!("{why}: {right}"))?;
    if url.scheme() != "https" {
        return Err(format!("browsers accept keys on pages over https only: {right}"));
    }
    let Some(Host::Domain(host)) = url.host() else {
        return Err(format!(
            "{text:?} has an address, and browsers accept keys on names only: {right}"
        ));
    };
    let exact = HostPattern::Exact(host.to_owned());
    if is_covered(rp_id, &exact) {
        return Err(format!("{host:?} is below rp_id, so its keys work there anyway: remove it"));
    }
    let Some(name) = name_before_suffix(host) else {
        return Err(format!(
            "{host:?} is no name of its own below a public suffix, so browsers ignore it"
        ));
    };
    if !hosts.contains(&exact) {
        return Err(format!(
            "{host:?} is not a host that asks for keys: write the exact host of an app that signs in \
             there, or of the portal"
        ));
    }
    let origin = url.origin().ascii_serialization();
    Ok(RelatedOrigin { origin, host: host.to_owned(), name })
}

/// Returns the label before the public suffix, which browsers count.
fn name_before_suffix(host: &str) -> Option<String> {
    let domain = psl::domain_str(host)?;
    domain.split('.').next().map(str::to_owned)
}

/// Has the app at the host of the RP ID serve the list, or says what another server has to answer there.
pub(super) fn serve(
    keys: &KeySettings,
    apps: &mut [AppSettings],
    portal: Option<&PortalSettings>,
    r: &mut Reader<'_>,
) {
    let Some(rp_id) = &keys.rp_id else { return };
    let Some(file) = keys.related_origins_file(rp_id) else { return };
    let at_portal = portal.is_some_and(|portal| portal.host == *rp_id);
    let mut here = at_portal;
    let mut by_others = false;
    for app in apps.iter_mut().filter(|app| app.hosts.iter().any(|host| host.matches(rp_id))) {
        app.related_origins_at = Some(rp_id.clone());
        here = true;
        by_others |= app.forwarded_by == ForwardedBy::Others;
    }
    let address = format!("https://{rp_id}/.well-known/webauthn");
    r.remark(&key(), format_args!("listed at {address}, where browsers ask"));
    if !here {
        let why = format!(
            "browsers ask at {address}, and no app here has that host: its server has to answer with \
             status 200, Content-Type application/json and {file}"
        );
        r.warn(&key(), &why);
    } else if by_others && !at_portal {
        let why = format!(
            "browsers ask at {address}: the proxy there has to pass this path to Vestibule, without asking"
        );
        r.warn(&key(), &why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> HostPattern {
        HostPattern::Exact(name.to_owned())
    }

    #[test]
    fn only_an_exact_https_origin_outside_the_rp_id_that_asks_for_keys_is_related() {
        let hosts = [
            named("app.example.org"),
            named("a.example.com"),
            named("intranet"),
            HostPattern::Wildcard(".wild.test".to_owned()),
        ];
        let of = |text: &str| origin(text, "example.com", &hosts);
        let good = of("https://APP.example.org:443").unwrap();
        assert_eq!(good.origin, "https://app.example.org");
        assert_eq!(good.name, "example");
        assert_eq!(
            of("https://app.example.org:8443").unwrap().origin,
            "https://app.example.org:8443"
        );
        for (text, why) in [
            ("http://app.example.org", "over https only"),
            ("https://app.example.org/path", "without a path"),
            ("https://user@app.example.org", "user or password"),
            ("app.example.org", "not a URL"),
            ("https://192.0.2.7", "names only"),
            ("https://[2001:db8::1]", "names only"),
            ("https://a.example.com", "anyway"),
            ("https://intranet", "browsers ignore it"),
            ("https://co.uk", "browsers ignore it"),
            ("https://other.example.org", "not a host that asks for keys"),
            ("https://a.wild.test", "not a host that asks for keys"),
            ("https://*.example.org", "not a host that asks for keys"),
        ] {
            let said = of(text).map(|one| one.origin).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
    }

    #[test]
    fn browsers_count_the_name_before_the_public_suffix() {
        for (host, name) in [
            ("app.example.org", "example"),
            ("example.co.uk", "example"),
            ("a.me.github.io", "me"),
            ("gw.test", "gw"),
        ] {
            assert_eq!(name_before_suffix(host).as_deref(), Some(name), "{host}");
        }
        assert_eq!(name_before_suffix("localhost"), None);
    }
}
