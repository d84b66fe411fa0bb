//! HTTP/2 frames written by hand, because a well-behaved library refuses to send what an attacker
//! sends. Header blocks are literals without compression; of answers only the status is read.

use std::io;

use super::wire::Wire;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// A connection that has said hello.
pub(crate) struct Frames {
    wire: Wire,
    buffer: Vec<u8>,
}

/// How a stream, or the whole connection, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// An answer with this status.
    Status(u16),
    /// The stream was reset.
    Reset(u32),
    /// The connection was given up.
    GoAway(u32),
    /// The connection was closed without a word.
    Closed,
}

impl Reply {
    /// Whether HTTP/2 itself refused.
    pub(crate) fn is_error(self) -> bool {
        match self {
            Self::Status(_) => false,
            Self::Reset(_) | Self::GoAway(_) | Self::Closed => true,
        }
    }
}

/// One frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut out = vec![length[1], length[2], length[3], kind, flags];
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// `PING`.
pub(crate) fn ping() -> Vec<u8> {
    frame(PING, 0, 0, &[7; 8])
}

/// An empty `SETTINGS`.
pub(crate) fn settings() -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[])
}

/// `WINDOW_UPDATE` by `by`.
pub(crate) fn window_update(stream: u32, by: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

fn length(n: usize, out: &mut Vec<u8>) {
    // RFC 7541 §5.1 with a 7-bit prefix and without Huffman coding.
    if let Some(short) = u8::try_from(n).ok().filter(|n| *n < 127) {
        out.push(short);
        return;
    }
    out.push(127);
    let mut left = n - 127;
    while left >= 128 {
        out.push(u8::try_from(left % 128).unwrap() | 128);
        left /= 128;
    }
    out.push(u8::try_from(left).unwrap());
}

fn block(fields: &[(String, String)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        length(name.len(), &mut out);
        out.extend_from_slice(name.as_bytes());
        length(value.len(), &mut out);
        out.extend_from_slice(value.as_bytes());
    }
    out
}

/// `HEADERS` with the whole block.
pub(crate) fn headers(stream: u32, fields: &[(String, String)], last: bool) -> Vec<u8> {
    let flags = END_HEADERS | if last { END_STREAM } else { 0 };
    frame(HEADERS, flags, stream, &block(fields))
}

/// `DATA`.
pub(crate) fn data(stream: u32, bytes: &[u8], last: bool) -> Vec<u8> {
    frame(DATA, if last { END_STREAM } else { 0 }, stream, bytes)
}

impl Frames {
    /// Says hello; `window` is the initial window that answers get.
    pub(crate) async fn hello(mut wire: Wire, window: u32) -> io::Result<Self> {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        let setting = [&[0, 4][..], &window.to_be_bytes()].concat();
        bytes.extend(frame(SETTINGS, 0, 0, &setting));
        wire.send(&bytes).await?;
        Ok(Self { wire, buffer: Vec::new() })
    }

    /// Sends frames.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.wire.send(bytes).await
    }

    async fn frame(&mut self) -> io::Result<Option<(u8, u8, u32, Vec<u8>)>> {
        loop {
            if let Some([a, b, c, kind, flags, s @ ..]) = self.buffer.get(..9) {
                let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
                let (kind, flags) = (*kind, *flags);
                let stream = u32::from_be_bytes(s.try_into().unwrap());
                if self.buffer.len() >= 9 + length {
                    let rest = self.buffer.split_off(9 + length);
                    let payload = std::mem::replace(&mut self.buffer, rest).split_off(9);
                    return Ok(Some((kind, flags, stream, payload)));
                }
            }
            let more = self.wire.some().await?;
            if more.is_empty() {
                return Ok(None);
            }
            self.buffer.extend(more);
        }
    }

    /// What becomes of `stream`.
    pub(crate) async fn reply(&mut self, stream: u32) -> Reply {
        loop {
            let Ok(Some((kind, flags, on, payload))) = self.frame().await else {
                return Reply::Closed;
            };
            match kind {
                HEADERS if on == stream => return Reply::Status(status(&payload, flags)),
                RST_STREAM if on == stream => return Reply::Reset(number(&payload, 0)),
                GOAWAY if number(&payload, 4) != 0 => return Reply::GoAway(number(&payload, 4)),
                SETTINGS
                    if flags & ACK == 0
                        && self.send(&frame(SETTINGS, ACK, 0, &[])).await.is_err() =>
                {
                    return Reply::Closed;
                }
                _ => {}
            }
        }
    }

    /// The payload of the next frame of a kind. Only `SETTINGS` are answered on the way.
    async fn next(&mut self, kind: u8) -> io::Result<Vec<u8>> {
        loop {
            let Some((found, flags, _, payload)) = self.frame().await? else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            if found == kind && flags & ACK == 0 {
                return Ok(payload);
            }
            if found == SETTINGS && flags & ACK == 0 {
                self.send(&frame(SETTINGS, ACK, 0, &[])).await?;
            }
        }
    }

    /// The last stream and the error of the next `GOAWAY`.
    pub(crate) async fn goaway(&mut self) -> io::Result<(u32, u32)> {
        let payload = self.next(GOAWAY).await?;
        Ok((number(&payload, 0), number(&payload, 4)))
    }

    /// The next `PING`, and its answer, which is not sent.
    pub(crate) async fn pinged(&mut self) -> io::Result<Vec<u8>> {
        Ok(frame(PING, ACK, 0, &self.next(PING).await?))
    }

    /// Reads until the other side closes the connection.
    pub(crate) async fn closed(&mut self) {
        while let Ok(Some(_)) = self.frame().await {}
    }

    /// Says goodbye and waits until the other side has closed too.
    pub(crate) async fn goodbye(mut self) {
        if self.send(&frame(GOAWAY, 0, 0, &[0; 8])).await.is_ok() {
            drop(self.wire.finish().await);
            self.wire.rest().await;
        }
    }
}

