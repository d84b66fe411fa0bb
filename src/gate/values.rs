//! Header values that are sent together, created once and sent many times.

use bytes::Bytes;
use http::HeaderValue;
use http::header::InvalidHeaderValue;

/// Creates header values from `texts` in one shared allocation, so that sending all of them touches
/// little memory. Returns an error if any text contains a control character (RFC 9110 §5.5).
pub fn side_by_side<const N: usize>(
    texts: [&str; N],
) -> Result<[HeaderValue; N], InvalidHeaderValue> {
    let all = Bytes::from(texts.concat());
    let mut values = [const { HeaderValue::from_static("") }; N];
    let mut start = 0;
    for (text, value) in texts.iter().zip(&mut values) {
        let end = start + text.len();
        *value = HeaderValue::from_maybe_shared(all.slice(start..end))?;
        start = end;
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_is_one_value() {
        let values = side_by_side(["a", "", "bc", "Zoë"]).unwrap();
        let bytes: Vec<_> = values.iter().map(HeaderValue::as_bytes).collect();
        assert_eq!(bytes, [b"a".as_slice(), b"", b"bc", "Zoë".as_bytes()]);
        assert!(side_by_side(["a", "b\n"]).is_err());
    }
}
