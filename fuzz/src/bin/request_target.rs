//! Request targets. A canonical target stays the same when it is parsed again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vestibule::gate::target::CanonicalTarget;

fuzz_target!(|data: &[u8]| {
    let verbatim = CanonicalTarget::verbatim(data);
    let Ok(canonical) = CanonicalTarget::canonical(data) else { return };
    assert!(verbatim.is_ok(), "a canonical target is also a valid one");
    let Some(rewritten) = canonical.rewritten() else { return };
    let again = CanonicalTarget::canonical(rewritten.as_bytes()).expect("still canonical");
    assert_eq!(again.path(), canonical.path());
    assert_eq!(again.query(), canonical.query());
    assert_eq!(again.is_own(), canonical.is_own());
    assert!(again.rewritten().is_none_or(|text| text == rewritten), "rewritten once");
});
