//! Answers of an app to a sign-in: the status, lines of `Set-Cookie`, an empty line, a body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vestibule::auth::app_sign_in::Relayed;
use vestibule::gate::dialect::{BodyKind, Verdict};
use vestibule_fuzz::{dialect, head_and_body};

fuzz_target!(|data: &[u8]| {
    let (head, body) = head_and_body(data);
    let mut lines = head.split(|byte| *byte == b'\n');
    let status = lines.next().and_then(|line| std::str::from_utf8(line).ok()?.parse().ok());
    let lines: Vec<Vec<u8>> = lines.map(<[u8]>::to_vec).collect();
    let dialect = dialect(vec![BodyKind::Json]);
    for line in &lines {
        if let Some(bare) = dialect.without_domain(line) {
            assert_eq!(dialect.token_set_by(&bare), dialect.token_set_by(line), "the same token");
            assert_eq!(dialect.without_domain(&bare), None, "the domain is gone");
        }
    }
    let answer = Relayed {
        status: status.unwrap_or(200),
        headers: lines.into_iter().map(|line| ("set-cookie".to_owned(), line)).collect(),
        body: body.to_vec(),
    };
    if let Verdict::Right(..) = dialect.verdict(&answer) {
        assert_eq!(answer.status, 200);
    }
});
