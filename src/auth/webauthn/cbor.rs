//! Decodes CBOR in the canonical form of CTAP2: shortest lengths, definite lengths, no tags, no
//! duplicate keys.

use ciborium::Value;

use super::Refusal;

/// Maximum nesting (CTAP2 §8).
const DEPTH: usize = 4;

/// A decoded map.
#[derive(Debug)]
pub(super) struct Map(Vec<(Value, Value)>);

impl Map {
    /// Decodes a map at the start of `input`. Returns it and the bytes after it.
    pub(super) fn decode(input: &[u8]) -> Result<(Self, &[u8]), Refusal> {
        let mut rest = input;
        let value: Value =
            ciborium::de::from_reader_with_recursion_limit(&mut rest, DEPTH).map_err(cbor)?;
        let used = input.len().checked_sub(rest.len()).and_then(|n| input.get(..n));
        // Only the canonical form is encoded again to the same bytes.
        if used != Some(encode(&value)?.as_slice()) || !is_plain(&value) {
            return Err(Refusal::Cbor);
        }
        let Value::Map(entries) = value else { return Err(Refusal::Cbor) };
        Ok((Self(entries), rest))
    }

    /// Decodes a map that is all of `input`.
    pub(super) fn decode_all(input: &[u8]) -> Result<Self, Refusal> {
        let (map, rest) = Self::decode(input)?;
        if rest.is_empty() { Ok(map) } else { Err(Refusal::Cbor) }
    }

    /// Returns true if the keys are in the order of CTAP2.
    pub(super) fn is_sorted(&self) -> bool {
        let keys = self.0.iter().map(|(key, _)| encode(key).unwrap_or_default());
        keys.map(|key| (key.first().map(|head| head >> 5), key.len(), key)).is_sorted()
    }

    /// Returns the number of entries.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the value under a text key.
    pub(super) fn text(&self, name: &str) -> Option<&Value> {
        self.0.iter().find_map(|(key, value)| (key.as_text() == Some(name)).then_some(value))
    }

    /// Returns the value under an integer key.
    pub(super) fn number(&self, label: i64) -> Option<&Value> {
        let label = Value::from(label);
        self.0.iter().find_map(|(key, value)| (*key == label).then_some(value))
    }
}

fn cbor<E>(_error: E) -> Refusal {
    Refusal::Cbor
}

fn encode(value: &Value) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).map_err(cbor)?;
    Ok(bytes)
}

/// Returns true if the value has no tag and no duplicate key.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::Map(entries) => {
            let keys = |n| entries.iter().take(n).map(|(key, _)| key);
            entries.iter().enumerate().all(|(n, (key, value))| {
                keys(n).all(|earlier| earlier != key) && is_plain(key) && is_plain(value)
            })
        }
        Value::Array(items) => items.iter().all(is_plain),
        Value::Integer(_)
        | Value::Bytes(_)
        | Value::Float(_)
        | Value::Text(_)
        | Value::Bool(_)
        | Value::Null => true,
        Value::Tag(..) | _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_form_is_decoded() {
        assert_eq!(Map::decode(&[0xa1, 0x01, 0x02, 0xff]).unwrap().1, [0xff]);
        for (bad, why) in [
            (&[0xa1, 0x01][..], "truncated"),
            (&[0xa1, 0x18, 0x01, 0x02], "a length that is not the shortest"),
            (&[0xbf, 0x01, 0x02, 0xff], "indefinite"),
            (&[0xa2, 0x01, 0x02, 0x01, 0x03], "a duplicate key"),
            (&[0xa1, 0x01, 0xc0, 0x02], "a tag"),
            (&[0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "an enormous length"),
            (&[0xa1, 0x01, 0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "enormous"),
            (&[0xa1, 0x01, 0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "enormous"),
            (&[0xa1, 0x01, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x01], "too deep"),
            (&[0x01], "no map"),
            (&[], "nothing"),
        ] {
            assert_eq!(Map::decode(bad).err(), Some(Refusal::Cbor), "{why}");
        }
        assert_eq!(Map::decode_all(&[0xa1, 0x01, 0x02, 0x00]).err(), Some(Refusal::Cbor));
    }

    #[test]
    fn keys_are_ordered_by_major_type_then_length_then_bytes() {
        let sorted = |bytes: &[u8]| Map::decode_all(bytes).unwrap().is_sorted();
        assert!(sorted(&[0xa3, 0x01, 0x00, 0x03, 0x00, 0x20, 0x00]));
        assert!(!sorted(&[0xa2, 0x03, 0x00, 0x01, 0x00]));
        assert!(!sorted(&[0xa2, 0x20, 0x00, 0x01, 0x00]));
    }
}
