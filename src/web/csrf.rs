//! Form tokens, and forms that stay shut until their token is verified.
//!
//! A token is an HMAC of what the browser holds in a cookie out of reach of scripts and of other
//! sites: the session token, else the token of the login in progress, else a random cookie. The
//! server keeps no record. It does not know what forms are for.

use data_encoding::BASE64URL_NOPAD;
use http::header::HeaderValue;

use super::cookies::{self, OwnCookies};
use super::failure::Failure;
use super::form::{Fields, Form};
use crate::auth::keys::KeyRing;
use crate::auth::token::{Kind, PendingToken, PlainToken, SessionToken};
use crate::base::random::{Random, bytes};

/// Characters in the text of the random cookie: 32 bytes in base64url.
const COOKIE_LEN: usize = 43;

/// What form tokens are bound to in this browser.
pub(super) struct CsrfState {
    /// New tokens are bound to this.
    state: Option<String>,
    /// Tokens bound to this count as well: what the browser held before another tab went a step
    /// further in a login.
    before: Option<String>,
}

fn ours<K: Kind>(text: Option<&String>, keys: &KeyRing) -> Option<String> {
    text.filter(|t| PlainToken::<K>::parse(t, keys).is_some()).cloned()
}

fn random_cookie(text: Option<&String>) -> Option<String> {
    text.filter(|t| t.len() == COOKIE_LEN && BASE64URL_NOPAD.decode(t.as_bytes()).is_ok()).cloned()
}

impl CsrfState {
    /// The strongest thing the browser holds. With a session, a token bound to anything weaker is
    /// worth nothing.
    pub(super) fn of(own: &OwnCookies, keys: &KeyRing) -> Self {
        if let Some(session) = ours::<SessionToken>(own.session.as_ref(), keys) {
            return Self { state: Some(session), before: None };
        }
        let random = random_cookie(own.csrf.as_ref());
        match ours::<PendingToken>(own.pending.as_ref(), keys) {
            Some(pending) => Self { state: Some(pending), before: random },
            None => Self { state: random, before: None },
        }
    }

    /// The token for a form and, where the browser holds nothing to bind it to, the cookie to set.
    pub(super) fn token(
        &self,
        keys: &KeyRing,
        random: &dyn Random,
    ) -> Result<(String, Option<HeaderValue>), Failure> {
        if let Some(state) = &self.state {
            return Ok((keys.csrf_token(state), None));
        }
        let raw: [u8; 32] = bytes(random).map_err(|e| Failure::Broken(e.to_string()))?;
        let state = BASE64URL_NOPAD.encode(&raw);
        let cookie = cookies::set(cookies::CSRF, &state);
        Ok((keys.csrf_token(&state), cookie))
    }

    fn verify(&self, keys: &KeyRing, token: &str) -> Result<(), Failure> {
        let states = [&self.state, &self.before];
        if states.into_iter().flatten().any(|state| keys.csrf_matches(state, token)) {
            Ok(())
        } else {
            Err(Failure::stale_form())
        }
    }
}

/// A form whose content is out of reach until its token is verified.
pub(super) struct Protected<F> {
    fields: Fields,
    form: std::marker::PhantomData<fn() -> F>,
}

impl<F: Form> Protected<F> {
    pub(super) fn new(fields: Fields) -> Self {
        Self { fields, form: std::marker::PhantomData }
    }

    /// The content, if the form was made for this browser.
    pub(super) fn open(mut self, state: &CsrfState, keys: &KeyRing) -> Result<F, Failure> {
        let token = self.fields.take("csrf");
        state.verify(keys, &token)?;
        Ok(F::from_fields(self.fields))
    }
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
        Protected::<Nothing>::new(fields).open(state, &keys()).is_ok()
    }

    #[test]
    fn an_anonymous_token_is_good_for_the_browser_it_was_made_for() {
        let nobody = CsrfState::of(&OwnCookies::default(), &keys());
        let (token, cookie) = nobody.token(&keys(), &OsRandom::new()).unwrap();
        let cookie = cookie.unwrap().to_str().unwrap().to_owned();
        let value = cookie.split(['=', ';']).nth(1).unwrap().to_owned();
        let own = OwnCookies { csrf: Some(value), ..OwnCookies::default() };
        let browser = CsrfState::of(&own, &keys());
        assert!(opened(&browser, &token));
        assert!(!opened(&nobody, &token), "without the cookie it is worth nothing");
        assert!(!opened(&browser, ""));
        assert!(browser.token(&keys(), &OsRandom::new()).unwrap().1.is_none());
    }

    #[test]
    fn with_a_session_only_a_token_of_that_session_counts() {
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
}
