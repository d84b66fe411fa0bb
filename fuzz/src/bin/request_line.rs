//! Request lines of HTTP/1.1, as received. The verdict does not depend on the sizes of the reads.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vestibule::proxy::fuzzing::is_bad_request_line;

fuzz_target!(|data: &[u8]| {
    let Some((size, line)) = data.split_first() else { return };
    let whole = is_bad_request_line(line, line.len());
    assert_eq!(is_bad_request_line(line, usize::from(*size)), whole);
    if whole == Some(false) {
        let start = line.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).expect("a line");
        let end = line[start..].iter().position(|byte| *byte == b'\n').expect("an end");
        let text =
            line[start..start + end].strip_suffix(b"\r").unwrap_or(&line[start..start + end]);
        assert_eq!(text.split(|byte| *byte == b' ').count(), 3, "method, target and version");
        assert!(text.iter().all(|byte| matches!(byte, b' '..=b'~')));
    }
});
