//! Parsers for forwarding headers: addresses, schemes, hosts and ports in `X-Forwarded-…` and
//! `Forwarded` (RFC 7239). `sender` decides which proxies to trust.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::HeaderMap;

/// A forwarding header value that cannot be parsed, or an empty entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Unreadable;

/// Parses an address: `192.0.2.7`, `192.0.2.7:4711`, `2001:db8::7`, `[2001:db8::7]` or
/// `[2001:db8::7]:4711`. Rejects everything else: `unknown`, `_hidden`, zones and names.
pub(in crate::proxy) fn node(text: &[u8]) -> Result<IpAddr, Unreadable> {
    let text = word(text)?;
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']').ok_or(Unreadable)?;
        if !port.is_empty() {
            node_port(port.strip_prefix(':').ok_or(Unreadable)?)?;
        }
        return address.parse::<Ipv6Addr>().map(IpAddr::V6).map_err(|_other| Unreadable);
    }
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (address, port) = text.split_once(':').ok_or(Unreadable)?;
    node_port(port)?;
    address.parse::<Ipv4Addr>().map(IpAddr::V4).map_err(|_other| Unreadable)
}

/// Validates the port of a node, which may be obfuscated (RFC 7239 §6.3).
fn node_port(text: &str) -> Result<(), Unreadable> {
    let hidden = |rest: &str| {
        !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    let readable = text.strip_prefix('_').map_or_else(|| port(text.as_bytes()).is_ok(), hidden);
    if readable { Ok(()) } else { Err(Unreadable) }
}

/// Parses a port number.
pub(in crate::proxy) fn port(text: &[u8]) -> Result<u16, Unreadable> {
    let text = word(text)?;
    let digits = text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(port) if digits && port > 0 => Ok(port),
        Ok(_) | Err(_) => Err(Unreadable),
    }
}

/// Returns true if a scheme uses TLS. A WebSocket handshake has the scheme of its transport.
pub(in crate::proxy) fn is_secure(text: &[u8]) -> Result<bool, Unreadable> {
    let scheme = word(text)?;
    if ["https", "wss"].iter().any(|s| scheme.eq_ignore_ascii_case(s)) {
        return Ok(true);
    }
    let plain = ["http", "ws"].iter().any(|s| scheme.eq_ignore_ascii_case(s));
    if plain { Ok(false) } else { Err(Unreadable) }
}

/// Returns an entry as text, without surrounding whitespace.
pub(in crate::proxy) fn word(text: &[u8]) -> Result<&str, Unreadable> {
    let text = std::str::from_utf8(text).map_err(|_bytes| Unreadable)?.trim_matches([' ', '\t']);
    if text.is_empty() { Err(Unreadable) } else { Ok(text) }
}

/// Returns the entries of a list header, over all its lines in order. An empty line is one empty
/// entry.
pub(in crate::proxy) fn entries<'a>(
    headers: &'a HeaderMap,
    name: &str,
) -> impl DoubleEndedIterator<Item = &'a [u8]> {
    let lines = headers.get_all(name).iter();
    lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
}

/// One hop in `Forwarded`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::proxy) struct Hop {
    pub(in crate::proxy) client: Option<String>,
    pub(in crate::proxy) proto: Option<String>,
    pub(in crate::proxy) host: Option<String>,
}

/// Parses the hops in `Forwarded`, over all its lines in order.
pub(in crate::proxy) fn hops(headers: &HeaderMap) -> Result<Vec<Hop>, Unreadable> {
    let lines = headers.get_all(http::header::FORWARDED).iter();
    let hops: Vec<Vec<Hop>> =
        lines.map(|line| of_line(line.as_bytes())).collect::<Result<_, _>>()?;
    Ok(hops.into_iter().flatten().collect())
}

fn of_line(line: &[u8]) -> Result<Vec<Hop>, Unreadable> {
    let mut rest = word(line)?;
    let (mut hops, mut hop) = (Vec::new(), Hop::default());
    loop {
        let (name, after) = rest.split_once('=').ok_or(Unreadable)?;
        let (value, after) = value(after)?;
        let place = match name.trim_start_matches([' ', '\t']) {
            n if n.eq_ignore_ascii_case("for") => Some(&mut hop.client),
            n if n.eq_ignore_ascii_case("proto") => Some(&mut hop.proto),
            n if n.eq_ignore_ascii_case("host") => Some(&mut hop.host),
            n if is_token(n) => None,
            _ => return Err(Unreadable),
        };
        // Each parameter occurs once (RFC 7239 §4).
        if place.is_some_and(|place| place.replace(value).is_some()) {
            return Err(Unreadable);
        }
        let after = after.trim_start_matches([' ', '\t']);
        if after.is_empty() {
            hops.push(hop);
            return Ok(hops);
        }
        rest = if let Some(next) = after.strip_prefix(',') {
            hops.push(std::mem::take(&mut hop));
            next
        } else {
            after.strip_prefix(';').ok_or(Unreadable)?
        };
    }
}

