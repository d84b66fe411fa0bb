//! What an app is told of a person.

use http::HeaderValue;

use crate::auth::account::Identity;

/// What an app is told of a person, as header values.
#[derive(Clone, Debug)]
pub struct IdentityHeaders {
    /// `Remote-User`: the login name.
    pub user: HeaderValue,
    /// `Remote-Name`: the display name.
    pub name: HeaderValue,
    /// `Remote-Email`, where one is set.
    pub email: Option<HeaderValue>,
    /// `Remote-Groups`: comma-separated, where there are any.
    pub groups: Option<HeaderValue>,
}

/// Header values are bytes; text beyond ASCII goes as UTF-8 and control characters are dropped.
fn header_value(text: &str) -> HeaderValue {
    let clean: String = text.chars().filter(|c| !c.is_control()).collect();
    HeaderValue::from_bytes(clean.as_bytes()).unwrap_or_else(|_| HeaderValue::from_static(""))
}

impl IdentityHeaders {
    pub(super) fn new(identity: &Identity) -> Self {
        let groups = identity.groups.join(",");
        Self {
            user: header_value(identity.name.as_str()),
            name: header_value(&identity.display_name),
            email: identity.email.as_deref().map(header_value),
            groups: (!groups.is_empty()).then(|| header_value(&groups)),
        }
    }
}
