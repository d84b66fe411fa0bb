//! `Cookie` headers, a line each. No cookie of Vestibule's is left after they are removed for the app.
#![no_main]

use http::HeaderMap;
use http::header::{COOKIE, HeaderValue};
use libfuzzer_sys::fuzz_target;
use vestibule::web::cookies::{self, Stripped};

fuzz_target!(|data: &[u8]| {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(8) {
        let Ok(value) = HeaderValue::from_bytes(line) else { return };
        headers.append(COOKIE, value);
    }
    let own = cookies::OwnCookies::read(&headers);
    let session = cookies::session(&headers, None);
    if let (Ok(own), Ok(session)) = (&own, &session) {
        let session = session.map(|cookie| String::from_utf8_lossy(cookie.value).into_owned());
        assert_eq!(own.session, session);
    }
    if let Some(only) = headers.get(COOKIE).filter(|_| headers.len() == 1) {
        let value = |found: Result<Option<cookies::SessionCookie<'_>>, _>| {
            found.map(|cookie| cookie.map(|cookie| cookie.value.to_vec()))
        };
        let quick = cookies::session(&headers, Some(only));
        assert_eq!(value(quick), value(session), "the short cut");
    }
    let _device = cookies::device(&headers);
    let _sets = cookies::sets_own_cookie(data);
    match cookies::strip_own_cookies(&headers) {
        Stripped::Untouched => assert!(cookies::only_own(&headers).is_empty()),
        Stripped::Nothing => {}
        Stripped::Line(line) => {
            headers.insert(COOKIE, line);
            assert!(cookies::only_own(&headers).is_empty(), "own cookies are left");
            let again = cookies::strip_own_cookies(&headers);
            assert_eq!(again, Stripped::Untouched, "removed at once");
        }
    }
});
