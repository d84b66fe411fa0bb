//! The key file format.

use data_encoding::{BASE64, HEXLOWER};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::auth::keys::{AssertionKey, KEY_LEN, Key, KeyMaterial, generate_es256, is_es256};
use crate::base::random::{Random, RandomError, bytes};

const VERSION: u32 = 1;
/// Random bytes in a key id.
const ID_BYTES: usize = 4;
/// Name of the ring whose keys sign assertions.
const ASSERTION: &str = "assertion";
/// Maximum characters in a key id.
const ID_MAX: usize = 32;

/// The key rings of a key file. The first key of each writes. Only the assertion ring may be empty:
/// key files of older versions have none.
pub(super) struct Rings {
    token: Vec<Listed>,
    data: Vec<Listed>,
    pepper: Vec<Listed>,
    assertion: Vec<Listed>,
}

/// A key in its ring.
struct Listed {
    key: Key,
    /// The P-256 key of an assertion key (PKCS #8).
    es256: Option<Zeroizing<Vec<u8>>>,
    /// True if the key was added for reading and has never written.
    added: bool,
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
    es256: Option<String>,
    #[serde(default)]
    added: bool,
}

fn generate(random: &dyn Random, added: bool) -> Result<Listed, RandomError> {
    let id: [u8; ID_BYTES] = bytes(random)?;
    let key = Key { id: HEXLOWER.encode(&id), bytes: Zeroizing::new(bytes(random)?) };
    Ok(Listed { key, es256: None, added })
}

fn generate_assertion(random: &dyn Random, added: bool) -> Result<Listed, RandomError> {
    let es256 = Some(generate_es256().ok_or(RandomError)?);
    Ok(Listed { es256, ..generate(random, added)? })
}

impl Rings {
    /// Creates rings with one new key each.
    pub(super) fn generate(random: &dyn Random) -> Result<Self, RandomError> {
        let ring = || Ok(vec![generate(random, false)?]);
        let assertion = vec![generate_assertion(random, false)?];
        Ok(Self { token: ring()?, data: ring()?, pepper: ring()?, assertion })
    }

    fn all_mut(&mut self) -> [&mut Vec<Listed>; 4] {
        [&mut self.token, &mut self.data, &mut self.pepper, &mut self.assertion]
    }

    /// Returns true if keys were added that do not write yet.
    pub(super) fn has_added(&self) -> bool {
        let rings = [&self.token, &self.data, &self.pepper, &self.assertion];
        rings.into_iter().flatten().any(|listed| listed.added)
    }

    /// Adds a new key for reading to every ring, behind the key that writes.
    pub(super) fn add(&mut self, random: &dyn Random) -> Result<(), RandomError> {
        for ring in [&mut self.token, &mut self.data, &mut self.pepper] {
            add_to(ring, || generate(random, true))?;
        }
        add_to(&mut self.assertion, || generate_assertion(random, true))
    }

    /// Makes the key that was added last the one that writes, in every ring that has one.
    pub(super) fn use_added(&mut self) {
        for ring in self.all_mut() {
            if let Some(at) = ring.iter().position(|listed| listed.added) {
                let newest = ring.remove(at);
                ring.insert(0, newest);
            }
            for listed in ring {
                listed.added = false;
            }
        }
    }

    /// Parses a key file. The error never quotes anything but ids.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let written: Written = toml::from_str(text).map_err(|e| {
            // The parser's message is not used, because it quotes the text.
            let before = e.span().and_then(|s| text.get(..s.start)).unwrap_or_default();
            format!(
                "line {} is invalid: the file has version = 1 and the lists token, data, pepper and \
                 assertion, whose entries have an id and a key (those in assertion also es256)",
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
            assertion: ring(ASSERTION, written.assertion)?,
        })
    }

    /// Formats the key file.
    pub(super) fn to_text(&self) -> Zeroizing<String> {
        let keys = self.token.len() + self.data.len() + self.pepper.len() + self.assertion.len();
        // Reserve the full size: a growing string would leave copies of keys in memory.
        let mut text = Zeroizing::new(String::with_capacity(512 + 400 * keys));
        text.push_str("# Keys of Vestibule. Keep this file secret, and keep a backup.\n");
        text.push_str(
            "# New data uses the first key of each list. All keys of a list can read. A key with\n",
        );
        text.push_str("# `added = true` waits for `vestibule keys use`.\n");
        text.push_str("version = 1\n");
        let rings = [
            ("token", &self.token),
            ("data", &self.data),
            ("pepper", &self.pepper),
            (ASSERTION, &self.assertion),
        ];
        for (name, ring) in rings {
            for Listed { key, es256, added } in ring {
                let encoded = Zeroizing::new(BASE64.encode(key.bytes.as_slice()));
                for part in ["\n[[", name, "]]\nid = \"", &key.id, "\"\nkey = \"", &encoded, "\"\n"]
                {
                    text.push_str(part);
                }
                if let Some(pkcs8) = es256 {
                    let encoded = Zeroizing::new(BASE64.encode(pkcs8));
                    for part in ["es256 = \"", &encoded, "\"\n"] {
                        text.push_str(part);
                    }
                }
                if *added {
                    text.push_str("added = true\n");
                }
            }
        }
        text
    }

    /// Returns the keys.
    pub(super) fn into_material(self) -> KeyMaterial {
        let keys = |ring: Vec<Listed>| ring.into_iter().map(|listed| listed.key).collect();
        let assertion = |Listed { key, es256, added }| AssertionKey { key, es256, waits: added };
        KeyMaterial {
            token: keys(self.token),
            data: keys(self.data),
            pepper: keys(self.pepper),
            assertion: self.assertion.into_iter().map(assertion).collect(),
        }
    }
}

