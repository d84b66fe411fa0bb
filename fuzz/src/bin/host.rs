//! `Host`, `:authority` and `X-Forwarded-Host`. A host name has no user, path or upper case, and stays the same
//! when it is parsed again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vestibule::proxy::fuzzing::host_name;

fuzz_target!(|text: &str| {
    let Some(name) = host_name(text) else { return };
    assert!(text.to_ascii_lowercase().starts_with(&name));
    assert!(!name.contains(['/', '@', '\\', '?', '#', ' ']), "{name}");
    assert_eq!(host_name(&name).as_deref(), Some(name.as_str()));
});
