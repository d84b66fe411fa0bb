//! The host and port of a URL, of `Host` and of `:authority` (RFC 3986 §3.2).

use std::net::Ipv6Addr;

/// Splits `host[:port]`. Returns `None` if the host is empty, contains a colon outside the brackets of a
/// valid IPv6 address, or if the text of the port is not decimal digits. That text may be empty.
pub fn split(text: &str) -> Option<(&str, Option<&str>)> {
    let end = match text.strip_prefix('[') {
        Some(inside) => {
            let (address, _after) = inside.split_once(']')?;
            address.parse::<Ipv6Addr>().ok()?;
            address.len() + 2
        }
        None => text.find(':').unwrap_or(text.len()),
    };
    let (host, after) = text.split_at_checked(end)?;
    let port = if after.is_empty() { None } else { Some(after.strip_prefix(':')?) };
    let is_digits = port.is_none_or(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    let has_stray_bracket = !text.starts_with('[') && host.contains(['[', ']']);
    (!host.is_empty() && is_digits && !has_stray_bracket).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_ipv6_address_in_brackets() {
        assert_eq!(split("gw.test"), Some(("gw.test", None)));
        assert_eq!(split("gw.test:8443"), Some(("gw.test", Some("8443"))));
        assert_eq!(split("gw.test:"), Some(("gw.test", Some(""))));
        assert_eq!(split("[::1]"), Some(("[::1]", None)));
        assert_eq!(split("[2001:db8::7]:443"), Some(("[2001:db8::7]", Some("443"))));
        for bad in [
            "",
            ":443",
            "::1",
            "2001:db8::7",
            "[2001:7]:443",
            "[2001:7]",
            "[::1",
            "[::1]x",
            "[]",
            "[gw.test]",
            "a]",
            "e:]:1",
            "a[b]",
            "gw.test:+443",
            "gw.test:44 3",
            "gw.test:443:1",
        ] {
            assert_eq!(split(bad), None, "{bad}");
        }
    }
}
