//! Credentials of an app in `Authorization`, `Cookie` and, after an empty line, the query. None is left in the
//! cookies after they are removed.
#![no_main]

use http::header::AUTHORIZATION;
use libfuzzer_sys::fuzz_target;
use vestibule::gate::dialect::{BodyKind, MOST_CREDENTIALS};
use vestibule_fuzz::{dialect, head_and_body, headers};

fuzz_target!(|data: &[u8]| {
    let (head, query) = head_and_body(data);
    let Some(mut headers) = headers(head) else { return };
    let dialect = dialect(vec![BodyKind::Json]);
    let found = dialect.credentials(&headers, std::str::from_utf8(query).ok());
    assert!(found.all.len() <= MOST_CREDENTIALS + 1);
    headers.remove(AUTHORIZATION);
    dialect.strip_cookies(&mut headers);
    let left = dialect.credentials(&headers, None);
    assert!(left.all.is_empty(), "a credential is left in the cookies");
});
