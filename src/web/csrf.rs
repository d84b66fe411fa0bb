//! CSRF tokens, and forms that stay closed until their token is verified.
//!
//! A token is an HMAC of a cookie that scripts and other sites cannot read: the session token, else
//! the token of the pending login, else a random cookie. The server stores nothing.

use data_encoding::BASE64URL_NOPAD;
use http::header::HeaderValue;

use super::cookies::{self, OwnCookies};
use super::failure::Failure;
use super::form::{Fields, Form};
use crate::auth::keys::KeyRing;
use crate::auth::token::{Kind, PendingToken, PlainToken, SessionToken};
use crate::base::random::{Random, bytes};

/// Length of the random cookie: 32 bytes in base64url.
const COOKIE_LEN: usize = 43;

/// The cookies of a browser that form tokens are bound to.
pub(super) struct CsrfState {
    session: Option<String>,
    pending: Option<String>,
    random: Option<String>,
}

fn well_formed<K: Kind>(text: Option<&String>, keys: &KeyRing) -> Option<String> {
    text.filter(|t| PlainToken::<K>::parse(t, keys).is_some()).cloned()
}

fn random_cookie(text: Option<&String>) -> Option<String> {
    text.filter(|t| t.len() == COOKIE_LEN && BASE64URL_NOPAD.decode(t.as_bytes()).is_ok()).cloned()
}

impl CsrfState {
    pub(super) fn of(own: &OwnCookies, keys: &KeyRing) -> Self {
        Self {
            session: well_formed::<SessionToken>(own.session.as_ref(), keys),
            pending: well_formed::<PendingToken>(own.pending.as_ref(), keys),
            random: random_cookie(own.csrf.as_ref()),
        }
    }

    /// Returns a token for a form and, if the browser has no cookie to bind it to, the cookie to set.
    pub(super) fn token(
        &self,
        keys: &KeyRing,
        random: &dyn Random,
    ) -> Result<(String, Option<HeaderValue>), Failure> {
        let (state, cookie) = self.bound_to(random)?;
        Ok((keys.csrf_token(&state), cookie))
    }

    /// Returns the value of the cookie that forms are bound to and, if the browser has none, the cookie
    /// to set. Before sign-in, that is the random cookie. All tabs share it, so their forms stay valid
    /// when one of them starts a login.
    pub(super) fn bound_to(
        &self,
        random: &dyn Random,
    ) -> Result<(String, Option<HeaderValue>), Failure> {
        if let Some(state) = self.session.as_ref().or(self.random.as_ref()) {
            return Ok((state.clone(), None));
        }
        let raw: [u8; 32] = bytes(random).map_err(|e| Failure::Broken(e.to_string()))?;
        let state = BASE64URL_NOPAD.encode(&raw);
        let cookie = cookies::set(cookies::CSRF, &state);
        Ok((state, cookie))
    }

    /// Verifies a token. With a session, a token bound to another cookie is rejected.
    fn accepts(&self, keys: &KeyRing, token: &str) -> bool {
        let states = match &self.session {
            Some(session) => [Some(session), None],
            None => [self.pending.as_ref(), self.random.as_ref()],
        };
        states.into_iter().flatten().any(|state| keys.csrf_matches(state, token))
    }

    /// Returns true if the browser sent any cookie that tokens are bound to.
    fn has_cookie(&self) -> bool {
        self.session.is_some() || self.pending.is_some() || self.random.is_some()
    }
}

/// A form after its token was checked.
pub(super) enum Sent<F> {
    /// The token matches this browser's cookies.
    Good(F),
    /// The token belongs to earlier cookies of this browser, or to another browser.
    Stale(Stale),
    /// The token is missing or malformed, so the form is not one of the gateway's.
    Forged,
}

/// The parts of a stale form that are kept.
pub(super) struct Stale {
    /// The user name in the form.
    pub(super) username: String,
    /// True if the browser sent a cookie that tokens are bound to.
    pub(super) cookies: bool,
}

/// A form whose content is inaccessible until its token is verified.
pub(super) struct Protected<F> {
    fields: Fields,
    form: std::marker::PhantomData<fn() -> F>,
}

impl<F: Form> Protected<F> {
    pub(super) fn new(fields: Fields) -> Self {
        Self { fields, form: std::marker::PhantomData }
    }

