//! The key file format.

use data_encoding::{BASE64, HEXLOWER};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::auth::keys::{KEY_LEN, Key, KeyMaterial};
use crate::base::random::{Random, RandomError, bytes};

const VERSION: u32 = 1;
/// Random bytes in a key id.
const ID_BYTES: usize = 4;
/// Maximum characters in a key id.
const ID_MAX: usize = 32;

/// The key rings of a key file, each newest first and never empty.
pub(super) struct Rings {
    token: Vec<Key>,
    data: Vec<Key>,
    pepper: Vec<Key>,
    assertion: Vec<Key>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    #[serde(default)]
    token: Vec<Entry>,
    #[serde(default)]
    data: Vec<Entry>,
    #[serde(default)]
    pepper: Vec<Entry>,
    #[serde(default)]
    assertion: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    key: String,
}

fn generate(random: &dyn Random) -> Result<Key, RandomError> {
    let id: [u8; ID_BYTES] = bytes(random)?;
    Ok(Key { id: HEXLOWER.encode(&id), bytes: Zeroizing::new(bytes(random)?) })
}

impl Rings {
    /// Creates rings with one new key each.
    pub(super) fn generate(random: &dyn Random) -> Result<Self, RandomError> {
        Ok(Self {
            token: vec![generate(random)?],
            data: vec![generate(random)?],
            pepper: vec![generate(random)?],
            assertion: vec![generate(random)?],
        })
    }

    /// Adds a new key to the front of every ring.
    pub(super) fn rotate(&mut self, random: &dyn Random) -> Result<(), RandomError> {
        for ring in [&mut self.token, &mut self.data, &mut self.pepper, &mut self.assertion] {
            let mut new = generate(random)?;
            while ring.iter().any(|old| old.id == new.id) {
                new = generate(random)?;
            }
            ring.insert(0, new);
        }
        Ok(())
    }

    /// Parses a key file. The error never quotes anything but ids.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let written: Written = toml::from_str(text).map_err(|e| {
            // The parser's message is not used, because it quotes the text.
            let before = e.span().and_then(|s| text.get(..s.start)).unwrap_or_default();
            format!(
                "line {} is invalid: the file has version = 1 and the lists token, data, pepper and \
                 assertion, whose entries have an id and a key",
                before.matches('\n').count() + 1
            )
        })?;
        if written.version != VERSION {
            return Err(format!(
                "its version is {}, but only version 1 is supported",
                written.version
            ));
        }
        Ok(Self {
            token: ring("token", written.token)?,
            data: ring("data", written.data)?,
            pepper: ring("pepper", written.pepper)?,
            assertion: ring("assertion", written.assertion)?,
        })
    }

    /// Formats the key file.
    pub(super) fn to_text(&self) -> Zeroizing<String> {
        let keys = self.token.len() + self.data.len() + self.pepper.len() + self.assertion.len();
        // Reserve the full size: a growing string would leave copies of keys in memory.
        let mut text = Zeroizing::new(String::with_capacity(256 + 128 * keys));
        text.push_str("# Keys of Vestibule. Keep this file secret, and keep a backup.\n");
        text.push_str("# Each list is newest first. New data uses the first key.\n");
        text.push_str("version = 1\n");
        let rings = [
            ("token", &self.token),
            ("data", &self.data),
            ("pepper", &self.pepper),
            ("assertion", &self.assertion),
        ];
        for (name, ring) in rings {
            for key in ring {
                let encoded = Zeroizing::new(BASE64.encode(key.bytes.as_slice()));
                for part in ["\n[[", name, "]]\nid = \"", &key.id, "\"\nkey = \"", &encoded, "\"\n"]
                {
                    text.push_str(part);
                }
            }
        }
        text
    }

    /// Returns the keys without the assertion ring, which is not used yet.
    pub(super) fn into_material(self) -> KeyMaterial {
        KeyMaterial { token: self.token, data: self.data, pepper: self.pepper }
    }
}

fn ring(name: &str, entries: Vec<Entry>) -> Result<Vec<Key>, String> {
    if entries.is_empty() {
        return Err(format!("it has no {name} key: add a [[{name}]] with id and key"));
    }
    let mut keys: Vec<Key> = Vec::new();
    for Entry { id, key } in entries {
        let encoded = Zeroizing::new(key);
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if id.is_empty() || id.len() > ID_MAX || !id.chars().all(allowed) {
            return Err(format!("an id in {name} is not 1 to 32 letters, digits, `-` and `_`"));
        }
        if keys.iter().any(|k| k.id == id) {
            return Err(format!(
                "two keys in {name} have the id {id}: ids must be unique in a list"
            ));
        }
        let decoded = BASE64.decode(encoded.as_bytes()).ok().map(Zeroizing::new);
        let bytes: [u8; KEY_LEN] = decoded
            .and_then(|d| d.as_slice().try_into().ok())
            .ok_or_else(|| format!("the key {id} in {name} is not base64 of {KEY_LEN} bytes"))?;
        keys.push(Key { id, bytes: Zeroizing::new(bytes) });
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::OsRandom;

    #[test]
    fn a_key_file_survives_its_text() {
        let mut rings = Rings::generate(&OsRandom::new()).unwrap();
        rings.rotate(&OsRandom::new()).unwrap();
        let text = rings.to_text();
        assert_eq!(Rings::parse(&text).unwrap().to_text().as_str(), text.as_str());
    }

    #[test]
    fn an_invalid_key_file_is_rejected_without_quoting_it() {
        let good = Rings::generate(&OsRandom::new()).unwrap().to_text();
        let secret = good.lines().find(|l| l.starts_with("key = ")).unwrap();
        let secret = secret.trim_start_matches("key = \"").trim_end_matches('"');
        let broken = [
            good.replace("version = 1", "version = 2"),
            good.replace("version = 1", ""),
            good.replace("[[pepper]]", "[[peper]]"),
            good.replace("key = \"", "key = \"A"),
            good.replace(&format!("\"{secret}\""), secret),
            good.replace(&format!("key = \"{secret}\""), &format!("key = [\"{secret}\"]")),
            format!("{}\n[[data]]\nid = \"a.b\"\nkey = \"{secret}\"\n", *good),
            format!(
                "{0}\n[[data]]\nid = \"a\"\nkey = \"{1}\"\n[[data]]\nid = \"a\"\nkey = \"{1}\"",
                *good, secret
            ),
            "not toml".to_owned(),
            String::new(),
        ];
        for text in broken {
            let why = Rings::parse(&text).err().unwrap_or_else(|| panic!("taken: {text}"));
            assert!(!why.contains(secret), "{why}");
        }
    }
}
