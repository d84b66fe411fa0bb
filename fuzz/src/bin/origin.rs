//! `Origin` and `Referer`, a line each. An origin that is written again is the same, also for a browser.
#![no_main]

use http::header::{HeaderMap, HeaderValue, ORIGIN, REFERER};
use libfuzzer_sys::fuzz_target;
use url::Url;
use vestibule::web::origin::{Source, WebOrigin};

fuzz_target!(|text: &str| {
    let here = WebOrigin::new(true, "gw.test", None);
    let mut lines = text.lines();
    let (origin, referer) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    if let Some(read) = WebOrigin::parse(origin) {
        let written = read.to_string();
        assert_eq!(WebOrigin::parse(&written), Some(read.clone()));
        assert!(read.is(written.as_bytes()));
    }
    if here.after(referer.as_bytes()).is_some()
        && let Ok(url) = Url::parse(referer)
    {
        assert_eq!(url.host_str(), Some("gw.test"), "{referer}");
        assert_eq!(url.port_or_known_default(), Some(443), "{referer}");
    }
    let mut headers = HeaderMap::new();
    for (name, text) in [(ORIGIN, origin), (REFERER, referer)] {
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.append(name, value);
        }
    }
    let _source = Source::of(&headers, &here);
});
