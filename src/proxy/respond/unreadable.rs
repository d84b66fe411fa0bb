//! The response to an HTTP/1.1 request that cannot be parsed. Pingora writes its own before any
//! phase. Only its status and date are kept.

use http::StatusCode;

const BODY: &str = r#"{"error":"The request is not valid HTTP.","code":"bad_request"}"#;

/// Returns the response to a request that Pingora could not parse, in place of the one that Pingora
/// wrote. `theirs` is the header block of the latter.
pub(in crate::proxy) fn answer(theirs: &[u8]) -> Vec<u8> {
    let status = status_of(theirs).unwrap_or(StatusCode::BAD_REQUEST);
    let date = line(theirs, b"date:").unwrap_or_default();
    let mut answer = Vec::with_capacity(512);
    let reason = status.canonical_reason().unwrap_or_default();
    answer.extend_from_slice(format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).as_bytes());
    if !date.is_empty() {
        answer.extend_from_slice(date);
        answer.extend_from_slice(b"\r\n");
    }
    let rest = format!(
        "Content-Type: application/json\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
         Connection: close\r\n\r\n{BODY}",
        BODY.len()
    );
    answer.extend_from_slice(rest.as_bytes());
    answer
}

fn status_of(theirs: &[u8]) -> Option<StatusCode> {
    StatusCode::from_bytes(theirs.strip_prefix(b"HTTP/1.1 ")?.get(..3)?).ok()
}

/// Returns the header line with this name, which is in lower case and ends with a colon.
fn line<'a>(block: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let named =
        |line: &&[u8]| line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    block.split(|b| *b == b'\n').map(<[u8]>::trim_ascii_end).find(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_status_and_the_date_are_kept() {
        let theirs = b"HTTP/1.1 405 Method Not Allowed\r\nServer: Pingora\r\nDate: Sun, 06 Nov \
                       1994 08:49:37 GMT\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let ours = String::from_utf8(answer(theirs)).unwrap();
        assert!(ours.starts_with("HTTP/1.1 405 Method Not Allowed\r\nDate: Sun, 06 Nov"), "{ours}");
        assert!(!ours.contains("Pingora"), "{ours}");
        let (head, body) = ours.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{ours}");
    }

    #[test]
    fn what_cannot_be_read_at_all_is_a_bad_request() {
        assert!(answer(b"?").starts_with(b"HTTP/1.1 400 Bad Request\r\nContent-Type"));
    }
}
