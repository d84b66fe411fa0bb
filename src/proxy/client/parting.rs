//! The end of a WebSocket by the gateway: a Close frame between two frames of the app.

/// The reason for which the gateway ends a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Farewell {
    /// The gateway stops.
    Restart,
    /// The session or token has ended.
    SessionEnded,
    /// The rules no longer let it in.
    NotAllowed,
    /// The stores have not answered for too long.
    Unverified,
}

impl Farewell {
    /// Returns the number of the reason, which is not 0.
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Restart => 1,
            Self::SessionEnded => 2,
            Self::NotAllowed => 3,
            Self::Unverified => 4,
        }
    }

    /// Returns the reason with this number.
    pub(super) fn numbered(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Restart),
            2 => Some(Self::SessionEnded),
            3 => Some(Self::NotAllowed),
            4 => Some(Self::Unverified),
            _ => None,
        }
    }

    /// Returns the close code (IANA WebSocket Close Code registry) and the reason, which is at most
    /// 123 bytes long.
    fn words(self) -> (u16, &'static str) {
        match self {
            Self::Restart => (1012, "The gateway is restarting."),
            Self::SessionEnded => (1008, "The session has ended. Sign in again."),
            Self::NotAllowed => (1008, "Access is no longer allowed."),
            Self::Unverified => (1008, "The session could not be verified."),
        }
    }
}

/// Position in the bytes that the app sends over a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outgoing {
    /// In the header block of the 101, with this many bytes of its end seen.
    Head(u8),
    /// In the header of a frame: its bytes so far and their number. Zero bytes: between frames.
    Frame([u8; 10], u8),
    /// In the payload of a frame, with this many bytes left.
    Payload(u64),
}

impl Default for Outgoing {
    fn default() -> Self {
        Self::Head(0)
    }
}

const END_OF_HEAD: [u8; 4] = *b"\r\n\r\n";
const BETWEEN: Outgoing = Outgoing::Frame([0; 10], 0);

impl Outgoing {
    /// Records bytes that were written to the client.
    pub(super) fn wrote(&mut self, mut bytes: &[u8]) {
        while let [first, rest @ ..] = bytes {
            bytes = rest;
            *self = match *self {
                Self::Head(seen) => match END_OF_HEAD.get(usize::from(seen)) {
                    Some(expected) if first == expected && seen == 3 => BETWEEN,
                    Some(expected) if first == expected => Self::Head(seen + 1),
                    _ => Self::Head(u8::from(*first == b'\r')),
                },
                Self::Frame(mut header, at) => {
                    if let Some(place) = header.get_mut(usize::from(at)) {
                        *place = *first;
                    }
                    after_header(header, at + 1)
                }
                Self::Payload(left) => {
                    let here = u64::try_from(rest.len()).unwrap_or(u64::MAX).min(left - 1);
                    bytes =
                        rest.get(usize::try_from(here).unwrap_or_default()..).unwrap_or_default();
                    match left - 1 - here {
                        0 => BETWEEN,
                        left => Self::Payload(left),
                    }
                }
            };
        }
    }

    /// Returns true if another frame can be sent now.
    pub(super) fn is_between_frames(self) -> bool {
        self == BETWEEN
    }
}

/// Returns the position after `have` bytes of a frame header (RFC 6455 §5.2). Servers do not mask.
fn after_header(header: [u8; 10], have: u8) -> Outgoing {
    let [_, short, long @ ..] = header;
    let payload = match (short & 0x7f, have) {
        (126, 4) => long.first_chunk().map_or(0, |bytes| u16::from_be_bytes(*bytes).into()),
        (127, 10) => u64::from_be_bytes(long),
        (126 | 127, _) | (_, 0 | 1) => return Outgoing::Frame(header, have),
        (length, _) => u64::from(length),
    };
    if payload == 0 { BETWEEN } else { Outgoing::Payload(payload) }
}

/// Returns a Close frame, unmasked as from a server.
pub(super) fn close_frame(farewell: Farewell) -> Vec<u8> {
    let (code, reason) = farewell.words();
    let length = u8::try_from(2 + reason.len()).unwrap_or(2);
    let mut frame = vec![0x88, length];
    frame.extend_from_slice(&code.to_be_bytes());
    frame.extend_from_slice(reason.as_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(length: usize) -> Vec<u8> {
        let header = match length {
            0..=125 => vec![0x82, u8::try_from(length).unwrap()],
            126..=65535 => {
                [&[0x82, 126][..], &u16::try_from(length).unwrap().to_be_bytes()].concat()
            }
            _ => [&[0x82, 127][..], &u64::try_from(length).unwrap().to_be_bytes()].concat(),
        };
        [header, vec![b'\r'; length]].concat()
    }

    #[test]
    fn the_end_of_each_frame_is_found_however_the_bytes_are_cut() {
        let head = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n";
        let lengths = [0, 1, 125, 126, 127, 65535, 65536, 2, 0];
        let mut all = head.to_vec();
        let mut ends = vec![all.len()];
        for length in lengths {
            all.extend(frame(length));
            ends.push(all.len());
        }
        for piece in [1, 2, 3, 7, 64, 1000, all.len()] {
            let (mut state, mut at) = (Outgoing::default(), 0);
            for bytes in all.chunks(piece) {
                state.wrote(bytes);
                at += bytes.len();
                assert_eq!(state.is_between_frames(), ends.contains(&at), "{piece} {at}");
            }
        }
    }

    #[test]
    fn a_close_frame_carries_its_code_and_a_short_reason() {
        use Farewell::{NotAllowed, Restart, SessionEnded, Unverified};
        for farewell in [Restart, SessionEnded, NotAllowed, Unverified] {
            let (code, reason) = farewell.words();
            let frame = close_frame(farewell);
            assert_eq!(frame[..2], [0x88, u8::try_from(2 + reason.len()).unwrap()]);
            assert_eq!(frame[2..4], code.to_be_bytes());
            assert_eq!(&frame[4..], reason.as_bytes());
            assert!(frame[1] <= 125, "{reason}");
            assert_eq!(Farewell::numbered(farewell.number()), Some(farewell));
        }
    }
}