fn number(payload: &[u8], at: usize) -> u32 {
    let bytes = payload.get(at..at + 4).and_then(|b| b.try_into().ok());
    bytes.map_or(u32::MAX, u32::from_be_bytes)
}

/// The status, which is always the first field of an answer.
fn status(payload: &[u8], flags: u8) -> u16 {
    let skip = usize::from(flags & 8 != 0) + if flags & 32 != 0 { 5 } else { 0 };
    let mut block = payload.get(skip..).unwrap_or_default();
    while block.first().is_some_and(|b| b & 0xe0 == 0x20) {
        block = &block[1..]; // a change of the table's size
    }
    match block {
        [first @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(first - 0x88)],
        [_literal, size, text @ ..] if size & 0x80 == 0 => {
            let digits = text.get(..usize::from(*size)).unwrap_or_default();
            String::from_utf8_lossy(digits).parse().unwrap_or(0)
        }
        [_literal, size, text @ ..] => {
            huffman(text.get(..usize::from(size & 0x7f)).unwrap_or_default())
        }
        _ => 0,
    }
}

/// Three digits in the Huffman code of RFC 7541, appendix B.
fn huffman(bytes: &[u8]) -> u16 {
    let bits = bytes.iter().fold(String::new(), |bits, b| bits + &format!("{b:08b}"));
    let mut rest = bits.as_str();
    let mut value = 0;
    for _digit in 0..3 {
        let short = rest.get(..5).and_then(|b| u16::from_str_radix(b, 2).ok()).unwrap_or(99);
        let (digit, used) = if short <= 2 {
            (short, 5)
        } else {
            let long = rest.get(..6).and_then(|b| u16::from_str_radix(b, 2).ok()).unwrap_or(0);
            (long.saturating_sub(0b01_1001) + 3, 6)
        };
        value = value * 10 + digit;
        rest = rest.get(used..).unwrap_or_default();
    }
    value
}

#[test]
fn a_status_is_read_in_every_coding() {
    assert_eq!(status(&[0x8c], 0), 400);
    assert_eq!(status(&[0x08, 3, b'4', b'2', b'1'], 0), 421);
    // RFC 7541 C.6.1: 302 as 6402.
    assert_eq!(status(&[0x48, 0x82, 0x64, 0x02], 0), 302);
}
