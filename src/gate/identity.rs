//! Identity headers for apps.

use std::sync::Arc;

use http::HeaderValue;

use super::last_assertion::LastAssertion;
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
    /// The last assertion about the user and the sign-in.
    pub assertion: Arc<LastAssertion>,
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
            assertion: Arc::default(),
        }
    }

    /// Keeps the last assertion of `before`, which must be about the same identity and sign-in.
    pub(super) fn after(self, before: Option<&Self>) -> Self {
        let assertion = before.map(|before| Arc::clone(&before.assertion));
        Self { assertion: assertion.unwrap_or(self.assertion), ..self }
    }
}
