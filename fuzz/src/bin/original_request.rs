//! An auth request of another proxy: the first line is `METHOD TARGET`, the others are `name: value`. What is read
//! is stated once, in one form, and is what that form says.
#![no_main]

use http::Method;
use libfuzzer_sys::fuzz_target;
use vestibule::gate::target::CanonicalTarget;
use vestibule::proxy::fuzzing::{host_name, original_request};
use vestibule_fuzz::headers;

const ENVOY: &[u8] = b"/_auth/verify/envoy";

fuzz_target!(|data: &[u8]| {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (line, rest) = data.split_at(end);
    let Some(space) = line.iter().position(|byte| *byte == b' ') else { return };
    let (Ok(method), target) = (Method::from_bytes(&line[..space]), &line[space + 1..]) else {
        return;
    };
    let Some(headers) = headers(rest.strip_prefix(b"\n").unwrap_or_default()) else { return };
    let Some((original, path, host)) = original_request(&method, target, &headers) else { return };
    assert!(
        path.starts_with(b"/") || target == ENVOY || target.starts_with(b"/_auth/verify/envoy?")
    );
    assert!(host.as_deref().is_none_or(|host| host_name(host).is_some()), "{host:?}");
    let value = |name: &str| {
        let mut lines = headers.get_all(name).iter();
        let only = lines.next().map(http::HeaderValue::as_bytes);
        assert!(only.is_none() || lines.next().is_none(), "{name} twice");
        only
    };
    let forwarded = (value("x-forwarded-method"), value("x-forwarded-uri"));
    let of_nginx = (value("x-original-method"), value("x-original-url"));
    match (target.strip_prefix(ENVOY), forwarded, of_nginx) {
        (Some(behind), (None, None), (None, None)) => {
            assert!(original == method && path == behind);
            assert!(CanonicalTarget::canonical(&path).is_ok());
        }
        (None, (Some(said), Some(uri)), (None, None)) => {
            assert!(original.as_str().as_bytes() == said && path == uri);
        }
        (None, (None, None), (Some(said), Some(url))) => {
            assert!(original.as_str().as_bytes() == said && url.ends_with(&path));
            let host = host.expect("the host of the URL");
            let scheme = &url[..url.len() - path.len() - host.len()];
            assert!(matches!(scheme, b"https://" | b"http://"), "{scheme:?}");
        }
        mixed => panic!("two forms, or none: {mixed:?}"),
    }
});
