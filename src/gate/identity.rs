//! Identity headers for apps.

use http::HeaderValue;

use super::values::side_by_side;
use crate::auth::account::Identity;

/// The identity of a user as header values for an app.
#[derive(Clone, Debug)]
pub struct IdentityHeaders {
    /// `Remote-User`: the login name.
    pub user: HeaderValue,
    /// `Remote-Name`: the display name.
    pub name: HeaderValue,
    /// `Remote-Email`, if set.
    pub email: Option<HeaderValue>,
    /// `Remote-Groups`: comma-separated, if there are any.
    pub groups: Option<HeaderValue>,
}

/// Removes control characters. Other text is sent as UTF-8.
fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

impl IdentityHeaders {
    pub(super) fn new(identity: &Identity) -> Self {
        let name = clean(identity.name.as_str());
        let display = clean(&identity.display_name);
        let email = identity.email.as_deref().map(clean);
        let groups = clean(&identity.groups.join(","));
        let texts = [name.as_str(), &display, email.as_deref().unwrap_or_default(), &groups];
        let [user, name, email_value, groups_value] =
            side_by_side(texts).unwrap_or([const { HeaderValue::from_static("") }; 4]);
        Self {
            user,
            name,
            email: email.map(|_| email_value),
            groups: (!groups.is_empty()).then_some(groups_value),
        }
    }
}
