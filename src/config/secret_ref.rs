//! Secret values in the configuration, given as text or by reference.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::base::secret::Secret;

/// A secret value, or the file or environment variable that contains it.
#[derive(Clone, Debug)]
pub(super) enum SecretRef {
    /// The value itself.
    Text(Secret),
    /// A file that contains only the value. A trailing line break is removed.
    File(PathBuf),
    /// An environment variable.
    Env(String),
}

impl SecretRef {
    /// Returns the value. The error never contains any part of it.
    #[expect(clippy::disallowed_methods, reason = "configuration is read here")]
    pub(super) fn value(&self, base: &Path) -> Result<Secret, String> {
        let text = match self {
            Self::Text(secret) => return Ok(secret.clone()),
            Self::File(file) => {
                let path = base.join(file);
                let text = std::fs::read_to_string(&path)
                    .map_err(|e| format!("the file {} cannot be read: {e}", path.display()))?;
                text.trim_end_matches(['\n', '\r']).to_owned()
            }
            Self::Env(name) => std::env::var(name).map_err(|e| match e {
                std::env::VarError::NotPresent => {
                    format!("the environment variable {} is not set", name.escape_default())
                }
                std::env::VarError::NotUnicode(_) => {
                    format!("the environment variable {} is not UTF-8", name.escape_default())
                }
            })?,
        };
        Ok(Secret::new(text))
    }
}

struct SecretVisitor;

const SHAPE: &str =
    "a secret: a text, { file = \"path\" } or { env = \"NAME\" } with exactly one of the two";

impl<'de> Visitor<'de> for SecretVisitor {
    type Value = SecretRef;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, { file = \"path\" } or { env = \"NAME\" }")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<SecretRef, E> {
        Ok(SecretRef::Text(Secret::new(text.to_owned())))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<SecretRef, E> {
        Ok(SecretRef::Text(Secret::new(text)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SecretRef, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<String>()? {
            let reference = match key.as_str() {
                "file" => SecretRef::File(map.next_value()?),
                "env" => SecretRef::Env(map.next_value()?),
                _ => return Err(Error::custom(format_args!("expected {SHAPE}"))),
            };
            if found.replace(reference).is_some() {
                return Err(Error::custom(format_args!("expected {SHAPE}")));
            }
        }
        found.ok_or_else(|| Error::custom(format_args!("expected {SHAPE}")))
    }
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecretVisitor)
    }
}

impl JsonSchema for SecretRef {
    fn schema_name() -> Cow<'static, str> {
        "SecretRef".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let reference = |key: &str| {
            serde_json::json!({
                "type": "object",
                "properties": { key: { "type": "string" } },
                "required": [key],
                "additionalProperties": false,
            })
        };
        json_schema!({
            "description": "A secret value, or the file or environment variable that contains it.",
            "anyOf": [{ "type": "string" }, reference("file"), reference("env")],
        })
    }
}
