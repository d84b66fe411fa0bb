//! Header blocks of HTTP/1.1: a request line, then headers. An accepted block has one way to end its body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vestibule::proxy::fuzzing::is_accepted_header_block;
use vestibule_fuzz::headers;

fuzz_target!(|data: &[u8]| {
    let start = data.iter().position(|byte| *byte == b'\n').map_or(data.len(), |end| end + 1);
    let Some(headers) = headers(&data[start..]) else { return };
    if is_accepted_header_block(&headers, data) {
        let framing = ["content-length", "transfer-encoding"];
        let count: usize = framing.iter().map(|name| headers.get_all(*name).iter().count()).sum();
        assert!(count <= 1, "two framings");
        assert!(headers.get_all("host").iter().count() <= 1, "two hosts");
        assert!(headers.get_all("vestibule-token").iter().count() <= 1, "two tokens");
    }
});
