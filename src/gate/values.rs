//! Header values that go out together, made once and sent many times.

use bytes::Bytes;
use http::HeaderValue;
use http::header::InvalidHeaderValue;

/// Makes header values of `texts` that lie next to each other under one count of references: to
/// send them all touches little memory. Fails when a text holds what no header value may (RFC 9110
/// §5.5: control characters); none is made then.
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
