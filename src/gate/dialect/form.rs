//! Sign-in requests of clients.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{BodyKind, SignIn};
use crate::auth::app_sign_in::Typed;
use crate::base::secret::Secret;

/// A parsed sign-in request.
#[derive(Debug)]
pub struct SignInForm {
    /// Name and password as entered.
    pub typed: Typed,
    /// The one-time code, without spaces.
    pub code: Option<Secret>,
}

/// The reason why a request is not a valid sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The content type is none that the app accepts.
    #[error("Send the sign-in as JSON.")]
    Kind,
    /// The body cannot be parsed or repeats a field.
    #[error("The sign-in is not well-formed.")]
    Malformed,
    /// A field is missing or not a string.
    #[error("A sign-in needs a name and a password.")]
    Missing,
}

/// Maximum fields in a sign-in.
const MOST_FIELDS: usize = 64;

/// Fields by name. A repeated field is an error, because it could be read in two ways.
struct Fields(BTreeMap<String, Zeroizing<String>>);

impl Fields {
    fn json(body: &[u8]) -> Result<Self, Unreadable> {
        let members: Members =
            serde_json::from_slice(body).map_err(|_json| Unreadable::Malformed)?;
        Self::once_each(members.0.into_iter().filter_map(|(name, value)| match value {
            Value::String(text) => Some((name, text)),
            // Some clients send the code as a number, which loses leading zeros. Such a code is
            // rejected as wrong.
            Value::Number(number) => Some((name, number.to_string())),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }))
    }

    fn form(body: &[u8]) -> Result<Self, Unreadable> {
        let pairs = form_urlencoded::parse(body);
        Self::once_each(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())))
    }

    fn once_each(pairs: impl Iterator<Item = (String, String)>) -> Result<Self, Unreadable> {
        let mut fields = BTreeMap::new();
        for (name, value) in pairs {
            if fields.len() == MOST_FIELDS {
                return Err(Unreadable::Malformed);
            }
            if fields.insert(name, Zeroizing::new(value)).is_some() {
                return Err(Unreadable::Malformed);
            }
        }
        Ok(Self(fields))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.as_str())
    }
}

/// All members of an object. A map would keep only the last of two with the same name.
struct Members(Vec<(String, Value)>);

impl<'de> serde::Deserialize<'de> for Members {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Members;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    if members.len() == MOST_FIELDS {
                        return Err(serde::de::Error::custom("too many members"));
                    }
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        from.deserialize_map(Visitor)
    }
}

impl SignIn {
    /// Parses a body by its `Content-Type`.
    pub fn read(&self, content_type: Option<&str>, body: &[u8]) -> Result<SignInForm, Unreadable> {
        let kind = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        let is = |body: &BodyKind| kind.eq_ignore_ascii_case(body.media_type());
        let fields = match self.bodies.iter().find(|body| is(body)) {
            Some(BodyKind::Json) => Fields::json(body)?,
            Some(BodyKind::Form) => Fields::form(body)?,
            None => return Err(Unreadable::Kind),
        };
        let some = |name: &str| fields.get(name).filter(|text| !text.is_empty());
        let (name, password) =
            some(&self.username).zip(some(&self.password)).ok_or(Unreadable::Missing)?;
        let code: String =
            some(&self.code).unwrap_or_default().chars().filter(|c| !c.is_whitespace()).collect();
        Ok(SignInForm {
            typed: Typed {
                name: name.to_owned(),
                password: Secret::new(password.to_owned()),
                code: None,
            },
            code: Some(Secret::new(code)).filter(|code| !code.is_empty()),
        })
    }

    /// Builds the sign-in request to the app and returns it with its body kind.
    pub fn write(&self, typed: &Typed) -> (BodyKind, Zeroizing<Vec<u8>>) {
        let kind = self.bodies.first().copied().unwrap_or(BodyKind::Json);
        let code = typed.code.as_ref().map(|code| (&self.code, code.reveal()));
        let fields =
            [(&self.username, typed.name.as_str()), (&self.password, typed.password.reveal())];
        let fields = fields.into_iter().chain(code);
        let body = match kind {
            BodyKind::Json => {
                let object: Map<String, Value> =
                    fields.map(|(name, value)| (name.clone(), Value::from(value))).collect();
                Value::Object(object).to_string()
            }
            BodyKind::Form => {
                form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
            }
        };
        (kind, Zeroizing::new(body.into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign_in() -> SignIn {
        SignIn {
            path: "/in".to_owned(),
            bodies: vec![BodyKind::Json, BodyKind::Form],
            username: "username".to_owned(),
            password: "password".to_owned(),
            code: "otp".to_owned(),
        }
    }

    #[test]
    fn a_sign_in_is_read_as_json_and_as_a_form() {
        let json = br#"{"username":"alice","password":"p w","otp":" 012 345 "}"#;
        let form = b"username=alice&password=p+w&otp=012%20345";
        for (kind, body) in [
            ("application/json; charset=utf-8", &json[..]),
            ("application/x-www-form-urlencoded", &form[..]),
        ] {
            let read = sign_in().read(Some(kind), body).unwrap();
            assert_eq!((read.typed.name.as_str(), read.typed.password.reveal()), ("alice", "p w"));
            assert_eq!(read.code.unwrap().reveal(), "012345", "leading zeros stay");
            assert!(read.typed.code.is_none(), "the app is not sent it");
        }
    }

    #[test]
    fn an_ambiguous_body_is_not_a_sign_in() {
        let twice = br#"{"username":"alice","password":"p","username":"bob"}"#;
        let read = |kind, body: &[u8]| sign_in().read(kind, body).err();
        assert_eq!(read(Some("application/json"), twice), Some(Unreadable::Malformed));
        let form = Some("application/x-www-form-urlencoded");
        assert_eq!(read(form, b"username=a&username=b&password=p"), Some(Unreadable::Malformed));
        assert_eq!(read(Some("text/plain"), b"{}"), Some(Unreadable::Kind));
        assert_eq!(read(None, b"{}"), Some(Unreadable::Kind));
        assert_eq!(read(Some("application/json"), b"{}"), Some(Unreadable::Missing));
        assert_eq!(read(Some("application/json"), b"[]"), Some(Unreadable::Malformed));
    }

    #[test]
    fn a_sign_in_with_too_many_fields_is_rejected() {
        let members: Vec<String> = (0..MOST_FIELDS).map(|i| format!("\"f{i}\":{i}")).collect();
        let json = |more: &str| format!("{{{}{more}}}", members.join(","));
        let read = |kind, body: &str| sign_in().read(Some(kind), body.as_bytes()).err();
        assert_eq!(read("application/json", &json("")), Some(Unreadable::Missing));
        assert_eq!(read("application/json", &json(",\"g\":1")), Some(Unreadable::Malformed));
        let pairs: Vec<String> = (0..=MOST_FIELDS).map(|i| format!("f{i}=1")).collect();
        let form = "application/x-www-form-urlencoded";
        assert_eq!(read(form, &pairs[1..].join("&")), Some(Unreadable::Missing));
        assert_eq!(read(form, &pairs.join("&")), Some(Unreadable::Malformed));
    }

    #[test]
    fn the_app_receives_what_was_entered() {
        let typed = Typed {
            name: "a\"b".to_owned(),
            password: Secret::new("p&=ü".to_owned()),
            code: Some(Secret::new("012345".to_owned())),
        };
        let (kind, body) = sign_in().write(&typed);
        assert_eq!(kind, BodyKind::Json);
        let sent: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(sent, serde_json::json!({"username":"a\"b","password":"p&=ü","otp":"012345"}));
    }
}
