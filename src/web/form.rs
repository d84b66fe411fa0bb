//! Parses form bodies and queries into named fields. Duplicate fields are rejected; values are not
//! interpreted.

use std::collections::HashSet;

use axum::extract::{FromRequest, RawForm, Request};
use http::{StatusCode, Uri};
use zeroize::Zeroize;

use super::failure::Failure;
use crate::auth::app_sign_in::Typed;
use crate::base::secret::Secret;

/// Maximum number of fields in a form or query. No page sends a tenth as many.
const MOST_FIELDS: usize = 64;

type Pairs = Vec<(String, String)>;

/// Named fields without duplicates, wiped when dropped.
pub(super) struct Fields(Pairs);

impl Drop for Fields {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(|(_, value)| value.zeroize());
    }
}

fn bad(sentence: &'static str) -> Failure {
    Failure::refused(StatusCode::BAD_REQUEST, "bad_request", sentence)
}

impl Fields {
    /// Parses `application/x-www-form-urlencoded` text. Stops at the first field beyond the limit.
    pub(super) fn parse(text: &[u8]) -> Result<Self, Failure> {
        let mut read = form_urlencoded::parse(text);
        let pairs = read.by_ref().take(MOST_FIELDS);
        let fields = Self(pairs.map(|(n, v)| (n.into_owned(), v.into_owned())).collect());
        if read.next().is_some() {
            return Err(bad("This form has too many fields."));
        }
        let mut names = HashSet::with_capacity(fields.0.len());
        if !fields.0.iter().all(|(name, _)| names.insert(name)) {
            return Err(bad("A field of this form was sent more than once."));
        }
        Ok(fields)
    }

    /// Parses a form body, whose size is already limited.
    pub(super) async fn of_body(request: Request) -> Result<Self, Failure> {
        match RawForm::from_request(request, &()).await {
            Ok(RawForm(body)) => Self::parse(&body),
            Err(error) if error.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                Err(Failure::refused(
                    StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    "bad_request",
                    "Send forms as application/x-www-form-urlencoded.",
                ))
            }
            Err(_unreadable) => Err(bad("This form couldn't be read.")),
        }
    }

    /// Parses a query.
    pub(super) fn of_query(uri: &Uri) -> Result<Self, Failure> {
        Self::parse(uri.query().unwrap_or_default().as_bytes())
    }

    /// Returns true if the form has a field.
    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// Returns the value of a field, or an empty string if it is missing.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// Removes and returns the value of a field, or an empty string if it is missing.
    pub(super) fn take(&mut self, name: &str) -> String {
        let found = self.0.iter_mut().find(|(known, _)| known == name);
        found.map(|(_, value)| std::mem::take(value)).unwrap_or_default()
    }
}

/// The content of a form.
pub(super) trait Form {
    fn from_fields(fields: Fields) -> Self;
}

/// User name and password.
pub(super) struct LoginForm {
    pub(super) username: String,
    pub(super) password: Secret,
    /// The code of the app's own second factor.
    pub(super) app_code: Secret,
}

impl Form for LoginForm {
    fn from_fields(mut fields: Fields) -> Self {
        Self {
            username: fields.take("username"),
            password: Secret::new(fields.take("password")),
            app_code: Secret::new(fields.take("app_code")),
        }
    }
}

/// The choice about a kept request.
pub(super) struct ResendForm {
    pub(super) send: bool,
    pub(super) discard: bool,
}

impl Form for ResendForm {
    fn from_fields(fields: Fields) -> Self {
        Self { send: fields.has("send"), discard: fields.has("discard") }
    }
}

/// User name and recovery code, in place of a forgotten password.
pub(super) struct ForgotForm {
    pub(super) username: String,
    pub(super) code: Secret,
}

impl Form for ForgotForm {
    fn from_fields(mut fields: Fields) -> Self {
        Self { username: fields.take("username"), code: Secret::new(fields.take("code")) }
    }
}

/// A one-time code or a recovery code.
pub(super) struct CodeForm {
    pub(super) code: Secret,
}

impl Form for CodeForm {
    fn from_fields(mut fields: Fields) -> Self {
        Self { code: Secret::new(fields.take("code")) }
    }
}

/// A password and, if the app checks it, the user name and code at the app.
pub(super) struct SetupForm {
    pub(super) typed: Typed,
}

impl Form for SetupForm {
    fn from_fields(mut fields: Fields) -> Self {
        Self { typed: typed(&mut fields) }
    }
}

