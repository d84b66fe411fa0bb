//! Validates the raw request line. Pingora repairs an invalid one: it encodes spaces and control
//! characters inside it and parses the result, so later phases cannot tell. RFC 9112 §3 lets a
//! server reject it, because servers repair it in different ways.

use std::sync::atomic::{AtomicBool, Ordering};

/// The position in a header block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// Before the request line. Empty lines are skipped (RFC 9112 §2.2).
    #[default]
    Before,
    Inside,
    /// After a carriage return in the request line.
    Return,
    /// After the request line, or at an unknown position.
    Over,
}

/// Parses the request line of a header block, over any number of reads.
#[derive(Debug, Default)]
pub(in crate::proxy) struct RequestLine {
    at: At,
    spaces: usize,
    bad: bool,
}

impl RequestLine {
    /// Returns a parser that skips a line, for an unknown start.
    pub(in crate::proxy) fn unseen() -> Self {
        Self { at: At::Over, ..Self::default() }
    }

    /// Parses further bytes. At the end of the line, returns true if it is malformed.
    pub(in crate::proxy) fn read(&mut self, bytes: &[u8]) -> Option<bool> {
        let line = match self.at {
            At::Over => return None,
            At::Before => {
                let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n'))?;
                bytes.get(start..)?
            }
            At::Inside | At::Return => bytes,
        };
        let (part, ended) = match memchr::memchr(b'\n', line) {
            Some(end) => (line.get(..end)?, true),
            None => (line, false),
        };
        self.part(part);
        if !ended {
            return None;
        }
        self.at = At::Over;
        Some(self.bad || self.spaces != 2)
    }

    /// Parses a part of the line, without its line feed. A carriage return is valid only at the
    /// end.
    fn part(&mut self, part: &[u8]) {
        let Some((last, before)) = part.split_last() else { return };
        self.bad |= self.at == At::Return;
        let text = if *last == b'\r' {
            self.at = At::Return;
            before
        } else {
            self.at = At::Inside;
            part
        };
        // Without an early exit, so that the compiler uses vector instructions.
        self.bad |= text.iter().fold(false, |bad, byte| bad | !(b' '..=b'~').contains(byte));
        // A sum in a byte is four times as fast as one in a word.
        let spaces =
            |part: &[u8]| part.iter().fold(0, |sum: u8, byte| sum + u8::from(*byte == b' '));
        self.spaces += text.chunks(255).map(|part| usize::from(spaces(part))).sum::<usize>();
    }
}

/// The verdict on the request lines of a connection.
#[derive(Debug, Default)]
pub(in crate::proxy) struct LineVerdict {
    bad: AtomicBool,
    /// The rest of a body may precede the next line.
    body_left: AtomicBool,
}

impl LineVerdict {
    /// Returns true if the last line was malformed.
    pub(in crate::proxy) fn is_bad(&self) -> bool {
        self.bad.load(Ordering::Relaxed)
    }

    /// Records the end of a request. The rest of an unread body may precede the next line.
    pub(in crate::proxy) fn request_done(&self, body_read: bool) {
        self.body_left.store(!body_read, Ordering::Relaxed);
    }

    /// Parses further bytes with `line`. `begins` is true for the first bytes after a request.
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
    fn any_number_of_spaces_beyond_two_is_malformed() {
        for spaces in [1, 3, 254, 255, 256, 257, 258, 512, 514, 65_536, 65_538] {
            let line = format!("GET{}/HTTP/1.1\r\n", " ".repeat(spaces));
            assert_eq!(is_bad(&line), Some(true), "{spaces} spaces");
        }
    }

    #[test]
    fn a_line_in_any_two_pieces_gets_the_verdict_of_the_whole_line() {
        for line in [
            "GET / HTTP/1.1\r\n",
            "\r\n\nGET / HTTP/1.1\n",
            "GET /a b HTTP/1.1\r\n",
            "GET / HTTP/1.1\r\r\n",
            "GET /a\rb HTTP/1.1\r\n",
            "GET /\u{7f} HTTP/1.1\r\n",
        ] {
            let whole = is_bad(line);
            for at in 0..line.len() {
                let (first, second) = line.as_bytes().split_at(at);
                let mut pieces = RequestLine::default();
                assert_eq!(pieces.read(first), None, "{line:?} up to {at}");
                assert_eq!(pieces.read(second), whole, "{line:?} from {at}");
            }
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
