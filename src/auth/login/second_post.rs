//! The second request of an app's own client, with name, password and code. The first request had
//! name and password only, and the answer asked for a code.
//!
//! The app's answer to the first request is stored with the pending login, sealed, so that the app
//! is asked once. It is used only for a client that sends the cookie of that login and the same
//! name and password again.

use data_encoding::BASE64URL_NOPAD;
use ring::hmac;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use crate::auth::app_sign_in::{Relayed, Typed};
use crate::auth::token::{PendingToken, PlainToken};

/// Maximum size of a stored answer, in bytes. For a longer one the app is asked again.
const ANSWER_MAX: usize = 8 * 1024;

/// An app's answer to the first request.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeptAnswer {
    /// Name and password of the request, as a MAC under a key that only the client holds.
    typed: String,
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Drop for KeptAnswer {
    fn drop(&mut self) {
        self.headers.iter_mut().for_each(|(_, value)| value.zeroize());
        self.body.zeroize();
    }
}

/// Computes the MAC of name and password under the token of the login. The store only has a hash of
/// that token.
fn mac(token: &PlainToken<PendingToken>, typed: &Typed) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, token.reveal().as_bytes());
    let text = [typed.name.as_bytes(), b"\0", typed.password.reveal().as_bytes()].concat();
    BASE64URL_NOPAD.encode(hmac::sign(&key, &Zeroizing::new(text)).as_ref())
}

impl KeptAnswer {
    /// Creates the stored answer, or returns `None` if the answer is too long or not text.
    pub(super) fn new(
        token: &PlainToken<PendingToken>,
        typed: &Typed,
        answer: &Relayed,
    ) -> Option<Self> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
        let headers = answer.headers.iter();
        let headers: Vec<(String, String)> =
            headers.map(|(n, v)| Some((n.clone(), text(v)?))).collect::<Option<_>>()?;
        let length = headers.iter().map(|(n, v)| n.len() + v.len()).sum::<usize>();
        (length + answer.body.len() <= ANSWER_MAX).then_some(())?;
        let body = text(&answer.body)?;
        Some(Self { typed: mac(token, typed), status: answer.status, headers, body })
    }

    pub(super) fn is_of(&self, token: &PlainToken<PendingToken>, typed: &Typed) -> bool {
        bool::from(self.typed.as_bytes().ct_eq(mac(token, typed).as_bytes()))
    }

    pub(super) fn relayed(&self) -> Relayed {
        let headers = self.headers.iter();
        Relayed {
            status: self.status,
            headers: headers.map(|(n, v)| (n.clone(), v.clone().into_bytes())).collect(),
            body: self.body.clone().into_bytes(),
        }
    }
}

/// A pending login that its client continues.
#[derive(Debug)]
pub struct GoneOn {
    /// True if the account was never enrolled.
    pub enrol: bool,
    /// The app's answer to the first request.
    pub answer: Relayed,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::keys::KeyRing;
    use crate::auth::keys::testing::material;
    use crate::base::random::OsRandom;
    use crate::base::secret::Secret;

    fn typed(name: &str, password: &str) -> Typed {
        let password = Secret::new(password.to_owned());
        Typed { name: name.to_owned(), password, code: None }
    }

    fn answer(body: Vec<u8>) -> Relayed {
        let headers = vec![("set-cookie".to_owned(), b"token=s%3Ax".to_vec())];
        Relayed { status: 200, headers, body }
    }

    #[test]
    fn an_answer_is_that_of_one_name_and_password_in_one_login() {
        let keys = KeyRing::new(&material()).unwrap();
        let token = || PlainToken::<PendingToken>::generate(&keys, &OsRandom::new()).unwrap();
        let (own, other) = (token(), token());
        let first = typed("alice", "pw");
        let kept = KeptAnswer::new(&own, &first, &answer(b"{}".to_vec())).unwrap();
        assert!(kept.is_of(&own, &typed("alice", "pw")));
        assert!(!kept.is_of(&other, &first));
        for (name, password) in [("alice", "pW"), ("bob", "pw"), ("alice\0", "pw"), ("alic", "epw")]
        {
            assert!(!kept.is_of(&own, &typed(name, password)), "{name} {password}");
        }
        let again = kept.relayed();
        assert_eq!((again.status, again.body.as_slice()), (200, b"{}".as_slice()));
        assert!(KeptAnswer::new(&own, &first, &answer(vec![b'x'; 9000])).is_none());
        assert!(KeptAnswer::new(&own, &first, &answer(vec![0xff])).is_none());
    }
}