/// Reads a password with the user name and code that an app may need to check it.
fn typed(fields: &mut Fields) -> Typed {
    let code = Secret::new(fields.take("app_code"));
    Typed {
        name: fields.take("username"),
        password: Secret::new(fields.take("password")),
        code: Some(code).filter(|code| !code.reveal().trim().is_empty()),
    }
}

/// The answer of a passkey or security key, and the name for a new one.
pub(super) struct KeyForm {
    pub(super) name: String,
    pub(super) credential: String,
}

impl Form for KeyForm {
    fn from_fields(mut fields: Fields) -> Self {
        Self { name: fields.take("name"), credential: fields.take("credential") }
    }
}

/// A new name for a key, or its removal.
pub(super) struct KeyChangeForm {
    pub(super) name: String,
    pub(super) remove: bool,
}

impl Form for KeyChangeForm {
    fn from_fields(mut fields: Fields) -> Self {
        Self { name: fields.take("name"), remove: !fields.take("remove").is_empty() }
    }
}

/// A code or the answer of a key and, if required, the password.
pub(super) struct StepUpForm {
    pub(super) typed: Typed,
    pub(super) code: Secret,
    pub(super) credential: String,
    pub(super) return_to: String,
}

impl Form for StepUpForm {
    fn from_fields(mut fields: Fields) -> Self {
        Self {
            typed: typed(&mut fields),
            code: Secret::new(fields.take("code")),
            credential: fields.take("credential"),
            return_to: fields.take("return_to"),
        }
    }
}

/// A password alone.
pub(super) struct PasswordForm {
    pub(super) password: Secret,
}

impl Form for PasswordForm {
    fn from_fields(mut fields: Fields) -> Self {
        Self { password: Secret::new(fields.take("password")) }
    }
}

/// The current password and a new one.
pub(super) struct PasswordChangeForm {
    pub(super) current: Secret,
    pub(super) password: Secret,
}

impl Form for PasswordChangeForm {
    fn from_fields(mut fields: Fields) -> Self {
        Self {
            current: Secret::new(fields.take("current")),
            password: Secret::new(fields.take("password")),
        }
    }
}

/// The public id of a session or access token.
pub(super) struct IdForm {
    pub(super) id: String,
}

impl Form for IdForm {
    fn from_fields(mut fields: Fields) -> Self {
        Self { id: fields.take("id") }
    }
}

/// A recovery code that confirms a new set, or the request for another set.
pub(super) struct ConfirmForm {
    pub(super) code: Secret,
    pub(super) anew: bool,
}

impl Form for ConfirmForm {
    fn from_fields(mut fields: Fields) -> Self {
        let anew = !fields.take("new").is_empty();
        let confirm = fields.take("confirm");
        let code = if confirm.is_empty() { fields.take("code") } else { confirm };
        Self { code: Secret::new(code), anew }
    }
}

/// A form without fields, just a button.
pub(super) struct Nothing;

impl Form for Nothing {
    fn from_fields(_fields: Fields) -> Self {
        Self
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::header::CONTENT_TYPE;

    use super::*;

    async fn read(kind: &str, body: &'static str) -> Result<Fields, Failure> {
        let request = Request::post("/").header(CONTENT_TYPE, kind).body(Body::from(body));
        Fields::of_body(request.unwrap()).await
    }

    #[tokio::test]
    async fn a_form_is_parsed_without_trimming() {
        let body = "username=a%20b&password=+%26%3D+&x=1";
        let fields =
            read("application/x-www-form-urlencoded; charset=utf-8", body).await.ok().unwrap();
        let form = LoginForm::from_fields(fields);
        assert_eq!(form.username, "a b");
        assert_eq!(form.password.reveal(), " &= ");
    }

    #[tokio::test]
    async fn duplicate_fields_and_other_content_types_are_rejected() {
        assert!(read("application/x-www-form-urlencoded", "code=1&code=2").await.is_err());
        assert!(read("multipart/form-data; boundary=x", "code=1").await.is_err());
        assert!(read("text/plain", "code=1").await.is_err());
        assert!(read("application/json", "{}").await.is_err());
    }

    #[test]
    fn forms_with_too_many_fields_are_rejected() {
        let query = |fields: usize| {
            let names: Vec<String> = (0..fields).map(|i| format!("f{i}=1")).collect();
            Fields::parse(names.join("&").as_bytes())
        };
        assert_eq!(query(MOST_FIELDS).ok().unwrap().0.len(), MOST_FIELDS);
        assert!(query(MOST_FIELDS + 1).is_err());
        assert!(query(2_600).is_err());
        let empty = "&".repeat(8_000);
        assert!(Fields::parse(empty.as_bytes()).ok().unwrap().0.is_empty());
    }
}
