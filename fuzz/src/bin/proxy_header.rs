//! PROXY headers, versions 1 and 2. What follows a header changes nothing and is not read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vestibule::proxy::fuzzing::proxy_header;

fuzz_target!(|data: &[u8]| {
    let Some((address, length)) = proxy_header(data) else { return };
    assert!(length <= 2048, "bounded");
    let header = &data[..length];
    assert!(header.starts_with(b"\r\n\r\n\0\r\nQUIT\n") || header.ends_with(b"\r\n"));
    assert_eq!(proxy_header(header), Some((address, length)));
    assert_eq!(proxy_header(&[header, b"GET / HTTP/1.1\r\n"].concat()), Some((address, length)));
    assert_eq!(proxy_header(&header[..length - 1]), None, "a part of a header is none");
});
