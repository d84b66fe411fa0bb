//! Submitted forms and queries of Vestibule's own pages. An accepted form has each field once.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vestibule::web::fuzzing::form_field;

fuzz_target!(|data: &[u8]| {
    let mut names = std::collections::HashSet::new();
    for (name, value) in form_urlencoded::parse(data) {
        let Some(read) = form_field(data, &name) else { return };
        assert!(names.insert(name), "a field twice");
        assert_eq!(read, value);
    }
});
