//! The relying party of a ceremony: an RP ID and the origin of the page.

use std::net::IpAddr;

use super::UserVerification;

/// Settings of passkeys and security keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySettings {
    /// True if keys are offered and accepted.
    pub enabled: bool,
    /// RP ID for all hosts. `None` for the host of the page.
    pub rp_id: Option<String>,
    /// Origins outside the RP ID where browsers accept its keys, as browsers write them.
    pub related_origins: Vec<String>,
    /// True if a passkey with user verification signs in without a password.
    pub passkey_sign_in: bool,
    /// User verification where the key is the second factor.
    pub user_verification: UserVerification,
    /// Maximum number of keys of an account.
    pub max_credentials: u32,
}

impl KeySettings {
    /// Returns the file in which browsers look for related origins, at the host of the RP ID.
    /// Returns `None` at another host, or if there are none.
    pub fn related_origins_file(&self, host: &str) -> Option<String> {
        let here = self.enabled && self.rp_id.as_deref() == Some(host);
        (here && !self.related_origins.is_empty())
            .then(|| serde_json::json!({ "origins": self.related_origins }).to_string())
    }

    /// Returns true if a key of this relying party works at some host.
    pub fn accepts(&self, rp_id: Option<&str>) -> bool {
        let same = |id: &str| self.rp_id.as_deref().is_none_or(|only| only == id);
        self.enabled && rp_id.is_some_and(same)
    }
}

impl Default for KeySettings {
    fn default() -> Self {
        Self {
            enabled: true,
            rp_id: None,
            related_origins: Vec::new(),
            passkey_sign_in: true,
            user_verification: UserVerification::Preferred,
            max_credentials: 10,
        }
    }
}

/// The relying party, as one page has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelyingParty {
    id: String,
    origin: String,
}

impl RelyingParty {
    /// Returns the relying party of a page on `host`, whose origin is `origin`. Returns `None` if keys
    /// are disabled, or if browsers accept none there: on an address instead of a name, or on a host
    /// outside the RP ID whose origin is not related to it.
    pub fn of(settings: &KeySettings, host: &str, origin: &str) -> Option<Self> {
        if !settings.enabled || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
            return None;
        }
        let id = settings.rp_id.as_deref().unwrap_or(host);
        let accepted = covers(id, host) || settings.related_origins.iter().any(|one| one == origin);
        accepted.then(|| Self { id: id.to_owned(), origin: origin.to_owned() })
    }

    /// Returns the RP ID.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the origin of the page, as browsers write it.
    pub fn origin(&self) -> &str {
        &self.origin
    }
}

/// Returns true if `host` is `id` or a name below it.
pub fn covers(id: &str, host: &str) -> bool {
    let below = host.strip_suffix(id);
    below.is_some_and(|below| below.is_empty() || below.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_rp_id_covers_itself_and_the_names_below_it() {
        for host in ["example.com", "a.example.com", "a.b.example.com"] {
            assert!(covers("example.com", host), "{host}");
        }
        for host in ["example.org", "badexample.com", "example.com.evil.test", "com", ""] {
            assert!(!covers("example.com", host), "{host}");
        }
    }

    #[test]
    fn a_related_origin_is_exact_and_has_the_rp_id() {
        let settings = KeySettings {
            rp_id: Some("example.com".to_owned()),
            related_origins: vec!["https://app.example.org".to_owned()],
            ..KeySettings::default()
        };
        let of = |host: &str, origin: &str| RelyingParty::of(&settings, host, origin);
        let party = of("app.example.org", "https://app.example.org").unwrap();
        assert_eq!((party.id(), party.origin()), ("example.com", "https://app.example.org"));
        for (host, origin) in [
            ("app.example.org", "https://app.example.org:8443"),
            ("app.example.org", "http://app.example.org"),
            ("a.app.example.org", "https://a.app.example.org"),
            ("example.org", "https://example.org"),
            ("app.example.org.evil.test", "https://app.example.org.evil.test"),
        ] {
            assert_eq!(of(host, origin), None, "{origin}");
        }
        let off = KeySettings { enabled: false, ..settings.clone() };
        assert_eq!(RelyingParty::of(&off, "app.example.org", "https://app.example.org"), None);
    }

    #[test]
    fn keys_are_of_the_host_unless_an_rp_id_is_set() {
        let of = |rp_id: Option<&str>, host| {
            let settings =
                KeySettings { rp_id: rp_id.map(str::to_owned), ..KeySettings::default() };
            RelyingParty::of(&settings, host, "https://x").map(|party| party.id)
        };
        assert_eq!(of(None, "a.example.com").as_deref(), Some("a.example.com"));
        assert_eq!(of(Some("example.com"), "a.example.com").as_deref(), Some("example.com"));
        assert_eq!(of(Some("example.com"), "example.org"), None);
        assert_eq!(of(None, "localhost").as_deref(), Some("localhost"));
        for address in ["127.0.0.1", "[::1]", "192.0.2.7"] {
            assert_eq!(of(None, address), None, "{address}");
        }
        let off = KeySettings { enabled: false, ..KeySettings::default() };
        assert_eq!(RelyingParty::of(&off, "a.example.com", "https://a.example.com"), None);
    }
}
