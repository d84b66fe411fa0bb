//! The PROXY protocol, versions 1 and 2: the header that a balancer sends before anything else, with
//! the address of its client.
//!
//! Never reads a byte past the header, so the stream continues with TLS or a request.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use proxy_header::{ParseConfig, Protocol, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Deadline for the whole header.
pub(super) const TIME: Duration = Duration::from_secs(5);

/// Bytes that tell the version. A v1 header has at least 15 bytes, a v2 header 16.
const START: usize = 13;
/// Length of a v2 header without addresses and extensions.
const V2_FIXED: usize = 16;
/// Maximum length of a v2 header, as in other servers.
const V2_MAX: usize = 2048;
/// Maximum length of a v1 line, with its line break (PROXY protocol §2.1).
const V1_MAX: usize = 107;
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const V1_SIGNATURE: &[u8; 6] = b"PROXY ";

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Reads a header. Returns the address of the client, or `None` if the balancer names none: for its
/// own checks (LOCAL), and for clients without an IP address (UNKNOWN, UNSPEC, UNIX).
pub(in crate::proxy) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
) -> io::Result<Option<SocketAddr>> {
    let mut header = vec![0; START];
    stream.read_exact(&mut header).await?;
    if header.starts_with(V2_SIGNATURE) {
        header.resize(V2_FIXED, 0);
        fill(stream, &mut header, START).await?;
        let length = header.get(V2_FIXED - 2..).and_then(|bytes| bytes.try_into().ok());
        let length = V2_FIXED + usize::from(u16::from_be_bytes(length.unwrap_or_default()));
        if length > V2_MAX {
            return Err(invalid("a PROXY header is too long"));
        }
        header.resize(length, 0);
        fill(stream, &mut header, V2_FIXED).await?;
    } else if header.starts_with(V1_SIGNATURE) {
        while !header.ends_with(b"\r\n") {
            if header.len() == V1_MAX {
                return Err(invalid("a PROXY line is too long"));
            }
            header.push(stream.read_u8().await?);
        }
    } else {
        return Err(invalid("a trusted proxy sent no PROXY header"));
    }
    parse(&header)
}

/// Reads the part of `header` from `at` on.
async fn fill(
    stream: &mut (impl AsyncRead + Unpin),
    header: &mut [u8],
    at: usize,
) -> io::Result<()> {
    stream.read_exact(header.get_mut(at..).unwrap_or_default()).await.map(drop)
}

/// Parses a whole header.
fn parse(header: &[u8]) -> io::Result<Option<SocketAddr>> {
    let (parsed, used) = ProxyHeader::parse(header, ParseConfig::default())
        .map_err(|_kind| invalid("a PROXY header is invalid"))?;
    if used != header.len() {
        return Err(invalid("a PROXY header is invalid"));
    }
    match parsed.proxied_address() {
        Some(address) if address.protocol != Protocol::Stream => {
            Err(invalid("a PROXY header is not for TCP"))
        }
        address => Ok(address.map(|address| address.source)),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    const V4: [u8; 12] = [203, 0, 113, 7, 127, 0, 0, 1, 0x30, 0x39, 1, 0xbb];

    fn v2(command: u8, family: u8, length: usize, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(length).unwrap().to_be_bytes();
        [&V2_SIGNATURE[..], &[command, family], &length, body].concat()
    }

    /// Sends `bytes` and a request behind them, byte by byte: the address, and the rest.
    async fn received(bytes: &[u8]) -> (io::Result<Option<SocketAddr>>, Vec<u8>) {
        let (mut ours, mut theirs) = tokio::io::duplex(1);
        let sent = [bytes, b"GET /"].concat();
        let sending = async move {
            for byte in sent {
                // A refused header closes the stream.
                if theirs.write_all(&[byte]).await.is_err() {
                    return;
                }
            }
        };
        let reading = async move {
            let address = read(&mut ours).await;
            let mut rest = Vec::new();
            if address.is_ok() {
                ours.read_to_end(&mut rest).await.unwrap();
            }
            (address, rest)
        };
        tokio::join!(sending, reading).1
    }

    #[tokio::test]
    async fn headers_are_read_to_their_last_byte_and_no_further() {
        let six = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[1], &[0; 15], &[1], &V4[8..]].concat();
        let with_extension = [&V4[..], &[4, 0, 3, 1, 2, 3]].concat();
        for (bytes, expected) in [
            (b"PROXY TCP4 203.0.113.7 127.0.0.1 12345 443\r\n".to_vec(), Some("203.0.113.7:12345")),
            (b"PROXY TCP6 2001:db8::1 ::1 12345 443\r\n".to_vec(), Some("[2001:db8::1]:12345")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN 1.2.3.4 x y z\r\n".to_vec(), None),
            (v2(0x21, 0x11, 12, &V4), Some("203.0.113.7:12345")),
            (v2(0x21, 0x21, 36, &six), Some("[2001:db8::1]:12345")),
            (v2(0x21, 0x11, 18, &with_extension), Some("203.0.113.7:12345")),
            (v2(0x20, 0x00, 0, &[]), None),
            (v2(0x20, 0x11, 12, &V4), None),
            (v2(0x21, 0x00, 0, &[]), None),
            (v2(0x21, 0x31, 216, &[0; 216]), None),
        ] {
            let (address, rest) = received(&bytes).await;
            let expected = expected.map(|text| text.parse().unwrap());
            assert_eq!(address.unwrap(), expected, "{bytes:02x?}");
            assert_eq!(rest, b"GET /", "{bytes:02x?}");
        }
    }

    #[tokio::test]
    async fn hostile_headers_are_refused() {
        let line = |middle: usize| [b"PROXY UNKNOWN ", &*vec![b'x'; middle], b"\r\n"].concat();
        assert!(received(&line(V1_MAX - 16)).await.0.is_ok());
        for bytes in [
            line(V1_MAX - 15),
            [b"PROXY ".to_vec(), vec![b'x'; 5000]].concat(),
            b"PROXY TCP4 203.0.113.7 127.0.0.1 12345 443\n".to_vec(),
            b"PROXY TCP4 203.0.113.7 127.0.0.1 70000 443\r\n".to_vec(),
            b"PROXY TCP4 ::1 ::1 12345 443\r\n".to_vec(),
            b"PROXY TCP4 203.0.113.7\r\n".to_vec(),
            b"proxy tcp4 203.0.113.7 127.0.0.1 12345 443\r\n".to_vec(),
            v2(0x31, 0x11, 12, &V4),
            v2(0x25, 0x11, 12, &V4),
            v2(0x21, 0x11, 8, &V4[..8]),
            v2(0x21, 0x12, 12, &V4),
            v2(0x21, 0x91, 12, &V4),
            v2(0x21, 0x11, 3000, &[0; 3000]),
            v2(0x21, 0x11, 65535, &[]),
            [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 1, 2, 3, 4, 5].to_vec(),
            b"GET / HTTP/1.1\r\nhost: gw.test\r\n\r\n".to_vec(),
        ] {
            assert!(received(&bytes).await.0.is_err(), "{bytes:02x?}");
        }
    }
}
