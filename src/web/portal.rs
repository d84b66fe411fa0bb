//! One sign-in for several apps: the role of a host, and the redirects between an app and the portal.
//!
//! An app without a session sends the browser to the portal with the hash of a random cookie of the
//! app's host. The portal sends it back with a ticket that works only beside that cookie.

use std::fmt;
use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use http::header::{HeaderMap, HeaderValue};

use super::back::Back;
use super::cookies;
use super::icon::Icon;
pub use super::onward::LOGIN;
use super::onward::Onward;
use super::return_to::ReturnTo;
use crate::auth::hand_over::FlowHash;
use crate::auth::session::Session;
use crate::base::random::{Random, RandomError, bytes};

/// The page that asks for a fresh proof.
pub const STEP_UP: &str = "/_auth/step-up";

/// The role of a host in signing users in.
#[derive(Clone, Debug)]
pub enum Role {
    /// It signs its users in by itself.
    Alone,
    /// Its users sign in at the portal.
    BelowPortal(Arc<Detour>),
    /// It is the portal.
    Portal(Arc<dyn PortalApps>),
}

/// The apps whose users sign in at the portal, as one client reaches them.
pub trait PortalApps: fmt::Debug + Send + Sync {
    /// Returns an app by name, at one of its hosts. Without `host` it is the first one. Returns `None`
    /// for another host than the app's own.
    fn find(&self, app: &str, host: Option<&str>) -> Option<AppAddress>;
    /// Returns the access that the app's rules give to this session.
    fn access(&self, app: &AppAddress, target: &ReturnTo, session: &Session) -> Access;
    /// Returns all apps, in the order of the configuration.
    fn all(&self) -> Vec<AppAddress>;
    /// Returns the icon at this path of the portal.
    fn icon(&self, path: &str) -> Option<Arc<Icon>>;
}

/// The address of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppAddress {
    /// Its name.
    pub name: String,
    /// Its name on pages.
    pub title: String,
    /// Its host, in lower case and without a port.
    pub host: String,
    /// Scheme, host and port, without a trailing slash.
    pub origin: String,
    /// Its icon.
    pub icon: Option<Arc<Icon>>,
}

/// The access to a page of an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The rules let the user in, or something other than a user's rights decides.
    Open,
    /// The rules let the user in after a fresh second factor.
    AfterStepUp,
    /// The rules let the user in after a proof by passkey or security key.
    AfterKey,
    /// The rules do not let the user in.
    Denied,
}

/// The redirect from an app to the portal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detour {
    /// Scheme, host and port of the portal, without a trailing slash.
    pub portal: String,
    /// Name of the app.
    pub app: String,
    /// Host of the app, unless it is its first one.
    pub host: Option<String>,
}

impl Detour {
    /// Returns the URL of a page of the portal that leads back to the app. Without a flow the app
    /// begins a new detour then.
    pub fn to(&self, page: &str, back: &Back, flow: Option<&FlowHash>) -> String {
        let onward = Onward {
            app: self.app.clone(),
            host: self.host.clone(),
            return_to: ReturnTo::parse(back.as_str()),
            too_long: back.is_too_long(),
            flow: flow.cloned(),
        };
        format!("{}{}", self.portal, onward.on(page))
    }

    /// Returns the URL of another page of the portal.
    pub(super) fn page(&self, path: &str) -> String {
        format!("{}{path}", self.portal)
    }
}

/// The hash of a browser's flow cookie, and the cookie to set if it has none.
pub type Flow = (FlowHash, Option<HeaderValue>);

/// Returns the flow of a browser at this host. All tabs share it.
pub fn flow(headers: &HeaderMap, random: &dyn Random) -> Result<Flow, RandomError> {
    if let Some(hash) = known_flow(headers) {
        return Ok((hash, None));
    }
    let raw: [u8; 32] = bytes(random)?;
    let value = BASE64URL_NOPAD.encode(&raw);
    Ok((FlowHash::of(&value), cookies::set(cookies::FLOW, &value)))
}

/// Returns the hash of the browser's flow cookie, if it has a single, well-formed one.
pub(super) fn known_flow(headers: &HeaderMap) -> Option<FlowHash> {
    let value = cookies::flow(headers)?;
    let raw = BASE64URL_NOPAD.decode(value.as_bytes()).ok()?;
    (raw.len() == 32).then(|| FlowHash::of(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::OsRandom;

    fn detour(host: Option<&str>) -> Detour {
        Detour {
            portal: "https://sign-in.test:8443".to_owned(),
            app: "wiki".to_owned(),
            host: host.map(str::to_owned),
        }
    }

    #[test]
    fn a_destination_is_read_as_it_was_written() {
        let (hash, cookie) = flow(&HeaderMap::new(), &OsRandom::new()).unwrap();
        assert!(cookie.unwrap().to_str().unwrap().starts_with("__Host-vestibule-flow="));
        for host in [None, Some("wiki.test")] {
            let back = Back::of_target("/a?b=c&d=%20");
            let url = detour(host).to(LOGIN, &back, Some(&hash));
            let path = url.strip_prefix("https://sign-in.test:8443").unwrap();
            let onward = Onward::parse(path).unwrap();
            assert_eq!(onward.return_to.as_str(), "/a?b=c&d=%20");
            assert_eq!((onward.app.as_str(), onward.host.as_deref()), ("wiki", host));
            assert_eq!(onward.flow, Some(hash.clone()));
            assert_eq!(onward.on(LOGIN), path);
        }
        let bare = detour(None).to(LOGIN, &Back::root(), None);
        assert_eq!(bare, "https://sign-in.test:8443/_auth/login?app=wiki");
    }

    #[test]
    fn a_flow_is_known_by_a_single_well_formed_cookie() {
        let with = |line: String| {
            let mut headers = HeaderMap::new();
            headers.insert("cookie", line.parse().unwrap());
            known_flow(&headers)
        };
        let value = "A".repeat(43);
        let cookie = format!("__Host-vestibule-flow={value}");
        assert_eq!(with(cookie.clone()), Some(FlowHash::of(&value)));
        assert_eq!(with(format!("{cookie}; {cookie}")), None, "twice");
        assert_eq!(with("__Host-vestibule-flow=A".to_owned()), None, "too short");
        assert_eq!(with(format!("__host-vestibule-flow={value}")), None, "another name");
    }

    #[test]
    fn a_destination_leads_to_a_path_of_an_app_only() {
        let onward = |query: &str| Onward::parse(&format!("{LOGIN}?{query}"));
        for bad in ["", "return_to=%2Fa", "app=&return_to=%2Fa", "app=a&app=b"] {
            assert_eq!(onward(bad), None, "{bad}");
        }
        for trick in ["//evil.example", "https://evil.example", "/_auth/logout", "\\evil.example"] {
            let query = form_urlencoded::Serializer::new(String::new())
                .append_pair("app", "wiki")
                .append_pair("return_to", trick)
                .finish();
            assert!(onward(&query).unwrap().return_to.is_root(), "{trick}");
        }
        assert_eq!(onward("app=wiki&flow=short").unwrap().flow, None);
        assert_eq!(Onward::parse("/_auth/login/?app=wiki"), None);
    }
}
