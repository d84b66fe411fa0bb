//! Codes as users type them. A recovery code is the same after it is displayed and typed again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vestibule::auth::recovery::RecoveryCode;
use vestibule::auth::totp::Code;

fuzz_target!(|typed: &str| {
    let _code = Code::parse(typed);
    if let Ok(code) = RecoveryCode::parse(typed) {
        let again = RecoveryCode::parse(&code.to_display()).expect("readable");
        assert!(again.is(&code));
    }
});
