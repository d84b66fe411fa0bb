//! Responses of an app with a host name of its own: a line of input is `name: value`. No rewritten address leads
//! to that name, and a rewritten response is left alone.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vestibule::proxy::fuzzing::rewritten_response;
use vestibule_fuzz::headers;

fuzz_target!(|data: &[u8]| {
    let Some(headers) = headers(data) else { return };
    let Some(rewritten) = rewritten_response(&headers) else { return };
    assert!(!rewritten.contains_key("strict-transport-security"));
    assert_eq!(rewritten_response(&rewritten), Some(rewritten), "rewritten once");
});