/// Parses a token or a quoted string, and returns what follows it. A bare value may contain the
/// colon of a port and the brackets of an IPv6 address: RFC 7239 requires quotes, but proxies omit
/// them.
fn value(text: &str) -> Result<(String, &str), Unreadable> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ';', ' ', '\t']).unwrap_or(text.len());
        let (bare, after) = text.split_at_checked(end).ok_or(Unreadable)?;
        let plain =
            !bare.is_empty() && bare.bytes().all(|b| is_token_byte(b) || b":[]".contains(&b));
        return if plain { Ok((bare.to_owned(), after)) } else { Err(Unreadable) };
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((value, quoted.get(at + 1..).unwrap_or_default())),
            '\\' => value.push(characters.next().ok_or(Unreadable)?.1),
            other => value.push(other),
        }
    }
    Err(Unreadable)
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_address_is_read_with_and_without_brackets_and_port() {
        for (text, address) in [
            ("203.0.113.5", "203.0.113.5"),
            (" 203.0.113.5:4711\t", "203.0.113.5"),
            ("203.0.113.5:_hidden", "203.0.113.5"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("[::ffff:192.0.2.7]:1", "::ffff:192.0.2.7"),
        ] {
            assert_eq!(node(text.as_bytes()), Ok(address.parse().unwrap()), "{text}");
        }
        for bad in [
            "",
            " ",
            "unknown",
            "_hidden",
            "_",
            "localhost",
            "203.0.113.5:",
            "203.0.113.5:0x1",
            "203.0.113.5:70000",
            "203.0.113.5:4711:1",
            "203.0.113",
            "203.0.113.05",
            "[203.0.113.5]",
            "[2001:db8::1",
            "2001:db8::1]",
            "[2001:db8::1]4711",
            "[2001:db8::1]:",
            "fe80::1%eth0",
            "203.0.113.5 203.0.113.6",
            "\"203.0.113.5\"",
            "unix:",
            "203.0.113.5/32",
            "+1.2.3.4",
        ] {
            assert_eq!(node(bad.as_bytes()), Err(Unreadable), "{bad}");
        }
        assert_eq!(node(b"\xff"), Err(Unreadable));
    }

    #[test]
    fn a_scheme_is_read_in_any_letters_and_a_port_is_a_number() {
        for (text, secure) in
            [("https", true), ("HTTPS", true), (" wss ", true), ("http", false), ("Ws", false)]
        {
            assert_eq!(is_secure(text.as_bytes()), Ok(secure), "{text}");
        }
        for bad in ["", "h2", "https:", "https://", "on", "gopher"] {
            assert_eq!(is_secure(bad.as_bytes()), Err(Unreadable), "{bad}");
        }
        assert_eq!(port(b" 8443 "), Ok(8443));
        for bad in ["", "0", "65536", "+1", "8443x", "000001"] {
            assert_eq!(port(bad.as_bytes()), Err(Unreadable), "{bad}");
        }
    }

    fn read(lines: &[&'static str]) -> Result<Vec<Hop>, Unreadable> {
        let lines = lines.iter().map(|l| (http::header::FORWARDED, HeaderValue::from_static(l)));
        hops(&lines.collect())
    }

    #[test]
    fn forwarded_is_read_as_rfc_7239_has_it() {
        let said = |text: &str| Some(text.to_owned());
        let of = |client: &str| Hop { client: said(client), ..Hop::default() };
        assert_eq!(read(&[]), Ok(vec![]));
        assert_eq!(
            read(&["for=192.0.2.43, for=\"[2001:db8:cafe::17]:4711\""]),
            Ok(vec![of("192.0.2.43"), of("[2001:db8:cafe::17]:4711")])
        );
        assert_eq!(read(&["For=a", "for=b;by=_x"]), Ok(vec![of("a"), of("b")]));
        assert_eq!(
            read(&["for=192.0.2.60; proto=http;by=203.0.113.43;HOST=\"gw.test:8443\""]),
            Ok(vec![Hop { proto: said("http"), host: said("gw.test:8443"), ..of("192.0.2.60") }])
        );
        assert_eq!(read(&["for=\"a\\\"b,;=c\""]), Ok(vec![of("a\"b,;=c")]));
        assert_eq!(read(&["for=192.0.2.60:80"]), Ok(vec![of("192.0.2.60:80")]));
        for bad in [
            "",
            "for",
            "for=",
            "for=a,",
            ",for=a",
            "for=a;",
            "for=a;;by=b",
            "for=a b",
            "for=\"a",
            "for=a;for=b",
            "for=\"a\"b",
            "=a",
            "for=a,,for=b",
            "f or=a",
            "for =a",
            "for= a",
        ] {
            assert_eq!(read(&[bad]), Err(Unreadable), "{bad}");
        }
        assert_eq!(read(&["for=a", ""]), Err(Unreadable));
    }

    proptest! {
        #[test]
        fn any_words_are_read_without_panic(text in "[ -~\t]{0,60}") {
            let _address = node(text.as_bytes());
            let value = HeaderValue::from_str(&text);
            let read = value.map(|v| hops(&HeaderMap::from_iter([(http::header::FORWARDED, v)])));
            prop_assert!(read.is_err() || read.is_ok());
        }
    }
}
