//! Sign-ins by an app's own clients. A sign-in that is read and written again stays the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vestibule::gate::dialect::BodyKind::{Form, Json};
use vestibule_fuzz::dialect;

fuzz_target!(|data: &[u8]| {
    for (kind, other) in [(Json, Form), (Form, Json)] {
        let sign_in = dialect(vec![kind, other]).sign_in;
        let Ok(read) = sign_in.read(Some(kind.media_type()), data) else { continue };
        let (written_as, body) = sign_in.write(&read.typed);
        let again = sign_in.read(Some(written_as.media_type()), &body).expect("readable");
        assert_eq!(again.typed.name, read.typed.name);
        assert_eq!(again.typed.password.reveal(), read.typed.password.reveal());
    }
});
