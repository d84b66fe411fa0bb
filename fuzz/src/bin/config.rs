//! Configuration files. The files that they name do not exist.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    vestibule::config::fuzzing::parse(text);
});
