//! The destination of a sign-in at the portal, in the URLs that lead there.

use std::collections::BTreeMap;

use super::return_to::ReturnTo;
use crate::auth::hand_over::FlowHash;

/// The page that hands a sign-in over.
pub const LOGIN: &str = "/_auth/login";
/// Query field that marks an address as too long to be kept.
pub(super) const TOO_LONG: &str = "too_long";
/// Maximum length of the name of an app or a host, in bytes (RFC 1035 §2.3.4).
const NAME_MAX: usize = 255;

/// The destination of a sign-in at the portal, as in the URL of its page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Onward {
    pub(super) app: String,
    pub(super) host: Option<String>,
    pub(super) return_to: ReturnTo,
    /// True if the requested address was too long and was replaced by the start page.
    pub(super) too_long: bool,
    /// Missing if a script asked for the URL.
    pub(super) flow: Option<FlowHash>,
}

impl Onward {
    /// Reads the destination from the fields of a query. A missing field is empty. Returns `None` if
    /// it names no app.
    pub(super) fn of_fields<'q>(get: impl Fn(&str) -> &'q str) -> Option<Self> {
        let text = |name: &str| Some(get(name)).filter(|text| !text.is_empty());
        let short = |text: &&str| text.len() <= NAME_MAX;
        let asked = text("return_to").unwrap_or("/");
        Some(Self {
            app: text("app").filter(short)?.to_owned(),
            host: text("host").filter(short).map(str::to_owned),
            return_to: ReturnTo::parse(asked),
            too_long: get(TOO_LONG) == "1",
            flow: text("flow").and_then(FlowHash::parse),
        })
    }

    /// Reads the destination from the path and query of the page that hands over.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let query = text.strip_prefix(LOGIN)?.strip_prefix('?')?;
        let mut fields = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if fields.insert(name, value).is_some() {
                return None;
            }
        }
        Self::of_fields(|name| fields.get(name).map_or("", |value| value))
    }

    /// Returns path and query of a page with this destination.
    pub(super) fn on(&self, page: &str) -> String {
        let mut query = form_urlencoded::Serializer::for_suffix(format!("{page}?"), page.len() + 1);
        query.append_pair("app", &self.app);
        if let Some(host) = &self.host {
            query.append_pair("host", host);
        }
        if self.flow.is_some() || !self.return_to.is_root() {
            query.append_pair("return_to", self.return_to.as_str());
        }
        if self.too_long {
            query.append_pair(TOO_LONG, "1");
        }
        if let Some(flow) = &self.flow {
            query.append_pair("flow", flow.as_str());
        }
        query.finish()
    }
}
