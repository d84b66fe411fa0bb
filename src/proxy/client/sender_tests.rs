//! Tests of the trust in forwarding headers.

use http::HeaderValue;

use super::*;

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let line = |(name, value): &(&'static str, &str)| {
        (name.parse().unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap())
    };
    lines.iter().map(line).collect()
}

fn from(peer: &str, headers: &HeaderMap) -> (String, bool, Option<Doubt>) {
    let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
    let peer = SocketAddr::new(peer.parse().unwrap(), 1);
    let sender = sender(peer, ListenerKind::Http, headers, &trusted);
    (sender.client.to_string(), sender.https, sender.doubt)
}

fn client(peer: &str, forwarded: &[&str]) -> String {
    let lines: Vec<_> = forwarded.iter().map(|value| (FOR, *value)).collect();
    from(peer, &headers(&lines)).0
}

#[test]
fn a_stranger_is_not_believed() {
    assert_eq!(client("192.0.2.1", &["127.0.0.1"]), "192.0.2.1");
    assert_eq!(client("192.0.2.1", &["unknown"]), "192.0.2.1");
    let said = headers(&[(PROTO, "https"), (HOST, "evil.example"), ("forwarded", "for=127.0.0.1")]);
    assert_eq!(from("192.0.2.1", &said), ("192.0.2.1".to_owned(), false, None));
}

#[test]
fn trusted_hops_are_walked_from_the_right() {
    assert_eq!(client("10.0.0.1", &["1.1.1.1, 192.0.2.9, 10.0.0.2"]), "192.0.2.9");
    assert_eq!(client("10.0.0.1", &["1.1.1.1", "192.0.2.9"]), "192.0.2.9");
    assert_eq!(client("10.0.0.1", &["127.0.0.1", "\u{e9}, 192.0.2.9"]), "192.0.2.9");
    assert_eq!(client("10.0.0.1", &["192.0.2.9:4711, [fd00::1]:443"]), "192.0.2.9");
    assert_eq!(client("::ffff:10.0.0.1", &["2001:db8::9, ::ffff:10.0.0.2"]), "2001:db8::9");
}

#[test]
fn where_all_hops_are_trusted_the_leftmost_is_the_client() {
    assert_eq!(client("10.0.0.1", &["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
    assert_eq!(client("10.0.0.1", &["10.0.0.3"]), "10.0.0.3");
}

#[test]
fn what_cannot_be_read_is_an_unknown_address_and_never_the_proxys() {
    for forwarded in [
        &[][..],
        &[""],
        &["unknown"],
        &["192.0.2.9, rubbish"],
        &["127.0.0.1", "192.0.2.9, \u{e9}"],
        &["192.0.2.9,"],
        &["192.0.2.9", ""],
        &["unknown, 10.0.0.2"],
        &["192.0.2.9 , , 10.0.0.2"],
    ] {
        assert_eq!(client("10.0.0.1", forwarded), "unknown", "{forwarded:?}");
    }
    assert_eq!(from("10.0.0.1", &headers(&[])).2, Some(Doubt::NoAddress));
    assert_eq!(from("10.0.0.1", &headers(&[(FOR, "x")])).2, Some(Doubt::Address));
}

#[test]
fn forwarded_counts_like_the_older_headers_and_may_not_contradict_them() {
    let of = |lines: &[_]| from("10.0.0.1", &headers(lines));
    let known = |address: &str, https| (address.to_owned(), https, None);
    for value in [
        "for=192.0.2.9;proto=https",
        "for=1.1.1.1, For=\"192.0.2.9:4711\";proto=https, for=10.0.0.2",
        "for=192.0.2.9;proto=HTTPS;host=gw.test, for=\"[fd00::1]\";proto=http",
    ] {
        assert_eq!(of(&[("forwarded", value), (PROTO, "https")]), known("192.0.2.9", true));
        assert_eq!(of(&[("forwarded", value), (FOR, "192.0.2.9")]), known("192.0.2.9", true));
    }
    for value in ["for=unknown", "for=_x", "for=\"_x:1\"", "for=192.0.2.9, for=_y", "for", "for=a;"]
    {
        assert_eq!(of(&[("forwarded", value)]).0, "unknown", "{value}");
        assert_eq!(of(&[("forwarded", value), (FOR, "192.0.2.9")]).0, "unknown", "{value}");
    }
    assert_eq!(of(&[("forwarded", "for=192.0.2.9"), (FOR, "")]).0, "unknown");
    let differ = of(&[("forwarded", "for=192.0.2.8"), (FOR, "192.0.2.9")]);
    assert_eq!((differ.0.as_str(), differ.2), ("unknown", Some(Doubt::Addresses)));
    let other_things = of(&[("forwarded", "proto=https;host=gw.test"), (FOR, "192.0.2.9")]);
    assert_eq!(other_things, known("192.0.2.9", true));
    let some = of(&[("forwarded", "for=192.0.2.9, proto=https")]);
    assert_eq!(some.0, "unknown", "the last proxy names nobody");
}

#[test]
fn of_schemes_the_leftmost_counts_and_each_must_be_readable() {
    let of = |lines: &[&str]| {
        let lines: Vec<_> = lines.iter().map(|value| (PROTO, *value)).collect();
        let mut all = headers(&lines);
        all.insert(FOR, HeaderValue::from_static("192.0.2.9"));
        let (_, https, doubt) = from("10.0.0.1", &all);
        (https, doubt)
    };
    for https in [
        &["https"][..],
        &["HTTPS"],
        &["https,http"],
        &["https", "http"],
        &["wss"],
        &[" Https , https "],
    ] {
        assert_eq!(of(https), (true, None), "{https:?}");
    }
    for http in [&["http"][..], &["ws"], &["http,https"], &["http", "https"], &[]] {
        assert_eq!(of(http), (false, None), "{http:?}");
    }
    for bad in [&[""][..], &["gopher"], &["https,"], &["https", ""], &["https, x"]] {
        assert_eq!(of(bad), (false, Some(Doubt::Scheme)), "{bad:?}");
    }
}

#[test]
fn a_scheme_that_nobody_names_is_the_listeners_and_one_in_doubt_is_plain() {
    let trusted = ["10.0.0.0/8".parse().unwrap()];
    let peer = "10.0.0.1:1".parse().unwrap();
    let https = |lines: &[_]| sender(peer, ListenerKind::Https, &headers(lines), &trusted).https;
    assert!(https(&[]));
    assert!(!https(&[(PROTO, "x")]));
    assert!(!https(&[(PROTO, "https"), ("forwarded", "proto=http")]));
}

#[test]
fn the_front_is_told_by_the_leftmost_host_and_port() {
    let trusted = ["10.0.0.0/8".parse().unwrap()];
    let front = |lines: &[(&'static str, &str)]| {
        let headers = headers(lines);
        let peer = "10.0.0.1:1".parse().unwrap();
        let front = sender(peer, ListenerKind::Http, &headers, &trusted).front.unwrap();
        (front.host.map(std::borrow::Cow::into_owned), front.port)
    };
    let host = |text: &str| Some(text.to_owned());
    assert_eq!(front(&[]), (None, None));
    assert_eq!(
        front(&[(HOST, "gw.test:8443, inner"), (PORT, "8443,80")]),
        (host("gw.test:8443"), Some(8443))
    );
    assert_eq!(front(&[("forwarded", "for=1.1.1.1;host=gw.test")]), (host("gw.test"), None));
    assert_eq!(front(&[("forwarded", "host=a.test"), (HOST, "b.test")]), (None, None));
    assert_eq!(front(&[(PORT, "x")]), (None, None));
}
