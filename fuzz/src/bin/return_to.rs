//! Return addresses, one a line. A browser that follows one stays on the host and outside Vestibule's pages.
#![no_main]

use libfuzzer_sys::fuzz_target;
use url::Url;
use vestibule::web::return_to::ReturnTo;

fuzz_target!(|text: &str| {
    let base = Url::parse("https://gw.test/_auth/login").expect("a base");
    for line in text.lines().take(64) {
        let address = ReturnTo::parse(line);
        let url = base.join(address.as_str()).expect("a URL");
        assert_eq!(url.origin(), base.origin(), "{line}");
        let first = url.path().split('/').find(|part| !part.is_empty()).unwrap_or_default();
        assert!(!first.eq_ignore_ascii_case("_auth"), "{line}");
        assert_eq!(ReturnTo::parse(address.as_str()), address);
    }
});