    /// Verifies the token and returns the content if it matches.
    pub(super) fn open(mut self, state: &CsrfState, keys: &KeyRing) -> Sent<F> {
        let token = self.fields.take("csrf");
        if state.accepts(keys, &token) {
            return Sent::Good(F::from_fields(self.fields));
        }
        if !looks_like_a_token(&token) {
            return Sent::Forged;
        }
        Sent::Stale(Stale { username: self.fields.take("username"), cookies: state.has_cookie() })
    }
}

/// Returns true if `text` has the format of an HMAC-SHA-256 in base64url.
fn looks_like_a_token(text: &str) -> bool {
    BASE64URL_NOPAD.decode(text.as_bytes()).is_ok_and(|mac| mac.len() == 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::keys::testing::material;
    use crate::base::random::OsRandom;
    use crate::web::form::Nothing;

    fn keys() -> KeyRing {
        KeyRing::new(&material()).unwrap()
    }

    fn opened(state: &CsrfState, token: &str) -> bool {
        let fields = Fields::parse(format!("csrf={token}").as_bytes()).unwrap();
        matches!(Protected::<Nothing>::new(fields).open(state, &keys()), Sent::Good(_))
    }

    #[test]
    fn an_anonymous_token_is_valid_in_its_own_browser_only() {
        let anonymous = CsrfState::of(&OwnCookies::default(), &keys());
        let (token, cookie) = anonymous.token(&keys(), &OsRandom::new()).unwrap();
        let cookie = cookie.unwrap().to_str().unwrap().to_owned();
        let value = cookie.split(['=', ';']).nth(1).unwrap().to_owned();
        let own = OwnCookies { csrf: Some(value), ..OwnCookies::default() };
        let browser = CsrfState::of(&own, &keys());
        assert!(opened(&browser, &token));
        assert!(!opened(&anonymous, &token), "rejected without the cookie");
        assert!(!opened(&browser, ""));
        assert!(browser.token(&keys(), &OsRandom::new()).unwrap().1.is_none());
    }

    #[test]
    fn with_a_session_only_its_own_token_is_accepted() {
        let session = PlainToken::<SessionToken>::generate(&keys(), &OsRandom::new()).unwrap();
        let csrf = "A".repeat(COOKIE_LEN);
        let before = OwnCookies { csrf: Some(csrf), ..OwnCookies::default() };
        let (old, _) = CsrfState::of(&before, &keys()).token(&keys(), &OsRandom::new()).unwrap();
        let after = OwnCookies { session: Some(session.reveal().to_owned()), ..before };
        let after = CsrfState::of(&after, &keys());
        assert!(!opened(&after, &old));
        let (new, _) = after.token(&keys(), &OsRandom::new()).unwrap();
        assert!(opened(&after, &new));
    }

    #[test]
    fn a_form_stays_valid_when_another_tab_starts_a_login() {
        let csrf = "A".repeat(COOKIE_LEN);
        let one = OwnCookies { csrf: Some(csrf), ..OwnCookies::default() };
        let (before, _) = CsrfState::of(&one, &keys()).token(&keys(), &OsRandom::new()).unwrap();
        for _login in 0..2 {
            let pending = PlainToken::<PendingToken>::generate(&keys(), &OsRandom::new()).unwrap();
            let other = OwnCookies { pending: Some(pending.reveal().to_owned()), ..one.clone() };
            assert!(opened(&CsrfState::of(&other, &keys()), &before));
        }
    }

    #[test]
    fn a_stale_form_is_distinguished_from_a_forged_one() {
        let sent = |own: &OwnCookies, token: &str| {
            let mut text = form_urlencoded::Serializer::new(String::new());
            text.extend_pairs([("csrf", token), ("username", "alice"), ("password", "secret")]);
            let fields = Fields::parse(text.finish().as_bytes()).unwrap();
            let form = Protected::<Nothing>::new(fields);
            form.open(&CsrfState::of(own, &keys()), &keys())
        };
        let old = keys().csrf_token("a cookie of before");
        let here = OwnCookies { csrf: Some("A".repeat(COOKIE_LEN)), ..OwnCookies::default() };
        for (own, cookies) in [(&here, true), (&OwnCookies::default(), false)] {
            let Sent::Stale(kept) = sent(own, &old) else { panic!("not stale") };
            assert_eq!((kept.username.as_str(), kept.cookies), ("alice", cookies));
        }
        for forged in ["", "AAAA", "0123456789abcdef0123456789abcdef", "no base64 at all!"] {
            assert!(matches!(sent(&here, forged), Sent::Forged), "{forged}");
        }
    }
}
