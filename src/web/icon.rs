//! Icons of apps on the portal's start page. Their type is that of their content, and their address
//! contains a hash of it, so that it names no app.

use std::fmt;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};

use super::assets;

/// An SVG that is opened by itself runs no script and loads nothing.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; sandbox";

/// An icon of an app.
#[derive(Clone, PartialEq, Eq)]
pub struct Icon {
    path: String,
    kind: &'static str,
    content: Bytes,
}

impl fmt::Debug for Icon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

impl Icon {
    /// Maximum size of a file.
    pub const MAX_BYTES: u64 = 64 * 1024;

    /// Returns the icon with this content: PNG, JPEG, WebP, GIF or SVG. Returns `None` if it is something
    /// else or too large.
    pub fn new(content: Vec<u8>) -> Option<Self> {
        let (extension, kind) = match content.as_slice() {
            large if u64::try_from(large.len()).is_ok_and(|n| n > Self::MAX_BYTES) => return None,
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => ("png", "image/png"),
            [0xff, 0xd8, 0xff, ..] => ("jpg", "image/jpeg"),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => ("gif", "image/gif"),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => {
                ("webp", "image/webp")
            }
            text if is_svg(text) => ("svg", "image/svg+xml"),
            _ => return None,
        };
        let path = assets::path("icon", &content, extension);
        Some(Self { path, kind, content: content.into() })
    }

    /// Returns its address.
    pub fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn answer(&self) -> Response {
        let mut response = Response::new(Body::from(self.content.clone()));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.kind));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(assets::FOR_EVER));
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        response
    }
}

/// Returns true for UTF-8 text that is one `svg` element, after an XML declaration, comments and a
/// document type without declarations of its own.
fn is_svg(content: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(content) else { return false };
    if text.contains(|c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r')) {
        return false;
    }
    let mut rest = text.trim_start_matches('\u{feff}').trim();
    while let Some((_, behind)) = [("<?", "?>"), ("<!--", "-->"), ("<!DOCTYPE", ">")]
        .into_iter()
        .find_map(|(open, close)| rest.strip_prefix(open)?.split_once(close))
    {
        rest = behind.trim_start();
    }
    let Some(element) = rest.strip_prefix("<svg") else { return false };
    let named = element.starts_with(|c: char| c.is_ascii_whitespace() || c == '>');
    named && element.ends_with("</svg>")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(content: &[u8]) -> Option<&'static str> {
        Icon::new(content.to_vec()).map(|icon| icon.kind)
    }

    #[test]
    fn the_type_is_that_of_the_content() {
        for (content, expected) in [
            (&b"\x89PNG\r\n\x1a\n...."[..], "image/png"),
            (b"\xff\xd8\xff\xe0....", "image/jpeg"),
            (b"GIF87a....", "image/gif"),
            (b"GIF89a....", "image/gif"),
            (b"RIFF\x04\0\0\0WEBPVP8 ", "image/webp"),
            (b"<svg xmlns=\"http://www.w3.org/2000/svg\"></svg>", "image/svg+xml"),
            (
                b"\xef\xbb\xbf<?xml version=\"1.0\"?>\n<!-- a --><!DOCTYPE svg PUBLIC \"a\" \"b\">\n\
                  <svg\nwidth=\"1\"><g/></svg>\n",
                "image/svg+xml",
            ),
        ] {
            assert_eq!(kind(content), Some(expected), "{}", content.escape_ascii());
        }
        for other in [
            &b""[..],
            b"<",
            b"\x89PNG",
            b"GIF88a",
            b"RIFF\x04\0\0\0WAVEfmt ",
            b"BM....",
            b"<!DOCTYPE html><html><svg></svg></html>",
            b"<?xml version=\"1.0\"?><html/>",
            b"<?xml <svg></svg>",
            b"<!DOCTYPE svg [<!ENTITY a \"b\">]><svg>&a;</svg>",
            b"<svgx></svg>",
            b"<svg>",
            b"<svg>\0</svg>",
            b"<svg>\xff</svg>",
        ] {
            assert_eq!(kind(other), None, "{}", other.escape_ascii());
        }
    }

    #[test]
    fn the_size_is_limited() {
        let sized = |size: u64| {
            let mut content = b"\xff\xd8\xff".to_vec();
            content.resize(usize::try_from(size).unwrap(), 0);
            Icon::new(content)
        };
        assert!(sized(Icon::MAX_BYTES).is_some());
        assert_eq!(sized(Icon::MAX_BYTES + 1), None);
    }
}
