//! The request line as it came. Pingora mends one that no parser takes: it encodes spaces and control
//! characters in the middle of it and reads the result, so that afterwards nobody can tell. RFC 9112
//! §3 lets a server refuse it, since two servers mend it in two ways.

use std::sync::atomic::{AtomicBool, Ordering};

/// Where in a header block its bytes are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// Before the line. Empty lines there are left out (RFC 9112 §2.2).
    #[default]
    Before,
    Inside,
    /// Behind a carriage return in the line.
    Return,
    /// Behind the line, or nobody knows where.
    Over,
}

/// Reads the first line of a header block, over as many reads as it takes.
#[derive(Debug, Default)]
pub(in crate::proxy) struct RequestLine {
    at: At,
    spaces: u8,
    bad: bool,
}

impl RequestLine {
    /// One that is not looked at, since nobody knows where it begins.
    pub(in crate::proxy) fn unseen() -> Self {
        Self { at: At::Over, ..Self::default() }
    }

    /// Reads on; once the line has ended, returns true if it is malformed.
    pub(in crate::proxy) fn read(&mut self, bytes: &[u8]) -> Option<bool> {
        for byte in bytes {
            self.at = match (self.at, byte) {
                (At::Over, _) => return None,
                (At::Before, b'\r' | b'\n') => At::Before,
                (At::Inside | At::Return, b'\n') => {
                    self.at = At::Over;
                    return Some(self.bad || self.spaces != 2);
                }
                (At::Inside, b'\r') => At::Return,
                (before, byte) => {
                    self.bad |= before == At::Return || !matches!(byte, b' '..=b'~');
                    self.spaces = self.spaces.saturating_add(u8::from(*byte == b' '));
                    At::Inside
                }
            };
        }
        None
    }
}

/// What is to be said of a connection's request lines.
#[derive(Debug, Default)]
pub(in crate::proxy) struct LineVerdict {
    bad: AtomicBool,
    /// What is left of a body may come before the next line.
    body_left: AtomicBool,
}

impl LineVerdict {
    /// Returns true if the last line was malformed.
    pub(in crate::proxy) fn is_bad(&self) -> bool {
        self.bad.load(Ordering::Relaxed)
    }

    /// The request is over; where its body was not read whole, its rest may come first.
    pub(in crate::proxy) fn request_done(&self, body_read: bool) {
        self.body_left.store(!body_read, Ordering::Relaxed);
    }

    /// Reads `line` on; `begins`: these are the first bytes since the last request.
    pub(in crate::proxy) fn read(&self, line: &mut RequestLine, begins: bool, bytes: &[u8]) {
        if begins && !bytes.is_empty() {
            self.bad.store(false, Ordering::Relaxed);
            let unseen = self.body_left.load(Ordering::Relaxed);
            *line = if unseen { RequestLine::unseen() } else { RequestLine::default() };
        }
        if line.read(bytes) == Some(true) {
            self.bad.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_bad(line: &str) -> Option<bool> {
        RequestLine::default().read(line.as_bytes())
    }

    #[test]
    fn a_line_has_a_method_a_target_and_a_version() {
        for good in [
            "GET / HTTP/1.1\r\n",
            "\r\nGET /a?b=c%20d HTTP/1.1\r\nHost: a b c\r\n",
            "GET / HTTP/1.1\n",
        ] {
            assert_eq!(is_bad(good), Some(false), "{good:?}");
        }
        for bad in [
            "GET /a b HTTP/1.1\r\n",
            "GET /a\tb HTTP/1.1\r\n",
            "GET\t/ HTTP/1.1\r\n",
            "GET  / HTTP/1.1\r\n",
            "GET /  HTTP/1.1\r\n",
            "GET / HTTP/1.1 \r\n",
            " GET / HTTP/1.1\r\n",
            "GET /\u{0}a HTTP/1.1\r\n",
            "GET /\u{7f} HTTP/1.1\r\n",
            "GET /\u{e9} HTTP/1.1\r\n",
            "GET /a\rb HTTP/1.1\r\n",
            "GET / HTTP/1.1\r\r\n",
            "GET /\r\n",
        ] {
            assert_eq!(is_bad(bad), Some(true), "{bad:?}");
        }
    }

    #[test]
    fn a_line_may_come_in_pieces_and_only_the_first_is_read() {
        let mut line = RequestLine::default();
        assert_eq!(line.read(b"GET /a"), None);
        assert_eq!(line.read(b" b HTTP/1.1\r"), None);
        assert_eq!(line.read(b"\nHost: a\r\n"), Some(true));
        assert_eq!(line.read(b"x y z\n"), None);
        assert_eq!(RequestLine::unseen().read(b"x y z\n"), None);
    }
}
