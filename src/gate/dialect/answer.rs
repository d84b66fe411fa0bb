//! Responses of an app to a sign-in.

use serde_json::Value;

use super::Dialect;
use crate::auth::app_sign_in::{Held, Relayed, Subject};
use crate::gate::fold::percent_decoded;

/// The meaning of a response.
#[derive(Debug)]
#[must_use]
pub enum Verdict {
    /// Signed in, with the user's id and what the app issued.
    Right(Subject, Held),
    /// A one-time code is required.
    CodeWanted,
    /// Rejected.
    Wrong,
    /// The app cannot decide at the moment.
    Undecided,
    /// Accepted by its status, but without the user's id.
    NoSubject,
}

impl Dialect {
    /// Interprets a response of the app.
    pub fn verdict(&self, answer: &Relayed) -> Verdict {
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        let text = |field: &str| body.get(field).and_then(Value::as_str);
        if answer.status == self.success.status {
            let subject = text(&self.success.subject).and_then(|subject| subject.parse().ok());
            return subject.map_or(Verdict::NoSubject, |subject| {
                Verdict::Right(
                    subject,
                    self.held(answer, self.success.token.as_deref().and_then(text)),
                )
            });
        }
        let wanted = &self.code_wanted;
        if answer.status == wanted.status
            && text(&wanted.error).is_some_and(|e| e.contains(&wanted.says))
        {
            return Verdict::CodeWanted;
        }
        match answer.status {
            // The response may contain credentials of the app, but does not say whose.
            200..400 => Verdict::NoSubject,
            429 | 500.. | ..200 => Verdict::Undecided,
            _ => Verdict::Wrong,
        }
    }

    fn held(&self, answer: &Relayed, in_body: Option<&str>) -> Held {
        let lines =
            answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
        let lines: Vec<String> =
            lines.filter_map(|(_, value)| String::from_utf8(value.clone()).ok()).collect();
        let mut tokens: Vec<String> = Vec::new();
        let set = lines.iter().filter_map(|line| self.token_set_by(line.as_bytes()));
        let body = in_body.map(|token| percent_decoded(token.as_bytes()));
        for token in set.chain(body).filter_map(|token| String::from_utf8(token).ok()) {
            if !tokens.contains(&token) {
                tokens.push(token);
            }
        }
        let without = |line: String| match self.without_domain(line.as_bytes()) {
            Some(bare) => String::from_utf8(bare).unwrap_or(line),
            None => line,
        };
        Held { set_cookies: lines.into_iter().map(without).collect(), tokens }
    }
}

#[cfg(test)]
mod tests {
    use super::super::credentials::tests::dialect;
    use super::*;

    fn answer(status: u16, body: &str) -> Relayed {
        let cookie = b"token=s%3Aabc.def%2B; Path=/".to_vec();
        let headers = vec![("set-cookie".to_owned(), cookie)];
        Relayed { status, headers, body: body.as_bytes().to_vec() }
    }

    #[test]
    fn a_token_is_found_in_both_encodings() {
        let body = r#"{"token":"s:abc.def+","userId":"5d38"}"#;
        let Verdict::Right(subject, held) = dialect().verdict(&answer(200, body)) else {
            panic!("it is right")
        };
        assert_eq!(subject.as_str(), "5d38");
        assert_eq!(held.tokens, ["s:abc.def+"]);
        assert_eq!(held.set_cookies, ["token=s%3Aabc.def%2B; Path=/"]);
    }

    #[test]
    fn a_success_without_a_user_id_is_not_one() {
        let verdict = |status, body| dialect().verdict(&answer(status, body));
        assert!(matches!(verdict(200, "<html>"), Verdict::NoSubject));
        assert!(matches!(verdict(200, r#"{"userId":""}"#), Verdict::NoSubject));
        let wants = r#"{"error":"\"otp\" is required."}"#;
        assert!(matches!(verdict(400, wants), Verdict::CodeWanted));
        assert!(matches!(verdict(400, r#"{"error":"\"username\" is required."}"#), Verdict::Wrong));
        assert!(matches!(verdict(401, ""), Verdict::Wrong));
        for unexpected in [201, 204, 302] {
            assert!(matches!(verdict(unexpected, ""), Verdict::NoSubject), "{unexpected}");
        }
        for undecided in [429, 500, 503] {
            assert!(matches!(verdict(undecided, ""), Verdict::Undecided), "{undecided}");
        }
    }
}