fn add_to(
    ring: &mut Vec<Listed>,
    generate: impl Fn() -> Result<Listed, RandomError>,
) -> Result<(), RandomError> {
    let mut new = generate()?;
    while ring.iter().any(|old| old.key.id == new.key.id) {
        new = generate()?;
    }
    ring.insert(ring.len().min(1), new);
    Ok(())
}

fn ring(name: &str, entries: Vec<Entry>) -> Result<Vec<Listed>, String> {
    let is_assertion = name == ASSERTION;
    if entries.is_empty() && !is_assertion {
        return Err(format!("it has no {name} key: add a [[{name}]] with id and key"));
    }
    // The first keys of a new ring wait for `keys use`.
    let all_wait = is_assertion && entries.iter().all(|entry| entry.added);
    if !all_wait && entries.first().is_some_and(|entry| entry.added) {
        return Err(format!("the first key in {name} writes, so it cannot have `added = true`"));
    }
    let mut keys: Vec<Listed> = Vec::new();
    for Entry { id, key, es256, added } in entries {
        let encoded = Zeroizing::new(key);
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if id.is_empty() || id.len() > ID_MAX || !id.chars().all(allowed) {
            return Err(format!("an id in {name} is not 1 to 32 letters, digits, `-` and `_`"));
        }
        if keys.iter().any(|k| k.key.id == id) {
            return Err(format!(
                "two keys in {name} have the id {id}: ids must be unique in a list"
            ));
        }
        let decoded = BASE64.decode(encoded.as_bytes()).ok().map(Zeroizing::new);
        let bytes: [u8; KEY_LEN] = decoded
            .and_then(|d| d.as_slice().try_into().ok())
            .ok_or_else(|| format!("the key {id} in {name} is not base64 of {KEY_LEN} bytes"))?;
        let es256 = es256.map(|written| p256_key(name, &id, written)).transpose()?;
        keys.push(Listed { key: Key { id, bytes: Zeroizing::new(bytes) }, es256, added });
    }
    Ok(keys)
}

fn p256_key(ring: &str, id: &str, written: String) -> Result<Zeroizing<Vec<u8>>, String> {
    let encoded = Zeroizing::new(written);
    if ring != ASSERTION {
        return Err(format!(
            "key {id} in {ring} has an es256 key, which only the assertion ring may have"
        ));
    }
    let decoded = BASE64.decode(encoded.as_bytes()).ok().map(Zeroizing::new);
    decoded
        .filter(|pkcs8| is_es256(pkcs8))
        .ok_or_else(|| format!("the es256 key of {id} in {ring} is not base64 of a P-256 key"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::keys::SigningAlgorithm;
    use crate::base::random::OsRandom;

    #[test]
    fn a_key_file_survives_its_text() {
        let mut rings = Rings::generate(&OsRandom::new()).unwrap();
        rings.add(&OsRandom::new()).unwrap();
        let text = rings.to_text();
        assert_eq!(Rings::parse(&text).unwrap().to_text().as_str(), text.as_str());
    }

    /// The text of a key file as the versions before assertions wrote it.
    fn old_text() -> String {
        let text = Rings::generate(&OsRandom::new()).unwrap().to_text();
        text.lines()
            .filter(|line| !line.starts_with("es256"))
            .fold(String::new(), |all, line| all + line + "\n")
    }

    #[test]
    fn an_older_key_file_gets_its_assertion_keys_in_two_phases() {
        let without_ring = old_text();
        let (without_ring, _ring) = without_ring.split_once("\n[[assertion]]").unwrap();
        for old in [old_text(), without_ring.to_owned()] {
            let signs = |rings: Rings| {
                let material = Rings::parse(&rings.to_text()).unwrap().into_material();
                (material.signs(SigningAlgorithm::Es256), material.assertion.len())
            };
            let listed = Rings::parse(&old).unwrap().assertion.len();
            assert_eq!(signs(Rings::parse(&old).unwrap()), (false, listed));
            let mut added = Rings::parse(&old).unwrap();
            added.add(&OsRandom::new()).unwrap();
            let text = added.to_text();
            assert_eq!(signs(added), (false, listed + 1));
            let mut used = Rings::parse(&text).unwrap();
            assert!(used.has_added());
            used.use_added();
            assert_eq!(signs(used), (true, listed + 1));
        }
    }

    #[test]
    fn an_invalid_key_file_is_rejected_without_quoting_it() {
        let good = Rings::generate(&OsRandom::new()).unwrap().to_text();
        let secret = good.lines().find(|l| l.starts_with("key = ")).unwrap();
        let secret = secret.trim_start_matches("key = \"").trim_end_matches('"');
        let broken = [
            good.replace("version = 1", "version = 2"),
            good.replace("version = 1", ""),
            good.replace("[[pepper]]", "[[pepper]]\nadded = true"),
            good.replace("[[pepper]]", "[[peper]]"),
            good.replace("key = \"", "key = \"A"),
            good.replace("es256 = \"", "es256 = \"AAAA"),
            good.replace("[[pepper]]", "[[pepper]]\nes256 = \"AAAA\""),
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
