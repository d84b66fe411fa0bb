//! Resolution of passkeys and security keys.

use std::net::IpAddr;

use super::related_origins::RelatedOrigin;
use super::{host, related_origins};
use crate::auth::webauthn::UserVerification;
use crate::auth::webauthn::relying_party::{KeySettings, covers};
use crate::config::key_path::KeyPath;
use crate::config::raw::RawWebauthn;
use crate::config::reader::Reader;
use crate::proxy::settings::{AppSettings, HostPattern, PortalSettings};

/// Maximum `max_credentials`. More would not fit into the options of a page.
const MOST: u32 = 50;

/// Resolves the settings of passkeys and security keys.
pub(super) fn keys(
    raw: &RawWebauthn,
    apps: &[AppSettings],
    portal: Option<&PortalSettings>,
    r: &mut Reader<'_>,
) -> KeySettings {
    let at = KeyPath::of("second_factor.webauthn");
    let default = KeySettings::default();
    let choices =
        [UserVerification::Required, UserVerification::Preferred, UserVerification::Discouraged]
            .map(|choice| (choice.as_str(), choice));
    let verification = raw.user_verification.as_deref().or(Some("preferred"));
    let verification = r.choice(&at.key("user_verification"), verification, &choices);
    let rp_id = raw.rp_id.as_deref().map(str::to_ascii_lowercase);
    // Apps below the portal have no pages that ask for a key.
    let own = apps.iter().filter(|app| !app.portal).flat_map(|app| app.hosts.iter().cloned());
    let of_portal = portal.map(|portal| HostPattern::Exact(portal.host.clone()));
    let hosts: Vec<HostPattern> = own.chain(of_portal).collect();
    let related =
        related_origins::origins(raw.related_origins.as_deref(), rp_id.as_deref(), &hosts, r);
    if let Some(rp_id) = &rp_id {
        r.remark(&at.key("rp_id"), "changing it orphans registered keys");
        if let Err(why) = check(rp_id, &hosts, &related) {
            r.fail(&at.key("rp_id"), why);
        }
    }
    let enabled = raw.enabled.unwrap_or(default.enabled);
    if !enabled {
        for (app, rule) in
            apps.iter().flat_map(|app| app.policy.rules().iter().map(move |r| (app, r)))
        {
            if rule.phishing_resistant {
                let why = format!(
                    "nobody could satisfy phishing_resistant of the rule {:?} of the app {}: enable \
                     keys, or remove it",
                    rule.name, app.name
                );
                r.fail(&at.key("enabled"), why);
            }
        }
    }
    KeySettings {
        enabled,
        rp_id,
        related_origins: related.into_iter().map(|one| one.origin).collect(),
        passkey_sign_in: raw.passkey_sign_in.unwrap_or(default.passkey_sign_in),
        user_verification: verification.unwrap_or_default(),
        max_credentials: r.number(
            &at.key("max_credentials"),
            raw.max_credentials,
            default.max_credentials,
            &(1..=MOST),
        ),
    }
}

/// Checks that browsers accept `rp_id` on all hosts that ask for keys: it must be a registrable domain that
/// is a suffix of each (WebAuthn §5.1.3, HTML "is a registrable domain suffix of or is equal to"), except
/// of those with a related origin.
fn check(rp_id: &str, hosts: &[HostPattern], related: &[RelatedOrigin]) -> Result<(), String> {
    match host::pattern(rp_id) {
        Ok(HostPattern::Exact(name)) if !is_address(&name) => {}
        Ok(_) => {
            return Err(format!(
                "{rp_id:?} is not a domain name: write the domain that all hosts share"
            ));
        }
        Err(why) => return Err(why),
    }
    if is_public_suffix(rp_id) {
        return Err(format!(
            "{rp_id:?} is a public suffix, under which anyone can register names: write a domain \
             of your own, such as \"example.{rp_id}\""
        ));
    }
    let is_related = |pattern: &&HostPattern| related.iter().any(|one| one.is_of(pattern));
    let hosts: Vec<_> = hosts.iter().filter(|pattern| !is_related(pattern)).collect();
    if is_one_label_beside(rp_id, &hosts) {
        return Err(format!(
            "{rp_id:?} has one label, and browsers accept that as the name of a host only: write a \
             domain such as \"example.{rp_id}\""
        ));
    }
    let outside: Vec<String> = hosts
        .iter()
        .filter(|pattern| !is_covered(rp_id, pattern))
        .map(ToString::to_string)
        .collect();
    if outside.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{rp_id:?} is not a parent domain of {}, so browsers reject keys there: write a domain that \
         all hosts share, list the origins of the others in related_origins, or leave rp_id out",
        outside.join(", ")
    ))
}

/// Returns true if the name has one label, such as "lan", and is not the name of each host. Browsers take
/// such a name for a public suffix, except on that very host.
fn is_one_label_beside(rp_id: &str, hosts: &[&HostPattern]) -> bool {
    let is_host = |pattern: &HostPattern| matches!(pattern, HostPattern::Exact(n) if n == rp_id);
    !rp_id.contains('.') && !hosts.iter().all(|pattern| is_host(pattern))
}

fn is_address(host: &str) -> bool {
    host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

/// Returns true if the name is on the public suffix list. A name whose suffix is not listed, such as
/// "localhost", is not.
fn is_public_suffix(name: &str) -> bool {
    let suffix = psl::suffix(name.as_bytes());
    suffix.is_some_and(|suffix| suffix.is_known() && suffix.as_bytes() == name.as_bytes())
}

pub(super) fn is_covered(rp_id: &str, pattern: &HostPattern) -> bool {
    match pattern {
        HostPattern::Exact(name) => covers(rp_id, name),
        HostPattern::Wildcard(suffix) => covers(rp_id, suffix.trim_start_matches('.')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_suffix_is_known_by_the_list() {
        for suffix in ["com", "de", "co.uk", "github.io", "s3.amazonaws.com"] {
            assert!(is_public_suffix(suffix), "{suffix}");
        }
        for own in ["example.com", "example.co.uk", "me.github.io", "gw.test", "localhost", "lan"] {
            assert!(!is_public_suffix(own), "{own}");
        }
    }

    #[test]
    fn a_name_of_one_label_is_the_name_of_a_host_only() {
        let named = |name: &str| HostPattern::Exact(name.to_owned());
        let (lan, nas, home) = (named("lan"), named("nas.lan"), named("nas.home.lan"));
        assert!(is_one_label_beside("lan", &[&nas]));
        assert!(is_one_label_beside("lan", &[&lan, &nas]));
        assert!(!is_one_label_beside("lan", &[&lan]));
        assert!(!is_one_label_beside("home.lan", &[&home]));
    }

    #[test]
    fn an_rp_id_covers_the_names_that_a_wildcard_stands_for() {
        let wildcard = |suffix: &str| HostPattern::Wildcard(suffix.to_owned());
        assert!(is_covered("example.com", &wildcard(".example.com")));
        assert!(is_covered("example.com", &wildcard(".lab.example.com")));
        assert!(!is_covered("lab.example.com", &wildcard(".example.com")));
        assert!(!is_covered("example.com", &wildcard(".badexample.com")));
        assert!(!is_covered("example.com", &HostPattern::Exact("[::1]".to_owned())));
    }
}
