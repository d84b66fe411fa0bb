//! Forwarding headers of a trusted proxy: a line of input is `name: value`. The proxy's own address, which is
//! trusted, becomes the client address only if a header names it.
#![no_main]

use std::net::{IpAddr, Ipv4Addr};

use libfuzzer_sys::fuzz_target;
use vestibule::base::address::ClientIp;
use vestibule::proxy::fuzzing::client_address;
use vestibule_fuzz::headers;

const PROXY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 77);

fuzz_target!(|data: &[u8]| {
    let Some(headers) = headers(data) else { return };
    let client = client_address(PROXY, &headers);
    if client == ClientIp::new(IpAddr::from(PROXY)) {
        let names_it = |value: &http::HeaderValue| {
            let text = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
            ["192.0.2.77", "c000:24d", "c000:024d"].iter().any(|written| text.contains(written))
        };
        assert!(headers.values().any(names_it), "the proxy became the client");
    }
});
